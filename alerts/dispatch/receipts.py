"""What became of the mails of a lease, written into the ledger: in groups, and after a crash."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

import sqlalchemy as sa
import structlog
from sqlmodel import Session, col, select

from alerts import db
from alerts.audience import suppressions
from alerts.audience.tokens import Keys
from alerts.dispatch import destinations
from alerts.dispatch.outbox import DELIVERY, HELD_DOUBT, SECOND_DOUBT, Lease, backoff, renew
from alerts.failpoints import reach
from alerts.models import Alert, Batch, DeliveryState, Destination, InDoubt, table_of

log = structlog.get_logger()

_FREE_TRIES = 2  # a crash or two are nobody's fault: the batch is free at once
_PAUSE_FIRST, _PAUSE_MOST = timedelta(seconds=5), timedelta(minutes=5)


class Settled(StrEnum):
    """How one try ended."""

    ACCEPTED = "accepted"
    DEFERRED = "deferred"  # a definite no for now, or it never went out
    REFUSED = "refused"  # final for this mail; the address lives
    DEAD = "dead"  # final, and the address is to be suppressed
    UNKNOWN = "unknown"  # the content went out and no reply came


@dataclass(frozen=True, slots=True)
class Receipt:
    """What the SMTP server said to one mail; `reply` is scrubbed of addresses, and empty on success."""

    subscriber_id: int
    settled: Settled
    reason: str
    code: int
    reply: str
    domain: str


def record(session: Session, lease: Lease, receipts: Sequence[Receipt], keys: Keys, now: datetime) -> None:
    """Writes a group of receipts and renews the lease, in one transaction.

    LeaseLost undoes it all; `fold` of the lease's journal then saves the facts among them.
    """
    renew(session, lease, now)
    alert = session.get(Alert, lease.alert_id)
    assert alert is not None, "a batch's alert is a foreign key"
    _write(session, alert, receipts, keys, now)
    reach("record.before_commit")


def fold(
    session: Session,
    lease_key: tuple[int, int, int],
    worker: str,
    receipts: Sequence[Receipt],
    in_doubt: frozenset[int],
    keys: Keys,
    now: datetime,
) -> None:
    """Brings what a journal knows into the ledger and frees the batch (alert, first id, epoch).

    While the lease is still the dead worker's, everything it left is settled: replies as they came,
    begun mails as in doubt, the rest as not sent. Where another worker has taken over since, only
    acceptances count: they are facts, and spare a reader the resend.
    """
    alert_id, first_id, epoch = lease_key
    batch = session.exec(
        select(Batch).where(Batch.alert_id == alert_id, Batch.first_id == first_id).with_for_update()
    ).first()
    alert = session.get(Alert, alert_id)
    if batch is None or alert is None:
        return
    if batch.worker != worker or batch.epoch != epoch:
        _accept_late(session, batch, receipts, now)
        return
    _write(session, alert, receipts, keys, now)
    doubts = [Receipt(each, Settled.UNKNOWN, "", 0, "", "") for each in sorted(in_doubt)]
    _write(session, alert, doubts, keys, now)
    unsent = _unsend(session, batch, now)
    batch.worker, batch.due_at = "", min(now + _pause(batch.tries), max(alert.expires_at, now))
    session.add(batch)
    db.wake(session)
    log.info(
        "journal_folded",
        alert=alert_id,
        batch=first_id,
        receipts=len(receipts),
        in_doubt=len(doubts),
        unsent=unsent,
    )
    reach("fold.before_commit")


def _pause(tries: int) -> timedelta:
    """How long a batch rests that was not finished: one that fails each time must not keep others waiting."""
    return backoff(tries - _FREE_TRIES, _PAUSE_FIRST, _PAUSE_MOST) if tries > _FREE_TRIES else timedelta(0)


def _write(session: Session, alert: Alert, receipts: Sequence[Receipt], keys: Keys, now: datetime) -> None:
    if not receipts:
        return
    dead = _believed(session, receipts, now)
    groups: dict[tuple[object, ...], list[int]] = defaultdict(list)
    for receipt in receipts:
        key = (receipt.settled, receipt.reason, receipt.code, receipt.reply)
        groups[key].append(receipt.subscriber_id)
    for (settled, reason, code, reply), ids in groups.items():
        values = _values(alert, Settled(str(settled)), str(reason))
        session.connection().execute(
            sa.update(DELIVERY)
            .where(DELIVERY.c.alert_id == alert.id, _among(ids))
            .where(DELIVERY.c.state == DeliveryState.SENDING)
            .values(code=code, reply=reply, attempts=DELIVERY.c.attempts + 1, at=now, **values)
        )
    if dead:
        suppressions.suppress_many(
            session, keys.pepper, dead, cause="dead address", origin=f"alert:{alert.id}", now=now
        )
    _set_clock(session, alert, receipts, now)


def _values(alert: Alert, settled: Settled, reason: str) -> dict[str, object]:
    match settled:
        case Settled.ACCEPTED:
            return {"state": DeliveryState.ACCEPTED, "reason": ""}
        case Settled.DEFERRED:
            return {"state": DeliveryState.DEFERRED, "reason": reason}
        case Settled.REFUSED | Settled.DEAD:
            return {"state": DeliveryState.REFUSED, "reason": reason}
        case Settled.UNKNOWN:
            first = HELD_DOUBT if alert.in_doubt == InDoubt.HOLD else ""
            return {
                "state": DeliveryState.UNKNOWN,
                "doubts": DELIVERY.c.doubts + 1,
                "reason": sa.case((DELIVERY.c.doubts >= 1, SECOND_DOUBT), else_=first),
            }


def _among(ids: Sequence[int]) -> sa.ColumnElement[bool]:
    """The ids, and their ends beside them: the range keeps the update on the key's index."""
    return sa.and_(DELIVERY.c.subscriber_id.between(min(ids), max(ids)), DELIVERY.c.subscriber_id.in_(ids))


