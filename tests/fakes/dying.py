"""Calls a function in a process of its own that kills itself at a failpoint.

The processes are forked from one that has the imports behind it, so that each costs little.
"""

import multiprocessing
from collections.abc import Callable

from alerts import failpoints

_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload(["fakes.dying", "alerts.ops.move"])


def at(point: str, function: Callable[..., object], *arguments: str) -> int | None:
    """Gives how the process ended: -SIGKILL when it came to the point."""
    process = _CONTEXT.Process(target=_call, args=(point, function, *arguments))
    process.start()
    process.join()
    return process.exitcode


def _call(point: str, function: Callable[..., object], *arguments: str) -> None:
    failpoints._name = point
    function(*arguments)
