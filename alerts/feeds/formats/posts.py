"""What the JSON formats share: from the fields of a post to an entry, and what their values may be."""

from datetime import datetime
from typing import Any

from alerts.feeds.formats.marks import is_correction
from alerts.feeds.formats.markup import one_line, plain, sanitised, tidy
from alerts.feeds.formats.source import Source
from alerts.feeds.formats.values import FeedEntry

# The longest blog seen had 428 posts. A window of more is read to here, with a word.
MOST_ENTRIES = 5_000


def entry(
    source: Source,
    *,
    key: str,
    markup: str,
    url: str = "",
    title: str = "",
    author: str = "",
    published_at: datetime | None,
    updated_at: datetime | None,
    is_key_event: bool | None = None,
) -> FeedEntry:
    """Gives an entry; `markup` is HTML, `title` and `author` are one line each, `is_key_event` is the feed's word."""
    text = plain(markup)
    return FeedEntry(
        key=tidy(key).strip() or None,
        url=url,
        title=title,
        text=text,
        html=sanitised(markup, url or source.url) if text else "",
        author=author,
        published_at=published_at,
        updated_at=updated_at,
        is_key_event=is_key_event,
        is_correction=is_correction(title, text),
        key_event_by="" if is_key_event is None else "feed",
    )


def word(value: Any) -> str:
    """Gives a string; a number is one too, for ids; anything else is empty."""
    if isinstance(value, str):
        return value
    if isinstance(value, int | float) and not isinstance(value, bool):
        return str(value)
    return ""


def line(value: Any) -> str:
    """Gives a string as one line of plain text."""
    return one_line(word(value))


def names(values: list[Any]) -> str:
    """Gives names, each once, as a byline."""
    return ", ".join(dict.fromkeys(name for name in map(line, values) if name))


def dicts(value: Any) -> list[dict[str, Any]]:
    """Gives the objects of a list, as many as are read."""
    found = value if isinstance(value, list) else []
    return [one for one in found if isinstance(one, dict)][:MOST_ENTRIES]
