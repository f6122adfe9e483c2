"""What a reader was owed at once and comes with a digest instead: they chose digests meanwhile, or it is too old.

Each is a row that the next digest of that frequency takes away, and `spans.sweep` where the reader left before. Who changes a choice is in no alert's audience scan
any more, so what is under way then is diverted in the transaction of the change.
"""

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlmodel import Session

from alerts import db
from alerts.dispatch import audience
from alerts.dispatch.digests import horizon
from alerts.dispatch.eligible import IMMEDIATE, AlertRule, Send, as_it_stands, eligible, was_owed
from alerts.models import Alert, AlertState, Batch, Delivery, Diversion, Subscription, table_of

ALERT = table_of(Alert)
BATCH = table_of(Batch)
DELIVERY = table_of(Delivery)
DIVERSION = table_of(Diversion)


def note(session: Session, alert_id: int, ids: Sequence[int], frequency: str, now: datetime) -> None:
    """Has these readers' next digest carry an alert's entries; nothing where no frequency is given."""
    if not ids or not frequency:
        return
    at = horizon.at_release(session, now)
    of_alert = {"alert_id": alert_id, "frequency": frequency, "at": at}
    rows = [{"subscriber_id": each, **of_alert} for each in ids]
    session.connection().execute(db.insert_or_ignore(session, DIVERSION), rows)


def settle_change(session: Session, before: Subscription, now: datetime) -> None:
    """Records what becomes of alerts under way that a reader was owed by a choice that they have just changed.

    `before` is the subscription as it was; the new one must be flushed. What they are owed by another topic still
    comes at once.
    """
    if before.frequency not in IMMEDIATE:
        return
    for alert, rule in _under_way(session, before):
        _await_opening(session, alert.id, before.subscriber_id)
        key = {"of_alert": alert.id, "reader": before.subscriber_id}
        if session.connection().execute(_IS_OPENED, key).first() is not None:
            continue
        (alike,) = audience.readers(session, [before.subscriber_id], rule, alert.after_alert_id, now)
        verdict = eligible(alike.reader, rule, now)
        if isinstance(verdict, Send):
            continue
        row = {"state": verdict.state, "reason": verdict.reason, "at": now}
        key = {"alert_id": alert.id, "subscriber_id": before.subscriber_id}
        if session.connection().execute(db.insert_or_ignore(session, DELIVERY), [key | row]).rowcount:
            note(session, alert.id, [before.subscriber_id], verdict.digest, now)


def _under_way(session: Session, before: Subscription) -> Iterator[tuple[sa.Row[Any], AlertRule]]:
    """Gives the alerts that are going out, and that this subscription was owed."""
    for alert in session.connection().execute(_OPEN, {"reader": before.subscriber_id}).all():
        rule = audience.rule_of(alert)
        if rule.slot is None and was_owed(as_it_stands(before, rule), rule):
            yield alert, rule


def _await_opening(session: Session, alert_id: int, subscriber_id: int) -> None:
    """Waits for an opening of the reader's batch that is under way; the next one sees the change."""
    session.connection().execute(_LOCK_BATCH, {"of_alert": alert_id, "reader": subscriber_id})


_OPEN = (
    sa.select(ALERT)
    .where(ALERT.c.state == AlertState.RELEASED, ALERT.c.last_subscriber_id >= sa.bindparam("reader"))
    .order_by(ALERT.c.id)
)
_LOCK_BATCH = (
    sa.select(BATCH.c.first_id)
    .where(
        BATCH.c.alert_id == sa.bindparam("of_alert"),
        BATCH.c.first_id <= sa.bindparam("reader"),
        BATCH.c.last_id >= sa.bindparam("reader"),
        BATCH.c.due_at.is_not(None),
    )
    .with_for_update(key_share=True)
)
_IS_OPENED = sa.select(DELIVERY.c.state).where(
    DELIVERY.c.alert_id == sa.bindparam("of_alert"), DELIVERY.c.subscriber_id == sa.bindparam("reader")
)
