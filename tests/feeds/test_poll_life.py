"""A feed's life over real HTTP, on both databases: quiet, followed, ended, at rest, moved, continued."""

from collections.abc import AsyncIterator
from datetime import timedelta
from random import Random

import pytest
from sqlmodel import Session, select

from alerts.db import Database
from alerts.errors import Conflict
from alerts.feeds import catalog
from alerts.feeds.catalog import FeedDraft
from alerts.feeds.fetch import Fetcher, Limits
from alerts.feeds.outcomes import PollResult, Turn, TurnKind, Verdict
from alerts.feeds.poll import Poller
from alerts.models import Audit, Feed, FeedState
from build import NOW, a_feed, a_reader, a_topic
from fakes.blog import Post, page
from fakes.site import Reply, Site, site

A, B, C, NEXT = (
    Post(key, f"Report {key}", f"Text of report {key}.", minute) for minute, key in enumerate("abcd")
)
SIGN = '<p>Our live coverage continues <a href="/part-two">here</a>.</p>'
S, M, H, D = (timedelta(**{unit: 1}) for unit in ("seconds", "minutes", "hours", "days"))


@pytest.fixture
async def web() -> AsyncIterator[Site]:
    async with site() as served:
        yield served


class Newsroom:
    """One feed and a clock; each poll comes when a test says so."""

    def __init__(self, database: Database, web: Site, fetcher: Fetcher, feed_id: int) -> None:
        self.database, self.web, self.feed_id = database, web, feed_id
        self.now = NOW
        self.poller = Poller(database, fetcher, lambda: self.now, random=Random(1))

    async def poll(self, after: timedelta = M) -> PollResult:
        """Polls the feed that much later, whenever it is due."""
        self.now += after
        self.change(next_poll_at=self.now)
        await self.poller.tick()
        [result] = await self.poller.drain()
        return result

    @property
    def feed(self) -> Feed:
        with self.database.begin() as session:
            return session.get_one(Feed, self.feed_id)

    @property
    def wait(self) -> timedelta:
        return self.feed.next_poll_at - self.now

    def change(self, **fields: object) -> None:
        with self.database.begin() as session:
            feed = session.get_one(Feed, self.feed_id)
            for name, value in fields.items():
                setattr(feed, name, value)
            session.add(feed)

    def audits(self) -> list[str]:
        with self.database.begin() as session:
            return list(session.exec(select(Audit.action).where(Audit.by == "poller")).all())


@pytest.fixture
async def newsroom(db: Database, web: Site) -> AsyncIterator[Newsroom]:
    with db.begin() as session:
        feed_id = a_feed(session, url=web.url("/live"), baselined_at=None, title="")
        a_reader(session, topic_id=a_topic(session))
    web.shows("/live", page([A]))
    async with Fetcher("alerts-test/1", Limits(5 * S, 1_000_000)) as fetcher:
        yield Newsroom(db, web, fetcher, feed_id)


def kinds(result: PollResult) -> list[TurnKind]:
    return [turn.kind for turn in result.turns]


def about(length: timedelta, expected: timedelta) -> bool:
    return 0.8 * expected <= length <= 1.2 * expected


# Pace


async def test_a_feed_slows_down_as_it_falls_silent_and_news_wake_it(newsroom: Newsroom) -> None:
    waits = []
    for after in (M, M, H, H):
        await newsroom.poll(after)
        waits.append((newsroom.feed.poll_reason, newsroom.wait))
    assert [why for why, _ in waits] == ["live", "live", "quiet for 61 min", "quiet for 2 h"]
    expected = (20 * S, 20 * S, 40 * S, 5 * M)
    assert all(about(wait, length) for (_, wait), length in zip(waits, expected, strict=True))
    newsroom.web.shows("/live", page([B, A]))
    await newsroom.poll()
    assert newsroom.feed.poll_reason == "live"


async def test_who_begins_to_follow_is_served_soon(db: Database, web: Site) -> None:
    web.shows("/live", page([A]))
    with db.begin() as session:
        feed_id = a_feed(session, url=web.url("/live"), baselined_at=None)
        topic = a_topic(session, feeds=["harbour"])
        a_reader(session, "other@example.org", a_topic(session, "elsewhere", feeds=["port"]))
    async with Fetcher("test") as fetcher:
        newsroom = Newsroom(db, web, fetcher, feed_id)
        await newsroom.poll()
        assert (newsroom.feed.is_followed, newsroom.feed.poll_reason) == (False, "nobody follows it")
        assert about(newsroom.wait, 5 * M)
        with db.begin() as session:
            a_reader(session, topic_id=topic)
        newsroom.now += 5 * S
        assert await newsroom.poller.tick() == 1
        await newsroom.poller.drain()
        assert (newsroom.feed.is_followed, newsroom.feed.poll_reason) == (True, "live")


