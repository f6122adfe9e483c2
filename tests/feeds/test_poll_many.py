"""Many feeds at once: nothing thunders after a standstill, no host takes all the room, and little is written."""

import asyncio
import threading
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from datetime import datetime, timedelta
from random import Random
from typing import Any

import pytest
import sqlalchemy as sa
from sqlmodel import Session, col, select

from alerts.db import Database
from alerts.feeds import poll
from alerts.feeds.fetch import Fetcher, Limits
from alerts.feeds.fetch.answers import Validators
from alerts.feeds.formats import ParsedFeed
from alerts.feeds.outcomes import PollResult, Unchanged, Verdict
from alerts.feeds.poll import Poller
from alerts.feeds.schedule import Rhythm
from alerts.feeds.store.claims import MOST_OF_A_HOST, claim_due
from alerts.feeds.store.polls import store
from alerts.feeds.store.unchanged import store_unchanged
from alerts.models import Feed, FeedState
from build import NOW, a_feed, a_reader, a_topic
from fakes.blog import Post, page
from fakes.site import Reply, Site, site

S, H = timedelta(seconds=1), timedelta(hours=1)
LEASE = timedelta(minutes=2)
TICK = 0.25 * S


@pytest.fixture
async def hosts() -> AsyncIterator[list[Site]]:
    """Five hosts, each with a live blog."""
    async with AsyncExitStack() as stack:
        served = [await stack.enter_async_context(site()) for _ in range(5)]
        for web in served:
            web.shows("/live", page([Post("a", "Report a")]), etag='"1"')
        yield served


def many(session: Session, hosts: list[Site], count: int, **fields: Any) -> None:
    for number in range(count):
        host = hosts[number % len(hosts)]
        name = f"{fields.get('kind', 'feed')}-{number}"
        values = {key: value for key, value in fields.items() if key != "kind"}
        a_feed(session, name, url=f"{host.url('/live')}?{name}", **values)


async def test_a_delivery_waits_for_one_window_and_not_for_all_that_were_read(
    sqlite_db: Database, hosts: list[Site]
) -> None:
    order: list[str] = []
    reads = 0

    async def read(body: bytes, url: str, content_type: str, *, feed: str = "") -> ParsedFeed:
        nonlocal reads
        reads += 1
        return await poll.read_in_thread(body, url, content_type, feed=feed)

    with sqlite_db.begin() as session:
        many(session, hosts, 10, baselined_at=None)
    is_free = threading.Event()
    async with Fetcher("test") as fetcher:
        poller = Poller(
            sqlite_db, fetcher, lambda: NOW, read=read, on_result=lambda _: order.append("window")
        )
        assert await poller.tick() == 10
        blocked = asyncio.create_task(sqlite_db.run(lambda _: is_free.wait(30)))
        async with asyncio.timeout(30):
            while reads < 10:  # noqa: ASYNC110 - ten tasks read
                await asyncio.sleep(0.01)
        await asyncio.sleep(0.2)  # each has asked for its turn by then
        mail = asyncio.create_task(sqlite_db.run(lambda _: order.append("mail")))
        await asyncio.sleep(0)
        is_free.set()
        await asyncio.gather(blocked, mail, poller.drain())
    assert order.index("mail") <= 1, order


async def test_a_feed_that_is_hard_to_read_is_asked_less_often(
    sqlite_db: Database, hosts: list[Site]
) -> None:
    hosts[1].shows("/live", b"no feed")
    with sqlite_db.begin() as session:
        a_reader(session, topic_id=a_topic(session))
        many(session, hosts, 3, changed_at=NOW)
    async with Fetcher("test") as fetcher:
        seconds = {"feed-0": 2.0, "feed-1": 2.0}
        poller = Poller(sqlite_db, fetcher, lambda: NOW, work=lambda feed: seconds.get(feed, 0.0))
        await poller.tick()
        hard, broken, easy = sorted(await poller.drain(), key=lambda result: result.feed)
        assert hard.next_poll_at is not None
        assert broken.next_poll_at is not None
        assert easy.next_poll_at is not None
        assert (hard.verdict, broken.verdict) == (Verdict.POLLED, Verdict.FAILED)
        assert min(hard.next_poll_at, broken.next_poll_at) >= NOW + 80 * S
        assert easy.next_poll_at <= NOW + 30 * S
        with sqlite_db.begin() as session:
            session.execute(sa.update(Feed).values(next_poll_at=NOW))
        await poller.tick()
        unread = min(await poller.drain(), key=lambda result: result.feed)
        assert unread.verdict == Verdict.UNCHANGED
        assert unread.next_poll_at is not None
        assert unread.next_poll_at <= NOW + 30 * S, "nothing was read this time"


