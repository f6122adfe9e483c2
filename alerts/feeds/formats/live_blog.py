"""schema.org LiveBlogPosting in a page's JSON-LD, as publishers really fill it."""

from collections import Counter
from typing import Any
from urllib.parse import urldefrag

from alerts.feeds.formats import json_ld, key_points
from alerts.feeds.formats.json_ld import words
from alerts.feeds.formats.marks import is_correction
from alerts.feeds.formats.markup import as_html, one_line, plain, sanitised, tidy
from alerts.feeds.formats.source import Source
from alerts.feeds.formats.times import Clock
from alerts.feeds.formats.values import FeedEntry, ParsedFeed

NAME = "live-blog"
_TYPE = "LiveBlogPosting"
_TIMES = ("datePublished", "dateModified", "dateCreated", "coverageStartTime", "coverageEndTime")

Object = dict[str, Any]


def parse(source: Source) -> ParsedFeed | None:
    """Reads the live blog of a page, or of a bare JSON-LD document; None where no object has the type."""
    if (
        not (source.is_html or source.json is not None or "<script" in source.text)
        or _TYPE not in source.text
    ):
        return None
    documents, broken = json_ld.documents(source)
    known = [found for document in documents for found in json_ld.objects(document)]
    blogs = [found for found in known if json_ld.has_type(found, _TYPE)]
    if not blogs:
        return None
    by_id = {found["@id"]: found for found in known if isinstance(found.get("@id"), str) and len(found) > 1}
    blog, updates = _chosen(blogs, by_id)
    clock = Clock([found.get(name) for found in (blog, *updates) for name in _TIMES])
    entries = [_entry(source, update, clock) for update in updates]
    entries = [entry for entry in entries if entry.title or entry.text or entry.key or entry.url]
    if not source.json:
        entries = key_points.marked(source, entries)
    title = one_line(words(blog.get("headline")) or words(blog.get("name")))
    return ParsedFeed(
        format=NAME,
        is_live_blog=True,
        title=title,
        url=source.absolute(_address(blog)) or source.absolute(source.url),
        coverage_start=clock.read(words(blog.get("coverageStartTime"))),
        coverage_end=clock.read(words(blog.get("coverageEndTime"))),
        entries=tuple(entries),
        warnings=(
            *_warnings(blogs, updates, entries, title, broken),
            *clock.warnings(),
        ),
    )


def _chosen(blogs: list[Object], by_id: dict[str, Object]) -> tuple[Object, list[Object]]:
    """Gives the page's own blog and its updates: of several objects the fullest, the first among equals.

    A page may hold one blog twice, as canonical and as AMP: their entries count once.
    """
    filled = [(blog, _updates(blog, by_id)) for blog in blogs]
    return max(filled, key=lambda pair: len(pair[1]))


def _updates(blog: Object, by_id: dict[str, Object]) -> list[Object]:
    given = blog.get("liveBlogUpdate", blog.get("liveBlogUpdates"))
    listed = given if isinstance(given, list) else [given]
    found = []
    for one in listed:
        reference = one.get("@id") if isinstance(one, dict) and len(one) == 1 else one
        referred = by_id.get(reference) if isinstance(reference, str) else None  # elsewhere in @graph
        update = referred or one
        if isinstance(update, dict):
            found.append(update)
    return found


def _entry(source: Source, update: Object, clock: Clock) -> FeedEntry:
    id_ = tidy(words(update.get("@id") or update.get("identifier"))).strip()
    url = source.absolute(words(update.get("url"))) or source.absolute(
        id_ if "#" in id_ or "/" in id_ else ""
    )
    title = one_line(words(update.get("headline")) or words(update.get("name")))
    markup = as_html(
        words(update.get("articleBody")) or words(update.get("text")) or words(update.get("description"))
    )
    text = plain(markup)
    return FeedEntry(
        key=id_ or None,
        url=url,
        title=title,
        text=text,
        html=sanitised(markup, source.url),
        author=_authors(update.get("author")),
        published_at=clock.read(words(update.get("datePublished")) or words(update.get("dateCreated"))),
        updated_at=clock.read(words(update.get("dateModified"))),
        is_key_event=None,
        is_correction=is_correction(title, text),
    )


def _address(blog: Object) -> str:
    for field in ("url", "mainEntityOfPage", "@id"):
        value = blog.get(field)
        if isinstance(value, dict):
            value = value.get("@id") or value.get("url")
        if isinstance(value, str) and value.strip():
            return value
    return ""


def _authors(given: Any) -> str:
    authors = given if isinstance(given, list) else [given]
    names = [one_line(words(author)) for author in authors]
    return ", ".join(dict.fromkeys(name for name in names if name and not name.startswith("http")))


def _warnings(
    blogs: list[Object], updates: list[Object], entries: list[FeedEntry], title: str, broken: int
) -> list[str]:
    """Says what an operator should know of how this page is filled."""
    found = []
    if broken:
        found.append(f"{broken} blocks of JSON-LD are damaged and were left out")
    addresses = {urldefrag(_address(blog)).url for blog in blogs}
    if len(addresses) > 1:
        found.append(
            f"the page holds {len(addresses)} live blogs or copies; the one with most entries was read"
        )
    if len(updates) > len(entries):
        found.append(f"{len(updates) - len(entries)} updates are empty and were left out")
    if not updates:
        found.append("the live blog has no entries yet")
    if len(entries) > 1 and title and all(entry.title == title for entry in entries):
        found.append("every entry carries the page's headline instead of its own")
    times = Counter(entry.published_at for entry in entries)
    if len(entries) > 1 and len(times) == 1 and None not in times:
        found.append("every entry carries the same time: probably the page's")
    return found
