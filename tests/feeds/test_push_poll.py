"""From a window that names a hub, through its push, to the poll that finds the news; in both databases."""

from collections.abc import AsyncIterator
from datetime import timedelta
from random import Random

import pytest
from sqlmodel import select

from alerts.db import Database
from alerts.feeds.fetch import Validators
from alerts.feeds.outcomes import Unchanged
from alerts.feeds.poll import Poller
from alerts.feeds.store.claims import claim_due
from alerts.feeds.store.polls import store
from alerts.models import Alert
from build import NOW, a_topic
from fakes.blog import Post, page
from fakes.site import Reply, Site, site
from websub import Desk, at_desk

SECOND = timedelta(seconds=1)
INTERVAL = timedelta(minutes=15)
A, B, C = (Post(key, f"Report {key}", f"Text of report {key}.", minute) for minute, key in enumerate("abc"))


class Newsroom:
    """A site and a hub, and our side of both with one clock."""

    def __init__(self, desk: Desk, web: Site) -> None:
        self.desk, self.web = desk, web
        self.poller = Poller(desk.db, desk.hubs.fetcher, lambda: desk.now, random=Random(1))

    def shows(self, *posts: Post, hub: str | None = None, topic: str | None = None, etag: str = "") -> None:
        links = [
            (hub if hub is not None else self.desk.hub.url, "hub"),
            (topic or self.web.url("/live"), "self"),
        ]
        header = ", ".join(f'<{url}>; rel="{rel}"' for url, rel in links if url)
        self.web.replies["/live"] = Reply(page(posts).encode(), headers={"Link": header}, etag=etag)

    async def poll(self, *, after: timedelta = timedelta(0)) -> int:
        """Lets time go by and polls what is due then; gives how many requests the site got."""
        self.desk.now += after
        before = len(self.asked())
        await self.poller.tick()
        await self.poller.drain()
        return len(self.asked()) - before

    def asked(self) -> list[dict[str, str]]:
        """The headers of each request for the page."""
        return [dict(each.headers) for each in self.web.requests if each.path == "/live"]

    def alerts(self) -> int:
        with self.desk.db.begin() as session:
            return len(session.exec(select(Alert.id)).all())

    def wait(self) -> float:
        return (self.desk.feed.next_poll_at - self.desk.now).total_seconds()


@pytest.fixture
async def newsroom(db: Database) -> AsyncIterator[Newsroom]:
    async with site() as web, at_desk(db) as desk:
        with db.begin() as session:
            a_topic(session)
        desk.change(url=web.url("/live"), interval=INTERVAL, baselined_at=None, next_poll_at=NOW)
        made = Newsroom(desk, web)
        made.shows(A, etag='"a"')
        yield made


async def subscribed(newsroom: Newsroom) -> str:
    """Polls for the first time, subscribes at the hub that the page names, and gives the callback."""
    assert await newsroom.poll() == 1
    assert await newsroom.desk.ask() == 1
    newsroom.desk.now += SECOND
    return newsroom.desk.callback


async def test_the_hub_that_a_page_names_is_asked_for_its_topic(newsroom: Newsroom) -> None:
    await subscribed(newsroom)
    assert newsroom.desk.hub.requests[0]["hub.topic"] == newsroom.web.url("/live")


async def test_a_page_that_names_no_hub_any_more_ends_the_subscription(newsroom: Newsroom) -> None:
    await subscribed(newsroom)
    newsroom.shows(B, A, hub="")
    await newsroom.poll(after=2 * INTERVAL)
    assert await newsroom.desk.ask() == 1
    assert newsroom.desk.hub.requests[-1]["hub.mode"] == "unsubscribe"


async def test_a_push_brings_the_poll_that_announces_the_news(newsroom: Newsroom) -> None:
    callback = await subscribed(newsroom)
    newsroom.shows(B, A)
    assert await newsroom.poll() == 0, "the next poll is far"
    await newsroom.desk.hub.push(callback)
    assert await newsroom.poll() == 1
    assert newsroom.alerts() == 1
    assert newsroom.desk.feed.hastened_at is None
    assert newsroom.wait() > 60, "and then polling goes on as ever"


