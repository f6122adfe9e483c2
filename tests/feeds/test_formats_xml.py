"""XML as it is found: damaged, cut off, hostile; whatever happens, complete entries are read and nothing hangs."""

import time
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alerts.errors import NotAFeed
from alerts.feeds.formats import ParsedFeed, parse

URL = "https://news.example/rss"
ITEMS = "".join(
    f"<item><guid>{n}</guid><title>Report {n}</title><description><![CDATA[<p>Text {n}.</p>]]></description></item>"
    for n in range(3)
)
WHOLE = f'<?xml version="1.0"?>\n<rss version="2.0"><channel><title>Harbour</title>{ITEMS}</channel></rss>'


def read(document: str) -> ParsedFeed:
    return parse(document.encode("utf-8", "surrogatepass"), URL, "")


def keys(parsed: ParsedFeed) -> list[str | None]:
    return [entry.key for entry in parsed.entries]


@given(st.integers(0, len(WHOLE)))
def test_reads_what_is_complete_of_a_document_cut_anywhere(at: int) -> None:
    whole = read(WHOLE)
    try:
        parsed = read(WHOLE[:at])
    except NotAFeed:
        assert at <= WHOLE.index("<rss version") + len('<rss version="2.0"')
        return
    complete = WHOLE[:at].count("</item>")
    assert parsed.entries == whole.entries[:complete]
    assert any("breaks off" in warning for warning in parsed.warnings) == (at < len(WHOLE))


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("\n\n  ", ""),
        ("<!-- served by cache 4 -->", ""),
        ("<br />\n<b>Warning</b>: something in <b>feed.php</b> on line <b>3</b><br />\n", ""),
        ("HTTP/1.1 200 OK\nContent-Type: text/xml\n\n", ""),
        ("\ufeff\ufeff", ""),
        ("<?php echo 1 ?>", ""),
        ("", "\n<!-- 12 queries in 0.1 s -->"),
        ("", "<script>count()</script>"),
        ("", "\x00\x00\x00"),
    ],
)
def test_reads_a_feed_with_something_around_it(before: str, after: str) -> None:
    assert keys(read(f"{before}{WHOLE}{after}")) == ["0", "1", "2"]


def test_says_that_something_else_stands_before_the_feed() -> None:
    assert read(f"Notice: x\n{WHOLE}").warnings == ("something else stands before the feed in its document",)


@pytest.mark.parametrize(
    ("inner", "title"),
    [
        ("<title>A & B < C</title>", "A & B < C"),
        ("<title>A &foo; B &#x41; &#xFFFFFF;</title>", "A &foo; B A \ufffd"),
        ("<title>It&#146;s</title>", "It\u2019s"),
        ("<title>A\x0b\x00B&#11;</title>", "AB"),
        ("<title>A<b>B</title>", "AB"),
        ("<title>A</b></title>", "A"),
        ("<title attribute=unquoted other>A</title>", "A"),
        ("<title a='>'>A</title>", "A"),
        ("<title a='x>A</title><b c='>B</b>", "A"),
        ("<title>A ]]> B</title>", "A B"),
        ("<title><![CDATA[A <![CDATA[B]]> C]]></title>", "A B C"),
        ("<title><![cdata[A & B]]></title>", "A & B"),
        ("<title>A<!-- no -->B<?x y?>C</title>", "ABC"),
    ],
)
def test_reads_through_the_damage(inner: str, title: str) -> None:
    parsed = read(
        f"<rss><channel><item><guid>0</guid>{inner}</item><item><guid>1</guid></item></channel></rss>"
    )
    assert keys(parsed) == ["0", "1"]
    assert parsed.entries[0].title == title


def test_ends_an_item_where_the_next_begins() -> None:
    parsed = read("<rss><channel><item><guid>0</guid><title>A<item><guid>1</guid></item></channel></rss>")
    assert keys(parsed) == ["0", "1"]
    assert parsed.warnings == ("the document is damaged: its tags do not match",)


def test_takes_prefixes_by_their_address_else_by_what_they_usually_mean() -> None:
    inner = "<d:creator>A</d:creator><content:encoded>Text</content:encoded><media:title>T</media:title>"
    parsed = read(
        f"<rss xmlns:d='HTTP://purl.org/dc/elements/1.1' xmlns:media='urn:wrong'><item>{inner}</item></rss>"
    )
    assert [(entry.author, entry.text, entry.title) for entry in parsed.entries] == [("A", "Text", "T")]


def test_takes_a_names_meaning_from_where_it_stands() -> None:
    parsed = read(
        "<rss><item><title xmlns='urn:other'>Other</title><x:title xmlns:x='urn:other'>Other</x:title>"
        "<title>One</title></item></rss>"
    )
    assert [entry.title for entry in parsed.entries] == ["One"]


