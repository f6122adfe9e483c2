"""What `alerts explain` says of digests: the one that brought an entry, the one that will, or why none does."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlmodel import Session, col, select

from alerts.audience import slots
from alerts.dispatch.digests.released import topics_of
from alerts.models import (
    Alert,
    AlertEntry,
    AlertState,
    Delivery,
    DeliveryState,
    DigestMark,
    DigestSpan,
    Diversion,
    Entry,
    Frequency,
    Selection,
    Subscriber,
    Subscription,
    SubscriptionEvent,
)

_JUST_BEFORE = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class Brought:
    """A reader's digest that carried an entry, and what became of it."""

    digest: Alert
    delivery: Delivery


def name(digest: Alert) -> str:
    """Names a digest: its frequency and its instant."""
    assert digest.window_end is not None, "a digest's"
    late = "late " if digest.is_late else ""
    return f"{late}{digest.frequency} digest of {digest.window_end:%Y-%m-%d %H:%M} UTC"


def brought(session: Session, subscriber_id: int, entry_id: int) -> list[Brought]:
    """Gives a reader's digests that carried an entry, the first one first."""
    rows = session.exec(
        select(Alert, Delivery, Selection)
        .join(
            Delivery,
            (col(Delivery.alert_id) == Alert.id) & (col(Delivery.subscriber_id) == subscriber_id),
        )
        .join(
            Selection,
            (col(Selection.alert_id) == Alert.id) & (col(Selection.variant) == Delivery.variant),
        )
        .where(
            col(Alert.id).in_(select(AlertEntry.alert_id).where(AlertEntry.entry_id == entry_id)),
            col(Alert.window_end).is_not(None),
        )
        .order_by(col(Alert.window_end), col(Alert.id))
    ).all()
    return [
        Brought(digest, delivery)
        for digest, delivery, selection in rows
        if any(carried == entry_id for carried, _, _ in selection.entries)
    ]


def expected(session: Session, subscriber_id: int, alerts: Sequence[Alert], now: datetime) -> str:
    """Says which digest will bring what these alerts are about, or why none did; empty where none was to."""
    ids = [alert.id for alert in alerts]
    diverted = session.exec(
        select(Diversion)
        .join(
            DigestMark,
            (col(DigestMark.subscriber_id) == Diversion.subscriber_id)
            & (col(DigestMark.frequency) == Diversion.frequency),
        )
        .where(
            Diversion.subscriber_id == subscriber_id,
            col(Diversion.alert_id).in_(ids),
            col(DigestMark.until).is_(None),
        )
    ).first()
    if diverted is not None:
        return _coming(session, subscriber_id, diverted.frequency, now)
    has_passed = False
    for alert in alerts:
        for span in _spans(session, subscriber_id, alert):
            mark = session.get(DigestMark, (subscriber_id, span.frequency))
            assert mark is not None, "a span has a mark"
            if alert.released_at is not None and mark.through <= alert.released_at:
                return _coming(session, subscriber_id, span.frequency, now)
            has_passed = has_passed or alert.state == AlertState.DONE
    if any(_passed_by_pause(session, subscriber_id, alert) for alert in alerts):
        return "the reader had paused when it was released"
    if (why := _passed(session, subscriber_id, alerts)) or not has_passed:
        return why
    # It is shown again; of an alert that has gone out, a digest leaves out nothing else without a row.
    rows = select(Delivery).where(Delivery.subscriber_id == subscriber_id, col(Delivery.alert_id).in_(ids))
    return "" if session.exec(rows).first() else "its publisher had taken it back when its digest came"


def _passed_by_pause(session: Session, subscriber_id: int, alert: Alert) -> bool:
    """Whether a reader of digests had paused at an alert's release."""
    at = alert.released_at
    if at is None:
        return False
    would_carry = select(Subscription.topic_id).where(
        Subscription.subscriber_id == subscriber_id,
        col(Subscription.topic_id).in_(topics_of(alert.audience)),
        col(Subscription.frequency).in_([each for each in Frequency if each.is_digest]),
        Subscription.since <= at,
    )
    if session.exec(would_carry).first() is None:
        return False
    pauses = session.exec(
        select(SubscriptionEvent)
        .where(
            SubscriptionEvent.subscriber_id == subscriber_id,
            col(SubscriptionEvent.kind).in_(["pause", "resume"]),
        )
        .order_by(col(SubscriptionEvent.id))
    ).all()
    if not pauses:  # a list may have brought one
        paused_until = session.get_one(Subscriber, subscriber_id).paused_until
        return paused_until is not None and at < paused_until
    last = next((each for each in reversed(pauses) if each.at <= at), None)
    return last is not None and last.kind == "pause" and at < datetime.fromisoformat(last.detail)


def _spans(session: Session, subscriber_id: int, alert: Alert) -> list[DigestSpan]:
    if alert.released_at is None:
        return []
    spans = session.exec(
        select(DigestSpan)
        .where(
            DigestSpan.subscriber_id == subscriber_id,
            col(DigestSpan.topic_id).in_(topics_of(alert.audience)),
            DigestSpan.since <= alert.released_at,
        )
        .order_by(DigestSpan.frequency)
    ).all()
    return [each for each in spans if each.until is None or each.until > alert.released_at]


def _coming(session: Session, subscriber_id: int, frequency: str, now: datetime) -> str:
    mark = session.get(DigestMark, (subscriber_id, frequency))
    assert mark is not None, "who is owed a digest has a mark"
    paused_until = session.get_one(Subscriber, subscriber_id).paused_until or now
    # The one that is due as a pause ends comes.
    due = slots.coming(frequency, mark.slot, max(now, mark.through, paused_until - _JUST_BEFORE))
    return f"it comes with the {frequency} digest, due {due:%Y-%m-%d %H:%M} UTC"


def _passed(session: Session, subscriber_id: int, alerts: Sequence[Alert]) -> str:
    """Says why the digest whose time an alert fell into did not bring it."""
    released = [alert.released_at for alert in alerts if alert.released_at is not None]
    if not released:
        return ""
    found = session.exec(
        select(Alert, Delivery.reason)
        .join(Delivery, col(Delivery.alert_id) == Alert.id)
        .where(
            Delivery.subscriber_id == subscriber_id,
            col(Alert.window_end) > min(released),
            col(Delivery.state).in_([DeliveryState.SKIPPED, DeliveryState.EXPIRED]),
            Delivery.variant == "",
        )
        .order_by(col(Alert.window_end))
        .limit(1)
    ).first()
    if found is not None:
        digest, reason = found
        return f"the {name(digest)} was not sent ({reason})"
    entry_ids = select(AlertEntry.entry_id).where(
        col(AlertEntry.alert_id).in_([alert.id for alert in alerts])
    )
    taken_back = select(Entry.id).where(col(Entry.id).in_(entry_ids), col(Entry.withdrawn_at).is_not(None))
    return "its publisher took it back" if session.exec(taken_back).first() is not None else ""
