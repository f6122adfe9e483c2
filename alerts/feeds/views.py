"""A feed as people write it and see it: its policy, how it fares, and what a person should look at."""

from dataclasses import dataclass, fields
from datetime import datetime, timedelta

import sqlalchemy as sa
from sqlmodel import Session, col, select

from alerts.feeds.compare.identity import Health
from alerts.feeds.outcomes import POLLED_STATES
from alerts.feeds.push import store as push_store
from alerts.feeds.push.store import PushView
from alerts.models import Entry, Feed, FeedState, InDoubt

_WAITING = (FeedState.HELD, FeedState.GONE, FeedState.RESTING)
_MANY_FAILURES = 8  # by then the waits have grown to their longest


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
    """A feed as it stands; `identity` is the rule that tells its entries apart, with its health.

    `url` is what is polled; the draft's is what a person wrote. `moved_to` is where permanent redirects lead
    that are not trusted yet.
    """

    id: int
    draft: FeedDraft
    url: str
    title: str
    state: str
    state_reason: str
    from_config: bool
    format: str
    identity: str
    identity_health: str
    identity_unique: float | None
    identity_stable: float | None
    entries: int
    held_entries: int
    baselined_at: datetime | None
    next_poll_at: datetime | None  # None while it is not polled
    poll_reason: str
    is_followed: bool
    polled_at: datetime | None
    read_whole_at: datetime | None
    changed_at: datetime | None
    coverage_end: datetime | None
    ended_at: datetime | None
    continues_at: str
    moved_to: str
    moved_seen: int
    refresh: timedelta | None
    failures: int
    failing_since: datetime | None
    last_error: str
    health: str  # how it fares, in a word or two
    needs: str  # what a person should look at, in words; empty when nothing
    push: PushView | None  # None when it names no hub, or is not to be pushed


def draft_of(feed: Feed) -> FeedDraft:
    """Gives a feed as a person wrote it, whatever became of its URL since."""
    values = {field.name: getattr(feed, field.name) for field in fields(FeedDraft)}
    given = {"url": feed.given_url or feed.url, "key_words": tuple(feed.key_words)}
    return FeedDraft(**values | given)


def all_views(session: Session) -> list[FeedView]:
    """Gives every feed as it stands, by name."""
    counts, pushes = entry_counts(session), push_store.views(session)
    feeds = session.exec(select(Feed).order_by(col(Feed.name))).all()
    return [view_of(feed, counts, pushes) for feed in feeds]


def entry_counts(session: Session) -> dict[int, tuple[int, int]]:
    """Gives each feed's entries, and those that wait for a person."""
    waiting = sa.func.sum(sa.case((col(Entry.is_held), 1), else_=0))
    rows = session.execute(
        sa.select(col(Entry.feed_id), sa.func.count(), waiting).group_by(col(Entry.feed_id))
    )
    return {feed_id: (entries, int(held)) for feed_id, entries, held in rows}


def view_of(feed: Feed, counts: dict[int, tuple[int, int]], pushes: dict[int, PushView]) -> FeedView:
    """Gives a feed as it stands, with its part of the `entry_counts` and of its pushes."""
    assert feed.id is not None, "read from the table"
    entries, held = counts.get(feed.id, (0, 0))
    return FeedView(
        id=feed.id,
        draft=draft_of(feed),
        url=feed.url,
        title=feed.title,
        state=feed.state,
        state_reason=feed.state_reason,
        from_config=feed.from_config,
        format=feed.format,
        identity=feed.identity,
        identity_health=feed.identity_health,
        identity_unique=feed.identity_unique,
        identity_stable=feed.identity_stable,
        entries=entries,
        held_entries=held,
        baselined_at=feed.baselined_at,
        next_poll_at=feed.next_poll_at if feed.state in POLLED_STATES else None,
        poll_reason=feed.poll_reason if feed.state in POLLED_STATES else "",
        is_followed=feed.is_followed,
        polled_at=feed.polled_at,
        read_whole_at=feed.read_whole_at,
        changed_at=feed.changed_at,
        coverage_end=feed.coverage_end,
        ended_at=feed.ended_at,
        continues_at=feed.continues_at,
        moved_to=feed.moved_to,
        moved_seen=feed.moved_seen,
        refresh=feed.refresh,
        failures=feed.failures,
        failing_since=feed.failing_since,
        last_error=feed.last_error,
        health=_health(feed),
        needs=_needs(feed),
        push=pushes.get(feed.id),
    )


def _health(feed: Feed) -> str:
    if feed.failures:
        return f"failed {feed.failures}x"
    if feed.polled_at is None:
        return "not polled"
    return feed.identity_health.partition(":")[0] or Health.UNKNOWN


def _needs(feed: Feed) -> str:
    if feed.state in _WAITING:
        return feed.state_reason
    if feed.state not in POLLED_STATES:
        return ""
    if feed.failing_since is not None and feed.failures >= _MANY_FAILURES:
        return f"failing since {feed.failing_since:%Y-%m-%d %H:%M}Z: {feed.last_error}"
    if feed.identity_health.startswith(Health.DEGRADED):
        return f"entries are told apart worse than before: {feed.identity_health.partition(': ')[2]}"
    return "names a successor that is not followed" if feed.continues_at else ""
