"""How quickly relays take mail here: what is taken in hand and opened at once is about a second of it."""

import asyncio
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager

from alerts.dispatch.receipts import Receipt

FIRST_CHUNK = 10
_FIRST_BATCH, _LEAST_BATCH = 500, 100  # readers: while no pace is known, and however slow it is


def batch_for(rate: float, most: int) -> int:
    """Gives how many readers to take in hand at once: those of about a second, at most `most`.

    So no machine has readers in hand at an alert's end whom others, who are done, could have mailed.
    """
    return min(most, max(_LEAST_BATCH, int(rate)) if rate else _FIRST_BATCH)


class Pace:
    """How many mails a second leave here by one transport; chunks are sized to about one second of it."""

    def __init__(self) -> None:
        self.rate = 0.0  # 0 while nothing is known
        self._chunks = 0  # under way

    def chunk(self, least: int) -> int:
        """Gives the size of one more chunk beside those under way, at least `least`.

        A relay that takes its time with each mail is slow only as long as few are under way: sized by the rate
        alone a chunk would shrink, and the rate with it, to one mail at a time.
        """
        return max(least, int(self.rate / (self._chunks + 1)) if self.rate else FIRST_CHUNK)

    @contextmanager
    def sharing(self) -> Iterator[None]:
        """Counts a chunk as under way for the length of the block."""
        self._chunks += 1
        try:
            yield
        finally:
            self._chunks -= 1

    def measure(self, mails: int, seconds: float) -> None:
        """Learns from a chunk's mails that got a reply: what never went out was quick, and says nothing."""
        if not mails:
            return
        rate = mails / max(seconds, 0.001) * max(1, self._chunks)
        self.rate = rate if not self.rate else self.rate * 0.5 + rate * 0.5


class Silence:
    """Whether a chunk hears nothing of its transports; `ended` is set with the chunk."""

    def __init__(self, silent: Counter[str], transports: Collection[str]) -> None:
        self.ended = asyncio.Event()
        self.transports = transports
        self.is_alone = True  # no courier stands in for the one who waits
        self._silent = silent
        self._is_on = False

    def heard(self, group: Sequence[Receipt]) -> bool:
        """Takes what came in a while; says whether a silence began. Only a relay's word ends it."""
        if any(receipt.code for receipt in group):
            self._break()
        elif not (group or self._is_on):
            self._is_on = True
            self._silent.update(self.transports)
            return True
        return False

    def end(self) -> None:
        self._break()
        self.ended.set()

    def _break(self) -> None:
        if self._is_on:
            self._is_on = False
            self._silent.subtract(self.transports)
