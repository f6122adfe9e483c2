"""What the fetcher connects to, over real sockets: redirects, names that change, kept connections, proxies."""

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest
import trustme

from alerts.errors import FetchFailed
from alerts.feeds.fetch import Fetcher, Guard, Limits, Page, Validators
from alerts.feeds.fetch.connections import AddrInfo
from fakes.hostile_site import HostileSite, hostile_site
from fakes.tls import Certificates

NOW = datetime(2026, 11, 22, 7, 0, tzinfo=UTC)
LIMITS = Limits(timedelta(seconds=20), 1_000_000)
NEWS = b"<!doctype html><p>The harbour bridge is closed.</p>"
REFUSED = r"not on the public internet.*polling\.allow"


class Names:
    """A resolver whose names lead where a test says: one answer after the other, the last for ever."""

    def __init__(self, **answers: list[str]) -> None:
        self.answers = {name.replace("_", "."): addresses for name, addresses in answers.items()}
        self.asked: list[str] = []

    def __call__(self, host: str, port: int) -> list[AddrInfo]:
        self.asked.append(host)
        addresses = self.answers.get(host)
        if not addresses:
            raise socket.gaierror(socket.EAI_NONAME, "unknown")
        now = addresses.pop(0) if len(addresses) > 1 else addresses[0]
        return [
            (socket.AF_INET6 if ":" in each else socket.AF_INET, socket.SOCK_STREAM, 6, "", (each, port))
            for each in now.split()
        ]


@pytest.fixture
async def web() -> AsyncIterator[HostileSite]:
    async with hostile_site() as served:
        served.answers("/live", body=NEWS)
        yield served


async def body_of(fetcher: Fetcher, url: str) -> bytes:
    page = await fetcher.get(url, now=NOW, obey_robots=False)
    assert isinstance(page, Page)
    return page.body


async def test_a_feed_of_this_machine_needs_no_setting(web: HostileSite) -> None:
    async with Fetcher("alerts-test/1", LIMITS) as fetcher:
        assert await body_of(fetcher, web.url("/live")) == NEWS
        assert await body_of(fetcher, web.url("/live", host="localhost")) == NEWS
        web.answers("/old", "Location: /live", status="302 Found")
        assert await body_of(fetcher, web.url("/old")) == NEWS


async def test_what_a_page_names_is_not_the_operators_word(web: HostileSite) -> None:
    async with Fetcher("alerts-test/1", LIMITS) as fetcher:
        with pytest.raises(FetchFailed, match=REFUSED):
            await fetcher.get(
                web.url("/live"), now=NOW, obey_robots=False, beside="https://news.example/live"
            )
        page = await fetcher.get(web.url("/live"), now=NOW, obey_robots=False, beside=web.url("/day-1"))
        assert isinstance(page, Page)
    assert len(web.asked) == 1


async def test_a_feed_of_this_machine_reaches_no_other_port_of_it(web: HostileSite) -> None:
    async with hostile_site() as inner, Fetcher("alerts-test/1", LIMITS) as fetcher:
        web.answers("/old", f"Location: {inner.url('/live')}", status="302 Found")
        with pytest.raises(FetchFailed, match=REFUSED):
            await body_of(fetcher, web.url("/old"))
        assert not inner.asked
        assert not inner.open


@pytest.mark.parametrize(
    "host",
    ["0.0.0.0", "[::ffff:127.0.0.1]", "[::127.0.0.1]", "[64:ff9b::7f00:1]", "[2002:7f00:1::]", "[::]", "10.0.0.1",
     "169.254.169.254", "[fd00:ec2::254]", "[fe80::1]", "100.64.0.1", "224.0.0.1", "255.255.255.255"],
)  # fmt: skip
async def test_refuses_every_form_of_an_inner_address_at_once(web: HostileSite, host: str) -> None:
    async with Fetcher("alerts-test/1", LIMITS) as fetcher:
        with pytest.raises(FetchFailed, match=REFUSED):
            await body_of(fetcher, web.url("/live", host=host))
        web.answers("/old", f"Location: {web.url('/live', host=host)}", status="301 Moved")
        with pytest.raises(FetchFailed, match=REFUSED):
            await body_of(fetcher, web.url("/old"))
    assert {asked.path for asked in web.asked} <= {"/old"}