async def test_the_poll_after_a_push_passes_by_caches(newsroom: Newsroom) -> None:
    callback = await subscribed(newsroom)
    await newsroom.desk.hub.push(callback)
    await newsroom.poll()
    hastened = newsroom.asked()[-1]
    assert hastened["Cache-Control"] == "no-cache"
    assert "If-None-Match" not in hastened
    for _ in range(4):
        await newsroom.poll(after=INTERVAL)
    usual = newsroom.asked()[-1]
    assert "Cache-Control" not in usual
    assert usual["If-None-Match"] == '"a"'


async def test_news_that_comes_after_the_push_is_found_by_the_next_look(newsroom: Newsroom) -> None:
    callback = await subscribed(newsroom)
    await newsroom.desk.hub.push(callback)
    await newsroom.poll()
    assert newsroom.wait() == 1
    await newsroom.poll(after=SECOND)
    assert newsroom.wait() == 3
    newsroom.shows(B, A)
    await newsroom.poll(after=3 * SECOND)
    assert newsroom.alerts() == 1
    assert newsroom.wait() > 60


async def test_a_push_of_nothing_is_looked_into_four_times_and_no_more(newsroom: Newsroom) -> None:
    callback = await subscribed(newsroom)
    await newsroom.desk.hub.push(callback)
    polls = 0
    for _ in range(30):
        polls += await newsroom.poll(after=SECOND)
    assert polls == 4


async def test_an_edit_counts_as_what_the_hub_spoke_of(newsroom: Newsroom) -> None:
    callback = await subscribed(newsroom)
    newsroom.shows(Post("a", "Report a", "Text of report a, mended.", 0))
    await newsroom.desk.hub.push(callback)
    await newsroom.poll()
    assert newsroom.wait() > 60


async def test_a_push_in_the_middle_of_a_poll_brings_another(newsroom: Newsroom) -> None:
    callback = await subscribed(newsroom)
    desk = newsroom.desk
    desk.now += 2 * INTERVAL
    with desk.db.begin() as session:
        (due,) = claim_due(session, desk.now, 1, timedelta(seconds=12))
    desk.now += SECOND / 2
    await desk.hub.push(callback)
    desk.now += SECOND / 4
    with desk.db.begin() as session:
        store(session, due, Unchanged(Validators()), desk.now, Random(1))
    assert newsroom.wait() == 0.25, "a second after it began"
    newsroom.shows(B, A)
    assert await newsroom.poll(after=SECOND / 4) == 1
    assert newsroom.alerts() == 1


async def test_what_a_hub_sends_is_never_news_by_itself(newsroom: Newsroom) -> None:
    callback = await subscribed(newsroom)
    await newsroom.desk.hub.push(callback, page([C, B, A]).encode())
    for _ in range(15):
        await newsroom.poll(after=SECOND)
    assert newsroom.alerts() == 0


async def test_a_push_does_not_undercut_a_servers_wish_to_be_left_alone(newsroom: Newsroom) -> None:
    callback = await subscribed(newsroom)
    newsroom.web.replies["/live"] = Reply(b"", status=429, headers={"Retry-After": "600"})
    await newsroom.desk.hub.push(callback)
    assert await newsroom.poll() == 1
    for _ in range(5):
        await newsroom.desk.hub.push(callback)
        assert await newsroom.poll(after=10 * SECOND) == 0


@pytest.mark.parametrize("rel", ["hub", "self"])
async def test_an_address_that_is_none_stops_no_poll(newsroom: Newsroom, rel: str) -> None:
    newsroom.shows(A, **{"hub" if rel == "hub" else "topic": "http://[::1"})
    assert await newsroom.poll() == 1
    assert newsroom.desk.feed.failures == 0
