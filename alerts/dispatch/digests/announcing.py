"""When a slot's digest is due: one alert for all readers whose digests come at that instant.

Only the last instant that has passed is announced, so whoever was not served for a while is caught up with one digest
over the whole time.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

import sqlalchemy as sa
import structlog
from sqlmodel import Session, col, select

from alerts import db
from alerts.audience import slots
from alerts.dispatch.digests import horizon
from alerts.dispatch.digests.released import newest
from alerts.failpoints import reach
from alerts.models import (
    Alert,
    AlertState,
    DigestMark,
    DigestSlot,
    Diversion,
    Frequency,
    Lane,
    Subscriber,
    table_of,
)

log = structlog.get_logger()

DIVERSION = table_of(Diversion)
MARK = table_of(DigestMark)
SLOT = table_of(DigestSlot)
SUBSCRIBER = table_of(Subscriber)

# What is being released at the instant is committed by then, mostly: what is not has the digest wait (see `horizon`).
GRACE = timedelta(seconds=15)
_MOST_AT_ONCE = 200  # slots a transaction
_LEAST_TO_LIVE = timedelta(hours=1)  # of one that is late: its next instant may be a minute away
_MOST_TO_LIVE = {
    Frequency.HOURLY: timedelta(hours=1),
    Frequency.DAILY: timedelta(hours=24),
    Frequency.WEEKLY: timedelta(hours=48),
}


class Late(StrEnum):
    """What becomes of a digest that could not be announced in time."""

    SEND = "send"  # it says that it is late
    SKIP = "skip"  # its readers are not mailed, and the next one begins where it ends


@dataclass(frozen=True, slots=True)
class Policy:
    """What a site decided about late digests."""

    late: Late = Late.SEND
    late_after: timedelta = timedelta(minutes=30)


def close_time(session: Session, now: datetime) -> None:
    """Has nothing be released any more in the time of digests that are due; in a transaction of its own."""
    until = now - GRACE
    if session.connection().execute(_IS_DUE, {"horizon": until}).first() is not None:
        horizon.move(session, until)


def announce_digests(session: Session, policy: Policy, now: datetime) -> int:
    """Announces the digests whose time is closed; gives how many. Where nothing was released there is none."""
    closed = horizon.reached(session)
    due = session.connection().execute(_DUE, {"horizon": closed}).all()
    announced = 0
    for frequency, slot, next_at in due:
        if not slots.is_by_its_zone(slot):
            log.error("digest_zone_unknown", frequency=frequency, slot=slot)
        if next_at is not None:
            announced += _announce(session, policy, frequency, slot, next_at, closed, now)
        following = {"next": slots.coming(frequency, slot, closed)}
        of_slot = {"of_frequency": frequency, "of_slot": slot}
        session.connection().execute(_SET_NEXT, of_slot | following)
    if announced:
        reach("announce.before_commit")
        db.wake(session)
    return announced


def _announce(
    session: Session,
    policy: Policy,
    frequency: str,
    slot: str,
    first_due: datetime,
    closed: datetime,
    now: datetime,
) -> bool:
    end = slots.latest(frequency, slot, closed)
    cause = f"digest:{frequency}:{slot}:{end.isoformat()}"
    if not _has_news(session, frequency, slot, end, now):
        return False
    # The zone's rules may have changed since the instant was foreseen.
    if session.exec(select(Alert.id).where(col(Alert.cause_key) == cause)).first() is not None:
        return False
    # A later instant is the last one where some were missed, an earlier one where the zone's rules have changed.
    is_late = now > min(first_due, end) + policy.late_after
    is_skipped = is_late and policy.late is Late.SKIP
    alert = Alert(
        cause_key=cause,
        frequency=frequency,
        slot=slot,
        window_end=end,
        is_late=is_late,
        lane=Lane.DIGEST,
        rank=Lane.DIGEST.rank,
        state=AlertState.RELEASED,
        state_reason="late, and late digests are skipped" if is_skipped else "",
        last_subscriber_id=session.exec(select(sa.func.max(Subscriber.id))).one() or 0,
        announced_at=now,
        released_at=end,
        expires_at=now if is_skipped else _expiry(frequency, slot, end, now),
    )
    session.add(alert)
    session.flush()
    log.info("digest_announced", alert=alert.id, frequency=frequency, slot=slot, late=is_late)
    return True


def _expiry(frequency: str, slot: str, end: datetime, now: datetime) -> datetime:
    """The next digest ends this one's time: what waited until then would come with it, or after it."""
    most = end + _MOST_TO_LIVE[Frequency(frequency)]
    return max(min(slots.coming(frequency, slot, end), most), now + _LEAST_TO_LIVE)


def _has_news(session: Session, frequency: str, slot: str, end: datetime, now: datetime) -> bool:
    """Whether anybody's window may hold something: marks may stay behind where it cannot."""
    values = {"of_frequency": frequency, "of_slot": slot, "end": end, "now": now}
    connection = session.connection()
    if connection.execute(_HAS_DIVERSIONS, values).first() is not None:
        return True
    last = newest(session, end)
    return last is not None and connection.execute(_IS_BEHIND, values | {"last": last}).first() is not None


_BEFORE_HORIZON = sa.or_(SLOT.c.next_at.is_(None), SLOT.c.next_at <= sa.bindparam("horizon"))
_IS_DUE = sa.select(SLOT.c.slot).where(_BEFORE_HORIZON).limit(1)
_DUE = (
    sa.select(SLOT.c.frequency, SLOT.c.slot, SLOT.c.next_at)
    .where(_BEFORE_HORIZON)
    .order_by(SLOT.c.next_at, SLOT.c.frequency, SLOT.c.slot)
    .limit(_MOST_AT_ONCE)
    .with_for_update(skip_locked=True)
)
_SET_NEXT = (
    sa.update(SLOT)
    .where(SLOT.c.frequency == sa.bindparam("of_frequency"), SLOT.c.slot == sa.bindparam("of_slot"))
    .values(next_at=sa.bindparam("next"))
)
_OF_SLOT = (
    MARK.c.frequency == sa.bindparam("of_frequency"),
    MARK.c.slot == sa.bindparam("of_slot"),
    sa.or_(MARK.c.until.is_(None), MARK.c.until >= sa.bindparam("end")),
    ~sa.exists().where(
        SUBSCRIBER.c.id == MARK.c.subscriber_id, SUBSCRIBER.c.paused_until > sa.bindparam("now")
    ),
)
_IS_BEHIND = sa.select(MARK.c.subscriber_id).where(*_OF_SLOT, MARK.c.through <= sa.bindparam("last")).limit(1)
_HAS_DIVERSIONS = (
    sa.select(DIVERSION.c.subscriber_id)
    .join(
        MARK,
        sa.and_(MARK.c.subscriber_id == DIVERSION.c.subscriber_id, MARK.c.frequency == DIVERSION.c.frequency),
    )
    .where(*_OF_SLOT, DIVERSION.c.at < sa.bindparam("end"))
    .limit(1)
)
