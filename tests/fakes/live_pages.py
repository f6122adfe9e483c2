"""Fictional live-blog pages and API answers, in the shapes that publishers give them."""

import json
from typing import Any

from alerts.feeds.formats import FeedEntry, ParsedFeed, parse

URL = "https://news.example/harbour-live"


def page(*scripts: Any, body: str = "", head: str = "") -> bytes:
    """Gives a page with each script as JSON-LD; a string goes in as it is."""
    texts = [one if isinstance(one, str) else json.dumps(one).replace("</", "<\\/") for one in scripts]
    tags = "".join(f'<script type="application/ld+json">{text}</script>' for text in texts)
    return f"<!doctype html><html><head>{head}{tags}</head><body>{body}</body></html>".encode()


def posting(*updates: Any, **fields: Any) -> dict[str, Any]:
    """Gives a LiveBlogPosting."""
    return {
        "@context": "https://schema.org",
        "@type": "LiveBlogPosting",
        "url": URL,
        "headline": "Harbour live",
        "coverageStartTime": "2026-11-22T07:00:00Z",
        "liveBlogUpdate": list(updates),
    } | fields


def update(number: int = 1, **fields: Any) -> dict[str, Any]:
    """Gives an update with an address of its own, `number` minutes after seven."""
    return {
        "@type": "BlogPosting",
        "url": f"{URL}#{number}",
        "headline": f"Report {number}",
        "articleBody": f"Text {number}.",
        "datePublished": f"2026-11-22T07:{number:02}:00Z",
    } | fields


def read(*scripts: Any, body: str = "", head: str = "", url: str = URL) -> ParsedFeed:
    return parse(page(*scripts, body=body, head=head), url, "text/html; charset=utf-8")


def read_json(document: Any, url: str = URL) -> ParsedFeed:
    return parse(json.dumps(document).encode(), url, "application/json")


def only(parsed: ParsedFeed) -> FeedEntry:
    assert len(parsed.entries) == 1
    return parsed.entries[0]


def titles(parsed: ParsedFeed) -> list[str]:
    return [entry.title for entry in parsed.entries]
