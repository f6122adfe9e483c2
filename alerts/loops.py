"""The event loop of a daemon, and what the system lets it have.

uvloop is taken where it can be had: it spares a fifth of the sending path's processor time.
"""

import asyncio
import os
import resource
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any, TypeVar

T = TypeVar("T")

_MACOS_OPEN_MAX = 10_240  # it calls the limit infinite, and refuses more

quickest: Callable[[], asyncio.AbstractEventLoop] = asyncio.new_event_loop
with suppress(ImportError):  # no wheel for this machine: asyncio's own is as good, only slower
    import uvloop

    quickest = uvloop.new_event_loop


def run(main: Coroutine[Any, Any, T]) -> T:
    """Runs `main` to its end, as asyncio.run does."""
    with asyncio.Runner(loop_factory=quickest) as runner:
        return runner.run(main)


def allow_all_descriptors() -> None:
    """Takes what the system allows: the soft limit, mostly 1,024, is meant for programs that cannot do with more."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = hard if hard != resource.RLIM_INFINITY else max(soft, _MACOS_OPEN_MAX)
    with suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def usable_cores() -> int:
    """Gives how many cores this process may use, which a container or an operator may have made few."""
    if hasattr(os, "sched_getaffinity"):  # Linux
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
