"""Our own templates: every word can be translated, and every word can be seen."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path

import pytest
from babel.messages.catalog import Catalog
from babel.messages.extract import extract
from babel.messages.pofile import read_po, write_po
from selectolax.lexbor import LexborHTMLParser, LexborNode

from alerts.mail.render import AlertView, EntryView, Renderer, SiteView
from alerts.mail.templates import builtin_templates

CATALOGS = Path(__file__).parents[2] / "alerts" / "locale"
SITE = SiteView("8008", "https://8008.example", "8008", "a@8008.example", "c@8008.example", "1234")
ENTRY = EntryView(
    title="11",
    text="22",
    html="<p>33 <a href='https://3.example'>44</a></p><blockquote>55</blockquote>",
    author="66",
    url="https://7.example",
    published_at=None,
    is_key_event=True,
    source="88",
    also_by=("77",),
)
ALERT = AlertView((ENTRY,), ("99",) * 12, "flash", "en", datetime(2026, 11, 22, 8, tzinfo=UTC))


def messages() -> Catalog:
    """What `pybabel extract` finds in the templates of mails."""
    catalog = Catalog()
    for path in sorted((builtin_templates() / "mail").rglob("*.*")):
        with path.open("rb") as source:
            for _, message, comments, context in extract("jinja2", source, options={"trimmed": "true"}):
                catalog.add(message, auto_comments=comments, context=context)
    return catalog


def catalog(path: Path) -> Catalog:
    with path.open("rb") as source:
        return read_po(source)


def ids(of: Catalog) -> set[str | tuple[str, ...]]:
    return {tuple(each.id) if each.pluralizable else str(each.id) for each in of if each.id}


def test_the_template_for_translators_is_complete() -> None:
    missing = ids(messages()) - ids(catalog(CATALOGS / "alerts.pot"))
    assert not missing, "run the pybabel extract of docs/reference/mail.md"


@pytest.mark.parametrize(
    "path", sorted(CATALOGS.glob("*/LC_MESSAGES/alerts.po")), ids=lambda path: path.parts[-3]
)
def test_each_catalog_translates_every_word(path: Path) -> None:
    translated = catalog(path)
    assert ids(messages()) <= ids(translated)
    for message in translated:
        words = message.string if isinstance(message.string, (tuple, list)) else [message.string]
        assert all(words) or not message.id
        assert not message.fuzzy
        assert list(message.check()) == []


def pseudo_translated(folder: Path) -> Renderer:
    """A renderer in a language whose every word is a Greek letter, with the holes kept."""
    pseudo = Catalog(locale="el")
    for message in messages():
        holes = re.findall(r"%\(\w+\)[sd]", "".join(message.id))
        word = " ".join(["λ", *holes])
        if message.id:
            pseudo.add(message.id, (word, word) if message.pluralizable else word)
    written = BytesIO()
    write_po(written, pseudo)
    path = folder / "locale" / "el" / "LC_MESSAGES" / "alerts.po"
    path.parent.mkdir(parents=True)
    path.write_bytes(written.getvalue())
    return Renderer(SITE, (folder,))


@pytest.mark.parametrize("frequency", ["flash", "every"])
@pytest.mark.parametrize(
    "entry",
    [
        ENTRY,
        replace(ENTRY, title="", text="", html="", url=""),
        replace(ENTRY, html="<p>33</p>" * 9000, url="", is_key_event=False),
        replace(ENTRY, html="<p>33</p>" * 9000),
    ],
)
def test_no_english_word_stands_outside_of_the_catalogs(
    tmp_path: Path, frequency: str, entry: EntryView
) -> None:
    view = replace(ALERT, entries=(entry,), frequency=frequency, language="el")
    rendered = pseudo_translated(tmp_path).render(view)
    text = re.sub(r"\S+\.example\S*|Νοεμβρίου|π\.μ\.|και", "", rendered.text)
    assert set(re.findall(r"[^\W\d_]+", text)) == {"λ", "Λ"} & set(text)
    assert set(re.findall(r"[^\W\d_]+", rendered.subject)) <= {"λ"}
    page = LexborHTMLParser(rendered.html)
    page.strip_tags(["style"])
    shown = [page.root.text(separator=" ") if page.root else ""]
    shown += [value for node in page.css("[aria-label], [title], [alt]") for value in _spoken(node)]
    for words in shown:
        rest = re.sub(r"\S+\.example\S*|Νοεμβρίου|π\.μ\.|και", "", words)
        assert set(re.findall(r"[^\W\d_]+", rest)) <= {"λ"}


def _spoken(node: LexborNode) -> list[str]:
    return [node.attributes.get(name) or "" for name in ("aria-label", "title", "alt")]


# Colours: what stands on what, in both schemes.


def declarations(style: str) -> dict[str, str]:
    pairs = (each.split(":", 1) for each in style.replace("!important", "").split(";") if ":" in each)
    return {name.strip(): value.strip() for name, value in pairs}


def sheet(html: str, *, is_dark: bool) -> Iterator[tuple[str, dict[str, str]]]:
    """The rules of the page's style sheet that apply on a wide screen."""
    style = html.partition("<style>")[2].partition("</style>")[0]
    medias = re.findall(r"@media ([^{]+)\{\n(.*?)\n\}\n", style, re.DOTALL)
    plain = re.sub(r"@media [^{]+\{\n.*?\n\}\n", "", style, flags=re.DOTALL)
    dark = "".join(rules for condition, rules in medias if "dark" in condition)
    for selectors, body in re.findall(r"([^{}]+)\{([^}]*)\}", plain + (dark if is_dark else "")):
        for selector in selectors.split(","):
            yield selector.strip(), declarations(body)


