"""How readers work a page: with a pointer, or with a keyboard and nothing else; both without help of scripts."""

from playwright.async_api import Locator, Page

from browser import keyboard
from browser.window import Window

_MOST_OPTIONS = 50
_SIDEWAYS = "() => document.documentElement.scrollWidth - window.innerWidth"


class Pointer:
    """A mouse or a finger; what it points at is found by the name that is read out, as for everybody."""

    def __init__(self, window: Window) -> None:
        self.window = window

    @property
    def page(self) -> Page:
        return self.window.page

    async def press(self, label: str, *, after: str = "") -> None:
        """Presses a button, of the form that has the field `after` when it is given, and gets the next page."""
        form = self.page.locator("form", has=self.page.get_by_label(after, exact=True))
        button = (form if after else self.page).get_by_role("button", name=label, exact=True).first
        async with self.page.expect_navigation():
            await self._activate(button)
        await self._look_around()

    async def follow(self, label: str) -> None:
        """Follows a link on the page."""
        async with self.page.expect_navigation():
            await self._activate(self.page.get_by_role("link", name=label, exact=True))
        await self._look_around()

    async def unfold(self, label: str) -> None:
        """Opens what is folded away below its label."""
        summary = self.page.locator("summary", has_text=label).first
        await self._activate(summary)
        assert await summary.evaluate("(element) => element.parentElement.open")

    async def type(self, label: str, text: str) -> None:
        await self.page.get_by_label(label, exact=True).fill(text)

    async def choose(self, label: str, option: str) -> None:
        """Chooses from a list."""
        await self.page.get_by_label(label, exact=True).select_option(option)

    async def pick(self, label: str, *, of: str) -> None:
        """Picks one of the group `of`."""
        await self.page.get_by_role("group", name=of).get_by_label(label, exact=True).check()

    async def _activate(self, control: Locator) -> None:
        await control.click()

    async def _look_around(self) -> None:
        assert await self.page.evaluate(_SIDEWAYS) <= 0, "the page scrolls sideways"


class Keyboard(Pointer):
    """Tab, the arrows, Space and Enter; what has the focus must be seen to have it."""

    async def type(self, label: str, text: str) -> None:
        await self._reach(self.page.get_by_label(label, exact=True))
        await self.page.keyboard.type(text)

    async def choose(self, label: str, option: str) -> None:
        field = self.page.get_by_label(label, exact=True)
        await self._reach(field)
        await self.page.keyboard.type(option)
        chosen = await field.evaluate("(select) => select.selectedOptions[0].text.trim()")
        assert chosen == option

    async def pick(self, label: str, *, of: str) -> None:
        group = self.page.get_by_role("group", name=of)
        wanted = group.get_by_label(label, exact=True)
        await keyboard.reach(self.page, group.get_by_role("radio"))
        await self.page.keyboard.press("Space")
        for _ in range(_MOST_OPTIONS):
            if await wanted.is_checked():
                return
            await self.page.keyboard.press("ArrowDown")
        raise AssertionError(f"The arrows do not come to {label}.")

    async def _activate(self, control: Locator) -> None:
        await self._reach(control)
        await self.page.keyboard.press("Enter")

    async def _reach(self, control: Locator) -> None:
        await keyboard.reach(self.page, control)
