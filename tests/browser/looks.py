"""Looks at a page as different readers do, and gives what is wrong for any of them."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from axe_playwright_python.base import AXE_SCRIPT
from playwright.async_api import Page

from browser import keyboard

_MEASURE = (Path(__file__).parent / "measure.js").read_text()
_AXE_RULES = {
    "runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"],
    "resultTypes": ["violations", "incomplete"],
}
_AXE = f"""async () => {{
  const found = await axe.run(document, {json.dumps(_AXE_RULES)});
  const told = (each) => each.nodes.map((node) => `${{each.id}}: ${{node.html.slice(0, 120)}} ${{node.failureSummary}}`);
  return [...found.violations, ...found.incomplete].flatMap(told);
}}"""
# WCAG 2.2, 1.4.12: readers may space text so, and nothing may be lost.
_SPACED = """() => document.querySelectorAll("*").forEach((each) => Object.assign(each.style,
  { lineHeight: "1.5", letterSpacing: "0.12em", wordSpacing: "0.16em" }))"""
# As a reader does in the settings of their browser.
_LARGE_TEXT = """() => { document.documentElement.style.fontSize = "200%" }"""
_REMEMBER = """() => { window.before = [...document.querySelectorAll("*")].map((each) => [each, each.getAttribute("style")]) }"""
_RESTORE = """() => window.before.forEach(([each, style]) =>
  style === null ? each.removeAttribute("style") : Object.assign(each.style, { cssText: style }))"""
_SIZES = (
    "() => [...document.querySelectorAll('*')].map((each) => parseFloat(getComputedStyle(each).fontSize))"
)
_NOT_LARGER = """(before) => [...document.querySelectorAll("*")]
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
    is_asked: bool = False  # whether axe-core is asked, too


_PLAIN = {"color_scheme": "light", "reduced_motion": "no-preference", "forced_colors": "none"}
LOOKS = (
    Look("on a phone", 320, _PLAIN, is_asked=True),
    Look(
        "on a desk, in the dark, with little motion",
        1280,
        _PLAIN | {"color_scheme": "dark", "reduced_motion": "reduce"},
        is_asked=True,
    ),
    Look("in forced colours", 320, _PLAIN | {"forced_colors": "active"}),
    Look("with text twice as large", 640, _PLAIN, _LARGE_TEXT),
    Look("with text spaced out", 320, _PLAIN, _SPACED),
)


async def faults(page: Page) -> list[str]:
    """Gives all that is wrong, each with who is hindered by it; the page is not fit for use afterwards."""
    found = await keyboard.faults(page)
    await page.evaluate("() => document.querySelectorAll('details').forEach((each) => { each.open = true })")
    await page.evaluate(AXE_SCRIPT)
    return found + [f"{look.name}: {fault}" for look in LOOKS for fault in await _seen(page, look)]


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
    if look.is_asked:
        found += await page.evaluate(_AXE)
    return found
