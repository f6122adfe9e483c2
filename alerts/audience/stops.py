"""When a reader's stop may be acknowledged.

An opening reads a chunk's readers, and commits a moment later. Whoever stops between the two would be
acknowledged before the opening that missed them is. So the transaction that stops them is followed by
another, which waits for the openings under way. A later opening reads its readers after that, and knows.
"""

from functools import partial

import sqlalchemy as sa
from sqlmodel import Session

from alerts import db
from alerts.models import Batch, table_of

_BATCH = table_of(Batch)


def acknowledge_after_openings(session: Session, subscriber_id: int) -> None:
    """Keeps the end of `Database.begin` back until no opening is under way that may have missed this stop."""
    db.once_committed(session, partial(_await_openings, subscriber_id=subscriber_id))


def _await_openings(session: Session, subscriber_id: int) -> None:
    """Waits for the batches' rows: an opening locks its batch's before it reads, and up to its commit.

    The batch was committed before, by its claim, so that it can be seen here. An exclusive lock, as shared
    ones pass by who waits: a thousand readers who leave at once would keep the batch from going on.
    """
    session.connection().execute(_UNDER_WAY, {"subscriber": subscriber_id})


_UNDER_WAY = (
    sa.select(_BATCH.c.alert_id)
    .where(
        _BATCH.c.due_at.is_not(None),
        _BATCH.c.worker != "",
        _BATCH.c.first_id <= sa.bindparam("subscriber"),
        _BATCH.c.last_id >= sa.bindparam("subscriber"),
    )
    .order_by(_BATCH.c.alert_id, _BATCH.c.first_id)  # one order of locks for all who wait
    .with_for_update(key_share=True)
)
