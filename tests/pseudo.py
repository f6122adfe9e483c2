"""Languages that nobody speaks, made of our messages: what is not in them when a page is shown, nobody can translate.

In the first every message is accented, half as long again, and stands in brackets. The second is written from
right to left. Their locales are real ones, with dates that look like no word of ours.
"""

import re
from collections.abc import Iterator
from io import BytesIO
from itertools import chain, islice, repeat
from pathlib import Path

from babel.messages.catalog import Catalog
from babel.messages.pofile import write_po
from selectolax.lexbor import LexborHTMLParser

import words

LONG, RTL = "ja", "ar"
_PLAIN = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
_ACCENTED = "àƀçďéƒĝĥíĵķĺɱñöþǫŕšŧúṽŵẋýžÀƁÇĎÉƑĜĤÍĴĶĹṀÑÖÞǪŔŠŦÚṼŴẊÝŽ"
_ARABIC = "ابتثجحخدذرزسشصضطظعغفقكلمنه"
_TABLES = {
    LONG: str.maketrans(_PLAIN, _ACCENTED),
    RTL: str.maketrans(_PLAIN, _ARABIC * 2),
}
_HOLE = re.compile(r"(%\(\w+\)[sd])")
_OURS = re.compile(r"⟦[^⟦⟧]*⟧")
_DATES = re.compile(r"[年月火水木金土日曜午前後時分]")
_ADDRESSES = re.compile(r"\S+\.example\S*")
_SPOKEN = ("aria-label", "aria-roledescription", "title", "alt", "placeholder", "label")


def folder(path: Path) -> Path:
    """Gives a site's own folder that speaks both languages."""
    messages = words.messages(words.extracted())
    for language in (LONG, RTL):
        catalog = Catalog(locale=language)
        for message in messages:
            spoken = [_spoken(form, language) for form in words.forms(message.id)]
            # The last form is the one for many, whatever a language calls many.
            plurals = tuple(islice(chain(spoken, repeat(spoken[-1])), catalog.num_plurals))
            catalog.add(message.id, plurals if message.pluralizable else spoken[0])
        written = BytesIO()
        write_po(written, catalog)
        po = path / "locale" / language / "LC_MESSAGES" / "alerts.po"
        po.parent.mkdir(parents=True)
        po.write_bytes(written.getvalue())
    return path


def escaped(shown: str) -> set[str]:
    """Gives the words in a page, or in the text of a mail, that stand in no message of ours, nor in data of digits."""
    return {word for text in _texts(shown) for word in re.findall(r"[^\W\d_]+", _without_ours(text))}


def _spoken(message: str, language: str) -> str:
    parts = _HOLE.split(message)
    said = "".join(
        part if position % 2 else part.translate(_TABLES[language]) for position, part in enumerate(parts)
    )
    return f"⟦{said}{'·' * (sum(map(len, parts[::2])) // 2)}⟧"


def _texts(shown: str) -> Iterator[str]:
    if not shown.startswith("<!doctype"):
        yield shown
        return
    page = LexborHTMLParser(shown)
    page.strip_tags(["style", "script"])
    yield page.root.text(separator=" ") if page.root else ""
    for node in page.css("*"):
        yield from (node.attributes.get(name) or "" for name in _SPOKEN)
        if node.tag == "input" and node.attributes.get("type") in {"submit", "button", "reset"}:
            yield node.attributes.get("value") or ""


def _without_ours(text: str) -> str:
    while (less := _OURS.sub("", text)) != text:
        text = less
    return _DATES.sub("", _ADDRESSES.sub("", text))