@pytest.mark.parametrize(
    "host", ["2130706433", "0x7f000001", "0x7f.1", "0177.0.0.1", "127.1", "017700000001"]
)
async def test_refuses_numbers_in_a_disguise(web: HostileSite, host: str) -> None:
    async with Fetcher("alerts-test/1", LIMITS) as fetcher:
        with pytest.raises(FetchFailed, match="disguise"):
            await body_of(fetcher, web.url("/live", host=host))
    assert not web.asked


async def test_a_name_that_leads_inside_is_refused_each_time_it_does(web: HostileSite) -> None:
    # Public when it is looked up for the first time, and inside when it is connected to the next time.
    names = Names(news_example=["192.0.2.1 127.0.0.1", "127.0.0.1"], both_example=["10.0.0.1 127.0.0.1 ::1"])
    async with Fetcher("alerts-test/1", LIMITS, look_up=names) as fetcher:
        for host in ("news.example", "news.example", "both.example"):
            with pytest.raises(FetchFailed, match=REFUSED):
                await body_of(fetcher, web.url("/live", host=host))
    assert not web.asked
    assert names.asked[0] == "news.example"


async def test_the_address_that_was_checked_is_the_one_connected_to(
    web: HostileSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = Names(news_example=["127.0.0.1", "10.0.0.1"])
    monkeypatch.setattr(socket, "getaddrinfo", None)  # nothing else looks a name up
    async with Fetcher("alerts-test/1", LIMITS, guard=Guard.of(["127.0.0.1"]), look_up=names) as fetcher:
        assert await body_of(fetcher, web.url("/live", host="news.example")) == NEWS
    assert names.asked == ["news.example"]


async def test_a_kept_connection_is_no_way_round_the_guard(web: HostileSite) -> None:
    web.answers("/old", f"Location: {web.url('/live')}", status="302 Found")
    async with hostile_site() as outer, Fetcher("alerts-test/1", LIMITS) as fetcher:
        outer.answers("/old", f"Location: {web.url('/live')}", status="302 Found")
        assert await body_of(fetcher, web.url("/live")) == NEWS
        assert web.open == 1, "kept open"
        with pytest.raises(FetchFailed, match=REFUSED):
            await body_of(fetcher, outer.url("/old"))
        assert len(web.asked) == 1


async def test_an_allowed_network_may_be_reached_and_named(web: HostileSite) -> None:
    names = Names(press_example=["127.0.0.1"], hr_example=["10.0.0.1"])
    guard = Guard.of(["127.0.0.0/8"])
    async with Fetcher("alerts-test/1", LIMITS, guard=guard, look_up=names) as fetcher:
        assert await body_of(fetcher, web.url("/live", host="press.example")) == NEWS
        with pytest.raises(FetchFailed, match=REFUSED):
            await body_of(fetcher, web.url("/live", host="hr.example"))


async def test_robots_txt_is_fetched_through_the_same_guard(web: HostileSite) -> None:
    names = Names(news_example=["10.0.0.1"])
    async with Fetcher("alerts-test/1", LIMITS, look_up=names) as fetcher:
        with pytest.raises(FetchFailed, match=REFUSED):
            await fetcher.get(web.url("/live", host="news.example"), now=NOW)
        web.answers("/robots.txt", "Location: http://10.0.0.1/", status="302 Found")
        with pytest.raises(FetchFailed, match=REFUSED):
            await fetcher.get(web.url("/live"), now=NOW, known_page=True)


async def test_a_hub_is_posted_to_through_the_same_guard(web: HostileSite) -> None:
    web.answers("/hub", status="202 Accepted", body=b"soon")
    async with hostile_site() as inner, Fetcher("alerts-test/1", LIMITS) as fetcher:
        feed = web.url("/live")
        reply = await fetcher.post(web.url("/hub"), {"hub.mode": "subscribe"}, now=NOW, beside=feed)
        assert (reply.status, reply.body) == (202, b"soon")
        assert web.asked[0].head.startswith("POST /hub ")
        web.answers("/hub", f"Location: {inner.url('/')}", status="307 There")
        reply = await fetcher.post(web.url("/hub"), {}, now=NOW, beside=feed)
        assert (reply.status, reply.location) == (307, inner.url("/"))
        for hub, beside in (
            ("http://10.0.0.1/hub", feed),
            (inner.url("/"), feed),
            (web.url("/hub"), "https://news.example/live"),
            (web.url("/hub"), ""),
        ):
            with pytest.raises(FetchFailed, match=REFUSED):
                await fetcher.post(hub, {}, now=NOW, beside=beside)
        assert len(web.asked) == 2
        assert not inner.asked


async def test_a_password_goes_to_its_own_host_alone(web: HostileSite) -> None:
    def written(site: HostileSite, path: str) -> str:
        return site.url(path).replace("//", "//reader:p%40ss@")

    names = Names(news_example=["127.0.0.1"])
    async with (
        hostile_site() as other,
        Fetcher("alerts-test/1", LIMITS, guard=Guard.of(["127.0.0.1"]), look_up=names) as fetcher,
    ):
        other.answers("/live", body=NEWS)
        web.answers("/here", "Location: /live", status="301 Moved")
        web.answers("/there", f"Location: {written(other, '/live')}", status="301 Moved")
        web.answers("/name", f"Location: {web.url('/live', host='news.example')}", status="301 Moved")
        for path in ("/here", "/there", "/name"):
            page = await fetcher.get(written(web, path), Validators('"a"'), now=NOW, obey_robots=False)
            assert isinstance(page, Page)
            assert "reader" not in page.url + page.moved_to
        ours = "Basic cmVhZGVyOnBAc3M="
        assert [asked.header("Authorization") for asked in web.asked] == [ours, ours, ours, ours, ""]
        assert [asked.header("Authorization") for asked in other.asked] == [""]


async def test_a_host_is_asked_in_its_turn(web: HostileSite) -> None:
    loop = asyncio.get_running_loop()
    async with Fetcher("alerts-test/1", Limits(timedelta(seconds=0.3)), own_rate=5) as fetcher:
        begun = loop.time()
        for body in await asyncio.gather(*[body_of(fetcher, web.url("/live")) for _ in range(8)]):
            assert body == NEWS
        assert loop.time() - begun > 0.55, (
            "five at once, and three in their turn: which is not the server's time"
        )


async def test_the_proxy_that_was_asked_for_is_used_for_the_world_alone(web: HostileSite) -> None:
    async with (
        hostile_site() as proxy,
        Fetcher("alerts-test/1", LIMITS, proxy=proxy.url().replace("//", "//us:pass@")) as fetcher,
    ):
        proxy.answers("http://news.example/live", body=NEWS)
        assert await body_of(fetcher, "http://news.example/live") == NEWS
        assert proxy.asked[0].header("Proxy-Authorization") == "Basic dXM6cGFzcw=="
        assert await body_of(fetcher, web.url("/live")) == NEWS
        assert web.asked
        for inside in (
            "http://10.0.0.1/",
            "http://[::ffff:10.0.0.1]/",
            "http://db.internal/",
            "http://169.254.169.254/",
        ):
            with pytest.raises(FetchFailed, match=REFUSED):
                await body_of(fetcher, inside)
        assert len(proxy.asked) == 1
        proxy.paths["news.example:443"] = b"HTTP/1.1 407 Who are you\r\nContent-Length: 0\r\n\r\n"
        with pytest.raises(FetchFailed, match="The proxy refuses us"):
            await body_of(fetcher, "https://news.example/live")


async def test_says_that_the_proxy_is_away(unused_tcp_port: int) -> None:
    proxy = f"http://127.0.0.1:{unused_tcp_port}"
    async with Fetcher("alerts-test/1", LIMITS, proxy=proxy) as fetcher:
        with pytest.raises(FetchFailed, match="The proxy cannot be reached"):
            await body_of(fetcher, "http://news.example/live")


async def test_says_that_a_name_is_unknown() -> None:
    async with Fetcher("alerts-test/1", LIMITS, look_up=Names()) as fetcher:
        with pytest.raises(FetchFailed, match="host name is not known"):
            await body_of(fetcher, "http://news.example/")


async def test_a_name_with_very_many_addresses_costs_little(web: HostileSite) -> None:
    many = " ".join(f"10.{each // 250}.{each % 250}.1" for each in range(5_000))
    async with Fetcher("alerts-test/1", LIMITS, look_up=Names(news_example=[many])) as fetcher:
        with pytest.raises(FetchFailed, match=REFUSED):
            await body_of(fetcher, "http://news.example/")


async def test_speaks_tls_and_knows_whom_to_trust(certificates: Certificates) -> None:
    trusting = ssl.create_default_context(cafile=str(certificates.ca_file))
    async with hostile_site(certificates.server) as web:
        web.answers("/live", body=NEWS)
        names = Names(localhost=["127.0.0.1"], news_example=["127.0.0.1"])
        guard = Guard.of(["127.0.0.1"])
        async with Fetcher("alerts-test/1", LIMITS, tls=trusting, guard=guard, look_up=names) as fetcher:
            assert await body_of(fetcher, web.url("/live", host="localhost")) == NEWS
            with pytest.raises(FetchFailed, match="made out to another host"):
                await body_of(fetcher, web.url("/live", host="news.example"))
        async with Fetcher("alerts-test/1", LIMITS) as fetcher:
            with pytest.raises(FetchFailed, match=r"not to be trusted \(its authority is unknown"):
                await body_of(fetcher, web.url("/live", host="localhost"))


async def test_says_that_a_certificate_has_expired() -> None:
    authority = trustme.CA()
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost", not_after=datetime(2020, 1, 1, tzinfo=UTC)).configure_cert(server)
    trusting = ssl.create_default_context()
    authority.configure_trust(trusting)
    async with hostile_site(server) as web, Fetcher("alerts-test/1", LIMITS, tls=trusting) as fetcher:
        with pytest.raises(FetchFailed, match="it has expired"):
            await body_of(fetcher, web.url("/live", host="localhost"))


async def test_says_that_a_server_speaks_no_tls() -> None:
    async def answer(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        writer.close()

    async with (
        await asyncio.start_server(answer, "127.0.0.1", 0) as server,
        Fetcher("alerts-test/1", LIMITS) as fetcher,
    ):
        with pytest.raises(FetchFailed, match="does not speak TLS"):
            await body_of(fetcher, f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}/")


async def test_a_move_that_loses_tls_is_followed_and_not_learnt(
    web: HostileSite, certificates: Certificates
) -> None:
    trusting = ssl.create_default_context(cafile=str(certificates.ca_file))
    guard = Guard.of(["127.0.0.1"])
    async with (
        hostile_site(certificates.server) as safe,
        Fetcher("alerts-test/1", LIMITS, tls=trusting, guard=guard) as fetcher,
    ):
        safe.answers("/live", f"Location: {web.url('/live')}", status="301 Moved")
        page = await fetcher.get(safe.url("/live", host="localhost"), now=NOW, obey_robots=False)
        assert isinstance(page, Page)
        assert (page.url, page.moved_to) == (web.url("/live"), "")
