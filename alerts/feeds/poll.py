"""The story of a poll: what is due is claimed, fetched, read, compared, stored and announced.

    database ──claim_due──> DueFeed ──fetch──> page ──parse──> window ──store──> entries, alerts

Any number of processes may poll one database: a feed is leased to one of them at a time, and a result whose
lease has passed is thrown away.
"""

import asyncio
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from random import Random

import sqlalchemy as sa
import structlog
from sqlmodel import Session, col, select

from alerts.db import Database
from alerts.errors import FetchFailed, NotAFeed
from alerts.feeds.fetch import Fetcher, NotModified, Validators
from alerts.feeds.formats import parse
from alerts.feeds.outcomes import (
    POLLED_STATES,
    DueFeed,
    Failed,
    Kind,
    Outcome,
    PollItem,
    PollResult,
    Unchanged,
    Verdict,
    Window,
)
from alerts.feeds.store import store
from alerts.models import Feed, table_of

__all__ = ["DueFeed", "Kind", "PollItem", "PollResult", "Poller", "Verdict", "claim_due", "poll_due", "store"]

log = structlog.get_logger()

_FEED = table_of(Feed)

LEASE = timedelta(seconds=12)  # renewed while a poll lasts: the feeds of a process that died wait no longer


def claim_due(session: Session, now: datetime, limit: int, lease: timedelta) -> list[DueFeed]:
    """Leases up to `limit` feeds that are due, longest overdue first; what another process holds is left out."""
    is_free = sa.or_(col(Feed.leased_until).is_(None), col(Feed.leased_until) <= now)
    feeds = session.exec(
        select(Feed)
        .where(col(Feed.state).in_(POLLED_STATES), col(Feed.next_poll_at) <= now, is_free)
        .order_by(col(Feed.next_poll_at), col(Feed.id))
        .limit(limit)
        .with_for_update(skip_locked=True)
    ).all()
    lease_token = secrets.token_hex(8)
    claimed = []
    for feed in feeds:
        assert feed.id is not None, "read from the table"
        feed.leased_by, feed.leased_until = lease_token, now + lease
        session.add(feed)
        validators = Validators(feed.etag, feed.last_modified)
        claimed.append(DueFeed(feed.id, feed.name, feed.url, validators, feed.body_hash, lease_token))
    return claimed


def renew(session: Session, leases: Sequence[str], until: datetime) -> None:
    """Prolongs the leases that are still held; one that was taken back stays so."""
    session.connection().execute(
        sa.update(_FEED).where(_FEED.c.leased_by.in_(leases)).values(leased_until=until)
    )


@dataclass(slots=True)
class Poller:
    """Polls what is due, many feeds at once, so that a slow one keeps no other waiting."""

    database: Database
    fetcher: Fetcher
    clock: Callable[[], datetime]
    parallel: int = 16
    lease: timedelta = LEASE
    random: Random = field(default_factory=Random)
    on_result: Callable[[PollResult], None] | None = None
    _running: dict[asyncio.Task[PollResult], DueFeed] = field(default_factory=dict)
    _renewed_at: datetime | None = None

    async def tick(self) -> int:
        """Starts polling what is due, as far as there is room; gives how many polls it started."""
        await self._renew()
        room = self.parallel - len(self._running)
        if room <= 0:
            return 0
        feeds = await self.database.run(claim_due, self.clock(), room, self.lease)
        for feed in feeds:
            task = asyncio.create_task(self.poll(feed), name=f"poll {feed.name}")
            self._running[task] = feed
            task.add_done_callback(self._finished)
        return len(feeds)

    async def _renew(self) -> None:
        """Keeps the leases of polls under way, each third of a lease."""
        now = self.clock()
        if self._running and (self._renewed_at is None or now - self._renewed_at >= self.lease / 3):
            leases = sorted({feed.lease for feed in self._running.values()})
            await self.database.run(renew, leases, now + self.lease)
            self._renewed_at = now

    async def drain(self) -> list[PollResult]:
        """Waits for the polls that are under way and gives their results."""
        return list(await asyncio.gather(*self._running))

    async def poll(self, feed: DueFeed) -> PollResult:
        """Polls one leased feed and stores what came of it."""
        outcome = await self._outcome(feed)
        result = await self.database.run(store, feed, outcome, self.clock(), self.random)
        _log(result)
        if self.on_result is not None:
            self.on_result(result)
        return result

    def _finished(self, task: asyncio.Task[PollResult]) -> None:
        """Forgets a poll; one that broke off is left to its lease, and said."""
        self._running.pop(task, None)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("poll_broke_off", task=task.get_name(), error=type(error).__name__)

    async def _outcome(self, feed: DueFeed) -> Outcome:
        try:
            page = await self.fetcher.get(feed.url, feed.validators, now=self.clock())
            if isinstance(page, NotModified):
                return Unchanged(page.validators)
            if page.body_hash == feed.body_hash:
                return Unchanged(page.validators)
            # Reading is work for the processor: in a thread, the loop goes on sending mail meanwhile.
            parsed = await asyncio.to_thread(parse, page.body, page.url, page.content_type)
        except (FetchFailed, NotAFeed) as error:
            return Failed(error)
        return Window(parsed, page.validators, page.body_hash)


async def poll_due(
    database: Database,
    fetcher: Fetcher,
    *,
    clock: Callable[[], datetime],
    parallel: int = 16,
    random: Random | None = None,
) -> list[PollResult]:
    """Polls what is due now, once, and gives the results."""
    poller = Poller(database, fetcher, clock, parallel=parallel, random=random or Random())  # noqa: S311 - jitter
    await poller.tick()
    return await poller.drain()


def _log(result: PollResult) -> None:
    if result.verdict == Verdict.POLLED:
        counts = {str(kind): count for kind in Kind if (count := result.count(kind))}
        log.info("feed_polled", feed=result.feed, **counts)
    elif result.verdict in {Verdict.FAILED, Verdict.GONE}:
        log.warning("feed_failed", feed=result.feed, verdict=result.verdict, reason=result.reason)
    elif result.verdict == Verdict.LOST:
        log.warning("feed_lease_lost", feed=result.feed)
    if result.held:
        log.warning(
            "feed_held", feed=result.feed, reason=result.held, hint=f"alerts feeds release {result.feed}"
        )
    for item in result.items:
        event = _EVENTS.get(item.kind)
        if event:
            log.info(event, feed=result.feed, entry=item.entry_id, title=item.title, alert=item.alert_id)


_EVENTS = {
    Kind.NEW: "entry_new",
    Kind.HELD: "entry_held",
    Kind.EDITED: "entry_edited",
    Kind.KEY_EVENT: "entry_key_event",
}
