"""XML as it is found: a tree of any text, however broken, in time and memory that are bounded.

One reader for good and damaged documents alike, so that a feed is not read another way on the day that one
byte of it breaks.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from alerts.feeds.formats.xml_names import OUTERMOST, canonical, declared
from alerts.feeds.formats.xml_tokens import Token, tokens

MAX_ENTRIES = 5_000
_MAX_ELEMENTS = 150_000
_MAX_DEPTH = 100
_ENTRIES = {"item", "entry", "atom:entry", "atom:item"}


@dataclass(frozen=True, slots=True, eq=False)
class Element:
    """One element: its name and attributes as `xml_names` spells them, its text and children in order."""

    name: str
    attributes: Mapping[str, str]
    bases: tuple[str, ...]  # xml:base of those around it and its own, outermost first
    parts: list["str | Element"] = field(default_factory=list)

    @property
    def elements(self) -> list["Element"]:
        return [part for part in self.parts if isinstance(part, Element)]

    @property
    def text(self) -> str:
        """The element's own text, without white space at its ends."""
        return "".join(part for part in self.parts if isinstance(part, str)).strip()

    def all(self, *names: str) -> list["Element"]:
        """Gives the children of any of these names, in document order."""
        return [element for element in self.elements if element.name in names]

    def given(self, *names: str) -> "Element | None":
        """Gives the child that says something: of the first name that does; of several alike, the last."""
        for name in names:
            for element in reversed(self.all(name)):
                if element.text or element.elements:
                    return element
        return None

    def words(self, *names: str) -> list[str]:
        """Gives the texts of the children of these names, name by name, without those that are empty."""
        return [element.text for name in names for element in self.all(name) if element.text]


@dataclass(frozen=True, slots=True)
class Tree:
    """A document's root, and what an operator should know of how it was read."""

    root: Element
    warnings: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Open:
    element: Element
    written: str
    prefixes: Mapping[str, str]


def read(document: str) -> Tree | None:
    """Gives the tree of a document; None where there is no element in it.

    An entry that the document breaks off in is left out: the next poll brings it whole.
    """
    builder = _Builder()
    for token in tokens(document):
        builder.take(token)
        if builder.is_full:
            break
    return None if builder.root is None else Tree(builder.root, tuple(builder.warnings()))


class _Builder:
    """Puts a document's tokens together, with the elements that are open."""

    def __init__(self) -> None:
        self.root: Element | None = None
        self.is_full = False
        self._open: list[_Open] = []
        self._too_deep = 0  # start tags that were passed over and wait for their end
        self._was_too_deep = False
        self._is_damaged = False
        self._elements = 0
        self._entries = 0

    def take(self, token: Token) -> None:
        if token.kind == "text":
            if self._open:
                self._open[-1].element.parts.append(token.text)
        elif token.kind == "end":
            self._close(token.name.lower())
        elif len(self._open) >= _MAX_DEPTH:
            self._was_too_deep = True
            self._too_deep += token.kind == "start"
        elif self._open or self.root is None:
            self._begin(token)

    def _begin(self, token: Token) -> None:
        written = {name.lower(): value for name, value in reversed(token.attributes)}
        prefixes = declared(token.name, written, self._open[-1].prefixes if self._open else OUTERMOST)
        name = canonical(token.name, prefixes)
        self._elements += 1
        if name in _ENTRIES:
            self._end_open_entry(name)
            self._entries += 1
        self.is_full = self._entries > MAX_ENTRIES or self._elements > _MAX_ELEMENTS
        if self.is_full:
            return
        around = self._open[-1].element if self._open else None
        attributes = {
            canonical(key, prefixes) if ":" in key else key: value
            for key, value in written.items()
            if not key.startswith("xmlns")
        }
        base = attributes.get("xml:base", "").strip()
        bases = around.bases if around else ()
        element = Element(name, attributes, (*bases, base) if base else bases)
        if around is None:
            self.root = element
        else:
            around.parts.append(element)
        if token.kind == "start":
            self._open.append(_Open(element, token.name.lower(), prefixes))

    def _close(self, written: str) -> None:
        if self._too_deep:
            self._too_deep -= 1
            return
        for at in range(len(self._open) - 1, -1, -1):
            if self._open[at].written == written:
                self._is_damaged |= at < len(self._open) - 1
                del self._open[at:]
                return
        self._is_damaged = True

    def _end_open_entry(self, name: str) -> None:
        """Ends an entry whose end tag is missing where the next begins. Atom's content may hold an entry."""
        for at, opened in enumerate(self._open):
            if opened.element.name == name and (name == "item" or at == len(self._open) - 1):
                self._is_damaged = True
                del self._open[at:]
                return

    def warnings(self) -> Iterator[str]:
        if self.is_full:
            yield f"the document is too large: no more than its first {MAX_ENTRIES} entries are read"
        elif self._open:
            was_cut = self._leave_out_the_last()
            yield "the document breaks off" + (": the entry that it ends in was left out" if was_cut else "")
        elif self._is_damaged:
            yield "the document is damaged: its tags do not match"
        if self._was_too_deep:
            yield f"elements deeper than {_MAX_DEPTH} others were read as text"

    def _leave_out_the_last(self) -> bool:
        for around, opened in zip(self._open, self._open[1:], strict=False):
            if opened.element.name in _ENTRIES:
                del around.element.parts[-1]
                return True
        return False
