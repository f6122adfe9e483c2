"""The story of push: feeds name hubs, hubs are asked to tell us of news, and their word makes a poll come at once.

    window ──noted──> subscription ──claim_due──> request to the hub ──record──> answer
    the hub ──GET──> hear: verified, with a lease          the hub ──POST──> hasten_poll ──> the next poll is now

W3C WebSub, 2018. A push is a hint and no more: its content is neither kept nor read, so that what is new is
decided in one place, by the poll. Polling goes on as if there were no hub; hubs forget, and some never push.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from random import Random

import structlog

from alerts.db import Database
from alerts.errors import FetchFailed
from alerts.feeds.fetch import Fetcher
from alerts.feeds.push import hub as push_hub
from alerts.feeds.push import store as push_store
from alerts.feeds.push.rules import Request

log = structlog.get_logger()

_AT_ONCE = 8
_PATIENCE_SECONDS = 5


@dataclass(slots=True)
class Hubs:
    """Keeps the subscriptions: asks hubs for what is due, some at once, so that a slow one keeps no other waiting."""

    database: Database
    fetcher: Fetcher
    base_url: str
    clock: Callable[[], datetime]
    random: Random = field(default_factory=Random)
    _running: set[asyncio.Task[None]] = field(default_factory=set)
    _has_said_unreachable: bool = False

    async def tick(self) -> int:
        """Starts the requests that are due, as far as there is room; gives how many it started."""
        room = _AT_ONCE - len(self._running)
        if room <= 0:
            return 0
        claimed = await self.database.run(push_store.claim_due, self.base_url, self.clock(), room)
        if claimed.unreachable and not self._has_said_unreachable:
            self._has_said_unreachable = True
            log.info("push_needs_public_address", feeds=len(claimed.unreachable), base_url=self.base_url)
        for request in claimed.requests:
            task = asyncio.create_task(self._ask(request), name=f"hub of {request.feed}")
            self._running.add(task)
            task.add_done_callback(self._finished)
        return len(claimed.requests)

    async def drain(self) -> None:
        """Waits for the requests that are under way, but not long: one that is broken off is made again."""
        if self._running:
            _, slow = await asyncio.wait(self._running, timeout=_PATIENCE_SECONDS)
            for task in slow:
                task.cancel()

    async def _ask(self, request: Request) -> None:
        """Asks one hub, and writes what it answered."""
        error = None
        try:
            await push_hub.ask(self.fetcher, request, self.base_url, self.clock())
            log.info("push_asked", feed=request.feed, mode=request.mode)
        except FetchFailed as failed:
            error = failed
            # The reason is kept in the row alone: the hub's words might quote what no log may hold.
            log.warning("push_refused", feed=request.feed, mode=request.mode)
        await self.database.run(push_store.record, request.id, error, self.clock(), self.random)

    def _finished(self, task: asyncio.Task[None]) -> None:
        """Forgets a request; one that broke off is left to its claim, and said."""
        self._running.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("push_broke_off", task=task.get_name(), error=type(error).__name__)
