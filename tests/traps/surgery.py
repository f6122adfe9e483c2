"""Documents taken apart and put together again with other bytes that mean the same, or are no news.

The cuts are made in the document as it stands, in XML by its text and in JSON by its objects, so that what a
publisher wrote around and between the entries stays, and the parsers are in the test.
"""

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from html import escape, unescape
from itertools import pairwise
from typing import Any

from fakes.site import Reply

Entry = str | dict[str, Any]

_XML_ENTRY = re.compile(r"<((?:\w+:)?(?:item|entry))(?:\s[^>]*)?>.*?</\1\s*>", re.DOTALL)
SCRIPT = re.compile(r"(<script[^>]*ld\+json[^>]*>)(.*?)(</script>)", re.DOTALL | re.IGNORECASE)
_XML_IDS = re.compile(r"""(<(?:\w+:)?(guid|id|link)(?:\s[^>]*)?>\s*)([^<]+?)(\s*</(?:\w+:)?\2>)""", re.DOTALL)
_XML_LINKS = re.compile(r"""(<(?:\w+:)?link\b[^>]*?href=["']|\brdf:about=["'])()([^"']+)(["'])""")
_XML_DATES = re.compile(
    r"(<(?:\w+:)?(pubDate|date|published|updated|modified|issued|created)(?:\s[^>]*)?>)([^<]*)(</(?:\w+:)?\2>)"
)
_JSON_IDS = ("@id", "id", "url", "external_url", "mainEntityOfPage", "identifier", "share_link")
_JSON_DATES = (
    "datePublished",
    "dateModified",
    "dateCreated",
    "uploadDate",
    "date_published",
    "date_modified",
)


@dataclass(frozen=True, slots=True)
class Document:
    """A document around its entries; `join` writes it again with others in their place."""

    kind: str  # xml, json, json-ld
    entries: tuple[Entry, ...]
    join: Callable[[Sequence[Entry]], str]
    content_type: str

    def reply(self) -> Reply:
        return Reply(self.join(self.entries).encode(), content_type=self.content_type)

    def of(self, entries: Sequence[Entry]) -> "Document":
        return replace(self, entries=tuple(entries))


def dissect(text: str, content_type: str) -> Document | None:
    """Takes a document apart; None where its entries are not found."""
    if text.lstrip()[:1] in {"{", "["}:
        return _json(json.loads(text), content_type)
    if found := _json_ld(text, content_type):
        return found
    entries = list(_XML_ENTRY.finditer(text))
    if not entries:
        return None
    head, tail = text[: entries[0].start()], text[entries[-1].end() :]
    between = [text[one.end() : other.start()] for one, other in pairwise(entries)]
    if any(one.strip() for one in between):
        return None
    gap = between[0] if between else "\n"
    return Document(
        "xml",
        tuple(one[0] for one in entries),
        lambda listed: head + gap.join(str(one) for one in listed) + tail,
        content_type,
    )


def _json(document: Any, content_type: str) -> Document | None:
    name = next((name for name in ("items", "entries") if name in document), None)
    if name is None:
        return None
    return Document(
        "json",
        tuple(document[name]),
        lambda listed: json.dumps(document | {name: list(listed)}, ensure_ascii=False),
        content_type,
    )


def _json_ld(text: str, content_type: str) -> Document | None:
    for script in SCRIPT.finditer(text):
        try:
            posting = json.loads(script[2], strict=False)
        except ValueError:
            continue
        if not isinstance(posting, dict) or not isinstance(posting.get("liveBlogUpdate"), list):
            continue

        def join(listed: Sequence[Entry], script: re.Match[str] = script, posting: Any = posting) -> str:
            filled = json.dumps(posting | {"liveBlogUpdate": list(listed)}, ensure_ascii=False)
            return text[: script.start(2)] + filled.replace("</", "<\\/") + text[script.end(2) :]

        return Document("json-ld", tuple(posting["liveBlogUpdate"]), join, content_type)
    return None


def with_news(document: Document, title: str, body: str, moment: str) -> Document:
    """Gives a document with one entry more on top, shaped like its first: ids where that has ids."""
    first = document.entries[0]
    if isinstance(first, str):
        return document.of([_xml_news(first, title, body, moment), *document.entries])
    fresh = {
        name: _other(value) if name in _JSON_IDS and isinstance(value, str) else value
        for name, value in first.items()
    }
    for name in ("headline", "title", "name"):
        if name in fresh:
            fresh[name] = title
    for name in ("articleBody", "content_html", "content_text", "content", "html", "render", "text"):
        if name in fresh:
            fresh[name] = body
    fresh |= {name: moment for name in _JSON_DATES if name in fresh}
    return document.of([fresh, *document.entries])


def _xml_news(first: str, title: str, body: str, moment: str) -> str:
    kept = "".join(
        f"{opening}{_other(value)}{closing}" if name else f"{opening}{_other(value)}{closing.rstrip()}/>"
        for opening, name, value, closing in _XML_IDS.findall(first) + _XML_LINKS.findall(first)
        if not opening.startswith("rdf:about")
    )
    tag = _tag(first)
    prefix = tag[: tag.index(":") + 1] if ":" in tag else ""
    start = first[: first.index(">") + 1]
    text = "content" if tag.endswith("entry") else "description"
    dates = "".join(f"{opening}{moment}{closing}" for opening, _, _, closing in _XML_DATES.findall(first)[:1])
    return (
        _XML_LINKS.sub(lambda found: f"{found[1]}{_other(found[3])}{found[4]}", start)
        + f"<{prefix}title>{escape(title)}</{prefix}title>{kept}{dates}"
        + f"<{prefix}{text}>{escape(body)}</{prefix}{text}></{tag}>"
    )


def _tag(entry: str) -> str:
    return re.match(r"<([\w:]+)", entry)[1]  # type: ignore[index]  # an entry begins with its tag


def _other(value: str) -> str:
    """Gives an id of the same shape that no other entry bears."""
    return re.sub(r"\d+(?!.*\d)", "987654", value) if re.search(r"\d", value) else f"{value}-987654"


def with_ids(entry: Entry, change: Callable[[str], str]) -> Entry:
    """Gives an entry whose every id and address is changed."""
    if isinstance(entry, str):
        for pattern in (_XML_IDS, _XML_LINKS):
            entry = pattern.sub(
                lambda found: f"{found[1]}{escape(change(unescape(found[3])))}{found[4]}", entry
            )
        return entry
    return {
        name: change(value) if name in _JSON_IDS and isinstance(value, str) else value
        for name, value in entry.items()
    }


def with_dates(entry: Entry, moment: str) -> Entry:
    """Gives an entry with this one date throughout; with none where the moment is empty."""
    if isinstance(entry, str):
        return _XML_DATES.sub(rf"\g<1>{moment}\g<4>" if moment else "", entry)
    kept = {name: value for name, value in entry.items() if name not in _JSON_DATES}
    return kept | ({name: moment for name in _JSON_DATES if name in entry} if moment else {})
