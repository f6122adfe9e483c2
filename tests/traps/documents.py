"""Posts as documents: one writer a format, each in the shape that publishers give it."""

import json
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from email.utils import format_datetime
from html import escape
from typing import Any

from fakes.site import Reply
from traps.posts import OPENED, URL, Post

HTML = "text/html; charset=utf-8"
RSS = "application/rss+xml; charset=utf-8"
ATOM = "application/atom+xml; charset=utf-8"
JSON = "application/json"
TITLE = "Harbour live"

Writer = Callable[[Sequence[Post]], Reply]


def reply(text: str, content_type: str) -> Reply:
    return Reply(text.encode(), content_type=content_type)


def rss(posts: Sequence[Post], *, channel: str = "", item: Callable[[Post], str] = lambda _: "") -> Reply:
    """Writes RSS 2.0; `channel` is more of the channel, and `item` gives more of an item."""
    items = "".join(
        "<item>"
        + _element("title", post.title)
        + _element("link", post.url)
        + _element("guid", post.id, ' isPermaLink="false"')
        + _element("pubDate", _rfc822(post.at))
        + _element("description", post.text)
        + ("<category>Key event</category>" if post.is_key_event else "")
        + item(post)
        + "</item>"
        for post in posts
    )
    return reply(
        '<?xml version="1.0" encoding="utf-8"?><rss version="2.0"><channel>'
        f"<title>{TITLE}</title><link>{URL}</link>{channel}{items}</channel></rss>",
        RSS,
    )


def rdf(posts: Sequence[Post]) -> Reply:
    """Writes RSS 1.0."""
    items = "".join(
        f'<item rdf:about="{escape(post.url)}">'
        + _element("title", post.title)
        + _element("link", post.url)
        + _element("description", post.text)
        + _element("dc:date", _iso(post.at))
        + "</item>"
        for post in posts
    )
    return reply(
        '<?xml version="1.0" encoding="utf-8"?><rdf:RDF xmlns="http://purl.org/rss/1.0/" '
        'xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#" xmlns:dc="http://purl.org/dc/elements/1.1/">'
        f'<channel rdf:about="{URL}"><title>{TITLE}</title><link>{URL}</link></channel>{items}</rdf:RDF>',
        "application/rdf+xml",
    )


def atom(posts: Sequence[Post], *, feed: str = "") -> Reply:
    """Writes Atom 1.0; `feed` is more of the feed, such as RFC 6721's deleted entries."""
    entries = "".join(
        "<entry>"
        + _element("title", post.title)
        + (f'<link href="{escape(post.url)}"/>' if post.url else "")
        + _element("id", post.id and f"tag:news.example,2026:{post.id}")
        + _element("published", _iso(post.at))
        + _element("updated", _iso(post.updated or post.at))
        + _element("content", post.text, ' type="html"')
        + ('<category term="key event"/>' if post.is_key_event else "")
        + "</entry>"
        for post in posts
    )
    return reply(
        '<?xml version="1.0" encoding="utf-8"?><feed xmlns="http://www.w3.org/2005/Atom" '
        f'xmlns:at="http://purl.org/atompub/tombstones/1.0"><title>{TITLE}</title><id>{URL}</id>'
        f'<link href="{URL}"/><updated>{OPENED.isoformat()}</updated>{feed}{entries}</feed>',
        ATOM,
    )


def json_feed(posts: Sequence[Post], **feed: Any) -> Reply:
    """Writes JSON Feed 1.1; `feed` are more of its members."""
    items = [
        _given(
            id=post.id,
            url=post.url,
            title=post.title,
            content_html=post.text,
            date_published=_iso(post.at),
            date_modified=_iso(post.updated),
            tags=["key event"] if post.is_key_event else [],
        )
        for post in posts
    ]
    version = "https://jsonfeed.org/version/1.1"
    document = {"version": version, "title": TITLE, "home_page_url": URL, **feed, "items": items}
    return reply(json.dumps(document), "application/feed+json")


def updates(posts: Sequence[Post]) -> list[dict[str, Any]]:
    """Gives the posts as a LiveBlogPosting's `liveBlogUpdate`."""
    return [
        {"@type": "BlogPosting"}
        | _given(
            **{"@id": post.id},
            url=post.url,
            headline=post.title,
            articleBody=post.text,
            datePublished=_iso(post.at),
            dateModified=_iso(post.updated),
        )
        for post in posts
    ]


