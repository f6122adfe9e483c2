"""The fetcher against servers that are broken or mean harm: a page or one line, soon, and nothing left open."""

import asyncio
import gzip
import resource
import zlib
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import brotli
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from alerts.errors import FetchFailed, Gone
from alerts.feeds.fetch import Fetcher, Limits, NotModified, Page, Validators
from fakes.hostile_site import HostileSite, endlessly, hostile_site, then_closes

NOW = datetime(2026, 11, 22, 7, 0, tzinfo=UTC)
OK = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"
NEWS = b"<!doctype html><p>The harbour bridge is closed.</p>"


@pytest.fixture
async def web() -> AsyncIterator[HostileSite]:
    async with hostile_site() as served:
        yield served


@pytest.fixture
async def fetcher() -> AsyncIterator[Fetcher]:
    async with Fetcher("alerts-test/1", Limits(timedelta(seconds=20), 1_000_000)) as made:
        yield made


@pytest.fixture
async def hasty() -> AsyncIterator[Fetcher]:
    async with Fetcher("alerts-test/1", Limits(timedelta(seconds=0.4), 1_000_000)) as made:
        yield made


async def get(fetcher: Fetcher, web: HostileSite, path: str = "/live", **how: object) -> Page:
    page = await fetcher.get(web.url(path), now=NOW, **how)  # type: ignore[arg-type]  # `get`'s own keywords
    assert isinstance(page, Page)
    return page


