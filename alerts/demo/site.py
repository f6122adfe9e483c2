"""The newsroom's side of the demo: a web server that publishes the story's page as time goes by."""

import asyncio
import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime

from aiohttp import web

from alerts.demo.page import Timing, render
from alerts.demo.story import Delete, MarkKey, Mend, Story

PATH = "/live/storm-odile"
_JUST_BEFORE = 0.001
_Change = Delete | MarkKey | Mend


@dataclass(frozen=True, slots=True)
class Poll:
    """One visit of the poller: the story second it was shown, and the time of day."""

    second: float
    at: datetime


class LivePage:
    """The page, and its own log of when the poller came for it; `poller` is a part of its User-Agent."""

    def __init__(self, story: Story, url: str, *, pace: float, poller: str) -> None:
        self.url = url
        self.timing = Timing(opened=datetime.now(UTC), pace=pace)
        self.first_polled = asyncio.Event()
        self._story = story
        self._poller = poller
        self._polls: list[Poll] = []

    def start(self) -> None:
        """Starts the story; until then the page stands as it was before."""
        self.timing = Timing(self.timing.opened, datetime.now(UTC), self.timing.pace)

    def polls_after(self, second: float) -> list[Poll]:
        """Gives the visits of the poller that saw the page at or after a story second, the earliest first."""
        return [poll for poll in self._polls if poll.second >= second]

    @property
    def second(self) -> float:
        """The story second it is now.

        The story stops before a post is taken down, mended or marked until the poller has come for it: what
        could not be seen would be owed to nobody, and a change of what nobody saw is none.
        """
        second = self.timing.second(datetime.now(UTC))
        for change in self._story.changes:
            if isinstance(change, _Change) and change.at <= second and not self._was_polled(change):
                return min(second, change.at - _JUST_BEFORE)
        return second

    def _was_polled(self, change: _Change) -> bool:
        posted = self._story.post(change.post_id).at
        return any(posted <= poll.second < change.at for poll in self._polls)

    def application(self) -> web.Application:
        app = web.Application()
        app.router.add_get("/", self._redirect)
        app.router.add_get(PATH, self._page)
        return app

    async def _redirect(self, _request: web.Request) -> web.Response:
        raise web.HTTPFound(PATH)

    async def _page(self, request: web.Request) -> web.StreamResponse:
        second = self.second
        body = render(self._story, second, self.timing, self.url).encode()
        tag = hashlib.sha256(body).hexdigest()[:16]
        headers = {"ETag": f'"{tag}"', "Cache-Control": "no-cache"}
        if self._poller in request.headers.get("User-Agent", ""):
            self._polls.append(Poll(second, datetime.now(UTC)))
            self.first_polled.set()
        if any(known.value == tag for known in request.if_none_match or ()):
            return web.Response(status=304, headers=headers)
        return web.Response(body=body, content_type="text/html", charset="utf-8", headers=headers)
