"""Breakers: a destination that refuses us for our own sake is left alone, and asked again with one mail at a time.

Five sender's faults in a row open one, none more than an hour after the one before. One fault alone says
little: it may be a reader's own filter, or one server of many. With five and no acceptance between them, whatever
we send is refused, and each mail more makes our name worse. An acceptance is proof of the contrary, from whichever
mail it comes, and closes the breaker.
"""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TypeAlias

import sqlalchemy as sa
import structlog
from sqlmodel import Session

from alerts import db
from alerts.dispatch.receipts import Receipt, Settled
from alerts.mail.replies import Verdict
from alerts.models import Breaker, table_of

log = structlog.get_logger()

BREAKER = table_of(Breaker)

FAULTS = 5
_MEMORY = timedelta(hours=1)
_WAIT_FIRST, _WAIT_MOST = timedelta(minutes=1), timedelta(hours=1)

# Transport and domain; the domain is empty where the transport itself refuses our envelope sender.
Place: TypeAlias = tuple[str, str]


@dataclass(frozen=True, slots=True)
class State:
    """What is remembered of a place that found fault with us."""

    faults: int = 0
    fault_at: datetime | None = None
    opened_at: datetime | None = None


def after(state: State, faults: int, now: datetime) -> State:
    """Gives the state after so many faults more in a row."""
    is_forgotten = state.fault_at is None or now - state.fault_at > _MEMORY
    count = faults if is_forgotten and not state.opened_at else state.faults + faults
    opened_at = state.opened_at or (now if count >= FAULTS else None)
    return replace(state, faults=count, fault_at=now, opened_at=opened_at)


def wait(probes: int) -> timedelta:
    """How long a place is left alone after so many probes in vain: doubling, from a minute to an hour."""
    return min(_WAIT_FIRST * (1 << min(probes, 10)), _WAIT_MOST)


def note(session: Session, receipts: Sequence[Receipt], watched: Collection[Place], now: datetime) -> bool:
    """Counts what a group of receipts says of its places; says whether any breaker opened, closed or is new.

    Where no fault is heard and none of the places is `watched` (has a row), nothing is asked of the database.
    """
    heard = _heard(receipts, watched)
    if not heard:
        return False
    connection = session.connection()
    if new := [_fresh(place, now) for place, words in heard.items() if words.last is not None]:
        connection.execute(db.insert_or_ignore(session, BREAKER), new)
    rows = connection.execute(_LOCK.where(_PLACE.in_(heard))).all()
    for row in rows:
        place = (row.transport, row.domain)
        _settle(session, place, heard[place], row, now)
    return bool(rows)


def stops(session: Session) -> tuple[Mapping[Place, datetime], frozenset[Place]]:
    """Gives the places that are stopped, with when each may be probed, and all that are watched."""
    rows = session.connection().execute(sa.select(BREAKER)).all()
    stopped = {(row.transport, row.domain): row.retry_at for row in rows if row.opened_at}
    return stopped, frozenset((row.transport, row.domain) for row in rows)


def probe(session: Session, place: Place, now: datetime) -> bool:
    """Whether this transaction may let one mail through to a stopped place; nobody else may before the next wait ends.

    Does not wait for who else asks.
    """
    values = {"of_transport": place[0], "of_domain": place[1], "now": now}
    row = session.connection().execute(_DUE, values).first()
    if row is None:
        return False
    again = {"probed": row.probes + 1, "next": now + wait(row.probes + 1)}
    session.connection().execute(_PROBED, values | again)
    return True


@dataclass(slots=True)
class _Words:
    """What one place said in a group of receipts, in the order in which it came."""

    is_accepted: bool = False
    faults: int = 0  # since the last acceptance
    last: Receipt | None = None

    def take(self, receipt: Receipt) -> None:
        if receipt.settled is Settled.ACCEPTED:
            self.is_accepted, self.faults, self.last = True, 0, None
        else:
            self.faults, self.last = self.faults + 1, receipt


def _heard(receipts: Sequence[Receipt], watched: Collection[Place]) -> dict[Place, _Words]:
    heard: dict[Place, _Words] = defaultdict(_Words)
    for receipt in receipts:
        if not receipt.transport:
            continue
        place = (receipt.transport, receipt.domain)
        if receipt.reason.startswith(Verdict.SENDER_FAULT):
            heard[place].take(receipt)
        elif receipt.settled is Settled.ACCEPTED:
            for each in (place, (receipt.transport, "")):
                if each in watched or each in heard:
                    heard[each].take(receipt)
    return heard


def _fresh(place: Place, now: datetime) -> dict[str, object]:
    transport, domain = place
    return {
        "transport": transport,
        "domain": domain,
        "faults": 0,
        "fault_at": now,
        "reason": "",
        "code": 0,
        "reply": "",
        "probes": 0,
    }


def _settle(
    session: Session, place: Place, words: _Words, row: sa.Row[tuple[object, ...]], now: datetime
) -> None:
    transport, domain = place
    was_open = row.opened_at is not None
    if was_open and words.is_accepted:
        log.info("destination_resumed", transport=transport, destination=domain or "(all)")
    state = State() if words.is_accepted else State(row.faults, row.fault_at, row.opened_at)
    if words.last is None:
        session.connection().execute(_FORGET, {"of_transport": transport, "of_domain": domain})
        return
    state = after(state, words.faults, now)
    is_new = state.opened_at is not None and (words.is_accepted or not was_open)
    values = {
        "of_transport": transport,
        "of_domain": domain,
        "count": state.faults,
        "now": now,
        "because": words.last.reason,
        "with_code": words.last.code,
        "with_reply": words.last.reply,
        "since": state.opened_at,
        "probed": 0 if is_new or not was_open else row.probes,
        "next": now + wait(0) if is_new else row.retry_at if state.opened_at else None,
    }
    session.connection().execute(_WRITE, values)
    if is_new:
        log.error(
            "destination_stopped",
            transport=transport,
            destination=domain or "(all)",
            reason=words.last.reason,
            code=words.last.code,
            retry_in=wait(0).total_seconds(),
        )


_PLACE = sa.tuple_(BREAKER.c.transport, BREAKER.c.domain)
_HERE = (
    BREAKER.c.transport == sa.bindparam("of_transport"),
    BREAKER.c.domain == sa.bindparam("of_domain"),
)
# One order of locks for all workers.
_LOCK = sa.select(BREAKER).order_by(BREAKER.c.transport, BREAKER.c.domain).with_for_update()
_DUE = (
    sa.select(BREAKER.c.probes)
    .where(*_HERE, BREAKER.c.opened_at.is_not(None), BREAKER.c.retry_at <= sa.bindparam("now"))
    .with_for_update(skip_locked=True)
)
_PROBED = (
    sa.update(BREAKER).where(*_HERE).values(probes=sa.bindparam("probed"), retry_at=sa.bindparam("next"))
)
_FORGET = sa.delete(BREAKER).where(*_HERE)
_WRITE = (
    sa.update(BREAKER)
    .where(*_HERE)
    .values(
        faults=sa.bindparam("count"),
        fault_at=sa.bindparam("now"),
        reason=sa.bindparam("because"),
        code=sa.bindparam("with_code"),
        reply=sa.bindparam("with_reply"),
        opened_at=sa.bindparam("since"),
        probes=sa.bindparam("probed"),
        retry_at=sa.bindparam("next"),
    )
)
