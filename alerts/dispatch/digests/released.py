"""What was released, and how its entries stand: read once for a digest, for all its chunks."""

from bisect import bisect_left
from collections import OrderedDict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from operator import attrgetter
from typing import Any
from weakref import WeakKeyDictionary

import sqlalchemy as sa
from sqlmodel import Session

from alerts import db
from alerts.dispatch.digests.window import Told, Window
from alerts.models import Alert, AlertEntry, AlertState, Entry, EntryRevision, Frequency, table_of

ALERT = table_of(Alert)
ALERT_ENTRY = table_of(AlertEntry)
ENTRY = table_of(Entry)
REVISION = table_of(EntryRevision)

OUT = (AlertState.RELEASED, AlertState.DONE)
IS_OF_AN_ENTRY = sa.or_(ALERT.c.cause_key.startswith("entry:"), ALERT.c.cause_key.startswith("flash:"))

UPDATED = "updated"
CORRECTED = "corrected"

_KEPT_WINDOWS = 8
# By database: what the last digests look back on, and how far. It does not change, so each chunk reads on.
_WINDOWS: WeakKeyDictionary[object, OrderedDict[int, tuple[datetime, tuple[Told, ...]]]] = WeakKeyDictionary()


@dataclass(frozen=True, slots=True)
class Text:
    """An entry's newest text, and what became of it since the entry was announced."""

    revision: int
    mark: str


def window(
    session: Session, digest_id: int, since: datetime, until: datetime, also: Collection[int]
) -> Window:
    """Gives what was released in [since, until), for one digest, and some earlier alerts beside it."""
    kept = _WINDOWS.setdefault(session.get_bind(), OrderedDict())
    begin, told = kept.pop(digest_id, (until, ()))
    if since < begin:
        told = (*_told(session, _RELEASED, {"since": since, "until": begin}), *told)
    kept[digest_id] = min(since, begin), told
    while len(kept) > _KEPT_WINDOWS:
        kept.popitem(last=False)
    # Of a chunk whose readers all got their last one: others' windows begin long before, as after a pause.
    told = told[bisect_left(told, since, key=attrgetter("released_at")) :]
    missing = {*also} - {each.alert_id for each in told}
    if missing:
        told = (*told, *_told(session, _THESE, {"alerts": sorted(missing)}))
    return Window(sorted(told, key=lambda each: (each.released_at, each.alert_id)))


def texts(session: Session, told: Iterable[Told]) -> Mapping[int, Text]:
    """Gives the newest texts of the entries of these alerts; those their publisher took back are not among them."""
    connection = session.connection()
    announced: dict[int, int] = {}
    late_marks: set[int] = set()
    for each in told:
        announced.setdefault(each.entry_id, each.revision)
        if each.is_late_mark:
            late_marks.add(each.entry_id)
    if late_marks:  # what was announced before may lie before the window
        firsts = connection.execute(_FIRST, {"entries": sorted(late_marks)})
        announced.update({row.entry_id: row.revision for row in firsts})
    rows = connection.execute(_STANDING, {"entries": sorted(announced)}).all()
    edited = {id_ for id_, revision in rows if revision != announced[id_]}
    corrections: set[int] = set()
    if edited:
        found = connection.execute(_CORRECTIONS, {"entries": sorted(edited)})
        corrections = {id_ for id_, number in found if number > announced[id_]}
    return {
        id_: Text(revision, CORRECTED if id_ in corrections else UPDATED if id_ in edited else "")
        for id_, revision in rows
    }


def newest(session: Session, before: datetime) -> datetime | None:
    """Gives when the last alert about an entry was released before an instant."""
    found: datetime | None = session.connection().execute(_NEWEST, {"before": before}).scalar()
    return found


def topics_of(audience: Mapping[str, Collection[str]]) -> frozenset[int]:
    """Gives the topics for which digests carry an alert: those whose `every` readers it is for."""
    return frozenset(int(topic) for topic, wanted in audience.items() if Frequency.EVERY in wanted)


def _told(session: Session, query: sa.Select[Any], values: Mapping[str, object]) -> list[Told]:
    return [
        Told(
            row.id,
            row.entry_id,
            row.revision,
            row.released_at,
            topics_of(row.audience),
            is_late_mark=row.cause_key.startswith("flash:"),
        )
        for row in session.connection().execute(query, values)
    ]


_OF_ENTRIES = (
    sa.select(
        ALERT.c.id,
        ALERT.c.cause_key,
        ALERT.c.released_at,
        ALERT.c.audience,
        ALERT_ENTRY.c.entry_id,
        ALERT_ENTRY.c.revision,
    )
    .join(ALERT_ENTRY, ALERT_ENTRY.c.alert_id == ALERT.c.id)
    .where(ALERT.c.state.in_(OUT), IS_OF_AN_ENTRY)
    .order_by(ALERT.c.released_at, ALERT.c.id)
)
_RELEASED = _OF_ENTRIES.where(
    ALERT.c.released_at >= sa.bindparam("since"), ALERT.c.released_at < sa.bindparam("until")
)
_THESE = _OF_ENTRIES.where(db.among(ALERT.c.id, "alerts"))
_STANDING = sa.select(ENTRY.c.id, ENTRY.c.revision).where(
    db.among(ENTRY.c.id, "entries"), ENTRY.c.withdrawn_at.is_(None)
)
_FIRST = (
    sa.select(ALERT_ENTRY.c.entry_id, sa.func.min(ALERT_ENTRY.c.revision).label("revision"))
    .join(ALERT, ALERT_ENTRY.c.alert_id == ALERT.c.id)
    .where(db.among(ALERT_ENTRY.c.entry_id, "entries"), ALERT.c.state.in_(OUT), IS_OF_AN_ENTRY)
    .group_by(ALERT_ENTRY.c.entry_id)
)
_CORRECTIONS = sa.select(REVISION.c.entry_id, REVISION.c.number).where(
    db.among(REVISION.c.entry_id, "entries"), REVISION.c.is_correction
)
_NEWEST = (
    sa.select(ALERT.c.released_at)
    .where(ALERT.c.released_at < sa.bindparam("before"), ALERT.c.state.in_(OUT), IS_OF_AN_ENTRY)
    .order_by(ALERT.c.released_at.desc())
    .limit(1)
)
