"""What the variants of a digest say: the texts of their selections, each read once for all variants."""

from collections.abc import Collection, Iterable, Mapping, MutableMapping
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa
from sqlmodel import Session, col, select

from alerts import db
from alerts.audience.slots import zone_of
from alerts.dispatch.content import entry_view
from alerts.dispatch.digests.released import IS_OF_AN_ENTRY, OUT, topics_of
from alerts.feeds.store.grouping import other_sources
from alerts.mail.render import DigestEntry, DigestView, EntryView
from alerts.models import Alert, AlertEntry, Entry, EntryRevision, Feed, Selection, Topic, table_of

ALERT = table_of(Alert)
ALERT_ENTRY = table_of(AlertEntry)
ENTRY = table_of(Entry)


@dataclass(frozen=True, slots=True)
class Piece:
    """One text of an entry, and the topics that the entry belongs to."""

    entry: EntryView
    topics: frozenset[int]


Pieces = MutableMapping[tuple[int, int], Piece]  # by entry and revision


@dataclass(frozen=True, slots=True)
class Digest:
    """Some variants of a digest, and the Date of its mails."""

    released_at: datetime
    views: Mapping[str, DigestView]


def load(session: Session, alert: Alert, variants: Collection[str], pieces: Pieces) -> Digest:
    """Gives what variants of a digest say; adds the texts that it reads to `pieces`."""
    assert alert.window_end is not None, "a digest's"
    selections = session.exec(
        select(Selection).where(Selection.alert_id == alert.id, col(Selection.variant).in_(variants))
    ).all()
    _read(session, {(entry, revision) for each in selections for entry, revision, _ in each.entries}, pieces)
    named = {topic for each in selections for topic in each.topics}
    titles = dict(
        session.execute(sa.select(col(Topic.id), col(Topic.title)).where(col(Topic.id).in_(named))).all()
    )
    views = {each.variant: _view(alert, each, pieces, titles) for each in selections}
    return Digest(alert.window_end, views)


def _view(alert: Alert, selection: Selection, pieces: Pieces, titles: Mapping[int, str]) -> DigestView:
    assert alert.window_end is not None, "a digest's"
    entries = []
    for entry_id, revision, mark in selection.entries:
        piece = pieces[entry_id, revision]
        topics = tuple(titles[topic] for topic in selection.topics if topic in piece.topics)
        entries.append(DigestEntry(piece.entry, topics, mark))
    return DigestView(
        entries=tuple(entries),
        topics=tuple(titles[topic] for topic in selection.topics),
        frequency=alert.frequency,
        language=selection.language,
        due_at=alert.window_end,
        zone=zone_of(alert.slot),
        is_late=alert.is_late,
    )


def _read(session: Session, texts: Iterable[tuple[int, int]], pieces: Pieces) -> None:
    missing = {*texts} - pieces.keys()
    if not missing:
        return
    ids = sorted({entry_id for entry_id, _ in missing})
    topics: dict[int, frozenset[int]] = {}
    for entry_id, audience in session.connection().execute(_AUDIENCES, {"entries": ids}):
        topics[entry_id] = topics.get(entry_id, frozenset()) | topics_of(audience)
    rows = session.exec(
        select(EntryRevision, Entry.is_key_event, Feed.title, Feed.name)
        .join(Entry, col(Entry.id) == EntryRevision.entry_id)
        .join(Feed, col(Feed.id) == Entry.feed_id)
        .where(db.among(ENTRY.c.id, "entries")),
        params={"entries": ids},
    )
    for revision, is_key_event, title, name in rows:
        if (revision.entry_id, revision.number) in missing:
            view = entry_view(
                revision,
                is_key_event=is_key_event is True,
                source=title or name,
                also_by=other_sources(session, revision.entry_id),
            )
            pieces[revision.entry_id, revision.number] = Piece(view, topics[revision.entry_id])


_AUDIENCES = (
    sa.select(ALERT_ENTRY.c.entry_id, ALERT.c.audience)
    .join(ALERT, ALERT.c.id == ALERT_ENTRY.c.alert_id)
    .where(db.among(ALERT_ENTRY.c.entry_id, "entries"), ALERT.c.state.in_(OUT), IS_OF_AN_ENTRY)
)
