"""What a publisher may do to a whole document without telling news, by name."""

import hashlib
import json
import re
from collections.abc import Callable
from html import escape, unescape
from random import Random

from fakes.site import Reply
from traps.surgery import SCRIPT, Document, with_dates, with_ids

_PROLOG_ENCODING = re.compile(r"""(<\?xml[^>]*?)\s+encoding=["'][^"']*["']""")
_CDATA = re.compile(r"<!\[CDATA\[(.*?)\]\]>", re.DOTALL)
_ESCAPED = re.compile(r"(<(description|title|summary)>)([^<]*&[^<]*)(</\2>)")

Transform = Callable[[Document], Document | Reply]


def reversed_(document: Document) -> Document:
    return document.of(list(reversed(document.entries)))


def shuffled(document: Document) -> Document:
    listed = list(document.entries)
    Random(7).shuffle(listed)
    return document.of(listed)


def halved(document: Document) -> Document:
    return document.of(document.entries[: (len(document.entries) + 1) // 2])


def one_left(document: Document) -> Document:
    return document.of(document.entries[:1])


def rekeyed(change: Callable[[str], str]) -> Transform:
    """Changes every id and address of every entry."""

    def apply(document: Document) -> Document:
        return document.of([with_ids(entry, change) for entry in document.entries])

    return apply


def redated(moment: str) -> Transform:
    """Gives every entry this one date; takes the dates away where it is empty."""

    def apply(document: Document) -> Document:
        return document.of([with_dates(entry, moment) for entry in document.entries])

    return apply


def in_charset(charset: str) -> Transform:
    """Writes the document in another charset, and says so where the format has a place for it."""

    def apply(document: Document) -> Reply:
        text = document.join(document.entries)
        if document.kind == "xml":
            text = _PROLOG_ENCODING.sub(rf'\1 encoding="{charset}"', text)
        else:
            text = "".join(letter if _fits(letter, charset) else json.dumps(letter)[1:-1] for letter in text)
        body = text.encode(charset, "xmlcharrefreplace")
        mime = document.content_type.partition(";")[0]
        return Reply(body, content_type=f"{mime}; charset={charset}")

    return apply


def in_ascii(document: Document) -> Reply:
    """Writes each letter beyond ASCII as a reference, or as JSON's escape."""
    text = document.join(document.entries)
    if document.kind != "xml":
        text = re.sub(r"[^\x00-\x7f]", lambda found: json.dumps(found[0])[1:-1], text)
    return Reply(text.encode("ascii", "xmlcharrefreplace"), content_type=document.content_type)


def cdata_escaped(document: Document) -> Document:
    """Writes as escaped text what was in CDATA."""
    return document.of(
        [
            _CDATA.sub(lambda found: escape(found[1]), entry) if isinstance(entry, str) else entry
            for entry in document.entries
        ]
    )


def escaped_in_cdata(document: Document) -> Document:
    """Writes in CDATA what was escaped."""
    return document.of(
        [
            _ESCAPED.sub(lambda found: f"{found[1]}<![CDATA[{unescape(found[3])}]]>{found[4]}", entry)
            if isinstance(entry, str)
            else entry
            for entry in document.entries
        ]
    )


def spaced(document: Document) -> Reply:
    """Writes the document with other white space between its parts."""
    text = document.join(document.entries)
    if document.kind == "json":
        text = json.dumps(json.loads(text), indent="\t")
    elif document.kind == "json-ld":
        text = SCRIPT.sub(lambda found: f"{found[1]}\n<!--\n{found[2]}\n-->\n{found[3]}", text)
    else:
        text = re.sub(r"(</(?:\w+:)?(?:title|link|guid|id|pubDate|item|entry)>)", "\\1\r\n\t", text)
    return Reply(text.encode(), content_type=document.content_type)


def empty(document: Document) -> Document:
    return document.of([])


def cut_off(document: Document, part: float = 0.5) -> Reply:
    """Breaks the document off at a part of its bytes."""
    body = document.join(document.entries).encode()
    return Reply(body[: int(len(body) * part)], content_type=document.content_type)


def sorry(document: Document) -> Reply:
    return Reply(b"<!doctype html><title>Sorry</title><h1>Something went wrong</h1>")


def _fits(letter: str, charset: str) -> bool:
    try:
        letter.encode(charset)
    except UnicodeEncodeError:
        return False
    return True


def _hashed(value: str) -> str:
    return f"https://cms.example/x/{hashlib.sha256(value.encode()).hexdigest()[:20]}"


TRANSFORMS: dict[str, Transform] = {
    "reversed": reversed_,
    "shuffled": shuffled,
    "halved": halved,
    "one left": one_left,
    "https": rekeyed(lambda value: value.replace("http:", "https:")),
    "http": rekeyed(lambda value: value.replace("https:", "http:")),
    "www": rekeyed(lambda value: re.sub(r"://(?:www\.)?", "://www.", value)),
    "tracked": rekeyed(
        lambda value: f"{value}?utm_source=rss" if "://" in value and "?" not in value else value
    ),
    "other ids": rekeyed(_hashed),
    "all dates one": redated("2026-11-22T09:00:00Z"),
    "all dates gone": redated(""),
    "utf-16": in_charset("utf-16"),
    "latin-1": in_charset("iso-8859-1"),
    "ascii": in_ascii,
    "cdata escaped": cdata_escaped,
    "escaped in cdata": escaped_in_cdata,
    "spaced": spaced,
    "empty": empty,
    "cut off": cut_off,
    "an error page": sorry,
}
# After these the newest entry need not be on the page any more.
LOSSY = frozenset({"empty", "cut off", "an error page"})


def transformed(document: Document, name: str) -> Reply:
    made = TRANSFORMS[name](document)
    return made if isinstance(made, Reply) else made.reply()
