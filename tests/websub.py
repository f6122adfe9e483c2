"""A feed's talk with its hub inside a test: the pages that hubs call, and our side that asks them."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from random import Random
from typing import Any

import sqlalchemy as sa
from sqlmodel import SQLModel, col, select

from alerts.audience.tokens import derive
from alerts.db import Database
from alerts.feeds.fetch import Fetcher, Limits
from alerts.feeds.fetch.guard import Guard
from alerts.feeds.push import store as push_store
from alerts.feeds.push.hubs import Hubs
from alerts.feeds.push.store import PushView
from alerts.mail.render import SiteView
from alerts.models import Feed, Push
from alerts.web.app import create
from alerts.web.server import WebServer
from alerts.web.websub import Callbacks
from build import NOW, a_feed
from fakes.hub import Hub, hub

KEYS = derive(b"s" * 32, [])
SITE = SiteView("Harbour News", "https://news.example", "Harbour News", "alerts@example.org", "", "")
LOOPBACK = Guard.of(["127.0.0.0/8", "::1/128"])
FEED = "https://news.example/harbour"
MINUTE, DAY = timedelta(minutes=1), timedelta(days=1)


@asynccontextmanager
async def callbacks_of(
    db: Database, wake: Callable[[], object], clock: Callable[[], datetime]
) -> AsyncIterator[str]:
    """Serves the pages on loopback for the length of the block, and gives their address."""
    server = WebServer(create(db, KEYS, SITE, [], "0.0", Callbacks(db, wake, clock)), "127.0.0.1", 0)
    await server.start()
    try:
        yield f"http://127.0.0.1:{server.port}"
    finally:
        await server.stop()


@dataclass
class Desk:
    """A feed, its hub, and our side of their talk; `now` is the time for all of it."""

    db: Database
    hub: Hub
    base_url: str
    hubs: Hubs
    feed_id: int
    now: datetime = NOW
    wakes: list[datetime] = field(default_factory=list)

    def names(self, hub: str | None = None, topic: str = FEED) -> None:
        """Stores what a window says of its hub."""
        with self.db.begin() as session:
            push_store.noted(session, self.feed_id, self.hub.url if hub is None else hub, topic, self.now)

    async def ask(self, *, after: timedelta = timedelta(0)) -> int:
        """Lets time go by, asks what is due, and waits for the hub to have its say; gives how many requests it got."""
        self.now += after
        before = len(self.hub.requests)
        await self.hubs.tick()
        await self.hubs.drain()
        await self.hub.settled()
        return len(self.hub.requests) - before

    async def subscribe(self) -> str:
        """Subscribes, and gives the callback."""
        self.names()
        assert await self.ask() == 1
        return self.callback

    @property
    def callback(self) -> str:
        return self.hub.requests[-1]["hub.callback"]

    @property
    def view(self) -> PushView:
        with self.db.begin() as session:
            return push_store.views(session)[self.feed_id]

    @property
    def feed(self) -> Feed:
        with self.db.begin() as session:
            return session.get_one(Feed, self.feed_id)

    def rows(self) -> list[Push]:
        with self.db.begin() as session:
            return list(session.exec(select(Push).order_by(col(Push.path))))

    def change(self, **fields: object) -> None:
        with self.db.begin() as session:
            session.execute(sa.update(Feed).values(**fields))

    def dump(self) -> dict[str, list[Any]]:
        with self.db.begin() as session:
            return {
                table.name: [
                    tuple(row) for row in session.execute(sa.select(table).order_by(*table.primary_key))
                ]
                for table in SQLModel.metadata.sorted_tables
            }


@asynccontextmanager
async def at_desk(db: Database, base_url: str = "") -> AsyncIterator[Desk]:
    with db.begin() as session:
        feed_id = a_feed(session, url=FEED, next_poll_at=NOW + DAY)
    desk: Desk
    async with (
        hub() as served,
        Fetcher("alerts-test/1", Limits(timedelta(seconds=5)), guard=LOOPBACK, host_rate=100) as fetcher,
        callbacks_of(db, lambda: desk.wakes.append(desk.now), lambda: desk.now) as address,
    ):
        hubs = Hubs(db, fetcher, base_url or address, lambda: desk.now, Random(1))
        desk = Desk(db, served, hubs.base_url, hubs, feed_id)
        yield desk
