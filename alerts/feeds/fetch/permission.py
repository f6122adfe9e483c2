"""What the robots.txt of each site permits us: asked for once a day, and remembered."""

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from yarl import URL

from alerts.errors import FetchFailed
from alerts.feeds.fetch.robots import Rules, read

Ask = Callable[[URL], Awaitable[tuple[int, bytes]]]

_KEPT = timedelta(days=1)  # RFC 9309 section 2.4
_MANY = 1_000
_OK, _UNAVAILABLE, _UNREACHABLE = 200, 400, 500  # where those begin: section 2.3.1


@dataclass(slots=True)
class _Site:
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    rules: Rules | None = None
    until: datetime | None = None


class Permission:
    """Remembers each site's rules, and which addresses turned out to be pages they keep us from."""

    def __init__(self, user_agent: str) -> None:
        self._user_agent = user_agent
        self._sites: OrderedDict[str, _Site] = OrderedDict()
        self._kept_from: OrderedDict[str, datetime] = OrderedDict()

    async def why_not(self, url: URL, ask: Ask, now: datetime) -> str:
        """Says why a page may not be fetched, or nothing when it may; `ask` fetches a robots.txt when needed."""
        site = _kept(self._sites, str(url.origin()), _Site())
        async with site.lock:
            if site.rules is None or site.until is None or now >= site.until:
                trouble = await self._learn(site, url, ask, now)
                if trouble and site.rules is None:
                    return trouble
        assert site.rules is not None, "learnt, or kept from the day before"
        if site.rules.allow(url.raw_path_qs):
            return ""
        return (
            "The site's robots.txt keeps robots away from this page: use its feed, ask its owner, "
            "or set obey_robots = false for this feed if the page is yours."
        )

    def note_page(self, url: str, now: datetime) -> None:
        """Remembers that an address is a page we are kept from, so that it is not even asked for."""
        self._kept_from[url] = now + _KEPT
        _drop_oldest(self._kept_from)

    def is_kept_page(self, url: str, now: datetime) -> bool:
        return url in self._kept_from and now < self._kept_from[url]

    async def _learn(self, site: _Site, url: URL, ask: Ask, now: datetime) -> str:
        """Reads the site's robots.txt anew; says what stands in the way, and leaves the old rules then."""
        try:
            status, body = await ask(url.origin() / "robots.txt")
        except FetchFailed as error:
            return f"The site's robots.txt cannot be had, so its pages are left alone. {error}"
        if status >= _UNREACHABLE:
            return (
                f"The site's robots.txt cannot be had (the server answered {status}), so its pages are left "
                "alone for now; set obey_robots = false for this feed if the page is yours."
            )
        is_given = _OK <= status < _UNAVAILABLE
        # Half a megabyte of rules is work for the processor.
        site.rules = await asyncio.to_thread(read, body, self._user_agent) if is_given else Rules()
        site.until = now + _KEPT
        return ""


def _kept(sites: OrderedDict[str, _Site], origin: str, new: _Site) -> _Site:
    site = sites.setdefault(origin, new)
    sites.move_to_end(origin)
    _drop_oldest(sites)
    return site


def _drop_oldest(kept: OrderedDict[str, Any]) -> None:
    while len(kept) > _MANY:
        kept.popitem(last=False)
