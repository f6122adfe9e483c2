"""What was mailed, to be read again: one reader's mail, and for everybody a topic's alerts with what became of them.

The archive is about texts, and names no reader. It goes back as far as the ledger does.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlmodel import Session, col, select

from alerts.audience.tokens import Claim
from alerts.dispatch.content import entry_view
from alerts.mail.compose import Prepared, unpack
from alerts.mail.render import EntryView
from alerts.models import (
    Alert,
    AlertEntry,
    AlertState,
    Body,
    Delivery,
    Entry,
    EntryRevision,
    Feed,
    Subscriber,
    SubscriberState,
    Topic,
)

PAGE_LENGTH = 15  # alerts
_CHANGES_LIMIT = 10
_RELEASED = (AlertState.RELEASED, AlertState.DONE)


@dataclass(frozen=True, slots=True)
class ArchivedTopic:
    """A topic that can be followed."""

    slug: str
    title: str
    description: str


@dataclass(frozen=True, slots=True)
class Change:
    """That a text became another, after it was mailed."""

    at: datetime
    is_correction: bool


@dataclass(frozen=True, slots=True)
class ArchivedEntry:
    """An entry as an alert carried it, and as it reads now if that is another text; neither once it is withdrawn."""

    sent: EntryView | None
    now: EntryView | None
    changes: tuple[Change, ...]
    withdrawn_at: datetime | None


@dataclass(frozen=True, slots=True)
class ArchivedAlert:
    """What one alert told."""

    id: int
    released_at: datetime
    entries: tuple[ArchivedEntry, ...]


@dataclass(frozen=True, slots=True)
class ArchivePage:
    """Some of a topic's alerts, the newest first; `before` continues them, unless these are the last."""

    topic: ArchivedTopic
    alerts: tuple[ArchivedAlert, ...]
    before: int | None


def as_sent(session: Session, claim: Claim) -> Prepared | None:
    """Gives the mail that a reader got, as all of its variant did; None when they got none, or it is kept no more."""
    segments = session.exec(
        select(Body.segments)
        .join(Delivery, (col(Delivery.alert_id) == Body.alert_id) & (col(Delivery.variant) == Body.variant))
        .join(Subscriber, col(Subscriber.id) == Delivery.subscriber_id)
        .where(
            Delivery.alert_id == claim.alert_id,
            Delivery.subscriber_id == claim.subscriber_id,
            Subscriber.state != SubscriberState.ERASED,
        )
    ).first()
    return unpack(segments) if segments else None


def topics(session: Session) -> list[ArchivedTopic]:
    """Gives the topics that have an archive, by title."""
    found = session.exec(select(Topic).where(Topic.is_active))
    return sorted(map(_archived, found), key=lambda topic: topic.title.casefold())


def page(session: Session, slug: str, before: int | None) -> ArchivePage | None:
    """Gives a topic's alerts that came before the one with this number, else its newest; None for no such topic."""
    topic = session.exec(select(Topic).where(Topic.slug == slug, Topic.is_active)).first()
    if topic is None:
        return None
    query = (
        select(Alert.id, Alert.released_at)
        .where(
            col(Alert.state).in_(_RELEASED),
            col(Alert.released_at).is_not(None),
            Alert.frequency == "",
            col(Alert.audience)[str(topic.id)].as_string().is_not(None),
        )
        .order_by(col(Alert.id).desc())
        .limit(PAGE_LENGTH + 1)
    )
    found = session.exec(query if before is None else query.where(col(Alert.id) < before)).all()
    shown = [(number, at) for number, at in found[:PAGE_LENGTH] if number is not None and at is not None]
    entries = _entries(session, [number for number, _ in shown])
    return ArchivePage(
        _archived(topic),
        tuple(ArchivedAlert(number, at, tuple(entries.get(number, ()))) for number, at in shown),
        shown[-1][0] if len(found) > PAGE_LENGTH else None,
    )


def _entries(session: Session, alert_ids: Sequence[int]) -> Mapping[int, Sequence[ArchivedEntry]]:
    """Gives what each alert carried."""
    carried = session.exec(
        select(AlertEntry.alert_id, AlertEntry.revision, Entry, Feed)
        .join(Entry, col(Entry.id) == AlertEntry.entry_id)
        .join(Feed, col(Feed.id) == Entry.feed_id)
        .where(col(AlertEntry.alert_id).in_(alert_ids))
        .order_by(col(AlertEntry.entry_id))
    ).all()
    changes = _changes(session, {entry.id for _, _, entry, _ in carried if entry.id is not None})
    found = defaultdict[int, list[ArchivedEntry]](list)
    for alert_id, revision, entry, feed in carried:
        found[alert_id].append(_entry(session, entry, revision, feed, changes))
    return found


def _entry(
    session: Session, entry: Entry, revision: int, feed: Feed, changes: Mapping[int, Mapping[int, Change]]
) -> ArchivedEntry:
    assert entry.id is not None, "read from the table"
    later = {number: change for number, change in changes[entry.id].items() if number > revision}
    is_withdrawn = entry.withdrawn_at is not None
    return ArchivedEntry(
        sent=None if is_withdrawn else _text(session, entry, revision, feed),
        now=_text(session, entry, max(later), feed) if later and not is_withdrawn else None,
        changes=tuple(later[number] for number in sorted(later)[-_CHANGES_LIMIT:]),
        withdrawn_at=entry.withdrawn_at,
    )


def _changes(session: Session, entry_ids: set[int]) -> Mapping[int, Mapping[int, Change]]:
    """Gives when each text of these entries came, by entry and revision; not the texts, of which there may be many."""
    found = defaultdict[int, dict[int, Change]](dict)
    for entry_id, number, at, is_correction in session.exec(
        select(
            EntryRevision.entry_id, EntryRevision.number, EntryRevision.seen_at, EntryRevision.is_correction
        ).where(col(EntryRevision.entry_id).in_(entry_ids))
    ):
        found[entry_id][number] = Change(at, is_correction)
    return found


def _text(session: Session, entry: Entry, number: int, feed: Feed) -> EntryView | None:
    revision = session.get(EntryRevision, (entry.id, number))
    if revision is None:
        return None
    return entry_view(
        revision, is_key_event=entry.is_key_event is True, source=feed.title or feed.name, also_by=()
    )


def _archived(topic: Topic) -> ArchivedTopic:
    return ArchivedTopic(topic.slug, topic.title, topic.description)
