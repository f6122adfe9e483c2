"""Which languages a visitor reads whom we do not know (RFC 9110, section 12.5.4)."""

import re
from typing import Final

from starlette.requests import Request

_RANGE: Final = re.compile(
    r"\s*([A-Za-z]{1,8}(?:-[A-Za-z0-9]{1,8})*)\s*(?:;\s*q\s*=\s*(0(?:\.\d{0,3})?|1(?:\.0{0,3})?)\s*)?"
)
_RANGES_LIMIT: Final = 20


def languages_of(request: Request) -> str:
    """Gives what a browser says of the languages that its reader knows."""
    return request.headers.get("Accept-Language", "")


def accepted_languages(header: str) -> list[str]:
    """Gives the languages that an Accept-Language header names, the preferred first."""
    ranges = (_RANGE.fullmatch(each) for each in header.split(",")[:_RANGES_LIMIT])
    weighed = [(float(found[2] or 1), found[1]) for found in ranges if found]
    return [name for weight, name in sorted(weighed, key=lambda each: -each[0]) if weight > 0]
