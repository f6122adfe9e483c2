"""The feeds that are polled, and what a person may do with them. Every change writes an audit row."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, fields
from datetime import datetime

import sqlalchemy as sa
from sqlmodel import Session, col, select

from alerts.dispatch.announce import announce_entry
from alerts.errors import Conflict, NotFound, Refused
from alerts.feeds.formats.source import is_web
from alerts.feeds.outcomes import POLLED_STATES
from alerts.feeds.push import store as push_store
from alerts.feeds.store.grouping import group
from alerts.feeds.views import FeedDraft, FeedView, all_views, draft_of, entry_counts, view_of
from alerts.models import AlertEntry, Audit, Entry, EntryAlias, EntryRevision, Feed, FeedState

__all__ = [
    "Declared",
    "FeedDraft",
    "FeedView",
    "add",
    "declare",
    "list_feeds",
    "pause",
    "poll_now",
    "release",
    "remove",
    "resume",
    "show",
]

_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")
_VANISHED = "no longer declared in config.toml"


@dataclass(frozen=True, slots=True)
class Declared:
    """What became of the feeds in config.toml, by name."""

    added: tuple[str, ...]
    changed: tuple[str, ...]
    paused: tuple[str, ...]


def add(session: Session, draft: FeedDraft, by: str, now: datetime) -> int:
    """Adds a feed that is due at once, and gives its id. What its first poll finds is a baseline: no mail.

    Raises Refused for a name or URL that cannot be one, Conflict when one of them is taken.
    """
    _check(session, draft)
    if _find(session, draft.name) is not None:
        raise Conflict(f"There is a feed {draft.name} already: choose another name.")
    feed = Feed(name=draft.name, url=draft.url, next_poll_at=now, created_at=now)
    _write(feed, draft, now)
    feed.poll_reason = f"added by {by}"
    session.add(feed)
    session.flush()
    _audit(session, "feed.add", draft.name, by, now)
    return _id(feed)


def list_feeds(session: Session) -> list[FeedView]:
    """Gives every feed, by name."""
    return all_views(session)


def show(session: Session, name: str) -> FeedView:
    """Gives one feed."""
    return view_of(_feed(session, name), entry_counts(session), push_store.views(session))


def pause(session: Session, name: str, by: str, now: datetime) -> None:
    """Stops polling a feed; what it has announced goes on."""
    feed = _feed(session, name)
    if feed.state == FeedState.PAUSED:
        return
    _stop(feed, f"paused by {by}")
    session.add(feed)
    _audit(session, "feed.pause", name, by, now)


def resume(session: Session, name: str, by: str, now: datetime) -> None:
    """Polls a feed again that was paused, gone or resting, at once; entries that waited for a person still do."""
    feed = _feed(session, name)
    if feed.state in POLLED_STATES:
        return
    _restart(session, feed, f"resumed by {by}", now)
    _audit(session, "feed.resume", name, by, now)


def poll_now(session: Session, name: str, by: str, now: datetime) -> None:
    """Makes a feed due at once, and its page be read whole; raises Conflict for one that is not polled."""
    feed = _feed(session, name)
    if feed.state not in POLLED_STATES:
        raise Conflict(f"The feed {name} is {feed.state}: `alerts feeds resume {name}` polls it again.")
    feed.next_poll_at, feed.poll_reason = now, f"asked for by {by}"
    _forget_answers(feed)
    session.add(feed)
    _audit(session, "feed.poll", name, by, now)


def remove(session: Session, name: str, by: str, now: datetime) -> bool:
    """Takes a feed and its entries away; gives whether its rows are gone.

    What a mail carried must stay explainable: a feed with such an entry is only paused, rows and all.
    Raises Conflict for one that config.toml declares.
    """
    feed = _feed(session, name)
    if feed.from_config:
        raise Conflict(f"The feed {name} is declared in config.toml: take it out there and apply.")
    _audit(session, "feed.remove", name, by, now)
    mine = sa.select(col(Entry.id)).where(col(Entry.feed_id) == feed.id)
    if (
        session.exec(select(AlertEntry).where(col(AlertEntry.entry_id).in_(mine)).limit(1)).first()
        is not None
    ):
        _stop(feed, f"removed by {by}; kept because the ledger names its entries")
        session.add(feed)
        return False
    session.execute(sa.delete(EntryAlias).where(col(EntryAlias.feed_id) == feed.id))
    session.execute(sa.delete(EntryRevision).where(col(EntryRevision.entry_id).in_(mine)))
    session.execute(sa.delete(Entry).where(col(Entry.feed_id) == feed.id))
    session.delete(feed)
    session.flush()
    return True


def release(session: Session, name: str, by: str, now: datetime, *, skip: bool = False) -> int:
    """Ends the hold of the flood guard; gives how many entries had waited.

    They are announced now, oldest first, as far as their time to live reaches; with `skip` they become part
    of the baseline, and nobody is mailed. Raises Conflict when the feed is not held.
    """
    feed = _feed(session, name)
    if feed.state != FeedState.HELD:
        raise Conflict(f"The feed {name} is {feed.state}, not held.")
    held = session.exec(
        select(Entry)
        .where(Entry.feed_id == feed.id, col(Entry.is_held))
        .order_by(col(Entry.id))
        .with_for_update()
    ).all()
    feed.state, feed.state_reason = FeedState.ACTIVE, ""
    _forget_answers(feed)
    session.add(feed)
    for entry in held:
        entry.is_held, entry.is_baseline = False, skip
        session.add(entry)
    session.flush()
    if not skip:
        waited = [entry.id for entry in held if entry.id is not None]
        group(session, waited, now)
        for entry_id in waited:
            announce_entry(session, entry_id, now)
    _audit(session, "feed.skip" if skip else "feed.release", name, by, now)
    return len(held)


def declare(session: Session, drafts: Sequence[FeedDraft], now: datetime) -> Declared:
    """Makes the declared feeds be there as config.toml says; one that vanished from it is paused.

    A feed that a person paused stays paused. One that vanished is handed back (`from_config` no more); when
    it is declared again it is polled again.
    """
    by = "config.toml"
    rows = session.exec(select(Feed).order_by(col(Feed.id)).with_for_update()).all()
    known = {feed.name: feed for feed in rows}
    declared = {draft.name for draft in drafts}
    paused = [name for name, feed in known.items() if feed.from_config and name not in declared]
    for name in paused:
        known[name].from_config = False
        _stop(known[name], _VANISHED)
        _audit(session, "feed.pause", name, by, now)
    added, changed = [], []
    for draft in drafts:
        feed = known.get(draft.name)
        if feed is None:
            add(session, draft, by, now)
            _feed(session, draft.name).from_config = True
            added.append(draft.name)
        elif not feed.from_config or draft_of(feed) != draft:
            _check(session, draft)
            was_slower = feed.interval > draft.interval
            _write(feed, draft, now)
            if feed.state_reason == _VANISHED:
                _restart(session, feed, "declared again", now)
            elif was_slower:
                feed.next_poll_at, feed.poll_reason = min(feed.next_poll_at, now), "its interval was changed"
            feed.from_config = True
            _audit(session, "feed.change", draft.name, by, now)
            changed.append(draft.name)
    session.flush()
    return Declared(tuple(added), tuple(changed), tuple(paused))


def _check(session: Session, draft: FeedDraft) -> None:
    if not _NAME.fullmatch(draft.name):
        raise Refused(f"{draft.name!r} is no name: write small letters, digits and dashes, 63 at most.")
    if not is_web(draft.url):
        raise Refused(f"The URL of feed {draft.name} is none: write it in full, from http:// or https:// on.")
    is_same = sa.or_(col(Feed.url) == draft.url, col(Feed.given_url) == draft.url)
    other = session.exec(select(Feed.name).where(is_same, Feed.name != draft.name)).first()
    if other is not None:
        raise Conflict(f"The feed {other} polls this URL already.")


def _write(feed: Feed, draft: FeedDraft, now: datetime) -> None:
    """Writes what a person wants. A URL that stands as it was written before undoes no move."""
    url = feed.url if draft.url == feed.given_url else draft.url
    if feed.url != url:
        feed.given_url = feed.moved_to = feed.continues_at = ""
        feed.moved_seen, feed.moved_since, feed.ended_at = 0, None, None
        feed.next_poll_at, feed.poll_reason = now, "its URL was changed"
        _forget_answers(feed)
    elif draft.url == feed.url:
        feed.given_url = ""
    if draft.use_push and not feed.use_push:
        _forget_answers(feed)  # the next window says which hub it is
    for field in fields(FeedDraft):
        value = getattr(draft, field.name)
        setattr(feed, field.name, list(value) if isinstance(value, tuple) else value)
    feed.url = url


def _stop(feed: Feed, reason: str) -> None:
    feed.state, feed.state_reason = FeedState.PAUSED, reason
    feed.leased_by, feed.leased_until = "", None


def _restart(session: Session, feed: Feed, why: str, now: datetime) -> None:
    waits = session.exec(
        select(Entry.id).where(Entry.feed_id == feed.id, col(Entry.is_held)).limit(1)
    ).first()
    feed.state = FeedState.ACTIVE if waits is None else FeedState.HELD
    feed.state_reason = "" if waits is None else "entries from before the pause wait for a person"
    feed.failures, feed.failing_since, feed.last_error, feed.ended_at = 0, None, "", None
    feed.next_poll_at, feed.poll_reason = now, why
    _forget_answers(feed)
    session.add(feed)


def _forget_answers(feed: Feed) -> None:
    """Makes the next poll read the page whole, also when the server would say that nothing changed."""
    feed.etag = feed.last_modified = feed.body_hash = ""
    feed.read_whole_at = None
    feed.leased_by, feed.leased_until = "", None  # the result of a poll under way is thrown away


def _find(session: Session, name: str) -> Feed | None:
    return session.exec(select(Feed).where(Feed.name == name).with_for_update()).first()


def _feed(session: Session, name: str) -> Feed:
    feed = _find(session, name)
    if feed is None:
        raise NotFound(f"There is no feed {name}: `alerts feeds list` names those there are.")
    return feed


def _id(feed: Feed) -> int:
    assert feed.id is not None, "flushed"
    return feed.id


def _audit(session: Session, action: str, name: str, by: str, now: datetime) -> None:
    session.add(Audit(at=now, by=by, action=action, subject=f"feed:{name}"))