async def test_two_hundred_feeds_that_are_overdue_at_a_start_do_not_thunder(
    db: Database, hosts: list[Site]
) -> None:
    overdue = {"next_poll_at": NOW - H, "etag": '"1"', "read_whole_at": NOW}
    with db.begin() as session:
        a_reader(session, topic_id=a_topic(session))
        many(session, hosts, 100, kind="live", changed_at=NOW, **overdue)
        many(session, hosts, 100, kind="quiet", changed_at=NOW - 9 * H, **overdue)
    now = NOW
    polled: dict[str, datetime] = {}
    per_second: Counter[int] = Counter()

    def note(result: PollResult) -> None:
        if result.feed not in polled:
            polled[result.feed] = now
            per_second[int((now - NOW).total_seconds())] += 1

    async with Fetcher("test", Limits(20 * S)) as fetcher:
        poller = Poller(db, fetcher, lambda: now, random=Random(1), on_result=note)
        while len(polled) < 200:
            await poller.tick()
            await poller.drain()
            now += TICK
    waits = {name: at - NOW for name, at in polled.items()}
    assert max(wait for name, wait in waits.items() if name.startswith("live")) <= 21 * S, "its interval"
    assert max(waits.values()) <= 51 * S, "forty at each host, two a second at most"
    assert max(per_second.values()) <= 35


async def test_a_host_that_hangs_does_not_take_all_the_room(db: Database, hosts: list[Site]) -> None:
    with db.begin() as session:
        many(session, hosts[:1], 30, kind="hangs", next_poll_at=NOW - H)
        many(session, hosts[1:2], 2, kind="well", next_poll_at=NOW)
        names = [due.name for due in claim_due(session, NOW, 16, LEASE)]
        assert names == ["hangs-0", "hangs-1", "hangs-2", "hangs-3", "well-0", "well-1"]
        assert claim_due(session, NOW, 16, LEASE, {_host(hosts[0]): MOST_OF_A_HOST}) == []


async def test_one_host_with_most_of_the_feeds_does_not_hide_the_others(
    db: Database, hosts: list[Site]
) -> None:
    with db.begin() as session:
        many(session, hosts[:1], 150, kind="big", next_poll_at=NOW - H)
        many(session, hosts[1:2], 1, kind="small", next_poll_at=NOW)
        assert "small-0" in [due.name for due in claim_due(session, NOW, 16, LEASE)]


def test_who_is_waited_for_goes_first(db: Database) -> None:
    with db.begin() as session:
        feeds: dict[str, tuple[timedelta, dict[str, Any]]] = {
            "failing": (5 * S, {"failures": 1}),
            "unread": (4 * S, {"is_followed": False}),
            "over": (3 * S, {"ended_at": NOW}),
            "live": (0 * S, {}),
            "long-overdue": (11 * S, {"failures": 1}),
        }
        for name, (late, fields) in feeds.items():
            a_feed(session, name, url=f"https://{name}.example/", next_poll_at=NOW - late, **fields)
        names = [due.name for due in claim_due(session, NOW, 9, LEASE)]
    assert names == ["long-overdue", "live", "failing", "unread", "over"]


