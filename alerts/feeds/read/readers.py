"""Reads documents apart from the daemon: what a hostile one takes, it takes from documents of its own kind.

    feed whose last document was small work ──quick lane──┐
    feed that is new, or more work ──trial lane────────────> window
                                     └─ takes too long: begun again, as all that its feed sends next
    feed that took too long ──slow lane──> window, or NotAFeed at the end of its time

Each lane has processes of its own, started when first needed. A process that a document overran is killed and
replaced before the next document comes.
"""

from collections import OrderedDict
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import timedelta
from types import TracebackType
from typing import Self

from alerts.errors import FetchFailed, NotAFeed
from alerts.feeds.formats.values import ParsedFeed
from alerts.feeds.read.lane import Lane
from alerts.feeds.read.process import Answer, Cause, Document, Killed

# A live blog's page takes 2 to 50 milliseconds of a processor, and the largest we know 0.2 seconds.
_QUICK = timedelta(seconds=0.1)
_QUICK_PER_MEGABYTE = timedelta(seconds=0.2)
_QUICK_AT_MOST = timedelta(seconds=0.5)
_SMALL = 0.1  # seconds of a processor: who took more last time keeps out of the way of those who did not
_GUESS = 1.0  # seconds for a megabyte of a feed that we do not know yet
_PROBATION = 5  # documents read quickly, and a feed that took too long is trusted again
_MOST_RECORDS = 20_000
_MOST_WAITING = 4  # slow documents: each may take its whole time, and who asks waits with it
_MOST_HELD = 64_000_000  # bytes of documents on trial: they are kept in memory until they have their turn
# Who is not known to be quick has the processor when nobody else wants it.
_TRIAL_NICE, _SLOW_NICE = 10, 15
_IDLE = timedelta(minutes=1)


@dataclass(slots=True)
class _Record:
    """How a feed was read: how long its last document took, and how many it must send before it is trusted."""

    seconds: float
    probation: int = 0


class Readers:
    """Processes that read documents: `count` quick ones, and one more each for the unknown and the slow.

    Used as an async context manager. A document may take `timeout`, by the clock and of a processor, and
    `memory` bytes.
    """

    def __init__(self, count: int, timeout: timedelta, memory: int) -> None:
        self._timeout = timeout
        self._memory = memory
        self._quick = Lane(count, memory, timeout)
        self._trial = Lane(1, memory, timeout, idle=_IDLE, niceness=_TRIAL_NICE)
        self._slow = Lane(1, memory, timeout, idle=_IDLE, niceness=_SLOW_NICE)
        self._records: OrderedDict[str, _Record] = OrderedDict()
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        for lane in (self._quick, self._trial, self._slow):
            await self._stack.enter_async_context(lane)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.aclose()

    @property
    def pids(self) -> tuple[int, ...]:
        """The processes that stand now."""
        return self._quick.pids + self._trial.pids + self._slow.pids

    def seconds(self, feed: str) -> float:
        """Gives how many seconds of a processor the feed's last document took; 0 when none is known."""
        record = self._records.get(feed)
        return 0.0 if record is None else record.seconds

    async def read(self, body: bytes, url: str, content_type: str, *, feed: str = "") -> ParsedFeed:
        """Reads a document as `formats.parse` does, however long others take.

        `feed` names who sends it, the URL when not given: a feed that took too long waits with its like.
        Raises NotAFeed, also for a document beyond the limits; FetchFailed when too many wait before it.
        """
        sender = feed or url
        document = Document(body, url, content_type)
        record = self._records.get(sender)
        if record is None or not record.probation:
            expected = _GUESS * len(body) / 1e6 if record is None else record.seconds
            is_small = record is not None and record.seconds <= _SMALL
            lane = self._quick if is_small else self._trial
            if lane is self._trial and lane.held and lane.held + len(body) > _MOST_HELD:
                raise _comes_again()
            quick = min(quick_time(len(body)), self._timeout)
            answer, seconds = await lane.read(document, quick, expected)
            if not isinstance(answer, Killed):
                self._note(sender, _Record(seconds))
                if seconds <= _SMALL:
                    self._quick.expect()  # its next document goes there, and may be the news
                return _parsed(answer)
            self._note(sender, _Record(seconds, _PROBATION))
            if answer.cause != Cause.TIME or quick == self._timeout:
                raise self._overran(answer)
        return await self._read_slowly(document, sender)

    async def _read_slowly(self, document: Document, sender: str) -> ParsedFeed:
        if self._slow.waiting >= _MOST_WAITING:
            raise _comes_again()
        record = self._records.get(sender) or _Record(0, _PROBATION)
        answer, seconds = await self._slow.read(document, self._timeout, record.seconds)
        if isinstance(answer, Killed):
            self._note(sender, _Record(seconds, _PROBATION))
            raise self._overran(answer)
        is_quick = seconds <= quick_time(len(document.body)).total_seconds()
        self._note(sender, _Record(seconds, record.probation - is_quick))
        return _parsed(answer)

    def _note(self, sender: str, record: _Record) -> None:
        self._records[sender] = record
        self._records.move_to_end(sender)
        if len(self._records) > _MOST_RECORDS:
            self._records.popitem(last=False)

    def _overran(self, killed: Killed) -> NotAFeed:
        match killed.cause:
            case Cause.TIME:
                took = f"more than {self._timeout.total_seconds():g} seconds"
            case Cause.MEMORY:
                took = f"more than {self._memory:,} bytes of memory"
            case Cause.CRASH:
                return NotAFeed(
                    f"The document ended the process that read it ({killed.detail}): tell us of it."
                )
        return NotAFeed(f"The document takes {took} to read: it is too large, or made to do harm.")


def quick_time(size: int) -> timedelta:
    """Gives the processor time that an honest document of so many bytes stays within."""
    return min(_QUICK + _QUICK_PER_MEGABYTE * (size / 1_000_000), _QUICK_AT_MOST)


def _comes_again() -> FetchFailed:
    return FetchFailed("Other documents that take long are read first: this one waits for its next poll.")


def _parsed(answer: Answer) -> ParsedFeed:
    assert not isinstance(answer, Killed), "told apart before"
    if isinstance(answer, NotAFeed):
        raise answer
    return answer
