"""Readers who wait for their destination: noted when their batch closes, and given a turn in the order of lanes.

A batch that only has such readers sleeps. Each second somebody looks who is to wake (`give_turns`), as far ahead
as the destination's rate reaches in two seconds: so many batches that wait for one slow domain cost a claim a
second together, not each, and what is urgent and came later still goes first.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from math import ceil
from typing import Any

import sqlalchemy as sa
from sqlmodel import Session

from alerts import db
from alerts.dispatch import spent
from alerts.dispatch.rates import Rate
from alerts.models import Batch, Delivery, DeliveryState, Waiting, table_of

BATCH = table_of(Batch)
DELIVERY = table_of(Delivery)
WAITING = table_of(Waiting)

# Why a reader waits, in the ledger; the domain follows.
FOR_RATE = "waits for its destination's rate: "
STOPPED = "destination stopped: "
IS_WAITING = sa.and_(
    DELIVERY.c.state == DeliveryState.DEFERRED,
    sa.or_(DELIVERY.c.reason.startswith(FOR_RATE), DELIVERY.c.reason.startswith(STOPPED)),
)

_AHEAD = timedelta(seconds=2)  # twice as far as it is between two looks
_LAPSE = timedelta(seconds=2)  # a turn that was not taken: all couriers are busy, or their process died
_MOST_WOKEN = 1_000  # batches a look


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a batch stands among those that wait for one domain."""

    turn: int  # mails that it was promised and has not opened
    is_behind: bool  # others wait who come first


def hold(session: Session, batch: tuple[int, int, int], rank: int) -> None:
    """Notes who of a batch (alert, first id, last id) waits for which domain; forgets what was noted before."""
    alert_id, first_id, last_id = batch
    values = {"of_alert": alert_id, "first": first_id, "last": last_id}
    connection = session.connection()
    connection.execute(_FORGET, values)
    rows = connection.execute(_COUNT, values).all()
    waiting: dict[str, int] = {}
    for reason, readers in rows:
        domain = reason.rpartition(": ")[2]
        waiting[domain] = waiting.get(domain, 0) + readers
    if waiting:
        noted = {"alert_id": alert_id, "first_id": first_id, "rank": rank, "turn": 0, "turn_at": None}
        connection.execute(
            sa.insert(WAITING),
            [noted | {"domain": domain, "readers": readers} for domain, readers in waiting.items()],
        )


def standing(
    session: Session, batch: tuple[int, int], rank: int, domains: Collection[str]
) -> dict[str, Standing]:
    """Says how a batch (alert, first id) stands with each of the domains that anybody waits for."""
    values = {"of_alert": batch[0], "first": batch[1], "of_rank": rank, "domains": domains}
    rows = session.connection().execute(_STANDING, values)
    return {row.domain: Standing(row.turn, bool(row.is_behind)) for row in rows}


def take(session: Session, batch: tuple[int, int], opened: Mapping[str, int]) -> None:
    """Takes mails that were opened off the batch's turns."""
    values = [
        {"of_alert": batch[0], "first": batch[1], "of_domain": domain, "mails": mails}
        for domain, mails in opened.items()
        if mails
    ]
    if values:
        session.connection().execute(_TAKE, values)


def give_turns(
    session: Session,
    rates: Mapping[str, Rate],
    stopped: Mapping[str, datetime],
    now: datetime,
) -> list[datetime]:
    """Wakes the batches whose readers' turn it is, or soon will be; gives when.

    `stopped` domains let one through from the given time on; those with a rate as many as fit it; all others
    that anybody still waits for, everybody.
    """
    domains = [*session.connection().execute(_DOMAINS).scalars()]
    if not domains:
        return []
    limited = {each: rates[each] for each in domains if each in rates and each not in stopped}
    used = spent.lock(session, [spent.of_domain(each) for each in limited], now) if limited else {}
    woken: list[datetime] = []
    for domain in domains:
        if domain in stopped:
            if stopped[domain] <= now and not _promised(session, domain, now)[0]:
                woken += _wake(session, domain, _first(session, domain, 1, now)[:1], [(1, now)])
        elif domain in limited:
            spent_to = used[spent.of_domain(domain)]
            woken += _give(session, domain, limited[domain], spent_to, now)
        else:
            rows = _first(session, domain, _MOST_WOKEN, now)
            woken += _wake(session, domain, rows, [(row.readers, now) for row in rows])
    return woken