def posting(posts: Sequence[Post], **fields: Any) -> dict[str, Any]:
    """Gives a LiveBlogPosting; `fields` are more of its own."""
    return {
        "@context": "https://schema.org",
        "@type": "LiveBlogPosting",
        "url": URL,
        "headline": TITLE,
        "coverageStartTime": OPENED.isoformat(),
        **fields,
        "liveBlogUpdate": updates(posts),
    }


def page(*objects: Any, head: str = "", body: str = "") -> Reply:
    """Writes an HTML page with a script of JSON-LD for each object."""
    scripts = "".join(f'<script type="application/ld+json">{script(one)}</script>' for one in objects)
    return reply(
        f"<!doctype html><html><head><title>{TITLE}</title>{head}{scripts}</head><body>{body}</body></html>",
        HTML,
    )


def script(document: Any) -> str:
    """Gives JSON as it may stand within a script element."""
    return json.dumps(document).replace("</", "<\\/")


def live_blog(posts: Sequence[Post], *, head: str = "", body: str = "", **fields: Any) -> Reply:
    """Writes a page with a LiveBlogPosting in JSON-LD."""
    return page(posting(posts, **fields), head=head, body=body)


def microdata(posts: Sequence[Post]) -> Reply:
    """Writes a page whose live blog is in its markup only."""
    articles = "".join(
        f'<article itemprop="liveBlogUpdate" itemscope itemtype="https://schema.org/BlogPosting" id="{post.id}">'
        + (f'<a itemprop="url" href="{escape(post.url)}">#</a>' if post.url else "")
        + f'<h2 itemprop="headline">{escape(post.title)}</h2>'
        + (f'<time itemprop="datePublished" datetime="{_iso(post.at)}">then</time>' if post.at else "")
        + f'<div itemprop="articleBody">{post.text}</div></article>'
        for post in posts
    )
    return page(
        {"@context": "https://schema.org", "@type": "NewsArticle", "headline": TITLE, "url": URL},
        body='<div itemscope itemtype="https://schema.org/LiveBlogPosting">'
        f'<h1 itemprop="headline">{TITLE}</h1><meta itemprop="coverageStartTime" content="{OPENED.isoformat()}">'
        f"{articles}</div>",
    )


def row(post: Post, kind: str = "new", *, changed: datetime | None = None) -> dict[str, Any]:
    """Gives a post as a row of the WordPress Liveblog plugin: a change is a row that points at the old id."""
    assert isinstance(post.at, datetime)
    content = "" if kind == "delete" else post.text
    return {
        "id": post.id,
        "type": kind,
        "render": content,
        "html": content,
        "content": content,
        "css_classes": "liveblog-entry",
        "timestamp": int((changed or post.at).timestamp()),
        "entry_time": int(post.at.timestamp()),
        "authors": [{"id": 1, "name": "A. Reporter"}],
        "share_link": post.url,
        "key_event": post.is_key_event,
    }


def rows(listed: Sequence[dict[str, Any]]) -> Reply:
    """Writes an answer of the WordPress Liveblog plugin's endpoint."""
    latest = max((one["timestamp"] for one in listed), default=0)
    return reply(
        json.dumps({"entries": list(listed), "latest_timestamp": latest, "refresh_interval": 10}), JSON
    )


def wordpress(posts: Sequence[Post]) -> Reply:
    """Writes posts as rows of the WordPress Liveblog plugin, the headline first in the text."""
    return rows([row(post.but(text=f"<h4>{escape(post.title)}</h4>{post.text}")) for post in posts])


WRITERS: dict[str, Writer] = {
    "rss": rss,
    "rdf": rdf,
    "atom": atom,
    "json feed": json_feed,
    "live blog": live_blog,
    "microdata": microdata,
}


def _given(**fields: Any) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value}


def _element(name: str, text: str, attributes: str = "") -> str:
    return f"<{name}{attributes}>{escape(text)}</{name}>" if text else ""


def _rfc822(at: datetime | str | None) -> str:
    return format_datetime(at.astimezone(UTC), usegmt=True) if isinstance(at, datetime) else at or ""


def _iso(at: datetime | str | None) -> str:
    return at.isoformat() if isinstance(at, datetime) else at or ""
