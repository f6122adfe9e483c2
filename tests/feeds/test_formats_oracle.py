"""The practice feeds, read by us and by feedparser, whose authors collected most of them.

Where we differ on purpose, the reason stands beside the difference.
"""

import calendar
import io
import re
from datetime import datetime
from pathlib import Path
from typing import Any

import feedparser
import pytest

from alerts.feeds.formats import FeedEntry, parse
from alerts.feeds.formats.markup import as_html, one_line, plain

CORPUS = Path(__file__).resolve().parents[2] / "../shared/corpora/feeds"
FILES = sorted(path for name in ("feedparser", "gofeed", "w3c") for path in (CORPUS / name).glob("*.xml"))
URL = "https://news.example/feed"
_MARKUP = re.compile(r"</?[a-z][^<>]*>", re.IGNORECASE)
# RFC 4287: out-of-line content is at its src. feedparser gives the id, which is no address.
_DIFFERENT_PAGE = {"4.1.3.2__content-src-no-type.xml", "rdf__rdf_item_rdf_about.xml"}
# One date for both: Dublin Core says "an event in the lifecycle".
_DATED_TWICE = {"must__multiple_item_dcdate.xml"}
# An hour of 25 is no time; feedparser counts on into the next day.
_NO_TIME = {"3.3__published_bad_hours.xml", "must__entry_issued_bad_hours.xml"}
# ISO 8601 without colons, which feedparser does not know.
_WITHOUT_COLONS = {"must__entry_modified_no_colons.xml"}

pytestmark = [
    pytest.mark.practice_data,
    pytest.mark.skipif(not CORPUS.is_dir(), reason="the practice data is not beside the repository"),
]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_reads_what_feedparser_reads(path: Path) -> None:
    body = path.read_bytes()
    parsed = parse(body, URL, "")
    # Only a file object is passed: given bytes, feedparser opens the file or the address that they name.
    headers = {"content-location": URL}
    theirs = feedparser.parse(
        io.BytesIO(body), resolve_relative_uris=False, sanitize_html=False, response_headers=headers
    )
    assert parsed.format == ("atom" if theirs.version.startswith("atom") else "rss")
    assert parsed.title == words(theirs.feed.get("title"))
    assert len(parsed.entries) == len(theirs.entries)
    for ours, other in zip(parsed.entries, theirs.entries, strict=True):
        compare(ours, other, path.name)


def compare(ours: FeedEntry, theirs: Any, name: str) -> None:
    assert ours.key == (dict.get(theirs, "id") or None)
    link = dict.get(theirs, "link") or ""
    assert ours.url == (link if link.startswith("http") else "") or name in _DIFFERENT_PAGE
    assert ours.title == words(dict.get(theirs, "title"))
    content = [text.get("value") for text in dict.get(theirs, "content") or []]
    body = next((text for text in content if text), None) or dict.get(theirs, "summary")
    assert ours.text.split() == plain(as_html(body or "")).split()
    if name not in _NO_TIME | _WITHOUT_COLONS:
        assert seconds(ours.updated_at) == stamp(theirs, "updated")
        assert seconds(ours.published_at) == stamp(theirs, "published") or name in _DATED_TWICE


def words(text: str | None) -> str:
    return one_line(text or "", is_plain=not _MARKUP.search(text or ""))


def stamp(theirs: Any, field: str) -> int | None:
    parsed = dict.get(theirs, f"{field}_parsed")
    return None if parsed is None else calendar.timegm(parsed)


def seconds(moment: datetime | None) -> int | None:
    return None if moment is None else int(moment.timestamp())
