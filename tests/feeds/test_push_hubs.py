"""Hubs as they are: silent, refusing, redirecting, denying, odd in their leases; and feeds that name the wrong ones."""

from collections.abc import AsyncIterator
from datetime import timedelta

import pytest
from structlog.testing import capture_logs

from alerts.db import Database
from alerts.feeds.fetch import Fetcher
from alerts.feeds.push import store as push_store
from alerts.models import PushState
from build import a_feed
from fakes.hub import Answer, Manners
from websub import DAY, MINUTE, Desk, at_desk


@pytest.fixture
async def desk(sqlite_db: Database) -> AsyncIterator[Desk]:
    async with at_desk(sqlite_db) as made:
        yield made


# Asking


async def test_no_two_subscriptions_share_a_callback_or_a_secret(desk: Desk) -> None:
    desk.names()
    with desk.db.begin() as session:
        other = a_feed(session, "tower")
        push_store.noted(session, other, desk.hub.url, "https://news.example/tower", desk.now)
    assert await desk.ask() == 2
    assert len({form["hub.callback"] for form in desk.hub.requests}) == 2
    assert len({form["hub.secret"] for form in desk.hub.requests}) == 2


async def test_a_hub_that_verifies_before_it_answers_is_understood(desk: Desk) -> None:
    desk.hub.manners = Manners(is_synchronous=True)
    await desk.subscribe()
    assert desk.view.state == PushState.VERIFIED
    assert desk.view.next_request_at is not None
    assert desk.view.next_request_at > desk.now + 5 * DAY


async def test_a_hub_that_cannot_be_reached_is_a_failure_like_another(desk: Desk) -> None:
    desk.names("http://127.0.0.1:1/hub")
    await desk.ask()
    assert desk.view.state == PushState.FAILED
    assert desk.view.last_error


async def test_a_private_hub_is_refused_by_the_guard(sqlite_db: Database) -> None:
    async with at_desk(sqlite_db) as desk, Fetcher("alerts-test/1") as guarded:
        desk.hubs.fetcher = guarded
        desk.names()
        assert await desk.ask() == 0
        assert "polling.allow" in desk.view.last_error


@pytest.mark.parametrize("status", [307, 308])
async def test_a_hub_that_redirects_is_followed(desk: Desk, status: int) -> None:
    desk.hub.manners = Manners(status=status, location="/other")
    await desk.subscribe()
    assert desk.view.state == PushState.VERIFIED
    assert desk.view.hub == desk.hub.url, "the next request starts where the feed says"


@pytest.mark.parametrize(
    ("status", "location"), [(308, "/hub"), (302, "/other"), (308, "file:///etc/passwd")]
)
async def test_other_redirects_and_those_without_end_are_not(desk: Desk, status: int, location: str) -> None:
    desk.hub.manners = Manners(status=status, location=location)
    desk.names()
    assert 1 <= await desk.ask() <= 6
    assert desk.view.state == PushState.FAILED


async def test_a_hub_that_never_verifies_is_asked_again_and_named(desk: Desk) -> None:
    desk.hub.manners = Manners(verifies=False)
    await desk.subscribe()
    assert desk.view.state == PushState.WANTED
    assert await desk.ask(after=9 * MINUTE) == 0
    assert await desk.ask(after=2 * MINUTE) == 1
    assert "never came to verify" in desk.view.last_error


async def test_the_words_of_a_refusal_are_kept_and_our_secrets_are_not(desk: Desk) -> None:
    desk.hub.manners = Manners(status=400, quotes=True)
    with capture_logs() as logs:
        await desk.subscribe()
    form = desk.hub.requests[0]
    path = form["hub.callback"].rpartition("/")[2]
    assert "I mind" in desk.view.last_error
    for secret in (path, form["hub.secret"]):
        assert secret not in desk.view.last_error
        assert secret not in str(logs)


# Renewal


async def test_a_lease_stands_while_its_renewal_fails_and_is_lost_at_its_end(desk: Desk) -> None:
    await desk.subscribe()
    desk.hub.manners = Manners(status=500)
    assert await desk.ask(after=7 * DAY) == 1
    assert desk.view.state == PushState.VERIFIED
    assert desk.view.last_error == "The hub answered 500."
    assert await desk.ask(after=4 * DAY) == 1
    assert desk.view.state == PushState.FAILED


