"""Atom by RFC 4287, as it was before it, and as it is filled; deletions by RFC 6721."""

import base64
from datetime import UTC, datetime

import pytest

from alerts.errors import NotAFeed
from alerts.feeds.formats import FeedEntry, ParsedFeed, parse

URL = "https://news.example/atom"
ATOM = "http://www.w3.org/2005/Atom"
ATOM_03 = "http://purl.org/atom/ns#"
XHTML = "http://www.w3.org/1999/xhtml"


def read(inner: str, namespace: str = ATOM, attributes: str = "") -> ParsedFeed:
    return parse(f'<feed xmlns="{namespace}" {attributes}>{inner}</feed>'.encode(), URL, "")


def entry(inner: str, namespace: str = ATOM) -> FeedEntry:
    parsed = read(f"<entry>{inner}</entry>", namespace)
    assert (parsed.format, len(parsed.entries), parsed.warnings) == ("atom", 1, ())
    return parsed.entries[0]


@pytest.mark.parametrize(
    ("inner", "text"),
    [
        ("<content>Use &lt;b&gt; &amp; see</content>", "Use <b> & see"),
        ("<content type='text'>Use &lt;b>bold&lt;/b></content>", "Use <b>bold</b>"),
        ("<content type='html'>&lt;p>One &amp;amp; two&lt;/p></content>", "One & two"),
        ("<content type='html'>&lt;em> &amp;lt; &lt;/em></content>", "<"),
        ("<content type='html'>The &amp;lt;blink&amp;gt; tag</content>", "The <blink> tag"),
        ("<content type='html'><![CDATA[<p>One</p>]]></content>", "One"),
        (
            f"<content type='xhtml'><div xmlns='{XHTML}'>The <i>&lt;blink&gt;</i> tag</div></content>",
            "The <blink> tag",
        ),
        (
            f"<content type='xhtml' xmlns:h='{XHTML}'><h:div><h:p>One</h:p><h:p>two</h:p></h:div></content>",
            "One\n\ntwo",
        ),
        ("<content type='html'>Some <b>bold</b> text.</content>", "Some bold text."),
        ("<content type='image/png'>iVBORw0KGgo=</content><summary>A picture</summary>", "A picture"),
        ("<content type='application/xml'><x>data</x></content><summary>Words</summary>", "Words"),
        ("<content src='/1'/><summary>Words</summary>", "Words"),
        ("<content type='html'> </content><summary>Words</summary>", "Words"),
        ("<summary>short</summary><content>long</content>", "long"),
        (
            "<g:group xmlns:g='http://search.yahoo.com/mrss/'><g:description>Film</g:description></g:group>",
            "Film",
        ),
    ],
)
def test_takes_a_text_at_the_word_of_its_type(inner: str, text: str) -> None:
    assert entry(inner).text == text


@pytest.mark.parametrize(
    ("attributes", "value", "title"),
    [
        ("", "Use &lt;b>", "Use <b>"),
        ("type='text/html' mode='escaped'", "&lt;strong>&amp;amp;&lt;/strong>", "&"),
        ("type='text/html' mode='escaped'", "&lt;strong>&#38;#38;&lt;/strong>", "&"),
        ("type='application/xhtml+xml' mode='xml'", f"<div xmlns='{XHTML}'>A <b>b</b></div>", "A b"),
        (
            "mode='base64' type='text/html'",
            base64.b64encode("<i>Flut</i> kömmt".encode()).decode(),
            "Flut kömmt",
        ),
        ("mode='base64' type='text/html'", "no base64!", ""),
    ],
)
def test_reads_atom_03_by_type_and_mode(attributes: str, value: str, title: str) -> None:
    assert entry(f"<title {attributes}>{value}</title>", ATOM_03).title == title


@pytest.mark.parametrize(
    ("inner", "url"),
    [
        ("<link href='/1'/>", "https://news.example/1"),
        (
            "<link rel='self' href='/a'/><link rel='edit' href='/b'/><link rel='alternate' href='/1'/>",
            "https://news.example/1",
        ),
        (
            "<link rel='http://www.iana.org/assignments/relation/alternate' href='/1'/>",
            "https://news.example/1",
        ),
        (
            "<link type='application/pdf' href='/a'/><link type='text/html' href='/1'/>",
            "https://news.example/1",
        ),
        ("<link hreflang='en' href='/en'/><link hreflang='de' href='/de'/>", "https://news.example/en"),
        ("<link rel='related' href='/a'/><link rel='enclosure' href='/b'/>", ""),
        ("<link rel='related' href='/a'/><id>https://news.example/1</id>", "https://news.example/1"),
        ("<id>tag:news.example,2026:1</id>", ""),
        ("<id>urn:x</id><content src='/1' type='text/html'/>", "https://news.example/1"),
        ("<link href='http://[bad'/>", ""),
    ],
)
def test_takes_the_page_among_the_links(inner: str, url: str) -> None:
    assert entry(inner).url == url


def test_resolves_links_by_every_base_around_them() -> None:
    parsed = read(
        "<entry xml:base='b/'><link href='1'/><content type='html' xml:base='../c/'>&lt;a href='d'>x&lt;/a></content></entry>",
        attributes="xml:base='https://other.example/a/'",
    )
    assert parsed.entries[0].url == "https://other.example/a/b/1"
    assert parsed.entries[0].html == '<p><a href="https://other.example/a/c/d">x</a></p>'


