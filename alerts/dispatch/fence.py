"""The wire's own view of a lease: nothing is written past its deadline, once it is shut, or at a stop."""

import asyncio

from alerts import clocks
from alerts.dispatch.outbox import Lease
from alerts.errors import LeaseLost


class Fence:
    """Stands before every write of a batch's mails."""

    def __init__(self, lease: Lease, stop: asyncio.Event) -> None:
        self._stop = stop
        self._length = lease.length
        self._deadline = lease.deadline
        self._is_shut = False

    def check(self) -> None:
        """Raises LeaseLost when nothing more may be written."""
        if self._is_shut or self._stop.is_set() or clocks.boot_time() >= self._deadline:
            raise LeaseLost("The lease ended before the mail could be sent.")

    def shut(self) -> None:
        self._is_shut = True

    def reopen(self) -> None:
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
