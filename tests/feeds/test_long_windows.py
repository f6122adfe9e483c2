"""Long windows take turns at the database, and short ones do not wait for them."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from alerts.db import Database
from alerts.errors import FetchFailed
from alerts.feeds import long_windows
from alerts.feeds.fetch import Fetcher
from alerts.feeds.formats import ParsedFeed
from alerts.feeds.long_windows import LongWindows
from alerts.feeds.outcomes import Verdict
from alerts.feeds.poll import Poller
from build import NOW, a_feed
from fakes.blog import Post, entry, page, window
from fakes.site import site


def of(count: int) -> ParsedFeed:
    return window(*(entry(number) for number in range(count)))


class Stores:
    """Stores that last until they are told to end, and what they did in which order."""

    def __init__(self) -> None:
        self.begun: list[int] = []
        self.may_end = asyncio.Event()

    def of(self, count: int) -> Callable[[], Awaitable[int]]:
        async def store() -> int:
            self.begun.append(count)
            await self.may_end.wait()
            return count

        return store


async def settled() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_of_long_windows_the_shorter_has_its_turn_first_and_short_ones_wait_for_none(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(long_windows, "_REST", 0)
    turns, stores = LongWindows(), Stores()
    tasks = [
        asyncio.create_task(turns.in_turn(of(count), stores.of(count))) for count in (900, 950, 400, 800)
    ]
    await settled()
    assert stores.begun == [900]
    tasks += [asyncio.create_task(turns.in_turn(of(20), stores.of(20)))]
    await settled()
    assert stores.begun == [900, 20]
    stores.may_end.set()
    assert await asyncio.gather(*tasks) == [900, 950, 400, 800, 20]
    assert stores.begun == [900, 20, 400, 800, 950]


async def test_after_a_long_window_the_others_have_nineteen_times_what_it_took() -> None:
    loop, turns = asyncio.get_running_loop(), LongWindows()
    ended: list[float] = []

    async def store() -> None:
        await asyncio.sleep(0.02)
        ended.append(loop.time())

    await asyncio.gather(*(turns.in_turn(of(500), store) for _ in range(2)))
    assert ended[1] - ended[0] > 0.02 * 19


async def test_too_many_long_windows_are_told_to_come_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(long_windows, "_MOST_WAITING", 2)
    turns, stores = LongWindows(), Stores()
    tasks = [asyncio.create_task(turns.in_turn(of(500), stores.of(500))) for _ in range(3)]
    await settled()
    with pytest.raises(FetchFailed, match="this one waits for its next poll"):
        await turns.in_turn(of(500), stores.of(500))
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def test_who_goes_away_keeps_nobody_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(long_windows, "_REST", 0)
    turns, stores = LongWindows(), Stores()
    first, second, third = (
        asyncio.create_task(turns.in_turn(of(count), stores.of(count))) for count in (500, 600, 700)
    )
    await settled()
    second.cancel()
    stores.may_end.set()
    assert await first == 500
    fourth = asyncio.create_task(turns.in_turn(of(650), stores.of(650)))
    await asyncio.sleep(0)
    fourth.cancel()
    assert await asyncio.wait_for(third, 20) == 700
    assert await asyncio.wait_for(turns.in_turn(of(500), stores.of(500)), 20) == 500


async def test_a_poll_that_has_no_turn_ends_as_failed_and_comes_again(
    sqlite_db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(long_windows, "_MOST_WAITING", 0)
    monkeypatch.setattr(long_windows, "_LONG", 0.0005)
    async with site() as web, Fetcher("test") as fetcher:
        web.shows("/live", page([Post("a", "Report a"), Post("b", "Report b", minute=1)]))
        with sqlite_db.begin() as session:
            a_feed(session, url=web.url("/live"))
        poller = Poller(sqlite_db, fetcher, lambda: NOW)
        await poller.tick()
        [result] = await poller.drain()
    assert result.verdict == Verdict.FAILED
    assert "this one waits for its next poll" in result.reason
    assert result.next_poll_at is not None
