"""What is no feed is refused in one line that says what it looks like and what to do."""

import pytest

from alerts.errors import NotAFeed
from alerts.feeds.formats import parse


def page(head: str = "", body: str = "") -> bytes:
    return f"<!doctype html><html><head>{head}</head><body>{body}</body></html>".encode()


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"", "the answer is empty"),
        (b"\xef\xbb\xbf \n\x00", "the answer is empty"),
        (b"%PDF-1.7", "a PDF document"),
        (b"\x89PNG\r\n\x1a\n", "a picture"),
        (b"\x1f\x8b\x08\x00", "compressed data"),
        (page("<title>Just a moment...</title>"), "a check for robots. Ask its operators"),
        (page("", "<script src='/cdn-cgi/challenge-platform/x.js'></script>"), "a check for robots"),
        (page("<title>Access Denied</title>"), "a check for robots"),
        (page("", "<form><input name='p' type='password'></form>"), "asks for a password"),
        (page("<title>Harbour</title>"), "a web page without schema.org LiveBlogPosting"),
        (
            page("<link rel='alternate' type='application/atom+xml' href='/a'>"),
            "It names a feed: https://news.example/a",
        ),
        (
            page("<link rel='alternate' type='application/rss+xml' href='/r'>", "<input type=password>"),
            "It names a feed: https://news.example/r",
        ),
        (b'<opml><body><outline xmlUrl="https://news.example/rss"/></body></opml>', "OPML, a list of feeds"),
        (
            b'<opml><body><outline xmlUrl="https://news.example/rss"/></body></opml>',
            "The first is https://news.example/rss",
        ),
        (b"<urlset xmlns='http://www.sitemaps.org/schemas/sitemap/0.9'><url/></urlset>", "a sitemap"),
        (b"<sitemapindex/>", "a list of sitemaps"),
        (b"<redirect><newLocation>https://news.example/new</newLocation></redirect>", "has moved"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "a picture"),
        (b"<cows><cow/></cows>", "markup that is neither"),
        (b'{"error": "no"}', "JSON, but neither"),
        (b"hello", "neither a live blog's page"),
    ],
)
def test_says_what_it_looks_like_and_the_way_out(body: bytes, words: str) -> None:
    with pytest.raises(NotAFeed) as refused:
        parse(body, "https://news.example/page", "")
    assert words in str(refused.value)
    assert "\n" not in str(refused.value)
