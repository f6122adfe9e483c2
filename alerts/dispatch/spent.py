"""How far each rate is used up: one row a scope, locked from the look to the commit, so that machines add up."""

from collections.abc import Collection, Mapping
from datetime import datetime, timedelta

import sqlalchemy as sa
from sqlmodel import Session

from alerts import db
from alerts.models import RateState, table_of

RATE = table_of(RateState)

_RESTED = timedelta(days=1)  # what has never been used is due its first burst


def of_transport(name: str) -> str:
    return f"transport:{name}"


def of_domain(domain: str) -> str:
    return f"domain:{domain}"


def lock(session: Session, scopes: Collection[str], now: datetime) -> dict[str, datetime]:
    """Gives each scope's `spent_to`, and lets nobody else have it until this transaction ends.

    Who locks several does so in one call, or two would wait for one another.
    """
    found = _locked(session, scopes)
    if missing := sorted({*scopes} - found.keys()):
        rested = [{"scope": each, "spent_to": now - _RESTED} for each in missing]
        session.connection().execute(db.insert_or_ignore(session, RATE), rested)
        found = _locked(session, scopes)
    return found


def write(session: Session, spent_to: Mapping[str, datetime]) -> None:
    """Moves scopes that are locked."""
    if spent_to:
        session.connection().execute(_MOVE, [{"of": each, "to": to} for each, to in spent_to.items()])


def _locked(session: Session, scopes: Collection[str]) -> dict[str, datetime]:
    rows = session.connection().execute(_LOCK, {"scopes": scopes})
    return {row.scope: row.spent_to for row in rows}


_LOCK = sa.select(RATE).where(db.among(RATE.c.scope, "scopes")).order_by(RATE.c.scope).with_for_update()
_MOVE = sa.update(RATE).where(RATE.c.scope == sa.bindparam("of")).values(spent_to=sa.bindparam("to"))
