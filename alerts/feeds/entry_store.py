"""What is known of a feed's entries out of the tables, and a decision about them into the tables."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

import sqlalchemy as sa
from sqlmodel import Session, col, select

from alerts.dispatch.announce import announce_entry, announce_key_event
from alerts.feeds.decide import Decision, Insert, KeyMark, Revision
from alerts.feeds.formats import FeedEntry
from alerts.feeds.formats.markup import opening
from alerts.feeds.identity import Health, Identity, Rule
from alerts.feeds.matching import Known, KnownEntry
from alerts.feeds.outcomes import Kind, PollItem
from alerts.models import Entry, EntryRevision, Feed, FeedState


def known(session: Session, feed: Feed) -> Known:
    """Reads what `decide` compares a window with; texts only of the last window, and only where they decide."""
    rows = session.execute(
        sa.select(
            col(Entry.key),
            col(Entry.fingerprint),
            col(Entry.revision),
            col(Entry.is_key_event),
            col(Entry.last_seen_at),
            col(EntryRevision.published_at),
        )
        .join(EntryRevision, _is_newest())
        .where(col(Entry.feed_id) == feed.id)
    ).all()
    newest = max((row.last_seen_at for row in rows), default=None)
    entries = {
        row.key: KnownEntry(
            row.key, row.fingerprint, row.revision, row.is_key_event, published_at=row.published_at
        )
        for row in rows
    }
    if feed.identity == Rule.TEXT and newest is not None:
        texts = session.execute(
            sa.select(col(Entry.key), col(EntryRevision.title), col(EntryRevision.text))
            .join(EntryRevision, _is_newest())
            .where(col(Entry.feed_id) == feed.id, col(Entry.last_seen_at) == newest)
        )
        for key, title, text in texts:
            entries[key] = replace(entries[key], title=title, text=text)
    health, _, why = feed.identity_health.partition(": ")
    return Known(
        is_baselined=feed.baselined_at is not None,
        identity=Identity(feed.identity, health or Health.UNKNOWN, why),
        entries=entries,
        window=frozenset(row.key for row in rows if row.last_seen_at == newest),
    )


def _is_newest() -> sa.ColumnElement[bool]:
    return sa.and_(
        col(EntryRevision.entry_id) == col(Entry.id), col(EntryRevision.number) == col(Entry.revision)
    )


def apply(session: Session, feed: Feed, decision: Decision, now: datetime) -> tuple[PollItem, ...]:
    """Writes a decision's parts in the order they depend on each other, and announces what is new."""
    items = []
    for relink in decision.relinks:
        session.execute(
            sa.update(Entry)
            .where(col(Entry.feed_id) == feed.id, col(Entry.key) == relink.old_key)
            .values(key=relink.new_key)
        )
        items.append(PollItem(Kind.RELINKED, relink.new_key, why=f"was {relink.old_key}"))
    _touch(session, feed, decision.seen, now)
    items += [_revise(session, feed, revision, now) for revision in decision.revisions]
    items += _insert(session, feed, decision, now)
    # What a held feed marks is not even remembered: after the release it is seen again, and announced then.
    if feed.state == FeedState.ACTIVE:
        items += [_mark(session, feed, mark, now) for mark in decision.key_marks]
    items += [PollItem(Kind.IGNORED, ignored.title, why=ignored.why) for ignored in decision.ignored]
    return tuple(items)


def _touch(session: Session, feed: Feed, keys: frozenset[str], now: datetime) -> None:
    ordered = sorted(keys)
    for start in range(0, len(ordered), 500):  # SQLite takes some thousand parameters, not any number
        session.execute(
            sa.update(Entry)
            .where(col(Entry.feed_id) == feed.id, col(Entry.key).in_(ordered[start : start + 500]))
            .values(last_seen_at=now)
        )


def _insert(session: Session, feed: Feed, decision: Decision, now: datetime) -> list[PollItem]:
    """Writes the new entries, oldest first, and announces them unless they are a baseline or held."""
    kind = Kind.NEW
    if decision.is_baseline:
        kind = Kind.BASELINE
    elif feed.state == FeedState.HELD:
        kind = Kind.HELD
    entries = _insert_rows(session, feed, decision.inserts, kind, now)
    items = []
    for entry, insert in zip(entries, decision.inserts, strict=True):
        assert entry.id is not None, "flushed"
        items.append(
            PollItem(
                kind,
                headline(insert.entry, feed.title),
                entry.id,
                insert.is_key_event,
                announce_entry(session, entry.id, now) if kind == Kind.NEW else None,
            )
        )
    return items


def _insert_rows(
    session: Session, feed: Feed, inserts: Sequence[Insert], kind: Kind, now: datetime
) -> list[Entry]:
    assert feed.id is not None, "read from the table"
    entries = [
        Entry(
            feed_id=feed.id,
            key=insert.key,
            fingerprint=insert.fingerprint,
            is_key_event=insert.is_key_event,
            key_event_by=insert.key_event_by,
            is_baseline=kind == Kind.BASELINE,
            is_held=kind == Kind.HELD,
            first_seen_at=now,
            last_seen_at=now,
        )
        for insert in inserts
    ]
    session.add_all(entries)
    session.flush()
    session.add_all(
        _revision(entry.id, 1, insert.fingerprint, insert.entry, feed, now)
        for entry, insert in zip(entries, inserts, strict=True)
        if entry.id is not None
    )
    session.flush()
    return entries


def _revise(session: Session, feed: Feed, revision: Revision, now: datetime) -> PollItem:
    """Writes a known entry's new text. It mails nobody."""
    entry = _entry(session, feed, revision.key)
    assert entry.id is not None, "read from the table"
    entry.fingerprint, entry.revision = revision.fingerprint, revision.number
    session.add(entry)
    session.add(_revision(entry.id, revision.number, revision.fingerprint, revision.entry, feed, now))
    session.flush()
    return PollItem(
        Kind.EDITED, headline(revision.entry, feed.title), entry.id, entry.is_key_event, entry.first_alert_id
    )


def _mark(session: Session, feed: Feed, mark: KeyMark, now: datetime) -> PollItem:
    """Marks a known entry as a key event, and announces that, unless it is of the baseline."""
    entry = _entry(session, feed, mark.key)
    assert entry.id is not None, "read from the table"
    entry.is_key_event, entry.key_event_by = True, mark.by
    session.add(entry)
    session.flush()
    is_news = mark.is_news and not entry.is_baseline
    alert_id = announce_key_event(session, entry.id, now) if is_news else None
    text = session.get_one(EntryRevision, (entry.id, entry.revision))
    return PollItem(Kind.KEY_EVENT, text.title, entry.id, True, alert_id, why=mark.by)


def _entry(session: Session, feed: Feed, key: str) -> Entry:
    return session.exec(select(Entry).where(Entry.feed_id == feed.id, Entry.key == key)).one()


def _revision(
    entry_id: int, number: int, fingerprint: str, entry: FeedEntry, feed: Feed, now: datetime
) -> EntryRevision:
    return EntryRevision(
        entry_id=entry_id,
        number=number,
        fingerprint=fingerprint,
        url=entry.url,
        title=headline(entry, feed.title),
        text=entry.text,
        html=entry.html,
        author=entry.author,
        published_at=entry.published_at,
        updated_at=entry.updated_at,
        is_correction=entry.is_correction,
        seen_at=now,
    )


def headline(entry: FeedEntry, feed_title: str) -> str:
    """Gives an entry's own headline; where it has none, or the page's, the opening of its text."""
    if entry.title and entry.title != feed_title:
        return entry.title
    return opening(entry.text) or entry.title
