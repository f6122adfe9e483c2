"""The wire's own view of a lease: nothing is written past its deadline, once it is shut, or at a stop."""

import asyncio

from alerts import clocks
from alerts.dispatch.outbox import Lease
from alerts.errors import LeaseLost, OpenedLongAgo

# A chunk is sized to a second of sending. Where that was wrong, its rest is opened anew: who left meanwhile, or
# whose news grew old, is not mailed.
_FRESH_SECONDS = 5.0


class Fence:
    """Stands before every write of a batch's mails."""

    def __init__(self, lease: Lease, stop: asyncio.Event) -> None:
        self.stop = stop
        self._length = lease.length
        self._deadline = lease.deadline
        self._fresh_until = 0.0
        self._is_shut = False

    def check(self, *, is_begun: bool) -> None:
        """Raises LeaseLost when nothing more may be written, OpenedLongAgo when a mail may not begin any more."""
        now = clocks.boot_time()
        if self._is_shut or self.stop.is_set() or now >= self._deadline:
            raise LeaseLost("The lease ended before the mail could be sent.")
        if not is_begun and now >= self._fresh_until:
            raise OpenedLongAgo("The mail waited too long for its turn.")

    def shut(self) -> None:
        self._is_shut = True

    def reopen(self) -> None:
        """Lets the mails of a chunk through that was opened just now."""
        self._fresh_until = clocks.boot_time() + _FRESH_SECONDS
        self._is_shut = False

    def renewal(self) -> "_Renewal":
        """Moves the deadline when the block, a transaction that renews the lease, succeeds."""
        return _Renewal(self)

    def extend(self, began: float) -> None:
        self._deadline = clocks.deadline(began, self._length)


class _Renewal:
    """Counts the lease from before the transaction, so that the fence never ends later than the row."""

    def __init__(self, fence: Fence) -> None:
        self._fence = fence
        self._began = 0.0

    def __enter__(self) -> None:
        self._began = clocks.boot_time()

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            self._fence.extend(self._began)
