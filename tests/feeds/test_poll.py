"""Polling over real HTTP into both databases: what is stored, what is announced, and when it is due again."""

from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from random import Random

import pytest
from sqlmodel import Session, col, select

from alerts.db import Database
from alerts.errors import FetchFailed
from alerts.feeds import catalog
from alerts.feeds.fetch import Fetcher, Limits
from alerts.feeds.outcomes import DueFeed, Failed, Kind, PollResult, Verdict
from alerts.feeds.poll import Poller, claim_due, poll_due, store
from alerts.feeds.store import entries
from alerts.models import Alert, Audit, Entry, EntryRevision, Feed, FeedState
from build import NOW, a_feed, a_reader, a_topic
from fakes.blog import Post, page
from fakes.site import Reply, Site, site

A, B, C = (Post(key, f"Report {key}", f"Text of report {key}.", minute) for minute, key in enumerate("abc"))
LEASE = timedelta(minutes=2)


@pytest.fixture
async def web() -> AsyncIterator[Site]:
    async with site() as served:
        yield served


class Newsroom:
    """One feed, a topic that wants all of it, and a clock that each poll moves on by a minute."""

    def __init__(self, database: Database, web: Site, fetcher: Fetcher, feed_id: int) -> None:
        self.database, self.web, self.fetcher, self.feed_id = database, web, fetcher, feed_id
        self.now = NOW

    def shows(self, *posts: Post, key_points: tuple[str, ...] = ()) -> None:
        self.web.shows("/live", page(posts, key_points=key_points))

    async def poll(self) -> PollResult:
        self.now += timedelta(minutes=1)
        results = await poll_due(self.database, self.fetcher, clock=lambda: self.now, random=Random(1))
        assert len(results) == 1
        return results[0]

    @property
    def feed(self) -> Feed:
        with self.database.begin() as session:
            return session.get_one(Feed, self.feed_id)

    def change(self, **fields: object) -> None:
        with self.database.begin() as session:
            feed = session.get_one(Feed, self.feed_id)
            for name, value in fields.items():
                setattr(feed, name, value)
            session.add(feed)

    def alerts(self) -> list[str]:
        with self.database.begin() as session:
            return list(session.exec(select(Alert.cause_key).order_by(col(Alert.id))))


@pytest.fixture
async def newsroom(db: Database, web: Site) -> AsyncIterator[Newsroom]:
    with db.begin() as session:
        feed_id = a_feed(session, url=web.url("/live"), baselined_at=None, flood_limit=3, title="")
        a_reader(session, topic_id=a_topic(session))
    async with Fetcher("alerts-test/1", Limits(timedelta(seconds=5), 1_000_000)) as fetcher:
        yield Newsroom(db, web, fetcher, feed_id)


def kinds(result: PollResult) -> list[tuple[str, str]]:
    return [(item.kind, item.title) for item in result.items]


async def test_the_first_poll_is_a_baseline_and_the_next_announces_what_is_new(newsroom: Newsroom) -> None:
    newsroom.shows(B, A)
    first = await newsroom.poll()
    assert kinds(first) == [(Kind.BASELINE, "Report a"), (Kind.BASELINE, "Report b")]
    assert newsroom.alerts() == []
    assert newsroom.feed.baselined_at == newsroom.now
    assert (newsroom.feed.format, newsroom.feed.title, newsroom.feed.identity) == (
        "live-blog",
        "Harbour live",
        "url",
    )
    newsroom.shows(C, B, A)
    second = await newsroom.poll()
    assert kinds(second) == [(Kind.NEW, "Report c")]
    assert newsroom.alerts() == [f"entry:{second.items[0].entry_id}"]
    assert second.items[0].alert_id is not None


async def test_new_entries_are_announced_oldest_first(newsroom: Newsroom) -> None:
    newsroom.shows()
    await newsroom.poll()
    newsroom.shows(C, B, A)
    assert [item.title for item in (await newsroom.poll()).items] == ["Report a", "Report b", "Report c"]


async def test_an_edit_is_kept_and_mails_nobody(newsroom: Newsroom) -> None:
    newsroom.shows(A)
    await newsroom.poll()
    newsroom.shows(Post("a", "Report a", "Text of report a, mended."))
    result = await newsroom.poll()
    assert kinds(result) == [(Kind.EDITED, "Report a")]
    assert newsroom.alerts() == []
    with newsroom.database.begin() as session:
        texts = session.exec(select(EntryRevision.text).order_by(col(EntryRevision.number))).all()
        assert texts == ["Text of report a.", "Text of report a, mended."]
        assert session.exec(select(Entry.revision)).one() == 2


