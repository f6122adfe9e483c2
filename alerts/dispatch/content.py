"""What an alert says: read from the ledger, rendered once per variant, and kept for every resend."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlmodel import Session, col, select

from alerts import db
from alerts.dispatch.wording import Choice
from alerts.feeds.store.grouping import other_sources
from alerts.mail.render import AlertView, EntryView
from alerts.models import Alert, AlertEntry, Body, Entry, EntryRevision, Feed, Topic, table_of


@dataclass(frozen=True, slots=True)
class Content:
    """The parts of an alert that its readers' mails are rendered from."""

    released_at: datetime
    entries: tuple[EntryView, ...]
    topic_titles: Mapping[int, str]

    def view(self, choice: Choice) -> AlertView:
        """Gives what readers of this choice see."""
        return AlertView(
            entries=self.entries,
            topics=tuple(self.topic_titles[topic] for topic in choice.topics),
            frequency=choice.frequency,
            language=choice.language,
            released_at=self.released_at,
        )


def load(session: Session, alert: Alert) -> Content:
    """Gives the content of an alert, with the texts that it was released with."""
    carried = session.exec(
        select(EntryRevision, Entry.is_key_event, Feed.title, Feed.name)
        .join(
            AlertEntry,
            (col(AlertEntry.entry_id) == EntryRevision.entry_id)
            & (col(AlertEntry.revision) == EntryRevision.number),
        )
        .join(Entry, col(Entry.id) == EntryRevision.entry_id)
        .join(Feed, col(Feed.id) == Entry.feed_id)
        .where(AlertEntry.alert_id == alert.id)
        .order_by(col(EntryRevision.entry_id))
    ).all()
    topics = session.exec(
        select(Topic.id, Topic.title).where(col(Topic.id).in_([int(each) for each in alert.audience]))
    ).all()
    return Content(
        released_at=alert.released_at or alert.announced_at,
        entries=tuple(
            entry_view(
                revision,
                is_key_event=is_key_event is True,
                source=title or name,
                also_by=other_sources(session, revision.entry_id),
            )
            for revision, is_key_event, title, name in carried
        ),
        topic_titles={topic_id: title for topic_id, title in topics if topic_id is not None},
    )


def entry_view(
    revision: EntryRevision, *, is_key_event: bool, source: str, also_by: tuple[str, ...]
) -> EntryView:
    """Gives one text of an entry as a mail shows it."""
    return EntryView(
        title=revision.title,
        text=revision.text,
        html=revision.html,
        author=revision.author,
        url=revision.url,
        published_at=revision.published_at,
        is_key_event=is_key_event,
        source=source,
        also_by=also_by,
    )


def stored(session: Session, alert_id: int, variants: Sequence[str]) -> dict[str, bytes]:
    """Gives the prepared bytes of those variants that were rendered already, by whichever worker."""
    rows = session.exec(
        select(Body.variant, Body.segments).where(Body.alert_id == alert_id, col(Body.variant).in_(variants))
    )
    return dict(rows.all())


def store(session: Session, alert_id: int, rendered: Mapping[str, bytes], now: datetime) -> dict[str, bytes]:
    """Keeps variants' renderings and gives the bytes to send: another worker's, if it was first."""
    rows = [
        {
            "alert_id": alert_id,
            "variant": variant,
            "segments": segments,
            "at": now,
        }
        for variant, segments in rendered.items()
    ]
    session.connection().execute(db.insert_or_ignore(session, table_of(Body)), rows)
    return stored(session, alert_id, [*rendered])
