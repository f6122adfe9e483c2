"""Each format as publishers fill it, and the slips that are common; all content is fictional."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from alerts.errors import NotAFeed
from alerts.feeds.formats import FeedEntry, ParsedFeed, parse

URL = "https://news.example/harbour-live"


def html(*scripts: str, body: str = "", kind: str = "application/ld+json") -> bytes:
    tags = "".join(f'<script type="{kind}">{script}</script>' for script in scripts)
    return f"<!doctype html><html><head>{tags}</head><body>{body}</body></html>".encode()


def script(document: Any) -> str:
    return json.dumps(document).replace("</", "<\\/")


def posting(*updates: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return {
        "@context": "https://schema.org",
        "@type": "LiveBlogPosting",
        "url": URL,
        "headline": "Harbour live",
        "liveBlogUpdate": list(updates),
    } | fields


def update(number: int = 1, **fields: Any) -> dict[str, Any]:
    return {
        "@type": "BlogPosting",
        "url": f"{URL}#{number}",
        "headline": f"Report {number}",
        "articleBody": f"Text {number}.",
        "datePublished": f"2026-11-22T08:{number:02}:00+01:00",
    } | fields


def read(document: Any, **kwargs: Any) -> ParsedFeed:
    return parse(html(script(document), **kwargs), URL, "text/html; charset=utf-8")


def only(parsed: ParsedFeed) -> FeedEntry:
    assert len(parsed.entries) == 1
    return parsed.entries[0]


def rss(items: str, *, channel: str = "<title>Harbour</title>", version: str = "2.0") -> ParsedFeed:
    body = f'<?xml version="1.0"?><rss version="{version}"><channel>{channel}{items}</channel></rss>'
    return parse(body.encode(), "https://news.example/rss", "application/rss+xml")


def atom(entries: str) -> ParsedFeed:
    body = f'<feed xmlns="http://www.w3.org/2005/Atom"><title>Harbour</title>{entries}</feed>'
    return parse(body.encode(), "https://news.example/atom", "application/atom+xml")


def json_feed(*items: Any, **fields: Any) -> ParsedFeed:
    document = {
        "version": "https://jsonfeed.org/version/1.1",
        "title": "Harbour",
        "items": list(items),
    } | fields
    return parse(json.dumps(document).encode(), "https://news.example/feed.json", "application/feed+json")


# Live blogs


def test_reads_a_live_blog_whole() -> None:
    parsed = read(
        posting(
            update(
                1, author=[{"@type": "Person", "name": "A. Reporter"}], dateModified="2026-11-22T07:05:00Z"
            ),
            coverageStartTime="2026-11-22T07:00:00Z",
            coverageEndTime="2026-11-22T09:00:00+01:00",
        )
    )
    assert (parsed.format, parsed.is_live_blog, parsed.title, parsed.url) == (
        "live-blog",
        True,
        "Harbour live",
        URL,
    )
    assert parsed.coverage_start == datetime(2026, 11, 22, 7, tzinfo=UTC)
    assert parsed.coverage_end == datetime(2026, 11, 22, 8, tzinfo=UTC)
    assert parsed.warnings == ()
    assert only(parsed) == FeedEntry(
        key=None,
        url=f"{URL}#1",
        title="Report 1",
        text="Text 1.",
        html="<p>Text 1.</p>",
        author="A. Reporter",
        published_at=datetime(2026, 11, 22, 7, 1, tzinfo=UTC),
        updated_at=datetime(2026, 11, 22, 7, 5, tzinfo=UTC),
        is_key_event=None,
        is_correction=False,
    )


@pytest.mark.parametrize(
    "document",
    [
        posting(update()),
        [posting(update())],
        {"@graph": [{"@type": "WebPage"}, posting(update())]},
        posting() | {"liveBlogUpdate": update()},
        posting(update()) | {"@type": ["NewsArticle", "LiveBlogPosting"]},
        posting(update()) | {"@type": "schema:LiveBlogPosting"},
        {"@graph": [posting({"@id": "#one"}), update() | {"@id": "#one"}]},
    ],
    ids=["object", "array", "graph", "one update", "two types", "prefix", "reference"],
)
def test_finds_the_live_blog_wherever_it_stands(document: Any) -> None:
    assert only(read(document)).title == "Report 1"


@pytest.mark.parametrize(
    "wrapping",
    [
        "<!-- {} -->",
        "//<![CDATA[\n{}\n//]]>",
        "/*<![CDATA[*/{}/*]]>*/",
        "{};",
        "{} }}",
        "\ufeff{}",
    ],
)
def test_forgives_what_stands_around_the_json(wrapping: str) -> None:
    document = json.dumps(posting(update()))
    parsed = parse(html(wrapping.replace("{}", document, 1).replace("}}", "}")), URL, "text/html")
    assert only(parsed).title == "Report 1"


def test_forgives_line_ends_in_strings_and_trailing_commas() -> None:
    broken = json.dumps(posting(update(articleBody="One@Two"))).replace("@Two", "\n\nTwo")
    broken = broken.replace("}]", "},]")
    assert only(parse(html(broken), URL, "")).text == "One\n\nTwo"


def test_reads_the_good_script_beside_a_broken_one_and_says_so() -> None:
    parsed = parse(html('{"@type": "NewsArticle", ', json.dumps(posting(update()))), URL, "")
    assert only(parsed).title == "Report 1"
    assert parsed.warnings == ("1 blocks of JSON-LD are damaged and were left out",)


def test_counts_a_blog_given_twice_once() -> None:
    twice = (json.dumps(posting(update(), url=f"{URL}{end}")) for end in ("", "/amp"))
    parsed = parse(html(*twice), URL, "")
    assert len(parsed.entries) == 1
    assert "2 live blogs or copies" in parsed.warnings[0]


def test_knows_a_live_blog_that_has_not_begun() -> None:
    parsed = read(posting())
    assert parsed.is_live_blog
    assert parsed.entries == ()
    assert parsed.warnings == ("the live blog has no entries yet",)


def test_leaves_empty_updates_out() -> None:
    parsed = read(posting({}, update(), {"@type": "BlogPosting"}))
    assert only(parsed).title == "Report 1"
    assert "2 updates are empty and were left out" in parsed.warnings


def test_takes_an_id_that_is_an_address_for_the_url() -> None:
    entry = only(read(posting({"@id": f"{URL}#asset:1f", "articleBody": "Text."})))
    assert (entry.key, entry.url) == (f"{URL}#asset:1f", f"{URL}#asset:1f")


def test_warns_of_headlines_and_times_that_are_the_pages() -> None:
    same = {"headline": "Harbour live", "datePublished": "2026-11-22T07:00:00Z"}
    warnings = read(posting(update(1, **same), update(2, **same))).warnings
    assert warnings == (
        "every entry carries the page's headline instead of its own",
        "every entry carries the same time: probably the page's",
    )


@pytest.mark.parametrize("author", ["A. Reporter", {"name": "A. Reporter"}, [{"name": ["A. Reporter"]}] * 2])
def test_reads_an_author_in_every_shape(author: Any) -> None:
    assert only(read(posting(update(author=author)))).author == "A. Reporter"


@pytest.mark.parametrize(
    ("body", "text", "markup"),
    [
        (
            "Plain & simple.\n\nTwo lines\nhere.",
            "Plain & simple.\n\nTwo lines\nhere.",
            "<p>Plain &amp; simple.</p><p>Two lines<br>here.</p>",
        ),
        ("<p>One</p><p>Two<br>three</p>", "One\n\nTwo\nthree", "<p>One</p><p>Two<br>three</p>"),
        ("&lt;p&gt;One &amp;amp; two&lt;/p&gt;", "One & two", "<p>One &amp; two</p>"),
        ("The port&amp;apos;s word", "The port's word", "<p>The port&apos;s word</p>"),
        ("<b>One</b>\n\nTwo", "One\n\nTwo", "<p><b>One</b></p><p>Two</p>"),
        ("<ul><li>One</li><li>Two</li></ul>", "One\nTwo", "<ul><li>One</li><li>Two</li></ul>"),
        ("3 < 4 and <3", "3 < 4 and <3", "<p>3 &lt; 4 and &lt;3</p>"),
        ('<img src="https://x.example/i.png" onload="x()">', "", ""),
        ("<script>alert(1)</script>", "", ""),
    ],
)
def test_reads_bodies_escaped_once_twice_or_not_at_all(body: str, text: str, markup: str) -> None:
    entry = only(read(posting(update(articleBody=body))))
    assert entry.text == text
    assert entry.html.replace("'", "&apos;") == markup


def test_keeps_web_and_mail_links_only_and_makes_them_absolute() -> None:
    body = (
        '<a href="/a" onclick="x()" target="_blank">a</a> <a href="javascript:x()">b</a> '
        '<a href="data:text/html,x">c</a> <a href="mailto:desk@news.example">d</a> <a href="http://[bad">e</a>'
    )
    assert only(read(posting(update(articleBody=f"<p>{body}</p>")))).html == (
        '<p><a href="https://news.example/a">a</a> <a>b</a> <a>c</a> '
        '<a href="mailto:desk@news.example">d</a> <a>e</a></p>'
    )


def test_drops_what_no_database_can_hold() -> None:
    entry = only(
        read(posting(update(headline="One\x00 \ud800two", articleBody="a\x00b\udfff", author="\x07x")))
    )
    assert "\x00" not in entry.title + entry.text + entry.html + entry.author
    assert (entry.title + entry.text).encode("utf-8")


def test_reads_a_naive_time_in_the_documents_one_zone() -> None:
    parsed = read(posting(update(1), update(2, datePublished="2026-11-22T08:30:00")))
    assert parsed.entries[1].published_at == datetime(2026, 11, 22, 7, 30, tzinfo=UTC)
    assert parsed.warnings == ("1 times name no zone and were read as the zone of its other times",)


def test_reads_naive_times_as_utc_when_no_zone_is_named() -> None:
    parsed = read(posting(update(1, datePublished="2026-11-22T08:30:00")))
    assert only(parsed).published_at == datetime(2026, 11, 22, 8, 30, tzinfo=UTC)
    assert parsed.warnings == ("1 times name no zone and were read as UTC",)


@pytest.mark.parametrize(
    "time", ["soon", "0000-00-00", "2026-13-40T00:00:00Z", "9999-12-31T23:59:59-10:00", [], {}]
)
def test_never_makes_a_time_up(time: Any) -> None:
    assert only(read(posting(update(1, datePublished=time)))).published_at is None


@pytest.mark.parametrize(
    "time", [1795330860000, 1795330860, "1795330860000", "2026-11-22T07:01:00.000000000Z"]
)
def test_reads_times_in_other_notations(time: Any) -> None:
    assert only(read(posting(update(1, datePublished=time)))).published_at == datetime(
        2026, 11, 22, 7, 1, tzinfo=UTC
    )


@pytest.mark.parametrize(
    ("headline", "body", "is_correction"),
    [
        ("Correction: the ferry left at nine", "", True),
        ("CORRECTION The ferry left at nine", "", True),
        ("The ferry", "This post has been amended to say nine.", True),
        ("The ferry", "Correction (14:30): it left at nine.", True),
        ("The ferry", "An earlier version of this post said ten.", True),
        ("Corrections officers walk out", "", False),
        ("Correction of the course costs an hour", "", False),
        ("The ferry", "It left at nine. Correction: ten.", False),
    ],
)
def test_knows_a_correction_by_how_it_begins(headline: str, body: str, is_correction: bool) -> None:
    assert only(read(posting(update(headline=headline, articleBody=body)))).is_correction is is_correction


@pytest.mark.parametrize("document", [{"@type": "NewsArticle", "headline": "Harbour"}, {"@type": "Event"}])
def test_takes_no_article_for_a_live_blog(document: dict[str, str]) -> None:
    with pytest.raises(NotAFeed, match="without schema"):
        read(document)


def test_names_the_feed_that_a_plain_page_names() -> None:
    page = b'<html><head><link rel="alternate" type="application/rss+xml" href="/rss"></head></html>'
    with pytest.raises(NotAFeed, match=r"It names a feed: https://news\.example/rss"):
        parse(page, URL, "text/html")


# Key events


@pytest.mark.parametrize(
    "block",
    [
        '<div class="key-points"><a href="#2">x</a></div>',
        '<section id="keyEvents"><a href="https://news.example/harbour-live#2">x</a></section>',
        '<div class="live-key-events"><a data-id="2">x</a></div>',
        '<div data-testid="summary"><a href="#other">Report 2</a></div>',
        "<div><h2>Key points</h2><ul><li><a href='#2'>x</a></li></ul></div>",
        '<article id="2" data-type="key-event"></article>',
    ],
)
def test_takes_key_events_from_the_page(block: str) -> None:
    parsed = read(posting(update(1), update(2), update(3)), body=block)
    assert [entry.is_key_event for entry in parsed.entries] == [False, True, False]
    assert parsed.entries[1].key_event_by in {"block", "feed"}


@pytest.mark.parametrize(
    "block",
    [
        "",
        '<div class="related"><a href="#2">x</a></div>',
        '<div class="key-points"><a href="#elsewhere">x</a></div>',
        '<div class="key-points">' + "".join(f'<a href="#{n}">x</a>' for n in (1, 2, 3, 4)) + "</div>",
    ],
    ids=["no block", "another block", "no entry of ours", "a table of contents"],
)
def test_leaves_key_events_unknown_otherwise(block: str) -> None:
    parsed = read(posting(*(update(n) for n in (1, 2, 3, 4))), body=block)
    assert {entry.is_key_event for entry in parsed.entries} == {None}


def test_marks_a_pinned_copy_like_its_original() -> None:
    parsed = read(
        posting(update(1), update(3), update(2), update(1)),
        body='<div class="key-points"><a href="#1">x</a></div>',
    )
    assert [entry.is_key_event for entry in parsed.entries] == [True, False, False, True]


# RSS


def test_reads_rss() -> None:
    parsed = rss(
        "<item><guid isPermaLink='false'>abc</guid><link>https://news.example/1</link><title>Tide &amp;amp; time</title>"
        "<description>short</description><content:encoded xmlns:content='http://purl.org/rss/1.0/modules/content/'>"
        "<![CDATA[<p>Long <a href='/x'>text</a></p>]]></content:encoded>"
        "<pubDate>Sun, 22 Nov 2026 08:01:00 +0100</pubDate><author>desk@news.example (A. Reporter)</author></item>",
        channel="<title>Harbour</title><link>https://news.example/</link>",
    )
    assert (parsed.format, parsed.is_live_blog, parsed.url) == ("rss", False, "https://news.example/")
    entry = only(parsed)
    assert (entry.key, entry.url, entry.title) == ("abc", "https://news.example/1", "Tide & time")
    assert (entry.text, entry.html) == ("Long text", '<p>Long <a href="https://news.example/x">text</a></p>')
    assert entry.published_at == datetime(2026, 11, 22, 7, 1, tzinfo=UTC)
    assert entry.updated_at is None, "feedparser would fill it from the other"
    assert entry.author == "A. Reporter"


def test_takes_no_bare_guid_for_a_link() -> None:
    entry = only(rss("<item><guid>abc</guid><title>One</title></item>"))
    assert (entry.key, entry.url) == ("abc", "")


def test_takes_a_permalink_for_the_link() -> None:
    entry = only(rss("<item><guid>https://news.example/1</guid><title>One</title></item>"))
    assert (entry.key, entry.url) == ("https://news.example/1", "https://news.example/1")


def test_takes_no_empty_guid_for_an_id() -> None:
    assert only(rss("<item><guid> </guid><title>One</title></item>")).key is None


@pytest.mark.parametrize("version", ["0.91", "0.92", "2.0"])
def test_reads_the_elders_of_rss(version: str) -> None:
    assert only(rss("<item><title>One</title></item>", version=version)).title == "One"


def test_reads_rss_1_with_its_one_date() -> None:
    body = (
        b'<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#" xmlns="http://purl.org/rss/1.0/" '
        b'xmlns:dc="http://purl.org/dc/elements/1.1/"><item rdf:about="https://news.example/1"><title>One</title>'
        b"<dc:date>2026-11-22T07:01:00Z</dc:date></item></rdf:RDF>"
    )
    assert only(parse(body, URL, "")).published_at == datetime(2026, 11, 22, 7, 1, tzinfo=UTC)


def test_reads_a_category_as_the_feeds_own_flag() -> None:
    parsed = rss(
        "<item><title>One</title><category>Key event</category></item><item><title>Two</title></item>"
    )
    assert [entry.is_key_event for entry in parsed.entries] == [True, False]
    assert parsed.entries[0].key_event_by == "feed"


def test_opens_no_file_named_by_an_entity(tmp_path: Any) -> None:
    secret = tmp_path / "secret"
    secret.write_text("the secret")
    body = (
        f'<!DOCTYPE rss [<!ENTITY x SYSTEM "{secret.as_uri()}">]>'
        "<rss version='2.0'><channel><item><title>One &x;</title></item></channel></rss>"
    )
    assert "the secret" not in repr(parse(body.encode(), URL, ""))


def test_opens_no_file_named_by_the_body(tmp_path: Any) -> None:
    feed = tmp_path / "feed.xml"
    feed.write_text("<rss version='2.0'><channel><title>x</title></channel></rss>")
    with pytest.raises(NotAFeed):
        parse(str(feed).encode(), URL, "")


# Atom


def test_reads_atom() -> None:
    parsed = atom(
        "<entry><id>tag:news.example,2026:1</id><link href='/1'/><title type='html'>Tide &amp;amp; time</title>"
        "<content type='xhtml'><div xmlns='http://www.w3.org/1999/xhtml'><p>Text</p></div></content>"
        "<author><name>A. Reporter</name></author><published>2026-11-22T07:01:00.25Z</published>"
        "<updated>2026-11-22T07:05:00Z</updated></entry>"
    )
    entry = only(parsed)
    assert parsed.format == "atom"
    assert (entry.key, entry.url, entry.title, entry.text) == (
        "tag:news.example,2026:1",
        "https://news.example/1",
        "Tide & time",
        "Text",
    )
    assert entry.published_at == datetime(2026, 11, 22, 7, 1, 0, 250_000, tzinfo=UTC)
    assert entry.updated_at == datetime(2026, 11, 22, 7, 5, tzinfo=UTC)


def test_takes_declared_plain_text_at_its_word() -> None:
    entry = only(
        atom("<entry><title>Use &lt;b&gt; for bold</title><summary>Use &lt;b&gt;.</summary></entry>")
    )
    assert (entry.title, entry.text) == ("Use <b> for bold", "Use <b>.")


def test_makes_no_publication_time_of_an_update() -> None:
    entry = only(atom("<entry><title>One</title><updated>2026-11-22T07:05:00Z</updated></entry>"))
    assert entry.published_at is None


# JSON Feed


def test_reads_json_feed() -> None:
    parsed = json_feed(
        {
            "id": "1",
            "url": "https://news.example/1",
            "title": "Tide & time",
            "content_html": "<p>Text</p>",
            "authors": [{"name": "A. Reporter"}, {"name": "B. Reporter"}],
            "date_published": "2026-11-22T08:01:00+01:00",
            "tags": ["key event"],
        },
        {"id": 2, "content_text": "3 < 4 <b>", "author": {"name": "C. Reporter"}},
        home_page_url="https://news.example/",
    )
    first, second = parsed.entries
    assert (parsed.format, parsed.title, parsed.url) == ("json-feed", "Harbour", "https://news.example/")
    assert (first.key, first.title, first.text, first.author) == (
        "1",
        "Tide & time",
        "Text",
        "A. Reporter, B. Reporter",
    )
    assert (first.is_key_event, second.is_key_event) == (True, False)
    assert (second.key, second.text, second.author) == ("2", "3 < 4 <b>", "C. Reporter")


def test_leaves_items_out_that_are_no_objects() -> None:
    parsed = json_feed("x", {"id": "1", "content_text": "One"}, expired=True)
    assert only(parsed).key == "1"
    assert parsed.warnings == (
        "1 items are no objects and were left out",
        "the feed says that it is finished for good",
    )


# Everything else


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"   \n",
        b"hello",
        b"{}",
        b"[1]",
        b'{"items": []}',
        b"<opml></opml>",
        b"<html></html>",
        b"\xff\xfe\x00",
        b"\x89PNG\r\n",
        b"[" * 100_000,
        b"<a>" * 20_000,
    ],
)
def test_says_in_one_line_what_is_no_feed(body: bytes) -> None:
    with pytest.raises(NotAFeed) as refused:
        parse(body, "", "")
    assert str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("encoding", "content_type"),
    [("utf-8", ""), ("utf-16", ""), ("iso-8859-1", "text/html; charset=ISO-8859-1"), ("cp1252", "")],
)
def test_reads_pages_in_other_encodings(encoding: str, content_type: str) -> None:
    document = json.dumps(posting(update(headline="Pêche à quai")), ensure_ascii=False)
    body = html(document).decode().encode(encoding)
    assert only(parse(body, URL, content_type)).title == "Pêche à quai"


def test_cuts_a_post_that_no_mail_could_carry() -> None:
    assert len(only(read(posting(update(articleBody="& " * 1_000_000)))).text) <= 100_000


def test_bounds_the_look_for_key_points() -> None:
    blocks = '<div class="key-points">' * 20_000 + '<a href="#1">x</a>' * 20_000
    assert len(read(posting(update()), body=blocks).entries) == 1
