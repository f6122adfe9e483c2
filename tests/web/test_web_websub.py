"""What hubs may do at the callback: a signed push makes a feed due, and nothing else does anything."""

from collections.abc import AsyncIterator
from datetime import timedelta
from itertools import pairwise

import aiohttp
import pytest
from structlog.testing import capture_logs
from yarl import URL

from alerts.db import Database
from alerts.models import FeedState
from alerts.web.guard import BODY_LIMIT
from build import NOW
from websub import DAY, Desk, at_desk, callbacks_of

SECOND = timedelta(seconds=1)
LATER = NOW + DAY  # when the desk's feed is due


@pytest.fixture
async def desk(sqlite_db: Database) -> AsyncIterator[Desk]:
    async with at_desk(sqlite_db) as made:
        yield made


@pytest.mark.parametrize("method", ["sha1", "sha256", "sha384", "sha512"])
async def test_a_push_that_the_hub_signed_makes_the_feed_due_and_wakes_the_poller(
    desk: Desk, method: str
) -> None:
    callback = await desk.subscribe()
    desk.now += SECOND
    answer = await desk.hub.push(callback, method=method)
    assert (answer.status, answer.text) == (202, "")
    assert desk.feed.next_poll_at == desk.feed.hastened_at == desk.view.pushed_at == desk.now
    assert desk.wakes == [desk.now]
    assert desk.view.discarded == 0


@pytest.mark.parametrize(
    "given",
    [
        {"secret": "another"},
        {"signature": ""},
        {"signature": "sha256=" + "0" * 64},
        {"signature": "md5=900150983cd24fb0d6963f7d28e17f72"},
        {"signature": "sha256"},
        {"signature": "\xff=\xff"},
    ],
)
async def test_a_push_that_it_did_not_sign_is_taken_dropped_counted_and_said(
    desk: Desk, given: dict[str, str]
) -> None:
    callback = await desk.subscribe()
    with capture_logs() as logs:
        answer = await desk.hub.push(callback, **given)  # type: ignore[arg-type]  # its own names
    assert answer.status == 202, "who tries signatures learns nothing"
    assert desk.feed.next_poll_at == LATER
    assert desk.feed.hastened_at is None
    assert desk.wakes == []
    assert (desk.view.discarded, desk.view.pushed_at) == (1, None)
    (line,) = logs
    assert (line["event"], line["feed"]) == ("push_discarded", "harbour")
    assert callback.rpartition("/")[2] not in str(logs)


async def test_a_path_that_no_database_can_hold_is_nobodys(db: Database) -> None:
    async with callbacks_of(db, lambda: None, lambda: NOW) as base, aiohttp.ClientSession() as client:
        path = URL(f"{base}/websub/%00", encoded=True)
        asked = {"hub.mode": "subscribe", "hub.challenge": "x", "hub.topic": "y"}
        async with client.get(path.update_query(asked)) as answer:
            assert answer.status == 404
        async with client.post(path) as answer:
            assert answer.status == 410


async def test_a_signature_with_anothers_secret_does_not_count(desk: Desk) -> None:
    mine = await desk.subscribe()
    other_secret = desk.hub.held[mine].secret[::-1]
    await desk.hub.push(mine, secret=other_secret)
    assert desk.feed.hastened_at is None


async def test_a_content_may_be_a_whole_page_and_garbage(desk: Desk) -> None:
    callback = await desk.subscribe()
    body = b"\x00<&" * (BODY_LIMIT // 3 * 20)
    assert (await desk.hub.push(callback, body)).status == 202
    assert desk.feed.hastened_at == desk.now


async def test_a_content_without_end_is_dropped_at_ten_megabytes(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("alerts.web.websub._CONTENT_LIMIT", 100_000)
    callback = await desk.subscribe()
    assert (await desk.hub.push(callback, b"x" * 100_001)).status == 202
    assert (desk.view.discarded, desk.feed.hastened_at) == (1, None)


async def test_an_unknown_callback_is_gone(desk: Desk) -> None:
    callback = await desk.subscribe()
    secret = desk.hub.held[callback].secret
    before = desk.dump()
    for path in ("", "x" * 43, callback.rpartition("/")[2] + "x"):
        answer = await desk.hub.push(f"{desk.base_url}/websub/{path}", secret=secret)
        assert answer.status in {404, 410}
    assert desk.dump() == before


@pytest.mark.parametrize("verb", ["PUT", "DELETE", "HEAD", "OPTIONS"])
async def test_other_methods_are_refused(desk: Desk, verb: str) -> None:
    callback = await desk.subscribe()
    assert (await desk.hub.call(verb, callback)).status == 405


async def test_a_hub_that_talks_without_end_brings_one_poll_a_second(desk: Desk) -> None:
    callback = await desk.subscribe()
    due = []
    for _ in range(20):
        await desk.hub.push(callback)
        due.append(desk.feed.next_poll_at)
        desk.now += SECOND / 4
        if due[-1] <= desk.now:
            desk.change(next_poll_at=LATER)  # polled
    polls = sorted(set(due))
    assert polls[0] == NOW
    assert {after - before for before, after in pairwise(polls)} == {SECOND}
    assert len(polls) == 6


async def test_a_feed_that_fails_is_left_to_its_backoff(desk: Desk) -> None:
    callback = await desk.subscribe()
    desk.change(failures=1)
    await desk.hub.push(callback)
    assert desk.feed.next_poll_at == LATER, "its server may have asked us to wait"
    assert desk.view.pushed_at == desk.now


async def test_a_feed_that_is_paused_is_not_polled_for_a_push(desk: Desk) -> None:
    callback = await desk.subscribe()
    desk.change(state=FeedState.PAUSED)
    await desk.hub.push(callback)
    assert desk.feed.next_poll_at == LATER
    assert desk.feed.hastened_at is None
