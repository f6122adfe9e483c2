"""When digests are due: an hourly one on the hour, a daily or weekly one at the reader's own hour.

Pure: `now` is an argument. Readers whose digests come at the same instants, by the same clock, share a slot,
which names their zone, weekday and hour. An hour that a clock change leaves out is the first instant after it; of one
that comes twice, the first counts.
"""

from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from functools import cache, lru_cache
from zoneinfo import ZoneInfo

from alerts.audience import zones
from alerts.models import Frequency

_HOUR = timedelta(hours=1)
_DAY = timedelta(days=1)
_WEEK = 7


def slot_of(frequency: str, zone: str, hour: int, weekday: int) -> str:
    """Names the slot of a reader's digests of one frequency."""
    match frequency:
        case Frequency.HOURLY:
            return zone  # all come at one instant, and show it as their readers' clocks do
        case Frequency.DAILY:
            return f"{zone} {hour:02d}"
        case Frequency.WEEKLY:
            return f"{zone} {weekday} {hour:02d}"
    raise ValueError(f"{frequency} is no digest's frequency.")


def zone_of(slot: str) -> str:
    """Gives the zone whose clock a slot goes by: the one that it names, as far as this machine knows it."""
    return known_zone(slot.partition(" ")[0])


def is_by_its_zone(slot: str) -> bool:
    """Whether a slot goes by the zone that it names; one that this machine does not know gives way to UTC."""
    return zone_of(slot) == slot.partition(" ")[0]


@cache
def known_zone(name: str) -> str:
    """Gives a zone's name, or UTC where this machine has none of that name: a list or another machine may have had."""
    try:
        ZoneInfo(name)
    except (LookupError, ValueError, OSError):  # not there; no key; a folder, as `Europe` is
        return zones.UTC
    return name


def latest(frequency: str, slot: str, now: datetime) -> datetime:
    """Gives the last instant, `now` included, at which the slot's digests were due."""
    if frequency == Frequency.HOURLY:
        return now.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
    return max(each for each in _around(slot, now) if each <= now)


def coming(frequency: str, slot: str, now: datetime) -> datetime:
    """Gives the first instant after `now` at which the slot's digests are due."""
    if frequency == Frequency.HOURLY:
        return latest(frequency, slot, now) + _HOUR
    return min(each for each in _around(slot, now) if each > now)


def _around(slot: str, now: datetime) -> Iterator[datetime]:
    """Gives the instants of a daily or weekly slot from more than a week before `now` to more than one after."""
    zone, *weekday, hour = slot.split(" ")
    zone = known_zone(zone)
    today = now.astimezone(ZoneInfo(zone)).date()
    for days in range(-_WEEK - 2, _WEEK + 3):
        day = today + days * _DAY
        if not weekday or day.weekday() == int(weekday[0]):
            yield _instant(zone, day, int(hour))


@lru_cache(maxsize=8192)
def _instant(zone: str, day: date, hour: int) -> datetime:
    place = ZoneInfo(zone)
    local = datetime.combine(day, time(hour), place)
    found = local.astimezone(UTC)
    if found.astimezone(place).replace(tzinfo=None) == local.replace(tzinfo=None):
        return found
    # PEP 495: in a gap the second reading lies before the change, the first after it.
    before, after = local.replace(fold=1).astimezone(UTC), found
    offset = after.astimezone(place).utcoffset()
    while after - before > timedelta(seconds=1):
        middle = before + (after - before) // 2
        if middle.astimezone(place).utcoffset() == offset:
            after = middle
        else:
            before = middle
    # The change is on a whole second, and `after` is less than one behind it.
    return after.replace(microsecond=0)