@pytest.mark.parametrize(
    ("inner", "namespace", "published", "updated"),
    [
        ("<published>2026-11-22T07:01:00Z</published><updated>2026-11-22T07:05:00Z</updated>", ATOM, 1, 5),
        ("<issued>2026-11-22T07:01</issued><modified>2026-11-22T07:05:00Z</modified>", ATOM_03, 1, 5),
        ("<created>2026-11-22T07:01:00Z</created>", ATOM_03, 1, None),
        ("<issued>Sun, 22 Nov 2026 07:01:00 GMT</issued>", ATOM_03, 1, None),
        ("<updated>2026-11-22T07:05:00Z</updated>", ATOM, None, 5),
    ],
)
def test_reads_times_of_both_versions(
    inner: str, namespace: str, published: int | None, updated: int | None
) -> None:
    found = read(f"<entry>{inner}</entry>", namespace).entries[0]
    moments = [time and time.minute for time in (found.published_at, found.updated_at)]
    assert moments == [published, updated]


@pytest.mark.parametrize(
    ("feed", "inner", "author"),
    [
        (
            "",
            "<author><name>A</name><email>a@news.example</email></author><author><name>B</name></author>",
            "A, B",
        ),
        ("<author><name>F</name></author>", "<author><name>A</name></author>", "A"),
        ("<author><name>F</name></author>", "", "F"),
        ("<author><name>F</name></author>", "<source><author><name>S</name></author></source>", "S"),
        ("", "<author><email>a@news.example</email></author>", "a@news.example"),
        ("", "<contributor><name>C</name></contributor>", ""),
    ],
)
def test_takes_the_authors_that_the_rfc_gives_an_entry(feed: str, inner: str, author: str) -> None:
    assert read(f"{feed}<entry><title>One</title>{inner}</entry>").entries[0].author == author


def test_takes_no_source_for_the_entry() -> None:
    found = entry(
        "<source><id>s</id><title>Source</title><link href='/s'/><updated>2020-01-01T00:00:00Z</updated></source>"
        "<id>e</id><title>One</title>"
    )
    assert (found.key, found.title, found.url, found.updated_at) == ("e", "One", "", None)


TOMBSTONES = 'xmlns:at="http://purl.org/atompub/tombstones/1.0"'


def test_reports_deleted_entries() -> None:
    parsed = read(
        '<at:deleted-entry ref="gone" when="2026-11-22T07:05:00Z"/><at:deleted-entry when="2026-11-22T07:05:00Z"/>'
        "<entry><id>here</id></entry>",
        attributes=TOMBSTONES,
    )
    assert parsed.withdrawn == ("gone",)
    assert [found.key for found in parsed.entries] == ["here"]


@pytest.mark.parametrize(("updated", "withdrawn"), [("07:04", ("a",)), ("07:05", ("a",)), ("07:06", ())])
def test_believes_the_later_of_an_entry_and_its_deletion(updated: str, withdrawn: tuple[str, ...]) -> None:
    parsed = read(
        f"<entry><id>a</id><updated>2026-11-22T{updated}:00Z</updated></entry>"
        '<at:deleted-entry ref="a" when="2026-11-22T07:05:00Z"/>',
        attributes=TOMBSTONES,
    )
    assert parsed.withdrawn == withdrawn
    assert len(parsed.entries) == 1 - len(withdrawn)


def test_reads_hub_and_topic_of_the_feed_only() -> None:
    parsed = read(
        "<link rel='hub' href='https://hub.example/'/><link rel='self' href='/atom?topic'/>"
        "<link rel='alternate' href='/'/><entry><link rel='self' href='/entry'/></entry>"
    )
    assert (parsed.hub, parsed.topic_url, parsed.url) == (
        "https://hub.example/",
        "https://news.example/atom?topic",
        "https://news.example/",
    )


@pytest.mark.parametrize(
    "document",
    [
        "<feed><entry><id>1</id><title>One</title></entry></feed>",
        f"<a:feed xmlns:a='{ATOM}'><a:entry><a:id>1</a:id><a:title>One</a:title></a:entry></a:feed>",
        f"<entry xmlns='{ATOM}'><id>1</id><title>One</title></entry>",
        f"<feed xmlns='{ATOM.upper()}/'><entry><id>1</id><title>One</title></entry></feed>",
        "<atom:feed><atom:entry><atom:id>1</atom:id><atom:title>One</atom:title></atom:entry></atom:feed>",
    ],
    ids=["no namespace", "a prefix", "one entry", "an odd address", "an undeclared prefix"],
)
def test_reads_atom_by_every_name(document: str) -> None:
    parsed = parse(document.encode(), URL, "")
    assert [(found.key, found.title) for found in parsed.entries] == [("1", "One")]


def test_leaves_an_entry_in_an_entrys_content_where_it_is() -> None:
    inner = "<entry><id>inner</id><title>Inner</title></entry>"
    parsed = read(f"<entry><id>outer</id><content type='application/atom+xml'>{inner}</content></entry>")
    assert [found.key for found in parsed.entries] == ["outer"]


def test_hears_an_archive_say_that_it_is_one() -> None:
    archive = "<fh:archive xmlns:fh='http://purl.org/syndication/history/1.0'/>"
    assert read(archive).is_ended
    assert not read("").is_ended


def test_takes_a_feed_of_something_else_for_none() -> None:
    with pytest.raises(NotAFeed):
        parse(b"<x:feed xmlns:x='urn:cattle'><x:hay/></x:feed>", URL, "")


def test_reads_a_time_with_a_fraction() -> None:
    found = entry("<published>2026-11-22T07:01:00.25+00:00</published>")
    assert found.published_at == datetime(2026, 11, 22, 7, 1, 0, 250_000, tzinfo=UTC)
