"""`amp-live-list`: posts in the markup of an AMP page, each with an id that must never change, and its deletion."""

import re
from datetime import timedelta

from selectolax.lexbor import LexborNode

from alerts.feeds.formats.elements import inner
from alerts.feeds.formats.markup import as_html, one_line
from alerts.feeds.formats.posts import MOST_ENTRIES, entry
from alerts.feeds.formats.source import Source
from alerts.feeds.formats.times import Clock
from alerts.feeds.formats.values import FeedEntry, ParsedFeed

NAME = "amp-live-list"
RANK = 30  # a page's LiveBlogPosting says more
_NOT_THE_TEXT = "aside, time, header, button, amp-social-share, amp-img, .liveblog-meta-authors"
_AUTHORS = ".liveblog-author-name, .liveblog-meta-author-name, [itemprop=author], [rel=author]"
_EPOCH = re.compile(r"\d{10}(?:\d{3})?")
_WAITS = (1_000, 86_400_000)  # milliseconds


def parse(source: Source) -> ParsedFeed | None:
    """Reads the posts of a page's live list; None for a page without one, or with an empty one."""
    if not source.is_html or "<amp-live-list" not in source.text:
        return None
    found = source.html.css("amp-live-list > [items] > [id][data-sort-time]")
    nodes = {node.attributes["id"] or "": node for node in found[:MOST_ENTRIES]}
    if not nodes:
        return None
    clock = Clock()
    gone = [key for key, node in nodes.items() if "data-tombstone" in node.attributes]
    heading = source.html.css_first("h1")
    canonical = source.html.css_first('link[rel="canonical"]')
    page = source.absolute((canonical.attributes.get("href") or "") if canonical else "") or source.url
    return ParsedFeed(
        format=NAME,
        is_live_blog=True,
        title=one_line(heading.text(), is_plain=True) if heading else "",
        url=source.absolute(page),
        coverage_start=None,
        coverage_end=None,
        entries=tuple(
            _entry(source, key, node, page, clock) for key, node in nodes.items() if key not in set(gone)
        ),
        warnings=tuple(clock.warnings()),
        withdrawn=tuple(gone),
        refresh=_refresh(source),
    )


def _entry(source: Source, key: str, node: LexborNode, page: str, clock: Clock) -> FeedEntry:
    heading = node.css_first("h1, h2, h3, h4")
    title = one_line(heading.text(), is_plain=True) if heading else ""
    author = node.css_first(_AUTHORS)
    byline = one_line(author.text(), is_plain=True) if author else ""
    if heading:
        heading.decompose()
    body = node.css_first(".liveblog-entry-content") or node
    return entry(
        source,
        key=key,
        url=source.absolute(f"#{key}", page),
        title=title,
        markup=as_html(inner(body, _NOT_THE_TEXT)),
        author=byline,
        published_at=clock.read(_moment(node, "data-sort-time")),
        updated_at=clock.read(_moment(node, "data-update-time")),
    )


def _moment(node: LexborNode, name: str) -> str | None:
    """Gives a time; a number that is no epoch only orders the posts."""
    value = (node.attributes.get(name) or "").strip()
    return value if _EPOCH.fullmatch(value) or "T" in value else None


def _refresh(source: Source) -> timedelta | None:
    node = source.html.css_first("amp-live-list")
    given = ((node.attributes.get("data-poll-interval") if node else "") or "").strip()
    wait = int(given) if given.isdecimal() and len(given) < 12 else 0  # noqa: PLR2004 - digits; the bounds follow
    return timedelta(milliseconds=wait) if _WAITS[0] <= wait <= _WAITS[1] else None
