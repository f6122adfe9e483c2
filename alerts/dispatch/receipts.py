"""What became of the mails of a lease, written into the ledger: in groups, and after a crash."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

import sqlalchemy as sa
import structlog
from sqlmodel import Session

from alerts import db
from alerts.audience import suppressions
from alerts.audience.tokens import Keys
from alerts.dispatch import destinations
from alerts.dispatch.outbox import (
    ALERT,
    BATCH,
    DELIVERY,
    HELD_DOUBT,
    IN_SPAN,
    OF_BATCH,
    SECOND_DOUBT,
    THESE,
    Lease,
    Span,
    backoff,
    renew,
)
from alerts.failpoints import reach
from alerts.models import DeliveryState, Destination, InDoubt, table_of

log = structlog.get_logger()

DESTINATION = table_of(Destination)

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
    domain: str  # empty where the transport refused our own sender address
    transport: str = ""  # a journal does not say


def record(session: Session, lease: Lease, receipts: Sequence[Receipt], keys: Keys, now: datetime) -> None:
    """Writes a group of receipts and renews the lease, in one transaction.

    LeaseLost undoes it all; `fold` of the lease's journal then saves the facts among them.
    """
    hold_dead(session, receipts)
    renew(session, lease, now)
    _write(session, lease.span, lease.terms.in_doubt, receipts, keys, now)
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
    connection = session.connection()
    hold_dead(session, receipts)
    batch = connection.execute(_LEASED, {"of_alert": alert_id, "first": first_id}).first()
    if batch is None:
        return
    span = Span(alert_id, first_id, batch.last_id)
    if batch.worker != worker or batch.epoch != epoch:
        _accept_late(session, span, receipts, now)
        return
    doubts = [Receipt(each, Settled.UNKNOWN, "", 0, "", "") for each in sorted(in_doubt)]
    _write(session, span, batch.in_doubt, [*receipts, *doubts], keys, now)
    unsent = _unsend(session, span, now)
    due = min(now + _pause(batch.tries), max(batch.expires_at, now))
    connection.execute(_FREE, span.values | {"until": due})
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


def hold_dead(session: Session, receipts: Sequence[Receipt]) -> None:
    """Holds the readers whom these receipts may have suppressed: they are locked before what the receipts are about."""
    dead = [each.subscriber_id for each in receipts if each.settled is Settled.DEAD and each.domain]
    if dead:
        suppressions.hold_readers(session, dead)


def suppress_dead(
    session: Session, receipts: Sequence[Receipt], keys: Keys, origin: str, now: datetime
) -> None:
    """Suppresses the readers whose address is dead by these receipts, where their destination is believed."""
    if dead := _believed(session, receipts, now):
        suppressions.suppress_many(session, keys.pepper, dead, cause="dead address", origin=origin, now=now)


_LEASED = (
    sa.select(
        BATCH.c.last_id, BATCH.c.worker, BATCH.c.epoch, BATCH.c.tries, ALERT.c.in_doubt, ALERT.c.expires_at
    )
    .join(ALERT, ALERT.c.id == BATCH.c.alert_id)
    .where(*OF_BATCH)
    .with_for_update(of=BATCH)
)
_FREE = sa.update(BATCH).where(*OF_BATCH).values(worker="", due_at=sa.bindparam("until"), retry_at=None)


def _pause(tries: int) -> timedelta:
    """How long a batch rests that was not finished: one that fails each time must not keep others waiting."""
    return backoff(tries - _FREE_TRIES, _PAUSE_FIRST, _PAUSE_MOST) if tries > _FREE_TRIES else timedelta(0)


def _write(
    session: Session, span: Span, in_doubt: str, receipts: Sequence[Receipt], keys: Keys, now: datetime
) -> None:
    if not receipts:
        return
    dead = _believed(session, receipts, now)
    groups: dict[tuple[Settled, str, int, str], list[int]] = defaultdict(list)
    for receipt in receipts:
        key = (receipt.settled, receipt.reason, receipt.code, receipt.reply)
        groups[key].append(receipt.subscriber_id)
    held = HELD_DOUBT if in_doubt == InDoubt.HOLD else ""
    rows = [
        span.values
        | _state(settled, reason, held)
        | {"ids": ids, "with_code": code, "with_reply": reply, "now": now}
        for (settled, reason, code, reply), ids in groups.items()
    ]
    session.connection().execute(_SETTLE, rows)
    if dead:
        suppressions.suppress_many(
            session, keys.pepper, dead, cause="dead address", origin=f"alert:{span.alert_id}", now=now
        )
    if any(receipt.settled is Settled.ACCEPTED for receipt in receipts):
        moment = {"of_alert": span.alert_id, "now": now, "before": now - _CLOCK_STEP}
        session.connection().execute(_SET_CLOCK, moment)


def _state(settled: Settled, reason: str, held: str) -> dict[str, object]:
    match settled:
        case Settled.ACCEPTED:
            return {"as_state": DeliveryState.ACCEPTED, "because": "", "doubt": 0}
        case Settled.DEFERRED:
            return {"as_state": DeliveryState.DEFERRED, "because": reason, "doubt": 0}
        case Settled.REFUSED | Settled.DEAD:
            return {"as_state": DeliveryState.REFUSED, "because": reason, "doubt": 0}
        case Settled.UNKNOWN:
            return {"as_state": DeliveryState.UNKNOWN, "because": held, "doubt": 1}


_DOUBT = sa.bindparam("doubt", type_=sa.Integer)
_SETTLE = (
    sa.update(DELIVERY)
    .where(*THESE, DELIVERY.c.state == DeliveryState.SENDING)
    .values(
        state=sa.bindparam("as_state"),
        reason=sa.case(
            (sa.and_(_DOUBT == 1, DELIVERY.c.doubts >= 1), SECOND_DOUBT),
            else_=sa.bindparam("because", type_=sa.Text),
        ),
        code=sa.bindparam("with_code"),
        reply=sa.bindparam("with_reply"),
        attempts=DELIVERY.c.attempts + 1,
        doubts=DELIVERY.c.doubts + _DOUBT,
        at=sa.bindparam("now"),
    )
)
# The alert's first and last acceptance. Not each time: all who record would wait for one another at the alert's row, and
# for a flush each. A batch's close makes the last one exact.
_CLOCK_STEP = timedelta(seconds=1)
_SET_CLOCK = (
    sa.update(ALERT)
    .where(
        ALERT.c.id == sa.bindparam("of_alert"),
        sa.or_(ALERT.c.last_accepted_at.is_(None), ALERT.c.last_accepted_at < sa.bindparam("before")),
    )
    .values(
        first_accepted_at=sa.func.coalesce(
            ALERT.c.first_accepted_at, sa.bindparam("now", type_=ALERT.c.first_accepted_at.type)
        ),
        last_accepted_at=sa.bindparam("now", type_=ALERT.c.first_accepted_at.type),
    )
)


def _believed(session: Session, receipts: Sequence[Receipt], now: datetime) -> list[tuple[int, str]]:
    """Counts the results by destination; gives the dead (id, evidence) where the dead are believed."""
    told: dict[str, list[Receipt]] = defaultdict(list)
    for each in receipts:
        if each.domain and each.settled in _TOLD:
            told[each.domain].append(each)
    if not told:
        return []
    _watch(session, told, now)
    believed: list[tuple[int, str]] = []
    pushed: list[dict[str, object]] = []
    for row in _stirred(session, told):
        own = told[row.domain]
        recent = _pushed(row.recent, own)
        is_distrusted = destinations.is_distrusted(recent)
        if is_distrusted and not row.is_distrusted:
            log.error("destination_distrusted", domain=row.domain, dead=recent.count(destinations.DEAD))
        pushed.append({"of_domain": row.domain, "results": recent, "is_ill": is_distrusted, "now": now})
        if not is_distrusted:
            dead = [each for each in own if each.settled is Settled.DEAD]
            believed += [(each.subscriber_id, f"{each.code} {each.reply}".strip()) for each in dead]
    if pushed:
        session.connection().execute(_PUSH, pushed)
    return believed


def _stirred(session: Session, told: Mapping[str, Sequence[Receipt]]) -> Sequence[sa.Row[Any]]:
    """Locks the watched destinations of which these results say something new; gives them.

    Nearly all are well, and stay so: workers must not wait for one another over those.
    """
    watched = session.connection().execute(_WATCHED, {"domains": [*told]}).all()
    stirred = [row.domain for row in watched if _pushed(row.recent, told[row.domain]) != row.recent]
    return session.connection().execute(_LOCKED, {"domains": stirred}).all() if stirred else []


def _pushed(recent: str, receipts: Sequence[Receipt]) -> str:
    return destinations.push(recent, [each.settled is Settled.DEAD for each in receipts])


def _watch(session: Session, told: Mapping[str, Sequence[Receipt]], now: datetime) -> None:
    """Makes the rows of destinations that report their first dead address: until then none is needed."""
    new = [
        {"domain": domain, "recent": "", "is_distrusted": False, "changed_at": now}
        for domain, own in sorted(told.items())
        if any(each.settled is Settled.DEAD for each in own)
    ]
    if new:
        session.connection().execute(db.insert_or_ignore(session, DESTINATION), new)


# What says whether an address lives.
_TOLD = (Settled.ACCEPTED, Settled.REFUSED, Settled.DEAD)
_WATCHED = sa.select(DESTINATION).where(db.among(DESTINATION.c.domain, "domains"))
_LOCKED = _WATCHED.order_by(DESTINATION.c.domain).with_for_update()  # one order of locks for all workers
_PUSH = (
    sa.update(DESTINATION)
    .where(DESTINATION.c.domain == sa.bindparam("of_domain"))
    .values(
        recent=sa.bindparam("results"), is_distrusted=sa.bindparam("is_ill"), changed_at=sa.bindparam("now")
    )
)


def _unsend(session: Session, span: Span, now: datetime) -> int:
    """Marks what the lease opened and never began as deferred: it is certain that it did not go out."""
    return session.connection().execute(_UNSEND, span.values | {"now": now}).rowcount


_UNSEND = (
    sa.update(DELIVERY)
    .where(*IN_SPAN, DELIVERY.c.state == DeliveryState.SENDING)
    .values(state=DeliveryState.DEFERRED, reason="interrupted before it was sent", at=sa.bindparam("now"))
)


def _accept_late(session: Session, span: Span, receipts: Sequence[Receipt], now: datetime) -> None:
    ids = [each.subscriber_id for each in receipts if each.settled is Settled.ACCEPTED]
    if ids:
        session.connection().execute(_ACCEPT_LATE, span.values | {"ids": ids, "now": now})


_ACCEPT_LATE = (
    sa.update(DELIVERY)
    .where(*THESE, DELIVERY.c.state.in_([DeliveryState.UNKNOWN, DeliveryState.DEFERRED]))
    .values(state=DeliveryState.ACCEPTED, reason="", code=250, at=sa.bindparam("now"))
)
