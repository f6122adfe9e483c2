"""Posts of Superdesk Live Blog (api/client_blogs/<id>/posts).

The endpoint gives drafts, comments, advertisements and deleted posts among the published ones.
"""

import json
from datetime import datetime
from typing import Any

from alerts.feeds.formats.markup import as_html
from alerts.feeds.formats.posts import dicts, entry, line, names, word
from alerts.feeds.formats.source import Source
from alerts.feeds.formats.times import Clock
from alerts.feeds.formats.values import FeedEntry, ParsedFeed

NAME = "superdesk"
RANK = 20
_PATH = "/client_blogs/"
_NEWS = {"", "open"}  # of post_status: not draft, submitted, comment, ad
_MOST_PARTS = 200

Post = dict[str, Any]


def parse(source: Source) -> ParsedFeed | None:
    """Reads a page of posts; None for any other JSON, a list of blogs or of articles among them."""
    document = source.json
    if not isinstance(document, dict):
        return None
    holder = document.get("posts") if isinstance(document.get("posts"), dict) else document
    items = holder.get("_items") if isinstance(holder, dict) else None
    if not isinstance(items, list):
        return None
    posts = [post for post in dicts(items) if _is_post(post)]
    if not posts and (items or _PATH not in source.url):
        return None
    return _feed(source, _blog(document, posts), posts)


def _feed(source: Source, blog: Post, posts: list[Post]) -> ParsedFeed:
    clock = Clock()
    gone = [post for post in posts if _is_gone(post)]
    shown = [post for post in posts if not _is_gone(post) and _is_news(post)]
    unpublished = len(posts) - len(gone) - len(shown)
    is_told = any(_is_highlighted(post) for post in shown)
    warnings = []
    if unpublished:
        warnings.append(f"{unpublished} posts are drafts, comments or advertisements and were left out")
    if not posts:
        warnings.append("the live blog has no entries in this window")
    return ParsedFeed(
        format=NAME,
        is_live_blog=True,
        title=line(blog.get("title")),
        url=source.absolute(word(blog.get("main_page_url")) or word(blog.get("public_url"))),
        coverage_start=clock.read(blog.get("start_date")),
        coverage_end=clock.read(blog.get("end_date")),
        entries=tuple(_entry(source, post, clock, is_told=is_told) for post in shown),
        warnings=(*warnings, *clock.warnings()),
        is_ended=blog.get("blog_status") == "closed",
        withdrawn=tuple(word(post["_id"]) for post in gone),
    )


def _blog(document: Post, posts: list[Post]) -> Post:
    """Gives what the answer says of the blog: beside the posts, or in them where it is embedded."""
    if any(name in document for name in ("blog_status", "title")):
        return document
    embedded = [document.get("blog"), *(post.get("blog") for post in posts)]
    return next((one for one in embedded if isinstance(one, dict)), {})


def _is_post(post: Post) -> bool:
    is_blogs = "post_status" in post or post.get("particular_type") == "post" or "blog" in post
    return bool(word(post.get("_id"))) and is_blogs and ("groups" in post or "items" in post)


def _is_gone(post: Post) -> bool:
    """Whether a post was published and is no longer: deleted, or unpublished after it was last published."""
    if post.get("deleted") is True or post.get("blog_status") == "deleted":
        return True
    clock = Clock()
    published, unpublished = (clock.read(post.get(name)) for name in ("published_date", "unpublished_date"))
    return unpublished is not None and (published is None or unpublished > published)


def _is_news(post: Post) -> bool:
    is_advertisement = any("advertisement" in word(item.get("item_type")) for item in _items(post))
    return word(post.get("post_status")) in _NEWS and not is_advertisement


def _is_highlighted(post: Post) -> bool:
    return (post.get("lb_highlight") if "lb_highlight" in post else post.get("highlight")) is True


def _entry(source: Source, post: Post, clock: Clock, *, is_told: bool) -> FeedEntry:
    items = _items(post)
    published = clock.read(post.get("published_date") or post.get("firstcreated") or post.get("_created"))
    return entry(
        source,
        key=word(post["_id"]),
        title=line(post.get("headline"))
        or next(filter(None, (line(item.get("headline")) for item in items)), ""),
        markup="".join(map(_markup, items)),
        author=_author(post, items),
        published_at=published,
        # _updated moves for anything, also when a post is pinned.
        updated_at=_later(clock.read(post.get("content_updated_date")), published),
        is_key_event=_is_highlighted(post) if is_told else None,
    )


def _items(post: Post) -> list[Post]:
    """Gives the parts of a post: what its groups refer to; older versions give each as JSON in a string."""
    if "items" in post and not post.get("groups"):
        return [item for item in (_decoded(one) for one in _listed(post["items"])) if isinstance(item, dict)]
    found = []
    for group in dicts(_decoded(post.get("groups"))):
        for reference in dicts(_decoded(group.get("refs"))):
            item = _decoded(reference.get("item"))
            if isinstance(item, dict):
                found.append(item)
    return found[:_MOST_PARTS]


def _listed(value: Any) -> list[Any]:
    decoded = _decoded(value)
    return decoded[:_MOST_PARTS] if isinstance(decoded, list) else []


def _decoded(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value, strict=False)
    except (ValueError, RecursionError):
        return None


def _markup(item: Post) -> str:
    """Gives the words of one part: its text, else those of its quotation or picture."""
    meta = _decoded(item.get("meta"))
    told = meta if isinstance(meta, dict) else {}
    text = word(item.get("text"))
    return as_html(text if text.strip() else word(told.get("quote")) or word(told.get("caption")))


def _author(post: Post, items: list[Post]) -> str:
    people = [
        person.get("display_name")
        for person in (post.get("publisher"), post.get("original_creator"), post.get("syndicated_creator"))
        if isinstance(person, dict)
    ]
    bylines = [post.get("byline"), *(item.get("byline") for item in items)]
    return names([next(filter(None, (line(name) for name in (*bylines, *people))), "")])


def _later(changed: datetime | None, published: datetime | None) -> datetime | None:
    return changed if published is None or changed is None or changed > published else None
