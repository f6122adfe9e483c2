"""What an answer means: links, conditions, refusals in one line; and the URLs that redirects lead to."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from multidict import CIMultiDict
from yarl import URL

from alerts.errors import FetchFailed, Gone
from alerts.feeds.fetch.answers import Validators, conditions, link, refusal, retry_after, validators
from alerts.feeds.fetch.hops import credentials, first, following

NOW = datetime(2026, 11, 22, 7, 0, tzinfo=UTC)
BASE = "https://news.example/live/"


@pytest.mark.parametrize(
    ("headers", "hub", "topic"),
    [
        (
            '<https://hub.example/>; rel="hub", <https://news.example/feed>; rel="self"',
            "https://hub.example/",
            "https://news.example/feed",
        ),
        ("<https://a.example/x,y;z>;rel=hub;title=a", "https://a.example/x,y;z", ""),
        ('<feed>; title="<x>; rel=hub"; rel=SELF', "", ""),
        ('<../feed>; REL = "alternate self"', "", "https://news.example/feed"),
        ("<https://one.example/>; rel=hub, <https://two.example/>; rel=hub", "https://one.example/", ""),
        ("<javascript:alert(1)>; rel=hub, <file:///etc/passwd>; rel=self", "", ""),
        ("<https://[::1>; rel=hub", "", ""),
        ("<https://hub.example/\u00e4>; rel=hub", "", ""),
        ("https://hub.example/; rel=hub", "", ""),
        ("", "", ""),
    ],
)
def test_reads_links(headers: str, hub: str, topic: str) -> None:
    assert (link(headers, "hub", BASE), link(headers, "self", BASE)) == (hub, topic)


@given(st.text(max_size=200))
def test_reads_any_link_header(headers: str) -> None:
    found = link(headers, "hub", BASE)
    assert not found or found.startswith(("http://", "https://"))


def test_a_link_header_that_means_harm_costs_little() -> None:
    assert not link("<" * 20_000 + ';rel="' * 5_000 + " " * 8_000, "hub", BASE)


def test_conditions_are_what_was_given_and_a_304_may_renew_them() -> None:
    asked = conditions(Validators('W/"a"', "yesterday"))
    assert asked == {"If-None-Match": 'W/"a"', "If-Modified-Since": "yesterday"}
    assert validators(CIMultiDict(), asked) == Validators('W/"a"', "yesterday")
    assert validators(CIMultiDict(etag='"b"'), asked) == Validators('"b"', "yesterday")
    assert validators(CIMultiDict(etag='"b"')) == Validators('"b"', "")


@pytest.mark.parametrize("value", ['"caf\u00e9"', '"' + "x" * 600 + '"', '"a\x07"'])
def test_a_validator_that_no_header_should_carry_is_dropped(value: str) -> None:
    assert validators(CIMultiDict(etag=value)) == Validators()


@given(status=st.integers(201, 999), blocker=st.sampled_from(["", "Cloudflare"]), wait=st.text(max_size=12))
def test_every_refusal_is_one_line_that_ends(status: int, blocker: str, wait: str) -> None:
    error = refusal(status, CIMultiDict({"Retry-After": wait}), blocker, NOW)
    assert "\n" not in str(error)
    assert str(error).endswith("." if status != 410 else "(410).")
    assert isinstance(error, Gone) is (status == 410)


@pytest.mark.parametrize(
    ("status", "says"),
    [
        (401, "asks for a password"),
        (403, "refuses us"),
        (404, "check the URL"),
        (429, "too often"),
        (451, "refuses us"),
        (503, "asked again later"),
        (206, "instead of a page"),
        (204, "204 No Content"),
        (999, "asked again later"),
    ],
)
def test_says_what_to_do(status: int, says: str) -> None:
    assert says in str(refusal(status, CIMultiDict(), "", NOW))


@given(st.text(max_size=40))
def test_any_retry_after_is_a_wait_of_a_day_at_most_or_none(value: str) -> None:
    wait = retry_after(value, NOW)
    assert wait is None or timedelta(0) < wait <= timedelta(days=1)


@pytest.mark.parametrize(
    ("written", "asked"),
    [
        ("https://news.example", "https://news.example/"),
        ("HTTPS://News.Example:443/Live?a=%2C+%20&b=%e4#top", "https://news.example/Live?a=%2C+%20&b=%e4"),
        ("http://user:pass@news.example:8080/a%2fb", "http://news.example:8080/a%2fb"),
        (
            "https://b\u00fccher.example/\u00e4 b?q=\u00fc",
            "https://xn--bcher-kva.example/%C3%A4%20b?q=%C3%BC",
        ),
        ("http://[2600::1]:81/x", "http://[2600::1]:81/x"),
        ("  https://news.example/live\n", "https://news.example/live"),
        ('https://news.example/%zz|{}"', "https://news.example/%zz|%7B%7D%22"),
    ],
)
def test_asks_for_what_was_written(written: str, asked: str) -> None:
    assert str(first(written)) == asked


@pytest.mark.parametrize(
    "url",
    [
        "",
        "news.example",
        "ftp://news.example/",
        "file:///etc/passwd",
        "data:text/html,x",
        "gopher://news.example:70/_x",
        "javascript:alert(1)",
        "http://",
        "http:///live",
        "http://[::1",
        "http://a b/",
        "http://news.example:99999/",
        "http://exa%6dple.com/",
        "http://127.0.0.1%00.example/",
        "http://a\\@b/",
        "http://news.example\r\nHost: x/",
        "http://2130706433/",
        "http://0x7f.1/",
        "http://0177.0.0.1/",
        "http://127.1/",
        "http://[fe80::1%25eth0]/",
    ],
)
def test_refuses_what_is_no_address_of_the_web(url: str) -> None:
    with pytest.raises(FetchFailed):
        first(url)


@pytest.mark.parametrize(
    ("location", "leads_to"),
    [
        ("/new", "https://news.example/new"),
        ("new", "https://news.example/live/new"),
        ("?page=2", "https://news.example/live/?page=2"),
        ("//other.example/x", "https://other.example/x"),
        ("http://news.example/", "http://news.example/"),
        ("../../../x", "https://news.example/x"),
        (" /new#top ", "https://news.example/new"),
        ("https://user:pass@other.example/", "https://other.example/"),
        ("/caf\udcc3\udca9", "https://news.example/caf%C3%A9"),
    ],
)
def test_goes_where_a_redirect_leads(location: str, leads_to: str) -> None:
    assert str(following(URL(BASE), location)) == leads_to


@pytest.mark.parametrize(
    "location", ["", "  ", "file:///etc/passwd", "gopher://x/", "data:,x", "http://[", "https://0x7f000001/"]
)
def test_goes_nowhere_else(location: str) -> None:
    with pytest.raises(FetchFailed):
        following(URL(BASE), location)


@given(st.text(max_size=60))
def test_any_location_leads_to_the_web_or_is_refused(location: str) -> None:
    try:
        url = following(URL(BASE), location)
    except FetchFailed:
        return
    assert url.scheme in ("http", "https")
    assert str(url).isascii()
    assert str(url).isprintable()
    assert url.user is None


def test_gives_a_password_as_its_header() -> None:
    assert credentials("https://news.example/") == ""
    assert credentials("https://Aladdin:open%20sesame@news.example/") == "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="
    assert credentials("https://key@news.example/") == "Basic a2V5Og=="
