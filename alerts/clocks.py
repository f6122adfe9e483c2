"""The clock that leases are fenced by: it runs on while the machine sleeps, and nobody can set it."""

import sys
import time
from datetime import timedelta

# Linux's CLOCK_MONOTONIC stops in suspend, CLOCK_BOOTTIME does not; on macOS it is CLOCK_MONOTONIC
# that runs on.
_CLOCK = time.CLOCK_BOOTTIME if sys.platform == "linux" else time.CLOCK_MONOTONIC

# A sender stops this share of the lease before its end: writes on their way must land before another worker.
_MARGIN = 6


def boot_time() -> float:
    """Seconds since some fixed moment of this boot."""
    return time.clock_gettime(_CLOCK)


def deadline(began: float, length: timedelta) -> float:
    """When a lease of `length` that was asked for at `began` must no longer be written under."""
    return began + length.total_seconds() * (_MARGIN - 1) / _MARGIN
