"""From an entry to an alert: who is owed it, in which lane, from when and until when.

An entry is announced at most once: its cause is the alert's unique key, and `first_alert_id` is set in the
same transaction. Nothing is written per reader here, so a million readers cost the announcement nothing.
"""

from datetime import datetime

import sqlalchemy as sa
import structlog
from sqlmodel import Session, col, select

from alerts import db
from alerts.audience.topics import EntryFacts, matching
from alerts.dispatch.digests import horizon
from alerts.errors import Conflict, NotFound
from alerts.failpoints import reach
from alerts.models import (
    Alert,
    AlertEntry,
    AlertState,
    Audit,
    Entry,
    EntryRevision,
    Feed,
    Frequency,
    Lane,
    Subscriber,
)

log = structlog.get_logger()

Audience = dict[str, list[str]]


def announce_entry(session: Session, entry_id: int, now: datetime) -> int | None:
    """Makes the alert of a new entry, held or released as its feed's policy says; gives the alert's id.

    Announcing an entry again gives the first alert's id. None when no topic wants it.
    """
    entry, feed = _entry(session, entry_id)
    if entry.first_alert_id is not None:
        return entry.first_alert_id
    is_flash = entry.is_key_event is True
    frequencies = [Frequency.FLASH, Frequency.EVERY] if is_flash else [Frequency.EVERY]
    audience: Audience = {str(topic): [*frequencies] for topic in _topics(session, entry, feed)}
    if not audience:
        return None
    alert = _add_alert(session, f"entry:{entry.id}", entry, feed, audience, now)
    entry.first_alert_id = alert.id
    session.add(entry)
    session.flush()
    reach("announce.before_commit")
    return alert.id


def announce_key_event(session: Session, entry_id: int, now: datetime) -> int | None:
    """Serves a key-event mark that came after the entry was announced: only flash readers not yet served.

    An alert that is still held is simply widened. An entry never announced is announced now.
    """
    entry, feed = _entry(session, entry_id)
    first = session.get(Alert, entry.first_alert_id) if entry.first_alert_id is not None else None
    if first is None:
        return announce_entry(session, entry_id, now)
    topics = _topics(session, entry, feed)
    if first.state == AlertState.HELD:
        first.audience = {str(topic): [Frequency.FLASH, Frequency.EVERY] for topic in topics}
        first.lane, first.rank = Lane.FLASH, Lane.FLASH.rank
        session.add(first)
        return first.id
    cause = f"flash:{entry.id}"
    known = session.exec(select(Alert.id).where(Alert.cause_key == cause)).first()
    if known is not None:
        return known
    # A topic of key events only did not match before: its `every` readers were not served either.
    audience: Audience = {
        str(topic): [Frequency.FLASH] if str(topic) in first.audience else [Frequency.FLASH, Frequency.EVERY]
        for topic in topics
    }
    if not audience:
        return None
    alert = _add_alert(session, cause, entry, feed, audience, now, after=first.id)
    reach("announce.before_commit")
    return alert.id


def release_due(session: Session, now: datetime) -> int:
    """Releases held alerts whose hold time has passed; gives how many."""
    due = session.exec(
        select(Alert)
        .where(Alert.state == AlertState.HELD, col(Alert.release_at) <= now)
        .with_for_update(skip_locked=True)
    ).all()
    for alert in due:
        _release(session, alert, now)
    return len(due)


def release_alert(session: Session, alert_id: int, by: str, now: datetime) -> None:
    """Releases one held alert by a person's word."""
    alert = _held(session, alert_id)
    _release(session, alert, now)
    session.add(Audit(at=now, by=by, action="alert.release", subject=f"alert:{alert_id}"))


def cancel_alert(session: Session, alert_id: int, by: str, now: datetime) -> None:
    """Ends a held alert: nobody is mailed."""
    alert = _held(session, alert_id)
    alert.state, alert.state_reason, alert.done_at = AlertState.CANCELLED, f"cancelled by {by}", now
    session.add(alert)
    session.add(Audit(at=now, by=by, action="alert.cancel", subject=f"alert:{alert_id}"))


