"""What a visitor is told of each topic before they choose: how much it really sent lately, and its last alert.

All of it is read from alerts that were released: what is held or was cancelled is nobody's to see.
"""

import json
import statistics
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta

import sqlalchemy as sa
from sqlmodel import Session, col, select

from alerts.models import Alert, AlertEntry, AlertState, Entry, EntryRevision, Frequency, Topic, table_of

_ALERT = table_of(Alert)
_DAYS = 30
_DAY = timedelta(days=1)
_RELEASED = (AlertState.RELEASED, AlertState.DONE)


@dataclass(frozen=True, slots=True)
class Amount:
    """How many alerts a day brings: a typical one (the median) and the busiest; the last is None while all is quiet."""

    typical: int
    busiest: int
    busiest_day: datetime | None  # its beginning (UTC)


@dataclass(frozen=True, slots=True)
class Sample:
    """An entry as it was mailed last."""

    title: str
    text: str
    url: str
    released_at: datetime


@dataclass(frozen=True, slots=True)
class Offer:
    """A topic as a visitor chooses it; amounts are None while it has not been there for a whole day."""

    slug: str
    title: str
    description: str
    frequencies: tuple[Frequency, ...]
    days: int  # that the amounts are about
    updates: Amount | None
    key_events: Amount | None
    sample: Sample | None

    @property
    def is_key_events_only(self) -> bool:
        return Frequency.EVERY not in self.frequencies


def offers(session: Session, now: datetime) -> tuple[Offer, ...]:
    """Gives the topics that can be followed, by title."""
    topics = session.exec(select(Topic).where(col(Topic.is_active))).all()
    today = now.astimezone(UTC).date()
    counts = {day: _counts(session, day) for day in _days(today)}
    return tuple(
        _offer(session, topic, counts, today)
        for topic in sorted(topics, key=lambda each: each.title.casefold())
    )


def choosable(*, is_key_events_only: bool) -> tuple[Frequency, ...]:
    """Gives the frequencies that make a difference for a topic."""
    return tuple(each for each in Frequency if not (is_key_events_only and each is Frequency.EVERY))


def _days(today: date) -> Sequence[date]:
    return [today - _DAY * back for back in range(_DAYS, -1, -1)]


_Counts = Counter[tuple[int, str]]  # by topic and frequency


def _counts(session: Session, day: date) -> _Counts:
    """Counts what was released on one day (UTC), for each topic and frequency that it went to."""
    start = _start(day)
    rows = session.connection().execute(_OF_DAY, {"start": start, "end": start + _DAY})
    counts: _Counts = Counter()
    for audience, alerts in rows:
        for topic, frequencies in json.loads(audience).items():
            for frequency in frequencies:
                counts[int(topic), frequency] += alerts
    return counts


# Audiences are few, alerts are many: the database counts them.
_AUDIENCE = sa.cast(_ALERT.c.audience, sa.Text)
_OF_DAY = (
    sa.select(_AUDIENCE, sa.func.count())
    .where(
        _ALERT.c.released_at >= sa.bindparam("start"),
        _ALERT.c.released_at < sa.bindparam("end"),
        _ALERT.c.state.in_(_RELEASED),
        _ALERT.c.frequency == "",  # a digest's alert repeats what others told
    )
    .group_by(_AUDIENCE)
)


def _offer(session: Session, topic: Topic, counts: Mapping[date, _Counts], today: date) -> Offer:
    assert topic.id is not None, "read from the table"
    since = topic.created_at.astimezone(UTC).date()
    whole = [day for day in counts if since <= day < today]
    is_new = not whole
    return Offer(
        slug=topic.slug,
        title=topic.title,
        description=topic.description,
        frequencies=choosable(is_key_events_only=topic.key_events_only),
        days=len(whole),
        updates=None if is_new else _amount(counts, (topic.id, Frequency.EVERY), whole, today),
        key_events=None if is_new else _amount(counts, (topic.id, Frequency.FLASH), whole, today),
        sample=_sample(session, topic.id, today),
    )


def _amount(
    counts: Mapping[date, _Counts], of: tuple[int, Frequency], whole: Sequence[date], today: date
) -> Amount:
    """A day that is not over counts for the busiest only."""
    median = statistics.median(counts[day][of] for day in whole)
    busiest_day = max((*whole, today), key=lambda day: (counts[day][of], day))
    busiest = counts[busiest_day][of]
    return Amount(int(median + 0.5), busiest, _start(busiest_day) if busiest else None)


def _start(day: date) -> datetime:
    return datetime.combine(day, time(), UTC)


def _sample(session: Session, topic_id: int, today: date) -> Sample | None:
    values = {
        "names_topic": f'%"{topic_id}":%',
        "start": _start(today - _DAY * _DAYS),
    }
    row = session.connection().execute(_LAST, values).first()
    return None if row is None else Sample(row.title, row.text, row.url, row.released_at)


_TEXT, _ENTRY, _CARRIED = table_of(EntryRevision), table_of(Entry), table_of(AlertEntry)
_LAST = (
    sa.select(_TEXT.c.title, _TEXT.c.text, _TEXT.c.url, _ALERT.c.released_at)
    .join(_CARRIED, _CARRIED.c.alert_id == _ALERT.c.id)
    .join(
        _TEXT,
        sa.and_(_TEXT.c.entry_id == _CARRIED.c.entry_id, _TEXT.c.number == _CARRIED.c.revision),
    )
    .join(_ENTRY, _ENTRY.c.id == _CARRIED.c.entry_id)
    .where(
        _ALERT.c.released_at >= sa.bindparam("start"),
        _ALERT.c.state.in_(_RELEASED),
        _ALERT.c.frequency == "",
        _AUDIENCE.like(sa.bindparam("names_topic", type_=sa.Text)),
        _ENTRY.c.withdrawn_at.is_(None),
    )
    .order_by(_ALERT.c.released_at.desc(), _ALERT.c.id.desc())
    .limit(1)
)
