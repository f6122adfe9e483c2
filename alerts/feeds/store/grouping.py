"""Entries that tell the same news, of one feed or of several: grouped when the later one comes in, and only shown."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from weakref import WeakKeyDictionary

import sqlalchemy as sa
from sqlmodel import Session, col

from alerts.feeds.compare.likeness import OTHER_FEED, SAME_FEED, Told, is_same_news, likeness, told
from alerts.models import Entry, EntryRevision, Feed

WINDOW = timedelta(hours=6)  # what is told again later than this is told anew
_MOST_COMPARED = 1_000
_MOST_AT_ONCE = 50  # new entries: more are a flood
_AT_ONCE = 500  # parameters of one statement

_Key = tuple[int, int]  # an entry and its revision
# The texts of the last window compared, by database, so that each is read once and not at every poll with news.
_READ: WeakKeyDictionary[object, dict[_Key, Told]] = WeakKeyDictionary()


@dataclass(frozen=True, slots=True)
class Report:
    """Another entry of a group: where it stands, and since when."""

    entry_id: int
    source: str
    title: str
    first_seen_at: datetime


@dataclass(frozen=True, slots=True)
class _Reported:
    entry_id: int
    feed_id: int
    group_id: int | None
    told: Told


def group(session: Session, entry_ids: Iterable[int], now: datetime) -> None:
    """Puts each of these new entries into the group of the earlier entry that it is most alike, if any.

    The rows and their first revisions must be flushed. A group is named by its first entry. What the flood
    guard holds is grouped once a person has released it; a flood even then is not, it would cost seconds.
    """
    waiting = sorted(entry_ids)
    if not 0 < len(waiting) <= _MOST_AT_ONCE:
        return
    known: list[_Reported] = []
    for one in _recent(session, waiting[-1], now):
        known.append(_joined(session, one, known) if one.entry_id in waiting else one)


def also_reported(session: Session, entry_id: int) -> list[Report]:
    """Gives the other entries of an entry's group, the first one first."""
    own = sa.select(col(Entry.group_id)).where(col(Entry.id) == entry_id).scalar_subquery()
    rows = session.execute(
        sa.select(
            col(Entry.id), col(Feed.title), col(Feed.name), col(EntryRevision.title), col(Entry.first_seen_at)
        )
        .join(Feed, col(Feed.id) == col(Entry.feed_id))
        .join(EntryRevision, _is_newest())
        .where(col(Entry.group_id) == own, col(Entry.id) != entry_id)
        .order_by(col(Entry.id))
    )
    return [Report(id_, feed_title or name, title, at) for id_, feed_title, name, title, at in rows]


def other_sources(session: Session, entry_id: int) -> tuple[str, ...]:
    """Names the other feeds that told what this entry tells, by the time they did, each once."""
    entry = session.get_one(Entry, entry_id)
    if entry.group_id is None:
        return ()
    rows = session.execute(
        sa.select(col(Feed.title), col(Feed.name))
        .join(Entry, col(Entry.feed_id) == col(Feed.id))
        .where(col(Entry.group_id) == entry.group_id, col(Entry.feed_id) != entry.feed_id)
        .order_by(col(Entry.id))
    )
    return tuple(dict.fromkeys(title or name for title, name in rows))


def _recent(session: Session, newest_id: int, now: datetime) -> list[_Reported]:
    """Reads what came in within the window, the oldest first; of texts only those not read before."""
    rows = session.execute(
        sa.select(col(Entry.id), col(Entry.revision), col(Entry.feed_id), col(Entry.group_id))
        .where(
            col(Entry.first_seen_at) > now - WINDOW,
            col(Entry.id) <= newest_id,
            col(Entry.withdrawn_at).is_(None),
            col(Entry.is_held).is_(False),
        )
        .order_by(col(Entry.id).desc())
        .limit(_MOST_COMPARED)
    ).all()
    engine = session.get_bind()
    read = _READ.get(engine, {})
    texts = {(row.id, row.revision): read.get((row.id, row.revision)) for row in rows}
    found = texts | _texts(session, [key for key, text in texts.items() if text is None])
    _READ[engine] = {key: text for key, text in found.items() if text is not None}
    return [
        _Reported(row.id, row.feed_id, row.group_id, text)
        for row in reversed(rows)
        if (text := found[row.id, row.revision]) is not None
    ]


def _texts(session: Session, keys: Sequence[_Key]) -> dict[_Key, Told | None]:
    found: dict[_Key, Told | None] = {}
    for start in range(0, len(keys), _AT_ONCE):
        rows = session.execute(
            sa.select(
                col(EntryRevision.entry_id),
                col(EntryRevision.number),
                col(EntryRevision.title),
                col(EntryRevision.text),
            )
            .join(Entry, sa.and_(col(Entry.id) == col(EntryRevision.entry_id), _is_newest()))
            .where(col(EntryRevision.entry_id).in_([key[0] for key in keys[start : start + _AT_ONCE]]))
        )
        found |= {(entry_id, number): told(title, text) for entry_id, number, title, text in rows}
    return found


def _most_alike(one: _Reported, earlier: Iterable[_Reported]) -> _Reported | None:
    same = [
        each
        for each in earlier
        if is_same_news(each.told, one.told, least=SAME_FEED if each.feed_id == one.feed_id else OTHER_FEED)
    ]
    return max(same, key=lambda each: likeness(each.told, one.told), default=None)


def _joined(session: Session, one: _Reported, known: Iterable[_Reported]) -> _Reported:
    first = _most_alike(one, known)
    if first is None:
        return one
    group_id = first.group_id or first.entry_id
    session.execute(
        sa.update(Entry).where(col(Entry.id).in_([first.entry_id, one.entry_id])).values(group_id=group_id)
    )
    return replace(one, group_id=group_id)


def _is_newest() -> sa.ColumnElement[bool]:
    return sa.and_(
        col(EntryRevision.entry_id) == col(Entry.id), col(EntryRevision.number) == col(Entry.revision)
    )
