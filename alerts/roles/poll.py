"""Polling: feeds are looked at when they are due, and their hubs are asked to tell us sooner."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress

from apscheduler.schedulers.asyncio import AsyncIOScheduler

from alerts.config import Config
from alerts.db import Database
from alerts.feeds.fetch import Fetcher
from alerts.feeds.poll import Poller
from alerts.feeds.push.hubs import Hubs
from alerts.feeds.read.readers import Readers
from alerts.feeds.schedule import Rhythm
from alerts.fetching import fetcher, readers
from alerts.ticks import often, utc_now

_LAST_POLLS_SECONDS = 2  # at a stop: whoever runs us may kill what takes ten


@asynccontextmanager
async def polling(
    settings: Config, database: Database, scheduler: AsyncIOScheduler
) -> AsyncIterator[Callable[[], object]]:
    """Polls, and gives a function that has what is due looked for at once."""
    async with fetcher(settings.polling) as fetches, readers(settings.polling) as reads:
        hubs = Hubs(database, fetches, settings.site.base_url, utc_now)
        poller = _poller(settings, database, fetches, reads)
        async with _looking(scheduler, poller) as poll_now, _subscribing(scheduler, settings, hubs):
            yield poll_now


@asynccontextmanager
async def _looking(scheduler: AsyncIOScheduler, poller: Poller) -> AsyncIterator[Callable[[], object]]:
    """Polls what is due; gives a function that has it looked for at once, instead of at the next tick."""
    scheduler.add_job(poller.tick, seconds=0.25, **often())
    try:
        yield lambda: scheduler.add_job(poller.tick, id="poll now", replace_existing=True, max_instances=3)
    finally:
        # A poll that is broken off loses nothing: its lease ends, and the feed is polled again.
        with suppress(TimeoutError):
            async with asyncio.timeout(_LAST_POLLS_SECONDS):
                await poller.drain()


@asynccontextmanager
async def _subscribing(scheduler: AsyncIOScheduler, settings: Config, hubs: Hubs) -> AsyncIterator[None]:
    """Keeps the subscriptions at hubs, where there are pages for the hubs to call."""
    if settings.web.enabled:
        scheduler.add_job(hubs.tick, seconds=1, **often())
    try:
        yield
    finally:
        await hubs.drain()


def _poller(settings: Config, database: Database, fetches: Fetcher, reads: Readers) -> Poller:
    polling = settings.polling
    return Poller(
        database,
        fetches,
        utc_now,
        polling.parallel,
        rhythm=Rhythm(polling.quiet_interval, polling.ended_interval, polling.rest_after),
        read=reads.read,
        work=reads.seconds,
    )
