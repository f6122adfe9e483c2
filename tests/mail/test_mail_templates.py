"""Our own templates: every word can be seen, whatever the colours and the writing."""

import gc
import re
import weakref
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from babel import Locale
from babel.localedata import locale_identifiers
from selectolax.lexbor import LexborHTMLParser, LexborNode

from alerts.mail.render import AlertView, DigestEntry, DigestView, EntryView, NoticeView, Renderer, SiteView
from alerts.mail.templates import Templates, builtin_templates

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


RENDERER = Renderer(SITE, ())
DIGEST = DigestView(
    tuple(
        DigestEntry(replace(ENTRY, title=str(n)), ("99",), mark) for n, mark in ((11, "updated"), (12, ""))
    ),
    *(("99",), "daily", "en", datetime(2026, 11, 22, 8, tzinfo=UTC), "Europe/Paris", True),
)
NOTICE = NoticeView("confirm", "en", (("99", "daily"),), datetime(2026, 11, 22, 8, tzinfo=UTC))
MAILS = {
    "alert": RENDERER.render(ALERT).html,
    "digest": RENDERER.render_digest(DIGEST).html,
    "notice": RENDERER.render_notice(NOTICE).html,
}


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
@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("alert", {"Key event", "11", "44", "55", "Read on", "View in browser"}),
        ("digest", {"Key event", "Updated", "11", "12", "33", "44", "Daily digest", "Read on"}),
        ("notice", {"Confirm your alerts", "99: a daily digest"}),
    ],
)
def test_every_text_can_be_read_in_both_schemes(kind: str, words: set[str], *, is_dark: bool) -> None:
    html = MAILS[kind]
    html = html[: html.index("</head>")] + html[html.index('<div role="article"') :]
    seen = list(colours(html, is_dark=is_dark))
    assert words <= {text for text, _, _ in seen}
    for text, ink, paper in seen:
        lighter, darker = sorted((luminance(ink), luminance(paper)), reverse=True)
        assert (lighter + 0.05) / (darker + 0.05) >= 4.5, f"{text!r}: {ink} on {paper}"
    papers = {paper for text, _, paper in seen if text not in {"Read on", "Confirm your alerts"}}
    assert papers == ({"#1c1e22"} if is_dark else {"#ffffff"})


@pytest.mark.parametrize("kind", MAILS)
def test_no_text_is_smaller_than_16_pixels(kind: str) -> None:
    sizes = re.findall(r"(\d+)px/\d+px|font-size: ?(\d+)", MAILS[kind])
    assert min(size for each in sizes for size in map(int, filter(None, each)) if size) >= 16


@pytest.mark.parametrize("kind", MAILS)
def test_nothing_is_loaded_from_afar(kind: str) -> None:
    assert not re.search(r"<(img|link|script|iframe|object|video|audio)|url\(|@import|\bsrc=", MAILS[kind])


@pytest.mark.parametrize(
    "path",
    sorted(path for kind in ("html", "css") for path in builtin_templates().rglob(f"*.{kind}")),
    ids=lambda path: path.name,
)
def test_no_layout_knows_left_from_right(path: Path) -> None:
    # A quotation's bar changes sides by a rule of its own, as mail programs know no logical sides.
    source = re.sub(r".*blockquote.*", "", path.read_text(encoding="utf-8"))
    left, right = (re.findall(rf"(?:-|: ?){side}\b", source) for side in ("left", "right"))
    assert len(left) == len(right)


# Languages: a visitor's browser may name any, in any order.


@pytest.fixture
def own(tmp_path: Path) -> Templates:
    (tmp_path / "web").mkdir()
    (tmp_path / "web" / "own.html").write_text('{{ "Europe/Vienna"|place }}, {{ _("Sign up") }}')
    return Templates([tmp_path], "web", ["own.html"])


def test_what_a_filter_makes_of_a_constant_is_each_languages_own(own: Templates) -> None:
    said = {name: own.of(own.locale(name))["own.html"].render() for name in ("en", "de", "de-AT")}
    assert said == {"en": "Vienna, Sign up", "de": "Wien, Anmelden", "de-AT": "Wien, Anmelden"}


def test_a_template_is_compiled_once_for_all_languages(own: Templates) -> None:
    found = [own.of(own.locale(each))["own.html"] for each in ("en", "en-GB", "de", "de-CH")]
    assert len({each.root_render_func.__code__ for each in found}) == 1


def test_no_number_of_languages_grows_without_bound(own: Templates) -> None:
    first = weakref.ref(own.of(Locale.parse("en_GB"))["own.html"])
    assert first() is not None
    for each in locale_identifiers():
        if each.partition("_")[0] in ("en", "de") and each != "en_GB":
            own.of(Locale.parse(each))
    gc.collect()
    assert first() is None
