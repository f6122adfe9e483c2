"""What readers' digests owe them: the spans in which they follow topics at a digest's frequency, and their marks.

A window of a reader's digest is what lies between their mark and the slot's instant, cut by the spans. Whoever
changes a frequency closes a span: what came before is still owed, in one more digest of the old frequency. Whoever
leaves a topic is owed nothing of it.
"""

from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime

import sqlalchemy as sa
from sqlmodel import Session, col, select

from alerts.audience.slots import coming, slot_of
from alerts.db import insert_or_ignore
from alerts.models import DigestMark, DigestSlot, DigestSpan, Diversion, Frequency, Subscriber, table_of

_SPAN = table_of(DigestSpan)
_MARK = table_of(DigestMark)
_SLOT = table_of(DigestSlot)


def begin(session: Session, ids: Sequence[int], topic_id: int, frequency: Frequency, now: datetime) -> None:
    """Has readers' digests of this frequency carry a topic from now on; nothing for frequencies that are no digest."""
    if not frequency.is_digest or not ids:
        return
    span = {"frequency": frequency, "topic_id": topic_id, "since": now, "until": None}
    session.connection().execute(
        insert_or_ignore(session, _SPAN), [{"subscriber_id": each, **span} for each in ids]
    )
    # A change and its undoing within one instant is one span.
    again = (
        sa.update(DigestSpan)
        .where(
            col(DigestSpan.subscriber_id).in_(ids),
            col(DigestSpan.frequency) == frequency,
            col(DigestSpan.topic_id) == topic_id,
            col(DigestSpan.since) == now,
        )
        .values(until=None)
    )
    session.exec(again)
    _have_marks(session, ids, frequency, now)


def change(
    session: Session, subscriber_id: int, topic_id: int, old: Frequency, new: Frequency, now: datetime
) -> None:
    """Has a topic come at another frequency from now on; what the old one owes so far still comes."""
    change_many(session, [subscriber_id], topic_id, old, new, now)


def change_many(
    session: Session, ids: Sequence[int], topic_id: int, old: Frequency, new: Frequency, now: datetime
) -> None:
    """Changes the frequency of many readers who have the same one, as `change` does one's."""
    if old.is_digest:
        session.exec(_open_spans(ids, topic_id).values(until=now))
    begin(session, ids, topic_id, new, now)


def leave_all(session: Session, ids: Sequence[int], now: datetime) -> None:
    """Has no digest of these readers carry anything any more, as `leave` does for one."""
    session.exec(sa.delete(DigestSpan).where(col(DigestSpan.subscriber_id).in_(ids)))
    marks = sa.update(DigestMark).where(
        col(DigestMark.subscriber_id).in_(ids), col(DigestMark.until).is_(None)
    )
    session.exec(marks.values(until=now))


def leave(session: Session, subscriber_id: int, topic_id: int | None, now: datetime) -> None:
    """Has digests carry nothing more of a topic, or of any (None)."""
    gone = sa.delete(DigestSpan).where(col(DigestSpan.subscriber_id) == subscriber_id)
    session.exec(gone if topic_id is None else gone.where(col(DigestSpan.topic_id) == topic_id))
    owed = select(DigestSpan.frequency).where(DigestSpan.subscriber_id == subscriber_id)
    session.exec(
        sa.update(DigestMark)
        .where(
            col(DigestMark.subscriber_id) == subscriber_id,
            col(DigestMark.until).is_(None),
            col(DigestMark.frequency).not_in(owed),
        )
        .values(until=now)
    )
    diverted = sa.delete(Diversion).where(col(Diversion.subscriber_id) == subscriber_id)
    session.exec(diverted.where(col(Diversion.frequency).not_in(owed)))


def place(session: Session, reader: Subscriber, now: datetime) -> None:
    """Has a reader's digests come at the hour that their row says; their windows go on where they were."""
    marks = select(DigestMark).where(DigestMark.subscriber_id == reader.id)
    # In the order in which digests lock them.
    for mark in session.exec(marks.order_by(DigestMark.frequency).with_for_update()).all():
        mark.slot = slot_of(mark.frequency, reader.zone, reader.digest_hour, reader.digest_weekday)
        session.add(mark)
        _have_slot(session, mark.frequency, mark.slot, now)


def _open_spans(ids: Sequence[int], topic_id: int) -> sa.Update:
    return sa.update(DigestSpan).where(
        col(DigestSpan.subscriber_id).in_(ids),
        col(DigestSpan.topic_id) == topic_id,
        col(DigestSpan.until).is_(None),
    )


def _have_marks(session: Session, ids: Sequence[int], frequency: Frequency, now: datetime) -> None:
    """Makes the marks that are missing, and takes up again those of readers who were owed nothing any more."""
    query = select(Subscriber.id, Subscriber.zone, Subscriber.digest_hour, Subscriber.digest_weekday)
    by_slot: dict[str, list[int]] = defaultdict(list)
    for id_, zone, hour, weekday in session.exec(query.where(col(Subscriber.id).in_(ids))):
        by_slot[slot_of(frequency, zone, hour, weekday)].append(id_ or 0)
    rows = [
        {"subscriber_id": each, "frequency": frequency, "slot": slot, "through": now}
        for slot, members in by_slot.items()
        for each in members
    ]
    for slot in sorted(by_slot):
        _have_slot(session, frequency, slot, now)
    session.connection().execute(insert_or_ignore(session, _MARK), rows)
    session.exec(
        sa.update(DigestMark)
        .where(
            col(DigestMark.subscriber_id).in_(ids),
            col(DigestMark.frequency) == frequency,
            col(DigestMark.until).is_not(None),
        )
        .values(until=None, through=now)
    )


def _have_slot(session: Session, frequency: str, slot: str, now: datetime) -> None:
    # Its first instant is missed by nobody: it may pass before anybody looks.
    row = {"frequency": frequency, "slot": slot, "next_at": coming(frequency, slot, now)}
    session.connection().execute(insert_or_ignore(session, _SLOT), [row])
