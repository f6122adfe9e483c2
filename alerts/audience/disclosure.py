"""All that is kept of one reader, as plain values: what they download, and what the law calls access."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, TypeAlias

import sqlalchemy as sa
from sqlmodel import Session, col, select

from alerts.audience.tokens import address_hash
from alerts.errors import NotFound
from alerts.models import (
    AddressChange,
    Alert,
    AlertEntry,
    Consent,
    Delivery,
    DeliveryState,
    DigestMark,
    EntryRevision,
    Farewell,
    Notice,
    Selection,
    Subscriber,
    Subscription,
    SubscriptionEvent,
    Suppression,
    Topic,
    Wording,
)

_PAGE = 500  # alerts at a time
# What an alert was about is no word to a reader who was not mailed.
_UNTOLD = (DeliveryState.SKIPPED, DeliveryState.DIVERTED, DeliveryState.EXPIRED, DeliveryState.CANCELLED)

Values: TypeAlias = dict[str, Any]


def of_reader(session: Session, pepper: bytes, subscriber_id: int, now: datetime) -> Values:
    """Gives everything about one reader, by plain names; times are RFC 3339 in UTC. NotFound for nobody."""
    reader = session.get(Subscriber, subscriber_id)
    if reader is None or reader.address_key is None:
        raise NotFound(f"Nothing is kept of a subscriber {subscriber_id}.")
    hashed = address_hash(pepper, reader.address_key)
    topics = {id_: {"slug": slug, "title": title} for id_, slug, title in _topics(session)}
    return {
        "written_at": _time(now),
        "reader": _reader(reader),
        "subscriptions": [
            _subscription(each, topics) for each in _mine(session, Subscription, subscriber_id)
        ],
        "digests": [_mark(each) for each in _mine(session, DigestMark, subscriber_id)],
        "history": [_event(each, topics) for each in _history(session, subscriber_id)],
        "consents": _consents(session, subscriber_id),
        "reasons_for_leaving": [_farewell(each, topics) for each in _mine(session, Farewell, subscriber_id)],
        "change_of_address": [_change(each) for each in _mine(session, AddressChange, subscriber_id)],
        "suppression": _suppression(session, hashed),
        "mails_you_asked_for": [_notice(each) for each in _notices(session, hashed)],
        "alerts_and_digests": [*_deliveries(session, subscriber_id)],
    }


def _time(at: datetime | None) -> str | None:
    return None if at is None else at.isoformat()


def _topics(session: Session) -> Sequence[tuple[int | None, str, str]]:
    return session.exec(select(Topic.id, Topic.slug, Topic.title)).all()


def _mine(session: Session, model: Any, subscriber_id: int) -> Sequence[Any]:
    return session.exec(select(model).where(model.subscriber_id == subscriber_id)).all()


def _history(session: Session, subscriber_id: int) -> Sequence[SubscriptionEvent]:
    query = select(SubscriptionEvent).where(SubscriptionEvent.subscriber_id == subscriber_id)
    return session.exec(query.order_by(col(SubscriptionEvent.id))).all()


def _reader(reader: Subscriber) -> Values:
    return {
        "address": reader.address,
        "address_since": _time(reader.address_since or reader.created_at),
        "language": reader.language,
        "state": reader.state,
        "signed_up_at": _time(reader.created_at),
        "time_zone": reader.zone,
        "digest_hour": reader.digest_hour,
        "digest_weekday": reader.digest_weekday,
        "paused_until": _time(reader.paused_until),
    }


def _subscription(row: Subscription, topics: Mapping[int | None, Values]) -> Values:
    return {
        "topic": topics.get(row.topic_id),
        "frequency": row.frequency,
        "since": _time(row.since),
        "chosen_at": _time(row.chosen_at),
        "left_at": _time(row.until),
    }


def _mark(row: DigestMark) -> Values:
    return {"frequency": row.frequency, "reaches_to": _time(row.through), "ended_at": _time(row.until)}


def _event(row: SubscriptionEvent, topics: Mapping[int | None, Values]) -> Values:
    return {
        "at": _time(row.at),
        "what": row.kind,
        "topic": topics.get(row.topic_id),
        "detail": row.detail,
        "by": row.by,
    }


def _consents(session: Session, subscriber_id: int) -> list[Values]:
    """Each with the words that were agreed to, where the site wrote them: an import brings its own."""
    query = (
        select(Consent, Wording.words)
        .outerjoin(Wording, col(Wording.version) == Consent.wording)
        .where(Consent.subscriber_id == subscriber_id)
        .order_by(col(Consent.id))
    )
    return [
        {
            "asked_at": _time(row.asked_at),
            "confirmed_at": _time(row.confirmed_at),
            "source": row.source,
            "choices": row.choices,
            "wording": row.wording,
            "words": words,
        }
        for row, words in session.exec(query)
    ]


def _farewell(row: Farewell, topics: Mapping[int | None, Values]) -> Values:
    return {
        "at": _time(row.at),
        "topic": topics.get(row.topic_id),
        "reason": row.reason,
        "words": row.words,
    }


def _change(row: AddressChange) -> Values:
    return {
        "new_address": row.address,
        "asked_at": _time(row.asked_at),
        "expires_at": _time(row.expires_at),
        "confirmed_at_the_old_address": _time(row.old_confirmed_at),
        "confirmed_at_the_new_address": _time(row.new_confirmed_at),
        "outcome": row.outcome,
        "ended_at": _time(row.ended_at),
    }


def _suppression(session: Session, hashed: str) -> Values | None:
    row = session.get(Suppression, hashed)
    if row is None:
        return None
    return {"at": _time(row.at), "cause": row.cause, "evidence": row.evidence}


def _notices(session: Session, hashed: str) -> Sequence[Notice]:
    return session.exec(select(Notice).where(Notice.address_hash == hashed).order_by(col(Notice.id))).all()


def _notice(row: Notice) -> Values:
    return {
        "kind": row.kind,
        "asked_at": _time(row.made_at),
        "works_until": _time(row.expires_at),
        "state": row.state,
        "reason": row.reason,
    }


def _deliveries(session: Session, subscriber_id: int) -> Iterator[Values]:
    """Gives what became of each alert, looked up by its key: to look for a reader would read all deliveries."""
    after = 0
    while ids := session.exec(
        select(Alert.id).where(col(Alert.id) > after).order_by(col(Alert.id)).limit(_PAGE)
    ).all():
        after = ids[-1] or 0
        rows = session.exec(
            select(Delivery, Alert)
            .join(Alert, col(Alert.id) == Delivery.alert_id)
            .where(Delivery.subscriber_id == subscriber_id, col(Delivery.alert_id).in_(ids))
            .order_by(col(Delivery.alert_id))
        ).all()
        told = _told(session, [row for row, _ in rows if row.variant and row.state not in _UNTOLD])
        for row, alert in rows:
            yield _delivery(row, alert, told.get(row.alert_id, ()))


def _delivery(row: Delivery, alert: Alert, entries: Sequence[Values]) -> Values:
    return {
        "kind": alert.frequency or alert.lane,
        "announced_at": _time(alert.announced_at),
        "entries": entries,
        "state": row.state,
        "reason": row.reason,
        "attempts": row.attempts,
        "at": _time(row.at),
        "answer": row.reply,
    }


def _told(session: Session, rows: Sequence[Delivery]) -> Mapping[int, Sequence[Values]]:
    """Gives the entries that one reader's mails were about, by alert: of a digest what was selected for them."""
    variants = {row.alert_id: row.variant for row in rows}
    told: dict[int, list[Values]] = defaultdict(list)
    for alert_id, title, url in session.exec(_OF_ALERTS.where(col(AlertEntry.alert_id).in_(variants))):
        told[alert_id].append({"title": title, "url": url})
    of_these = col(Selection.alert_id).in_(variants), col(Selection.variant).in_(variants.values())
    for selection in session.exec(select(Selection).where(*of_these)):
        if variants[selection.alert_id] == selection.variant:
            told[selection.alert_id] = _selected(session, selection)
    return told


_OF_ALERTS = (
    select(AlertEntry.alert_id, EntryRevision.title, EntryRevision.url)
    .join(Alert, col(Alert.id) == AlertEntry.alert_id)
    .join(
        EntryRevision,
        sa.and_(
            col(EntryRevision.entry_id) == AlertEntry.entry_id,
            col(EntryRevision.number) == AlertEntry.revision,
        ),
    )
    # A digest's are those of all its readers.
    .where(col(Alert.window_end).is_(None))
    .order_by(col(AlertEntry.alert_id), col(AlertEntry.entry_id))
)


def _selected(session: Session, selection: Selection) -> list[Values]:
    found = (session.get(EntryRevision, (entry, revision)) for entry, revision, _ in selection.entries)
    return [{"title": each.title, "url": each.url} for each in found if each is not None]
