"""Why a reader got an entry, or did not: told from the ledger and the record of their choices."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from sqlmodel import Session, col, select

from alerts.dispatch.digests import telling
from alerts.dispatch.digests.telling import Brought
from alerts.errors import NotFound
from alerts.models import (
    Alert,
    AlertEntry,
    AlertState,
    Delivery,
    DeliveryState,
    Entry,
    Feed,
    Subscriber,
    Subscription,
    SubscriptionEvent,
    Topic,
)

_ENDS = {
    DeliveryState.SENDING: "opened, and on its way or in a worker's hands",
    DeliveryState.ACCEPTED: "accepted by the mail server",
    DeliveryState.DEFERRED: "not taken yet; it will be tried again",
    DeliveryState.REFUSED: "refused for good",
    DeliveryState.UNKNOWN: "in doubt: it may have been accepted",
    DeliveryState.EXPIRED: "expired",
    DeliveryState.CANCELLED: "cancelled",
    DeliveryState.SKIPPED: "not sent",
    DeliveryState.DIVERTED: "moved to a digest",
}


# States in which a digest may bring what an alert did not.
_NOT_HELD = (DeliveryState.DIVERTED, DeliveryState.SKIPPED, DeliveryState.EXPIRED, DeliveryState.REFUSED)


@dataclass(frozen=True, slots=True)
class Step:
    """One fact, and when it became one."""

    at: datetime
    what: str


@dataclass(frozen=True, slots=True)
class Explanation:
    """The answer in a sentence, and the facts behind it in the order of time."""

    subscriber_id: int
    entry_id: int
    answer: str
    steps: tuple[Step, ...]

    def lines(self) -> list[str]:
        """Gives the text for a terminal."""
        return [self.answer, *(f"  {step.at:%Y-%m-%d %H:%M:%S} UTC  {step.what}" for step in self.steps)]

    def as_json(self) -> dict[str, Any]:
        """Gives the same as plain values, times in RFC 3339."""
        steps = [asdict(step) | {"at": step.at.isoformat()} for step in self.steps]
        return asdict(self) | {"steps": steps}


def explain(session: Session, address_key: str, entry_id: int, now: datetime) -> Explanation:
    """Tells what became of one entry for one reader; NotFound for an unknown reader or entry."""
    subscriber = session.exec(select(Subscriber).where(Subscriber.address_key == address_key)).first()
    if subscriber is None or subscriber.id is None:
        raise NotFound("No subscriber has this address (or it was erased).")
    entry = session.get(Entry, entry_id)
    if entry is None:
        raise NotFound(f"There is no entry {entry_id}; `alerts entries list` shows them.")
    alerts = session.exec(
        select(Alert)
        .join(AlertEntry, col(AlertEntry.alert_id) == Alert.id)
        .where(AlertEntry.entry_id == entry_id, col(Alert.window_end).is_(None))
        .order_by(col(Alert.id))
    ).all()
    deliveries = _deliveries(session, subscriber.id, alerts)
    digests = telling.brought(session, subscriber.id, entry_id)
    steps = [
        *_entry_steps(session, entry),
        *(step for alert in alerts for step in _alert_steps(alert)),
        *_choice_steps(session, subscriber.id),
        *(
            _delivery_step(f"alert {alert.id}", deliveries[alert.id])
            for alert in alerts
            if alert.id in deliveries
        ),
        *(_delivery_step(telling.name(each.digest), each.delivery) for each in digests),
    ]
    answer = _by_digest(digests) or _answer(session, subscriber, entry, alerts, deliveries, now)
    return Explanation(subscriber.id, entry_id, answer, tuple(sorted(steps, key=lambda step: step.at)))


def _deliveries(session: Session, subscriber_id: int, alerts: Sequence[Alert]) -> dict[int, Delivery]:
    rows = session.exec(
        select(Delivery).where(
            Delivery.subscriber_id == subscriber_id,
            col(Delivery.alert_id).in_([alert.id for alert in alerts]),
        )
    ).all()
    return {row.alert_id: row for row in rows}


def _entry_steps(session: Session, entry: Entry) -> list[Step]:
    feed = session.get(Feed, entry.feed_id)
    kind = "key event" if entry.is_key_event else "entry"
    words = f"{kind} {entry.id} was first seen in the feed {feed.name if feed else entry.feed_id}"
    if entry.is_baseline:
        words += ", as part of its baseline: it was there before we watched"
    return [Step(entry.first_seen_at, words)]


def _alert_steps(alert: Alert) -> list[Step]:
    steps = [Step(alert.announced_at, f"alert {alert.id} was announced in the lane {alert.lane}")]
    if alert.released_at and alert.released_at != alert.announced_at:
        steps.append(Step(alert.released_at, f"alert {alert.id} was released"))
    return steps


def _choice_steps(session: Session, subscriber_id: int) -> list[Step]:
    events = session.exec(
        select(SubscriptionEvent, Topic.slug)
        .join(Topic, col(Topic.id) == SubscriptionEvent.topic_id, isouter=True)
        .where(SubscriptionEvent.subscriber_id == subscriber_id)
        .order_by(col(SubscriptionEvent.id))
    ).all()
    return [
        Step(
            event.at,
            " ".join(filter(None, ["reader:", event.kind, slug or "", event.detail, f"(by {event.by})"])),
        )
        for event, slug in events
    ]


def _delivery_step(what: str, row: Delivery) -> Step:
    words = [f"{what}: {_ENDS[DeliveryState(row.state)]}"]
    if row.reason:
        words.append(f"({row.reason})")
    if row.attempts:
        words.append(f"after {row.attempts} attempt(s) through {row.transport}")
    if row.code:
        words.append(f"the server said {row.code} {row.reply}".strip())
    return Step(row.at, ", ".join(words))


def _by_digest(digests: Sequence[Brought]) -> str:
    """Says what became of the digest that carried the entry; the last, if there was more than one."""
    if not digests:
        return ""
    last = digests[-1]
    row, name = last.delivery, telling.name(last.digest)
    if row.state == DeliveryState.ACCEPTED:
        return f"Sent in the {name}: accepted by {row.transport} at {row.at:%Y-%m-%d %H:%M:%S} UTC."
    why = f": {row.reason}" if row.reason else ""
    return f"In the {name}, which is {_ENDS[DeliveryState(row.state)]}{why}."


def _answer(  # noqa: PLR0911 - a list of answers
    session: Session,
    subscriber: Subscriber,
    entry: Entry,
    alerts: Sequence[Alert],
    deliveries: dict[int, Delivery],
    now: datetime,
) -> str:
    sent = [row for row in deliveries.values() if row.state == DeliveryState.ACCEPTED]
    if sent:
        return f"Sent: accepted by {sent[0].transport} at {sent[0].at:%Y-%m-%d %H:%M:%S} UTC."
    subscriber_id = subscriber.id
    assert subscriber_id is not None, "read from the table"
    by_digest = telling.expected(session, subscriber_id, alerts, now)
    if by_digest and all(row.state in _NOT_HELD for row in deliveries.values()):
        return f"Not sent at once: {by_digest}."
    if deliveries:
        row = next(iter(deliveries.values()))
        why = f": {row.reason}" if row.reason else ""
        return f"{_ENDS[DeliveryState(row.state)].capitalize()}{why}."
    if not alerts:
        if entry.is_baseline:
            return "Not sent to anybody: the entry was there when the feed was first read."
        return "Not sent to anybody: no topic wanted this entry, or its feed is held."
    if all(alert.state == AlertState.HELD for alert in alerts):
        return f"Not sent yet: the alert is held ({alerts[0].state_reason})."
    reason = _why_not_owed(session, subscriber, alerts)
    if reason:
        return f"Not owed: {reason}."
    return "Not sent so far: the alert is going out, and has not come to this reader yet."


def _why_not_owed(session: Session, subscriber: Subscriber, alerts: Sequence[Alert]) -> str:
    """Says why the reader is outside of the alerts' audience; empty when they are in it."""
    wanted = {int(topic): words for alert in alerts for topic, words in alert.audience.items()}
    own = session.exec(
        select(Subscription).where(
            Subscription.subscriber_id == subscriber.id, col(Subscription.topic_id).in_(wanted)
        )
    ).all()
    announced = min(alert.announced_at for alert in alerts)
    if not own:
        return "the reader follows none of the topics that this entry belongs to"
    if all(each.until is not None and each.until < announced for each in own):
        return "the reader had left before the alert was announced"
    if all(each.since > announced for each in own):
        return "the reader followed after the alert was announced"
    if any(each.frequency in wanted[each.topic_id] for each in own):
        return ""
    choices = ", ".join(sorted({each.frequency for each in own}))
    return f"the reader's choice ({choices}) does not include this kind of entry"
