"""JSON Feed 1.0 and 1.1 (jsonfeed.org/version/1.1), and the slips its own text asks readers to forgive."""

from typing import Any

from alerts.feeds.formats.marks import is_correction, names_key_event
from alerts.feeds.formats.markup import as_html, one_line, plain, plain_as_html, sanitised, tidy
from alerts.feeds.formats.source import Source
from alerts.feeds.formats.times import Clock
from alerts.feeds.formats.values import FeedEntry, ParsedFeed

NAME = "json-feed"
_VERSION = "jsonfeed.org/version/"


def parse(source: Source) -> ParsedFeed | None:
    """Reads a JSON Feed; None for any other JSON."""
    document = source.json
    if not isinstance(document, dict) or not isinstance(document.get("items"), list):
        return None
    if _VERSION not in _word(document.get("version")):
        return None
    items = [item for item in document["items"] if isinstance(item, dict)]
    clock = Clock([item.get(field) for item in items for field in ("date_published", "date_modified")])
    flagged = any(_is_flagged(item) for item in items)
    entries = tuple(_entry(source, item, clock, flagged=flagged) for item in items)
    dropped = len(document["items"]) - len(items)
    warnings = [f"{dropped} items are no objects and were left out"] if dropped else []
    if document.get("expired") is True:
        warnings.append("the feed says that it is finished for good")
    return ParsedFeed(
        format=NAME,
        is_live_blog=False,
        title=one_line(_word(document.get("title")), is_plain=True),
        url=source.absolute(_word(document.get("home_page_url"))),
        coverage_start=None,
        coverage_end=None,
        entries=entries,
        warnings=(*warnings, *clock.warnings()),
    )


def _entry(source: Source, item: dict[str, Any], clock: Clock, *, flagged: bool) -> FeedEntry:
    id_ = tidy(_word(item.get("id"))).strip()
    title = one_line(_word(item.get("title")), is_plain=True)
    markup = _body(item)
    text = plain(markup)
    url = source.absolute(_word(item.get("url")))
    return FeedEntry(
        key=id_ or None,
        url=url or source.absolute(_word(item.get("external_url"))),
        title=title,
        text=text,
        html=sanitised(markup, url or source.url),
        author=_authors(item),
        published_at=clock.read(item.get("date_published")),
        updated_at=clock.read(item.get("date_modified")),
        is_key_event=_is_flagged(item) if flagged else None,
        is_correction=is_correction(title, text),
        key_event_by="feed" if flagged else "",
    )


def _body(item: dict[str, Any]) -> str:
    """Gives the entry's text as HTML; content_text is plain by the specification."""
    if markup := _word(item.get("content_html")).strip():
        return as_html(markup)
    return plain_as_html(_word(item.get("content_text")) or _word(item.get("summary")))


def _authors(item: dict[str, Any]) -> str:
    """Gives the names; `author` is of version 1.0, `authors` of 1.1."""
    given = item.get("authors")
    authors = given if isinstance(given, list) else [item.get("author")]
    names = [
        one_line(_word(author.get("name")), is_plain=True) for author in authors if isinstance(author, dict)
    ]
    return ", ".join(dict.fromkeys(name for name in names if name))


def _is_flagged(item: dict[str, Any]) -> bool:
    tags = item.get("tags")
    return isinstance(tags, list) and any(names_key_event(_word(tag)) for tag in tags)


def _word(value: Any) -> str:
    """Gives a string; a number is one too, for ids in feeds of version 1.0."""
    if isinstance(value, str):
        return value
    if isinstance(value, int | float) and not isinstance(value, bool):
        return str(value)
    return ""
