"""How documents go wrong on their way: each strategy takes a good one and gives it with a few slips."""

import json
from collections.abc import Callable, Sequence
from typing import Any

from hypothesis import strategies as st

from fuzz.seeds import DOCUMENTS
from hostile import FRAGMENTS

Draw = Callable[[st.SearchStrategy[Any]], Any]

_SCRAPS = (
    *(fragment.encode("utf-8", "surrogatepass") for fragment in FRAGMENTS),
    b"&#0;&#x110000;&nosuch;&amp;amp;lt;",
    b"<!--",
    b"<![CDATA[",
    b"<!DOCTYPE x [<!ENTITY a 'b'><!ENTITY c '&a;&a;'>]>&c;",
    b"<div>" * 300,
    b"[" * 300,
    b'{"a":' * 300,
    b"\xff\xfe\xf0\x9f\x00",
    b"9" * 400,
    b"-1e999",
    b"0000-00-00T99:99:99+99:99",
    b"2026-02-30T24:00:00",
)
_OTHER_VALUES: st.SearchStrategy[Any] = (
    st.none()
    | st.booleans()
    | st.sampled_from([0, -1, 10**30, 1e308, -0.0, "", "x", [], {}, [[]], [{}], {"@id": None}, "1" * 30])
    | st.sampled_from(FRAGMENTS)
)
_ENCODINGS = ("utf-16", "utf-32", "latin-1", "cp1252", "utf-7", "shift-jis", "utf-8-sig")


def _truncated(draw: Draw, document: bytes) -> bytes:
    end: int = draw(st.integers(0, len(document)))
    return document[:end]


def _cut(draw: Draw, document: bytes) -> bytes:
    start, end = _span(draw, document)
    return document[:start] + document[end:]


def _repeated(draw: Draw, document: bytes) -> bytes:
    start, end = _span(draw, document)
    times: int = draw(st.sampled_from([2, 3, 50]))
    return document[:end] + document[start:end] * times + document[end:]


def _moved(draw: Draw, document: bytes) -> bytes:
    start, end = _span(draw, document)
    rest = document[:start] + document[end:]
    place: int = draw(st.integers(0, len(rest)))
    return rest[:place] + document[start:end] + rest[place:]


def _with_scrap(draw: Draw, document: bytes) -> bytes:
    start, end = _span(draw, document)
    scrap: bytes = draw(st.sampled_from(_SCRAPS) | st.binary(max_size=8))
    return document[:start] + scrap + document[end:]


def _encoded_otherwise(draw: Draw, document: bytes) -> bytes:
    return document.decode("utf-8", "replace").encode(draw(st.sampled_from(_ENCODINGS)), "replace")


def _with_other_value(draw: Draw, document: bytes) -> bytes:
    """Gives JSON with one value of another kind, wherever it stands in a document."""
    start = document.find(b"{")
    try:
        value, length = json.JSONDecoder().raw_decode(document[start:].decode())
    except ValueError:
        return _with_scrap(draw, document)
    places = _places(value)
    if not places:
        return document
    holder, name = draw(st.sampled_from(places))
    value_there = holder[name]
    if isinstance(value_there, str) and draw(st.booleans()):
        holder[name] = value_there + draw(st.sampled_from(FRAGMENTS))
    else:
        holder[name] = draw(_OTHER_VALUES)
    text = json.dumps(value)
    return document[:start] + text.encode() + document[start:].decode()[length:].encode()


def _places(value: Any) -> list[tuple[Any, Any]]:
    """Gives every place in a JSON value, as what holds it and its name there."""
    named: Sequence[tuple[Any, Any]] = ()
    if isinstance(value, dict):
        named = [*value.items()]
    elif isinstance(value, list):
        named = [*enumerate(value)]
    return [(value, name) for name, _ in named] + [place for _, inner in named for place in _places(inner)]


def _span(draw: Draw, document: bytes) -> tuple[int, int]:
    start = draw(st.integers(0, len(document)))
    return start, min(len(document), start + draw(st.sampled_from([0, 1, 5, 30, 200])))


_SLIPS = (
    _truncated,
    _cut,
    _repeated,
    _moved,
    _with_scrap,
    _encoded_otherwise,
    _with_other_value,
    _with_other_value,
)


@st.composite
def slipped(draw: Draw, good: Sequence[bytes]) -> bytes:
    """One of these with up to four slips."""
    document: bytes = draw(st.sampled_from(good))
    for slip in draw(st.lists(st.sampled_from(_SLIPS), max_size=4)):
        document = slip(draw, document)
    return document


def documents() -> st.SearchStrategy[bytes]:
    """Documents of every format, most of them damaged."""
    return slipped(tuple(DOCUMENTS.values()))
