"""A page in the hands of a reader who has a keyboard and nothing else."""

from dataclasses import dataclass
from itertools import pairwise

from playwright.async_api import Locator, Page

_MOST_STOPS = 400
# Where the focus is: which control, where on the page, and whether it can be seen there.
_STOP = """() => {
  const element = document.activeElement;
  if (!element || element === document.body || element === document.documentElement) return null;
  const [style, box] = [getComputedStyle(element), element.getBoundingClientRect()];
  const words = element.getAttribute("aria-label") || element.name || element.innerText || element.href || "";
  return {
    place: [...document.querySelectorAll("*")].indexOf(element),
    name: `<${element.localName}> ${words.trim().slice(0, 40)}`,
    top: box.top + scrollY,
    bottom: box.bottom + scrollY,
    along: document.documentElement.dir === "rtl" ? innerWidth - box.right : box.left,
    is_marked: style.outlineStyle === "auto" || (style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 2),
    is_in_sight: box.bottom > 0 && box.top < innerHeight && box.width > 0,
  };
}"""
# All that the keyboard must come to. Of a group of radio buttons it stops at one, and its arrows choose.
_CONTROLS = """() => {
  const all = [...document.querySelectorAll("*")];
  const controls = "a[href], button, summary, select, textarea, input:not([type=hidden])";
  const isReachable = (each) => each.checkVisibility({ visibilityProperty: true }) && !each.disabled && each.tabIndex >= 0;
  const reachable = [...document.querySelectorAll(controls)].filter(isReachable);
  const group = (each) => reachable.filter((one) => one.type === "radio" && one.name === each.name && one.form === each.form);
  const stop = (each) => group(each).find((one) => one.checked) ?? group(each)[0];
  const isStop = (each) => each.type !== "radio" || each === stop(each);
  return reachable.filter(isStop).map((each) => ({ place: all.indexOf(each), html: each.outerHTML.slice(0, 80) }));
}"""
_FROM_THE_TOP = (
    "() => { document.body.tabIndex = -1; document.body.focus(); document.body.removeAttribute('tabindex') }"
)


@dataclass(frozen=True, slots=True)
class Stop:
    """A control that has the focus."""

    place: int
    name: str
    top: float
    bottom: float
    along: float  # the line, from where it begins
    is_marked: bool
    is_in_sight: bool


async def faults(page: Page) -> list[str]:
    """Walks through the whole page, and gives what a reader would trip over."""
    stops = await _walk(page)
    controls = await page.evaluate(_CONTROLS)
    found = [f"{stop.name}: one cannot see that it has the focus" for stop in stops if not stop.is_marked]
    found += [f"{stop.name}: has the focus out of sight" for stop in stops if not stop.is_in_sight]
    found += [
        f"{after.name}: comes after {before.name}, and stands before it"
        for before, after in pairwise(stops)
        if after.bottom <= before.top or (after.top < before.bottom and after.along < before.along)
    ]
    reached = {stop.place for stop in stops}
    found += [
        f"{each['html']}: the keyboard does not come here"
        for each in controls
        if each["place"] not in reached
    ]
    return found


async def reach(page: Page, target: Locator) -> None:
    """Moves the focus to a control, or to one of several, with nothing but Tab; one must see it there."""
    for _ in range(_MOST_STOPS):
        await page.keyboard.press("Tab")
        if await target.evaluate_all("(all) => all.includes(document.activeElement)"):
            stop = await _stop(page)
            assert stop is not None
            assert stop.is_marked, stop.name
            return
    raise AssertionError(f"The keyboard does not come to {target}.")


async def _walk(page: Page) -> list[Stop]:
    await page.evaluate(_FROM_THE_TOP)
    stops: list[Stop] = []
    seen: set[int] = set()
    for _ in range(_MOST_STOPS):
        await page.keyboard.press("Tab")
        stop = await _stop(page)
        if stop is None or (stop.place in seen and stop.place != stops[-1].place):
            break
        if stop.place not in seen:  # a date has several parts, each with the focus for itself
            stops.append(stop)
        seen.add(stop.place)
    return stops


async def _stop(page: Page) -> Stop | None:
    found = await page.evaluate(_STOP)
    return Stop(**found) if found else None
