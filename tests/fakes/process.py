"""Child processes that do not outlive the tests, however those end."""

import ctypes
import signal
import sys
from collections.abc import Callable

_PR_SET_PDEATHSIG = 1


def dying_with_parent(with_signal: signal.Signals) -> Callable[[], None] | None:
    """Gives a `preexec_fn` that asks the kernel to send the child `with_signal` when its parent dies.

    It must run after a change of user, which would clear the wish; subprocess does it in that order. The
    parent is a thread: start the child from one that lives as long as the child should.
    """
    if sys.platform != "linux":
        return None
    prctl = ctypes.CDLL(None).prctl
    return lambda: prctl(_PR_SET_PDEATHSIG, with_signal)
