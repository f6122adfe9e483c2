"""A transport: a relay's connections, kept open, and the mails that wait for one."""

import asyncio
import ssl
from collections.abc import Callable
from dataclasses import dataclass, replace
from time import monotonic

import structlog

from alerts.errors import LeaseLost
from alerts.mail.smtp import Connection, InDoubt, Mail, Outcome, Server, Unsent, tls_context

log = structlog.get_logger()

_IDLE_SECONDS = 30.0  # servers drop idle clients after minutes; a goodbye is better than a reset
_TRIES = 3  # how often a mail that certainly did not go out is given to another connection
_WAIT_FIRST, _WAIT_MOST = 0.5, 30.0


@dataclass(frozen=True, slots=True)
class _Job:
    mail: Mail
    done: Callable[[Outcome], None]
    tries: int = 0


class Transport:
    """Hands mails to one relay over at most `server.connections` kept connections."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.name = server.name
        self._context: ssl.SSLContext | None = tls_context(server)
        self._jobs: asyncio.Queue[_Job] = asyncio.Queue()
        self._idle = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self._standing: set[Connection] = set()  # whose workers will come back to the queue
        self._failures = 0
        self._down_until = 0.0
        self._full_until = 0.0
        self._is_closed = False

    def submit(self, mail: Mail, done: Callable[[Outcome], None]) -> None:
        """Takes a mail; `done` is called once, in this loop, with what became of it."""
        self._jobs.put_nowait(_Job(mail, done))
        if self._idle < self._jobs.qsize() and self._may_grow():
            task = asyncio.create_task(self._work(), name=f"smtp-{self.name}")
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    def down_for(self) -> float:
        """Seconds until a relay that is out of reach is asked again; nobody is opened for it meanwhile."""
        return max(0.0, self._down_until - monotonic())

    async def close(self) -> None:
        """Ends all connections; mails still waiting are told that they were not sent."""
        self._is_closed = True  # a cancellation can be lost: up to 3.11 by a wait_for that ends as it comes
        for task in [*self._tasks]:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        while not self._jobs.empty():
            _tell(self._jobs.get_nowait(), Unsent("the transport was closed"))

    def _may_grow(self) -> bool:
        """Whether one more connection may be tried; a relay that refused one beside others is given time."""
        if self._is_relay_up() and self._full_until > monotonic():
            return False
        return len(self._tasks) < self.server.connections

    def _is_relay_up(self) -> bool:
        return any(connection.is_open for connection in self._standing)

    async def _work(self) -> None:
        """One connection's life: carries mails until there are none for a while."""
        connection = Connection(self.server, self._context)
        try:
            while (job := await self._next()) is not None:
                if (refusal := _refusal(job.mail)) is not None:
                    _tell(job, refusal)  # before anything is opened or closed for it
                    continue
                if not connection.is_open:
                    self._standing.discard(connection)
                    connection = Connection(self.server, self._context)
                    problem = await self._connect(connection, job)
                    if problem is not None and self._is_relay_up():
                        self._give_back(job)
                        return
                    if problem is not None:
                        self._set_down(problem)
                        _tell(job, problem)
                        continue
                    self._set_up(connection)
                await self._carry(connection, job)
        finally:
            self._standing.discard(connection)
            if connection.is_open:
                await connection.quit()

    async def _next(self) -> _Job | None:
        if self._is_closed:
            return None
        self._idle += 1
        try:
            async with asyncio.timeout(_IDLE_SECONDS):
                return await self._jobs.get()
        except TimeoutError:
            # A mail may have come in the same instant: it must not wait for a worker that has gone.
            return None if self._jobs.empty() else self._jobs.get_nowait()
        finally:
            self._idle -= 1

    async def _connect(self, connection: Connection, job: _Job) -> Unsent | None:
        """Connects, or says why not; while the relay is down it is asked once per wait, not per mail."""
        if self._down_until > monotonic():
            return Unsent("transport is down")
        try:
            await connection.connect()
        except asyncio.CancelledError:
            _tell(job, Unsent("closed"))
            raise
        except Exception as error:  # noqa: BLE001 - also a host name that cannot be one: no mail may stay untold
            connection.close()
            return Unsent(f"transport is down: {type(error).__name__}")
        return None

    def _give_back(self, job: _Job) -> None:
        """Leaves a mail to the connections that stand: the relay allows no more than those."""
        self._full_until = monotonic() + _WAIT_MOST
        self._jobs.put_nowait(job)
        log.warning("transport_is_full", transport=self.name, connections=len(self._standing))

    def _set_down(self, problem: Unsent) -> None:
        if self._down_until > monotonic():
            return  # the same outage, met by another connection
        wait = min(_WAIT_FIRST * 2**self._failures, _WAIT_MOST)
        self._failures = min(self._failures + 1, 10)
        self._down_until = monotonic() + wait
        log.warning("transport_down", transport=self.name, reason=problem.reason, retry_in=wait)

    def _set_up(self, connection: Connection) -> None:
        self._standing.add(connection)
        if self._failures:
            log.info("transport_up", transport=self.name)
        self._failures = 0

    async def _carry(self, connection: Connection, job: _Job) -> None:
        try:
            outcome = await connection.send(job.mail)
        except asyncio.CancelledError:
            connection.close()
            _tell(job, InDoubt("closed") if connection.in_content else Unsent("closed"))
            raise
        if isinstance(outcome, Unsent) and job.tries + 1 < _TRIES:
            self._jobs.put_nowait(replace(job, tries=job.tries + 1))
            return
        _tell(job, outcome)


def _refusal(mail: Mail) -> Unsent | None:
    try:
        mail.fence()
    except LeaseLost as error:
        return Unsent(type(error).__name__)
    return None


def _tell(job: _Job, outcome: Outcome) -> None:
    """Says what became of a mail; a defect in the listener must not end the connection's worker."""
    try:
        job.done(outcome)
    except Exception:
        log.exception("outcome_not_taken")
