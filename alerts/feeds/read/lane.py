"""A lane of documents: some processes, and those that wait for them, what costs little first."""

import asyncio
import itertools
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from types import TracebackType
from typing import Self

import structlog

from alerts.errors import Unavailable
from alerts.feeds.read.process import Answer, Document, ReaderProcess

log = structlog.get_logger()

_PATIENCE = 20  # who takes a second lets those pass that come so many seconds later and take none

Timed = tuple[Answer, float]


@dataclass(order=True, slots=True)
class _Job:
    """A document that waits; none where it is thought to come."""

    rank: float
    number: int
    document: Document | None = field(compare=False)
    processor: timedelta = field(compare=False)
    answer: asyncio.Future[Timed] = field(compare=False)


class Lane:
    """`count` processes and what waits for them; used as an async context manager.

    A process is started when first needed or expected, and ends after it was `idle`; a killed one is replaced at
    once.
    """

    def __init__(
        self, count: int, memory: int, wall: timedelta, *, idle: timedelta | None = None, niceness: int = 0
    ) -> None:
        self._count = count
        self._memory = memory
        self._wall = wall
        self._idle = None if idle is None else idle.total_seconds()
        self._niceness = niceness
        self._jobs: asyncio.PriorityQueue[_Job] = asyncio.PriorityQueue()
        self._numbers = itertools.count()
        self._processes: dict[int, ReaderProcess] = {}
        self._workers: list[asyncio.Task[None]] = []
        self.held = 0  # bytes of the documents that are read or wait

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

    async def read(self, document: Document, processor: timedelta, expected: float) -> Timed:
        """Has a document read, and gives how many seconds of a processor that took.

        `expected` is how many it is thought to take: what costs little has its turn soon.
        Raises Unavailable when no process can be started.
        """
        job = self._job(document, processor, expected)
        self.held += len(document.body)
        try:
            return await job.answer
        finally:
            self.held -= len(document.body)

    def expect(self) -> None:
        """Has the processes started that no document needed yet: starting one takes longer than reading with it."""
        for _ in range(self._count - len(self._processes) - self._jobs.qsize()):
            self._job(None, timedelta(0), 0)

    def _job(self, document: Document | None, processor: timedelta, expected: float) -> _Job:
        loop = asyncio.get_running_loop()
        rank = loop.time() + _PATIENCE * expected
        job = _Job(rank, next(self._numbers), document, processor, loop.create_future())
        self._jobs.put_nowait(job)
        return job

    async def _work(self, place: int) -> None:
        """Reads what waits, for as long as it is not cancelled."""
        try:
            while True:
                job = await self._next(place)
                if not job.answer.done():  # who asked may have gone
                    await self._do(place, job)
        finally:
            await self._stop(place)

    async def _next(self, place: int) -> _Job:
        with suppress(TimeoutError):
            async with asyncio.timeout(self._idle):
                return await self._jobs.get()
        await self._stop(place)
        return await self._jobs.get()

    async def _do(self, place: int, job: _Job) -> None:
        if job.document is None:
            await self._stand_by(place)
            return
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
            await self._stand_by(place)

    async def _process(self, place: int) -> ReaderProcess:
        process = self._processes.get(place)
        if process is not None and process.is_usable:
            return process
        await self._stop(place)
        return await self._start(place)

    async def _start(self, place: int) -> ReaderProcess:
        process = await ReaderProcess.start(self._memory, self._niceness)
        self._processes[place] = process
        return process

    async def _stand_by(self, place: int) -> None:
        """Sees that a process stands before a document asks for it."""
        try:
            await self._process(place)
        except Unavailable as error:  # the next document tries again
            log.error("reader_cannot_start", reason=str(error))  # noqa: TRY400 - the reason is in the error

    async def _stop(self, place: int) -> None:
        process = self._processes.pop(place, None)
        if process is not None:
            await process.stop()
