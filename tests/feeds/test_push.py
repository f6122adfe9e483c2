"""Subscriptions in both databases, at a real hub over HTTP: asked for once, verified, renewed, ended, never forged."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest
from structlog.testing import capture_logs

from alerts.db import Database
from alerts.feeds import catalog
from alerts.feeds.push import store as push_store
from alerts.feeds.push.hubs import Hubs
from alerts.models import FeedState, PushState
from fakes.hub import Manners, hub
from websub import DAY, FEED, MINUTE, Desk, at_desk


@pytest.fixture
async def desk(db: Database) -> AsyncIterator[Desk]:
    async with at_desk(db) as made:
        yield made


# Asking


async def test_a_feed_that_names_a_hub_is_subscribed_to_and_the_hub_verifies_it(desk: Desk) -> None:
    desk.names()
    assert desk.view.state == PushState.WANTED
    assert await desk.ask() == 1
    form = desk.hub.requests[0]
    assert form["hub.mode"] == "subscribe"
    assert form["hub.topic"] == FEED
    assert timedelta(seconds=int(form["hub.lease_seconds"])) <= 14 * DAY
    assert 20 <= len(form["hub.secret"]) < 200
    assert form["hub.callback"].startswith(f"{desk.base_url}/websub/")
    assert len(form["hub.callback"].rpartition("/")[2]) * 6 >= 128, "bits"
    (answer,) = desk.hub.answers
    assert answer.content_type == "text/plain"
    assert (desk.view.state, desk.view.lease_until) == (PushState.VERIFIED, desk.now + 10 * DAY)
    assert await desk.ask() == 0, "asked once"


async def test_processes_side_by_side_ask_once(desk: Desk) -> None:
    desk.names()
    others = [Hubs(desk.db, desk.hubs.fetcher, desk.base_url, lambda: desk.now) for _ in range(3)]
    await asyncio.gather(*(each.tick() for each in [desk.hubs, *others]))
    for each in [desk.hubs, *others]:
        await each.drain()
    await desk.hub.settled()
    assert len(desk.hub.requests) == 1


async def test_what_a_process_that_died_had_claimed_is_asked_by_another(desk: Desk) -> None:
    desk.names()
    with desk.db.begin() as session:
        assert len(push_store.claim_due(session, desk.base_url, desk.now, 8).requests) == 1
    assert await desk.ask(after=MINUTE) == 0
    assert await desk.ask(after=2 * MINUTE) == 1
    assert desk.view.state == PushState.VERIFIED


async def test_a_verification_counts_though_the_request_seemed_to_fail(desk: Desk) -> None:
    desk.hub.manners = Manners(status=500, is_synchronous=True)
    await desk.subscribe()
    assert (desk.view.state, desk.view.last_error) == (PushState.VERIFIED, "")


async def test_a_hub_that_refuses_is_asked_again_later_and_later(desk: Desk) -> None:
    desk.hub.manners = Manners(status=503, headers={"Retry-After": "7200"})
    with capture_logs() as logs:
        await desk.subscribe()
    assert [each["event"] for each in logs] == ["push_refused"]
    assert desk.view.state == PushState.FAILED
    assert desk.view.last_error == "The hub answered 503."
    assert await desk.ask(after=110 * MINUTE) == 0, "Retry-After is a floor"
    desk.hub.manners = Manners(status=404)
    assert await desk.ask(after=20 * MINUTE) == 1
    first = desk.view.next_request_at
    assert first is not None
    assert await desk.ask(after=first - desk.now) == 1
    second = desk.view.next_request_at
    assert second is not None
    assert second - desk.now > MINUTE * 10
    desk.hub.manners = Manners()
    await desk.ask(after=second - desk.now)
    assert (desk.view.state, desk.view.failures, desk.view.last_error) == (PushState.VERIFIED, 0, "")


# Renewal


async def test_a_lease_is_renewed_after_two_thirds_with_the_same_callback_and_secret(desk: Desk) -> None:
    await desk.subscribe()
    assert await desk.ask(after=5.9 * DAY) == 0
    assert await desk.ask(after=1.2 * DAY) == 1
    first, again = desk.hub.requests
    assert first == again
    assert desk.view.lease_until == desk.now + 10 * DAY


async def test_another_base_url_is_told_to_the_hub_at_once(desk: Desk) -> None:
    await desk.subscribe()
    desk.hubs.base_url = desk.base_url.replace("127.0.0.1", "localhost")
    assert await desk.ask(after=MINUTE) == 0, "but not in turns with another process"
    assert await desk.ask(after=10 * MINUTE) == 1
    assert desk.callback.startswith("http://localhost:")
    assert await desk.ask(after=30 * MINUTE) == 0


# What a hub may say


async def test_a_repeated_verification_hears_the_same_and_changes_nothing(desk: Desk) -> None:
    callback = await desk.subscribe()
    before = desk.dump()
    desk.now += MINUTE
    again = await desk.hub.asks(callback, mode="subscribe", topic=FEED, challenge="c", lease_seconds="9")
    assert (again.status, again.text) == (200, "c")
    assert desk.dump() == before


async def test_a_get_that_we_did_not_ask_for_changes_nothing(desk: Desk) -> None:
    callback = await desk.subscribe()
    desk.names("")
    desk.names()
    fresh = next(row for row in desk.rows() if row.state == PushState.WANTED)
    leaving = callback
    waiting = f"{desk.base_url}/websub/{fresh.path}"
    strange = f"{desk.base_url}/websub/{'x' * 43}"
    before = desk.dump()
    for address in (waiting, leaving, strange, f"{desk.base_url}/websub/", waiting + "/x"):
        for mode in ("subscribe", "unsubscribe", "denied", "publish", "SUBSCRIBE", ""):
            for topic in (FEED, FEED + "/", ""):
                answer = await desk.hub.asks(
                    address, mode=mode, topic=topic, challenge="c", lease_seconds="60"
                )
                assert answer.status == 404
                assert answer.text != "c"
    assert desk.dump() == before


# Ending


@pytest.mark.parametrize(
    "how",
    ["paused", "removed", "switched off", "gone", "names none"],
)
async def test_what_nobody_wants_any_more_is_unsubscribed_from(desk: Desk, how: str) -> None:
    callback = await desk.subscribe()
    match how:
        case "paused":
            with desk.db.begin() as session:
                catalog.pause(session, "harbour", "test", desk.now)
        case "removed":
            with desk.db.begin() as session:
                assert catalog.remove(session, "harbour", "test", desk.now)
        case "switched off":
            desk.change(use_push=False)
        case "gone":
            desk.change(state=FeedState.GONE)
        case "names none":
            desk.names("", "")
    assert await desk.ask(after=MINUTE) == 1
    form = desk.hub.requests[-1]
    assert (form["hub.mode"], form["hub.topic"], form["hub.callback"]) == ("unsubscribe", FEED, callback)
    assert desk.hub.held == {}
    assert desk.rows() == []
    assert (await desk.hub.push(callback, secret="any")).status == 410
    assert await desk.ask(after=DAY) == 0


async def test_a_feed_that_names_another_hub_changes_over(desk: Desk) -> None:
    old = await desk.subscribe()
    async with hub() as other:
        desk.names(other.url)
        assert await desk.ask(after=MINUTE) == 1
        await other.settled()
        assert desk.hub.requests[-1]["hub.mode"] == "unsubscribe"
        assert [form["hub.mode"] for form in other.requests] == ["subscribe"]
        new = other.requests[0]
        assert new["hub.callback"] != old
        assert new["hub.secret"] != desk.hub.requests[0]["hub.secret"]
    assert (desk.view.hub, desk.view.state) == (other.url, PushState.VERIFIED)


async def test_a_hub_that_does_not_hear_a_goodbye_is_left_alone_in_the_end(desk: Desk) -> None:
    await desk.subscribe()
    desk.change(use_push=False)
    desk.hub.manners = Manners(status=500)
    goodbyes = sum([await desk.ask(after=0.5 * DAY) for _ in range(12)])
    assert goodbyes == 3
    assert desk.rows() == []