async def test_a_late_key_mark_is_announced_but_not_of_the_baseline(newsroom: Newsroom) -> None:
    newsroom.shows(A)
    await newsroom.poll()
    newsroom.shows(B, A)
    await newsroom.poll()
    newsroom.shows(B, A, key_points=("a",))
    of_the_baseline = await newsroom.poll()
    assert [(item.kind, item.alert_id) for item in of_the_baseline.items] == [(Kind.KEY_EVENT, None)]
    newsroom.change(flood_limit=4)
    newsroom.shows(B, A, key_points=("a", "b"))
    marked = await newsroom.poll()
    assert [(item.kind, item.why) for item in marked.items] == [(Kind.KEY_EVENT, "block")]
    assert newsroom.alerts() == [f"entry:{marked.items[0].entry_id}", f"flash:{marked.items[0].entry_id}"]


async def test_a_rule_of_words_makes_a_key_event(newsroom: Newsroom) -> None:
    newsroom.change(key_words=["breaking"])
    newsroom.shows(A)
    await newsroom.poll()
    newsroom.shows(Post("b", "Breaking: the ferry is in"), A)
    result = await newsroom.poll()
    assert result.items[0].is_key_event is True
    with newsroom.database.begin() as session:
        assert session.get_one(Entry, result.items[0].entry_id).key_event_by == "words"


async def test_a_post_without_a_headline_gets_its_opening(newsroom: Newsroom) -> None:
    newsroom.shows(
        Post("a", "", "The ferry is in. More soon."), Post("b", "Harbour live", "The tug is out. More soon.")
    )
    result = await newsroom.poll()
    assert {item.title for item in result.items} == {"The ferry is in.", "The tug is out."}


# The flood guard


async def flood(newsroom: Newsroom) -> PollResult:
    newsroom.shows(A)
    await newsroom.poll()
    newsroom.shows(
        *(Post(f"n{number}", f"Flood {number}", f"Text {number}.", number) for number in range(4)), A
    )
    return await newsroom.poll()


async def test_a_flood_is_stored_and_held_and_mails_nobody(newsroom: Newsroom) -> None:
    result = await flood(newsroom)
    assert result.held == "4 new entries in one poll, and the limit is 3"
    assert [item.kind for item in result.items] == [Kind.HELD] * 4
    assert (newsroom.feed.state, newsroom.feed.state_reason) == (FeedState.HELD, result.held)
    newsroom.shows(B, *(Post(f"n{number}", f"Flood {number}", f"Text {number}.") for number in range(4)), A)
    assert [item.kind for item in (await newsroom.poll()).items] == [Kind.HELD]
    assert newsroom.alerts() == []


