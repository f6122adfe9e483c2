"""The report before a feed is added, on our own documents, on any bytes, and on the practice data."""

import gzip
import json
import re
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alerts.errors import NotAFeed
from alerts.feeds.check import check
from fakes.blog import URL, Post, page

CORPUS = Path(__file__).resolve().parents[2] / "../shared/corpora/feeds"
needs_corpus = pytest.mark.skipif(
    not CORPUS.is_dir(), reason="the practice data is not beside the repository"
)
KEYS = [
    "format",
    "is_live_blog",
    "title",
    "url",
    "coverage_start",
    "coverage_end",
    "identity",
    "warnings",
    "entries",
]
ENTRY_KEYS = ["key", "url", "title", "text", "html", "author", "published_at", "updated_at", "is_key_event"]
STAMP = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z")


def report(body: bytes, url: str = URL, content_type: str = "") -> dict[str, Any]:
    """Gives the report as someone who reads our JSON gets it, its shape checked."""
    found: dict[str, Any] = json.loads(json.dumps(check(body, url, content_type).as_json()))
    assert list(found) == KEYS
    assert list(found["identity"]) == ["rule", "health", "why"]
    for entry in found["entries"]:
        assert list(entry) == ENTRY_KEYS
        assert all(isinstance(entry[name], str) for name in ("key", "url", "title", "text", "html", "author"))
        assert entry["is_key_event"] in {True, False, None}
        for name in ("published_at", "updated_at"):
            assert entry[name] is None or STAMP.fullmatch(entry[name])
    return found


def test_reports_a_live_blog() -> None:
    found = report(page([Post("b", "Two", minute=2), Post("a", "One", minute=1)], key_points=["a"]).encode())
    assert found["format"] == "live-blog"
    assert found["is_live_blog"] is True
    assert (found["title"], found["url"]) == ("Harbour live", URL)
    assert (found["coverage_start"], found["coverage_end"]) == ("2026-11-22T07:00:00Z", None)
    assert found["identity"] == {
        "rule": "url",
        "health": "good",
        "why": "the feed's ids are missing on 2 of 2 entries; the entries' URLs tell 2 entries apart",
    }
    assert found["warnings"] == []
    assert found["entries"][1] == {
        "key": "news.example/harbour-live#a",
        "url": f"{URL}#a",
        "title": "One",
        "text": "The harbour office has said so.",
        "html": "<p>The harbour office has said so.</p>",
        "author": "",
        "published_at": "2026-11-22T07:01:00Z",
        "updated_at": None,
        "is_key_event": True,
    }


def test_says_what_an_operator_should_know() -> None:
    items = "<item><title>One</title></item><item><title>One</title></item><item><author>A</author></item>"
    found = report(f"<rss version='2.0'><channel>{items}</channel></rss>".encode())
    assert [entry["title"] for entry in found["entries"]] == ["One", ""]
    assert found["warnings"] == [
        f"{found['identity']['why']}: a large edit may be taken for a new entry",
        "1 entries repeat another and are counted once",
        "1 entries have no words and would not be mailed",
    ]


def test_reports_a_feed_without_entries() -> None:
    found = report(b"<rss version='2.0'><channel><title>Harbour</title></channel></rss>")
    assert found["entries"] == []
    assert found["identity"]["health"] == "unknown"


def any_document() -> st.SearchStrategy[bytes]:
    """Bytes of every kind, and documents of each format bent at random."""
    live = page([Post("a", "One"), Post("b", "Two")], key_points=["a"]).encode()
    documents = [
        live,
        b"<rss version='2.0'><channel><item><guid>1</guid><title>One &amp; two</title></item></channel></rss>",
        b"<feed xmlns='http://www.w3.org/2005/Atom'><entry><id>1</id><title type='html'>&lt;b></title></entry></feed>",
        json.dumps(
            {"version": "https://jsonfeed.org/version/1", "items": [{"id": 1, "content_html": "<p>"}]}
        ).encode(),
    ]
    cut = st.tuples(
        st.sampled_from(documents), st.integers(0, 600), st.integers(0, 40), st.binary(max_size=12)
    )
    return st.binary(max_size=200) | cut.map(
        lambda each: each[0][: each[1]] + each[3] + each[0][each[1] + each[2] :]
    )


