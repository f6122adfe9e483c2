"""A wall for robots is told from a page; a page may say whatever a wall says."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from multidict import CIMultiDict

from alerts.feeds.fetch.blocks import is_page, who_blocks

HTML = {"Content-Type": "text/html; charset=utf-8"}
# Written after the walls that are shown in the wild: the structure of each, none of its text.
WALLS = {
    "Cloudflare": "<title>Just a moment...</title><script>(function(){window._cf_chl_opt = {cZone: 'x'};})()</script>",
    "DataDome": "<p id=cmsg>Wait</p><script>var dd={'rt':'c','host':'geo.captcha-delivery.com'}</script>",
    "HUMAN": '<title>Access to this page</title><div id="px-captcha"></div>',
    "Akamai": '<script src="/_sec/cp_challenge/ak-challenge-4-3.js"></script><div id="sec-if-cpt-container"></div>',
    "Imperva": '<iframe id="main-iframe" src="/_Incapsula_Resource?CWUDNSAI=9&xinfo=1">Request unsuccessful.</iframe>',
    "Kasada": "<script>window.KPSDK={};KPSDK.now=1</script><script src='/149e9513/ips.js'></script>",
    "AWS WAF": "<script src='https://x.token.awswaf.com/x/challenge.js'></script><div id=challenge-container></div>",
    "Sucuri": "<script>sucuri_cloudproxy_js='';S='dj0i';</script>You are being redirected...",
    "DDoS-Guard": "<title>DDoS-Guard</title><script src='/.well-known/ddos-guard/js-challenge/index.js'></script>",
    "Anubis": '<title>Making sure</title><script id="anubis_challenge" type="application/json">{}</script>',
    "F5": "<title>Request Rejected</title>The requested URL was rejected. Please consult with your administrator.",
}
ENTRY = "<h2>14:05 Captcha maker is down</h2><p>Just a moment, say its engineers: verify you are a human.</p>"
TALKS_OF_WALLS = (
    "<p>Access denied. Enable JavaScript and complete the challenge, says the page that replaced px-captcha and "
    "captcha-delivery.com across the web; Checking your browser, it adds. Are you a robot?</p>"
)


def page(body: str) -> bytes:
    return f"<!doctype html><html><head></head><body>{body}</body></html>".encode()


@pytest.mark.parametrize("maker", WALLS)
def test_names_whose_wall_it_is(maker: str) -> None:
    assert who_blocks(CIMultiDict(HTML), page(WALLS[maker])) == maker


@pytest.mark.parametrize(
    "title",
    [
        "Access Denied",
        "Robot or human?",
        "Pardon Our Interruption...",
        "Verifying you are human",
        "Security Check",
    ],
)
def test_knows_a_wall_by_its_title_when_there_is_little_else(title: str) -> None:
    assert who_blocks(CIMultiDict(HTML), page(f"<title>{title}</title><p>Wait.</p>"))
    assert not who_blocks(CIMultiDict(HTML), page(f"<title>{title}: our live blog</title><p>Wait.</p>"))
    assert not who_blocks(CIMultiDict(HTML), page(f"<title>{title}</title>" + "<p>word word word</p>" * 150))


@pytest.mark.parametrize(
    ("name", "value"),
    [("cf-mitigated", "challenge"), ("x-amzn-waf-action", "captcha"), ("X-Vercel-Mitigated", "challenge")],
)
def test_knows_a_wall_by_its_header_whatever_it_holds(name: str, value: str) -> None:
    assert who_blocks(CIMultiDict({name: value}), b"")


@pytest.mark.parametrize(
    "body",
    [
        page(f"<title>Live: the great captcha outage</title>{ENTRY}"),
        page(f"<title>Live</title>{TALKS_OF_WALLS}"),
        page(
            '<script type="application/ld+json">{"@type": "LiveBlogPosting"}</script>' + WALLS["Cloudflare"]
        ),
        page(f"<title>Access Denied</title><article>{ENTRY}</article>"),
        page("<p>news</p>" * 400 + "<script src='https://x.token.awswaf.com/x/challenge.js'></script>"),
        page("<p>news</p><script src='/cdn-cgi/challenge-platform/scripts/jsd/main.js'></script>"),
        page(
            "<p>news</p><script>window._pxAppId='PX1'</script><script src='https://js.datadome.co/tags.js'></script>"
        ),
        b"<rss><channel><title>Just a moment</title><item><title>px-captcha</title></item></channel></rss>",
        b'{"version": "https://jsonfeed.org/version/1.1", "title": "<title>Just a moment</title>"}',
        page("x" * 300_000 + WALLS["Cloudflare"]),
    ],
    ids=lambda body: body[-60:].decode(),
)
def test_takes_a_page_for_a_page_whatever_it_talks_of(body: bytes) -> None:
    assert not who_blocks(CIMultiDict(HTML), body)


def test_a_refusal_needs_less_to_be_a_wall() -> None:
    shown = page("<h1>One more step</h1><p>Please complete the captcha.</p>")
    assert who_blocks(CIMultiDict(HTML), shown, is_refusal=True)
    assert not who_blocks(CIMultiDict(HTML), shown)
    assert not who_blocks(CIMultiDict(HTML), page("<h1>Forbidden</h1>"), is_refusal=True)


@pytest.mark.parametrize(
    ("content_type", "body", "expected"),
    [
        ("text/html", b"<p>hello", True),
        ("text/html", b"<?xml version='1.0'?><!-- x --><rss version='2.0'>", False),
        ("text/html", b'\xef\xbb\xbf {"version": 1}', False),
        ("text/plain", b"\n<!DOCTYPE html><p>", True),
        ("application/xhtml+xml", b"<?xml version='1.0'?><html>", True),
        ("application/xml", b"<?xml version='1.0'?><feed xmlns='x'>", False),
        ("", b"<RDF:RDF>", False),
        ("application/octet-stream", b"\x00\x01", False),
    ],
)
def test_knows_a_page_from_a_feed(content_type: str, body: bytes, expected: bool) -> None:
    assert is_page(content_type, body) is expected


@given(st.binary(max_size=500), st.booleans())
def test_judges_anything(body: bytes, is_refusal: bool) -> None:
    assert who_blocks(CIMultiDict(HTML), body, is_refusal=is_refusal) is not None


def test_a_page_that_means_harm_costs_little() -> None:
    assert not who_blocks(CIMultiDict(HTML), b"<title" * 20_000 + b"<script" * 18_000)
    assert who_blocks(
        CIMultiDict(HTML), b"<html>px-captcha id=px-captcha" + b"<script" * 30_000 + b"<" * 10_000
    )
