"""One process that reads documents, as the daemon sees it: started, asked, and killed when it overruns."""

import asyncio
import os
import signal
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import timedelta
from enum import StrEnum
from typing import Self

from alerts.errors import NotAFeed, Unavailable
from alerts.feeds.formats.values import ParsedFeed
from alerts.feeds.read import frames

_START = 60  # seconds: a machine under load starts a process slowly
_END = 2
_TURN = 64  # entries taken over before other work of the loop has its turn


@dataclass(frozen=True, slots=True)
class Document:
    body: bytes
    url: str
    content_type: str


class Cause(StrEnum):
    """What a document did to the process that read it."""

    TIME = "time"
    MEMORY = "memory"
    CRASH = "crash"


@dataclass(frozen=True, slots=True)
class Killed:
    """The document ended the process, or was the reason to end it."""

    cause: Cause
    detail: str = ""


Answer = ParsedFeed | NotAFeed | Killed


class ReaderProcess:
    """A process of its own group, with an empty environment and no file but its pipes."""

    def __init__(self, process: Process) -> None:
        assert process.stdin is not None, "asked for"
        assert process.stdout is not None, "asked for"
        self._process = process
        self._documents = process.stdin
        self._answers = process.stdout
        self._is_over = False

    @property
    def is_usable(self) -> bool:
        """Whether it can be asked; idle, it may have been killed by others, too."""
        return not self._is_over and self._process.returncode is None and not _has_ended(self.pid)

    @property
    def pid(self) -> int:
        return self._process.pid

    @classmethod
    async def start(cls, memory: int, niceness: int = 0) -> Self:
        """Starts a process that is ready to read. Raises Unavailable when there is none to be had."""
        command = [sys.executable, "-P", "-m", "alerts.feeds.read.child"]
        try:
            process = await asyncio.create_subprocess_exec(
                *command,
                *(str(number) for number in (os.getpid(), memory)),
                stdin=PIPE,
                stdout=PIPE,
                stderr=DEVNULL,  # it would quote documents
                env=_environment(),
                cwd="/",
            )
        except OSError as error:
            raise Unavailable(f"No process can be started to read feeds: {error.strerror}.") from error
        _make_nice(process.pid, niceness)
        started = cls(process)
        try:
            async with asyncio.timeout(_START):
                await started._frame()
        except (TimeoutError, EOFError, OSError, frames.Garbled) as error:
            await started.kill()
            raise Unavailable(
                f"The process that reads feeds ended at its start (code {process.returncode}): "
                f"run `{' '.join(command)} {os.getppid()} {memory}` by hand to see why."
            ) from error
        except BaseException:
            await started.kill()
            raise
        return started

    async def ask(self, document: Document, processor: timedelta, wall: timedelta) -> tuple[Answer, float]:
        """Has a document read within so much processor time, and so much time by the clock.

        Gives how many seconds of a processor that took, too; of one that it overran, all it was to have. Afterwards the process may be unusable: `is_usable`.
        """
        try:
            async with asyncio.timeout(wall.total_seconds()):
                return await self._asked(document, processor)
        except TimeoutError:
            await self.kill()
            killed = Killed(Cause.TIME)
        except (EOFError, OSError):
            await self._end()
            killed = _cause(self._process.returncode)
        except frames.Garbled:
            await self.kill()
            killed = Killed(Cause.CRASH, "its answer is garbled")
        except BaseException:
            await self.kill()  # half an answer may be in the pipe
            raise
        return killed, processor.total_seconds()

    async def stop(self) -> None:
        """Lets the process end by itself, which it does at the end of its input."""
        self._documents.close()
        await self._end()

    async def kill(self) -> None:
        self._is_over = True
        if self._process.returncode is None:
            self._process.kill()
        await self._process.wait()

    async def _end(self) -> None:
        """Waits for the end of a process that ends by itself, so that the kernel's word on why is heard."""
        self._is_over = True
        try:
            async with asyncio.timeout(_END):
                await self._process.wait()
        except TimeoutError:
            await self.kill()

    async def _asked(self, document: Document, processor: timedelta) -> tuple[Answer, float]:
        asked = frames.Request(document.url, document.content_type, processor.total_seconds())
        self._documents.write(frames.framed(frames.request(asked)))
        self._documents.write(frames.LENGTH.pack(len(document.body)))
        self._documents.write(document.body)
        await self._documents.drain()
        head = frames.read_head(await self._frame())
        if head.feed is None:
            found: Answer = _no_feed(head)
        else:
            found = await self._entries(head.feed, head.entries)
        if head.retires:
            await self.stop()
        return found, head.seconds

    async def _entries(self, feed: ParsedFeed, count: int) -> ParsedFeed:
        entries = []
        for number in range(count):
            entries.append(frames.read_entry(await self._frame()))
            if number % _TURN == 0:
                await asyncio.sleep(0)  # what has come already is read without a pause of the loop
        return replace(feed, entries=tuple(entries))

    async def _frame(self) -> bytes:
        length = frames.LENGTH.unpack(await self._answers.readexactly(frames.LENGTH.size))[0]
        if length > frames.LONGEST:
            raise frames.Garbled("a frame out of bounds")
        return await self._answers.readexactly(length)


def _has_ended(pid: int) -> bool:
    """Asks the kernel about a child, and leaves its end to be heard of: asyncio hears of it some moments late."""
    if not hasattr(os, "waitid"):  # macOS, before Python 3.13
        return False
    try:
        return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
    except ChildProcessError:
        return True


def _make_nice(pid: int, niceness: int) -> None:
    """Gives a process less claim on the processor than we have: from here, as its start is work, too."""
    with suppress(ProcessLookupError):  # it has ended, and what is asked of it next says so
        ours = os.getpriority(os.PRIO_PROCESS, 0)
        os.setpriority(os.PRIO_PROCESS, pid, ours + niceness)


def _no_feed(head: frames.Head) -> NotAFeed:
    if head.kind == "broke":
        return NotAFeed(f"The document cannot be read, by a mistake of ours ({head.reason}): tell us of it.")
    return NotAFeed(head.reason)


def _cause(code: int | None) -> Killed:
    if code == -signal.SIGPROF:
        return Killed(Cause.TIME)
    if code == frames.OUT_OF_MEMORY:
        return Killed(Cause.MEMORY)
    if code is not None and code < 0:
        return Killed(Cause.CRASH, signal.Signals(-code).name)
    return Killed(Cause.CRASH, f"code {code}")


def _environment() -> dict[str, str]:
    """Gives a child nothing of ours but where our modules are: no secret stands in it."""
    return {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path), "PYTHONDONTWRITEBYTECODE": "1"}
