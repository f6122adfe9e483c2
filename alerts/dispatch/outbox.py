"""The outbox: claim a batch of an alert's readers, prolong the claim, close it.

Leases spread the work; the key (alert, subscriber) of the delivery row, committed before the first byte
goes to SMTP, is the right to send. Which is why a second worker, a retried batch or a restarted daemon
changes nothing. `opening` makes those rows and `receipts` records what came of them;
`docs/explanation/outbox.md` has the state diagram.
"""

from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
import structlog
from sqlmodel import Session

from alerts import clocks, db
from alerts.dispatch import audience, waits
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

ALERT = table_of(Alert)
ALERT_ENTRY = table_of(AlertEntry)
BATCH = table_of(Batch)
DELIVERY = table_of(Delivery)

# What statements about one batch bind: `Span.values`, and "ids" where they are about some of its readers.
OF_BATCH = BATCH.c.alert_id == sa.bindparam("of_alert"), BATCH.c.first_id == sa.bindparam("first")
# Always both ends: a fresh alert id alone has no statistics, and updates by it are quadratic.
IN_SPAN = (
    DELIVERY.c.alert_id == sa.bindparam("of_alert"),
    DELIVERY.c.subscriber_id.between(sa.bindparam("first"), sa.bindparam("last")),
)
THESE = (*IN_SPAN, db.among(DELIVERY.c.subscriber_id, "ids"))

# Rows that will be tried again.
IS_UNSETTLED = sa.or_(
    DELIVERY.c.state.in_([DeliveryState.DEFERRED, DeliveryState.SENDING]),
    sa.and_(DELIVERY.c.state == DeliveryState.UNKNOWN, DELIVERY.c.reason == ""),
)

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
    rank: int  # of its lane


@dataclass(frozen=True, slots=True)
class Span:
    """The readers of one batch: subscriber ids of one alert, both ends included."""

    alert_id: int
    first_id: int
    last_id: int

    @property
    def values(self) -> dict[str, object]:
        """The span as statements bind it."""
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
    retry_at: datetime | None = None  # until then only those come again who waited for their destination

    @property
    def name(self) -> str:
        return f"{self.alert_id}-{self.first_id}-{self.epoch}"

    @property
    def is_of_digest(self) -> bool:
        return self.terms.rule.slot is not None

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
    began: float | None = None,
    prefer: Lane | None = None,
    but_not: Collection[tuple[int, int]] = (),
    fresh_first: bool = False,
) -> Lease | None:
    """Leases the next batch in lane order: one that is due again, else one carved from an alert.

    `prefer` names a lane to serve first this time (the digests' minimum share); others follow if it is
    empty. `but_not` are batches (alert, first id) that the worker may not take over yet. `fresh_first` turns the
    order within a lane round: who says so most times, not each time, keeps what comes again from delaying fresh
    news and from starving. The lease's deadline counts from `began`, a moment of the boot-time clock before `now`
    was asked for, so it is never later than the row's.
    """
    who = _Claimer(worker, length, now, clocks.boot_time() if began is None else began)
    for ranks in ((prefer.rank, prefer.rank), _ALL_RANKS) if prefer else (_ALL_RANKS,):
        lease = _next(session, who, ranks, size, but_not, fresh_first=fresh_first)
        if lease is not None:
            reach("claim.before_commit")
            return lease
    return None


def renew(session: Session, lease: Lease, now: datetime) -> int:
    """Prolongs the lease by its length from now, and gives the id up to which the batch is opened.

    LeaseLost when the batch is another's, or nobody's. The batch's row is locked from here on.
    """
    values = _fence(lease) | {"now": now, "until": now + lease.length}
    opened_to: int | None = session.connection().execute(_RENEW, values).scalar_one_or_none()
    if opened_to is None:
        raise LeaseLost(f"The lease on batch {lease.name} has run out.")
    return opened_to


def _fence(lease: Lease) -> dict[str, object]:
    return lease.span.values | {"of_worker": lease.worker, "of_epoch": lease.epoch}