@given(
    any_document(), st.sampled_from(["", URL, "not a url", "http://[", "file:///etc"]), st.text(max_size=30)
)
def test_any_bytes_give_a_report_or_one_clear_line(body: bytes, url: str, content_type: str) -> None:
    try:
        report(body, url, content_type)
        why = "it is a feed"
    except NotAFeed as refused:
        why = str(refused)
    assert re.fullmatch(r"[^\n]{10,}", why)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
FIELDS = ["@id", "url", "headline", "articleBody", "datePublished", "dateModified", "author"]


@given(st.lists(st.dictionaries(st.sampled_from(FIELDS), JSON, max_size=5) | JSON, max_size=4), JSON)
def test_any_json_in_the_fields_of_a_live_blog_is_read(updates: list[Any], other: Any) -> None:
    posting = {"@type": "LiveBlogPosting", "headline": other, "url": other, "liveBlogUpdate": updates}
    assert report(json.dumps(posting).encode())["is_live_blog"] is True


@given(
    st.lists(
        st.dictionaries(st.sampled_from(["id", "url", "title", "content_text", "tags", "authors"]), JSON)
        | JSON
    )
)
def test_any_json_in_the_fields_of_a_json_feed_is_read(items: list[Any]) -> None:
    feed = {"version": "https://jsonfeed.org/version/1.1", "items": items}
    assert report(json.dumps(feed).encode())["format"] == "json-feed"


# Practice data


def expected_pages() -> list[tuple[str, dict[str, Any]]]:
    expected = CORPUS / "pages/EXPECTED.json"
    return list(json.loads(expected.read_text()).items()) if expected.exists() else []


def moment(value: str | None) -> datetime | None:
    return None if value is None else datetime.fromisoformat(value)


@needs_corpus
@pytest.mark.parametrize(("name", "expected"), expected_pages())
def test_reads_real_pages_as_they_were_counted_by_hand(name: str, expected: dict[str, Any]) -> None:
    body = gzip.decompress((CORPUS / "pages" / name).read_bytes())
    if not expected["is_live_blog"]:
        with pytest.raises(NotAFeed):
            check(body, URL, "text/html")
        return
    found = report(body, URL, "text/html")
    entries = found["entries"]
    assert found["is_live_blog"] is True
    assert len(entries) == expected["entries"]
    assert sum(bool(entry["url"]) for entry in entries) == expected["entries_with_id_or_url"]
    assert len({entry["url"] for entry in entries} - {""}) == expected["distinct_ids"]
    assert len({entry["key"] for entry in entries}) == expected["entries"]
    assert (entries[0]["url"] or None, entries[-1]["url"] or None) == (
        expected["first_id"],
        expected["last_id"],
    )
    published = [moment(entry["published_at"]) for entry in entries]
    assert max(filter(None, published)) == moment(expected["newest_published_utc"])
    assert min(filter(None, published)) == moment(expected["oldest_published_utc"])
    assert sum(not entry["text"] for entry in entries) == expected["empty_body"]
    assert moment(found["coverage_start"]) == moment(expected["coverageStartTime"])
    assert moment(found["coverage_end"]) == moment(expected["coverageEndTime"])
    assert not any(re.search(r"&#?\w+;|</?\w+>", entry["title"] + entry["text"]) for entry in entries)


@needs_corpus
def test_takes_the_key_events_of_a_real_page() -> None:
    body = gzip.decompress((CORPUS / "pages/corkbeo_2020.html.gz").read_bytes())
    marked = [entry["url"].rpartition("#")[2] for entry in report(body)["entries"] if entry["is_key_event"]]
    assert marked == ["2258956"]


@needs_corpus
def test_reads_every_feed_of_the_practice_data() -> None:
    refused = set()
    for path in sorted([*CORPUS.glob("*/*.xml"), *CORPUS.glob("*/*.json")]):
        try:
            report(path.read_bytes())
        except NotAFeed:
            refused.add(path.suffix)
    assert refused == {".json"}, "those are the other readers' expectations, no feeds"
