"""The fetcher against a real server: conditions, limits, and a clear word for each way to fail."""

import gzip
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest

from alerts.errors import FetchFailed, Gone
from alerts.feeds.fetch import Fetcher, Limits, NotModified, Page, Validators, retry_after
from fakes.site import Reply, Site, site

NOW = datetime(2026, 11, 22, 7, 0, tzinfo=UTC)


@pytest.fixture
async def web() -> AsyncIterator[Site]:
    async with site() as served:
        yield served


@pytest.fixture
async def fetcher() -> AsyncIterator[Fetcher]:
    async with Fetcher("alerts-test/1 (+https://news.example)", Limits(timedelta(seconds=5), 5_000)) as made:
        yield made


async def test_gives_body_type_and_validators(web: Site, fetcher: Fetcher) -> None:
    web.shows("/live", "<p>hello</p>", etag='W/"a:1"', last_modified="Sun, 22 Nov 2026 07:00:00 GMT")
    page = await fetcher.get(web.url("/live"), now=NOW)
    assert isinstance(page, Page)
    assert page.body == b"<p>hello</p>"
    assert page.content_type == "text/html; charset=utf-8"
    assert page.validators == Validators('W/"a:1"', "Sun, 22 Nov 2026 07:00:00 GMT")
    assert web.requests[0].headers["User-Agent"] == "alerts-test/1 (+https://news.example)"
    assert "If-None-Match" not in web.requests[0].headers


async def test_sends_validators_back_verbatim_and_takes_304_for_success(web: Site, fetcher: Fetcher) -> None:
    web.shows("/live", "hello", etag='W/"a:1"')
    validators = Validators('W/"a:1"', "a date, as the server wrote it")
    answer = await fetcher.get(web.url("/live"), validators, now=NOW)
    assert answer == NotModified(validators)
    sent = web.requests[0].headers
    assert (sent["If-None-Match"], sent["If-Modified-Since"]) == ('W/"a:1"', "a date, as the server wrote it")


async def test_takes_new_validators_from_a_304(web: Site, fetcher: Fetcher) -> None:
    web.replies["/live"] = Reply(status=304, headers={"ETag": '"b"'})
    assert await fetcher.get(web.url("/live"), Validators('"a"', "yesterday"), now=NOW) == NotModified(
        Validators('"b"', "yesterday")
    )


async def test_drops_a_validator_that_no_header_can_carry(web: Site, fetcher: Fetcher) -> None:
    web.shows("/live", "hello", etag='"caf\u00e9"')
    page = await fetcher.get(web.url("/live"), now=NOW)
    assert isinstance(page, Page)
    assert page.validators == Validators()


async def test_follows_redirects_and_says_where_it_ended(web: Site, fetcher: Fetcher) -> None:
    web.replies["/old"] = Reply(status=301, headers={"Location": "/new"})
    web.shows("/new", "hello")
    page = await fetcher.get(web.url("/old"), now=NOW)
    assert isinstance(page, Page)
    assert page.url == web.url("/new")


async def test_gives_up_on_a_circle_of_redirects(web: Site, fetcher: Fetcher) -> None:
    web.replies["/a"] = Reply(status=302, headers={"Location": "/b"})
    web.replies["/b"] = Reply(status=302, headers={"Location": "/a"})
    with pytest.raises(FetchFailed, match="more than 5 times"):
        await fetcher.get(web.url("/a"), now=NOW)
    assert len(web.requests) <= 6


async def test_does_not_leave_http(web: Site, fetcher: Fetcher) -> None:
    web.replies["/a"] = Reply(status=302, headers={"Location": "ftp://news.example/feed"})
    with pytest.raises(FetchFailed, match="no http or https URL"):
        await fetcher.get(web.url("/a"), now=NOW)


async def test_stops_at_the_limit_of_the_unpacked_body(web: Site, fetcher: Fetcher) -> None:
    bomb = gzip.compress(b"a" * 1_000_000)
    assert len(bomb) < 5_000
    web.shows("/live", bomb, headers={"Content-Encoding": "gzip"})
    with pytest.raises(FetchFailed, match="larger than 5,000 bytes"):
        await fetcher.get(web.url("/live"), now=NOW)


async def test_reads_a_compressed_body(web: Site, fetcher: Fetcher) -> None:
    web.shows("/live", gzip.compress(b"hello"), headers={"Content-Encoding": "gzip"})
    page = await fetcher.get(web.url("/live"), now=NOW)
    assert isinstance(page, Page)
    assert page.body == b"hello"


async def test_limits_the_whole_time(web: Site) -> None:
    web.replies["/live"] = Reply(never_ends=True)
    async with Fetcher("alerts-test/1", Limits(timedelta(seconds=0.2))) as hasty:
        with pytest.raises(FetchFailed, match=r"within 0\.2 seconds"):
            await hasty.get(web.url("/live"), now=NOW)


@pytest.mark.parametrize(
    ("reply", "says"),
    [
        (Reply(status=404), "answered 404"),
        (Reply(status=500), "answered 500"),
        (Reply(status=403, content_type="text/plain"), "refuses us"),
        (Reply(b"<p>Checking: complete the challenge</p>", status=403), "shows robots a challenge"),
        (Reply(status=429), "too often"),
    ],
)
async def test_says_what_a_refusal_is(web: Site, fetcher: Fetcher, reply: Reply, says: str) -> None:
    web.replies["/live"] = reply
    with pytest.raises(FetchFailed, match=says):
        await fetcher.get(web.url("/live"), now=NOW)


async def test_tells_gone_from_not_found(web: Site, fetcher: Fetcher) -> None:
    web.replies["/live"] = Reply(status=410)
    with pytest.raises(Gone):
        await fetcher.get(web.url("/live"), now=NOW)


async def test_carries_the_wait_that_the_server_asks_for(web: Site, fetcher: Fetcher) -> None:
    web.replies["/live"] = Reply(status=503, headers={"Retry-After": "120"})
    with pytest.raises(FetchFailed) as failed:
        await fetcher.get(web.url("/live"), now=NOW)
    assert failed.value.retry_after == timedelta(minutes=2)


async def test_says_that_nobody_listens(fetcher: Fetcher, unused_tcp_port: int) -> None:
    with pytest.raises(FetchFailed, match="cannot be reached"):
        await fetcher.get(f"http://127.0.0.1:{unused_tcp_port}/", now=NOW)


async def test_ignores_proxies_of_the_environment(
    web: Site, fetcher: Fetcher, monkeypatch: pytest.MonkeyPatch, unused_tcp_port: int
) -> None:
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{unused_tcp_port}")
    web.shows("/live", "hello")
    assert isinstance(await fetcher.get(web.url("/live"), now=NOW), Page)


@pytest.mark.parametrize(
    ("value", "wait"),
    [
        ("120", timedelta(minutes=2)),
        ("Sun, 22 Nov 2026 07:05:00 GMT", timedelta(minutes=5)),
        ("Sun, 22 Nov 2026 06:00:00 GMT", None),
        ("99999999999999999999", timedelta(days=1)),
        ("-5", None),
        ("soon", None),
        ("", None),
    ],
)
def test_reads_retry_after(value: str, wait: timedelta | None) -> None:
    assert retry_after(value, NOW) == wait