_PROLONG = (
    sa.update(BATCH)
    .where(*OF_BATCH, BATCH.c.worker == sa.bindparam("of_worker"), BATCH.c.epoch == sa.bindparam("of_epoch"))
    .values(due_at=sa.bindparam("until"))
)
_RENEW = _PROLONG.where(BATCH.c.due_at > sa.bindparam("now")).returning(BATCH.c.opened_to)


def close(session: Session, lease: Lease, now: datetime, first: timedelta, most: timedelta) -> bool:
    """Ends the lease: for good when every row is in a final state, else until the next try; gives which.

    Waits double from `first` up to `most`, and never reach past the alert's time to live, so that what
    expires is recorded then. Who waits for their destination is woken when it is their turn. The alert is done
    when its last batch is.
    """
    renew(session, lease, now)
    connection = session.connection()
    owed, unsettled, waiting, accepted_at = connection.execute(_COUNT, lease.span.values).one()
    if waiting or lease.epoch > 1:
        waits.hold(session, (lease.alert_id, lease.first_id, lease.last_id), lease.terms.rank)
    if unsettled:
        end = max(lease.terms.rule.expires_at, now)
        # A lease that came before the next retry tried nothing of what is to be retried, and does not count.
        is_turn_only = lease.retry_at is not None and now < lease.retry_at
        if unsettled == waiting:
            retry_at = None
        elif is_turn_only:
            retry_at = lease.retry_at
        else:
            retry_at = min(now + backoff(lease.tries, first, most), end)
        tries = lease.tries if retry_at and not is_turn_only else lease.tries - 1
        pause = {"until": retry_at or end, "retry": retry_at, "of_tries": tries}
        connection.execute(_WAIT, lease.span.values | pause)
    else:
        # It locks the alert: two that close its last batches at once must see one another's.
        connection.execute(_SET_LAST, {"of_alert": lease.alert_id, "accepted": accepted_at})
        connection.execute(_CLOSE, lease.span.values | {"now": now, "count": owed})
        _finish_if_last(session, lease.alert_id, now)
    reach("close.before_commit")
    return not unsettled


_COUNT = sa.select(
    sa.func.count(),
    sa.func.count().filter(IS_UNSETTLED),
    sa.func.count().filter(waits.IS_WAITING),
    sa.func.max(DELIVERY.c.at).filter(DELIVERY.c.state == DeliveryState.ACCEPTED),
).where(*IN_SPAN)
_WAIT = (
    sa.update(BATCH)
    .where(*OF_BATCH)
    .values(
        worker="",
        due_at=sa.bindparam("until"),
        retry_at=sa.bindparam("retry"),
        tries=sa.bindparam("of_tries"),
    )
)
_CLOSE = (
    sa.update(BATCH)
    .where(*OF_BATCH)
    .values(worker="", due_at=None, closed_at=sa.bindparam("now"), owed=sa.bindparam("count"))
)
_ACCEPTED = sa.bindparam("accepted", type_=ALERT.c.last_accepted_at.type)
_SET_LAST = (
    sa.update(ALERT)
    .where(ALERT.c.id == sa.bindparam("of_alert"))
    .values(
        last_accepted_at=sa.case(
            (ALERT.c.last_accepted_at >= _ACCEPTED, ALERT.c.last_accepted_at),
            else_=sa.func.coalesce(_ACCEPTED, ALERT.c.last_accepted_at),
        )
    )
)


def release(session: Session, lease: Lease, now: datetime) -> None:
    """Gives the batch back for anybody to claim at once; what is still `sending` becomes in doubt then."""
    session.connection().execute(_PROLONG, _fence(lease) | {"until": now})
    db.wake(session)


def end_leases(session: Session, now: datetime) -> None:
    """Ends every lease now, for a site on which no daemon can be at work.

    What they left as `sending` becomes in doubt as ever, when their batches are claimed again.
    """
    running = (BATCH.c.worker != "", BATCH.c.due_at > now)
    session.connection().execute(sa.update(BATCH).where(*running).values(due_at=now))


def backoff(tries: int, first: timedelta, most: timedelta) -> timedelta:
    """The wait after the given number of tries: doubling, with a ceiling."""
    doublings = min(max(tries - 1, 0), 20)
    return min(first * (1 << doublings), most)


