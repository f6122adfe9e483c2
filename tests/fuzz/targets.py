"""What is fuzzed: each target takes any bytes, and raises where a promise is broken."""

import asyncio
import re
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AsyncExitStack, contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser

from alerts.errors import FetchFailed, NotAFeed
from alerts.feeds.check import report
from alerts.feeds.compare import addresses
from alerts.feeds.compare.bounds import bounded
from alerts.feeds.compare.decision import Policy
from alerts.feeds.fetch import Fetcher, Limits, Page, answers, hops, robots
from alerts.feeds.fetch.decoding import Decoder
from alerts.feeds.formats import ParsedFeed, parse
from alerts.feeds.read import frames as reader_frames
from alerts.mail import replies
from fakes.hostile_site import HostileSite, hostile_site, then_closes
from fakes.memory import NOTHING_KNOWN, after, decided
from fuzz import seeds

NOW = datetime(2026, 11, 22, 9, 0, tzinfo=UTC)
_URL = "https://news.example/wp-json/liveblog/v1/7/client_blogs/live?page=1#top"
_TYPES = (
    "",
    "text/html; charset=utf-8",
    "application/json",
    "text/xml; charset=utf-16",
    "text/plain; charset=x",
)
_ENCODINGS = ("gzip", "deflate", "br", "zstd", "gzip, deflate", "identity", "x-gzip", "gzip;q=1, ,br")
_LIMIT = 100_000
_LONGEST_KEY = 300
_SECONDS = 5.0  # of a processor: a small input that takes longer has found a loop
_UNPRINTABLE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff]")
_ACTIVE = frozenset(
    {"script", "style", "iframe", "object", "svg", "math", "img", "form", "base", "meta", "link"}
)


class Broken(Exception):
    """A promise that an input broke."""


@dataclass(frozen=True, slots=True)
class Target:
    """What is fuzzed, and the good inputs that it starts from."""

    name: str
    run: Callable[[bytes], None]
    good: Sequence[bytes]


def formats(data: bytes) -> None:
    """Any document ends in a feed that keeps its promises, or in NotAFeed."""
    with suppress(NotAFeed):
        _keeps_promises(_parsed(data))


