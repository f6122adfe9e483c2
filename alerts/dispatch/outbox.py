"""The outbox: claim a batch of an alert's readers, prolong the claim, close it.

Leases spread the work; the key (alert, subscriber) of the delivery row, committed before the first byte
goes to SMTP, is the right to send. Which is why a second worker, a retried batch or a restarted daemon
changes nothing. `opening` makes those rows and `receipts` records what came of them;
`docs/explanation/outbox.md` has the state diagram.
"""

from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import sqlalchemy as sa
import structlog
from sqlmodel import Session, col, select

from alerts import clocks, db
from alerts.dispatch import audience
from alerts.dispatch.eligible import AlertRule
from alerts.errors import LeaseLost
from alerts.failpoints import reach
from alerts.models import (
    Alert,
    AlertEntry,
    AlertState,
    Batch,
    Delivery,
    DeliveryState,
    InDoubt,
    Lane,
    table_of,
)

log = structlog.get_logger()

BATCH = table_of(Batch)
DELIVERY = table_of(Delivery)

# Always both ends: a fresh alert id alone has no statistics, and updates by it are quadratic.
IN_SPAN = (
    DELIVERY.c.alert_id == sa.bindparam("of_alert"),
    DELIVERY.c.subscriber_id.between(sa.bindparam("first"), sa.bindparam("last")),
)
THESE = (*IN_SPAN, db.among(DELIVERY.c.subscriber_id, "ids"))

# Why a row that is in doubt will not be sent again by itself; an empty reason means it will.
SECOND_DOUBT = "in doubt twice: settled for good"
HELD_DOUBT = "in doubt: the feed's policy holds it"


@dataclass(frozen=True, slots=True)
class Terms:
    """What an alert's mails are decided by. Nothing of it changes once an alert is released: a lease takes it along."""

    rule: AlertRule
    content: str  # its entries and their revisions
    in_doubt: str
    after_alert_id: int | None


@dataclass(frozen=True, slots=True)
class Span:
    """The readers of one batch: subscriber ids of one alert, both ends included."""

    alert_id: int
    first_id: int
    last_id: int

    @property
    def values(self) -> dict[str, object]:
        """What the statements with `IN_SPAN` bind."""
        return {"of_alert": self.alert_id, "first": self.first_id, "last": self.last_id}


@dataclass(frozen=True, slots=True)
class Lease:
    """The right to work on one batch until `deadline`, seconds of the boot-time clock."""

    alert_id: int
    first_id: int
    last_id: int
    worker: str
    epoch: int
    tries: int
    deadline: float
    length: timedelta
    terms: Terms = field(compare=False, repr=False)

    @property
    def name(self) -> str:
        return f"{self.alert_id}-{self.first_id}-{self.epoch}"

    @property
    def span(self) -> Span:
        return Span(self.alert_id, self.first_id, self.last_id)


def claim(
    session: Session,
    worker: str,
    *,
    size: int,
    length: timedelta,
    now: datetime,
    prefer: Lane | None = None,
    but_not: Collection[tuple[int, int]] = (),
) -> Lease | None:
    """Leases the next batch in lane order: one that is due again, else one carved from an alert.

    `prefer` names a lane to serve first this time (the digests' minimum share); others follow if it is
    empty. `but_not` are batches (alert, first id) that the worker may not take over yet. The lease's deadline counts from before the transaction, so it is never later than the row's.
    """
    began = clocks.boot_time()
    for rank in (prefer.rank, None) if prefer else (None,):
        batch = _next_batch(session, rank, size, now, but_not)
        if batch is not None:
            lease = _take(session, batch, worker, length, now, began)
            reach("claim.before_commit")
            return lease
    return None


def renew(session: Session, lease: Lease, now: datetime) -> int:
    """Prolongs the lease by its length from now, and gives the id up to which the batch is opened.

    LeaseLost when the batch is another's, or nobody's. The batch's row is locked from here on.
    """
    values = {
        "of_alert": lease.alert_id,
        "of_first": lease.first_id,
        "of_worker": lease.worker,
        "of_epoch": lease.epoch,
        "now": now,
        "until": now + lease.length,
    }
    opened_to: int | None = session.connection().execute(_RENEW, values).scalar_one_or_none()
    if opened_to is None:
        raise LeaseLost(f"The lease on batch {lease.name} has run out.")
    return opened_to


