"""The feeds that are polled, and what a person may do with them. Every change writes an audit row."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, fields
from datetime import datetime, timedelta

import sqlalchemy as sa
from sqlmodel import Session, col, select

from alerts.dispatch.announce import announce_entry
from alerts.errors import Conflict, NotFound, Refused
from alerts.feeds.formats.source import is_web
from alerts.models import AlertEntry, Audit, Entry, EntryAlias, EntryRevision, Feed, FeedState, InDoubt

_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")
_VANISHED = "no longer declared in config.toml"


@dataclass(frozen=True, slots=True)
class FeedDraft:
    """A feed as a person writes it; the policy is told in docs/reference."""

    name: str
    url: str
    interval: timedelta = timedelta(seconds=20)
    ttl: timedelta = timedelta(hours=1)
    hold: timedelta = timedelta(0)
    approval: bool = False
    in_doubt: str = InDoubt.RESEND
    flood_limit: int = 20
    key_words: tuple[str, ...] = ()
    obey_robots: bool = True
    use_push: bool = True
    follow_moves: bool = True


@dataclass(frozen=True, slots=True)
class FeedView:
    """A feed as it stands; `identity` is the rule that tells its entries apart, with its health."""

    id: int
    draft: FeedDraft
    title: str
    state: str
    state_reason: str
    from_config: bool
    format: str
    identity: str
    identity_health: str
    entries: int
    held_entries: int
    baselined_at: datetime | None
    next_poll_at: datetime
    polled_at: datetime | None
    changed_at: datetime | None
    coverage_end: datetime | None
    failures: int
    last_error: str


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
    _write(feed, draft)
    session.add(feed)
    session.flush()
    _audit(session, "feed.add", draft.name, by, now)
    return _id(feed)


def list_feeds(session: Session) -> list[FeedView]:
    """Gives every feed, by name."""
    counts = _counts(session)
    return [_view(feed, counts) for feed in session.exec(select(Feed).order_by(col(Feed.name))).all()]


def show(session: Session, name: str) -> FeedView:
    """Gives one feed."""
    return _view(_feed(session, name), _counts(session))


def pause(session: Session, name: str, by: str, now: datetime) -> None:
    """Stops polling a feed; what it has announced goes on."""
    feed = _feed(session, name)
    if feed.state == FeedState.PAUSED:
        return
    _stop(feed, f"paused by {by}")
    session.add(feed)
    _audit(session, "feed.pause", name, by, now)


def resume(session: Session, name: str, by: str, now: datetime) -> None:
    """Polls a paused feed, or one that was gone, again, at once; entries that waited for a person still do."""
    feed = _feed(session, name)
    if feed.state in {FeedState.ACTIVE, FeedState.HELD}:
        return
    _restart(session, feed, now)
    _audit(session, "feed.resume", name, by, now)


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
        for entry in held:
            assert entry.id is not None, "read from the table"
            announce_entry(session, entry.id, now)
    _audit(session, "feed.skip" if skip else "feed.release", name, by, now)
    return len(held)


def declare(session: Session, drafts: Sequence[FeedDraft], now: datetime) -> Declared:
    """Makes the declared feeds be there as config.toml says; one that vanished from it is paused.

    A feed that a person paused stays paused. One that vanished is handed back (`from_config` no more); when
    it is declared again it is polled again.
    """
    by = "config.toml"
    known = {feed.name: feed for feed in session.exec(select(Feed).with_for_update()).all()}
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
        elif not feed.from_config or _draft(feed) != draft:
            _check(session, draft)
            _write(feed, draft)
            if feed.state_reason == _VANISHED:
                _restart(session, feed, now)
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
    other = session.exec(select(Feed.name).where(Feed.url == draft.url, Feed.name != draft.name)).first()
    if other is not None:
        raise Conflict(f"The feed {other} polls this URL already.")


def _write(feed: Feed, draft: FeedDraft) -> None:
    if feed.url != draft.url:
        _forget_answers(feed)
    for field in fields(FeedDraft):
        value = getattr(draft, field.name)
        setattr(feed, field.name, list(value) if isinstance(value, tuple) else value)


def _draft(feed: Feed) -> FeedDraft:
    values = {field.name: getattr(feed, field.name) for field in fields(FeedDraft)}
    return FeedDraft(**values | {"key_words": tuple(feed.key_words)})


def _stop(feed: Feed, reason: str) -> None:
    feed.state, feed.state_reason = FeedState.PAUSED, reason
    feed.leased_by, feed.leased_until = "", None


def _restart(session: Session, feed: Feed, now: datetime) -> None:
    waits = session.exec(
        select(Entry.id).where(Entry.feed_id == feed.id, col(Entry.is_held)).limit(1)
    ).first()
    feed.state = FeedState.ACTIVE if waits is None else FeedState.HELD
    feed.state_reason = "" if waits is None else "entries from before the pause wait for a person"
    feed.failures, feed.last_error, feed.next_poll_at = 0, "", now
    _forget_answers(feed)
    session.add(feed)


def _forget_answers(feed: Feed) -> None:
    """Makes the next poll read the page whole, also when the server would say that nothing changed."""
    feed.etag = feed.last_modified = feed.body_hash = ""
    feed.leased_by, feed.leased_until = "", None  # the result of a poll under way is thrown away


def _find(session: Session, name: str) -> Feed | None:
    return session.exec(select(Feed).where(Feed.name == name).with_for_update()).first()


def _feed(session: Session, name: str) -> Feed:
    feed = _find(session, name)
    if feed is None:
        raise NotFound(f"There is no feed {name}: `alerts feeds list` names those there are.")
    return feed


def _counts(session: Session) -> dict[int, tuple[int, int]]:
    """Gives each feed's entries, and those that wait for a person."""
    waiting = sa.func.sum(sa.case((col(Entry.is_held), 1), else_=0))
    rows = session.execute(
        sa.select(col(Entry.feed_id), sa.func.count(), waiting).group_by(col(Entry.feed_id))
    )
    return {feed_id: (entries, int(held)) for feed_id, entries, held in rows}


def _view(feed: Feed, counts: dict[int, tuple[int, int]]) -> FeedView:
    entries, held = counts.get(_id(feed), (0, 0))
    return FeedView(
        id=_id(feed),
        draft=_draft(feed),
        title=feed.title,
        state=feed.state,
        state_reason=feed.state_reason,
        from_config=feed.from_config,
        format=feed.format,
        identity=feed.identity,
        identity_health=feed.identity_health,
        entries=entries,
        held_entries=held,
        baselined_at=feed.baselined_at,
        next_poll_at=feed.next_poll_at,
        polled_at=feed.polled_at,
        changed_at=feed.changed_at,
        coverage_end=feed.coverage_end,
        failures=feed.failures,
        last_error=feed.last_error,
    )


def _id(feed: Feed) -> int:
    assert feed.id is not None, "flushed"
    return feed.id


def _audit(session: Session, action: str, name: str, by: str, now: datetime) -> None:
    session.add(Audit(at=now, by=by, action=action, subject=f"feed:{name}"))