def peak_memory() -> int:
    """Gives the most bytes that this process ever held."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


@pytest.mark.parametrize(
    ("start", "piece"),
    [
        (b"HTTP/1.1 200 ", b"O"),
        (b"HTTP/1.1 200 OK\r\n", b"X"),
        (b"HTTP/1.1 200 OK\r\n", b"X: y\r\n"),
        (OK + b"\r\n", b"<"),
        (CHUNKED, b"1\r\nx\r\n"),
        (OK + b"Content-Length: 1000\r\n\r\n", b"<"),
        (OK + b"Content-Encoding: gzip\r\n\r\n" + gzip.compress(NEWS)[:12], b""),
    ],
    ids=["status", "header", "headers", "body", "chunks", "length", "gzip"],
)
async def test_a_byte_now_and_then_ends(web: HostileSite, hasty: Fetcher, start: bytes, piece: bytes) -> None:
    web.paths["/live"] = endlessly(start, piece, pause=0.02)
    with pytest.raises(FetchFailed, match=r"within 0\.4 seconds"):
        await get(hasty, web)


@pytest.mark.parametrize(
    ("start", "piece"),
    [
        (b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 1000),
        (b"", b"HTTP/1.1 103 Early Hints\r\nLink: </x>; rel=preload\r\n\r\n" * 500),
        (b"HTTP/1.1 200 OK\r\n", b"X-A: b\r\n" * 1000),
        (b"HTTP/1.1 200 OK\r\nX: ", b"y" * 10_000),
        (b"", b"HTTP/1.1 200 " + b"O" * 10_000),
        (b"", b"\r\n" * 5000),
        (CHUNKED, b"1;" + b"e" * 20_000 + b"\r\nx\r\n"),
        (CHUNKED, b"1\r\nx\r\n" * 5000),
        (CHUNKED + b"1\r\nx\r\n0\r\n", b"Trailer: x\r\n" * 1000),
        (b"", b"<p>HTTP/0.9 garbage</p>" * 500),
        (OK + b"\r\n", NEWS * 1000),
        (OK + b"Content-Encoding: gzip\r\n\r\n", gzip.compress(b"") * 500),
    ],
    ids=[
        "continue", "hints", "headers", "header", "status", "blank lines", "extensions", "tiny chunks", "trailers",
        "no http", "body", "empty members",
    ],
)  # fmt: skip
async def test_a_flood_is_ended_long_before_its_time(
    web: HostileSite, fetcher: Fetcher, start: bytes, piece: bytes
) -> None:
    web.paths["/live"] = endlessly(start, piece)
    with pytest.raises(FetchFailed) as failed:
        await get(fetcher, web)
    assert "seconds" not in str(failed.value)
    assert web.sent < 12_000_000, "no more than buffers hold"


async def test_a_bomb_costs_its_limit_and_holds_nobody_up(web: HostileSite, fetcher: Fetcher) -> None:
    packer = zlib.compressobj(wbits=31)
    zeros = b"".join(packer.compress(bytes(1_000_000)) for _ in range(300)) + packer.flush()
    web.answers("/bomb", "Content-Encoding: gzip", body=zeros)
    web.answers("/brotli", "Content-Encoding: br", body=brotli.compress(bytes(50_000_000), quality=3))
    web.answers("/nested", "Content-Encoding: gzip, gzip", body=gzip.compress(zeros))
    web.answers("/live", "Content-Type: text/html", body=NEWS)
    before = peak_memory()
    bombs = [
        asyncio.create_task(fetcher.get(web.url(path), now=NOW))
        for path in ("/bomb", "/brotli", "/nested") * 10
    ]
    for _ in range(5):
        assert (await get(fetcher, web)).body == NEWS
    for each in await asyncio.gather(*bombs, return_exceptions=True):
        assert isinstance(each, FetchFailed)
    assert peak_memory() - before < 100_000_000


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (b"", "hung up"),
        (b"HTTP/1.1 200", "nonsense|hung up|broke"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "nonsense"),
        (b"<html>hello</html>", "nonsense|hung up"),
        (OK + b"Content-Length: 100\r\n\r\nshort", "broke off"),
        (OK + b"Content-Length: -5\r\n\r\nx", "nonsense"),
        (OK + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello!", "nonsense"),
        (CHUNKED + b"5\r\nhel", "broke off"),
        (CHUNKED + b"zz\r\nhello\r\n0\r\n\r\n", "broke off|nonsense"),
        (OK + b"Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n", "nonsense|broke off"),
        (OK + b"X: " + b"a" * 40_000 + b"\r\n\r\n", "nonsense"),
        (OK + b"".join(b"X-%d: a\r\n" % each for each in range(300)) + b"\r\n", "nonsense"),
        (OK + b"".join(b"X-%d: %s\r\n" % (each, b"a" * 1000) for each in range(80)) + b"\r\n", "headers are larger"),
        (OK + b"Content-Length: 0\r\n\r\n", "empty"),
        (b"HTTP/1.1 204 No Content\r\n\r\n", "204 No Content"),
        (b"HTTP/1.1 202 Accepted\r\nContent-Length: 2\r\n\r\nok", "202 Accepted"),
        (b"HTTP/1.1 206 Partial Content\r\nContent-Length: 2\r\n\r\n<p", "206 Partial Content"),
        (b"HTTP/1.1 304 Not Modified\r\n\r\n", "though we asked for the whole page"),
        (b"HTTP/1.1 301 Moved\r\nContent-Length: 0\r\n\r\n", "redirects to nowhere"),
        (b"HTTP/1.1 300 Choices\r\nContent-Length: 0\r\n\r\n", "300 Multiple Choices"),
        (b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n", "101"),
        (b"HTTP/1.1 999 Go away\x1b[31m\r\nContent-Length: 0\r\n\r\n", "answered 999|nonsense"),
        (OK + b"Content-Encoding: gzip\r\n\r\n" + gzip.compress(NEWS)[:-6], "breaks off"),
        (OK + b"Content-Encoding: gzip, gzip, gzip\r\n\r\nx", "did not ask for"),
        (OK + b"Content-Encoding: compress\r\n\r\n\x1f\x9d", "did not ask for"),
        (b"HTTP/1.1 429 X\r\nRetry-After: 90\r\nContent-Length: 99\r\n\r\nbreaks off", "too often"),
    ],
)  # fmt: skip
async def test_puts_a_broken_answer_into_one_line(
    web: HostileSite, fetcher: Fetcher, answer: bytes, says: str
) -> None:
    web.paths["/live"] = then_closes(answer)
    with pytest.raises(FetchFailed, match=says) as failed:
        await get(fetcher, web)
    assert "\n" not in str(failed.value)
    assert str(failed.value).isprintable()


@pytest.mark.parametrize(
    "answer",
    [
        OK + b"\r\n" + NEWS,
        b"HTTP/1.0 200\r\n\r\n" + NEWS,
        CHUNKED + b"%x;name=value\r\n%s\r\n0\r\nX-Trailer: a\r\n\r\n" % (len(NEWS), NEWS),
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: <x>\r\n\r\n" + OK + b"\r\n" + NEWS,
        OK + b"Content-Encoding: gzip\r\n\r\n" + NEWS,
        OK + b"Content-Encoding: br\r\n\r\n" + NEWS,
        OK + b"Content-Encoding: gzip\r\nContent-Encoding: gzip\r\n\r\n" + gzip.compress(gzip.compress(NEWS)),
        OK + b"X: \xff\xfe\r\nSet-Cookie: a=b; Path=\xe4\r\n\r\n" + NEWS,
        OK + b"X-Policy: " + b"a" * 20_000 + b"\r\n\r\n" + NEWS,
        b"HTTP/1.1 203 Changed on the way\r\n\r\n" + NEWS,
    ],
)
async def test_reads_what_is_odd_and_clear(web: HostileSite, fetcher: Fetcher, answer: bytes) -> None:
    web.paths["/live"] = then_closes(answer)
    assert (await get(fetcher, web)).body == NEWS


async def test_what_follows_an_answer_is_nobodys(web: HostileSite, fetcher: Fetcher) -> None:
    two = OK + b"Content-Length: %d\r\n\r\n%s" % (len(NEWS), NEWS) + OK + b"Content-Length: 4\r\n\r\nevil"
    web.paths["/live"] = two
    for _ in range(3):
        assert (await get(fetcher, web)).body == NEWS


async def test_follows_five_redirects_and_no_sixth(web: HostileSite, fetcher: Fetcher) -> None:
    for each in range(7):
        web.answers(f"/{each}", f"Location: /{each + 1}", status="302 Found")
    web.answers("/7", body=NEWS)
    assert (await get(fetcher, web, "/2")).url == web.url("/7")
    with pytest.raises(FetchFailed, match="more than 5 times"):
        await get(fetcher, web, "/1")


async def test_gives_up_on_ever_new_paths(web: HostileSite, fetcher: Fetcher) -> None:
    asked = 0

    async def onwards() -> AsyncIterator[bytes]:
        nonlocal asked
        asked += 1
        yield f"HTTP/1.1 301 Moved\r\nLocation: /live?{asked}\r\nContent-Length: 0\r\n\r\n".encode()

    for each in ("/live", *(f"/live?{number}" for number in range(1, 20))):
        web.paths[each] = onwards
    with pytest.raises(FetchFailed, match="more than 5 times"):
        await get(fetcher, web)
    assert asked == 6


@pytest.mark.parametrize(
    "location",
    ["file:///etc/passwd", "data:text/html,<p>x", "gopher://127.0.0.1:25/_HELO", "javascript:x"],
)
async def test_leaves_the_web_for_nothing(web: HostileSite, fetcher: Fetcher, location: str) -> None:
    web.answers("/live", f"Location: {location}", status="302 Found")
    with pytest.raises(FetchFailed, match="no http or https URL"):
        await get(fetcher, web)


@pytest.mark.parametrize(
    ("statuses", "moved"),
    [
        (("301 Moved", "308 Moved"), True),
        (("301 Moved", "302 Found"), False),
        (("307 For now", "301 Moved"), False),
        (("303 See", "303 See"), False),
    ],
)
async def test_says_where_a_feed_moved_when_every_hop_is_for_good(
    web: HostileSite, fetcher: Fetcher, statuses: tuple[str, str], moved: bool
) -> None:
    web.answers("/live", "Location: /b", status=statuses[0])
    web.answers("/b", "Location: /c?%2C#top", status=statuses[1])
    web.answers("/c?%2C", 'ETag: "a"', body=NEWS)
    expected = web.url("/c?%2C") if moved else ""
    assert (await get(fetcher, web)).moved_to == expected
    web.paths["/c?%2C"] = b"HTTP/1.1 304 Not Modified\r\n\r\n"
    assert await fetcher.get(web.url("/live"), Validators('"a"'), now=NOW) == NotModified(
        Validators('"a"'), expected
    )


async def test_tells_a_hub_from_the_link_header(web: HostileSite, fetcher: Fetcher) -> None:
    web.answers("/live", "Link: <https://hub.example/>; rel=hub", "Link: </feed>; rel=self", body=NEWS)
    page = await get(fetcher, web)
    assert (page.hub, page.topic_url) == ("https://hub.example/", web.url("/feed"))


async def test_tells_a_wall_with_any_status(web: HostileSite, fetcher: Fetcher) -> None:
    wall = b"<html><title>Just a moment...</title><script>window._cf_chl_opt={}</script></html>"
    for status in ("200 OK", "202 Accepted", "403 Forbidden", "503 Busy"):
        web.answers(
            "/live",
            "Content-Type: text/html",
            "Content-Encoding: gzip",
            body=gzip.compress(wall),
            status=status,
        )
        with pytest.raises(FetchFailed, match=r"blocks us.*Cloudflare"):
            await get(fetcher, web)


async def test_410_stops_and_404_does_not(web: HostileSite, fetcher: Fetcher) -> None:
    web.answers("/gone", status="410 Gone", body=b"<h1>gone</h1>")
    with pytest.raises(Gone):
        await get(fetcher, web, "/gone")
    with pytest.raises(FetchFailed, match="404 Not Found") as failed:
        await get(fetcher, web, "/nowhere")
    assert not isinstance(failed.value, Gone)


async def test_a_status_counts_though_its_body_never_comes(web: HostileSite, fetcher: Fetcher) -> None:
    web.paths["/live"] = then_closes(b"HTTP/1.1 503 Busy\r\nRetry-After: 60\r\nContent-Length: 9\r\n\r\n<")
    with pytest.raises(FetchFailed) as failed:
        await get(fetcher, web)
    assert failed.value.retry_after == timedelta(minutes=1)


async def test_sends_an_honest_request_and_no_more(web: HostileSite, fetcher: Fetcher) -> None:
    web.answers("/live", "Set-Cookie: track=1", "Location: /b", status="302 Found")
    web.answers("/b", "Set-Cookie: track=2", body=NEWS)
    for _ in range(2):  # by a name: who keeps cookies may keep none for a number
        await fetcher.get(web.url("/live", host="localhost"), now=NOW)
    assert len(web.asked) == 5, "robots.txt, and twice a redirect and its page"
    for asked in web.asked:
        names = {line.partition(":")[0].lower() for line in asked.head.split("\r\n")[1:] if line}
        assert names == {"host", "user-agent", "accept", "accept-encoding"}
        assert asked.header("User-Agent") == "alerts-test/1"
        assert asked.header("Accept-Encoding") == "gzip, br, zstd, deflate"


hostile_bytes = st.lists(
    st.one_of(
        st.binary(max_size=40),
        st.sampled_from(
            [
                b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 301 Moved\r\n", b"HTTP/1.0 200\r\n", b"HTTP/1.1 103 Hints\r\n",
                b"HTTP/1.1 304 Not Modified\r\n", b"Content-Length: 5\r\n", b"Content-Length: 99999999999\r\n",
                b"Transfer-Encoding: chunked\r\n", b"Transfer-Encoding: gzip, chunked\r\n", b"Connection: close\r\n",
                b"Content-Encoding: gzip\r\n", b"Content-Encoding: br\r\n", b"Content-Type: text/html\r\n",
                b"Location: /live\r\n", b"Location: //[\r\n", b"Location: http://10.0.0.1/\r\n", b"Upgrade: h2c\r\n",
                b"ETag: \xff\r\n", b"Retry-After: \xff\r\n", b"Link: <;rel=hub\r\n", b"Set-Cookie: \x01=;;\r\n",
                b" folded\r\n", b"\r\n", b"\n", b"\r", b"\0", b"5\r\nhello\r\n", b"0\r\n\r\n", b"\x1f\x8b\x08", NEWS,
            ]
        ),
    ),
    max_size=12,
).map(b"".join)  # fmt: skip


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(data=hostile_bytes)
def test_any_bytes_are_a_page_or_a_failure(data: bytes) -> None:
    asyncio.run(_answers_anything(data))


async def _answers_anything(data: bytes) -> None:
    async with (
        hostile_site() as web,
        Fetcher("alerts-test/1", Limits(timedelta(seconds=10), 100_000)) as fetcher,
    ):
        web.paths["/live"] = then_closes(data)
        for validators in (None, Validators('"a"')):
            try:
                answer = await fetcher.get(web.url("/live"), validators, now=NOW, obey_robots=False)
            except FetchFailed as error:
                assert "seconds" not in str(error), "it hangs"  # noqa: PT017 - a page is right as well
            else:
                assert isinstance(answer, Page | NotModified)
    for _ in range(100):
        if not web.open:
            break
        await asyncio.sleep(0.01)
    assert not web.open, "a connection was left open"
