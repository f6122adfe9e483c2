"""Looks at a page as different readers do, and gives what is wrong for any of them."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from axe_playwright_python.base import AXE_SCRIPT
from playwright.async_api import Page

from browser import keyboard

_MEASURE = (Path(__file__).parent / "measure.js").read_text()
_ALL_RULES = {"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]}
_COLOUR_RULES = {"runOnly": {"type": "rule", "values": ["color-contrast", "link-in-text-block"]}}
# Some hundred zones to choose from, which the browser draws.
_AXE = """async (rules) => {
  const found = await axe.run({ exclude: ["option"] }, { ...rules, resultTypes: ["violations", "incomplete"] });
  const told = (each) => each.nodes.map((node) => `${each.id}: ${node.html.slice(0, 120)} ${node.failureSummary}`);
  return [...found.violations, ...found.incomplete].flatMap(told);
}"""
# WCAG 2.2, 1.4.12: readers may space text so, and nothing may be lost.
_SPACED = """() => document.querySelectorAll(":not(option)").forEach((each) => Object.assign(each.style,
  { lineHeight: "1.5", letterSpacing: "0.12em", wordSpacing: "0.16em" }))"""
# As a reader does in the settings of their browser.
_LARGE_TEXT = """() => { document.documentElement.style.fontSize = "200%" }"""
_REMEMBER = """() => { window.before = [...document.querySelectorAll(":not(option)")].map((each) => [each, each.getAttribute("style")]) }"""
_RESTORE = """() => window.before.forEach(([each, style]) =>
  style === null ? each.removeAttribute("style") : Object.assign(each.style, { cssText: style }))"""
_SIZES = "() => [...document.querySelectorAll(':not(option)')].map((each) => parseFloat(getComputedStyle(each).fontSize))"
_NOT_LARGER = """(before) => [...document.querySelectorAll(":not(option)")]
  .filter((each, place) => parseFloat(getComputedStyle(each).fontSize) < 1.9 * before[place])
  .filter((each) => each.checkVisibility() && (each.innerText || (each.value && !["checkbox", "radio"].includes(each.type))) && document.body.contains(each))
  .map((each) => `stays as small as it is: <${each.localName} class="${each.className}">`)"""


@dataclass(frozen=True, slots=True)
class Look:
    """How a page is looked at."""

    name: str
    width: int
    media: Mapping[str, Any]
    change: str = ""
    rules: Mapping[str, Any] | None = None  # of axe-core, where it is asked, too


_PLAIN = {"color_scheme": "light", "reduced_motion": "no-preference", "forced_colors": "none"}
LOOKS = (
    Look("on a phone", 320, _PLAIN, rules=_ALL_RULES),
    Look(
        "on a desk, in the dark, with little motion",
        1280,
        _PLAIN | {"color_scheme": "dark", "reduced_motion": "reduce"},
        rules=_COLOUR_RULES,
    ),
    Look("in forced colours", 320, _PLAIN | {"forced_colors": "active"}),
    Look("with text twice as large", 640, _PLAIN, _LARGE_TEXT),
    Look("with text spaced out", 320, _PLAIN, _SPACED),
)


async def faults(page: Page, *, is_variant: bool = False) -> list[str]:
    """Gives all that is wrong, each with who is hindered by it; the page is not fit for use afterwards.

    At a variant of a page it looks once, at all that words can spoil.
    """
    found = [] if is_variant else await keyboard.faults(page)
    await page.evaluate("() => document.querySelectorAll('details').forEach((each) => { each.open = true })")
    await page.evaluate(AXE_SCRIPT)
    return found + [
        f"{look.name}: {fault}"
        for look in LOOKS[: 1 if is_variant else None]
        for fault in await _seen(page, look)
    ]


async def _seen(page: Page, look: Look) -> list[str]:
    await page.set_viewport_size({"width": look.width, "height": 800})
    await page.emulate_media(**look.media)
    before = await page.evaluate(_SIZES)
    if look.change:
        await page.evaluate(_REMEMBER)
        await page.evaluate(look.change)
    found: list[str] = await page.evaluate(_MEASURE)
    if look.change is _LARGE_TEXT:
        found += await page.evaluate(_NOT_LARGER, before)
    if look.change:
        await page.evaluate(_RESTORE)
    if look.rules:
        found += await page.evaluate(_AXE, look.rules)
    return found
