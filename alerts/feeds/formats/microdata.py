"""Live blogs written into the markup itself: microdata (the HTML standard, section 5) and RDFa Lite.

Objects come out in the shape of JSON-LD, so that one reader serves both.
"""

import re
from dataclasses import dataclass
from typing import Any

from selectolax.lexbor import LexborNode

from alerts.feeds.formats.source import Source

Object = dict[str, Any]

_MOST_NODES = 400_000  # more elements than any newsroom's page has
_MOST_REFERENCES = 2_000
# Texts whose paragraphs count; everything else is one line.
_BODIES = frozenset({"articleBody", "text", "description", "reviewBody"})
# On a link, these are its words: publishers put them there, though the standard says that the value is its URL.
_SAID = _BODIES | {"headline", "name", "alternativeHeadline", "author", "datePublished", "dateModified"}
_WORDS = ("articleBody", "text", "description", "headline", "name")
_TIME = re.compile(r"<time\b[^>]{0,500}?\bdatetime=\"([^\"]{1,100})\"")
_ADDRESSES = {
    "a": "href",
    "area": "href",
    "link": "href",
    "img": "src",
    "audio": "src",
    "video": "src",
    "source": "src",
    "iframe": "src",
    "embed": "src",
    "object": "data",
}


@dataclass(frozen=True, slots=True)
class _Dialect:
    """The attributes by which a markup says what is what."""

    scope: str
    kind: str
    field: str
    identity: tuple[str, ...]


_MICRODATA = _Dialect("itemscope", "itemtype", "itemprop", ("itemid",))
_RDFA = _Dialect("typeof", "typeof", "property", ("resource", "about"))


def items(source: Source) -> list[Object]:
    """Gives the top objects of a page's microdata, else of its RDFa, in document order."""
    for dialect in (_MICRODATA, _RDFA):
        if f"{dialect.kind}=" in source.text.lower():
            found = _Walk(source, dialect).items()
            if found:
                return found
    return []


class _Walk:
    """One pass over the elements of a page, in document order, without recursion."""

    def __init__(self, source: Source, dialect: _Dialect) -> None:
        self._source = source
        self._dialect = dialect
        self._found: list[Object] = []
        self._updates: list[tuple[Object, LexborNode]] = []
        # Fields inside fields are read again and again: what is read in all is bounded.
        self._readable = 4 * len(source.text)
        self._by_id: dict[str, LexborNode] | None = None
        self._references = 0

    def items(self) -> list[Object]:
        root = self._source.html.root
        waiting: list[tuple[LexborNode, Object | None, bool]] = [(root, None, False)] if root else []
        for _ in range(_MOST_NODES):
            if not waiting:
                break
            node, owner, is_referred = waiting.pop()
            inside = self._take(node, owner)
            if inside is not owner and inside is not None and not is_referred:
                # Referred elements refer no further: a page cannot send us round in circles.
                waiting += [(target, inside, True) for target in self._referred(node)]
            waiting += [(child, inside, is_referred) for child in reversed([*node.iter(include_text=False)])]
        for item, node in self._updates:
            self._complete(item, node)
        return self._found

    def _take(self, node: LexborNode, owner: Object | None) -> Object | None:
        """Notes what an element says, and gives the object that its children speak of."""
        attributes = node.attributes
        dialect = self._dialect
        fields = (attributes.get(dialect.field) or "").split()
        if dialect.scope not in attributes:
            if owner is not None:
                for field in fields:
                    self._note(owner, field, node)
            return owner
        item = self._item(node, attributes)
        if owner is not None and fields:
            for field in fields:
                owner.setdefault(_bare(field), []).append(item)
        else:
            self._found.append(item)
        return item

    def _item(self, node: LexborNode, attributes: dict[str, str | None]) -> Object:
        item: Object = {"@type": (attributes.get(self._dialect.kind) or "").split()}
        for name in self._dialect.identity:
            if given := (attributes.get(name) or "").strip():
                item.setdefault("@id", given)
        if fragment := (attributes.get("id") or "").strip():
            item["fragment"] = fragment
        if "liveBlogUpdate" in (attributes.get(self._dialect.field) or ""):
            self._updates.append((item, node))
        return item

    def _note(self, owner: Object, field: str, node: LexborNode) -> None:
        name = _bare(field)
        if value := self._value(node, name):
            owner.setdefault(name, []).append(value)

    def _value(self, node: LexborNode, field: str) -> str:
        attributes = node.attributes
        tag = node.tag or ""
        if (content := attributes.get("content")) is not None:
            return content.strip()
        if tag in _ADDRESSES and (tag in {"img", "link"} or field not in _SAID):
            link = (attributes.get(_ADDRESSES[tag]) or attributes.get("resource") or "").strip()
            return self._source.absolute(link)
        if stamp := attributes.get("datetime"):
            return stamp.strip()
        if tag in {"data", "meter"}:
            return (attributes.get("value") or "").strip()
        return self._read(node) if field in _BODIES else self._read(node, as_text=True)

    def _complete(self, item: Object, node: LexborNode) -> None:
        """Adds to an update what its markup shows and does not name: its time, and its words when none are named."""
        has_words = any(item.get(name) for name in _WORDS)
        if has_words and item.get("datePublished"):
            return
        markup = self._read(node)
        if not item.get("datePublished") and (stamp := _TIME.search(markup)):
            item["datePublished"] = stamp[1]
        if not has_words:
            item["articleBody"] = [markup]

    def _read(self, node: LexborNode, *, as_text: bool = False) -> str:
        if self._readable <= 0:
            return ""
        read = (node.text() if as_text else node.inner_html or "").strip()
        self._readable -= len(read)
        return read

    def _referred(self, node: LexborNode) -> list[LexborNode]:
        """Gives the elements that a scope names as its own though they stand elsewhere (itemref)."""
        names = (node.attributes.get("itemref") or "").split()
        if not names:
            return []
        if self._by_id is None:
            self._by_id = {}
            for one in self._source.html.css("[id]"):
                self._by_id.setdefault(one.attributes.get("id") or "", one)
        self._references += len(names)
        if self._references > _MOST_REFERENCES:
            return []
        return [self._by_id[name] for name in reversed(names) if name in self._by_id]


def _bare(field: str) -> str:
    """Gives a property's name without the vocabulary before it."""
    return field.replace("#", "/").replace(":", "/").rpartition("/")[2]