_RENEW = (
    sa.update(BATCH)
    .where(
        BATCH.c.alert_id == sa.bindparam("of_alert"),
        BATCH.c.first_id == sa.bindparam("of_first"),
        BATCH.c.worker == sa.bindparam("of_worker"),
        BATCH.c.epoch == sa.bindparam("of_epoch"),
        BATCH.c.due_at > sa.bindparam("now"),
    )
    .values(due_at=sa.bindparam("until"))
    .returning(BATCH.c.opened_to)
)


def close(session: Session, lease: Lease, now: datetime, first: timedelta, most: timedelta) -> bool:
    """Ends the lease: for good when every row is in a final state, else until the next try; gives which.

    Waits double from `first` up to `most`, and never reach past the alert's time to live, so that what
    expires is recorded then. The alert is done when its last batch is.
    """
    renew(session, lease, now)
    alert = session.exec(select(Alert).where(Alert.id == lease.alert_id).with_for_update()).one()
    owed, unsettled = _count(session, lease)
    if unsettled:
        due = min(now + backoff(lease.tries, first, most), max(alert.expires_at, now))
        values = {"worker": "", "due_at": due}
    else:
        values = {"worker": "", "due_at": None, "closed_at": now, "owed": owed}
    session.connection().execute(sa.update(BATCH).where(*is_batch(lease)).values(**values))
    if not unsettled:
        _finish_if_last(session, alert, now)
    reach("close.before_commit")
    return not unsettled


def release(session: Session, lease: Lease, now: datetime) -> None:
    """Gives the batch back for anybody to claim at once; what is still `sending` becomes in doubt then."""
    session.connection().execute(
        sa.update(BATCH)
        .where(*is_batch(lease), BATCH.c.worker == lease.worker, BATCH.c.epoch == lease.epoch)
        .values(due_at=now)
    )
    db.wake(session)


def backoff(tries: int, first: timedelta, most: timedelta) -> timedelta:
    """The wait after the given number of tries: doubling, with a ceiling."""
    doublings = min(max(tries - 1, 0), 20)
    return min(first * (1 << doublings), most)


def alert_rule(alert: Alert) -> AlertRule:
    """The part of an alert that the eligibility of its readers depends on."""
    return AlertRule(
        {int(topic): frozenset(words) for topic, words in alert.audience.items()},
        alert.announced_at,
        alert.expires_at,
    )


def settle_doubt(session: Session, alert: Alert, first_id: int, last_id: int, now: datetime) -> int:
    """Marks what a lapsed lease left as `sending` in the range as in doubt; gives how many rows."""
    reason = HELD_DOUBT if alert.in_doubt == InDoubt.HOLD else ""
    return (
        session.connection()
        .execute(
            sa.update(DELIVERY)
            .where(*in_range(alert.id, first_id, last_id), DELIVERY.c.state == DeliveryState.SENDING)
            .values(
                state=DeliveryState.UNKNOWN,
                doubts=DELIVERY.c.doubts + 1,
                reason=sa.case((DELIVERY.c.doubts >= 1, SECOND_DOUBT), else_=reason),
                at=now,
            )
        )
        .rowcount
    )


# --- claim ---------------------------------------------------------------------------------------------


def _next_batch(
    session: Session, rank: int | None, size: int, now: datetime, but_not: Collection[tuple[int, int]]
) -> Batch | None:
    due = _due_batch(session, now, rank, but_not)
    while (alert := _uncarved_alert(session, rank, due.rank if due else None)) is not None:
        carved = _carve(session, alert, size, now)
        if carved is not None:
            return carved
    return due


def _due_batch(
    session: Session, now: datetime, rank: int | None, but_not: Collection[tuple[int, int]]
) -> Batch | None:
    query = select(Batch).where(col(Batch.due_at) <= now)
    if but_not:
        query = query.where(sa.tuple_(BATCH.c.alert_id, BATCH.c.first_id).not_in(but_not))
    if rank is not None:
        query = query.where(Batch.rank == rank)
    query = query.order_by(col(Batch.rank), col(Batch.due_at)).limit(1)
    return session.exec(query.with_for_update(skip_locked=True)).first()


def _uncarved_alert(session: Session, rank: int | None, below: int | None) -> Alert | None:
    """The first alert with readers not yet in a batch, if its lane goes before that of the due batch."""
    query = select(Alert).where(Alert.state == AlertState.RELEASED, col(Alert.is_carved).is_(False))
    if rank is not None:
        query = query.where(Alert.rank == rank)
    if below is not None:
        query = query.where(Alert.rank < below)
    return session.exec(query.order_by(col(Alert.rank), col(Alert.id)).limit(1).with_for_update()).first()


