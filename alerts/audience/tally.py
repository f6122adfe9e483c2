"""How often something was asked for in the last hour: counted in the database, so for all processes together.

A scope is kept as a hash. Counted are hours of the clock; of the one before counts the part that lies within sixty
minutes, as if it had come evenly (a sliding-window counter). So nothing begins anew at the turn of an hour.
"""

from datetime import UTC, datetime, timedelta

import sqlalchemy as sa
from sqlmodel import Session

from alerts.audience.tokens import address_hash
from alerts.db import upsert
from alerts.models import Tally, table_of

_TALLY = table_of(Tally)
_HOUR = timedelta(hours=1)
_KEPT = timedelta(hours=2)


def take(session: Session, pepper: bytes, scope: str, limit: int, now: datetime) -> timedelta:
    """Counts one more where an hour may have so many and gives zero; else how long there is no room, and counts nothing."""
    connection = session.connection()
    hour = hour_of(now)
    values = {"scope": address_hash(pepper, scope), "hour": hour, "count": 1}
    more = upsert(session, _TALLY, {"count": _TALLY.c.count + 1}).returning(_TALLY.c.count)
    current = connection.execute(more, values).scalar_one() - 1
    before = {"of_scope": values["scope"], "of_hour": hour - _HOUR}
    previous = connection.execute(_COUNT, before).scalar() or 0
    wait = until_room(previous, current, limit, now - hour)
    if wait:
        connection.execute(_ONE_LESS, {"of_scope": values["scope"], "of_hour": hour})
    return wait


def until_room(previous: int, current: int, limit: int, passed: timedelta) -> timedelta:
    """Gives how long there is no room for one more, zero where there is: so many came in the hour before and in this."""
    left = _HOUR - passed
    others = limit - 1
    if current > others:  # in the next hour, where this one is the hour before
        return left + _HOUR - _HOUR * others / current
    if previous * left <= (others - current) * _HOUR:
        return timedelta(0)
    return left - _HOUR * (others - current) / previous


def hour_of(now: datetime) -> datetime:
    """Gives the start of the hour."""
    return now.astimezone(UTC).replace(minute=0, second=0, microsecond=0)


def sweep(session: Session, now: datetime) -> None:
    """Forgets the hours that no limit asks for any more."""
    session.connection().execute(sa.delete(_TALLY).where(_TALLY.c.hour < now - _KEPT))


_OF_HOUR = (_TALLY.c.scope == sa.bindparam("of_scope"), _TALLY.c.hour == sa.bindparam("of_hour"))
_COUNT = sa.select(_TALLY.c.count).where(*_OF_HOUR)
_ONE_LESS = sa.update(_TALLY).where(*_OF_HOUR).values(count=_TALLY.c.count - 1)
