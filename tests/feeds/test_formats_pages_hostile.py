"""Pages of another's making: any JSON and any markup gives entries or one clear refusal, and never a hang."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alerts.errors import NotAFeed
from alerts.feeds.formats import ParsedFeed, parse
from alerts.feeds.formats.json_mending import mended
from alerts.feeds.formats.posts import MOST_ENTRIES
from fakes.live_pages import URL, page, posting, read, update

NAMES = st.sampled_from(
    [
        *(
            "@type",
            "@id",
            "@graph",
            "@list",
            "@reverse",
            "liveBlogUpdate",
            "isPartOf",
            "hasPart",
            "itemListElement",
        ),
        *(
            "item",
            "url",
            "headline",
            "articleBody",
            "datePublished",
            "author",
            "identifier",
            "coverageStartTime",
        ),
        *(
            "entries",
            "id",
            "type",
            "render",
            "timestamp",
            "entry_time",
            "refresh_interval",
            "latest_timestamp",
        ),
        *(
            "_items",
            "_id",
            "groups",
            "refs",
            "post_status",
            "blog",
            "meta",
            "published_date",
            "unpublished_date",
        ),
        *("response", "content", "blocks", "body", "requestedBodyBlocks", "bodyHtml", "published", "html"),
        *("numNewBlocks", "version", "items", "hubs", "authors", "tags", "fields", "contributors", "posts"),
    ]
)
VALUES = st.sampled_from(
    [
        "LiveBlogPosting",
        "BlogPosting",
        "liveblog",
        "new",
        "delete",
        "#a",
        "a b",
        "https://jsonfeed.org/version/1",
        URL,
    ]
)
LEAVES = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | VALUES
ANY_JSON = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(NAMES, inner, max_size=6),
    max_leaves=25,
)


def attempt(body: bytes, url: str = URL) -> ParsedFeed | None:
    """Reads a document; nothing but NotAFeed may come out of it."""
    try:
        return parse(body, url, "")
    except NotAFeed:
        return None


@given(ANY_JSON)
def test_any_json_in_a_script_gives_entries_or_a_refusal(document: Any) -> None:
    attempt(page(document))


@given(
    ANY_JSON,
    st.sampled_from([URL, "https://news.example/wp-json/liveblog/v1/7/get-key-events/", "x/client_blogs/"]),
)
def test_any_json_document_gives_entries_or_a_refusal(document: Any, url: str) -> None:
    attempt(json.dumps(document).encode(), url)


WHOLE = json.dumps(posting(update(1), update(2), "A text of its own.", author=[{"name": 'A "B" C'}]))


@given(st.integers(0, len(WHOLE)), st.integers(0, 60), st.text(alphabet='{}[]",:\\ \nab1/*', max_size=8))
def test_any_damage_gives_entries_or_a_refusal(at: int, length: int, instead: str) -> None:
    attempt(page(WHOLE[:at] + instead + WHOLE[at + length :]))


@given(st.text(alphabet='{}[]",:\\ \n/*ab1-', max_size=200))
def test_mends_any_text(text: str) -> None:
    for value in mended(text):
        assert isinstance(value, dict | list)


@given(st.integers(0, len(WHOLE) - 1))
def test_makes_no_update_of_half_a_one(at: int) -> None:
    parsed = attempt(page(WHOLE[:at]))
    whole = {("Report 1", "Text 1."), ("Report 2", "Text 2."), ("", "A text of its own.")}
    assert {(entry.title, entry.text) for entry in (parsed.entries if parsed else ())} <= whole


TAGS = st.sampled_from(
    [
        '<div itemscope itemtype="https://schema.org/LiveBlogPosting">',
        '<div itemscope itemtype="https://schema.org/LiveBlogPosting" itemref="a b">',
        '<div id="a" itemprop="liveBlogUpdate" itemscope itemref="a">',
        '<p id="b" itemprop="articleBody">',
        '<span itemprop="headline name">',
        '<a itemprop="url" href="#x">',
        '<meta itemprop="datePublished" content="2026">',
        '<div typeof="LiveBlogPosting">',
        '<div property="liveBlogUpdate" typeof>',
        "<amp-live-list>",
        "<div items>",
        '<div id="c" data-sort-time="1795330800">',
        "words",
        "</div>",
        "</p>",
        "</a>",
    ]
)


@given(st.lists(TAGS, max_size=25))
def test_any_markup_gives_entries_or_a_refusal(tags: list[str]) -> None:
    attempt(page(body="".join(tags)))


def test_reads_as_many_updates_as_no_newsroom_writes_and_says_so() -> None:
    parsed = read(posting(*({"headline": f"R {n}", "url": f"#{n}"} for n in range(20_000))))
    assert len(parsed.entries) == MOST_ENTRIES
    assert f"20000 updates are more than are read; the first {MOST_ENTRIES} were" in parsed.warnings


# The suite's own time limit ends a test that hangs: each of these took minutes or all memory before it was bounded.
@pytest.mark.parametrize(
    "body",
    [
        b'LiveBlogPosting<script type="application/ld+json">' * 100_000,
        b'LiveBlogPosting<script type="application/ld+json">{"a":</script>' * 60_000,
        page('{"@type":"LiveBlogPosting","liveBlogUpdate":' + "[" * 2_000_000),
        page('{"@type":"LiveBlogPosting","liveBlogUpdate":' * 50_000),
        page('{"@type":"LiveBlogPosting","headline":"' + '"' * 2_000_000),
        page('{"@type":"LiveBlogPosting"' + "/* " * 700_000),
        page('{"@type":"LiveBlogPosting"' + "}]" * 700_000),
        page(
            posting(update(1)),
            body="<p>this live blog has moved " + '<a href="/x">on and on and on</a>' * 100_000,
        ),
        page(posting(update(1, articleBody="this live blog is now " * 100_000))),
        page(body='<div itemscope itemtype="LiveBlogPosting">' + '<div itemprop="articleBody">x' * 10_000),
        page(body='<div itemscope itemtype="LiveBlogPosting" itemprop="liveBlogUpdate">' * 10_000),
        page(body='<div id="a" itemscope itemtype="LiveBlogPosting" itemref="a b"><p id="b">' * 10_000),
        page({"@graph": [{"@id": "a", "@type": "LiveBlogPosting", "liveBlogUpdate": {"@id": "a"}}]}),
    ],
    ids=[
        "script in script",
        "many broken scripts",
        "deep lists",
        "deep objects",
        "quotes",
        "comments",
        "brackets",
        "links",
        "a long text",
        "bodies in bodies",
        "posts in posts",
        "references in references",
        "a circle",
    ],
)
def test_comes_to_an_end(body: bytes) -> None:
    attempt(body)