def _believed(session: Session, receipts: Iterable[Receipt], now: datetime) -> list[tuple[int, str]]:
    """Counts the results by destination; gives the dead (id, evidence) where the dead are believed."""
    by_domain: dict[str, list[Receipt]] = defaultdict(list)
    for receipt in receipts:
        if receipt.domain and receipt.settled in {Settled.ACCEPTED, Settled.REFUSED, Settled.DEAD}:
            by_domain[receipt.domain].append(receipt)
    _watch(session, by_domain, now)
    watched = session.exec(
        select(Destination)
        .where(col(Destination.domain).in_(by_domain))
        .order_by(Destination.domain)  # one order of locks for all workers
        .with_for_update()
    ).all()
    believed: list[tuple[int, str]] = []
    for row in watched:
        own = by_domain[row.domain]
        dead = [receipt for receipt in own if receipt.settled is Settled.DEAD]
        row.recent = destinations.push(row.recent, [each.settled is Settled.DEAD for each in own])
        is_distrusted = destinations.is_distrusted(row.recent)
        if is_distrusted and not row.is_distrusted:
            log.error("destination_distrusted", domain=row.domain, dead=row.recent.count(destinations.DEAD))
        row.is_distrusted, row.changed_at = is_distrusted, now
        session.add(row)
        if not is_distrusted:
            believed += [(each.subscriber_id, f"{each.code} {each.reply}".strip()) for each in dead]
    return believed


def _watch(session: Session, by_domain: Mapping[str, Sequence[Receipt]], now: datetime) -> None:
    """Makes the rows of destinations that report their first dead address: until then none is needed."""
    new = [
        {"domain": domain, "recent": "", "is_distrusted": False, "changed_at": now}
        for domain, own in sorted(by_domain.items())
        if any(receipt.settled is Settled.DEAD for receipt in own)
    ]
    if new:
        table = table_of(Destination)
        session.connection().execute(db.insert_or_ignore(session, table), new)


def _set_clock(session: Session, alert: Alert, receipts: Iterable[Receipt], now: datetime) -> None:
    """Keeps the alert's first and last acceptance; the first is a statement of its own, made once."""
    if not any(receipt.settled is Settled.ACCEPTED for receipt in receipts):
        return
    table = table_of(Alert)
    session.connection().execute(
        sa.update(table)
        .where(table.c.id == alert.id)
        .values(
            first_accepted_at=sa.func.coalesce(
                table.c.first_accepted_at, sa.literal(now, table.c.done_at.type)
            ),
            last_accepted_at=now,
        )
    )


def _unsend(session: Session, batch: Batch, now: datetime) -> int:
    """Marks what the lease opened and never began as deferred: it is certain that it did not go out."""
    return (
        session.connection()
        .execute(
            sa.update(DELIVERY)
            .where(DELIVERY.c.alert_id == batch.alert_id)
            .where(DELIVERY.c.subscriber_id.between(batch.first_id, batch.last_id))
            .where(DELIVERY.c.state == DeliveryState.SENDING)
            .values(state=DeliveryState.DEFERRED, reason="interrupted before it was sent", at=now)
        )
        .rowcount
    )


def _accept_late(session: Session, batch: Batch, receipts: Sequence[Receipt], now: datetime) -> None:
    ids = [each.subscriber_id for each in receipts if each.settled is Settled.ACCEPTED]
    if not ids:
        return
    session.connection().execute(
        sa.update(DELIVERY)
        .where(DELIVERY.c.alert_id == batch.alert_id, _among(ids))
        .where(DELIVERY.c.state == DeliveryState.UNKNOWN)
        .values(state=DeliveryState.ACCEPTED, reason="", code=250, at=now)
    )
