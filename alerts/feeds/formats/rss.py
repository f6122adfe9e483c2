"""RSS 2.0 and 0.9x (rssboard.org/rss-specification), with the modules that publishers fill instead of it."""

from alerts.feeds.formats import xml_feed
from alerts.feeds.formats.source import Source, is_web
from alerts.feeds.formats.values import ParsedFeed
from alerts.feeds.formats.xml_feed import Item, resolved
from alerts.feeds.formats.xml_text import Text, undeclared
from alerts.feeds.formats.xml_text import declared as declared_text
from alerts.feeds.formats.xml_tree import Element

NAME = "rss"
_ROOTS = {"rss", "channel"}
_ITEMS = ("item", "entry")
_IDS = ("guid", "id", "atom:id")
_TITLES = ("title", "dc:title", "atom:title", "media:title", "itunes:title")
_BODIES = (
    "content:encoded", "fullitem", "xhtml:body", "body", "xhtml:div", "atom:content", "description",
    "dc:description", "dcterms:abstract", "itunes:summary", "media:description", "atom:summary", "summary",
    "itunes:subtitle",
)  # fmt: skip
_AUTHORS = ("author", "dc:creator", "dc:author", "atom:author", "itunes:author", "media:credit")
# Dublin Core's date is any event in an item's life (its section "date"): of the first, and of the last.
_PUBLISHED = (
    "pubdate", "atom:published", "published", "dcterms:issued", "issued", "dcterms:created", "created",
    "dc:date", "dcterms:date", "date",
)  # fmt: skip
_UPDATED = ("atom:updated", "updated", "dcterms:modified", "modified", "lastbuilddate", "dc:date")
_TAGS = ("category", "dc:subject", "media:category")
_KEYWORDS = ("keywords", "media:keywords", "itunes:keywords")
_MEDIA = ("media:group", "media:content")
_MAX_DEPTH = 4


def parse(source: Source) -> ParsedFeed | None:
    """Reads RSS 2.0 or 0.9x; None for anything else."""
    if source.xml is None or source.xml.root.name not in _ROOTS:
        return None
    root = source.xml.root
    return read(source, next(iter(root.all("channel")), root))


def read(source: Source, channel: Element) -> ParsedFeed:
    """Reads the feed of a channel, with the items in it or, as many have it, beside it."""
    assert source.xml is not None
    return xml_feed.feed(
        source,
        NAME,
        channel,
        title=next((text.line for text in _texts(channel, _TITLES) if text.line), ""),
        url=_link(source, channel),
        items=[_item(source, found) for found in items(source.xml.root)],
    )


def items(element: Element, depth: int = 0) -> list[Element]:
    """Gives the items of a document wherever its publisher put them, in document order."""
    found = []
    for child in element.elements:
        if child.name in _ITEMS:
            found.append(child)
        elif depth < _MAX_DEPTH:
            found += items(child, depth + 1)
    return found


def _item(source: Source, item: Element) -> Item:
    id_ = next(iter(item.words(*_IDS)), "") or item.attributes.get("rdf:about", "").strip()
    return Item(
        id=id_,
        url=_link(source, item) or _permalink(source, item, id_),
        titles=_texts(item, _TITLES),
        bodies=_texts(item, _BODIES),
        author=_author(item),
        published=item.words(*_PUBLISHED),
        updated=item.words(*_UPDATED),
        tags=_tags(item),
    )


def _link(source: Source, element: Element) -> str:
    """Gives the page of an item or a channel, written as RSS has it, as Atom has it, or as CDF had it."""
    for link in reversed(element.all("link")):
        if link.text and (url := resolved(source, link.text, link.bases)):
            return url
    return xml_feed.page(source, element.all("link", "atom:link")) or resolved(
        source, element.attributes.get("href", ""), element.bases
    )


def _permalink(source: Source, item: Element, id_: str) -> str:
    """Gives the page that an id is, if it is one: a guid says where it is none."""
    says = [guid.attributes.get("ispermalink", "true").strip().lower() for guid in item.all("guid")]
    if says and says[0] != "true":
        return source.absolute(next(iter(item.words("feedburner:origlink")), ""))
    return source.absolute(id_) if is_web(id_) else ""


def _texts(item: Element, names: tuple[str, ...]) -> list[Text]:
    """Gives the texts of these names, the likeliest first; of several alike, the last."""
    media = item.all(*_MEDIA)
    around = [item, *media, *(inner for outer in media for inner in outer.all(*_MEDIA))]
    found = [element for name in names for outer in around for element in reversed(outer.all(name))]
    return [
        declared_text(element) if element.name.startswith(("atom:", "media:")) else undeclared(element)
        for element in found
    ]


def _author(item: Element) -> str:
    """Gives who wrote an item: of the first kind of author that is a name, else an address."""
    given = [xml_feed.names([xml_feed.person(one) for one in item.all(name)]) for name in _AUTHORS]
    given = [author for author in given if author]
    return next((author for author in given if "@" not in author), next(iter(given), ""))


def _tags(item: Element) -> list[str]:
    terms = [link.attributes.get("term", "") for link in item.all("atom:category")]
    return [*item.words(*_TAGS), *terms, *(tag for line in item.words(*_KEYWORDS) for tag in line.split(","))]