async def test_what_fails_for_an_hour_is_said_once(newsroom: Newsroom) -> None:
    await newsroom.poll()
    newsroom.web.replies["/live"] = Reply(status=404)
    said = [kinds(await newsroom.poll(20 * M)) for _ in range(6)]
    assert said == [[], [], [], [TurnKind.DOWN], [], []]
    assert newsroom.feed.state == FeedState.ACTIVE, "404 is not gone"
    assert about(newsroom.wait, 15 * M)
    newsroom.web.shows("/live", page([A]))
    await newsroom.poll()
    assert (newsroom.feed.failing_since, newsroom.feed.poll_reason) == (None, "quiet for 2 h")


async def test_the_page_is_read_whole_once_a_day(newsroom: Newsroom) -> None:
    newsroom.web.shows("/live", page([A]), etag='"1"')
    await newsroom.poll()
    asked = []
    for after in (M, 23 * H, H, M):
        assert (await newsroom.poll(after)).verdict == Verdict.UNCHANGED
        asked.append("If-None-Match" in newsroom.web.requests[-1].headers)
    assert asked == [True, True, False, True]


async def test_a_poll_that_a_person_asks_for_reads_the_page_whole(newsroom: Newsroom) -> None:
    newsroom.web.shows("/live", page([A]), etag='"1"')
    await newsroom.poll()
    with newsroom.database.begin() as session:
        catalog.poll_now(session, "harbour", "ann", newsroom.now)
    assert newsroom.feed.poll_reason == "asked for by ann"
    assert await newsroom.poller.tick() == 1
    assert (await newsroom.poller.drain())[0].verdict == Verdict.POLLED
    assert "If-None-Match" not in newsroom.web.requests[-1].headers


# The end


def ended(*posts: Post) -> str:
    """A page whose coverage was over half an hour before its newest post."""
    return page(posts).replace(
        '"coverageStartTime"', f'"coverageEndTime": "{(NOW - H).isoformat()}", "coverageStartTime"'
    )


async def test_a_blog_ends_rests_and_is_resumed(newsroom: Newsroom) -> None:
    newsroom.web.shows("/live", ended(A))
    await newsroom.poll()
    assert kinds(await newsroom.poll(5 * H)) == []
    assert kinds(await newsroom.poll(H)) == [TurnKind.ENDED]
    assert newsroom.feed.poll_reason == "ended"
    assert about(newsroom.wait, H)
    result = await newsroom.poll(D)
    assert result.turns == (Turn(TurnKind.RESTS, "ended, and quiet for 1 d since"),)
    assert (newsroom.feed.state, newsroom.audits()) == (FeedState.RESTING, ["feed.rest"])
    newsroom.now += 9 * D
    assert await newsroom.poller.tick() == 0
    with newsroom.database.begin() as session:
        catalog.resume(session, "harbour", "ann", newsroom.now)
    newsroom.web.shows("/live", ended(B, A))
    assert await newsroom.poller.tick() == 1
    await newsroom.poller.drain()
    assert (newsroom.feed.state, newsroom.feed.ended_at) == (FeedState.ACTIVE, None)


async def test_news_after_the_end_revive_a_blog(newsroom: Newsroom) -> None:
    newsroom.web.shows("/live", ended(A))
    await newsroom.poll()
    await newsroom.poll(6 * H)
    newsroom.web.shows("/live", ended(B, A))
    assert kinds(await newsroom.poll(H)) == [TurnKind.REVIVED]
    assert newsroom.feed.poll_reason == "live"


async def test_a_held_feed_does_not_rest(newsroom: Newsroom) -> None:
    newsroom.web.shows("/live", ended(A))
    await newsroom.poll()
    await newsroom.poll(6 * H)
    newsroom.change(state=FeedState.HELD)
    await newsroom.poll(2 * D)
    assert newsroom.feed.state == FeedState.HELD


async def test_a_page_that_has_become_an_article_has_ended(newsroom: Newsroom) -> None:
    await newsroom.poll()
    newsroom.web.shows("/live", "<html><body><article>How the day went.</article></body></html>")
    turns = [kinds(await newsroom.poll(20 * M)) for _ in range(5)]
    assert turns == [[], [], [], [TurnKind.ENDED], []]
    assert about(newsroom.wait, H)
    assert kinds(await newsroom.poll(D)) == [TurnKind.RESTS]


# Moves


def moved(to: str) -> Reply:
    return Reply(status=301, headers={"Location": to})


async def test_a_permanent_redirect_is_trusted_after_a_day(newsroom: Newsroom) -> None:
    newsroom.web.shows("/new", page([A]))
    newsroom.web.replies["/live"] = moved("/new")
    new, old = newsroom.web.url("/new"), newsroom.web.url("/live")
    for after in (M, 8 * H, 8 * H, 7 * H):
        assert kinds(await newsroom.poll(after)) == []
    assert kinds(await newsroom.poll(H)) == [TurnKind.MOVED]
    assert (newsroom.feed.url, newsroom.feed.given_url, newsroom.audits()) == (new, old, ["feed.move"])
    with newsroom.database.begin() as session:
        draft = FeedDraft("harbour", old)
        assert catalog.declare(session, [draft], newsroom.now).changed == ("harbour",), "now it is declared"
        assert catalog.declare(session, [draft], newsroom.now).changed == ()
        assert catalog.show(session, "harbour").url == new, "a declaration undoes no move"
        with pytest.raises(Conflict, match="harbour polls this URL"):
            catalog.add(session, FeedDraft("port", old), "ann", newsroom.now)
        catalog.declare(session, [FeedDraft("harbour", newsroom.web.url("/third"))], newsroom.now)
        view = catalog.show(session, "harbour")
        assert view.url == view.draft.url == newsroom.web.url("/third")


