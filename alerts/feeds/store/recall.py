"""What a window may be about, out of the tables: as much work as the window is long, however old the feed."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import sqlalchemy as sa
from sqlmodel import Session, col

from alerts.feeds.compare.identity import Health, Identity, Name, Rule, Sighting, key
from alerts.feeds.compare.known import Known, KnownEntry, asked
from alerts.models import Entry, EntryAlias, EntryRevision, Feed

_CHUNK = 500  # SQLite takes some thousand parameters, not any number


def known(session: Session, feed: Feed, window: Sequence[Sighting], withdrawn: Iterable[str] = ()) -> Known:
    """Reads what `decide` compares a window with: the entries it may show, and those of the last window.

    Texts are read only where the window shows one that no entry has.
    """
    names = _names(session, feed, asked(window, withdrawn))
    ids = {
        *feed.last_window,
        *names.values(),
        *_by_key(session, feed, window),
        *_by_text(session, feed, window),
    }
    rows = [row for chunk in chunks(sorted(ids)) for row in session.execute(_entries(chunk))]
    shown = {sighting.fingerprint for sighting in window}
    has_unknown_text = not shown <= {row.fingerprint for row in rows}
    texts = _texts(session, [row.id for row in rows]) if has_unknown_text else {}
    entries = {row.id: _entry(row, texts.get(row.id)) for row in rows}
    return Known(
        is_baselined=feed.baselined_at is not None,
        identity=_identity(feed),
        entries={entry.key: entry for entry in entries.values()},
        window=tuple(entries[id_].key for id_ in feed.last_window if id_ in entries),
        names={name: entries[id_].key for name, id_ in names.items()},
        moved_at=feed.followed_at if _is_first_since_the_move(feed, rows) else None,
    )


def _identity(feed: Feed) -> Identity:
    health, _, why = feed.identity_health.partition(": ")
    return Identity(
        feed.identity, health or Health.UNKNOWN, why, unique=feed.identity_unique, stable=feed.identity_stable
    )


def _is_first_since_the_move(feed: Feed, rows: Iterable[Any]) -> bool:
    """Whether no window was read since the feed's page was left for its successor."""
    shown = {*feed.last_window}
    return feed.followed_at is not None and all(
        row.last_seen_at <= feed.followed_at for row in rows if row.id in shown
    )


def _names(session: Session, feed: Feed, names: Iterable[Name]) -> dict[Name, int]:
    found: dict[Name, int] = {}
    by_kind: dict[str, set[str]] = {}
    for name in names:
        by_kind.setdefault(name.kind, set()).add(name.value)
    for kind, values in by_kind.items():
        for chunk in chunks(sorted(values)):
            rows = session.execute(
                sa.select(col(EntryAlias.value), col(EntryAlias.entry_id)).where(
                    col(EntryAlias.feed_id) == feed.id,
                    col(EntryAlias.kind) == kind,
                    col(EntryAlias.value).in_(chunk),
                )
            )
            found |= {Name(kind, value): entry_id for value, entry_id in rows}
    return found


def _by_key(session: Session, feed: Feed, window: Iterable[Sighting]) -> Iterator[int]:
    """Gives entries by the keys they would have under any rule: those of schema 0001 have few other names."""
    keys = sorted({key(sighting, rule) for sighting in window for rule in Rule})
    for chunk in chunks(keys):
        yield from session.execute(
            sa.select(col(Entry.id)).where(col(Entry.feed_id) == feed.id, col(Entry.key).in_(chunk))
        ).scalars()


def _by_text(session: Session, feed: Feed, window: Iterable[Sighting]) -> Iterator[int]:
    """Gives all entries that show a text of the window now: "Goal!" may be several."""
    for chunk in chunks(sorted({sighting.fingerprint for sighting in window})):
        yield from session.execute(
            sa.select(col(Entry.id)).where(col(Entry.feed_id) == feed.id, col(Entry.fingerprint).in_(chunk))
        ).scalars()


def _entries(ids: Sequence[int]) -> sa.Select[*tuple[Any, ...]]:
    return (
        sa.select(
            col(Entry.id),
            col(Entry.key),
            col(Entry.fingerprint),
            col(Entry.revision),
            col(Entry.is_key_event),
            col(Entry.first_seen_at),
            col(Entry.last_seen_at),
            col(Entry.withdrawn_at),
            col(EntryRevision.published_at),
            col(EntryRevision.updated_at),
        )
        .join(EntryRevision, is_newest())
        .where(col(Entry.id).in_(ids))
    )


def _texts(session: Session, ids: Iterable[int]) -> dict[int, tuple[str, str]]:
    found: dict[int, tuple[str, str]] = {}
    for chunk in chunks(sorted(ids)):
        rows = session.execute(
            sa.select(col(Entry.id), col(EntryRevision.title), col(EntryRevision.text))
            .join(EntryRevision, is_newest())
            .where(col(Entry.id).in_(chunk))
        )
        found |= {entry_id: (title, text) for entry_id, title, text in rows}
    return found


def _entry(row: Any, texts: tuple[str, str] | None) -> KnownEntry:
    title, text = texts or ("", "")
    return KnownEntry(
        row.key,
        row.fingerprint,
        row.revision,
        row.is_key_event,
        title=title,
        text=text,
        published_at=row.published_at,
        updated_at=row.updated_at,
        first_seen_at=row.first_seen_at,
        is_withdrawn=row.withdrawn_at is not None,
    )


def is_newest() -> sa.ColumnElement[bool]:
    """Joins an entry with the revision that it shows."""
    return sa.and_(
        col(EntryRevision.entry_id) == col(Entry.id), col(EntryRevision.number) == col(Entry.revision)
    )


def chunks(values: Sequence[Any]) -> Iterator[Sequence[Any]]:
    """Gives values in runs of as many as one statement takes."""
    for start in range(0, len(values), _CHUNK):
        yield values[start : start + _CHUNK]
