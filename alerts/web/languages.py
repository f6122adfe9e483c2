"""Which language a visitor wants whom we do not know (RFC 9110, section 12.5.4)."""

import re
from collections.abc import Callable
from typing import Final

from babel import Locale

_RANGE: Final = re.compile(
    r"\s*([A-Za-z]{1,8}(?:-[A-Za-z0-9]{1,8})*)\s*(?:;\s*q\s*=\s*(0(?:\.\d{0,3})?|1(?:\.0{0,3})?)\s*)?"
)
_RANGES_LIMIT: Final = 20


def negotiated(accepted: str, locale: Callable[[str], Locale]) -> Locale:
    """Gives the first of the `accepted` languages that we have words in, else English; `locale` tells which we have."""
    for wanted in _by_preference(accepted):
        found = locale(wanted)
        if found.language == wanted.partition("-")[0].lower():
            return found
    return locale("en")


def _by_preference(accepted: str) -> list[str]:
    ranges = (_RANGE.fullmatch(each) for each in accepted.split(",")[:_RANGES_LIMIT])
    weighed = [(float(found[2] or 1), found[1]) for found in ranges if found]
    return [name for weight, name in sorted(weighed, key=lambda each: -each[0]) if weight > 0]
