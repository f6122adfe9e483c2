"""The demo's page: a LiveBlogPosting at any moment, served with an ETag to the poller and to people."""

import json
import re
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import aiohttp
import pytest
from hypothesis import given
from hypothesis import strategies as st

from alerts.demo.loopback import HOST, WebServer, bind, free_port, port_of
from alerts.demo.page import Timing, live_blog_posting, render
from alerts.demo.script import STORY
from alerts.demo.site import PATH, LivePage
from alerts.demo.story import Delete, Post, Story, page_at
from alerts.feeds.formats import parse

URL = "http://127.0.0.1:8024/live/storm-odile"
OPENED = datetime(2026, 11, 22, 17, 0, tzinfo=UTC)
TIMING = Timing(OPENED, OPENED + timedelta(seconds=1), pace=2)


def posting(html: str) -> Any:
    found = re.findall(r'<script type="application/ld\+json">(.*?)</script>', html, re.DOTALL)
    assert len(found) == 1
    return json.loads(found[0])


@given(second=st.floats(min_value=0, max_value=70))
def test_page_is_a_live_blog_posting_at_any_moment(second: float) -> None:
    data = posting(render(STORY, second, TIMING, URL))
    page = page_at(STORY, second)
    assert data["@type"] == "LiveBlogPosting"
    assert ("coverageEndTime" in data) == (second >= STORY.ends_at)
    updates = data["liveBlogUpdate"]
    assert {each["@id"] for each in updates} == {f"{URL}#{post.id}" for post in page.posts}
    assert len(updates) == len(page.posts) + (page.pinned is not None)
    assert all(datetime.fromisoformat(each["datePublished"]).tzinfo for each in updates)


@given(second=st.floats(min_value=0, max_value=70))
def test_page_shows_people_the_same_entries(second: float) -> None:
    html = render(STORY, second, TIMING, URL)
    assert set(re.findall(r'<article id="(\w+)"', html)) == {post.id for post in page_at(STORY, second).posts}
    assert html.count("<article") == len(page_at(STORY, second).posts) + (
        page_at(STORY, second).pinned is not None
    )


@given(second=st.floats(min_value=0, max_value=70))
def test_product_reads_the_page_as_it_is_meant(second: float) -> None:
    page = page_at(STORY, second)
    feed = parse(render(STORY, second, TIMING, URL).encode(), URL, "text/html")
    assert (feed.is_live_blog, feed.title, feed.warnings) == (True, STORY.headline, ())
    assert (feed.coverage_end is not None) == (page.ended is not None)
    assert {entry.key for entry in feed.entries if entry.is_key_event} == {
        f"{URL}#{post.id}" for post in page.key_points
    }
    titles = {entry.title for entry in feed.entries if entry.is_correction}
    assert titles == {post.title for post in page.posts if post.title.startswith("Correction")}


def test_hostile_words_neither_end_the_script_nor_become_markup() -> None:
    hostile = "</script><script>alert(1)</script> & <!-- \" '"
    story = Story("Paper", hostile, hostile, (Post("x", 0, hostile, (hostile,), hostile),), ())
    html = render(story, 0, TIMING, URL)
    assert html.count("<script") == 1
    assert posting(html)["liveBlogUpdate"][0]["headline"] == hostile


def test_times_follow_the_pace() -> None:
    data = live_blog_posting(STORY, page_at(STORY, 2), TIMING, URL)
    newest, oldest = data["liveBlogUpdate"][0], data["liveBlogUpdate"][-1]
    assert datetime.fromisoformat(newest["datePublished"]) == OPENED + timedelta(seconds=2)
    assert datetime.fromisoformat(oldest["datePublished"]) == OPENED + timedelta(seconds=STORY.posts[0].at)


@pytest.fixture
async def live() -> AsyncIterator[LivePage]:
    bound = bind(0)
    page = LivePage(STORY, f"http://{HOST}:{port_of(bound)}{PATH}", pace=1.0, poller="poller/1")
    async with WebServer(page.application(), bound):
        yield page


async def test_unchanged_page_is_answered_without_a_body(live: LivePage) -> None:
    async with aiohttp.ClientSession() as session:
        async with session.get(live.url) as first:
            assert first.status == 200
            assert live.url in await first.text()
        async with session.get(live.url, headers={"If-None-Match": first.headers["ETag"]}) as second:
            assert (second.status, await second.read()) == (304, b"")
        async with session.get(live.url, headers={"If-None-Match": '"other"'}) as third:
            assert third.status == 200


async def test_only_the_poller_starts_the_clock(live: LivePage) -> None:
    async with aiohttp.ClientSession() as session:
        async with session.get(live.url.removesuffix(PATH)) as person:
            assert person.status == 200
        assert not live.first_polled.is_set()
        async with session.get(live.url, headers={"User-Agent": "poller/1 (+x)"}):
            pass
    assert live.first_polled.is_set()
    assert [poll.second for poll in live.polls_after(0)] == [0]
    assert live.polls_after(0.1) == []


async def test_story_waits_with_each_change_until_the_post_was_polled(live: LivePage) -> None:
    delete = next(change for change in STORY.changes if isinstance(change, Delete))
    live.timing = Timing(OPENED, datetime.now(UTC) - timedelta(seconds=delete.at + 5))
    shown: list[str] = []
    async with aiohttp.ClientSession(headers={"User-Agent": "poller/1"}) as session:
        while live.second < delete.at:  # it has stopped before a mend, a mark, the deletion
            async with session.get(live.url) as page:
                shown.append(await page.text())
        assert len(shown) > 1
        assert "anchrs" in shown[0]
        assert f'id="{delete.post_id}"' in shown[-1]
        async with session.get(live.url) as after:
            text = await after.text()
    assert f'id="{delete.post_id}"' not in text
    assert "anchrs" not in text


def test_taken_port_gives_way_to_another() -> None:
    with bind(0) as taken, bind(port_of(taken)) as other:
        assert port_of(other) != port_of(taken)
        assert free_port(port_of(taken)) not in {0, port_of(taken)}
