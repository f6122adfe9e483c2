"""robots.txt over real HTTP: pages obey it, feeds do not ask, and one answer serves for a day."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest

from alerts.errors import FetchFailed
from alerts.feeds.fetch import Fetcher, Guard, Limits, Page
from fakes.hostile_site import HostileSite, endlessly, hostile_site

NOW = datetime(2026, 11, 22, 7, 0, tzinfo=UTC)
PAGE = b"<!doctype html><p>The harbour bridge is closed.</p>"
RSS = b"<?xml version='1.0'?><rss version='2.0'><channel/></rss>"
NOTHING = b"User-agent: *\nDisallow: /\n"
KEPT_AWAY = "robots.txt keeps robots away"


@pytest.fixture
async def web() -> AsyncIterator[HostileSite]:
    async with hostile_site() as served:
        served.answers("/live", "Content-Type: text/html", body=PAGE)
        served.answers("/feed", "Content-Type: text/html", body=RSS)
        served.answers("/robots.txt", body=NOTHING)
        yield served


@pytest.fixture
async def fetcher() -> AsyncIterator[Fetcher]:
    limits = Limits(timedelta(seconds=20), 1_000_000)
    async with Fetcher("alerts-test/1", limits, guard=Guard.of(["127.0.0.1"])) as made:
        yield made


def paths(web: HostileSite) -> list[str]:
    return [asked.path for asked in web.asked]


async def test_a_page_is_left_alone_and_not_asked_for_again(web: HostileSite, fetcher: Fetcher) -> None:
    for _ in range(3):
        with pytest.raises(FetchFailed, match=KEPT_AWAY):
            await fetcher.get(web.url("/live"), now=NOW)
    assert paths(web) == ["/robots.txt", "/live"], "once, to see that it is a page"


async def test_a_known_page_is_not_asked_for_at_all(web: HostileSite, fetcher: Fetcher) -> None:
    with pytest.raises(FetchFailed, match=KEPT_AWAY):
        await fetcher.get(web.url("/live"), now=NOW, known_page=True)
    assert paths(web) == ["/robots.txt"]


async def test_a_feed_is_read_whatever_robots_txt_says(web: HostileSite, fetcher: Fetcher) -> None:
    for _ in range(2):
        page = await fetcher.get(web.url("/feed"), now=NOW)
        assert isinstance(page, Page)
        assert page.body == RSS
    assert paths(web) == ["/robots.txt", "/feed", "/feed"]


async def test_a_known_feed_asks_nobody(web: HostileSite, fetcher: Fetcher) -> None:
    assert isinstance(await fetcher.get(web.url("/feed"), now=NOW, known_page=False), Page)
    assert paths(web) == ["/feed"]


async def test_a_feed_that_became_a_page_asks_then(web: HostileSite, fetcher: Fetcher) -> None:
    with pytest.raises(FetchFailed, match=KEPT_AWAY):
        await fetcher.get(web.url("/live"), now=NOW, known_page=False)
    assert paths(web) == ["/live", "/robots.txt"]


async def test_the_operator_may_know_better(web: HostileSite, fetcher: Fetcher) -> None:
    assert isinstance(await fetcher.get(web.url("/live"), now=NOW, obey_robots=False), Page)
    assert paths(web) == ["/live"]


async def test_what_is_allowed_is_fetched_and_remembered_for_a_day(
    web: HostileSite, fetcher: Fetcher
) -> None:
    web.answers("/robots.txt", body=b"User-agent: alerts-test\nAllow: /live\nDisallow: /\n")
    for hours in (0, 1, 23):
        assert isinstance(await fetcher.get(web.url("/live"), now=NOW + timedelta(hours=hours)), Page)
    assert paths(web) == ["/robots.txt", "/live", "/live", "/live"]
    web.answers("/robots.txt", body=NOTHING)
    with pytest.raises(FetchFailed, match=KEPT_AWAY):
        await fetcher.get(web.url("/live"), now=NOW + timedelta(hours=25), known_page=True)


@pytest.mark.parametrize("status", ["400 Bad", "401 Who", "403 No", "404 Not Found", "410 Gone", "429 Often"])
async def test_a_robots_txt_that_is_not_there_forbids_nothing(
    web: HostileSite, fetcher: Fetcher, status: str
) -> None:
    web.answers("/robots.txt", status=status, body=NOTHING)
    assert isinstance(await fetcher.get(web.url("/live"), now=NOW), Page)


async def test_a_server_in_trouble_is_kept_away_from_until_it_is_well(
    web: HostileSite, fetcher: Fetcher
) -> None:
    web.answers("/robots.txt", status="503 Busy")
    with pytest.raises(FetchFailed, match=r"robots\.txt cannot be had \(the server answered 503\)"):
        await fetcher.get(web.url("/live"), now=NOW)
    assert isinstance(await fetcher.get(web.url("/feed"), now=NOW), Page)
    web.answers("/robots.txt", body=b"")
    assert isinstance(await fetcher.get(web.url("/live"), now=NOW), Page)
    web.answers("/robots.txt", status="503 Busy")
    assert isinstance(await fetcher.get(web.url("/live"), now=NOW + timedelta(days=2)), Page), (
        "the old rules hold"
    )


async def test_a_robots_txt_that_hangs_up_keeps_pages_away(web: HostileSite, fetcher: Fetcher) -> None:
    web.paths["/robots.txt"] = b"HTTP/1.1 200 OK\r\nContent-Length: zz\r\n\r\n"
    with pytest.raises(FetchFailed, match=r"robots\.txt cannot be had.*nonsense"):
        await fetcher.get(web.url("/live"), now=NOW)
    assert isinstance(await fetcher.get(web.url("/feed"), now=NOW), Page)


async def test_half_a_megabyte_of_an_endless_robots_txt_is_read(web: HostileSite, fetcher: Fetcher) -> None:
    web.paths["/robots.txt"] = endlessly(b"HTTP/1.1 200 OK\r\n\r\n" + NOTHING, b"# more\n" * 1_000)
    with pytest.raises(FetchFailed, match=KEPT_AWAY):
        await fetcher.get(web.url("/live"), now=NOW)


async def test_follows_the_redirects_of_robots_txt_to_another_host(
    web: HostileSite, fetcher: Fetcher
) -> None:
    async with hostile_site() as other:
        other.answers("/rules", body=b"User-agent: *\nDisallow: /live\n")
        web.answers("/robots.txt", f"Location: {other.url('/rules')}", status="301 Moved")
        with pytest.raises(FetchFailed, match=KEPT_AWAY):
            await fetcher.get(web.url("/live"), now=NOW)


async def test_each_host_of_a_redirect_is_asked(web: HostileSite, fetcher: Fetcher) -> None:
    async with hostile_site() as other:
        other.answers("/old", f"Location: {web.url('/live')}", status="302 Found")
        with pytest.raises(FetchFailed, match=KEPT_AWAY):
            await fetcher.get(other.url("/old"), now=NOW)
        assert paths(other) == ["/robots.txt", "/old"]


async def test_a_query_counts(web: HostileSite, fetcher: Fetcher) -> None:
    web.answers("/robots.txt", body=b"User-agent: *\nDisallow: /*?page=\n")
    web.answers("/live?page=2", "Content-Type: text/html", body=PAGE)
    assert isinstance(await fetcher.get(web.url("/live"), now=NOW), Page)
    with pytest.raises(FetchFailed, match=KEPT_AWAY):
        await fetcher.get(web.url("/live?page=2"), now=NOW)


async def test_sites_beyond_a_thousand_are_forgotten(fetcher: Fetcher, web: HostileSite) -> None:
    permission = fetcher._permission
    for each in range(2_500):
        permission.note_page(f"http://host{each}.example/", NOW)
    assert len(permission._kept_from) == 1_000
