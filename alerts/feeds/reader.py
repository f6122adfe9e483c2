"""Reads documents apart from the daemon: what a hostile one takes, it takes from documents of its own kind.

    document ──quick lane──> window
                  └─ takes too long: begun again in the slow lane, as is all that its feed sends next
                     ──slow lane──> window, or NotAFeed at the end of its time

Each lane has processes of its own, started when first needed. A process that a document overran is killed and
replaced before the next document comes.
"""

import asyncio
import itertools
from collections import OrderedDict
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import timedelta
from types import TracebackType
from typing import Self

import structlog

from alerts.errors import FetchFailed, NotAFeed, Unavailable
from alerts.feeds.formats.values import ParsedFeed
from alerts.feeds.reader_process import Answer, Cause, Document, Killed, ReaderProcess

log = structlog.get_logger()

# A live blog's page takes 5 to 50 milliseconds of a processor, a dense feed about a second per megabyte.
_QUICK = timedelta(seconds=0.25)
_QUICK_PER_MEGABYTE = timedelta(seconds=1)
_QUICK_AT_MOST = timedelta(seconds=1)
_OVERTAKEN = 20_000  # bytes: a document lets one that came later pass for each of these
_PROBATION = 5  # documents read quickly in a row, and a feed that overran is trusted again
_MOST_SUSPECTS = 10_000
_MOST_WAITING = 4  # slow documents: each may take its whole time, and who asks waits with it
_NICE = 10  # slow documents get the processor when nobody else wants it


class Readers:
    """Processes that read documents: `count` quick ones and a slow one; used as an async context manager.

    A document may take `timeout`, by the clock and of a processor, and `memory` bytes.
    """

    def __init__(self, count: int, timeout: timedelta, memory: int) -> None:
        self._timeout = timeout
        self._memory = memory
        self._quick = _Lane(count, memory, timeout)
        self._slow = _Lane(1, memory, timeout, niceness=_NICE)
        self._suspects: OrderedDict[str, int] = OrderedDict()
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        for lane in (self._quick, self._slow):
            await self._stack.enter_async_context(lane)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.aclose()

    @property
    def pids(self) -> tuple[int, ...]:
        """The processes that stand now."""
        return self._quick.pids + self._slow.pids

    async def read(self, body: bytes, url: str, content_type: str, *, feed: str = "") -> ParsedFeed:
        """Reads a document as `formats.parse` does, however long others take.

        `feed` names who sends it, the URL when not given: a feed that overran waits with its like from then on.
        Raises NotAFeed, also for a document beyond the limits; FetchFailed when too many slow ones wait.
        """
        sender = feed or url
        document = Document(body, url, content_type)
        if sender not in self._suspects:
            quick = min(quick_time(len(body)), self._timeout)
            answer = await self._quick.read(document, quick)
            if not isinstance(answer, Killed):
                return _parsed(answer)
            self._suspect(sender)
            if answer.cause != Cause.TIME or quick == self._timeout:
                raise self._overran(answer)
        return await self._read_slowly(document, sender)

    async def _read_slowly(self, document: Document, sender: str) -> ParsedFeed:
        if self._slow.waiting >= _MOST_WAITING:
            raise FetchFailed(
                "Other documents that take long are read first: this one waits for its next poll."
            )
        began = asyncio.get_running_loop().time()
        answer = await self._slow.read(document, self._timeout)
        if isinstance(answer, Killed):
            self._suspect(sender)
            raise self._overran(answer)
        if asyncio.get_running_loop().time() - began <= quick_time(len(document.body)).total_seconds():
            self._acquit(sender)
        return _parsed(answer)

    def _suspect(self, sender: str) -> None:
        self._suspects[sender] = _PROBATION
        self._suspects.move_to_end(sender)
        if len(self._suspects) > _MOST_SUSPECTS:
            self._suspects.popitem(last=False)

    def _acquit(self, sender: str) -> None:
        left = self._suspects.get(sender, 0) - 1
        if left > 0:
            self._suspects[sender] = left
        else:
            self._suspects.pop(sender, None)

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


def _parsed(answer: ParsedFeed | NotAFeed) -> ParsedFeed:
    if isinstance(answer, NotAFeed):
        raise answer
    return answer


@dataclass(order=True, slots=True)
class _Job:
    """A document that waits."""

    rank: float
    document: Document = field(compare=False)
    processor: timedelta = field(compare=False)
    answer: asyncio.Future[Answer] = field(compare=False)


class _Lane:
    """Some processes and the documents that wait for them; a process is started when first needed."""

    def __init__(self, count: int, memory: int, wall: timedelta, niceness: int = 0) -> None:
        self._count = count
        self._memory = memory
        self._wall = wall
        self._niceness = niceness
        self._jobs: asyncio.PriorityQueue[_Job] = asyncio.PriorityQueue()
        self._numbers = itertools.count()
        self._processes: dict[int, ReaderProcess] = {}
        self._workers: list[asyncio.Task[None]] = []

    @property
    def pids(self) -> tuple[int, ...]:
        return tuple(process.pid for process in self._processes.values())

    @property
    def waiting(self) -> int:
        return self._jobs.qsize()

    async def __aenter__(self) -> Self:
        self._workers = [
            asyncio.create_task(self._work(place), name="read documents") for place in range(self._count)
        ]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for worker in self._workers:
            worker.cancel()
        await asyncio.gather(*self._workers, return_exceptions=True)
        while not self._jobs.empty():
            self._jobs.get_nowait().answer.cancel()

    async def read(self, document: Document, processor: timedelta) -> Answer:
        answer: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        rank = next(self._numbers) + len(document.body) / _OVERTAKEN
        self._jobs.put_nowait(_Job(rank, document, processor, answer))
        return await answer

    async def _work(self, place: int) -> None:
        """Reads what waits, for as long as it is not cancelled."""
        try:
            while True:
                job = await self._jobs.get()
                if not job.answer.done():  # who asked may have gone
                    await self._do(place, job)
        finally:
            process = self._processes.pop(place, None)
            if process is not None:
                await process.stop()

    async def _do(self, place: int, job: _Job) -> None:
        try:
            process = await self._process(place)
            answer = await process.ask(job.document, job.processor, self._wall)
        except asyncio.CancelledError:
            job.answer.cancel()
            raise
        except Exception as error:  # noqa: BLE001 - it is raised where the document was asked for
            if not job.answer.done():
                job.answer.set_exception(error)
        else:
            if not job.answer.done():
                job.answer.set_result(answer)
        used = self._processes.get(place)
        if used is not None and not used.is_usable:
            del self._processes[place]
            await self._replace(place)

    async def _process(self, place: int) -> ReaderProcess:
        process = self._processes.get(place)
        return process if process is not None and process.is_usable else await self._start(place)

    async def _start(self, place: int) -> ReaderProcess:
        process = await ReaderProcess.start(self._memory, self._niceness)
        self._processes[place] = process
        return process

    async def _replace(self, place: int) -> None:
        """Starts the next process before a document asks for it."""
        try:
            await self._start(place)
        except Unavailable as error:  # the next document tries again
            log.error("reader_cannot_start", reason=str(error))  # noqa: TRY400 - the reason is in the error