def _give(session: Session, domain: str, rate: Rate, spent_to: datetime, now: datetime) -> list[datetime]:
    """Gives the turns of a domain's next two seconds, and none to a lane while a better one has readers left."""
    reach = ceil(rate.a_second * _AHEAD.total_seconds()) + 1
    promised, lane = _promised(session, domain, now)
    rows: list[sa.Row[Any]] = []
    for row in _first(session, domain, min(reach, _MOST_WOKEN), now):
        if lane is not None and row.rank > lane:
            break
        rows.append(row)
        if row.readers > rate.burst and lane is None:
            lane = row.rank
    turns = rate.turns(spent_to, now, now + _AHEAD, promised, [row.readers for row in rows])
    return _wake(session, domain, rows, turns)


def _first(session: Session, domain: str, limit: int, now: datetime) -> list[sa.Row[Any]]:
    """The first batches that wait for a domain, that nobody has in hand and that have no turn to come."""
    values = {"of_domain": domain, "limit": limit, "lapsed": now - _LAPSE}
    return [*session.connection().execute(_FIRST, values)]


def _promised(session: Session, domain: str, now: datetime) -> tuple[int, int | None]:
    """How many mails are in turns to come, and the best lane of those who have more readers than their turn."""
    values = {"of_domain": domain, "lapsed": now - _LAPSE}
    row = session.connection().execute(_PROMISED, values).one()
    return row.mails or 0, row.lane


def _wake(
    session: Session, domain: str, rows: Collection[sa.Row[Any]], turns: Collection[tuple[int, datetime]]
) -> list[datetime]:
    values = [
        {"of_alert": row.alert_id, "first": row.first_id, "of_domain": domain, "mails": mails, "until": at}
        for row, (mails, at) in zip(rows, turns, strict=False)
    ]
    if values:
        session.connection().execute(_DUE, values)
        session.connection().execute(_PROMISE, values)
    return [at for _, at in turns]


_OF_BATCH = (
    WAITING.c.alert_id == sa.bindparam("of_alert"),
    WAITING.c.first_id == sa.bindparam("first"),
)
_OF_DOMAIN = WAITING.c.domain == sa.bindparam("of_domain")
_HAS_TURN = sa.and_(WAITING.c.turn > 0, WAITING.c.turn_at > sa.bindparam("lapsed"))
_FORGET = sa.delete(WAITING).where(*_OF_BATCH)
_COUNT = (
    sa.select(DELIVERY.c.reason, sa.func.count())
    .where(
        DELIVERY.c.alert_id == sa.bindparam("of_alert"),
        DELIVERY.c.subscriber_id.between(sa.bindparam("first"), sa.bindparam("last")),
        IS_WAITING,
    )
    .group_by(DELIVERY.c.reason)
)
_IS_OWN = sa.and_(*_OF_BATCH)
_STANDING = (
    sa.select(
        WAITING.c.domain,
        sa.func.max(sa.case((_IS_OWN, WAITING.c.turn), else_=0)).label("turn"),
        sa.func.max(
            sa.case((sa.and_(~_IS_OWN, WAITING.c.rank <= sa.bindparam("of_rank")), 1), else_=0)
        ).label("is_behind"),
    )
    .where(db.among(WAITING.c.domain, "domains"))
    .group_by(WAITING.c.domain)
)
_TAKE = (
    sa.update(WAITING)
    .where(*_OF_BATCH, _OF_DOMAIN)
    .values(
        turn=sa.case(
            (WAITING.c.turn > sa.bindparam("mails"), WAITING.c.turn - sa.bindparam("mails")), else_=0
        )
    )
)
_DOMAINS = sa.select(WAITING.c.domain).distinct().order_by(WAITING.c.domain)
_FIRST = (
    sa.select(WAITING)
    .join(BATCH, sa.and_(BATCH.c.alert_id == WAITING.c.alert_id, BATCH.c.first_id == WAITING.c.first_id))
    .where(_OF_DOMAIN, BATCH.c.worker == "", BATCH.c.closed_at.is_(None), sa.not_(_HAS_TURN))
    .order_by(WAITING.c.rank, WAITING.c.alert_id, WAITING.c.first_id)
    .limit(sa.bindparam("limit", type_=sa.Integer))
    .with_for_update(of=BATCH, skip_locked=True)
)
_PROMISED = sa.select(
    sa.func.sum(WAITING.c.turn).label("mails"),
    sa.func.min(sa.case((WAITING.c.readers > WAITING.c.turn, WAITING.c.rank))).label("lane"),
).where(_OF_DOMAIN, _HAS_TURN)
_DUE = (
    sa.update(BATCH)
    .where(
        BATCH.c.alert_id == sa.bindparam("of_alert"),
        BATCH.c.first_id == sa.bindparam("first"),
        BATCH.c.worker == "",
        BATCH.c.due_at > sa.bindparam("until"),
    )
    .values(due_at=sa.bindparam("until"))
)
_PROMISE = (
    sa.update(WAITING)
    .where(*_OF_BATCH, _OF_DOMAIN)
    .values(turn=sa.bindparam("mails"), turn_at=sa.bindparam("until"))
)
