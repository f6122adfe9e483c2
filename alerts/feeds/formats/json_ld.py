"""JSON-LD as it stands in pages: several scripts, comments around it, slips in it, prefixes before its names."""

import html
import json
import re
from collections.abc import Iterator
from typing import Any, NamedTuple

from alerts.feeds.formats.json_mending import mended
from alerts.feeds.formats.source import Source

Object = dict[str, Any]

_MOST_SCRIPTS = 500
_MOST_IN_ONE = 200  # documents one after the other in a script
_WRAPPING = re.compile(
    r"^\s*(?:<!--|//\s*<!\[CDATA\[|/\*\s*<!\[CDATA\[\s*\*/|<!\[CDATA\[)|(?:-->|//\s*\]\]>|/\*\s*\]\]>\s*\*/|\]\]>)\s*$"
)
_BETWEEN = re.compile(r"[\s,;]*")
_PREFIXED = re.compile(r'"(?:schema:|https?://(?:www\.)?schema\.org/)\w+"\s*:')
_PREFIX = re.compile(r"(?:schema:|https?://(?:www\.)?schema\.org/)(?=\w+$)")
# What stands under these names is about something else than the page.
_ELSEWHERE = frozenset(
    {
        "isPartOf",
        "itemListElement",
        "mentions",
        "citation",
        "relatedLink",
        "significantLink",
        "isBasedOn",
        "isRelatedTo",
        "recommendation",
        "sharedContent",
        "subjectOf",
    }
)


class Found(NamedTuple):
    """An object of a document; `is_own` unless it stands where a page speaks of other pages."""

    value: Object
    is_own: bool


class Documents(NamedTuple):
    """What the JSON-LD of a page holds; `mended` and `broken` count the scripts that are no proper JSON."""

    read: list[Any]
    mended: int
    broken: int


def documents(source: Source, wanted: re.Pattern[str]) -> Documents:
    """Gives what a page's JSON-LD scripts hold.

    A broken script is mended only where its text matches `wanted`: mending costs.
    """
    found: list[Any] = []
    mends = broken = 0
    bare_document = source.text.lstrip("\ufeff \t\r\n")
    for text in [bare_document] if bare_document.startswith(("{", "[")) else _scripts(source):
        values = _read(text)
        if values is None:
            values = mended(_bare(text)) if wanted.search(text) else []
            mends, broken = mends + bool(values), broken + (not values)
        found += values
    return Documents(found, mends, broken)


def objects(document: Any) -> Iterator[Found]:
    """Gives every object inside a document, outer ones first; never by recursion, depth being the page's."""
    waiting = [(document, True)]
    while waiting:
        value, is_own = waiting.pop()
        if isinstance(value, dict):
            yield Found(value, is_own)
            waiting.extend(
                (inner, is_own and name not in _ELSEWHERE) for name, inner in reversed(list(value.items()))
            )
        elif isinstance(value, list):
            waiting.extend((inner, is_own) for inner in reversed(value))


def has_type(value: Object, name: str) -> bool:
    """Whether an object is of a schema.org type, written bare or with a prefix or URL before it."""
    given = value.get("@type", value.get("type"))
    types = given if isinstance(given, list) else [given]
    return any(
        isinstance(one, str) and re.split(r"[/:#]", one.strip())[-1].casefold() == name.casefold()
        for one in types
    )


def words(value: Any) -> str:
    """Gives the words of a value that may be a string, a number, an object with a name or text, or a list."""
    for _ in range(4):  # as deep as publishers nest a name
        if isinstance(value, str):
            return value
        if isinstance(value, bool) or value is None:
            return ""
        if isinstance(value, int | float):
            return str(value)
        if isinstance(value, list):
            value = next((one for one in value if one), None)
        elif isinstance(value, dict):
            value = next(
                (
                    value[key]
                    for key in ("@value", "name", "text", "headline", "articleBody", "@id", "url")
                    if value.get(key)
                ),
                None,
            )
    return ""


def _scripts(source: Source) -> Iterator[str]:
    for script in source.html.css("script[type]")[:_MOST_SCRIPTS]:
        kind = (script.attributes.get("type") or "").strip().lower()
        text = script.text() if kind.startswith("application/ld+json") else ""
        if text.strip():
            yield text


def _read(text: str) -> list[Any] | None:
    """Reads JSON with what pages put around it; None when it is no proper JSON."""
    bare = _bare(text)
    for candidate in (bare, html.unescape(bare)) if "&quot;" in bare else (bare,):
        try:
            return [_loaded(candidate)]
        except (ValueError, RecursionError):
            continue
    return _one_after_the_other(bare)


def _one_after_the_other(text: str) -> list[Any] | None:
    """Reads whole documents that stand together, or that have a stray bracket behind them."""
    decoder = json.JSONDecoder(strict=False)
    found: list[Any] = []
    at = 0
    while at < len(text) and len(found) < _MOST_IN_ONE:
        try:
            value, at = decoder.raw_decode(text, at)
        except (ValueError, RecursionError):
            is_stray = found and not text[at:].strip("}] \t\r\n;,")
            return found if is_stray else None
        if not isinstance(value, dict | list):
            return None
        found.append(value)
        at = _BETWEEN.match(text, at).end()  # type: ignore[union-attr] # it matches nothing, too
    return found


def _bare(text: str) -> str:
    bare = text.strip("\ufeff \t\r\n")
    for _ in range(2):  # a comment around a CDATA section
        bare = _WRAPPING.sub("", bare).strip()
    return bare.rstrip("; \t\r\n")


def _loaded(text: str) -> Any:
    """Reads JSON; names with schema.org's prefix lose it, as in expanded JSON-LD."""
    if _PREFIXED.search(text):
        return json.loads(text, strict=False, object_pairs_hook=_without_prefix)
    return json.loads(text, strict=False)


def _without_prefix(pairs: list[tuple[str, Any]]) -> Object:
    return {_PREFIX.sub("", name): value for name, value in pairs}
