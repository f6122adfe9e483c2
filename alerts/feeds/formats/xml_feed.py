"""What RSS and Atom share: an item as a format found it, into an entry; and what a feed says of itself."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta

from alerts.feeds.formats.marks import is_correction, names_key_event
from alerts.feeds.formats.markup import one_line, plain, sanitised, tidy
from alerts.feeds.formats.source import Source
from alerts.feeds.formats.times import Clock
from alerts.feeds.formats.values import FeedEntry, ParsedFeed
from alerts.feeds.formats.xml_text import Text
from alerts.feeds.formats.xml_tree import Element

# RFC 4287 section 4.2.7.2: the name of a relation is short for its address.
_ALTERNATE = {"", "alternate", "http://www.iana.org/assignments/relation/alternate"}
_PAGES = {"", "text/html", "application/xhtml+xml", "html"}
# An address with the name in brackets behind it, as RSS has it, or before it, as mail has it.
_MAILBOX = re.compile(r"(?:mailto:)?\S+@\S+\s*\(([^()]+)\)|([^<>]+?)\s*[<(]\S+@[^\s<>()]+[>)]")
_LONGEST_NAME = 300  # characters
_PERIODS = {
    "hourly": timedelta(hours=1),
    "daily": timedelta(days=1),
    "weekly": timedelta(weeks=1),
    "monthly": timedelta(days=30),
    "yearly": timedelta(days=365),
}
_COUNT = re.compile(r"0*([1-9]\d{0,5})")
_NEVER_SLOWER = timedelta(days=365)


@dataclass(frozen=True, slots=True)
class Item:
    """One item as its format gives it: words not yet read; of several times the likeliest first."""

    id: str
    url: str
    titles: Sequence[Text]
    bodies: Sequence[Text]
    author: str
    published: Sequence[str]
    updated: Sequence[str]
    tags: Sequence[str]


def feed(
    source: Source,
    name: str,
    channel: Element,
    *,
    title: str,
    url: str,
    items: Sequence[Item],
    withdrawn: Sequence[str] = (),
) -> ParsedFeed:
    """Gives the feed that a document is, by what its format found in it."""
    clock = Clock([time for item in items for time in (*item.published, *item.updated)])
    entries = [_entry(source, item, clock) for item in items]
    is_flagged = any(entry.is_key_event for entry in entries)
    hub, topic_url = _push(source, channel)
    return ParsedFeed(
        format=name,
        is_live_blog=False,
        title=title,
        url=url,
        coverage_start=None,
        coverage_end=None,
        entries=tuple(_settled(entry) if is_flagged else entry for entry in entries),
        warnings=(*source.xml_warnings, *clock.warnings()),
        is_ended=_is_ended(channel),
        withdrawn=tuple(withdrawn),
        refresh=_refresh(channel),
        hub=hub,
        topic_url=topic_url,
    )


def _entry(source: Source, item: Item, clock: Clock) -> FeedEntry:
    title = next((line for line in (text.line for text in item.titles) if line), "")
    body, text = _fullest(item.bodies)
    is_flagged = any(names_key_event(tag) for tag in item.tags)
    return FeedEntry(
        key=tidy(item.id).strip() or None,
        url=item.url,
        title=title,
        text=text,
        html=sanitised(body.html, base(source, body.bases)) if text else "",
        author=item.author,
        published_at=clock.read(*item.published),
        updated_at=clock.read(*item.updated),
        is_key_event=is_flagged or None,
        is_correction=is_correction(title, text),
        key_event_by="feed" if is_flagged else "",
    )


def _fullest(bodies: Iterable[Text]) -> tuple[Text, str]:
    """Gives the first body with anything to read in it, and its words."""
    for body in bodies:
        if text := plain(body.html):
            return body, text
    return Text("", "plain"), ""


def _settled(entry: FeedEntry) -> FeedEntry:
    """Where one entry is flagged as a key event, an entry without the flag is none."""
    return entry if entry.is_key_event else replace(entry, is_key_event=False, key_event_by="feed")


def base(source: Source, bases: Sequence[str]) -> str:
    """Gives what links are relative to in an element with these xml:base (RFC 4287 section 2)."""
    found = source.url
    for inner in bases:
        found = source.absolute(inner, found) or found
    return found


def resolved(source: Source, link: str, bases: Sequence[str]) -> str:
    """Gives a link as it is reached from an element; empty for what is no web link."""
    return source.absolute(link, base(source, bases))


def page(source: Source, links: Sequence[Element]) -> str:
    """Gives the page that Atom's links name: the alternate, a web page rather than another form of it."""
    alternates = [link for link in links if _attribute(link, "rel") in _ALTERNATE]
    pages = [link for link in alternates if _attribute(link, "type") in _PAGES]
    found = (resolved(source, _href(link), link.bases) for link in (*pages, *alternates) if _href(link))
    return next((url for url in found if url), "")


def person(element: Element) -> str:
    """Gives who an author's element names: Atom's person (RFC 4287 section 3.2), or words as RSS has them."""
    named = element.words("atom:name", "name", "itunes:name")
    return next(iter([*named, *filter(None, [element.text]), *element.words("atom:email", "email")]), "")


def names(written: Sequence[str]) -> str:
    """Gives the names of authors as one line; an address stands in for a name that nobody gives."""
    people = [_name(one) for one in written]
    named = [person for person in people if person and "@" not in person]
    return ", ".join(dict.fromkeys(named or [person for person in people if person]))


def _name(written: str) -> str:
    written = written.strip()[:_LONGEST_NAME]
    match = _MAILBOX.fullmatch(written)
    return one_line(match[1] or match[2] if match else written)


def _push(source: Source, channel: Element) -> tuple[str, str]:
    """Gives the WebSub hub and topic that a feed names (WebSub section 4)."""
    found = {"hub": "", "self": ""}
    for link in channel.all("atom:link", "link"):
        for rel in _attribute(link, "rel").split():
            if rel in found and not found[rel] and _href(link):
                found[rel] = resolved(source, _href(link), link.bases)
    return found["hub"], found["self"]


def _refresh(channel: Element) -> timedelta | None:
    """Gives how often a publisher asks to be asked: `ttl` in minutes, else the syndication module's period."""
    found = None
    if count := _COUNT.fullmatch(next(iter(channel.words("ttl")), "")):
        found = timedelta(minutes=int(count[1]))
    elif period := _PERIODS.get(next(iter(channel.words("sy:updateperiod")), "").lower()):
        times = _COUNT.fullmatch(next(iter(channel.words("sy:updatefrequency")), "1"))
        found = period / int(times[1]) if times else period
    return min(found, _NEVER_SLOWER) if found else None


def _is_ended(channel: Element) -> bool:
    """Whether a feed says of itself that it takes no more: an archive (RFC 5005 section 4), a finished series."""
    is_finished = any(word.lower() == "yes" for word in channel.words("itunes:complete"))
    return is_finished or bool(channel.all("fh:archive"))


def _attribute(link: Element, name: str) -> str:
    return link.attributes.get(name, "").strip().lower()


def _href(link: Element) -> str:
    return link.attributes.get("href", "").strip()
