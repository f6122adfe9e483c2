"""The time zones that a reader may choose: the IANA names of inhabited places, and UTC."""

from dataclasses import dataclass
from functools import cache
from importlib import resources
from itertools import groupby

from babel import Locale
from babel.dates import get_timezone_location

from alerts.audience.zones import UTC, known


@dataclass(frozen=True, slots=True)
class Place:
    """A zone by its IANA name, and its city in some language."""

    zone: str
    city: str


@cache
def by_region(locale: Locale) -> tuple[tuple[str, tuple[Place, ...]], ...]:
    """Gives the zones by the region that their names begin with, in the order of their cities."""
    return tuple(
        (
            region,
            tuple(sorted((Place(name, city(name, locale)) for name in names), key=lambda each: each.city)),
        )
        for region, names in groupby(sorted(_listed()), key=lambda name: name.partition("/")[0])
    )


def city(zone: str, locale: Locale) -> str:
    """Gives a zone's city as it is called in a language: first in an option, so that typing finds it."""
    if zone == UTC:
        return zone
    within, _, name = get_timezone_location(zone, locale=locale, return_city=True).rpartition("/")
    return f"{name} ({within})" if within else name


@cache
def _listed() -> frozenset[str]:
    # One line a place: country, position, name, and at times a remark; see the file's own head.
    text = resources.files("tzdata").joinpath("zoneinfo/zone.tab").read_text("utf-8")
    names = {line.split("\t")[2] for line in text.splitlines() if not line.startswith("#")}
    return frozenset(names & known() | {UTC})
