"""Entries as an operator sees them, and their mark as a key event."""

from dataclasses import dataclass
from datetime import datetime

from sqlmodel import Session, col, select

from alerts.dispatch.announce import announce_key_event
from alerts.errors import NotFound
from alerts.feeds.store.grouping import Report, also_reported
from alerts.models import Audit, Entry, EntryRevision, Feed


@dataclass(frozen=True, slots=True)
class EntrySummary:
    """An entry in a line; `first_alert_id` is None while it was not announced."""

    id: int
    feed: str
    title: str
    is_key_event: bool | None
    is_baseline: bool
    first_seen_at: datetime
    first_alert_id: int | None


@dataclass(frozen=True, slots=True)
class RevisionView:
    """One text of an entry."""

    number: int
    title: str
    text: str
    url: str
    author: str
    published_at: datetime | None
    seen_at: datetime


@dataclass(frozen=True, slots=True)
class EntryDetails:
    """An entry with all its texts, the oldest first."""

    summary: EntrySummary
    key: str
    key_event_by: str
    also_reported: tuple[Report, ...]
    revisions: tuple[RevisionView, ...]


def list_page(
    session: Session, *, feed: str | None = None, before: int | None = None, limit: int = 50
) -> list[EntrySummary]:
    """Gives a page of entries, the newest first, of one feed or of all."""
    query = (
        select(Entry, Feed.name, EntryRevision.title)
        .join(Feed, col(Feed.id) == Entry.feed_id)
        .join(
            EntryRevision,
            (col(EntryRevision.entry_id) == Entry.id) & (col(EntryRevision.number) == Entry.revision),
        )
        .order_by(col(Entry.id).desc())
        .limit(limit)
    )
    if feed is not None:
        if session.exec(select(Feed.id).where(Feed.name == feed)).first() is None:
            raise NotFound(f"There is no feed {feed}: `alerts feeds list` names those there are.")
        query = query.where(Feed.name == feed)
    if before is not None:
        query = query.where(col(Entry.id) < before)
    return [_summary(entry, name, title) for entry, name, title in session.exec(query)]


def show(session: Session, entry_id: int) -> EntryDetails:
    """Gives one entry."""
    entry = _entry(session, entry_id)
    feed = session.get(Feed, entry.feed_id)
    assert feed is not None, "a foreign key"
    query = select(EntryRevision).where(EntryRevision.entry_id == entry_id)
    revisions = session.exec(query.order_by(col(EntryRevision.number))).all()
    return EntryDetails(
        summary=_summary(entry, feed.name, revisions[-1].title),
        key=entry.key,
        key_event_by=entry.key_event_by,
        also_reported=tuple(also_reported(session, entry_id)),
        revisions=tuple(
            RevisionView(
                number=each.number,
                title=each.title,
                text=each.text,
                url=each.url,
                author=each.author,
                published_at=each.published_at,
                seen_at=each.seen_at,
            )
            for each in revisions
        ),
    )


def flash(session: Session, entry_id: int, by: str, now: datetime) -> int | None:
    """Marks an entry as a key event by a person's word, and serves the flash readers who wait for it.

    Gives the alert that carries it, None when no topic wants it. A second mark changes nothing.
    """
    entry = _entry(session, entry_id)
    if entry.is_key_event is True and entry.first_alert_id is not None:
        return entry.first_alert_id
    if entry.is_key_event is not True:
        entry.is_key_event, entry.key_event_by = True, "operator"
        session.add(entry)
        session.add(Audit(at=now, by=by, action="entry.flash", subject=f"entry:{entry_id}"))
        session.flush()
    return announce_key_event(session, entry_id, now)


def _entry(session: Session, entry_id: int) -> Entry:
    entry = session.exec(select(Entry).where(Entry.id == entry_id).with_for_update()).first()
    if entry is None:
        raise NotFound(f"There is no entry {entry_id}: `alerts entries list` shows those there are.")
    return entry


def _summary(entry: Entry, feed: str, title: str) -> EntrySummary:
    assert entry.id is not None, "read from the table"
    return EntrySummary(
        id=entry.id,
        feed=feed,
        title=title,
        is_key_event=entry.is_key_event,
        is_baseline=entry.is_baseline,
        first_seen_at=entry.first_seen_at,
        first_alert_id=entry.first_alert_id,
    )
