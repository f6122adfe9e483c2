"""The story of a poll: what is due is claimed, fetched, read, compared, stored and announced.

    database ──claim_due──> DueFeed ──fetch──> page ──read──> window ──store──> entries, alerts

Any number of processes may poll one database: a feed is leased to one of them at a time, and a result whose
lease has passed is thrown away.
"""

import asyncio
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from random import Random
from typing import Protocol

import structlog

from alerts.db import Database
from alerts.errors import FetchFailed, NotAFeed
from alerts.feeds import moves
from alerts.feeds.fetch import Fetcher, NotModified, Page
from alerts.feeds.formats import ParsedFeed, parse
from alerts.feeds.long_windows import LongWindows
from alerts.feeds.outcomes import (
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
from alerts.feeds.poll_log import tell
from alerts.feeds.schedule import Rhythm
from alerts.feeds.store.claims import catch_up, claim_due, host_of, note_followers, renew
from alerts.feeds.store.polls import DEFAULT_RHYTHM, store
from alerts.feeds.store.unchanged import store_unchanged

__all__ = ["DueFeed", "Kind", "PollItem", "PollResult", "Poller", "Verdict", "claim_due", "poll_due", "store"]

log = structlog.get_logger()

LEASE = timedelta(seconds=12)  # renewed while a poll lasts: the feeds of a process that died wait no longer
STANDSTILL = timedelta(seconds=30)  # without a tick: polls were missed, and are caught up with by and by
FOLLOWERS_EVERY = timedelta(seconds=5)
SLOW_AFTER = 0.5  # seconds; a poll that takes longer gives its place to others ...
SLOW_FACTOR = 4  # ... until so many times `parallel` are under way
_STORED_AT_ONCE = 200
_STORES = 3  # transactions at once where the database takes several; the rest are for deliveries


class Read(Protocol):
    """Reads a document as `formats.parse` does; `Readers.read` does it in processes apart."""

    async def __call__(self, body: bytes, url: str, content_type: str, *, feed: str = "") -> ParsedFeed: ...


async def read_in_thread(body: bytes, url: str, content_type: str, *, feed: str = "") -> ParsedFeed:
    """Reads a document in a thread of this process: for documents that are known to be harmless."""
    del feed
    return await asyncio.to_thread(parse, body, url, content_type)


def no_work(feed: str) -> float:
    """Says that reading a feed's documents takes no time worth counting."""
    del feed
    return 0.0


@dataclass(frozen=True, slots=True)
class _Running:
    feed: DueFeed
    since: float  # by the loop's clock


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
    rhythm: Rhythm = DEFAULT_RHYTHM
    read: Read = read_in_thread
    work: Callable[[str], float] = (
        no_work  # seconds of a processor that the feed's last document took to read
    )
    _running: dict[asyncio.Task[PollResult], _Running] = field(default_factory=dict)
    _ticking: asyncio.Lock = field(default_factory=asyncio.Lock)
    _ticked_at: datetime | None = None
    _renewed_at: datetime | None = None
    _looked_at: datetime | None = None  # for followers
    _unchanged: list[tuple[DueFeed, Unchanged, asyncio.Future[PollResult]]] = field(default_factory=list)
    _storing: asyncio.Task[None] | None = None
    _turns: asyncio.Semaphore = field(init=False)
    _long: LongWindows = field(default_factory=LongWindows)

    def __post_init__(self) -> None:
        # Else a mail's next step would wait behind every window that has just been read.
        self._turns = asyncio.Semaphore(1 if self.database.is_sqlite else _STORES)

    async def tick(self) -> int:
        """Starts polling what is due, as far as there is room; gives how many polls it started."""
        async with self._ticking:
            now = self.clock()
            await self._renew(now)
            await self._look_around(now)
            return await self._start(now)

    async def drain(self) -> list[PollResult]:
        """Waits for the polls that are under way and gives their results."""
        return list(await asyncio.gather(*self._running))

    async def poll(self, feed: DueFeed) -> PollResult:
        """Polls one leased feed and stores what came of it."""
        outcome = await self._outcome(feed)
        if isinstance(outcome, Unchanged):
            result = await self._store_with_others(feed, outcome)
        else:
            result = await self._store(feed, outcome)
        tell(result)
        if self.on_result is not None:
            self.on_result(result)
        return result

    async def _renew(self, now: datetime) -> None:
        """Keeps the leases of polls under way, each third of a lease."""
        if self._running and (self._renewed_at is None or now - self._renewed_at >= self.lease / 3):
            leases = sorted({running.feed.lease for running in self._running.values()})
            await self.database.run(renew, leases, now + self.lease)
            self._renewed_at = now

    async def _look_around(self, now: datetime) -> None:
        """Sees to what is not one feed's: polls that were missed, readers who came and went."""
        if self._looked_at is None or now - self._looked_at >= FOLLOWERS_EVERY:
            await self.database.run(note_followers, now, self.random, self.rhythm)
            self._looked_at = now
        if self._ticked_at is None or now - self._ticked_at >= STANDSTILL:
            missed = await self.database.run(catch_up, now, self.random, self.rhythm)
            if missed:
                log.info("polls_missed", feeds=missed)
        self._ticked_at = now

    async def _start(self, now: datetime) -> int:
        room = self._room()
        if room <= 0:
            return 0
        feeds = await self.database.run(claim_due, now, room, self.lease, self._busy())
        for feed in feeds:
            task = asyncio.create_task(self.poll(feed), name=f"poll {feed.name}")
            self._running[task] = _Running(feed, asyncio.get_running_loop().time())
            task.add_done_callback(self._finished)
        return len(feeds)

    def _room(self) -> int:
        """Gives how many polls may begin: one that waits for a slow server costs nothing but memory."""
        quick = len(self._quick())
        return min(self.parallel - quick, self.parallel * SLOW_FACTOR - len(self._running))

    def _busy(self) -> Counter[str]:
        """Counts the polls of each host; its slow ones only once they are too many, for it may have good feeds, too."""
        busy = Counter(host_of(running.feed.url) for running in self._quick())
        everything = Counter(host_of(running.feed.url) for running in self._running.values())
        return busy | Counter({host: many for host, many in everything.items() if many >= 2 * self.parallel})

    def _quick(self) -> list[_Running]:
        """Gives the polls that began a moment ago."""
        now = asyncio.get_running_loop().time()
        return [running for running in self._running.values() if now - running.since < SLOW_AFTER]

    def _finished(self, task: asyncio.Task[PollResult]) -> None:
        """Forgets a poll; one that broke off is left to its lease, and said."""
        self._running.pop(task, None)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("poll_broke_off", task=task.get_name(), error=type(error).__name__)

    async def _outcome(self, feed: DueFeed) -> Outcome:
        is_read = False
        try:
            page = await self.fetcher.get(
                feed.url,
                feed.validators,
                now=self.clock(),
                obey_robots=feed.obey_robots,
                known_page=feed.is_page,
                past_caches=feed.is_hastened,
            )
            if isinstance(page, NotModified) or page.body_hash == feed.body_hash:
                return Unchanged(page.validators, page.moved_to)
            is_read = True
            parsed = await self.read(page.body, page.url, page.content_type, feed=feed.name)
        except (FetchFailed, NotAFeed) as error:
            return Failed(error, self._work(feed) if is_read else timedelta(0))
        return Window(
            parsed,
            page.validators,
            page.body_hash,
            work=self._work(feed),
            moved_to=page.moved_to,
            hub=page.hub or parsed.hub,
            topic_url=page.topic_url or parsed.topic_url,
            successor=await self._successor(feed, parsed),
        )

    def _work(self, feed: DueFeed) -> timedelta:
        return timedelta(seconds=self.work(feed.name))

    async def _successor(self, feed: DueFeed, parsed: ParsedFeed) -> str:
        """Gives the page that a live blog continues on, if it is one on the same site; else an empty text.

        It is looked at when it is first named, and again once the present page has fallen silent.
        """
        url = parsed.continues_at
        if not url or url == feed.url or not (feed.follow_moves and moves.is_same_site(feed.url, url)):
            return ""
        if url == feed.continues_at and not feed.looks_ahead:
            return ""
        try:
            page = await self.fetcher.get(
                url,
                now=self.clock(),
                obey_robots=feed.obey_robots,
                known_page=feed.is_page,
                beside=feed.url,
            )
            if not isinstance(page, Page):
                return ""
            successor = await self.read(page.body, page.url, page.content_type, feed=feed.name)
        except (FetchFailed, NotAFeed) as error:
            log.info("successor_not_ready", feed=feed.name, reason=str(error))
            return ""
        return url if moves.continues(parsed, successor) else ""

    async def _store(self, feed: DueFeed, outcome: Window | Failed) -> PollResult:
        """Stores a poll on its own; a long window when other feeds have had their time."""
        if isinstance(outcome, Window):
            try:
                return await self._long.in_turn(outcome.parsed, lambda: self._store_now(feed, outcome))
            except FetchFailed as error:
                outcome = Failed(error, outcome.work)
        return await self._store_now(feed, outcome)

    async def _store_now(self, feed: DueFeed, outcome: Window | Failed) -> PollResult:
        async with self._turns:
            return await self.database.run(store, feed, outcome, self.clock(), self.random, self.rhythm)

    async def _store_with_others(self, feed: DueFeed, outcome: Unchanged) -> PollResult:
        """Stores a poll that found nothing together with all those that end meanwhile."""
        stored: asyncio.Future[PollResult] = asyncio.get_running_loop().create_future()
        self._unchanged.append((feed, outcome, stored))
        if self._storing is None or self._storing.done():
            self._storing = asyncio.create_task(self._store_unchanged())
        return await stored

    async def _store_unchanged(self) -> None:
        while self._unchanged:
            polls, self._unchanged = self._unchanged[:_STORED_AT_ONCE], self._unchanged[_STORED_AT_ONCE:]
            pairs = [(feed, outcome) for feed, outcome, _ in polls]
            try:
                results = await self.database.run(
                    store_unchanged, pairs, self.clock(), self.random, self.rhythm
                )
            except Exception as error:  # noqa: BLE001 - each of the polls ends with it, and says so
                for _, _, stored in polls:
                    if not stored.done():  # broken off meanwhile, at a stop
                        stored.set_exception(error)
            else:
                for (_, _, stored), result in zip(polls, results, strict=True):
                    if not stored.done():
                        stored.set_result(result)


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