# --- claim ---------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Claimer:
    """Who claims, for how long and when; `began` is of the boot-time clock."""

    worker: str
    length: timedelta
    now: datetime
    began: float

    def values(self) -> dict[str, object]:
        return {"by_worker": self.worker, "until": self.now + self.length, "now": self.now}

    def lease(
        self, span: Span, epoch: int, tries: int, terms: Terms, retry_at: datetime | None = None
    ) -> Lease:
        return Lease(
            alert_id=span.alert_id,
            first_id=span.first_id,
            last_id=span.last_id,
            worker=self.worker,
            epoch=epoch,
            tries=tries,
            deadline=clocks.deadline(self.began, self.length),
            length=self.length,
            terms=terms,
            retry_at=retry_at,
        )


def _next(
    session: Session,
    who: _Claimer,
    ranks: tuple[int, int],
    size: int,
    but_not: Collection[tuple[int, int]],
    *,
    fresh_first: bool,
) -> Lease | None:
    lowest, highest = ranks
    due = _due_batch(session, who, ranks, but_not)
    if due is not None:
        highest = due.rank if fresh_first else due.rank - 1
    while (alert := _uncarved_alert(session, lowest, highest)) is not None:
        lease = _carve(session, who, alert, size)
        if lease is not None:
            return lease
    return _take_over(session, who, due) if due is not None else None


def _due_batch(
    session: Session, who: _Claimer, ranks: tuple[int, int], but_not: Collection[tuple[int, int]]
) -> sa.Row[Any] | None:
    query = _DUE
    if but_not:
        query = query.where(sa.tuple_(BATCH.c.alert_id, BATCH.c.first_id).not_in(but_not))
    values = {"now": who.now, "lowest": ranks[0], "highest": ranks[1]}
    return session.connection().execute(query, values).first()


def _uncarved_alert(session: Session, lowest: int, highest: int) -> sa.Row[Any] | None:
    """The first alert of these lanes with readers not yet in a batch."""
    return session.connection().execute(_UNCARVED, {"lowest": lowest, "highest": highest}).first()


def _carve(session: Session, who: _Claimer, alert: sa.Row[Any], size: int) -> Lease | None:
    """Cuts the next run of readers after the alert's frontier, and leases it; none when nobody is left."""
    rule = audience.rule_of(alert)
    first_id, last_id, count = audience.run(
        session, rule, after=alert.frontier, upto=alert.last_subscriber_id, limit=size
    )
    moved = {"of_alert": alert.id, "to": last_id or alert.frontier, "carved": count < size}
    session.connection().execute(_MOVE_FRONTIER, moved)
    if not count:
        _finish_if_last(session, alert.id, who.now)
        return None
    span = Span(alert.id, first_id, last_id)
    row = who.values() | span.values | {"of_rank": alert.rank, "before": first_id - 1}
    session.connection().execute(_ADD_BATCH, row)
    return who.lease(span, 1, 1, _terms(session, alert))


def _take_over(session: Session, who: _Claimer, batch: sa.Row[Any]) -> Lease:
    """Leases a batch that was leased before; what that lease left as sending is in doubt from here on."""
    span = Span(batch.alert_id, batch.first_id, batch.last_id)
    alert = session.connection().execute(_ALERT, {"of_alert": span.alert_id}).one()
    doubtful = _settle_doubt(session, span, alert.in_doubt, who.now)
    if doubtful:
        log.warning("left_in_doubt", alert=span.alert_id, batch=span.first_id, mails=doubtful)
    session.connection().execute(_TAKE_OVER, who.values() | span.values)
    # What a lapsed lease left is to be tried at once.
    retry_at = None if batch.worker else batch.retry_at
    return who.lease(span, batch.epoch + 1, batch.tries + 1, _terms(session, alert), retry_at)


def _settle_doubt(session: Session, span: Span, in_doubt: str, now: datetime) -> int:
    """Marks what a lapsed lease left as `sending` as in doubt; gives how many rows."""
    held = HELD_DOUBT if in_doubt == InDoubt.HOLD else ""
    return session.connection().execute(_DOUBT, span.values | {"now": now, "held": held}).rowcount