def cancel_withdrawn(session: Session, entry_id: int, now: datetime) -> int:
    """Ends the held alerts of an entry that its publisher took back; gives how many."""
    held = session.exec(
        select(Alert)
        .join(AlertEntry, col(AlertEntry.alert_id) == col(Alert.id))
        .where(AlertEntry.entry_id == entry_id, Alert.state == AlertState.HELD)
        .with_for_update(of=Alert)
    ).all()
    for alert in held:
        alert.state, alert.state_reason = AlertState.CANCELLED, "withdrawn by its publisher"
        alert.done_at = now
        session.add(alert)
        session.add(Audit(at=now, by="poller", action="alert.cancel", subject=f"alert:{alert.id}"))
    return len(held)


def _entry(session: Session, entry_id: int) -> tuple[Entry, Feed]:
    entry = session.exec(select(Entry).where(Entry.id == entry_id).with_for_update()).first()
    if entry is None:
        raise NotFound(f"There is no entry {entry_id}.")
    feed = session.get(Feed, entry.feed_id)
    assert feed is not None, "an entry's feed is a foreign key"
    return entry, feed


def _topics(session: Session, entry: Entry, feed: Feed) -> list[int]:
    text = session.get(EntryRevision, (entry.id, entry.revision))
    assert text is not None, "an entry's current revision is written with it"
    return matching(session, EntryFacts(feed.name, entry.is_key_event, text.title, text.text))


def _add_alert(
    session: Session,
    cause: str,
    entry: Entry,
    feed: Feed,
    audience: Audience,
    now: datetime,
    *,
    after: int | None = None,
) -> Alert:
    lane = Lane.FLASH if entry.is_key_event else Lane.UPDATE
    is_held = feed.approval or bool(feed.hold)
    alert = Alert(
        cause_key=cause,
        feed_id=feed.id,
        lane=lane,
        rank=lane.rank,
        state=AlertState.HELD if is_held else AlertState.RELEASED,
        state_reason="waits for approval" if feed.approval else "hold time" if is_held else "",
        in_doubt=feed.in_doubt,
        audience=audience,
        last_subscriber_id=_newest_subscriber(session),
        after_alert_id=after,
        announced_at=now,
        release_at=now + feed.hold if is_held and not feed.approval else None,
        released_at=None if is_held else horizon.at_release(session, now),
        expires_at=entry.first_seen_at + feed.ttl,
    )
    session.add(alert)
    session.flush()
    assert alert.id is not None, "flushed"
    assert entry.id is not None, "read from the table"
    session.add(AlertEntry(alert_id=alert.id, entry_id=entry.id, revision=entry.revision))
    log.info("alert_announced", alert=alert.id, entry=entry.id, lane=alert.lane, state=alert.state)
    if not is_held:
        db.wake(session)
    return alert


def _newest_subscriber(session: Session) -> int:
    return session.exec(select(sa.func.max(Subscriber.id))).one() or 0


def _release(session: Session, alert: Alert, now: datetime) -> None:
    """Lets an alert go out, with the newest text of its entries: edits made in the hold are in it."""
    carried = session.exec(select(AlertEntry).where(AlertEntry.alert_id == alert.id)).all()
    for each in carried:
        entry = session.get(Entry, each.entry_id)
        assert entry is not None, "a foreign key"
        if each.revision != entry.revision:
            session.delete(each)
            session.add(AlertEntry(alert_id=each.alert_id, entry_id=each.entry_id, revision=entry.revision))
    alert.state, alert.state_reason = AlertState.RELEASED, ""
    alert.released_at = horizon.at_release(session, now)
    # Choices count as they stand at the release: nobody could know of it before.
    alert.last_subscriber_id = _newest_subscriber(session)
    session.add(alert)
    db.wake(session)
    log.info("alert_released", alert=alert.id, lane=alert.lane)


def _held(session: Session, alert_id: int) -> Alert:
    alert = session.exec(select(Alert).where(Alert.id == alert_id).with_for_update()).first()
    if alert is None:
        raise NotFound(f"There is no alert {alert_id}.")
    if alert.state != AlertState.HELD:
        raise Conflict(f"Alert {alert_id} is {alert.state}, not held.")
    return alert