@pytest.mark.parametrize(
    ("said", "length"),
    [(None, DAY), ("soon", DAY), ("0", DAY), ("5", timedelta(seconds=5)), ("999999999", 14 * DAY)],
)
async def test_an_odd_lease_is_taken_with_sense(desk: Desk, said: str | None, length: timedelta) -> None:
    desk.hub.manners = Manners(lease=said)
    await desk.subscribe()
    assert desk.view.lease_until == desk.now + length
    assert await desk.ask(after=timedelta(seconds=59)) == 0, "a short lease does not make us hammer"


# What a hub may say


@pytest.mark.parametrize(
    "manners",
    [Manners(topic="https://news.example/other"), Manners(mode="unsubscribe"), Manners(challenge=None)],
    ids=["topic", "mode", "no challenge"],
)
async def test_a_verification_of_something_else_is_a_404(desk: Desk, manners: Manners) -> None:
    desk.hub.manners = manners
    await desk.subscribe()
    assert [each.status for each in desk.hub.answers] == [404]
    assert desk.view.state == PushState.WANTED


async def test_a_challenge_is_echoed_as_it_is_and_as_plain_text(desk: Desk) -> None:
    desk.hub.manners = Manners(challenge="<script>alert(1)</script>&%00ü")
    await desk.subscribe()
    (answer,) = desk.hub.answers
    assert answer == Answer(200, "<script>alert(1)</script>&%00ü", "text/plain")


async def test_a_denial_is_kept_with_its_reason_and_not_argued_with(desk: Desk) -> None:
    desk.hub.manners = Manners(denies="the topic is\nnot ours")
    with capture_logs() as logs:
        await desk.subscribe()
    assert desk.view.state == PushState.DENIED
    assert desk.view.last_error == "The hub denied the subscription: the topic is not ours."
    assert "push_denied" in [each["event"] for each in logs]
    assert await desk.ask(after=6 * DAY) == 0
    desk.hub.manners = Manners()
    assert await desk.ask(after=1.1 * DAY) == 1
    assert desk.view.state == PushState.VERIFIED


# Ending


@pytest.mark.parametrize("hubs", [["/hub?1", "/hub?2"], ["/hub", ""], [f"/hub?{n}" for n in range(60)]])
async def test_a_feed_that_changes_its_hub_again_and_again_is_asked_for_when_it_settles(
    desk: Desk, hubs: list[str]
) -> None:
    for second in range(60):
        path = hubs[second % len(hubs)]
        desk.names(path and desk.hub.base + path)
        await desk.ask()
        desk.now += timedelta(seconds=1)
    asked = [form["hub.mode"] for form in desk.hub.requests]
    assert asked.count("subscribe") <= 2
    assert len(desk.rows()) <= 1
    desk.names()
    assert await desk.ask(after=MINUTE) == 1
    assert desk.view.state == PushState.VERIFIED


async def test_what_was_never_asked_for_needs_no_goodbye(desk: Desk) -> None:
    desk.names()
    desk.names("", "")
    assert await desk.ask() == 0
    assert desk.rows() == []


async def test_a_lease_that_ran_out_needs_no_goodbye(desk: Desk) -> None:
    await desk.subscribe()
    desk.change(use_push=False)
    assert await desk.ask(after=11 * DAY) == 0
    assert desk.rows() == []


async def test_a_feed_that_comes_back_is_subscribed_to_anew(desk: Desk) -> None:
    callback = await desk.subscribe()
    desk.change(use_push=False)
    assert await desk.ask(after=MINUTE) == 1
    desk.change(use_push=True)
    desk.names()
    assert await desk.ask(after=MINUTE) == 1
    assert desk.callback != callback
    assert desk.view.state == PushState.VERIFIED


# What is not asked


async def test_a_feed_cannot_make_us_subscribe_to_another_site(desk: Desk) -> None:
    desk.names(topic="https://bank.example/feed")
    assert await desk.ask(after=DAY) == 0
    assert desk.view.state == PushState.FAILED
    assert "another host" in desk.view.last_error
    desk.names()
    assert await desk.ask() == 1, "it mends its ways"


async def test_behind_a_loopback_name_no_hub_elsewhere_is_asked_and_it_is_said_once(
    sqlite_db: Database,
) -> None:
    async with at_desk(sqlite_db, "http://localhost:8025") as desk:
        desk.names("https://hub.example/")
        with capture_logs() as logs:
            for _ in range(4):
                assert await desk.ask(after=10 * MINUTE) == 0
        assert [(each["event"], each["log_level"]) for each in logs] == [
            ("push_needs_public_address", "info")
        ]
        assert "site.base_url" in desk.view.last_error


async def test_a_feed_that_wants_no_push_gets_no_subscription(desk: Desk) -> None:
    desk.change(use_push=False)
    desk.names()
    assert await desk.ask() == 0
    assert desk.rows() == []
