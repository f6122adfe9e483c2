"""How the newest alerts stand, and the feeds."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa
from sqlmodel import Session, col, select

from alerts.feeds.views import all_views
from alerts.models import Alert, AlertEntry, AlertState, Delivery, EntryRevision, FeedState


@dataclass(frozen=True, slots=True)
class AlertStatus:
    """One alert, and how many of its mails are in which state."""

    id: int
    lane: str
    state: str
    state_reason: str
    title: str
    announced_at: datetime
    released_at: datetime | None
    first_accepted_at: datetime | None
    last_accepted_at: datetime | None
    done_at: datetime | None
    deliveries: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class FeedsStatus:
    """How many feeds are in which state, and what a person should look at, by the feed's name."""

    states: Mapping[str, int]
    needs: Mapping[str, str]


def feeds(session: Session) -> FeedsStatus:
    """Says how the feeds stand."""
    found = all_views(session)
    states = Counter(feed.state for feed in found)
    return FeedsStatus(
        {state: states[state] for state in FeedState if states[state]},
        {
            feed.draft.name: f"{feed.state}: {feed.needs}" if feed.state != FeedState.ACTIVE else feed.needs
            for feed in found
            if feed.needs
        },
    )


def newest(session: Session, limit: int) -> list[AlertStatus]:
    """Gives the newest alerts, the newest first; counts as many rows as they have mails."""
    return _statuses(session, session.exec(select(Alert).order_by(col(Alert.id).desc()).limit(limit)).all())


def held(session: Session) -> list[AlertStatus]:
    """Gives the alerts that wait, the oldest first."""
    waiting = select(Alert).where(Alert.state == AlertState.HELD).order_by(col(Alert.id))
    return _statuses(session, session.exec(waiting).all())


def _statuses(session: Session, alerts: Sequence[Alert]) -> list[AlertStatus]:
    ids = [_id(alert) for alert in alerts]
    counts: dict[int, dict[str, int]] = {}
    counting = (
        select(Delivery.alert_id, Delivery.state, sa.func.count())
        .where(col(Delivery.alert_id).in_(ids))
        .group_by(col(Delivery.alert_id), col(Delivery.state))
        .order_by(col(Delivery.state))
    )
    for alert_id, state, count in session.exec(counting):
        counts.setdefault(alert_id, {})[state] = count
    titles = dict(
        session.exec(
            select(AlertEntry.alert_id, EntryRevision.title)
            .join(
                EntryRevision,
                (col(EntryRevision.entry_id) == AlertEntry.entry_id)
                & (col(EntryRevision.number) == AlertEntry.revision),
            )
            .where(col(AlertEntry.alert_id).in_(ids))
        ).all()
    )
    titles |= {_id(alert): f"{alert.frequency} digest, {alert.slot}" for alert in alerts if alert.frequency}
    return [_status(alert, titles.get(_id(alert), ""), counts.get(_id(alert), {})) for alert in alerts]


def _status(alert: Alert, title: str, deliveries: Mapping[str, int]) -> AlertStatus:
    return AlertStatus(
        id=_id(alert),
        lane=alert.lane,
        state=alert.state,
        state_reason=alert.state_reason,
        title=title,
        announced_at=alert.announced_at,
        released_at=alert.released_at,
        first_accepted_at=alert.first_accepted_at,
        last_accepted_at=alert.last_accepted_at,
        done_at=alert.done_at,
        deliveries=deliveries,
    )


def _id(alert: Alert) -> int:
    assert alert.id is not None, "read from the table"
    return alert.id