def colours(html: str, *, is_dark: bool) -> Iterator[tuple[str, str, str]]:
    """Each text of the page with its colour and the colour behind it."""
    page = LexborHTMLParser(html)
    own: dict[int, dict[str, str]] = {}
    for node in page.css("body, body *"):
        own[node.mem_id] = declarations(node.attributes.get("style") or "")
    for selector, rules in sheet(html, is_dark=is_dark):
        if selector.startswith((".", "body")):
            for node in page.css(selector):
                own[node.mem_id] |= rules
    for node in page.css("body *"):
        if node.text(deep=False).strip():
            yield (
                node.text(deep=False).strip(),
                _inherited(node, "color", own),
                _inherited(node, "background-color", own),
            )


def _inherited(node: LexborNode | None, name: str, own: Mapping[int, Mapping[str, str]]) -> str:
    while node is not None:
        if name in own.get(node.mem_id, {}):
            return own[node.mem_id][name]
        node = node.parent
    raise AssertionError(f"no {name} is set")


def luminance(colour: str) -> float:
    """Relative luminance, WCAG 2.2."""
    channels = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    red, green, blue = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


@pytest.mark.parametrize("is_dark", [False, True])
def test_every_text_can_be_read_in_both_schemes(*, is_dark: bool) -> None:
    html = Renderer(SITE, ()).render(ALERT).html
    html = html[: html.index('<div style="display:none')] + html[html.index('<div role="article"') :]
    seen = list(colours(html, is_dark=is_dark))
    assert {"Key event", "11", "44", "55", "Read on"} <= {text for text, _, _ in seen}
    for text, ink, paper in seen:
        lighter, darker = sorted((luminance(ink), luminance(paper)), reverse=True)
        assert (lighter + 0.05) / (darker + 0.05) >= 4.5, f"{text!r}: {ink} on {paper}"
    assert {paper for text, _, paper in seen if text == "11"} == ({"#1c1e22"} if is_dark else {"#ffffff"})


def test_no_text_is_smaller_than_16_pixels() -> None:
    html = Renderer(SITE, ()).render(ALERT).html
    sizes = [
        int(size) for size in re.findall(r"(\d+)px/\d+px|font-size: ?(\d+)", html) for size in size if size
    ]
    assert min(size for size in sizes if size) >= 16


def test_nothing_is_loaded_from_afar() -> None:
    html = Renderer(SITE, ()).render(ALERT).html
    assert not re.search(r"<(img|link|script|iframe|object|video|audio)|url\(|@import|\bsrc=", html)
