"""Which posts a live-blog page itself calls key events: flagged on the post, or linked from a key-points block."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from selectolax.lexbor import LexborNode

from alerts.feeds.formats.markup import one_line
from alerts.feeds.formats.source import Source
from alerts.feeds.formats.values import FeedEntry

_BLOCK_NAME = re.compile(
    r"(?:^|[\s_-]|\b)(?:key[-_]?(?:points?|events?|moments?|developments?)|summary|highlights)", re.IGNORECASE
)
_CAMEL = re.compile(r"(?<=[a-z])(?=[A-Z])")
_BLOCK_HEADING = re.compile(
    r"(?:key (?:points|events|moments|developments|updates)|punti chiave|puntos clave|momentos clave"
    r"|points cl[ée]s|les moments cl[ée]s|das wichtigste(?: in k[üu]rze)?|pontos[- ]chave|kernpunten):?",
    re.IGNORECASE,
)
_HEADINGS = "h1, h2, h3, h4, h5, h6, strong, b, summary, button, legend, caption, header"
_FLAG = re.compile(r"(?:^|[\s_-])key[-_ ]?(?:event|moment)s?(?:$|[\s_-])", re.IGNORECASE)
_FLAG_ATTRIBUTES = ("data-type", "data-post-type", "data-entry-type", "data-block-type", "class")
_NAMING = (
    "class",
    "id",
    "aria-label",
    "data-testid",
    "data-test-id",
    "data-component",
    "data-block",
    "data-type",
    "data-gu-name",
)
# A block that links to more of the posts than this is a table of contents, or wraps the posts themselves.
_MOST_OF_MANY = 0.6
_MANY = 4
# A page nests and repeats what it likes: looking is bounded.
_MOST_BLOCKS = 100
_MOST_ANCHORS = 200
_MOST_HEADINGS = 1000


def marked(source: Source, entries: Sequence[FeedEntry]) -> list[FeedEntry]:
    """Gives the entries with the page's word on which are key events.

    Where the page names at least one of them, the others are none; where it names none, it is unknown.
    """
    flagged = _flagged(source, entries)
    linked = _linked(source, entries)
    if not flagged and not linked:
        return list(entries)
    return [
        replace(
            entry,
            is_key_event=number in flagged or number in linked,
            key_event_by="feed" if number in flagged else "block",
        )
        for number, entry in enumerate(entries)
    ]


def _flagged(source: Source, entries: Sequence[FeedEntry]) -> set[int]:
    """Gives the numbers of the entries whose element on the page carries a flag of its own."""
    numbers = _by_name(entries)
    found: set[int] = set()
    for node in source.html.css("[id]"):
        if any(_FLAG.search(node.attributes.get(name) or "") for name in _FLAG_ATTRIBUTES):
            found |= numbers.get(node.attributes.get("id") or "", set())
    return set() if _is_too_many(found, entries) else found


def _linked(source: Source, entries: Sequence[FeedEntry]) -> set[int]:
    """Gives the numbers of the entries that a key-points block links to, by address, id or words."""
    targets = _Targets(
        urls=_owners(entries, lambda entry: [entry.url]),
        names=_by_name(entries),
        titles=_owners(entries, lambda entry: [entry.title.casefold()]),
    )
    found: set[int] = set()
    for block in _blocks(source):
        in_block = {
            number for anchor in block.css("a")[:_MOST_ANCHORS] for number in targets.of(source, anchor)
        }
        if not _is_too_many(in_block, entries):
            found |= in_block
    return found


@dataclass(frozen=True, slots=True)
class _Targets:
    """Which entries an anchor may mean."""

    urls: dict[str, set[int]]
    names: dict[str, set[int]]
    titles: dict[str, set[int]]

    def of(self, source: Source, anchor: LexborNode) -> set[int]:
        href = (anchor.attributes.get("href") or "").strip()
        link = source.absolute(href)
        fragment = href.rpartition("#")[2] if "#" in href else ""
        return (
            self.urls.get(link)
            or self.names.get(fragment)
            or self.names.get(anchor.attributes.get("data-id") or "")
            or self.titles.get(one_line(anchor.text(), is_plain=True).casefold())
            or set()
        )


def _blocks(source: Source) -> list[LexborNode]:
    named = [
        node
        for node in source.html.css(", ".join(f"[{name}]" for name in _NAMING))
        if node.tag not in {"html", "body", "main"}
        and any(_BLOCK_NAME.search(_CAMEL.sub("-", node.attributes.get(name) or "")) for name in _NAMING)
    ]
    headed = [
        node.parent
        for node in source.html.css(_HEADINGS)[:_MOST_HEADINGS]
        if node.parent is not None and _BLOCK_HEADING.fullmatch(one_line(node.text(), is_plain=True))
    ]
    return (headed + named)[:_MOST_BLOCKS]


def _by_name(entries: Sequence[FeedEntry]) -> dict[str, set[int]]:
    """Gives each name that may stand for one entry in its page: its id, and the fragment of its id or URL."""
    return _owners(
        entries,
        lambda entry: [
            entry.key or "",
            *(value.rpartition("#")[2] for value in (entry.url, entry.key or "") if "#" in value),
        ],
    )


def _owners(entries: Sequence[FeedEntry], names: Callable[[FeedEntry], list[str]]) -> dict[str, set[int]]:
    """Gives the numbers of the entries that bear each name; a name that different entries bear names none."""
    bearers: dict[str, set[int]] = {}
    for number, entry in enumerate(entries):
        for name in names(entry):
            if name:
                bearers.setdefault(name, set()).add(number)
    return {
        name: numbers
        for name, numbers in bearers.items()
        if len({(entries[number].key, entries[number].url, entries[number].title) for number in numbers}) == 1
    }


def _is_too_many(found: set[int], entries: Sequence[FeedEntry]) -> bool:
    return len(entries) >= _MANY and len(found) > _MOST_OF_MANY * len(entries)