def _terms(session: Session, alert: sa.Row[Any]) -> Terms:
    rule = audience.rule_of(alert)
    # What a digest carries is each reader's own.
    carried = () if rule.slot else session.connection().execute(_CARRIED, {"of_alert": alert.id})
    content = ",".join(f"{entry_id}.{revision}" for entry_id, revision in carried)
    return Terms(rule, content, alert.in_doubt, alert.after_alert_id, alert.rank)


_ALL_RANKS = (0, len(Lane) - 1)
_OF_RANKS = sa.bindparam("lowest", type_=sa.Integer), sa.bindparam("highest", type_=sa.Integer)
_DUE = (
    sa.select(BATCH)
    .where(BATCH.c.due_at <= sa.bindparam("now"), BATCH.c.rank.between(*_OF_RANKS))
    .order_by(BATCH.c.rank, BATCH.c.due_at)
    .limit(1)
    .with_for_update(skip_locked=True)
)
_UNCARVED = (
    sa.select(ALERT)
    .where(
        ALERT.c.state == AlertState.RELEASED, ALERT.c.is_carved.is_(False), ALERT.c.rank.between(*_OF_RANKS)
    )
    .order_by(ALERT.c.rank, ALERT.c.id)
    .limit(1)
    .with_for_update()
)
_ALERT = sa.select(ALERT).where(ALERT.c.id == sa.bindparam("of_alert"))
_CARRIED = (
    sa.select(ALERT_ENTRY.c.entry_id, ALERT_ENTRY.c.revision)
    .where(ALERT_ENTRY.c.alert_id == sa.bindparam("of_alert"))
    .order_by(ALERT_ENTRY.c.entry_id)
)
_MOVE_FRONTIER = (
    sa.update(ALERT)
    .where(ALERT.c.id == sa.bindparam("of_alert"))
    .values(frontier=sa.bindparam("to"), is_carved=sa.bindparam("carved"))
)
_ADD_BATCH = sa.insert(BATCH).values(
    alert_id=sa.bindparam("of_alert"),
    first_id=sa.bindparam("first"),
    last_id=sa.bindparam("last"),
    rank=sa.bindparam("of_rank"),
    opened_to=sa.bindparam("before"),
    worker=sa.bindparam("by_worker"),
    due_at=sa.bindparam("until"),
    epoch=1,
    tries=1,
    owed=0,
)
_TAKE_OVER = (
    sa.update(BATCH)
    .where(*OF_BATCH)
    .values(
        worker=sa.bindparam("by_worker"),
        due_at=sa.bindparam("until"),
        epoch=BATCH.c.epoch + 1,
        tries=BATCH.c.tries + 1,
    )
)
_DOUBT = (
    sa.update(DELIVERY)
    .where(*IN_SPAN, DELIVERY.c.state == DeliveryState.SENDING)
    .values(
        state=DeliveryState.UNKNOWN,
        doubts=DELIVERY.c.doubts + 1,
        reason=sa.case((DELIVERY.c.doubts >= 1, SECOND_DOUBT), else_=sa.bindparam("held", type_=sa.Text)),
        at=sa.bindparam("now"),
    )
)


# --- close ---------------------------------------------------------------------------------------------


def _finish_if_last(session: Session, alert_id: int, now: datetime) -> None:
    """Marks an alert done once it is carved and no batch is left; the caller holds the alert's row."""
    if session.connection().execute(_FINISH, {"of_alert": alert_id, "now": now}).rowcount:
        log.info("alert_done", alert=alert_id)


_FINISH = (
    sa.update(ALERT)
    .where(
        ALERT.c.id == sa.bindparam("of_alert"),
        ALERT.c.is_carved,
        ALERT.c.state == AlertState.RELEASED,
        ~sa.exists().where(BATCH.c.alert_id == ALERT.c.id, BATCH.c.closed_at.is_(None)),
    )
    .values(state=AlertState.DONE, done_at=sa.bindparam("now"))
)
