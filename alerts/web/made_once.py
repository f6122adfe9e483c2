"""What strangers may ask for as often as they like: made once a minute at most, and little of it at a time."""

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Hashable
from time import monotonic
from typing import Generic, TypeVar

from starlette.exceptions import HTTPException

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")

_BUSY = 503
_RETRY_AFTER = {"Retry-After": "5"}


class MadeOnce(Generic[K, V]):
    """Values by their key; who asks for one that is being made waits for that one.

    `weigh` says how much of `room` a value takes; of those that were made, the oldest give way.
    """

    def __init__(self, *, seconds: float, room: int, at_once: int, weigh: Callable[[V], int]) -> None:
        self._seconds = seconds
        self._room = room
        self._at_once = at_once
        self._weigh = weigh
        self._used = 0
        self._made: OrderedDict[K, tuple[V, float]] = OrderedDict()  # and until when they are good
        self._making: dict[K, asyncio.Task[V]] = {}

    async def get(self, key: K, make: Callable[[], Awaitable[V]]) -> V:
        """Gives the value, or raises what `make` does, of which nothing is kept.

        Raises HTTPException when too many others are being made.
        """
        found = self._made.get(key)
        if found is not None and monotonic() < found[1]:
            return found[0]
        if key not in self._making:
            if len(self._making) >= self._at_once:
                raise HTTPException(_BUSY, "Too many ask at once.", headers=_RETRY_AFTER)
            making = self._making[key] = asyncio.create_task(self._make(key, make))
            making.add_done_callback(_looked_at)  # whoever asked may have gone
        return await asyncio.shield(self._making[key])

    async def _make(self, key: K, make: Callable[[], Awaitable[V]]) -> V:
        try:
            value = await make()
        finally:
            del self._making[key]
        self._forget(key)
        self._made[key] = value, monotonic() + self._seconds
        self._used += self._weigh(value)
        while self._used > self._room:
            self._forget(next(iter(self._made)))
        return value

    def _forget(self, key: K) -> None:
        found = self._made.pop(key, None)
        if found is not None:
            self._used -= self._weigh(found[0])


def _looked_at(task: "asyncio.Task[V]") -> None:
    if not task.cancelled():
        task.exception()