def compare(data: bytes) -> None:
    """Any window can be compared, and once it is known it is not news again."""
    try:
        feed = bounded(_parsed(data))
    except NotAFeed:
        return
    report(feed).as_json()
    first = decided(NOTHING_KNOWN, feed, Policy())
    known = after(NOTHING_KNOWN, first)
    again = decided(known, feed, Policy())
    _holds(not again.inserts and not again.revisions and not again.hold, "a known window is news again")
    part = ParsedFeed("rss", False, "", "", None, None, feed.entries[len(feed.entries) // 2 :], ())
    _holds(not decided(known, part, Policy()).inserts, "a part of a known window is news")


def decoding(data: bytes) -> None:
    """Any bytes unpack within bounds, or end in FetchFailed."""
    with suppress(FetchFailed):
        decoder = Decoder(_ENCODINGS[data[0] % len(_ENCODINGS)] if data else "gzip", _LIMIT)
        for start in range(1, len(data), 1 + len(data) // 7):
            decoder.feed(data[start : start + 1 + len(data) // 7])
        body, _ = decoder.finish()
        _holds(len(body) <= _LIMIT, "more was unpacked than is allowed")


def robots_txt(data: bytes) -> None:
    """Any robots.txt answers every question."""
    rules = robots.read(data, "alerts/0.1 (+https://example.org)")
    for path in ("/", "/private/x?a=%41", "/a/x/b?A=1", data[:200].decode("utf-8", "replace")):
        rules.allow(path)


def reply(data: bytes) -> None:
    """Any reply of a mail server is judged."""
    text = data.decode("utf-8", "surrogateescape")
    replies.classify(text)
    replies.judge(data[0] * 3 if data else 0, text, at_rcpt=len(data) % 2 == 0)
    replies.scrub(text)


def links(data: bytes) -> None:
    """Any address has a canonical form, and any header is understood or left alone."""
    text = data.decode("utf-8", "replace")
    canonical = addresses.canonical(text)
    _holds(len(canonical) <= _LONGEST_KEY, "a key that fits no index")
    addresses.loose(canonical)
    answers.link(text, "hub", _URL)
    answers.retry_after(text, NOW)
    hops.credentials(text)
    with suppress(FetchFailed):
        hops.following(hops.first(text), text)


def frames(data: bytes) -> None:
    """Any answer of a reader is one of ours, or garbled."""
    for read in (reader_frames.read_head, reader_frames.read_entry):
        with suppress(reader_frames.Garbled):
            read(data)


class _Mail(HTMLParser):
    """What a mail program would make of markup: dead elements, and links of the web."""

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        _holds(tag not in _ACTIVE, f"an element that no mail may carry: {tag}")
        for name, value in attributes:
            is_link = (value or "").startswith(("http://", "https://", "mailto:"))
            _holds((tag, name) == ("a", "href") and is_link, f"an attribute that no mail may carry: {name}")


class Fetches:
    """Any bytes that a server sends end in a page within bounds, or in FetchFailed; nothing stays open."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._stack = AsyncExitStack()
        self._begun: tuple[HostileSite, Fetcher] | None = None

    def __call__(self, data: bytes) -> None:
        self._loop.run_until_complete(self._fetch(data))

    def close(self) -> None:
        self._loop.run_until_complete(self._stack.aclose())
        self._loop.close()

    async def _fetch(self, data: bytes) -> None:
        if self._begun is None:
            self._begun = (
                await self._stack.enter_async_context(hostile_site()),
                await self._stack.enter_async_context(
                    Fetcher("alerts-fuzz/1", Limits(timedelta(seconds=1), _LIMIT), host_rate=1e6)
                ),
            )
        site, fetcher = self._begun
        for path in ("/a", "/b"):
            site.paths[path] = then_closes(data)
        with suppress(FetchFailed):
            page = await fetcher.get(site.url("/a"), now=NOW, obey_robots=False)
            _holds(not isinstance(page, Page) or len(page.body) <= _LIMIT, "a page beyond the limit")
        site.asked.clear()


def _parsed(data: bytes) -> ParsedFeed:
    """Reads a document; the first byte says with which content type it came."""
    return parse(data[1:], _URL, _TYPES[data[0] % len(_TYPES)] if data else "")


def _keeps_promises(feed: ParsedFeed) -> None:
    head, *entries = reader_frames.answer(reader_frames.Head("feed", feed=bounded(feed)))
    came = reader_frames.read_head(head)
    taken = tuple(reader_frames.read_entry(frame) for frame in entries)
    _holds(came.feed is not None and taken == bounded(feed).entries, "a feed that is another beyond the pipe")
    for entry in feed.entries:
        lines = (entry.title, entry.author, entry.url, entry.key or "")
        _holds(not any("\n" in line for line in lines[:2]), "a headline or name of more than one line")
        _holds(
            not any(_UNPRINTABLE.search(text) for text in (*lines, entry.text, entry.html)),
            "control characters",
        )
        _Mail().feed(entry.html)
        _holds(
            not entry.url or entry.url.startswith(("http://", "https://")), "a link that is none of the web"
        )
        for moment in (entry.published_at, entry.updated_at):
            _holds(moment is None or moment.utcoffset() == timedelta(0), "a time that is not in UTC")


def _holds(promise: bool, otherwise: str) -> None:
    if not promise:
        raise Broken(otherwise)


@contextmanager
def no_loop() -> Iterator[None]:
    """Raises Broken when a block took longer than any small input may."""
    began = time.process_time()
    yield
    _holds(time.process_time() - began < _SECONDS, f"took more than {_SECONDS:g} seconds")


def _first(byte: int, good: Sequence[bytes]) -> tuple[bytes, ...]:
    return tuple(bytes([byte]) + each for each in good)


_DOCUMENTS = _first(0, tuple(seeds.DOCUMENTS.values()))
TARGETS = {
    target.name: target
    for target in (
        Target("formats", formats, _DOCUMENTS),
        Target("compare", compare, _DOCUMENTS),
        Target("decoding", decoding, tuple(each for byte in range(4) for each in _first(byte, seeds.PACKED))),
        Target("robots", robots_txt, (seeds.ROBOTS,)),
        Target("replies", reply, seeds.REPLIES),
        Target("links", links, seeds.LINKS),
        Target(
            "frames",
            frames,
            (b'{"kind": "no_feed", "reason": "", "feed": null, "entries": 0, "retires": false}',),
        ),
        Target("fetch", Fetches(), seeds.ANSWERS),
    )
}