async def test_of_a_held_page_that_is_another_each_time_no_more_is_kept_than_can_be_looked_through(
    newsroom: Newsroom, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(entries, "MOST_HELD", 4)
    await flood(newsroom)
    for number in (10, 20):
        newsroom.shows(*(Post(f"n{n}", f"Flood {n}", f"Text {n}.", n) for n in range(number, number + 4)), A)
        assert (await newsroom.poll()).items == ()
    with newsroom.database.begin() as session:
        assert catalog.release(session, "harbour", "ann", newsroom.now, skip=True) == 4
    newsroom.shows(Post("n23", "Flood 23", "Text 23.", 23), A)
    assert [(item.kind, item.title) for item in (await newsroom.poll()).items] == [(Kind.NEW, "Flood 23")]


async def test_a_release_announces_what_waited_and_only_that(newsroom: Newsroom) -> None:
    held = await flood(newsroom)
    with newsroom.database.begin() as session:
        assert catalog.release(session, "harbour", "ann", newsroom.now) == 4
    assert newsroom.alerts() == [f"entry:{item.entry_id}" for item in held.items]
    assert newsroom.feed.state == FeedState.ACTIVE
    assert not (await newsroom.poll()).items


async def test_a_flood_is_compared_with_other_news_only_when_it_is_released(newsroom: Newsroom) -> None:
    """A thousand held entries, each compared with all others, would keep every other feed waiting."""

    def groups() -> list[int | None]:
        with newsroom.database.begin() as session:
            return list(session.exec(select(Entry.group_id).order_by(col(Entry.id))))

    newsroom.shows(A)
    await newsroom.poll()
    told_twice = "Three people were hurt in a fire at a warehouse in Riverton, the fire service said"
    fires = [
        Post(f"n{each}", "Fire in Riverton warehouse", f"{told_twice}{'.' * each}", each) for each in (1, 2)
    ]
    newsroom.shows(
        *fires, *(Post(f"x{each}", f"Flood {each}", f"Text {each}.", each) for each in range(3)), A
    )
    assert [item.kind for item in (await newsroom.poll()).items] == [Kind.HELD] * 5
    assert set(groups()) == {None}
    with newsroom.database.begin() as session:
        catalog.release(session, "harbour", "ann", newsroom.now)
    assert len(set(groups()) - {None}) == 1


async def test_a_skip_mails_nobody_of_what_waited(newsroom: Newsroom) -> None:
    await flood(newsroom)
    with newsroom.database.begin() as session:
        assert catalog.release(session, "harbour", "ann", newsroom.now, skip=True) == 4
        assert len(session.exec(select(Entry).where(Entry.is_baseline)).all()) == 5
    assert newsroom.alerts() == []
    newsroom.shows(B, A)
    assert [item.kind for item in (await newsroom.poll()).items] == [Kind.NEW]


async def test_a_key_mark_made_during_the_hold_is_news_after_it(newsroom: Newsroom) -> None:
    newsroom.shows(A)
    await newsroom.poll()
    newsroom.shows(B, A)
    announced = (await newsroom.poll()).items[0].entry_id
    newsroom.change(state=FeedState.HELD)
    newsroom.shows(B, A, key_points=("b",))
    assert not (await newsroom.poll()).items
    with newsroom.database.begin() as session:
        catalog.release(session, "harbour", "ann", newsroom.now)
    assert [item.kind for item in (await newsroom.poll()).items] == [Kind.KEY_EVENT]
    assert newsroom.alerts()[-1] == f"flash:{announced}"


# Fetching


async def test_the_same_bytes_are_not_read_again(newsroom: Newsroom) -> None:
    newsroom.shows(A)
    await newsroom.poll()
    assert (await newsroom.poll()).verdict == Verdict.UNCHANGED


async def test_validators_are_kept_and_sent(newsroom: Newsroom) -> None:
    newsroom.web.shows("/live", page([A]), etag='"1"', last_modified="Sun, 22 Nov 2026 07:00:00 GMT")
    await newsroom.poll()
    assert (await newsroom.poll()).verdict == Verdict.UNCHANGED
    assert newsroom.web.requests[-1].headers["If-None-Match"] == '"1"'
    newsroom.web.shows("/live", page([A]), etag='"2"')
    assert (await newsroom.poll()).verdict == Verdict.UNCHANGED, "other validators, the same bytes"
    assert newsroom.feed.etag == '"2"'


async def test_a_page_of_garbage_is_a_failure_and_changes_no_entry(newsroom: Newsroom) -> None:
    newsroom.shows(A)
    await newsroom.poll()
    newsroom.web.shows("/live", "<html>We will be back soon</html>")
    failed = await newsroom.poll()
    assert failed.verdict == Verdict.FAILED
    assert "no live blog" in failed.reason
    newsroom.change(next_poll_at=newsroom.now)
    newsroom.shows(B, A)
    assert kinds(await newsroom.poll()) == [(Kind.NEW, "Report b")]
    assert (newsroom.feed.failures, newsroom.feed.last_error) == (0, "")


async def test_gone_ends_the_polling(newsroom: Newsroom) -> None:
    newsroom.web.replies["/live"] = Reply(status=410)
    assert (await newsroom.poll()).verdict == Verdict.GONE
    assert newsroom.feed.state == FeedState.GONE
    with newsroom.database.begin() as session:
        assert claim_due(session, newsroom.now + timedelta(days=9), 10, LEASE) == []
        assert session.exec(select(Audit.action)).all() == ["feed.gone"]


async def test_failures_wait_longer_and_longer_but_not_for_ever(newsroom: Newsroom) -> None:
    newsroom.web.replies["/live"] = Reply(status=500)
    waits = []
    for _ in range(9):
        newsroom.change(next_poll_at=newsroom.now)
        result = await newsroom.poll()
        assert result.next_poll_at is not None
        waits.append(result.next_poll_at - newsroom.now)
    assert timedelta(seconds=32) <= waits[0] <= timedelta(seconds=48)
    assert timedelta(seconds=64) <= waits[1] <= timedelta(seconds=96)
    assert timedelta(minutes=12) <= waits[-1] <= timedelta(minutes=18)
    assert newsroom.feed.failures == 9


async def test_the_servers_wish_is_a_floor(newsroom: Newsroom) -> None:
    newsroom.web.replies["/live"] = Reply(status=429, headers={"Retry-After": "3600"})
    result = await newsroom.poll()
    assert result.next_poll_at == newsroom.now + timedelta(hours=1)


async def test_the_next_poll_is_about_an_interval_away(newsroom: Newsroom) -> None:
    newsroom.shows(A)
    result = await newsroom.poll()
    assert result.next_poll_at is not None
    assert timedelta(seconds=16) <= result.next_poll_at - newsroom.now <= timedelta(seconds=24)


async def test_a_slow_feed_keeps_no_other_waiting(newsroom: Newsroom) -> None:
    newsroom.web.replies["/live"] = Reply(never_ends=True)
    with newsroom.database.begin() as session:
        a_feed(session, "other", url=newsroom.web.url("/other"), baselined_at=None)
    newsroom.web.shows("/other", page([A]))
    results: list[PollResult] = []
    async with Fetcher("alerts-test/1", Limits(timedelta(seconds=1))) as hasty:
        poller = Poller(newsroom.database, hasty, lambda: NOW, random=Random(1), on_result=results.append)
        assert await poller.tick() == 2
        assert await poller.tick() == 0, "both are on lease"
        await poller.drain()
    assert [(result.feed, result.verdict) for result in results] == [
        ("other", Verdict.POLLED),
        ("harbour", Verdict.FAILED),
    ]


# Leases


def claim(session: Session, now: datetime = NOW) -> list[DueFeed]:
    return claim_due(session, now, 10, LEASE)


def test_a_feed_is_leased_to_one_at_a_time(db: Database) -> None:
    with db.begin() as session:
        a_feed(session)
        a_feed(session, "later", next_poll_at=NOW + timedelta(hours=1))
        a_feed(session, "paused", state=FeedState.PAUSED)
    with db.begin() as session:
        assert [feed.name for feed in claim(session)] == ["harbour"]
    with db.begin() as session:
        assert claim(session) == []
    with db.begin() as session:
        assert [feed.name for feed in claim(session, NOW + LEASE)] == ["harbour"]


def test_two_who_claim_at_once_get_different_feeds(postgres_db: Database) -> None:
    with postgres_db.begin() as session:
        a_feed(session, "one")
        a_feed(session, "two")
    with postgres_db.begin() as mine, postgres_db.begin() as theirs:
        first = claim_due(mine, NOW, 1, LEASE)
        second = claim_due(theirs, NOW, 10, LEASE)
    assert {first[0].name, *(feed.name for feed in second)} == {"one", "two"}
    assert len(second) == 1


def test_the_longest_overdue_comes_first(db: Database) -> None:
    with db.begin() as session:
        a_feed(session, "recent", next_poll_at=NOW - timedelta(seconds=1))
        a_feed(session, "old", next_poll_at=NOW - timedelta(hours=1))
        assert [feed.name for feed in claim_due(session, NOW, 1, LEASE)] == ["old"]


@pytest.mark.parametrize("state", [FeedState.ACTIVE, FeedState.PAUSED])
def test_a_result_whose_lease_has_passed_is_thrown_away(db: Database, state: FeedState) -> None:
    with db.begin() as session:
        feed_id = a_feed(session)
    with db.begin() as session:
        due = claim(session)[0]
    with db.begin() as session:
        feed = session.get_one(Feed, feed_id)
        feed.state = state
        if state == FeedState.ACTIVE:
            feed.leased_by = "another"  # process has it now
        session.add(feed)
    with db.begin() as session:
        result = store(session, due, Failed(FetchFailed("late")), NOW, Random(1))
    assert result.verdict == Verdict.LOST
    with db.begin() as session:
        assert session.get_one(Feed, feed_id).failures == 0


async def test_a_poll_that_takes_longer_than_its_lease_keeps_it(db: Database) -> None:
    """A dead process frees its feeds within seconds; a slow page is no dead process."""
    now = [NOW]
    async with site() as slow, Fetcher("test") as fetcher:
        slow.replies["/live"] = Reply(never_ends=True)
        with db.begin() as session:
            a_feed(session, url=slow.url("/live"))
        poller = Poller(db, fetcher, lambda: now[0])
        assert await poller.tick() == 1
        for _ in range(4):
            now[0] += poller.lease / 2
            await poller.tick()
        with db.begin() as session:
            assert claim_due(session, now[0], 10, LEASE) == []
            assert claim_due(session, now[0] + poller.lease, 10, LEASE) != []
        slow.closing.set()
        await poller.drain()
