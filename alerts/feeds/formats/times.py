"""Publishers' times: many notations, some without a zone, some no time at all. Never now."""

import re
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Any

from alerts.feeds.formats import time_words

_EPOCH = re.compile(r"\d{10}(?:\d{3})?(?:\.\d+)?")
_MILLISECONDS_FROM = 100_000_000_000
_LONGEST = 100  # characters; a time is shorter
_YEARS = range(1900, 2200)  # outside it, a slip
_SHORT = re.compile(r"(\d{4})(?:-(\d{2}))?")  # W3C's profile of ISO 8601: a year, a month
_ORDINAL = re.compile(r"(\d{4})-?(\d{3})(?=T|$)")
_BEFORE_ZONE = re.compile(r"(?<=\d)\s+(?=[+-]\d|Z$)")
_DAY_END = re.compile(r"(\d{4}-\d{2}-\d{2})[Tt ]24:00(:00(?:\.0+)?)?")


class Clock:
    """Reads the times of one document and remembers what was wrong with them.

    A time without a zone is taken in the document's one zone, if its other times all name the same offset,
    else in UTC.
    """

    def __init__(self, others: list[Any] | None = None) -> None:
        read = [moment for moment in (_read(other) for other in others or []) if moment is not None]
        offsets = {moment.utcoffset() for moment in read if moment.tzinfo is not None}
        self._zone: tzinfo = (
            next(moment.tzinfo for moment in read if moment.tzinfo) if len(offsets) == 1 else UTC
        )
        self._naive = 0
        self._unreadable = 0

    def read(self, *values: Any) -> datetime | None:
        """Gives a time as aware UTC: of several values the first that is one; None for what is no time."""
        given = [value for value in values if value is not None and value != ""]
        if not given:
            return None
        moment = next((moment for moment in map(_read, given) if moment is not None), None)
        if moment is None:
            self._unreadable += 1
            return None
        if moment.tzinfo is None:
            self._naive += 1
            moment = moment.replace(tzinfo=self._zone)
        try:
            moment = moment.astimezone(UTC)
        except (OverflowError, ValueError):
            moment = datetime.min.replace(tzinfo=UTC)
        if moment.year not in _YEARS:
            self._unreadable += 1
            return None
        return moment

    def warnings(self) -> list[str]:
        found = []
        if self._naive:
            zone = "UTC" if self._zone is UTC else "the zone of its other times"
            found.append(f"{self._naive} times name no zone and were read as {zone}")
        if self._unreadable:
            found.append(f"{self._unreadable} times could not be read and were left out")
        return found


def _read(value: Any) -> datetime | None:
    """Gives a time as it was written, with or without a zone."""
    if isinstance(value, bool):
        return None
    if isinstance(value, int | float):
        return _epoch(float(value))
    if not isinstance(value, str):
        return None
    text = value.strip()
    if _EPOCH.fullmatch(text):
        return _epoch(float(text))
    return _iso(text) or time_words.read(text)


def _epoch(seconds: float) -> datetime | None:
    if seconds >= _MILLISECONDS_FROM:
        seconds /= 1000
    try:
        return datetime.fromtimestamp(seconds, UTC)
    except (OverflowError, ValueError, OSError):
        return None


def _iso(text: str) -> datetime | None:
    """RFC 3339 and the ISO 8601 around it, with the slips seen in feeds: a space before the zone, 24:00."""
    if len(text) > _LONGEST or not text[:4].isdigit():
        return None
    text = _BEFORE_ZONE.sub("", text.upper())
    if short := _SHORT.fullmatch(text):
        text = f"{short[1]}-{short[2] or '01'}-01"
    elif ordinal := _ORDINAL.match(text):
        return _of_year(ordinal, text[ordinal.end() :])
    next_day = _DAY_END.match(text)
    if next_day:
        text = f"{next_day[1]}T00:00{next_day[2] or ''}{text[next_day.end() :]}"
    try:
        moment = datetime.fromisoformat(text)
        return moment + timedelta(days=1) if next_day else moment
    except (ValueError, OverflowError):
        return None


def _of_year(ordinal: re.Match[str], rest: str) -> datetime | None:
    """Gives a day by its number in the year."""
    try:
        start = datetime.fromisoformat(f"{ordinal[1]}-01-01{rest}")
        moment = start + timedelta(days=int(ordinal[2]) - 1)
    except (ValueError, OverflowError):
        return None
    return moment if moment.year == start.year else None
