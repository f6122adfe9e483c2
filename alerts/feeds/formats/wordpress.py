"""The endpoints of the WordPress Liveblog plugin (wp-json/liveblog/v1): entries, get-entries, entry, get-key-events.

A change is a row of its own: an edit or a deletion bears the id of the post that it changes, `timestamp` is when the
change was made, `entry_time` when the post was.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from alerts.feeds.formats.markup import as_html
from alerts.feeds.formats.posts import MOST_ENTRIES, dicts, entry, names, word
from alerts.feeds.formats.source import Source
from alerts.feeds.formats.times import Clock
from alerts.feeds.formats.values import FeedEntry, ParsedFeed

NAME = "wordpress-liveblog"
RANK = 20
_PATH = re.compile(r"/liveblog/v\d+/")
_KEY_EVENTS = "/get-key-events/"
_TYPES = ("new", "update", "delete")  # in the order that two changes of one second are taken
# The plugin shows its commands ("/key") as hidden words.
_COMMAND = re.compile(r'<span class="liveblog-command type-([\w-]{1,50})">[^<]{0,50}</span>|(?<![\w/])/key\b')
_LONGEST_WAIT = timedelta(days=1)

Row = dict[str, Any]


def parse(source: Source) -> ParsedFeed | None:
    """Reads one answer of the plugin; None for any other JSON."""
    document = source.json
    rows = _rows(document, source.url)
    if rows is None:
        return None
    posts: dict[str, list[Row]] = {}
    for row in rows:
        posts.setdefault(word(row.get("id")).strip(), []).append(row)
    clock = Clock()
    read = [_post(changes, clock) for changes in posts.values()]
    told = _KEY_EVENTS in source.url or any(post.is_key for post in read)
    entries = [_entry(source, post, is_told=told) for post in read if not post.is_deleted]
    return ParsedFeed(
        format=NAME,
        is_live_blog=True,
        title="",
        url=entries[0].url.partition("#")[0] if entries else "",
        coverage_start=None,
        coverage_end=None,
        entries=tuple(entries),
        warnings=(*_warnings(document, rows), *clock.warnings()),
        withdrawn=tuple(post.key for post in read if post.is_deleted),
        refresh=_refresh(document),
    )


@dataclass(frozen=True, slots=True)
class _Post:
    """A post as its newest row leaves it."""

    key: str
    row: Row
    made: Any
    changed: Any
    clock: Clock
    is_key: bool

    @property
    def is_deleted(self) -> bool:
        return self.row.get("type") == "delete"


def _rows(document: Any, url: str) -> list[Row] | None:
    """Gives the rows of an answer; None when it is not the plugin's."""
    given = document.get("entries") if isinstance(document, dict) else document
    if not isinstance(given, list):
        return None
    rows = [row for row in dicts(given) if _is_row(row)]
    if rows:
        return rows
    is_known = isinstance(document, dict) and {"latest_timestamp", "refresh_interval"} <= document.keys()
    return [] if not given and (is_known or _PATH.search(url)) else None


def _is_row(row: Row) -> bool:
    has_text = isinstance(row.get("render"), str) or isinstance(row.get("content"), str)
    has_time = "timestamp" in row or "entry_time" in row
    return bool(word(row.get("id"))) and has_text and has_time and row.get("type") in _TYPES


def _post(changes: Sequence[Row], clock: Clock) -> _Post:
    """Folds a post and its changes into one; the document may hold them in any order."""
    row = max(changes, key=lambda change: (_seconds(change.get("timestamp")), _TYPES.index(change["type"])))
    made = next((change["entry_time"] for change in changes if word(change.get("entry_time"))), None)
    first = min(changes, key=lambda change: _seconds(change.get("timestamp")))
    return _Post(
        key=word(row["id"]).strip(),
        row=row,
        made=made or first.get("timestamp"),
        changed=row.get("timestamp") if row["type"] == "update" else None,
        clock=clock,
        is_key=any(_is_key_event(change) for change in changes),
    )


def _entry(source: Source, post: _Post, *, is_told: bool) -> FeedEntry:
    row = post.row
    shown = word(row.get("render")) or word(row.get("content"))
    return entry(
        source,
        key=post.key,
        url=source.absolute(word(row.get("share_link"))),
        markup=as_html(_COMMAND.sub("", shown)),
        author=_authors(row.get("authors")),
        published_at=post.clock.read(post.made),
        updated_at=post.clock.read(post.changed),
        is_key_event=(post.is_key or _KEY_EVENTS in source.url) if is_told else None,
    )


def _is_key_event(row: Row) -> bool:
    if "key_event" in row:
        return bool(row["key_event"])
    shown = f"{word(row.get('render'))} {word(row.get('content'))}"
    is_command = any(match[1] in {None, "key"} for match in _COMMAND.finditer(shown))
    return is_command or "type-key" in word(row.get("css_classes")).split()


def _authors(given: Any) -> str:
    authors = given if isinstance(given, list) else [given]
    return names([author.get("name") if isinstance(author, dict) else author for author in authors])


def _seconds(value: Any) -> float:
    try:
        return float(value)
    except (TypeError, ValueError, OverflowError):
        return 0.0


def _refresh(document: Any) -> timedelta | None:
    seconds = _seconds(document.get("refresh_interval")) if isinstance(document, dict) else 0.0
    return timedelta(seconds=seconds) if 1 <= seconds <= _LONGEST_WAIT.total_seconds() else None


def _warnings(document: Any, rows: Sequence[Row]) -> list[str]:
    given = document["entries"] if isinstance(document, dict) else document
    found = []
    if len(given) > MOST_ENTRIES:
        found.append(f"{len(given)} rows are more than are read; the first {MOST_ENTRIES} were")
    elif len(given) > len(rows):
        found.append(f"{len(given) - len(rows)} rows are no entries and were left out")
    if not rows:
        found.append("the live blog has no entries in this window")
    return found
