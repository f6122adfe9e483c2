"""The turns of long windows at the database: one at a time, the shorter first, and a twentieth of its time in all.

A window of a thousand entries keeps the database for as long as a hundred polls of a live blog do, and on SQLite
nobody else has it meanwhile.
"""

import asyncio
import heapq
import itertools
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from typing import TypeVar

from alerts.errors import FetchFailed
from alerts.feeds.formats import ParsedFeed

T = TypeVar("T")

# The longest live blog of our practice pages, 428 posts, is about a fifth of a second.
_SECONDS_PER_ENTRY, _SECONDS_PER_LETTER = 0.0003, 0.0000005
_LONG = 0.1  # seconds that a comparison is thought to take: less is stored like any other
_REST = 19  # times what one took before the next
_PATIENCE = 20  # who takes a second lets those pass that come so many seconds later and take none
_MOST_WAITING = 8  # each keeps its window in memory


def seconds(parsed: ParsedFeed) -> float:
    """Gives about how long a window keeps the database, when all of it is new."""
    letters = sum(len(entry.title) + len(entry.text) for entry in parsed.entries)
    return _SECONDS_PER_ENTRY * len(parsed.entries) + _SECONDS_PER_LETTER * letters


@dataclass(slots=True)
class LongWindows:
    """Who waits for a turn, and whether one has it."""

    _waiting: list[tuple[float, int, asyncio.Future[None]]] = field(default_factory=list)
    _numbers: Iterator[int] = field(default_factory=itertools.count)
    _is_taken: bool = False

    async def in_turn(self, parsed: ParsedFeed, store: Callable[[], Awaitable[T]]) -> T:
        """Stores a window, at once if it is short; raises FetchFailed when too many long ones wait."""
        expected = seconds(parsed)
        if expected < _LONG:
            return await store()
        if len(self._waiting) >= _MOST_WAITING:
            raise FetchFailed(
                "Other documents with many entries are compared first: this one waits for its next poll."
            )
        loop = asyncio.get_running_loop()
        turn: asyncio.Future[None] = loop.create_future()
        heapq.heappush(self._waiting, (loop.time() + _PATIENCE * expected, next(self._numbers), turn))
        self._give()
        try:
            await turn
        except asyncio.CancelledError:
            if not turn.cancelled():  # it came in the same moment
                self._pass_on()
            raise
        began = loop.time()
        try:
            return await store()
        finally:
            loop.call_later(_REST * (loop.time() - began), self._pass_on)

    def _pass_on(self) -> None:
        self._is_taken = False
        self._give()

    def _give(self) -> None:
        while self._waiting and not self._is_taken:
            *_, turn = heapq.heappop(self._waiting)
            if not turn.done():  # who waited may have gone
                self._is_taken = True
                turn.set_result(None)