def test_takes_plain_entities_of_the_document_and_no_others(tmp_path: Any) -> None:
    secret = tmp_path / "secret"
    secret.write_text("the secret")
    document = (
        f'<!DOCTYPE rss [<!ENTITY port "Hamburg"><!ENTITY deg "&#176;"><!ENTITY file SYSTEM "{secret.as_uri()}">'
        f'<!ENTITY lol "lol"><!ENTITY lol2 "&lol;&lol;"><!ENTITY % p "x">]>'
        "<rss><item><title>&port; &deg; &file; &lol2; &amp;port;</title></item></rss>"
    )
    assert read(document).entries[0].title == "Hamburg ° &file; &lol2; &port;"


HOSTILE = {
    "deep": "<rss><item><description>"
    + "<a>" * 200_000
    + "x"
    + "</a>" * 200_000
    + "</description></item></rss>",
    "deep in CDATA": "<rss><item><description><![CDATA[" + "<b>" * 60_000 + "]]></description></item></rss>",
    "laughs": '<!DOCTYPE rss [<!ENTITY a "ha">'
    + "".join(f'<!ENTITY a{n} "{f"&a{n - 1};" * 10}">' for n in range(1, 50))
    + "]><rss><item><title>&a49;</title></item></rss>",
    "tags": "<rss>" + "<a/>" * 500_000,
    "quotes": "<rss>" + '<a b="' * 200_000,
    "quotes in quotes": "<rss>" + "<a \"'" * 200_000,
    "attributes": "<rss " + "a" * 2_000_000 + ">",
    "many attributes": "<rss " + "a='b' " * 300_000 + ">",
    "types": "<!DOCTYPE [" * 200_000 + "<rss></rss>",
    "instructions": "<rss>" + "<?a " * 300_000,
    "comments": "<rss>" + "<!--" * 300_000,
    "references": "<rss><item><title>" + "&a" * 1_000_000 + "</title></item></rss>",
    "signs": "<" * 3_000_000,
    "prologue": "<?" * 1_000_000,
    "links": "<feed>" + "<link rel='hub' href='x'/>" * 50_000 + "</feed>",
    "bases": "<feed>" + f"<entry xml:base='{'a/' * 1_000}'>" * 90 + "</feed>",
    "authors": "<feed><entry>" + "<author><name>" + "a@" * 100_000 + "</name></author></entry></feed>",
    "dates": "<rss>" + f"<item><pubDate>{'1:' * 50_000}</pubDate></item>" * 20 + "</rss>",
}


@pytest.mark.parametrize("name", HOSTILE)
def test_bounds_its_work_whatever_the_document(name: str) -> None:
    body = HOSTILE[name].encode()
    began = time.process_time()
    with suppress(NotAFeed):
        parse(body, URL, "")
    # A second for each megabyte is a hundred times what a feed takes; the square of a size is far beyond it.
    assert time.process_time() - began < 5 + 2 * len(body) / 1_000_000


def test_reads_some_thousands_of_entries_and_says_that_there_are_more() -> None:
    items = "".join(f"<item><guid>{n}</guid></item>" for n in range(50_000))
    parsed = read(f"<rss><channel>{items}</channel></rss>")
    assert len(parsed.entries) == 5_000
    assert parsed.entries[-1].key == "4999"
    assert parsed.warnings == ("the document is too large: no more than its first 5000 entries are read",)


def test_cuts_insane_depth_and_keeps_the_words() -> None:
    parsed = read(f"<rss><item><description>{'<b>' * 1_000}deep{'</b>' * 1_000}</description></item></rss>")
    assert parsed.entries[0].text == "deep"
    assert parsed.warnings == ("elements deeper than 100 others were read as text",)


PIECES = [
    *(
        "<rss>",
        "<channel>",
        "<item>",
        "</item>",
        "<entry>",
        "<feed>",
        "</feed>",
        "<title>",
        "</title>",
        "<a b='c'/>",
    ),
    *(
        "<![CDATA[",
        "]]>",
        "<!--",
        "-->",
        "<?x",
        "<!DOCTYPE a [",
        "]>",
        "&amp;",
        "&#x41;",
        "&",
        "<",
        ">",
        '"',
        "'",
    ),
    *(
        "<guid>",
        "<link href='x'/>",
        "<pubDate>2026</pubDate>",
        "<content type='html'>",
        "xml:base='http://['",
        "\xe9\0",
    ),
]
MARKUP = st.lists(st.sampled_from(PIECES) | st.text(max_size=5), max_size=40).map("".join)


@given(
    MARKUP | st.binary(max_size=200), st.sampled_from(["", "text/xml; charset=utf-7", "text/html;charset=x"])
)
def test_any_document_is_a_feed_or_none(document: str | bytes, content_type: str) -> None:
    body = document if isinstance(document, bytes) else document.encode("utf-8", "surrogatepass")
    with suppress(NotAFeed):
        parsed = parse(body, URL, content_type)
        assert repr(parsed).encode()


@given(MARKUP)
def test_any_markup_in_an_item_leaves_the_item_before_it_alone(markup: str) -> None:
    sound = "<item><guid>sound</guid><title>One</title></item>"
    parsed = read(f"<rss><channel>{sound}<item><guid>odd</guid>{markup}")
    assert (parsed.entries[0].key, parsed.entries[0].title) == ("sound", "One")
