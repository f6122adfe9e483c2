"""The time zones that a reader may have."""

from functools import cache
from zoneinfo import available_timezones

UTC = "UTC"


def is_zone(name: str) -> bool:
    """Whether a name is one of IANA's for a place, old ones included, or UTC."""
    return name == UTC or ("/" in name and name in known())


@cache
def known() -> frozenset[str]:
    """Gives all names that this machine knows."""
    return frozenset(available_timezones())
