"""What RSS and Atom share: one feedparser entry into one of ours."""

import calendar
import re
from dataclasses import replace
from datetime import datetime
from typing import Any
from xml.sax import SAXException  # feedparser raises it; nothing is parsed with it here

from alerts.feeds.formats.marks import is_correction, names_key_event
from alerts.feeds.formats.markup import as_html, one_line, plain, plain_as_html, sanitised, tidy
from alerts.feeds.formats.source import Source, is_web
from alerts.feeds.formats.times import Clock
from alerts.feeds.formats.values import FeedEntry, ParsedFeed

# RSS's author: feedparser cuts the name short where the address ends in a long domain.
_MAILBOX = re.compile(r"\S+@\S+\s*\(([^()]+)\)|([^<>]+?)\s*<\S+@\S+>")


def read(source: Source, name: str, *, trusts_plain: bool, updated_is_published: bool = False) -> ParsedFeed:
    """Maps feedparser's document to ours.

    `trusts_plain` says that the format declares which of its texts are plain, so that a tag in one is words.
    `updated_is_published` is for formats whose one date says when an entry was made.
    """
    document = source.xml
    clock = Clock([given(entry, field) for entry in document.entries for field in ("published", "updated")])
    entries = []
    for item in document.entries:
        published = _time(item, "published", clock)
        updated = _time(item, "updated", clock)
        if updated_is_published and published is None:
            published = updated
        entries.append(_entry(source, item, published, updated, trusts_plain=trusts_plain))
    flagged = any(entry.is_key_event for entry in entries)
    warnings = clock.warnings()
    if not document.entries and isinstance(document.get("bozo_exception"), SAXException):
        warnings.append("the document is damaged: nothing could be read from it")
    feed = document.feed
    return ParsedFeed(
        format=name,
        is_live_blog=False,
        title=_line(feed, "title", trusts_plain=trusts_plain),
        url=source.absolute(_word(feed, "link")),
        coverage_start=None,
        coverage_end=None,
        entries=tuple(_settled(entry, flagged=flagged) for entry in entries),
        warnings=tuple(warnings),
    )


def given(item: Any, field: str) -> Any:
    """Gives a field as it was written: feedparser's own access fills `updated` from `published`."""
    return dict.get(item, field)


def _entry(
    source: Source,
    item: Any,
    published: datetime | None,
    updated: datetime | None,
    *,
    trusts_plain: bool,
) -> FeedEntry:
    id_ = tidy(_word(item, "id")).strip()
    title = _line(item, "title", trusts_plain=trusts_plain)
    markup, base = _body(item, trusts_plain=trusts_plain)
    text = plain(markup)
    return FeedEntry(
        key=id_ or None,
        url=_url(source, item, id_),
        title=title,
        text=text,
        html=sanitised(markup, source.absolute(base) or source.url),
        author=_author(item),
        published_at=published,
        updated_at=updated,
        is_key_event=_is_flagged(item) or None,
        is_correction=is_correction(title, text),
        key_event_by="feed" if _is_flagged(item) else "",
    )


def _settled(entry: FeedEntry, *, flagged: bool) -> FeedEntry:
    """Where one entry is flagged as a key event, an entry without the flag is none."""
    if not flagged or entry.is_key_event:
        return entry
    return replace(entry, is_key_event=False, key_event_by="feed")


def _url(source: Source, item: Any, id_: str) -> str:
    """Gives the entry's page. feedparser takes a guid for a link, also one that is no URL."""
    link = _word(item, "link")
    if link.strip() == id_ and not is_web(id_):
        return ""
    return source.absolute(link)


def _body(item: Any, *, trusts_plain: bool) -> tuple[str, str]:
    """Gives the fullest text of an entry as HTML, and the base of its links."""
    details = [*(given(item, "content") or []), given(item, "summary_detail")]
    details = [detail for detail in details if detail and _word(detail, "value").strip()]
    for detail in details:
        value = _word(detail, "value")
        kind = _word(detail, "type").lower()
        if kind and not kind.startswith("text/") and "xhtml" not in kind:
            continue  # a picture in base64, an XML tree: nothing to read
        if trusts_plain and kind == "text/plain":
            return plain_as_html(value), _word(detail, "base")
        return as_html(value), _word(detail, "base")
    return "", ""


def _line(item: Any, field: str, *, trusts_plain: bool) -> str:
    detail = given(item, f"{field}_detail") or {}
    return one_line(
        _word(item, field),
        is_plain=trusts_plain and _word(detail, "type") == "text/plain",
    )


def _author(item: Any) -> str:
    written = _word(item, "author")
    if match := _MAILBOX.fullmatch(written.strip()):
        return one_line(match[1] or match[2])
    names = [one_line(_word(author, "name")) for author in given(item, "authors") or [] if author]
    return ", ".join(dict.fromkeys(name for name in names if name)) or one_line(written)


def _time(item: Any, field: str, clock: Clock) -> datetime | None:
    """Gives a time by our reading, else by feedparser's, which knows more notations (and no fractions)."""
    parsed = given(item, f"{field}_parsed")
    return clock.read(given(item, field), otherwise=calendar.timegm(parsed) if parsed else None)


def _is_flagged(item: Any) -> bool:
    terms = [_word(tag, "term") for tag in given(item, "tags") or [] if tag]
    return any(names_key_event(term) for term in terms)


def _word(item: Any, field: str) -> str:
    value = given(item, field)
    return value if isinstance(value, str) else ""
