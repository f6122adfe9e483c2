"""An import, taken back: what it changed and nobody has touched since."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime

import sqlalchemy as sa
from sqlmodel import Session, col, select

from alerts.audience import history, spans, subscribers, suppressions
from alerts.audience.lists.applying import actor
from alerts.audience.lists.staging import SLICE, UNDO_FOR, audit, count, drop_lines, locked, next_lines
from alerts.errors import Conflict
from alerts.models import (
    Frequency,
    ImportBatch,
    ImportChange,
    ImportState,
    Subscriber,
    SubscriberState,
    Subscription,
    SubscriptionEvent,
)

TAKEN_BACK = "taken back"
KEPT = "left alone"
_SLICE = 50
_NOBODYS_CHOICE = ("suppress", "release", "erase")  # events that are no word of the reader's


def begin(session: Session, import_id: int, *, by: str, now: datetime) -> None:
    """Has an import taken back, also one that is only half applied; Conflict when there is nothing to take back."""
    batch = locked(session, import_id)
    if batch.state not in {ImportState.APPLYING, ImportState.APPLIED}:
        raise Conflict(f"Import {import_id} cannot be undone: it is {batch.state}.")
    if batch.ended_at is not None and batch.ended_at <= now - UNDO_FOR:
        raise Conflict(f"Import {import_id} cannot be undone any more: it was {UNDO_FOR.days} days ago.")
    batch.state, batch.step, batch.line, batch.touched_at = ImportState.UNDOING, -1, 0, now
    batch.ended_at = None
    session.add(batch)
    audit(session, "import-undo", import_id, {}, by, now)


def undo_slice(session: Session, pepper: bytes, import_id: int, now: datetime) -> int:
    """Takes the next changes back and gives how many; 0 when that was all. Several may call it at once."""
    batch = locked(session, import_id)
    if batch.state != ImportState.UNDOING:
        return 0
    batch.touched_at = now
    session.add(batch)
    if staged := next_lines(session, batch, SLICE):  # it was undone before all of it was applied
        drop_lines(session, staged)
        return len(staged)
    query = select(ImportChange).where(ImportChange.import_id == import_id, ImportChange.kept == "")
    changes = session.exec(query.order_by(col(ImportChange.id)).limit(_SLICE)).all()
    if changes:
        _take_back(session, pepper, batch, changes, now)
        return len(changes)
    since = batch.sealed_at or batch.made_at
    origin = actor(batch)
    released = suppressions.release_origin(
        session, pepper, origin, since=since, limit=SLICE, by=origin, now=now
    )
    if released:
        return released
    batch.state, batch.ended_at = ImportState.UNDONE, now
    audit(session, "import-undone", import_id, dict(batch.counts), batch.by, now)
    return 0


def _take_back(
    session: Session, pepper: bytes, batch: ImportBatch, changes: Sequence[ImportChange], now: datetime
) -> None:
    suppressions.take_turns(session)
    readers = {
        each.id: each
        for each in session.exec(
            select(Subscriber)
            .where(col(Subscriber.id).in_({each.subscriber_id for each in changes}))
            .order_by(col(Subscriber.id))
            .with_for_update(key_share=True)
        )
    }
    others = _done_by_others(session, batch, changes)
    done: list[ImportChange] = []
    new: list[int] = []
    for each in changes:
        reader = readers.get(each.subscriber_id)
        if reader is None or reader.state == SubscriberState.ERASED or reader.id in new:
            done.append(each)
        elif why := _why_kept(session, pepper, batch, each, reader, others):
            each.kept = why
            if each.kind == "suppress":
                suppressions.disown(session, pepper, reader.address_key or "", actor(batch))
        elif each.kind == "new":
            new.append(each.subscriber_id)
            done.append(each)
        else:
            _restore(session, pepper, batch, each, reader, now)
            done.append(each)
        session.add(each)
    subscribers.erase_many(session, new, by=actor(batch), now=now)
    count(batch, [TAKEN_BACK] * len(done) + [KEPT] * (len(changes) - len(done)))
    session.flush()
    session.exec(sa.delete(ImportChange).where(col(ImportChange.id).in_([each.id for each in done])))


def _why_kept(
    session: Session,
    pepper: bytes,
    batch: ImportBatch,
    done: ImportChange,
    reader: Subscriber,
    others: Mapping[int, Sequence[SubscriptionEvent]],
) -> str:
    """Tells why a change is left alone; empty when it is taken back."""
    if done.kind == "suppress":
        key = reader.address_key or ""
        if suppressions.origin_of(session, pepper, key) not in {None, actor(batch)}:
            return "is suppressed for another reason since"
    topic_id = None if done.kind == "new" else done.topic_id
    since = [
        each
        for each in others.get(done.subscriber_id, ())
        if each.at >= done.at and history.is_about(each, topic_id)
    ]
    if not since:
        return ""
    if all(each.by.startswith(suppressions.IMPORT) for each in since):
        return "is in another import, too"
    return "has chosen for themselves since" if topic_id is None else "has changed or left this topic since"


def _done_by_others(
    session: Session, batch: ImportBatch, changes: Sequence[ImportChange]
) -> Mapping[int, Sequence[SubscriptionEvent]]:
    """Gives what somebody else did to each reader, of which imports that are undone are nobody, but for opt-outs."""
    undone = session.exec(select(ImportBatch).where(ImportBatch.state == ImportState.UNDONE)).all()
    nobodys = {actor(each) for each in undone}
    query = select(SubscriptionEvent).where(
        col(SubscriptionEvent.subscriber_id).in_({each.subscriber_id for each in changes}),
        SubscriptionEvent.by != actor(batch),
        col(SubscriptionEvent.kind).not_in(_NOBODYS_CHOICE),
    )
    found: dict[int, list[SubscriptionEvent]] = defaultdict(list)
    for event in session.exec(query):
        is_opt_out = event.kind == history.LEFT or (event.kind == history.NAMED and not event.detail)
        if is_opt_out or event.by not in nobodys:
            found[event.subscriber_id].append(event)
    return found


def _restore(
    session: Session,
    pepper: bytes,
    batch: ImportBatch,
    done: ImportChange,
    reader: Subscriber,
    now: datetime,
) -> None:
    """Puts one subscription back to what it was."""
    reader_id = done.subscriber_id
    if done.kind == "suppress":
        _release(session, pepper, batch, reader, now)
        return
    if done.topic_id is None:
        reader.state = SubscriberState.ACTIVE
        session.add(reader)
        return
    held = session.get(Subscription, (reader_id, done.topic_id))
    assert held is not None, "a subscription that somebody had is never deleted"
    match done.kind:
        case "away":
            session.delete(held)
        case "change":
            subscribers.change_frequency(session, [held], Frequency(done.before), now)
        case "follow":
            held.until = now
            spans.leave(session, reader_id, done.topic_id, now)
        case "leave":
            held.until = None
            spans.begin(session, [reader_id], done.topic_id, Frequency(held.frequency), now)
            reader.state = SubscriberState.ACTIVE
    session.add(
        SubscriptionEvent(
            subscriber_id=reader_id,
            topic_id=done.topic_id,
            kind=history.UNDONE,
            detail=done.before,
            by=actor(batch),
            at=now,
        )
    )


def _release(session: Session, pepper: bytes, batch: ImportBatch, reader: Subscriber, now: datetime) -> None:
    """Lets a reader be mailed again whom the import suppressed, and nobody else for a reason of their own."""
    key = reader.address_key or ""
    if suppressions.origin_of(session, pepper, key) == actor(batch):
        suppressions.release(session, pepper, key, by=actor(batch), now=now)
