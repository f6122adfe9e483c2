"""The tokens of XML as it is found, in time that its length alone decides."""

import html
import re
from collections.abc import Iterator
from html.entities import html5
from itertools import islice
from typing import NamedTuple

_MAX_ENTITIES = 500
_MAX_SUBSET = 50_000  # characters of a document type that are read
_MAX_ATTRIBUTES = 20_000  # characters of one tag that are read

_MAX_TOKENS = 1_000_000

_MARKUP = re.compile(r"<(?=[!?/]|[^\W\d])")
_NAME = r"[^\W\d][\w.-]*+(?::[\w.-]++)?+"
# XML allows no "<" in an attribute's value (section 3.1): a quote that was forgotten swallows no other tag.
_TAG = re.compile(rf"""<(/?)({_NAME})((?:[^<>"']++|"[^"<]*"|'[^'<]*')*+)>""")
_ODD_TAG = re.compile(rf"<(/?)({_NAME})([^<>]*)>")
_ATTRIBUTE = re.compile(rf"""(?<![\w.:-])({_NAME})\s*+=\s*+(?:"([^"]*)"|'([^']*)'|([^\s"'>]+))""")
_CDATA = "<![CDATA["
# A document type ends at its first ">", too: what else is in it is passed over piece by piece.
_SPECIALS = ((_CDATA, "]]>"), ("<!--", "-->"), ("<!", ">"), ("<?", ">"))
_SUBSET = re.compile(r"<!DOCTYPE[^\[>]*+\[", re.IGNORECASE)
_SUBSET_END = re.compile(r"\]\s*+>")
_ENTITY = re.compile(
    r"""<!ENTITY\s++([\w.-]{1,32})\s++(?:"([^"<&%]{0,200}|&\#\w{1,7};)"|'([^'<&%]{0,200}|&\#\w{1,7};)')\s*+>"""
)
_REFERENCE = re.compile(r"&(#\d{1,7}|#[xX][0-9a-fA-F]{1,6}|[A-Za-z][\w.-]{0,31});")
_PREDEFINED = {"lt": "<", "gt": ">", "amp": "&", "quot": '"', "apos": "'"}


class Token(NamedTuple):
    """A run of `text`, or a tag that is a `start`, an `end` or `empty` (both), by its name as written."""

    kind: str
    name: str = ""
    text: str = ""
    attributes: tuple[tuple[str, str], ...] = ()


def tokens(document: str) -> Iterator[Token]:
    """Gives the tokens of any text, up to a million. What is no markup is text.

    Entities are those of XML and HTML, declared or not, and plain ones of the document's own; none of them
    is expanded twice, and none is fetched.
    """
    entities = _declared(document)
    at = 0
    for _ in range(_MAX_TOKENS):
        markup = _MARKUP.search(document, at)
        start = markup.start() if markup else len(document)
        if start > at:
            yield Token("text", text=_decoded(document[at:start], entities))
        if markup is None:
            return
        if tag := _TAG.match(document, start) or _ODD_TAG.match(document, start):
            yield _tag(tag, entities)
            at = tag.end()
        else:
            text, at = _special(document, start)
            if text:
                yield Token("text", text=text)


def _special(document: str, start: int) -> tuple[str, int]:
    """Gives the text of markup that is no tag, and where it ends: what has no end goes on to the last.

    Comments, instructions and document types are nothing. A sign that begins no markup is itself.
    """
    for opening, closing in _SPECIALS:
        after = start + len(opening)
        if document[start:after].upper() == opening:
            end = document.find(closing, after)
            text = document[after : end if end >= 0 else None] if opening == _CDATA else ""
            # One section in another is the same text wrapped twice.
            return text.replace(_CDATA, ""), end + len(closing) if end >= 0 else len(document)
    return "<", start + 1


def _declared(document: str) -> dict[str, str]:
    """Gives the entities of a document's own type that stand for plain characters."""
    found: dict[str, str] = {}
    begin = _SUBSET.search(document, 0, _MAX_SUBSET)
    end = _SUBSET_END.search(document, begin.end(), begin.end() + _MAX_SUBSET) if begin else None
    if begin and end:
        for entity in islice(_ENTITY.finditer(document, begin.end(), end.start()), _MAX_ENTITIES):
            found.setdefault(entity[1], html.unescape(entity[2] or entity[3] or ""))
    return found


def _tag(tag: re.Match[str], entities: dict[str, str]) -> Token:
    if tag[1]:
        return Token("end", tag[2])
    raw = tag[3][:_MAX_ATTRIBUTES]
    attributes = tuple(
        (found[1], _decoded(found[2] or found[3] or found[4] or "", entities))
        for found in _ATTRIBUTE.finditer(raw)
    )
    return Token("empty" if tag[3].endswith("/") else "start", tag[2], attributes=attributes)


def _decoded(text: str, entities: dict[str, str]) -> str:
    if "&" not in text:
        return text.replace("]]>", "")

    def character(reference: re.Match[str]) -> str:
        name = reference[1]
        if name.startswith("#"):
            return html.unescape(reference[0])  # knows what Windows-1252 numbers are meant for
        return _PREDEFINED.get(name) or entities.get(name) or html5.get(f"{name};") or reference[0]

    return _REFERENCE.sub(character, text.replace("]]>", ""))
