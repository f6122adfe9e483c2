"""The instant before which nothing is released any more: digests may tell of the time until then.

It is a row. Whoever releases or diverts shares its lock until their commit, and does so at no earlier instant; it is
moved only while nobody has that lock. So what was released before it is committed, however long that took and whatever
clock it went by.
"""

from datetime import UTC, datetime

import sqlalchemy as sa
from sqlmodel import Session

from alerts import db
from alerts.models import Site, SiteFact, table_of

SITE = table_of(Site)

_BEGIN = datetime.fromtimestamp(0, UTC)  # it was never moved


def at_release(session: Session, now: datetime) -> datetime:
    """Gives the instant of what this transaction releases or diverts: now, or the horizon where that is further on.

    The horizon stays where it is until the transaction ends; others may release meanwhile.
    """
    held = session.connection().execute(_SHARED).scalar()
    if held is None:  # the first release of a site
        _make(session)
        held = session.connection().execute(_SHARED).scalar_one()
    return max(now, datetime.fromisoformat(held))


def move(session: Session, to: datetime) -> None:
    """Moves the horizon on, but not while a release is under way: then it stays where it is.

    Commit at once: releases wait for that.
    """
    held = session.connection().execute(_ALONE).scalar()
    if held is None:
        _make(session)
        held = session.connection().execute(_ALONE).scalar()
    if held is not None and datetime.fromisoformat(held) < to:
        session.connection().execute(_MOVE, {"to": to.isoformat()})


def reached(session: Session) -> datetime:
    """Gives how far the horizon was moved."""
    found = session.connection().execute(_READ).scalar()
    return _BEGIN if found is None else datetime.fromisoformat(found)


def _make(session: Session) -> None:
    row = {"name": SiteFact.HORIZON.value, "value": _BEGIN.isoformat()}
    session.connection().execute(db.insert_or_ignore(session, SITE), [row])


_READ = sa.select(SITE.c.value).where(SITE.c.name == SiteFact.HORIZON.value)
_SHARED = _READ.with_for_update(read=True)
_ALONE = _READ.with_for_update(skip_locked=True)
_MOVE = sa.update(SITE).where(SITE.c.name == SiteFact.HORIZON.value).values(value=sa.bindparam("to"))
