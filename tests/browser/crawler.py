"""A scanner of mail: it opens every link that it finds, as programs do before a reader sees the mail."""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field

import aiohttp

from browser.window import Window

# All that a page refers to. Forms are left alone: scanners press no button.
_LINKS = """() => [...document.querySelectorAll("[href], [src]")]
  .map((each) => each.href || each.src)
  .filter((each) => typeof each === "string")"""
_METHODS = ("GET", "HEAD")
_AS_SCANNERS_ADD = ("?utm_source=mail", "?List-Unsubscribe=One-Click", "?action=stop-all")
_OWN = re.compile(r"^(/[un]/)[^/]+")


@dataclass
class Crawler:
    """Opens what lies under `base`; `opened` maps each address to the status that it answered."""

    base: str
    window: Window
    client: aiohttp.ClientSession
    opened: dict[str, int] = field(default_factory=dict)

    async def follow(self, links: Iterable[str]) -> None:
        """Opens the links, and all that their pages link to, each once with every method and in the browser."""
        waiting = list(links)
        while waiting:
            link = waiting.pop().partition("#")[0]
            if link in self.opened or not self._is_ours(link):
                continue
            self.opened[link] = await self._fetch(link)
            waiting += await self._load(link)

    def kinds(self) -> set[str]:
        """Gives what sorts of pages were opened: their paths, with a star for a token."""
        paths = (link.removeprefix(self.base).partition("?")[0] for link in self.opened)
        return {_OWN.sub(r"\1*", path) for path in paths}

    async def _fetch(self, link: str) -> int:
        """Asks without a browser, also with what scanners hang on an address; gives the status of the plain GET."""
        statuses = [
            await self._status(method, link + tail)
            for tail in ("", *(() if "?" in link else _AS_SCANNERS_ADD))
            for method in _METHODS
        ]
        return statuses[0]

    async def _status(self, method: str, link: str) -> int:
        async with self.client.request(method, link) as answer:
            await answer.read()
            return answer.status

    async def _load(self, link: str) -> list[str]:
        """Runs what the page holds, as long as it likes to run, and gives what it links to."""
        page = self.window.page
        await page.goto(link, wait_until="load")
        await page.wait_for_load_state("networkidle")
        found: list[str] = await page.evaluate(_LINKS)
        return found

    def _is_ours(self, link: str) -> bool:
        return link.startswith(f"{self.base}/")
