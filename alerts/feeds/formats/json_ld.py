"""JSON-LD as it stands in pages: several scripts, comments around it, slips in it."""

import html
import json
import re
from collections.abc import Iterator
from typing import Any

from alerts.feeds.formats.source import Source

_WRAPPING = re.compile(
    r"^\s*(?:<!--|//\s*<!\[CDATA\[|/\*\s*<!\[CDATA\[\s*\*/|<!\[CDATA\[)|(?:-->|//\s*\]\]>|/\*\s*\]\]>\s*\*/|\]\]>)\s*$"
)
_TRAILING_COMMA = re.compile(r",(\s*[\]}])")


def documents(source: Source) -> tuple[list[Any], int]:
    """Gives what a page's JSON-LD scripts hold, and how many of them could not be read."""
    if source.json is not None:
        return [source.json], 0
    found, broken = [], 0
    for script in source.html.css("script[type]"):
        kind = (script.attributes.get("type") or "").strip().lower()
        if not kind.startswith("application/ld+json"):
            continue
        text = script.text()
        if not text.strip():
            continue
        document = _lenient(text)
        if document is None:
            broken += 1
        else:
            found.append(document)
    return found, broken


def objects(document: Any) -> Iterator[dict[str, Any]]:
    """Gives every object inside a document, outer ones first; never by recursion, depth being the page's."""
    waiting = [document]
    while waiting:
        value = waiting.pop()
        if isinstance(value, dict):
            yield value
            waiting.extend(reversed(list(value.values())))
        elif isinstance(value, list):
            waiting.extend(reversed(value))


def has_type(value: dict[str, Any], name: str) -> bool:
    """Whether an object is of a schema.org type, written bare or with a prefix or URL before it."""
    given = value.get("@type", value.get("type"))
    types = given if isinstance(given, list) else [given]
    return any(isinstance(one, str) and re.split(r"[/:#]", one.strip())[-1] == name for one in types)


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


def _lenient(text: str) -> Any:
    """Reads JSON with the slips seen in pages; None when it is past help."""
    bare = text.strip("\ufeff \t\r\n")
    for _ in range(2):  # a comment around a CDATA section
        bare = _WRAPPING.sub("", bare).strip()
    bare = bare.rstrip("; \t\r\n")
    repairs = [bare, _TRAILING_COMMA.sub(r"\1", bare)]
    if "&quot;" in bare:
        repairs.append(html.unescape(bare))
    for candidate in repairs:
        try:
            return json.loads(candidate, strict=False)
        except (ValueError, RecursionError):
            continue
    try:
        # A whole object with rubbish behind it: another object, a stray brace.
        value, _end = json.JSONDecoder(strict=False).raw_decode(bare)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict | list) else None
