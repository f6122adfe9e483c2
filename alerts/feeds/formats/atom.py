"""Atom 1.0 (RFC 4287), 0.3 and what was before it; deleted entries by RFC 6721."""

from collections.abc import Sequence

from alerts.feeds.formats import xml_feed
from alerts.feeds.formats.source import Source, is_web
from alerts.feeds.formats.times import Clock
from alerts.feeds.formats.values import ParsedFeed
from alerts.feeds.formats.xml_feed import Item, resolved
from alerts.feeds.formats.xml_text import Text, declared
from alerts.feeds.formats.xml_tree import Element

NAME = "atom"


def _atom(*names: str) -> tuple[str, ...]:
    """Gives names in Atom's namespace, and without it: some feeds forget to declare it."""
    return tuple(spelled for name in names for spelled in (f"atom:{name}", name))


_FEED = _atom("feed")
_ENTRY = _atom("entry")
_ITEMS = _atom("entry", "item")
_TITLES = (*_atom("title"), "dc:title", "media:title")
_BODIES = (*_atom("content"), "xhtml:body", *_atom("summary"), "media:description", "dc:description")
# `issued`, `modified` and `created` are Atom 0.3's.
_PUBLISHED = (*_atom("published", "issued"), "dcterms:issued", *_atom("created"))
_UPDATED = (*_atom("updated", "modified"), "dcterms:modified", "dc:date")
_MEDIA = "media:group"


def parse(source: Source) -> ParsedFeed | None:
    """Reads an Atom feed, or an entry that is a document of its own; None for anything else."""
    root = source.xml.root if source.xml else None
    if root is None or root.name not in (*_FEED, "atom:entry"):
        return None
    entries = [root] if root.name in _ENTRY else root.all(*_ITEMS)
    withdrawn = _withdrawn(root, entries)
    return xml_feed.feed(
        source,
        NAME,
        root,
        title=next((text.line for text in _texts(root, _TITLES) if text.line), ""),
        url=_url(source, root),
        items=[_item(source, root, entry) for entry in entries if _id(entry) not in withdrawn],
        withdrawn=withdrawn,
    )


def _item(source: Source, feed: Element, entry: Element) -> Item:
    return Item(
        id=_id(entry),
        url=_url(source, entry),
        titles=_texts(entry, _TITLES),
        bodies=_texts(entry, _BODIES),
        author=_author(feed, entry),
        published=entry.words(*_PUBLISHED),
        updated=entry.words(*_UPDATED),
        tags=[
            tag.attributes.get("term", "") or tag.attributes.get("label", "") or tag.text
            for tag in entry.all(*_atom("category"), "dc:subject")
        ],
    )


def _id(entry: Element) -> str:
    return next(iter(entry.words(*_atom("id", "guid"))), "")


def _url(source: Source, entry: Element) -> str:
    """Gives the page of an entry or a feed: its alternate, else where its content is, else its id where that is a page."""
    links = entry.all(*_atom("link"))
    if url := xml_feed.page(source, links):
        return url
    for content in entry.all(*_atom("content")):
        if where := content.attributes.get("src", ""):
            return resolved(source, where, content.bases)
    written = next((link.text for link in links if link.text), "") or _id(entry)
    return source.absolute(written) if is_web(written) else ""


def _texts(element: Element, names: Sequence[str]) -> list[Text]:
    around = (element, *element.all(_MEDIA))
    found = [text for name in names for outer in around for text in reversed(outer.all(name))]
    return [declared(text) for text in found]


def _author(feed: Element, entry: Element) -> str:
    """Gives who wrote an entry: its own authors, those of its source, those of the feed (section 4.2.1)."""
    for element in (entry, *entry.all(*_atom("source")), feed):
        authors = element.all(*_atom("author")) or element.all("dc:creator")
        if names := xml_feed.names([xml_feed.person(author) for author in authors]):
            return names
    return ""


def _withdrawn(feed: Element, entries: Sequence[Element]) -> tuple[str, ...]:
    """Gives the ids of deleted entries; one that was published again since is there (RFC 6721 section 3)."""
    clock = Clock()
    updated = {_id(entry): clock.read(*entry.words(*_UPDATED, *_PUBLISHED)) for entry in entries}
    found = []
    for tombstone in feed.all("at:deleted-entry"):
        id_ = tombstone.attributes.get("ref", "").strip()
        when = clock.read(tombstone.attributes.get("when"))
        since = updated.get(id_)
        if id_ and not (when and since and since > when):
            found.append(id_)
    return tuple(dict.fromkeys(found))