async def test_slow_polls_give_their_place_to_others(
    db: Database, hosts: list[Site], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(poll, "SLOW_AFTER", 0)  # at once
    for web in hosts[:4]:
        web.replies["/live"] = Reply(never_ends=True)
    with db.begin() as session:
        many(session, hosts[:4], 8, kind="slow", next_poll_at=NOW - H)
        many(session, hosts[4:], 1, kind="well", next_poll_at=NOW)
    results: list[PollResult] = []
    async with Fetcher("test", Limits(3 * S)) as fetcher:
        poller = Poller(db, fetcher, lambda: NOW, parallel=2, on_result=results.append)
        begun = [await poller.tick() for _ in range(5)]
        assert begun == [2, 2, 2, 2, 0], "four times as many as `parallel`, and no more"
        await poller.drain()
        assert {result.verdict for result in results} == {Verdict.FAILED}
        await poller.tick()
        await poller.drain()
    assert results[-1].feed == "well-0"


# What an unchanged poll writes


def test_storing_many_at_once_is_storing_each(db: Database) -> None:
    """Two databases' worth in one: each feed twice, one stored alone and its twin with all others."""
    shapes: list[dict[str, Any]] = [
        {"changed_at": NOW},
        {"changed_at": NOW - 9 * H, "is_followed": False, "refresh": timedelta(minutes=30)},
        {"changed_at": NOW - 9 * H, "coverage_end": NOW - H},
        {"ended_at": NOW - 2 * H},
        {"ended_at": NOW - 48 * H},
        {"failures": 3, "failing_since": NOW - H, "last_error": "gone"},
        {"moved_to": "https://news.example/new", "moved_seen": 2, "moved_since": NOW - H},
        {"hastened_at": NOW - S, "hastened_polls": 1},
        {"read_whole_at": NOW - H},
        {"state": FeedState.HELD, "ended_at": NOW - 48 * H},
    ]
    later = NOW + S
    with db.begin() as session:
        for number, shape in enumerate(shapes):
            a_feed(session, f"alone-{number}", etag='"1"', **shape)
            a_feed(session, f"group-{number}", etag='"1"', **shape)
    with db.begin() as session:
        # Different hosts, or only a few would be claimed.
        for feed in session.exec(select(Feed)).all():
            feed.url = f"https://{feed.name}.example/"
    with db.begin() as session:
        due = {each.name: each for each in claim_due(session, NOW, 99, LEASE)}
        assert len(due) == 2 * len(shapes)
    answer = Unchanged(Validators('"2"', "today"))
    with db.begin() as session:
        alone = [
            store(session, due[f"alone-{number}"], answer, later, _Steady()) for number in range(len(shapes))
        ]
        polls = [(due[f"group-{number}"], answer) for number in range(len(shapes))]
        together = store_unchanged(session, polls, later, _Steady(), Rhythm())
    assert [(each.verdict, each.next_poll_at, each.turns) for each in alone] == [
        (each.verdict, each.next_poll_at, each.turns) for each in together
    ]
    with db.begin() as session:
        rows = {feed.name: feed for feed in session.exec(select(Feed).order_by(col(Feed.id))).all()}
        for number in range(len(shapes)):
            assert _told(rows[f"alone-{number}"]) == _told(rows[f"group-{number}"])


def test_a_lost_lease_is_noticed_in_a_group_too(db: Database) -> None:
    with db.begin() as session:
        a_feed(session, "kept")
        feed_id = a_feed(session, "lost")
        due = claim_due(session, NOW, 9, LEASE)
        session.get_one(Feed, feed_id).leased_by = "another"
        session.flush()
        results = store_unchanged(
            session, [(each, Unchanged(Validators())) for each in due], NOW, Random(1), Rhythm()
        )
    assert {result.feed: result.verdict for result in results} == {
        "kept": Verdict.UNCHANGED,
        "lost": Verdict.LOST,
    }


async def test_polls_that_end_together_are_stored_together(db: Database, hosts: list[Site]) -> None:
    with db.begin() as session:
        many(session, hosts, 10, etag='"1"', read_whole_at=NOW)
    commits = 0
    begin = db.begin

    def counting() -> object:
        nonlocal commits
        commits += 1
        return begin()

    async with Fetcher("test") as fetcher:
        poller = Poller(db, fetcher, lambda: NOW, random=Random(1))
        await poller.tick()
        db.begin = counting  # type: ignore[method-assign, assignment]  # to count what is committed
        results = await asyncio.wait_for(poller.drain(), 30)
    assert [result.verdict for result in results] == [Verdict.UNCHANGED] * 10
    assert commits < 10


class _Steady(Random):
    """No jitter."""

    def uniform(self, a: float, b: float) -> float:
        return (a + b) / 2


def _told(feed: Feed) -> dict[str, Any]:
    return feed.model_dump(exclude={"id", "name", "url", "title"})


def _host(web: Site) -> str:
    return web.base.removeprefix("http://")
