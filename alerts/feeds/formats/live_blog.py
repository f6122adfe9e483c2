"""schema.org LiveBlogPosting in a page, in JSON-LD or in its markup, as publishers really fill it."""

import re
from collections import Counter
from collections.abc import Sequence
from typing import Any

from alerts.feeds.formats import blog_graph, endings, json_ld, key_points, microdata
from alerts.feeds.formats.blog_graph import Blog
from alerts.feeds.formats.json_ld import Found, Object, objects, words
from alerts.feeds.formats.markup import as_html, one_line, tidy
from alerts.feeds.formats.posts import MOST_ENTRIES, entry
from alerts.feeds.formats.source import Source
from alerts.feeds.formats.times import Clock
from alerts.feeds.formats.values import FeedEntry, ParsedFeed

NAME = "live-blog"
RANK = 10  # first: a page may be an AMP live list, too
_WANTED = re.compile(r"LiveBlogPosting|liveBlogUpdate", re.IGNORECASE)
_FIRST = ("datePublished", "dateCreated", "uploadDate")  # the last is a VideoObject's
_TIMES = ("datePublished", "dateModified", "dateCreated", "coverageStartTime", "coverageEndTime")
# "A. Reporter14:05 GMT": a name that the page prints together with the hour.
_CLOCK = re.compile(
    r"[\s,|\u00b7\u2022-]*\d{1,2}[:.]\d{2}(?:\s?[ap]\.?m\.?)?(?:\s[A-Z]{2,4})?$", re.IGNORECASE
)


def parse(source: Source) -> ParsedFeed | None:
    """Reads the live blog of a page, or of a bare JSON-LD document; None where nothing is or will be one."""
    if not _WANTED.search(source.text) or not _may_hold_one(source):
        return None
    documents = json_ld.documents(source, _WANTED)
    found = [one for document in documents.read for one in objects(document)]
    blogs = blog_graph.candidates(found)
    page = "" if source.json is not None else _canonical(source)
    blog = blog_graph.chosen(blogs, page)
    if (blog is None or not blog.updates) and source.json is None:
        in_markup = [one for item in microdata.items(source) for one in objects(item)]
        marked = blog_graph.candidates([Found(value, is_own) for value, is_own in in_markup])
        filled = blog_graph.chosen(marked, page)
        if filled is not None and (blog is None or filled.updates):
            blog, blogs = filled, marked
    return None if blog is None else _feed(source, blog, blogs, documents)


def _feed(source: Source, blog: Blog, blogs: list[Blog], documents: json_ld.Documents) -> ParsedFeed:
    updates = blog.updates[:MOST_ENTRIES]
    clock = Clock([found.get(name) for found in (blog.value, *updates) for name in _TIMES])
    url = source.absolute(blog.address) or source.absolute(source.url)
    entries: Sequence[FeedEntry] = [_entry(source, update, url, clock) for update in updates]
    if source.json is None:
        entries = key_points.marked(source, entries)
    title = one_line(words(blog.value.get("headline")) or words(blog.value.get("name")))
    return ParsedFeed(
        format=NAME,
        is_live_blog=True,
        title=title,
        url=url,
        coverage_start=clock.read(words(blog.value.get("coverageStartTime"))),
        coverage_end=clock.read(words(blog.value.get("coverageEndTime"))),
        entries=tuple(entries),
        warnings=(
            *_damage(documents),
            *_oddities(blog, blogs, entries, title),
            *clock.warnings(),
        ),
        # coverageEndTime is no word on the end: it lies both ways.
        is_ended=endings.is_ended(source, title, entries),
        continues_at=endings.continues_at(source, url, entries),
    )


def _entry(source: Source, update: Object, page: str, clock: Clock) -> FeedEntry:
    fragment = words(update.get("fragment")).strip()
    id_ = tidy(words(update.get("@id")) or _identifier(update.get("identifier"))).strip()
    url = source.absolute(words(update.get("url"))) or source.absolute(
        id_ if "#" in id_ or "/" in id_ else ""
    )
    return entry(
        source,
        key=id_ or fragment,
        url=url or (source.absolute(f"#{fragment}", page) if fragment else ""),
        title=one_line(words(update.get("headline")) or words(update.get("name"))),
        markup=as_html(_body(update)),
        author=_authors(update.get("author")),
        published_at=clock.read(*(words(update.get(name)) for name in _FIRST)),
        updated_at=clock.read(words(update.get("dateModified"))),
    )


def _body(update: Object) -> str:
    """Gives a post's text; publishers give its paragraphs one by one, too."""
    for name in ("articleBody", "text", "description"):
        given = update.get(name)
        body = "\n\n".join(words(one) for one in given) if isinstance(given, list) else words(given)
        if body.strip():
            return body
    return ""


def _identifier(given: Any) -> str:
    """Gives an id; a PropertyValue names its kind first."""
    if isinstance(given, dict) and given.get("value"):
        return words(given["value"])
    return words(given)


def _authors(given: Any) -> str:
    authors = given if isinstance(given, list) else [given]
    names = [_CLOCK.sub("", one_line(words(author))) for author in authors[:100]]
    return ", ".join(dict.fromkeys(name for name in names if name and not name.startswith("http")))


def _may_hold_one(source: Source) -> bool:
    start = source.text.lstrip("\ufeff \t\r\n")[:1]
    return source.is_html or start in {"{", "["} or "<script" in source.text or "itemtype" in source.text


def _canonical(source: Source) -> str:
    """Gives the page's own address: the one it names, else the one it was fetched from."""
    link = source.html.css_first('link[rel="canonical"]')
    return source.absolute((link.attributes.get("href") or "") if link else "") or source.url


def _damage(documents: json_ld.Documents) -> list[str]:
    found = []
    if documents.broken:
        found.append(f"{documents.broken} blocks of JSON-LD are damaged and were left out")
    if documents.mended:
        found.append(f"{documents.mended} blocks of JSON-LD are damaged: what is whole in them was read")
    return found


def _oddities(blog: Blog, blogs: list[Blog], entries: Sequence[FeedEntry], title: str) -> list[str]:
    """Says what an operator should know of how this page is filled."""
    found = []
    count = blog_graph.copies(blogs)
    if count > 1:
        found.append(f"the page holds {count} live blogs or copies; one of them was read")
    if blog.empty:
        found.append(f"{blog.empty} updates are empty and were left out")
    if len(blog.updates) > len(entries):
        found.append(f"{len(blog.updates)} updates are more than are read; the first {len(entries)} were")
    if not blog.updates:
        found.append("the live blog has no entries yet")
    if len(entries) > 1 and title and all(entry.title == title for entry in entries):
        found.append("every entry carries the page's headline instead of its own")
    times = Counter(entry.published_at for entry in entries)
    if len(entries) > 1 and len(times) == 1 and None not in times:
        found.append("every entry carries the same time: probably the page's")
    return found
