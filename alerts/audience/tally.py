"""How often something was asked for in the present hour: counted in the database, so exact over all processes.

A scope is kept as a hash. Hours are those of the clock, so that at their change twice as much may come at once.
"""

from datetime import UTC, datetime, timedelta

import sqlalchemy as sa
from sqlmodel import Session

from alerts.audience.tokens import address_hash
from alerts.db import upsert
from alerts.models import Tally, table_of

_TALLY = table_of(Tally)
_KEPT = timedelta(hours=2)


def count(session: Session, pepper: bytes, scope: str, now: datetime) -> int:
    """Counts one more, and gives how many there are in this hour with it."""
    values = {"scope": address_hash(pepper, scope), "hour": hour_of(now), "count": 1}
    statement = upsert(session, _TALLY, {"count": _TALLY.c.count + 1}).returning(_TALLY.c.count)
    counted: int = session.connection().execute(statement, values).scalar_one()
    return counted


def hour_of(now: datetime) -> datetime:
    """Gives the start of the hour."""
    return now.astimezone(UTC).replace(minute=0, second=0, microsecond=0)


def sweep(session: Session, now: datetime) -> None:
    """Forgets the hours that are over."""
    session.connection().execute(sa.delete(_TALLY).where(_TALLY.c.hour < now - _KEPT))
