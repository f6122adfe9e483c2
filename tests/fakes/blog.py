"""Fictional live blogs for tests: posts as values, pages and windows made of them."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from alerts.feeds.formats import FeedEntry, ParsedFeed

URL = "https://news.example/harbour-live"
START = datetime(2026, 11, 22, 7, 0, tzinfo=UTC)
_SIGHTS = ("ferry", "crane", "tug", "lighthouse", "buoy", "trawler", "pilot", "quay", "sluice", "barge")


def words(number: int) -> str:
    """Gives a text that no other number has, long enough to be told from others."""
    sight = _SIGHTS[number % len(_SIGHTS)]
    return f"The {sight} was seen at mark {number} and the harbour office wrote it into book {number * 7}."


def entry(number: int = 1, **fields: Any) -> FeedEntry:
    """Gives an entry with an id of its own, published `number` minutes after the start."""
    values: dict[str, Any] = {
        "key": f"post-{number}x",
        "url": f"{URL}#post-{number}x",
        "title": f"Report {number} from the {_SIGHTS[number % len(_SIGHTS)]}",
        "text": words(number),
        "html": f"<p>{words(number)}</p>",
        "author": "A. Reporter",
        "published_at": START + timedelta(minutes=number),
        "updated_at": None,
        "is_key_event": None,
        "is_correction": False,
    }
    return FeedEntry(**values | fields)


def window(*entries: FeedEntry) -> ParsedFeed:
    """Gives a live blog's window with these entries, in this order."""
    return ParsedFeed("live-blog", True, "Harbour live", URL, None, None, tuple(entries), ())


def newest_first(count: int) -> ParsedFeed:
    """Gives a window of posts 1 to `count`, the newest on top."""
    return window(*(entry(number) for number in range(count, 0, -1)))


@dataclass(frozen=True, slots=True)
class Post:
    """A post of a page; `key` is its fragment."""

    key: str
    title: str
    body: str = "The harbour office has said so."
    minute: int = 0


def page(posts: Sequence[Post], *, key_points: Sequence[str] = (), title: str = "Harbour live") -> str:
    """Gives a live blog's HTML page with its LiveBlogPosting."""
    posting = {
        "@context": "https://schema.org",
        "@type": "LiveBlogPosting",
        "url": URL,
        "headline": title,
        "coverageStartTime": START.isoformat(),
        "liveBlogUpdate": [
            {
                "@type": "BlogPosting",
                "url": f"{URL}#{post.key}",
                "headline": post.title,
                "articleBody": post.body,
                "datePublished": (START + timedelta(minutes=post.minute)).isoformat(),
            }
            for post in posts
        ],
    }
    points = "".join(f'<li><a href="#{key}">see</a></li>' for key in key_points)
    block = f'<div class="key-points"><ul>{points}</ul></div>' if points else ""
    script = f'<script type="application/ld+json">{json.dumps(posting)}</script>'
    return f"<!doctype html><html><head>{script}</head><body>{block}</body></html>"
