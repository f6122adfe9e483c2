"""What goes over the pipes between the daemon and a process that reads documents: frames, their length first.

    daemon ──request, then the document──────────────────────────> reader
    daemon <──the feed and how many entries, then each entry────── reader
           <──or why it is no feed──────────────────────────────── reader

What a reader answers was made of hostile bytes: it is JSON, bounded, and taken in no other shape than that of
our values.
"""

import json
import math
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Literal, get_type_hints

from alerts.feeds.compare.bounds import MOST_ENTRIES
from alerts.feeds.formats.values import FeedEntry, ParsedFeed

LENGTH = struct.Struct(">I")
LONGEST = 8 * 1024 * 1024  # bytes of one frame that is not a document: more than the largest entry we take
OUT_OF_MEMORY = 77  # the exit code that says so
_LONGEST_REASON = 500
_HEAD = ("kind", "reason", "feed", "entries", "retires", "seconds")


class Garbled(ValueError):
    """The other side did not answer as our own code does."""


@dataclass(frozen=True, slots=True)
class Request:
    """What a reader is told before the document's bytes come."""

    url: str
    content_type: str
    seconds: float  # of processor time


@dataclass(frozen=True, slots=True)
class Head:
    """The first frame of an answer; `retires` says that the process ends after it.

    `seconds` are those of a processor that the document took.
    """

    kind: Literal["feed", "no_feed", "broke"]
    reason: str = ""
    feed: ParsedFeed | None = None  # as yet without its entries
    entries: int = 0
    retires: bool = False
    seconds: float = 0.0


def framed(content: bytes) -> bytes:
    """Gives a frame as it goes over the pipe."""
    return LENGTH.pack(len(content)) + content


def request(asked: Request) -> bytes:
    return _json({field.name: getattr(asked, field.name) for field in fields(Request)})


def read_request(frame: bytes) -> Request:
    return Request(**json.loads(frame))


def answer(head: Head) -> Iterator[bytes]:
    """Gives the frames of an answer, the whole feed's when the head has one."""
    feed = head.feed
    plain = None if feed is None else _plain(replace(feed, entries=()))
    entries = () if feed is None else feed.entries
    yield _json(
        {
            "kind": head.kind,
            "reason": head.reason[:_LONGEST_REASON],
            "feed": plain,
            "entries": len(entries),
            "retires": head.retires,
            "seconds": head.seconds,
        }
    )
    for entry in entries:
        yield _json(_plain(entry))


def read_head(frame: bytes) -> Head:
    """Reads the first frame of an answer. Raises Garbled."""
    given = _object(frame, _HEAD)
    kind, reason, count, retires, seconds = (given[name] for name in _HEAD if name != "feed")
    if kind not in ("feed", "no_feed", "broke") or type(count) is not int or type(retires) is not bool:
        raise Garbled("no head of an answer")
    if type(seconds) is not float or not 0 <= seconds < math.inf:
        raise Garbled("no count of seconds")
    if not 0 <= count <= MOST_ENTRIES or len(_text(reason)) > _LONGEST_REASON:
        raise Garbled("a head out of bounds")
    feed = _feed(given["feed"]) if kind == "feed" else None
    return Head(kind, _text(reason), feed, count, retires, seconds)


def read_entry(frame: bytes) -> FeedEntry:
    """Reads one entry's frame. Raises Garbled."""
    return FeedEntry(**_values(_object(frame, _ENTRY), _ENTRY))


def _feed(given: object) -> ParsedFeed:
    if not isinstance(given, dict) or list(given) != list(_FEED) or given["entries"] != []:
        raise Garbled("no feed")
    return ParsedFeed(**_values(given, _FEED))


def _object(frame: bytes, names: "tuple[str, ...] | _Shape") -> dict[str, Any]:
    try:
        given = json.loads(frame)
    except (ValueError, RecursionError) as error:
        raise Garbled("no JSON") from error
    if not isinstance(given, dict) or list(given) != list(names):
        raise Garbled("other names than ours")
    return given


def _values(given: dict[str, Any], shape: "_Shape") -> dict[str, Any]:
    try:
        return {name: read(given[name]) for name, read in shape.items()}
    except (ValueError, OverflowError) as error:
        raise Garbled("a value of another kind than ours") from error


def _plain(value: FeedEntry | ParsedFeed) -> dict[str, Any]:
    return {field.name: getattr(value, field.name) for field in fields(value)}


def _json(value: dict[str, Any]) -> bytes:
    return json.dumps(value, default=_as_plain, ensure_ascii=False).encode("utf-8", "replace")


def _as_plain(value: object) -> str | float:
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat()
    if isinstance(value, timedelta):
        return value.total_seconds()
    raise TypeError(f"{type(value).__name__} does not go over the pipe: teach reader_frames")


def _text(given: object) -> str:
    if not isinstance(given, str):
        raise Garbled("no text")
    try:
        given.encode()
    except UnicodeEncodeError as error:
        raise Garbled("half of a surrogate pair") from error
    return given


def _flag(given: object) -> bool:
    if not isinstance(given, bool):
        raise Garbled("no flag")
    return given


def _moment(given: object) -> datetime:
    moment = datetime.fromisoformat(_text(given))
    if moment.utcoffset() != timedelta(0):
        raise Garbled("no time in UTC")
    return moment.astimezone(UTC)


def _length(given: object) -> timedelta:
    if not isinstance(given, int | float) or isinstance(given, bool):
        raise Garbled("no length of time")
    return timedelta(seconds=given)


def _texts(given: object) -> tuple[str, ...]:
    if not isinstance(given, list) or len(given) > MOST_ENTRIES:
        raise Garbled("no list of texts")
    return tuple(_text(each) for each in given)


def _or_none(read: Callable[[object], object]) -> Callable[[object], object]:
    return lambda given: None if given is None else read(given)


def _none_yet(given: object) -> tuple[()]:
    if given != []:
        raise Garbled("entries in the head")
    return ()


_Shape = dict[str, Callable[[object], object]]
_KINDS: dict[object, Callable[[object], object]] = {
    str: _text,
    str | None: _or_none(_text),
    bool: _flag,
    bool | None: _or_none(_flag),
    datetime | None: _or_none(_moment),
    timedelta | None: _or_none(_length),
    tuple[str, ...]: _texts,
    tuple[FeedEntry, ...]: _none_yet,  # they follow, each in a frame of its own
}


def _shape(value: type[FeedEntry | ParsedFeed]) -> _Shape:
    """Gives the names of a value's fields in their order, each with what reads it; a new kind of field fails here."""
    hints = get_type_hints(value)
    return {field.name: _KINDS[hints[field.name]] for field in fields(value)}


_ENTRY = _shape(FeedEntry)
_FEED = _shape(ParsedFeed)
