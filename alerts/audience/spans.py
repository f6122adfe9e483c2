"""What readers' digests owe them: the spans in which they follow topics at a digest's frequency, and their marks.

A window of a reader's digest is what lies between their mark and the slot's instant, cut by the spans. Whoever
changes a frequency closes a span: what came before is still owed, in one more digest of the old frequency. Whoever
leaves a topic is owed nothing of it, unless they take that back at once. A pause is cut out: an open span ends with its begin, and another waits for its end.
"""

from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlmodel import Session, col, select

from alerts.audience.slots import coming, slot_of
from alerts.db import insert_or_ignore
from alerts.models import DigestMark, DigestSlot, DigestSpan, Diversion, Frequency, Subscriber, table_of

SLIP = timedelta(hours=1)  # who comes back so soon did not mean to leave, or undid it

_SPAN = table_of(DigestSpan)
_MARK = table_of(DigestMark)
_SLOT = table_of(DigestSlot)
_READER = table_of(Subscriber)
_READERS = sa.select(
    _READER.c.id, _READER.c.zone, _READER.c.digest_hour, _READER.c.digest_weekday, _READER.c.paused_until
)


def begin(session: Session, ids: Sequence[int], topic_id: int, frequency: Frequency, now: datetime) -> None:
    """Has readers' digests of this frequency carry a topic from now on, or from the end of their pause.

    Nothing for frequencies that are no digest.
    """
    if not frequency.is_digest or not ids:
        return
    readers = session.execute(_READERS.where(_READER.c.id.in_(ids))).all()
    spans = [
        {
            "subscriber_id": each.id,
            "frequency": frequency,
            "topic_id": topic_id,
            "since": max(now, each.paused_until or now),
            "until": None,
        }
        for each in readers
    ]
    session.connection().execute(insert_or_ignore(session, _SPAN), spans)
    _have_marks(session, readers, frequency, now)


def change(
    session: Session, ids: Sequence[int], topic_id: int, old: Frequency, new: Frequency, now: datetime
) -> None:
    """Has a topic come at another frequency from now on to readers who have the same one; what that owes still comes."""
    if old.is_digest:
        spans = (
            col(DigestSpan.subscriber_id).in_(ids),
            col(DigestSpan.topic_id) == topic_id,
            col(DigestSpan.until).is_(None),
        )
        # What has not begun, in a pause or in this very instant, has nothing that would still come.
        session.exec(sa.delete(DigestSpan).where(*spans, col(DigestSpan.since) >= now))
        session.exec(sa.update(DigestSpan).where(*spans).values(until=now))
    begin(session, ids, topic_id, new, now)


def take_up(
    session: Session, subscriber_id: int, topic_id: int, frequency: Frequency, since: datetime, left: datetime
) -> None:
    """Has a digest still carry what came of a topic from `since` until it was left; `begin` has it go on."""
    if frequency.is_digest and since < left:
        key = {"subscriber_id": subscriber_id, "frequency": frequency, "topic_id": topic_id}
        session.connection().execute(sa.insert(_SPAN), [key | {"since": since, "until": left}])


def pause(session: Session, subscriber_id: int, until: datetime, now: datetime) -> None:
    """Has digests carry nothing of the time from now until then; changes a pause, and ends it when that is now."""
    of_reader = (_SPAN.c.subscriber_id == subscriber_id, _SPAN.c.until.is_(None))
    has_begun = _SPAN.c.since < now
    connection = session.connection()
    connection.execute(sa.update(_SPAN).where(*of_reader, sa.not_(has_begun)).values(since=until))
    if until > now:
        rest = sa.select(
            _SPAN.c.subscriber_id, _SPAN.c.frequency, _SPAN.c.topic_id, sa.literal(until, _SPAN.c.since.type)
        )
        columns = ["subscriber_id", "frequency", "topic_id", "since"]
        connection.execute(sa.insert(_SPAN).from_select(columns, rest.where(*of_reader, has_begun)))
        connection.execute(sa.update(_SPAN).where(*of_reader, has_begun).values(until=now))


def leave_all(session: Session, ids: Sequence[int], now: datetime) -> None:
    """Has no digest of these readers carry anything any more, as `leave` does for one; what was diverted goes, too."""
    marks = sa.update(DigestMark).where(
        col(DigestMark.subscriber_id).in_(ids), col(DigestMark.until).is_(None)
    )
    session.exec(marks.values(until=now))
    session.exec(sa.delete(DigestSpan).where(col(DigestSpan.subscriber_id).in_(ids)))
    session.exec(sa.delete(Diversion).where(col(Diversion.subscriber_id).in_(ids)))


def leave(session: Session, subscriber_id: int, topic_id: int | None, now: datetime) -> None:
    """Has digests carry nothing more of a topic, or of any (None)."""
    _locked_marks(session, subscriber_id)
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


def sweep(session: Session, now: datetime) -> None:
    """Forgets what was diverted to digests that carry nothing any more, once nobody comes back to them."""
    ended = sa.exists().where(
        col(DigestMark.subscriber_id) == Diversion.subscriber_id,
        col(DigestMark.frequency) == Diversion.frequency,
        col(DigestMark.until) <= now - SLIP,
    )
    session.exec(sa.delete(Diversion).where(ended))


def place(session: Session, reader: Subscriber, now: datetime) -> None:
    """Has a reader's digests come at the hour that their row says; their windows go on where they were."""
    assert reader.id is not None, "read from the table"
    for mark in _locked_marks(session, reader.id):
        mark.slot = slot_of(mark.frequency, reader.zone, reader.digest_hour, reader.digest_weekday)
        session.add(mark)
        _have_slot(session, mark.frequency, mark.slot, now)


def _locked_marks(session: Session, subscriber_id: int) -> Sequence[DigestMark]:
    """Locks a reader's marks as a digest's opening does: in this order, and before their spans."""
    query = select(DigestMark).where(DigestMark.subscriber_id == subscriber_id)
    query = query.order_by(DigestMark.frequency).with_for_update()
    return session.exec(query.execution_options(populate_existing=True)).all()


def _have_marks(
    session: Session, readers: Sequence[sa.Row[Any]], frequency: Frequency, now: datetime
) -> None:
    """Makes the marks that are missing, and takes up again those of readers who were owed nothing any more."""
    by_slot: dict[str, list[int]] = defaultdict(list)
    for each in readers:
        slot = slot_of(frequency, each.zone, each.digest_hour, each.digest_weekday)
        by_slot[slot].append(each.id)
    rows = [
        {"subscriber_id": each, "frequency": frequency, "slot": slot, "through": now}
        for slot, members in by_slot.items()
        for each in members
    ]
    for slot in sorted(by_slot):
        _have_slot(session, frequency, slot, now)
    session.connection().execute(insert_or_ignore(session, _MARK), rows)
    ended = sa.update(DigestMark).where(
        col(DigestMark.subscriber_id).in_([each.id for each in readers]),
        col(DigestMark.frequency) == frequency,
    )
    session.exec(ended.where(col(DigestMark.until) <= now - SLIP).values(through=now))
    session.exec(ended.where(col(DigestMark.until).is_not(None)).values(until=None))


def _have_slot(session: Session, frequency: str, slot: str, now: datetime) -> None:
    # Its first instant is missed by nobody: it may pass before anybody looks.
    row = {"frequency": frequency, "slot": slot, "next_at": coming(frequency, slot, now)}
    session.connection().execute(insert_or_ignore(session, _SLOT), [row])
