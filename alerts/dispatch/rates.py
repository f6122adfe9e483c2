"""How many mails may leave now at a given rate, and whose turn is next; pure.

Virtual scheduling (the generic cell rate algorithm): each mail takes a slot of 1/rate seconds on the line of
time, no two the same, and a slot is only good until the burst has passed over it. So what leaves within any
stretch of time is at most what fits into it and one burst before it. All that is kept is `spent_to`, the end of
the last slot that was taken.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from math import ceil

_SECOND = 1_000_000  # microseconds, in which both databases keep time
_MICROSECOND = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class Rate:
    """So many mails a second; a burst is a second's worth of them, rounded up to whole ones."""

    a_second: float

    @property
    def burst(self) -> int:
        """The most mails that may leave at once."""
        return ceil(self.a_second)

    def ready(self, spent_to: datetime, now: datetime) -> int:
        """Gives how many mails may leave now."""
        return self._fit((now - self._start(spent_to, now)) // _MICROSECOND)

    def spend(self, spent_to: datetime, mails: int, now: datetime) -> datetime:
        """Gives what `spent_to` is once these mails, which were ready, have left."""
        return self._start(spent_to, now) + self._slots(mails)

    def when(self, spent_to: datetime, mails: int, now: datetime) -> datetime:
        """Gives the moment, from now on, at which so many are ready; more than a burst never are."""
        return max(now, self.spend(spent_to, min(mails, self.burst), now))

    def turns(
        self, spent_to: datetime, now: datetime, until: datetime, promised: int, waiting: Sequence[int]
    ) -> list[tuple[int, datetime]]:
        """Gives each of the first who wait a turn, until the slots before `until` are given away.

        `waiting` says how many mails each has; `promised` are in turns that were given and not taken yet. A turn
        is for at most a burst, and comes when it is ready: (mails, when), in the order of `waiting`.
        """
        given: list[tuple[int, datetime]] = []
        end = self.spend(spent_to, promised, now)
        for each in waiting:
            if end >= until:
                break
            mails = min(each, self.burst)
            end += self._slots(mails)
            given.append((mails, max(now, end)))
        return given

    def _start(self, spent_to: datetime, now: datetime) -> datetime:
        """The first slot to take. None lies after now: a later `spent_to` is a clock's that was set back."""
        return min(max(spent_to, now - self._slots(self.burst)), now)

    def _fit(self, microseconds: int) -> int:
        mails = int(microseconds * self.a_second / _SECOND) + 1
        while self._cost(mails) > microseconds:
            mails -= 1
        return mails

    def _slots(self, mails: int) -> timedelta:
        return self._cost(mails) * _MICROSECOND

    def _cost(self, mails: int) -> int:
        """Microseconds, rounded up: the error is never in favour of a faster rate."""
        return ceil(mails * _SECOND / self.a_second)
