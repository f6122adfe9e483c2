"""Who an alert's readers are: the keyset scan over subscriptions or marks, and what `eligible` must know of each."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from itertools import groupby
from operator import itemgetter
from typing import Any, TypeAlias

import sqlalchemy as sa
from sqlmodel import Session

from alerts import db
from alerts.dispatch.digests import carried
from alerts.dispatch.eligible import AlertRule, Following, Reader, Slot
from alerts.models import Alert, Delivery, DeliveryState, DigestMark, Subscriber, Subscription, table_of

SUBSCRIPTION = table_of(Subscription)
SUBSCRIBER = table_of(Subscriber)
DELIVERY = table_of(Delivery)
MARK = table_of(DigestMark)


_Shape: TypeAlias = tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Alike:
    """Subscribers who differ in nothing that an alert's mail or the decision about it depends on."""

    reader: Reader
    language: str
    members: Sequence[tuple[int, str]]  # id and address


def rule_of(alert: sa.Row[Any] | Alert) -> AlertRule:
    """Gives whom a released alert is for."""
    return AlertRule(
        {int(topic): frozenset(words) for topic, words in alert.audience.items()},
        alert.released_at or alert.announced_at,
        alert.expires_at,
        _slot_of(alert) if alert.window_end else None,
    )


def _slot_of(alert: Any) -> Slot:
    is_skipped = alert.expires_at <= alert.announced_at
    return Slot(alert.frequency, alert.slot, alert.window_end, is_skipped)


def run(session: Session, rule: AlertRule, *, after: int, upto: int, limit: int) -> tuple[int, int, int]:
    """The first and the last id of what `scan` gives, and how many they are; zeros for none."""
    runs, values = _bound(rule, after, upto, limit)
    if not runs:
        return 0, 0, 0
    found = session.connection().execute(_ends(runs), values).one()
    return found.first_id or 0, found.last_id or 0, found.readers


def scan(session: Session, rule: AlertRule, *, after: int, upto: int, limit: int) -> list[int]:
    """The next subscriber ids of the audience in (after, upto], ascending, at most `limit`."""
    runs, values = _bound(rule, after, upto, limit)
    if not runs:
        return []
    return [*session.connection().execute(_scan(runs), values).scalars()]


def _bound(rule: AlertRule, after: int, upto: int, limit: int) -> tuple[int, dict[str, object]]:
    """How many runs the scan has, and what it binds."""
    values: dict[str, object] = {
        "after": after,
        "upto": upto,
        "released_at": rule.released_at,
        "limit": limit,
    }
    if rule.slot is not None:
        return _SLOT, values | {"of_frequency": rule.slot.frequency, "of_slot": rule.slot.name}
    runs = [
        (topic, frequency)
        for topic, frequencies in sorted(rule.audience.items())
        for frequency in sorted(frequencies)
    ]
    for number, (topic, frequency) in enumerate(runs):
        values |= {f"topic_{number}": topic, f"frequency_{number}": frequency}
    return len(runs), values


@cache
def _ends(runs: int) -> sa.Select[Any]:
    ids = _scan(runs).subquery().c.subscriber_id
    columns: list[sa.ColumnElement[Any]] = [
        sa.func.min(ids).label("first_id"),
        sa.func.max(ids).label("last_id"),
        sa.func.count().label("readers"),
    ]
    return sa.select(*columns)


@cache
def _scan(runs: int) -> sa.Select[tuple[int]]:
    """Each (topic, frequency) is a run of one index, cut by its own limit; the runs are then merged.

    One query with OR would sort the whole audience for every batch.
    """
    limit = sa.bindparam("limit", type_=sa.Integer)
    if runs == _SLOT:
        return _SLOT_RUN.limit(limit)
    if runs == 1:
        return _run(0).limit(limit)
    merged = sa.union(
        *(sa.select(_run(number).limit(limit).subquery().c.subscriber_id) for number in range(runs))
    ).subquery()
    return sa.select(merged.c.subscriber_id).order_by(merged.c.subscriber_id).limit(limit)


def _run(number: int) -> sa.Select[tuple[int]]:
    return (
        sa.select(SUBSCRIPTION.c.subscriber_id)
        .where(
            SUBSCRIPTION.c.topic_id == sa.bindparam(f"topic_{number}"),
            SUBSCRIPTION.c.frequency == sa.bindparam(f"frequency_{number}"),
            SUBSCRIPTION.c.subscriber_id > sa.bindparam("after"),
            SUBSCRIPTION.c.subscriber_id <= sa.bindparam("upto"),
            # Who left before the release was never owed it; who left since gets a recorded state.
            sa.or_(SUBSCRIPTION.c.until.is_(None), SUBSCRIPTION.c.until >= sa.bindparam("released_at")),
        )
        .order_by(SUBSCRIPTION.c.subscriber_id)
    )


# In place of the number of runs: a digest's readers are one run of the marks' index. A digest's release is the end of
# its windows: whose mark is there already has none, and who left since gets a recorded state.
_SLOT = -1
_SLOT_RUN = (
    sa.select(MARK.c.subscriber_id)
    .where(
        MARK.c.frequency == sa.bindparam("of_frequency"),
        MARK.c.slot == sa.bindparam("of_slot"),
        MARK.c.subscriber_id > sa.bindparam("after"),
        MARK.c.subscriber_id <= sa.bindparam("upto"),
        MARK.c.through < sa.bindparam("released_at"),
        sa.or_(MARK.c.until.is_(None), MARK.c.until >= sa.bindparam("released_at")),
    )
    .order_by(MARK.c.subscriber_id)
)