def _carve(session: Session, alert: Alert, size: int, now: datetime) -> Batch | None:
    """Cuts the next run of readers after the alert's frontier; none when nobody is left."""
    rule = alert_rule(alert)
    ids = audience.scan(session, rule, after=alert.frontier, upto=alert.last_subscriber_id, limit=size)
    alert.is_carved = len(ids) < size
    session.add(alert)
    if not ids:
        session.flush()
        _finish_if_last(session, alert, now)
        return None
    assert alert.id is not None, "read from the table"
    alert.frontier = ids[-1]
    batch = Batch(
        alert_id=alert.id, first_id=ids[0], last_id=ids[-1], rank=alert.rank, opened_to=ids[0] - 1, due_at=now
    )
    session.add(batch)
    session.flush()
    return batch


def _take(
    session: Session, batch: Batch, worker: str, length: timedelta, now: datetime, began: float
) -> Lease:
    alert = session.get(Alert, batch.alert_id)
    assert alert is not None, "a batch's alert is a foreign key"
    if batch.epoch:
        doubtful = settle_doubt(session, alert, batch.first_id, batch.last_id, now)
        if doubtful:
            log.warning("left_in_doubt", alert=batch.alert_id, batch=batch.first_id, mails=doubtful)
    batch.worker = worker
    batch.epoch += 1
    batch.tries += 1
    batch.due_at = now + length
    session.add(batch)
    session.flush()
    return Lease(
        alert_id=batch.alert_id,
        first_id=batch.first_id,
        last_id=batch.last_id,
        worker=worker,
        epoch=batch.epoch,
        tries=batch.tries,
        deadline=clocks.deadline(began, length),
        length=length,
        terms=Terms(
            alert_rule(alert), _content_key(session, batch.alert_id), alert.in_doubt, alert.after_alert_id
        ),
    )


def _content_key(session: Session, alert_id: int) -> str:
    carried = session.exec(
        select(AlertEntry.entry_id, AlertEntry.revision)
        .where(AlertEntry.alert_id == alert_id)
        .order_by(col(AlertEntry.entry_id))
    ).all()
    return ",".join(f"{entry_id}.{revision}" for entry_id, revision in carried)


# --- close ---------------------------------------------------------------------------------------------


def _count(session: Session, lease: Lease) -> tuple[int, int]:
    """How many rows the batch has, and how many of them will be tried again."""
    row = (
        session.connection()
        .execute(
            sa.select(
                sa.func.count().label("owed"),
                sa.func.coalesce(sa.func.sum(sa.case((is_unsettled(), 1), else_=0)), 0).label("unsettled"),
            ).where(*in_range(lease.alert_id, lease.first_id, lease.last_id))
        )
        .one()
    )
    return int(row.owed), int(row.unsettled)


def _finish_if_last(session: Session, alert: Alert, now: datetime) -> None:
    """Marks an alert done once it is carved and no batch is left; the caller holds the alert's row."""
    if not alert.is_carved or alert.state != AlertState.RELEASED:
        return
    left = session.exec(
        select(Batch.first_id).where(Batch.alert_id == alert.id, col(Batch.closed_at).is_(None)).limit(1)
    ).first()
    if left is not None:
        return
    alert.state, alert.done_at = AlertState.DONE, now
    session.add(alert)
    log.info("alert_done", alert=alert.id)


# --- conditions ----------------------------------------------------------------------------------------


def is_batch(lease: Lease) -> tuple[sa.ColumnElement[bool], ...]:
    return BATCH.c.alert_id == lease.alert_id, BATCH.c.first_id == lease.first_id


def in_range(alert_id: int | None, first_id: int, last_id: int) -> tuple[sa.ColumnElement[bool], ...]:
    """Always both ends: a fresh alert id alone has no statistics, and updates by it are quadratic."""
    return DELIVERY.c.alert_id == alert_id, DELIVERY.c.subscriber_id.between(first_id, last_id)


def is_unsettled() -> sa.ColumnElement[bool]:
    """Rows that will be tried again."""
    return sa.or_(
        DELIVERY.c.state.in_([DeliveryState.DEFERRED, DeliveryState.SENDING]),
        sa.and_(DELIVERY.c.state == DeliveryState.UNKNOWN, DELIVERY.c.reason == ""),
    )