async def test_a_temporary_redirect_is_only_followed(newsroom: Newsroom) -> None:
    newsroom.web.shows("/new", page([A]))
    for status in (301, 301, 302, 301, 301):
        newsroom.web.replies["/live"] = Reply(status=status, headers={"Location": "/new"})
        assert kinds(await newsroom.poll(D)) == []
    assert (newsroom.feed.moved_seen, newsroom.feed.url) == (2, newsroom.web.url("/live"))


async def test_a_move_onto_another_feeds_page_is_told_and_not_made(newsroom: Newsroom) -> None:
    newsroom.web.shows("/new", page([A]))
    newsroom.web.replies["/live"] = moved("/new")
    with newsroom.database.begin() as session:
        a_feed(session, "port", url=newsroom.web.url("/new"), state=FeedState.PAUSED)
    turns = [kinds(await newsroom.poll(D)) for _ in range(6)]
    assert turns == [[], [], [], [], [TurnKind.IS_TAKEN], []]
    assert newsroom.feed.url == newsroom.web.url("/live")


# Successors


def on_site(web: Site, *posts: Post, sign: str = "") -> str:
    """A live blog's page that calls itself by its address on this site, with a sign above the posts."""
    return page(posts).replace("https://news.example", web.base).replace("<body>", f"<body>{sign}")


async def continued(newsroom: Newsroom) -> PollResult:
    """Polls a live blog, and again when it says that it goes on at /part-two."""
    await newsroom.poll()
    newsroom.web.shows("/live", on_site(newsroom.web, B, A, sign=SIGN))
    return await newsroom.poll()


async def test_a_live_blog_is_followed_to_its_next_page(newsroom: Newsroom) -> None:
    newsroom.web.shows("/part-two", page([C, B]))
    assert kinds(await continued(newsroom)) == [TurnKind.CONTINUES]
    assert newsroom.feed.url == newsroom.web.url("/part-two")
    assert newsroom.feed.followed_at == newsroom.now
    assert about(newsroom.wait, 20 * S)
    assert newsroom.audits() == ["feed.continue"]
    result = await newsroom.poll()
    assert result.verdict == Verdict.POLLED
    assert newsroom.feed.state == FeedState.ACTIVE


async def test_a_successor_that_is_not_ready_is_told_and_looked_at_again(newsroom: Newsroom) -> None:
    assert kinds(await continued(newsroom)) == [TurnKind.POINTS_ON]
    assert kinds(await newsroom.poll()) == [], "said once"
    newsroom.web.shows("/part-two", page([NEXT, C, B]))
    newsroom.web.shows("/live", on_site(newsroom.web, C, B, A, sign=SIGN))
    asked = len(newsroom.web.requests)
    assert kinds(await newsroom.poll(30 * M)) == []
    assert len(newsroom.web.requests) == asked + 1, "the page is still live"
    assert kinds(await newsroom.poll(H)) == [TurnKind.CONTINUES]


async def test_a_successor_is_not_followed_against_the_newsrooms_will(newsroom: Newsroom) -> None:
    newsroom.web.shows("/part-two", page([C, B]))
    newsroom.change(follow_moves=False)
    assert kinds(await continued(newsroom)) == [TurnKind.POINTS_ON]
    assert newsroom.feed.url == newsroom.web.url("/live")


async def test_a_feed_whose_successor_another_polls_rests(newsroom: Newsroom) -> None:
    newsroom.web.shows("/part-two", page([C, B]))
    with newsroom.database.begin() as session:
        a_feed(session, "port", url=newsroom.web.url("/part-two"), state=FeedState.PAUSED)
    assert kinds(await continued(newsroom)) == [TurnKind.IS_TAKEN, TurnKind.RESTS]
    assert newsroom.feed.state == FeedState.RESTING
    assert "port" in newsroom.feed.state_reason


def test_only_what_is_polled_can_be_polled_now(db: Database) -> None:
    with db.begin() as session:
        a_feed(session, state=FeedState.RESTING)
        with pytest.raises(Conflict, match="feeds resume harbour"):
            catalog.poll_now(session, "harbour", "ann", NOW)


def test_a_shorter_interval_counts_at_once(db: Database) -> None:
    with db.begin() as session:
        _declare(session, H)
        session.exec(select(Feed)).one().next_poll_at = NOW + H
        _declare(session, 20 * S)
        assert catalog.show(session, "harbour").next_poll_at == NOW


def _declare(session: Session, interval: timedelta) -> None:
    catalog.declare(session, [FeedDraft("harbour", "https://news.example/", interval=interval)], NOW)