# The bounds beside the list keep the join on an index range whatever the statistics say.
_READERS = (
    sa.select(
        SUBSCRIBER.c.id,
        SUBSCRIBER.c.address,
        SUBSCRIBER.c.language,
        SUBSCRIBER.c.state,
        SUBSCRIBER.c.suppressed,
        sa.func.coalesce(SUBSCRIBER.c.paused_until > sa.bindparam("now"), sa.false()),
        SUBSCRIPTION.c.topic_id,
        SUBSCRIPTION.c.frequency,
        # Compared here: to make three times of each row would cost more than all the rest.
        SUBSCRIPTION.c.since <= sa.bindparam("released_at"),
        SUBSCRIPTION.c.chosen_at <= sa.bindparam("released_at"),
        SUBSCRIPTION.c.until.is_not(None),
        sa.func.coalesce(SUBSCRIPTION.c.immediate_since, SUBSCRIPTION.c.chosen_at)
        <= sa.bindparam("released_at"),
    )
    .outerjoin(
        SUBSCRIPTION,
        sa.and_(SUBSCRIPTION.c.subscriber_id == SUBSCRIBER.c.id, db.among(SUBSCRIPTION.c.topic_id, "topics")),
    )
    .where(
        SUBSCRIBER.c.id.between(sa.bindparam("first"), sa.bindparam("last")), db.among(SUBSCRIBER.c.id, "ids")
    )
    .order_by(SUBSCRIBER.c.id, SUBSCRIPTION.c.topic_id)
)


def readers(
    session: Session,
    ids: Sequence[int],
    rule: AlertRule,
    after_alert_id: int | None,
    now: datetime,
    topics: Sequence[int] | None = None,
) -> list[Alike]:
    """What the decision needs of each subscriber (their ids must ascend), said once for all who are alike.

    Of their subscriptions it gives those to the alert's topics, or to `topics`.
    """
    served = _served(session, ids, after_alert_id)
    values = {
        "ids": ids,
        "first": ids[0],
        "last": ids[-1],
        "topics": sorted(rule.audience) if topics is None else topics,
        "released_at": rule.released_at,
        "now": now,
    }
    rows = session.connection().execute(_READERS, values).all()
    members: dict[_Shape, list[tuple[int, str]]] = defaultdict(list)
    for subscriber_id, own in groupby(rows, key=itemgetter(0)):
        first, *others = own
        _, address, *_ = first
        shape = (bool(address), subscriber_id in served, first[2:], *(row[6:] for row in others))
        members[shape].append((subscriber_id, address or ""))
    return [_alike(shape, each) for shape, each in members.items()]


def _alike(shape: _Shape, members: Sequence[tuple[int, str]]) -> Alike:
    has_address, is_served, (language, state, suppressed, is_paused, *first), *others = shape
    following = tuple(Following(*each) for each in (first, *others) if each[0] is not None)
    reader = Reader(has_address, state, suppressed, following, is_served, bool(is_paused))
    return Alike(reader, language, members)


def _served(session: Session, ids: Sequence[int], after_alert_id: int | None) -> frozenset[int]:
    """Who holds the entry from the earlier alert or a digest, or is in that alert's audience and so will.

    Who was skipped there has not got it: that is final, and another choice of theirs may bring it now.
    """
    if after_alert_id is None:
        return frozenset()
    first = session.get(Alert, after_alert_id)
    assert first is not None, "an alert is never deleted before those that follow it"
    values = {"ids": ids, "first": ids[0], "last": ids[-1], "alert_id": after_alert_id}
    opened = {row.subscriber_id: row.state for row in session.connection().execute(_OPENED, values)}
    waits: set[int] = set()
    for topic, frequencies in first.audience.items():
        released_at = first.released_at or first.announced_at
        wanted = {"topic": int(topic), "frequencies": frequencies, "released_at": released_at}
        waits.update(session.connection().execute(_WAITING, values | wanted).scalars())
    got = {reader for reader, state in opened.items() if state not in _WITHOUT}
    return frozenset(got | (waits - opened.keys()) | carried.by_digests_of(session, ids, after_alert_id))


# What has not come, and may come by another alert: that is final for the one that left them out.
_WITHOUT = frozenset({DeliveryState.SKIPPED, DeliveryState.DIVERTED})


_OPENED = sa.select(DELIVERY.c.subscriber_id, DELIVERY.c.state).where(
    DELIVERY.c.alert_id == sa.bindparam("alert_id"),
    DELIVERY.c.subscriber_id.between(sa.bindparam("first"), sa.bindparam("last")),
    db.among(DELIVERY.c.subscriber_id, "ids"),
)
_WAITING = sa.select(SUBSCRIPTION.c.subscriber_id).where(
    SUBSCRIPTION.c.topic_id == sa.bindparam("topic"),
    db.among(SUBSCRIPTION.c.frequency, "frequencies"),
    SUBSCRIPTION.c.subscriber_id.between(sa.bindparam("first"), sa.bindparam("last")),
    db.among(SUBSCRIPTION.c.subscriber_id, "ids"),
    SUBSCRIPTION.c.chosen_at <= sa.bindparam("released_at"),
    SUBSCRIPTION.c.until.is_(None),
)
