"""The program of a process that reads documents: one after the other, from one pipe to another, with few rights.

    python -m alerts.feeds.read.child PARENT MEMORY

It is started by `reader_process`, and ends with its parent or its input. What is beyond a limit ends it at once:
the kernel does so for time and memory, so that no library's loop can hold it up.
"""

import contextlib
import ctypes
import os
import resource
import signal
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO

from alerts.errors import NotAFeed
from alerts.feeds.compare.bounds import bounded
from alerts.feeds.formats import parse
from alerts.feeds.read import frames

_PR_SET_PDEATHSIG = 1
_PAGE = resource.getpagesize()
_STATM = Path("/proc/self/statm")
_STATUS = Path("/proc/self/status")
_FILES = 16  # a library may still load a table of its own, of a charset or a time zone
_RETIRE_AT = 64 * 1024 * 1024  # bytes more than at its start: memory that documents left behind
_MOST_DOCUMENTS = 10_000
_LOOK = 0.05  # seconds


def main() -> None:
    parent, memory = (int(word) for word in sys.argv[1:])
    _die_with(parent)
    _take_few_rights()
    _limit_memory(memory)
    documents, answers = _pipes()
    start = _peak()
    _send(answers, b"ready")
    for count in range(1, _MOST_DOCUMENTS + 1):
        asked = _received(documents)
        if asked is None:
            return
        # Not process_time: while a timer counts the process, Linux gives that by its ticks.
        document, began = _received(documents) or b"", time.thread_time()
        head = _read(frames.read_request(asked), document)
        head = replace(head, seconds=time.thread_time() - began)
        retires = _peak() - start > _RETIRE_AT or count == _MOST_DOCUMENTS
        _answer(answers, replace(head, retires=retires))
        if retires:
            return


def _read(asked: frames.Request, document: bytes) -> frames.Head:
    """Reads one document; the kernel ends the process when that takes longer than was asked for."""
    signal.setitimer(signal.ITIMER_PROF, asked.seconds)  # its SIGPROF has no handler, and is deadly so
    try:
        return frames.Head("feed", feed=bounded(parse(document, asked.url, asked.content_type)))
    except NotAFeed as error:
        return frames.Head("no_feed", str(error))
    except MemoryError:
        os._exit(frames.OUT_OF_MEMORY)
    except Exception as error:  # noqa: BLE001 - a mistake of ours costs one document, and is told by its name
        return frames.Head("broke", type(error).__name__)
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)


def _answer(answers: BinaryIO, head: frames.Head) -> None:
    try:
        told = list(frames.answer(head))
    except MemoryError:
        os._exit(frames.OUT_OF_MEMORY)
    answers.writelines(frames.framed(frame) for frame in told)
    answers.flush()


def _die_with(parent: int) -> None:
    """Asks the kernel to end this process with its parent; elsewhere the end of the input does it."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it died before we asked
        sys.exit()


def _take_few_rights() -> None:
    """Leaves the process what reading takes: no child, no file to write, no core of what it read."""
    # Ctrl-C in the terminal is the daemon's to answer. Not a session of its own: Linux shares the processor out
    # by sessions first (sched(7), autogroup), and niceness would count in none. Not asked for at the start:
    # uvloop cannot.
    os.setpgrp()
    # A service manager signals the whole group at a stop: the daemon says when its readers end.
    for each in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(each, signal.SIG_IGN)
    _limit(resource.RLIMIT_CORE, 0)
    _limit(resource.RLIMIT_FSIZE, 0)
    _limit(resource.RLIMIT_NOFILE, _FILES)


def _limit_memory(memory: int) -> None:
    """Bounds the memory beyond what the process holds now: by address space where the system counts that."""
    if _STATM.exists():
        pages = int(_STATM.read_text().split()[0])
        _limit(resource.RLIMIT_AS, pages * _PAGE + memory)
    else:
        threading.Thread(target=watch_memory, args=[_peak() + memory], daemon=True).start()
    _limit(resource.RLIMIT_NPROC, 0)


def watch_memory(most: int) -> None:
    """Ends the process once it has held more than `most` bytes of memory."""
    while _peak() <= most:
        time.sleep(_LOOK)
    os._exit(frames.OUT_OF_MEMORY)


def _limit(what: int, most: int) -> None:
    with contextlib.suppress(ValueError, OSError):  # macOS takes not every limit, and none above its own
        resource.setrlimit(what, (most, most))


def _peak() -> int:
    """Gives the most memory that the process has held, in bytes."""
    try:
        # On Linux ru_maxrss begins with what the parent held when it started us.
        status = _STATUS.read_bytes()
    except OSError:
        most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return most if sys.platform == "darwin" else most * 1024
    return int(status.partition(b"VmHWM:")[2].split(maxsplit=1)[0]) * 1024


def _pipes() -> tuple[BinaryIO, BinaryIO]:
    """Gives the pipes for our own use: a library that prints must not speak for us."""
    pipes = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    nowhere = os.open(os.devnull, os.O_RDWR)
    for each in (0, 1):
        os.dup2(nowhere, each)
    return pipes


def _received(pipe: BinaryIO) -> bytes | None:
    """Gives the next frame; None at the end of the input."""
    length = pipe.read(frames.LENGTH.size)
    if len(length) < frames.LENGTH.size:
        return None
    return pipe.read(frames.LENGTH.unpack(length)[0])


def _send(pipe: BinaryIO, content: bytes) -> None:
    pipe.write(frames.framed(content))
    pipe.flush()


if __name__ == "__main__":
    main()
