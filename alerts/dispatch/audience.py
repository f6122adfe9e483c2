"""Who an alert's readers are: the keyset scan over subscriptions, and what `eligible` must know of each."""

from collections.abc import Sequence
from itertools import groupby
from typing import Any

import sqlalchemy as sa
from sqlmodel import Session

from alerts.dispatch.eligible import AlertRule, Following, Reader
from alerts.models import Alert, Delivery, DeliveryState, Subscriber, Subscription, table_of

SUBSCRIPTION = table_of(Subscription)
SUBSCRIBER = table_of(Subscriber)
DELIVERY = table_of(Delivery)


def scan(session: Session, rule: AlertRule, *, after: int, upto: int, limit: int) -> list[int]:
    """The next subscriber ids of the audience in (after, upto], ascending, at most `limit`.

    Each (topic, frequency) is a run of one index, cut by its own limit; the runs are then merged. One query
    with OR would sort the whole audience for every batch.
    """
    runs = [
        sa.select(
            sa.select(SUBSCRIPTION.c.subscriber_id)
            .where(
                SUBSCRIPTION.c.topic_id == topic,
                SUBSCRIPTION.c.frequency == frequency,
                SUBSCRIPTION.c.subscriber_id > after,
                SUBSCRIPTION.c.subscriber_id <= upto,
                # Who left before the announcement was never owed it; who left since gets a recorded state.
                sa.or_(SUBSCRIPTION.c.until.is_(None), SUBSCRIPTION.c.until >= rule.announced_at),
            )
            .order_by(SUBSCRIPTION.c.subscriber_id)
            .limit(limit)
            .subquery()
            .c.subscriber_id
        )
        for topic, frequencies in sorted(rule.audience.items())
        for frequency in sorted(frequencies)
    ]
    if not runs:
        return []
    merged = sa.union(*runs).subquery()
    query = sa.select(merged.c.subscriber_id).order_by(merged.c.subscriber_id).limit(limit)
    return list(session.connection().execute(query).scalars())


def readers(
    session: Session, ids: Sequence[int], rule: AlertRule, after_alert_id: int | None
) -> list[Reader]:
    """What the decision needs of each subscriber, in the order of their ids (which must ascend)."""
    served = _served(session, ids, after_alert_id)
    # The bounds beside the list keep the join on an index range whatever the statistics say.
    query = (
        sa.select(
            SUBSCRIBER.c.id,
            SUBSCRIBER.c.address,
            SUBSCRIBER.c.language,
            SUBSCRIBER.c.state,
            SUBSCRIBER.c.suppressed,
            SUBSCRIPTION.c.topic_id,
            SUBSCRIPTION.c.frequency,
            SUBSCRIPTION.c.since,
            SUBSCRIPTION.c.chosen_at,
            SUBSCRIPTION.c.until,
        )
        .outerjoin(
            SUBSCRIPTION,
            sa.and_(
                SUBSCRIPTION.c.subscriber_id == SUBSCRIBER.c.id,
                SUBSCRIPTION.c.topic_id.in_(list(rule.audience)),
            ),
        )
        .where(SUBSCRIBER.c.id.between(ids[0], ids[-1]), SUBSCRIBER.c.id.in_(ids))
        .order_by(SUBSCRIBER.c.id, SUBSCRIPTION.c.topic_id)
    )
    rows = session.connection().execute(query).all()
    result = []
    for subscriber_id, group in groupby(rows, key=lambda row: row[0]):
        own = list(group)
        following = tuple(_following(row) for row in own if row.topic_id is not None)
        first = own[0]
        result.append(
            Reader(
                id=subscriber_id,
                address=first.address,
                language=first.language,
                state=first.state,
                suppressed=first.suppressed,
                following=following,
                is_served=subscriber_id in served,
            )
        )
    return result


def _following(row: sa.Row[*tuple[Any, ...]]) -> Following:
    return Following(row.topic_id, row.frequency, row.since, row.chosen_at, row.until)


def _served(session: Session, ids: Sequence[int], after_alert_id: int | None) -> frozenset[int]:
    """Who holds the entry from the earlier alert, or is in that alert's audience and so will.

    Who was skipped there has not got it: that is final, and another choice of theirs may bring it now.
    """
    if after_alert_id is None:
        return frozenset()
    first = session.get(Alert, after_alert_id)
    assert first is not None, "an alert is never deleted before those that follow it"
    query = sa.select(DELIVERY.c.subscriber_id, DELIVERY.c.state).where(
        DELIVERY.c.alert_id == after_alert_id,
        DELIVERY.c.subscriber_id.between(ids[0], ids[-1]),
        DELIVERY.c.subscriber_id.in_(ids),
    )
    opened = {row.subscriber_id: row.state for row in session.connection().execute(query)}
    waiting = [
        sa.select(SUBSCRIPTION.c.subscriber_id).where(
            SUBSCRIPTION.c.topic_id == int(topic),
            SUBSCRIPTION.c.frequency.in_(frequencies),
            SUBSCRIPTION.c.subscriber_id.between(ids[0], ids[-1]),
            SUBSCRIPTION.c.subscriber_id.in_(ids),
            SUBSCRIPTION.c.chosen_at <= first.announced_at,
            SUBSCRIPTION.c.until.is_(None),
        )
        for topic, frequencies in first.audience.items()
    ]
    waits = set(session.connection().execute(sa.union(*waiting)).scalars()) if waiting else set()
    got = {reader for reader, state in opened.items() if state != DeliveryState.SKIPPED}
    return frozenset(got | (waits - opened.keys()))
