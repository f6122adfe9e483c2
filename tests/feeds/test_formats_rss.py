"""RSS of every age and habit: which of an item's many elements is its id, page, text, time and author."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from alerts.errors import NotAFeed
from alerts.feeds.formats import FeedEntry, ParsedFeed, parse

URL = "https://news.example/rss"
MODULES = (
    'xmlns:content="http://purl.org/rss/1.0/modules/content/" xmlns:dc="http://purl.org/dc/elements/1.1/" '
    'xmlns:dcterms="http://purl.org/dc/terms/" xmlns:atom="http://www.w3.org/2005/Atom" '
    'xmlns:media="http://search.yahoo.com/mrss/" xmlns:itunes="http://www.itunes.com/dtds/podcast-1.0.dtd" '
    'xmlns:sy="http://purl.org/rss/1.0/modules/syndication/" '
    'xmlns:feedburner="http://rssnamespace.org/feedburner/ext/1.0"'
)


def read(document: str | bytes, url: str = URL) -> ParsedFeed:
    return parse(document.encode() if isinstance(document, str) else document, url, "application/rss+xml")


def channel(inner: str, attributes: str = MODULES) -> ParsedFeed:
    return read(f'<?xml version="1.0"?><rss version="2.0" {attributes}><channel>{inner}</channel></rss>')


def item(inner: str) -> FeedEntry:
    parsed = channel(f"<item>{inner}</item>")
    assert len(parsed.entries) == 1
    return parsed.entries[0]


@pytest.mark.parametrize(
    "root",
    [
        '<rss version="0.91">',
        '<!DOCTYPE rss PUBLIC "-//Netscape Communications//DTD RSS 0.91//EN" "rss-0.91.dtd"><rss version="0.91">',
        '<rss version="0.92">',
        '<rss version="0.93">',
        '<rss version="0.94">',
        "<rss>",
        '<rss xmlns="http://backend.userland.com/rss2">',
        '<rss xmlns="http://blogs.law.harvard.edu/tech/rss">',
        '<rss version="2.0" xmlns="http://www.w3.org/2005/Atom">',
        '<RSS Version="2.0">',
    ],
)
def test_reads_every_age_of_rss(root: str) -> None:
    parsed = read(f"{root}<channel><title>Harbour</title><item><title>One</title></item></channel></rss>")
    assert (parsed.format, parsed.title, parsed.warnings) == ("rss", "Harbour", ())
    assert [entry.title for entry in parsed.entries] == ["One"]


@pytest.mark.parametrize(
    "document",
    [
        "<r:rss xmlns:r='http://purl.org/rss/1.0/'><r:item><r:title>One</r:title><r:guid>1</r:guid></r:item></r:rss>",
        "<rss><channel></channel><item><title>One</title><guid>1</guid></item></rss>",
        "<rss><channel><items><item><title>One</title><guid>1</guid></item></items></channel></rss>",
        "<channel><item><title>One</title><guid>1</guid></item></channel>",
        "<rss><channel><Item><TITLE>One</TITLE><GUID>1</GUID></Item></channel></rss>",
    ],
    ids=["a prefix", "beside the channel", "in a list", "no root", "capitals"],
)
def test_finds_the_items_wherever_they_stand(document: str) -> None:
    parsed = read(document)
    assert [(entry.key, entry.title) for entry in parsed.entries] == [("1", "One")]


def test_reads_rss_1() -> None:
    parsed = read(
        '<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#" xmlns="http://purl.org/rss/1.0/" '
        'xmlns:dc="http://purl.org/dc/elements/1.1/"><channel rdf:about="https://news.example/rdf">'
        "<title>Harbour</title><link>https://news.example/</link></channel>"
        '<item rdf:about="https://news.example/1"><title>One</title><link>https://news.example/1</link>'
        "<description>Text</description><dc:creator>A. Reporter</dc:creator><dc:date>2026-11-22T08:01+01:00</dc:date>"
        "</item></rdf:RDF>"
    )
    assert (parsed.format, parsed.title, parsed.url) == ("rss", "Harbour", "https://news.example/")
    entry = parsed.entries[0]
    assert (entry.key, entry.url, entry.title, entry.text, entry.author) == (
        "https://news.example/1",
        "https://news.example/1",
        "One",
        "Text",
        "A. Reporter",
    )
    assert entry.published_at == datetime(2026, 11, 22, 7, 1, tzinfo=UTC)


def test_reads_rss_090() -> None:
    parsed = read(
        '<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#" '
        'xmlns="http://my.netscape.com/rdf/simple/0.9/"><channel><title>Harbour</title></channel>'
        "<item><title>One</title><link>https://news.example/1</link></item></rdf:RDF>"
    )
    assert [(entry.key, entry.url) for entry in parsed.entries] == [(None, "https://news.example/1")]


def test_takes_no_rdf_of_another_vocabulary_for_rss() -> None:
    with pytest.raises(NotAFeed):
        read(
            '<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#" '
            'xmlns:foaf="http://xmlns.com/foaf/0.1/"><foaf:Person><foaf:name>A</foaf:name></foaf:Person></rdf:RDF>'
        )


@pytest.mark.parametrize(
    ("inner", "key", "url"),
    [
        ("<guid>https://news.example/1</guid>", "https://news.example/1", "https://news.example/1"),
        ("<guid isPermaLink='false'>https://news.example/1</guid>", "https://news.example/1", ""),
        (
            "<guid ispermalink='TRUE'>https://news.example/1</guid>",
            "https://news.example/1",
            "https://news.example/1",
        ),
        ("<guid>17</guid>", "17", ""),
        ("<guid>17</guid><link>/1</link>", "17", "https://news.example/1"),
        (
            "<link>https://news.example/1</link><link>https://news.example/2</link>",
            None,
            "https://news.example/2",
        ),
        ("<link href='https://news.example/1'/>", None, "https://news.example/1"),
        ("<link><![CDATA[ https://news.example/1?a=1&b=2 ]]></link>", None, "https://news.example/1?a=1&b=2"),
        ("<link>https://news.example/1?a=1&b=2</link>", None, "https://news.example/1?a=1&b=2"),
        (
            "<atom:link rel='alternate' href='/1'/><atom:link rel='self' href='/x'/>",
            None,
            "https://news.example/1",
        ),
        ("<atom:link rel='self' href='/x'/>", None, ""),
        ("<atom:id>tag:news.example,2026:1</atom:id>", "tag:news.example,2026:1", ""),
        ("<link xml:base='https://other.example/a/'>b</link>", None, "https://other.example/a/b"),
        ("<link>javascript:alert(1)</link>", None, ""),
        (
            "<guid isPermaLink='false'>1</guid><feedburner:origLink>https://news.example/1</feedburner:origLink>",
            "1",
            "https://news.example/1",
        ),
        ("<source url='https://other.example/rss'>Other</source><guid> </guid>", None, ""),
    ],
)
def test_tells_the_id_from_the_page(inner: str, key: str | None, url: str) -> None:
    entry = item(f"<title>One</title>{inner}")
    assert (entry.key, entry.url) == (key, url)


@pytest.mark.parametrize(
    ("inner", "text"),
    [
        ("<description>short</description><content:encoded>long</content:encoded>", "long"),
        ("<content:encoded>long</content:encoded><description>short</description>", "long"),
        ("<content:encoded> </content:encoded><description>short</description>", "short"),
        ("<content:encoded>&lt;img src='x'></content:encoded><description>short</description>", "short"),
        ("<itunes:summary>spoken</itunes:summary>", "spoken"),
        ("<media:group><media:description type='plain'>filmed</media:description></media:group>", "filmed"),
        ("<media:content><media:description>filmed</media:description></media:content>", "filmed"),
        ("<dc:description>words</dc:description>", "words"),
        ("<atom:summary>words</atom:summary>", "words"),
        ("<body xmlns='http://www.w3.org/1999/xhtml'><p>One</p><p>Two</p></body>", "One\n\nTwo"),
        ("<fullitem>&lt;p>full&lt;/p></fullitem><description>short</description>", "full"),
        ("<description>&amp;lt;p&amp;gt;One &amp;amp;amp; two&amp;lt;/p&amp;gt;</description>", "One & two"),
        ("<description><![CDATA[<p>One &amp; two</p>]]></description>", "One & two"),
        ("<description>One <b>and</b> two</description>", "One and two"),
        ("<description><![CDATA[<p>One</p>]]> <br/> <![CDATA[<p>two</p>]]></description>", "One\n\ntwo"),
        ("<description>A &lt; B, use &lt;b&gt; for bold</description>", "A < B, use <b> for bold"),
        ("<description>Ca&ntilde;&oacute;n &eacute;t&#233; &nbsp;&hellip;</description>", "Cañón été …"),
    ],
)
def test_reads_the_fullest_text(inner: str, text: str) -> None:
    assert item(inner).text == text


@pytest.mark.parametrize(
    ("inner", "title"),
    [
        ("<title>1 &lt; 2</title>", "1 < 2"),
        ("<title>History of the &lt;blink&gt; tag</title>", "History of the <blink> tag"),
        ("<title>The &lt;em&gt;tide&lt;/em&gt;</title>", "The tide"),
        ("<title>Tide &amp;amp;amp; time</title>", "Tide & time"),
        ("<title><![CDATA[Tide & time]]></title>", "Tide & time"),
        ("<title>AT&T</title>", "AT&T"),
        ("<media:title>Film</media:title>", "Film"),
        ("<title>One</title><media:title>Film</media:title>", "One"),
        ("<image><title>Picture</title></image><title>One</title>", "One"),
        ("<title/><dc:title>Two</dc:title>", "Two"),
    ],
)
def test_reads_titles_that_are_words_and_titles_that_are_markup(inner: str, title: str) -> None:
    assert item(inner).title == title


@pytest.mark.parametrize(
    ("inner", "author"),
    [
        ("<author>desk@news.example (A. Reporter)</author>", "A. Reporter"),
        ("<author>A. Reporter &lt;desk@news.example&gt;</author>", "A. Reporter"),
        ("<author>desk@news.example</author><dc:creator>A. Reporter</dc:creator>", "A. Reporter"),
        ("<author>desk@news.example</author>", "desk@news.example"),
        ("<dc:creator>A</dc:creator><dc:creator>B</dc:creator>", "A, B"),
        ("<atom:author><atom:name>A</atom:name><atom:email>a@news.example</atom:email></atom:author>", "A"),
        ("<itunes:author>A</itunes:author>", "A"),
    ],
)
def test_reads_the_author_by_name(inner: str, author: str) -> None:
    assert item(inner).author == author


@pytest.mark.parametrize(
    ("inner", "published", "updated"),
    [
        ("<pubDate>Sun, 22 Nov 2026 08:01:00 +0100</pubDate>", 1, None),
        ("<dc:date>2026-11-22T08:01:00+01:00</dc:date>", 1, 1),
        (
            "<dcterms:issued>2026-11-22T07:01:00Z</dcterms:issued><dcterms:modified>2026-11-22T07:05Z</dcterms:modified>",
            1,
            5,
        ),
        ("<pubDate>whenever</pubDate><dc:date>2026-11-22T07:01:00Z</dc:date>", 1, 1),
        ("<atom:updated>2026-11-22T07:05:00Z</atom:updated>", None, 5),
        (
            "<atom:published>2026-11-22T07:02:00Z</atom:published><pubDate>Sun, 22 Nov 2026 07:01 GMT</pubDate>",
            1,
            None,
        ),
    ],
)
def test_reads_times_from_whichever_module_has_them(
    inner: str, published: int | None, updated: int | None
) -> None:
    def at(minute: int | None) -> datetime | None:
        return None if minute is None else datetime(2026, 11, 22, 7, minute, tzinfo=UTC)

    entry = item(inner)
    assert (entry.published_at, entry.updated_at) == (at(published), at(updated))


def test_makes_links_absolute_by_the_nearest_base() -> None:
    entry = item("<description xml:base='https://other.example/a/'>&lt;a href='b'>x&lt;/a></description>")
    assert entry.html == '<p><a href="https://other.example/a/b">x</a></p>'


@pytest.mark.parametrize(
    ("inner", "refresh"),
    [
        ("<ttl>15</ttl>", timedelta(minutes=15)),
        ("<ttl> 60 </ttl><sy:updatePeriod>daily</sy:updatePeriod>", timedelta(hours=1)),
        (
            "<sy:updatePeriod>hourly</sy:updatePeriod><sy:updateFrequency>4</sy:updateFrequency>",
            timedelta(minutes=15),
        ),
        ("<sy:updatePeriod>daily</sy:updatePeriod>", timedelta(days=1)),
        (
            "<sy:updatePeriod>daily</sy:updatePeriod><sy:updateFrequency>-1</sy:updateFrequency>",
            timedelta(days=1),
        ),
        ("<ttl>0</ttl>", None),
        ("<ttl>-5</ttl>", None),
        ("<ttl>often</ttl>", None),
        ("<ttl>" + "9" * 5000 + "</ttl>", None),
        ("<ttl>999999</ttl>", timedelta(days=365)),
        ("", None),
    ],
)
def test_reads_how_often_it_may_be_asked(inner: str, refresh: timedelta | None) -> None:
    assert channel(inner).refresh == refresh


def test_reads_hub_and_topic() -> None:
    parsed = channel(
        "<atom:link rel='self' href='https://news.example/rss?all'/>"
        "<atom:link rel='hub' href='https://hub.example/'/><atom:link rel='hub' href='https://second.example/'/>"
        "<cloud domain='cloud.example' port='80' path='/' registerProcedure='' protocol='http-post'/>"
    )
    assert (parsed.hub, parsed.topic_url) == ("https://hub.example/", "https://news.example/rss?all")


def test_hears_a_series_say_that_it_is_complete() -> None:
    assert channel("<itunes:complete>Yes</itunes:complete>").is_ended
    assert not channel("<itunes:complete>no</itunes:complete>").is_ended


@pytest.mark.parametrize(
    "inner",
    [
        "<category>Key event</category>",
        "<atom:category term='key-event'/>",
        "<media:keywords>sea, key event</media:keywords>",
    ],
)
def test_hears_a_feed_flag_its_key_events(inner: str) -> None:
    parsed: Any = channel(f"<item><title>One</title>{inner}</item><item><title>Two</title></item>")
    assert [entry.is_key_event for entry in parsed.entries] == [True, False]


def test_reads_an_embedded_message_with_its_language_and_tooltips() -> None:
    """Each embedded tweet says `lang`; neither words nor mails may carry that."""
    entry = item(
        "<title>Fog</title><description><![CDATA[<p>He wrote:</p><blockquote class='twitter-tweet' data-lang='en'>"
        "<p lang='en' dir='ltr'>Fog &amp; rain</p>&mdash; Port (@port) <a href='https://t.example/1' title='t'>Sunday</a>"
        "</blockquote><div lang='fr'><abbr title='Port Authority'>PA</abbr></div>]]></description>"
    )
    assert entry.text == "He wrote:\n\nFog & rain\n\n\u2014 Port (@port) Sunday\n\nPA"
    assert entry.html == (
        "<p>He wrote:</p><blockquote><p>Fog &amp; rain</p>\u2014 Port (@port) "
        '<a href="https://t.example/1">Sunday</a></blockquote>PA'
    )


def test_keeps_the_lines_of_what_is_preformatted() -> None:
    entry = item(
        "<description><![CDATA[<p>One\nline.</p><pre class='x'><code>a = 1\nb = 2\n</code></pre>]]></description>"
    )
    assert entry.text == "One line.\n\na = 1\nb = 2"


@pytest.mark.parametrize("tag", ["&lt;div&gt;", "&amp;lt;img&amp;gt;"])
def test_takes_a_tag_that_a_headline_names_for_words(tag: str) -> None:
    assert item(f"<title>How to centre a {tag}</title>").title in {
        "How to centre a <div>",
        "How to centre a <img>",
    }
