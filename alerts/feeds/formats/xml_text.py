"""The texts of XML feeds: plain, HTML escaped once or twice, XHTML in place, or base64; declared or not."""

import base64
import binascii
import html
import re
from dataclasses import dataclass
from typing import Literal

from alerts.feeds.formats.markup import as_html, one_line, plain, plain_as_html, unescaped_twice
from alerts.feeds.formats.xml_tree import Element

Kind = Literal["plain", "html", "xhtml"]

# What only markup has: an end tag, an element without one, an attribute. "Use <b> for bold" is words.
_MARKUP = re.compile(
    r"</[a-z][\w:-]*\s*>|<(?:br|hr|img|p|div|li)\b[^<>]*>|<[a-z][\w:-]*\s+[\w:-]+\s*=[^<>]*>|<!--|<!\[CDATA\[",
    re.IGNORECASE,
)
# A headline has no paragraphs: "How to centre a <div>" is words.
_MARKUP_OF_LINE = re.compile(
    r"</[a-z][\w:-]*\s*>|<br\s*/?>|<[a-z][\w:-]*\s+[\w:-]+\s*=[^<>]*>|<!--", re.IGNORECASE
)
_PLAIN = {"", "text", "plain", "text/plain"}
_XHTML = {"xhtml", "application/xhtml+xml"}
# No end tag in HTML.
_VOID = {"area", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "track", "wbr"}


_LONGEST = 100_000  # characters of one text: more fits no mail


@dataclass(frozen=True, slots=True)
class Text:
    """A text as it was given, what its format says that it is, and the bases of its links."""

    value: str
    kind: Kind
    bases: tuple[str, ...] = ()

    @property
    def line(self) -> str:
        """The text as a headline or a name."""
        if self.kind == "xhtml":
            return one_line(plain(self.value), is_plain=True)
        return one_line(
            self.value, is_plain=self.kind == "plain" or not _is_markup(self.value, _MARKUP_OF_LINE)
        )

    @property
    def html(self) -> str:
        """The text as HTML, which is not safe yet."""
        if self.kind == "xhtml":
            return self.value
        if self.kind == "plain":
            return plain_as_html(self.value)
        return as_html(self.value) if _is_markup(self.value) else plain_as_html(unescaped_twice(self.value))


def declared(element: Element) -> Text:
    """Reads a text of Atom, 1.0 (RFC 4287 section 3.1) or 0.3, at the word of its `type` and `mode`.

    Empty where the type is no text: a picture, a document of its own.
    """
    kind = element.attributes.get("type", "").lower().partition(";")[0].strip()
    mode = element.attributes.get("mode", "").lower().strip()
    if kind.endswith(("/xml", "+xml")) and kind not in _XHTML:
        return Text("", "plain")
    if element.elements:
        return Text(_inner(element)[:_LONGEST], "xhtml", element.bases)
    value = element.text[:_LONGEST]
    if mode == "base64" or not (kind in _PLAIN | _XHTML | {"html"} or kind.startswith("text/")):
        value = _unpacked(value)
    elif kind in _XHTML and mode != "escaped":
        return Text(html.escape(value, quote=False), "xhtml", element.bases)
    return Text(value, "plain" if kind in _PLAIN else "html", element.bases)


def undeclared(element: Element) -> Text:
    """Reads a text of RSS, which does not say whether it is plain or HTML: it is what it looks like."""
    if element.elements:
        return Text(_inner(element, may_hold_markup=True)[:_LONGEST], "xhtml", element.bases)
    return Text(element.text[:_LONGEST], "html", element.bases)


def _is_markup(value: str, evidence: re.Pattern[str] = _MARKUP) -> bool:
    return bool(evidence.search(value) or evidence.search(html.unescape(value)))


def _inner(element: Element, *, may_hold_markup: bool = False) -> str:
    """Gives what is in an element as HTML; its CDATA beside elements may be HTML already."""
    return "".join(
        _outer(part)
        if isinstance(part, Element)
        else part
        if may_hold_markup and _MARKUP.search(part)
        else html.escape(part, quote=False)
        for part in element.parts
    ).strip()


def _outer(element: Element) -> str:
    name = element.name.rpartition(":")[2]
    attributes = "".join(
        f' {key}="{html.escape(value)}"' for key, value in element.attributes.items() if ":" not in key
    )
    start = f"<{name}{attributes}>"
    return start if name in _VOID else f"{start}{_inner(element)}</{name}>"


def _unpacked(value: str) -> str:
    """Gives the text that base64 stands for; empty where it is no text."""
    try:
        return base64.b64decode(value).decode("utf-8")
    except (binascii.Error, ValueError):
        return ""
