"""JSON Feed 1.0 and 1.1 (jsonfeed.org/version/1.1), and the slips its own text asks readers to forgive."""

from typing import Any

from alerts.feeds.formats.marks import names_key_event
from alerts.feeds.formats.markup import as_html, one_line, plain_as_html
from alerts.feeds.formats.posts import MOST_ENTRIES, dicts, entry, word
from alerts.feeds.formats.source import Source
from alerts.feeds.formats.times import Clock
from alerts.feeds.formats.values import FeedEntry, ParsedFeed

NAME = "json-feed"
RANK = 20
_VERSION = "jsonfeed.org/version/"
_HUBS = {"websub", "pubsubhubbub"}


def parse(source: Source) -> ParsedFeed | None:
    """Reads a JSON Feed; None for any other JSON."""
    document = source.json
    if not isinstance(document, dict) or _VERSION not in word(document.get("version")):
        return None
    given = document.get("items")
    if not isinstance(given, list):
        return None
    items = dicts(given)
    clock = Clock([item.get(field) for item in items for field in ("date_published", "date_modified")])
    flagged = any(_is_flagged(item) for item in items)
    entries = tuple(_entry(source, item, clock, flagged=flagged) for item in items)
    hub = _hub(source, document.get("hubs"))
    return ParsedFeed(
        format=NAME,
        is_live_blog=False,
        title=one_line(word(document.get("title")), is_plain=True),
        url=source.absolute(word(document.get("home_page_url"))),
        coverage_start=None,
        coverage_end=None,
        entries=entries,
        warnings=(*_warnings(document, given, items), *clock.warnings()),
        is_ended=document.get("expired") is True,
        hub=hub,
        topic_url=source.absolute(word(document.get("feed_url"))) if hub else "",
    )


def _hub(source: Source, hubs: Any) -> str:
    """Gives the first hub of a kind that we can subscribe to."""
    for hub in dicts(hubs):
        if word(hub.get("type")).lower() in _HUBS and (url := source.absolute(word(hub.get("url")))):
            return url
    return ""


def _warnings(document: dict[str, Any], given: list[Any], items: list[Any]) -> list[str]:
    found = []
    if len(given) > MOST_ENTRIES:
        found.append(f"{len(given)} items are more than are read; the first {MOST_ENTRIES} were")
    elif len(given) > len(items):
        found.append(f"{len(given) - len(items)} items are no objects and were left out")
    if document.get("expired") is True:
        found.append("the feed says that it is finished for good")
    if word(document.get("next_url")):
        found.append("the feed goes on at a next_url; only its first page is read")
    return found


def _entry(source: Source, item: dict[str, Any], clock: Clock, *, flagged: bool) -> FeedEntry:
    url = source.absolute(word(item.get("url")))
    return entry(
        source,
        key=word(item.get("id")),
        url=url or source.absolute(word(item.get("external_url"))),
        title=one_line(word(item.get("title")), is_plain=True),
        markup=_body(item),
        author=_authors(item),
        published_at=clock.read(item.get("date_published")),
        updated_at=clock.read(item.get("date_modified")),
        is_key_event=_is_flagged(item) if flagged else None,
    )


def _body(item: dict[str, Any]) -> str:
    """Gives the entry's text as HTML; content_text is plain by the specification."""
    if markup := word(item.get("content_html")).strip():
        return as_html(markup)
    return plain_as_html(word(item.get("content_text")) or word(item.get("summary")))


def _authors(item: dict[str, Any]) -> str:
    """Gives the names; `author` is of version 1.0, `authors` of 1.1."""
    given = item.get("authors")
    authors = given if isinstance(given, list) and given else [item.get("author")]
    names = [
        one_line(word(author.get("name")), is_plain=True) for author in authors if isinstance(author, dict)
    ]
    return ", ".join(dict.fromkeys(name for name in names if name))


def _is_flagged(item: dict[str, Any]) -> bool:
    tags = item.get("tags")
    return isinstance(tags, list) and any(names_key_event(word(tag)) for tag in tags)
