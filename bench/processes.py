"""Processes of the bench: each on the core it is given, none alive after the bench, and what they cost."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from fakes.process import dying_with_parent

ROOT = Path(__file__).resolve().parents[1]
_STOP_SECONDS = 20
_PROCESS_CLOCK = 2  # CPUCLOCK_SCHED of <linux/posix-timers.h>


class Failed(Exception):
    """A part of the bench did not do what it was started for; the text says which, and its last words."""


@dataclass(frozen=True, slots=True)
class Cores:
    """Where senders run, and where the rest does; the same where there is one core only, or no Linux."""

    sender: frozenset[int]
    others: frozenset[int]

    @property
    def both(self) -> frozenset[int]:
        return self.sender | self.others


def cores() -> Cores:
    """Gives two cores of those that this process may use."""
    if sys.platform != "linux":
        return Cores(frozenset(), frozenset())
    first, *more = sorted(os.sched_getaffinity(0))
    return Cores(frozenset({first}), frozenset(more[:1] or {first}))


def python() -> list[str | Path]:
    return [sys.executable]


def start(
    command: Sequence[str | Path],
    on: frozenset[int],
    *,
    environment: Mapping[str, str] | None = None,
    stdin: int | IO[Any] = subprocess.DEVNULL,
    stdout: int | IO[Any] = subprocess.DEVNULL,
    stderr: int | IO[Any] | None = None,
) -> subprocess.Popen[bytes]:
    """Starts a process on these cores that the kernel kills when the bench dies."""
    die = dying_with_parent(signal.SIGKILL)

    def prepare() -> None:
        if die is not None:
            die()
        if on:
            os.sched_setaffinity(0, on)

    kept = {name: value for name, value in os.environ.items() if not name.startswith("ALERTS_")}
    return subprocess.Popen(
        command,
        env={**kept, "PYTHONPATH": f"{ROOT}:{ROOT / 'tests'}", **(environment or {})},
        stdin=stdin,
        stdout=stdout,
        stderr=stderr,
        preexec_fn=prepare,  # noqa: PLW1509 - it only calls the kernel
    )


def end(process: subprocess.Popen[bytes]) -> None:
    """Asks a process to end, and makes it."""
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(timeout=_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
    for pipe in (process.stdin, process.stdout, process.stderr):
        if pipe is not None:
            pipe.close()


@dataclass(frozen=True, slots=True)
class Run:
    """What a client did: its mails, how long they took, and its own processor time for them."""

    mails: int
    seconds: float
    cpu: float

    @property
    def rate(self) -> float:
        """Mails a second."""
        return self.mails / self.seconds

    @property
    def cpu_rate(self) -> float:
        """Mails a processor second."""
        return self.mails / max(self.cpu, 1e-6)


def run_client(command: Sequence[str | Path], on: frozenset[int], seconds: float) -> Run:
    """Runs one of our client programs to its end; it prints its figures as one line of JSON."""
    process = start(command, on, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    try:
        out, errors = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired as error:
        raise Failed(f"{_name(command)} was not done after {seconds:.0f} s") from error
    finally:
        end(process)
    if process.returncode:
        raise Failed(f"{_name(command)} ended with {process.returncode}: {errors.decode()[-2000:]}")
    said = json.loads(out.splitlines()[-1])
    return Run(said["mails"], said["seconds"], said["cpu"])


def run_program(command: Sequence[str | Path], on: frozenset[int], mails: int, seconds: float) -> Run:
    """Runs somebody else's program to its end; the kernel says what it cost, its start included."""
    began = time.perf_counter()
    process = start(command, on)
    try:
        usage = _wait(process, seconds)
    finally:
        end(process)
    took = time.perf_counter() - began
    if process.returncode:
        raise Failed(f"{_name(command)} ended with {process.returncode}")
    return Run(mails, took, usage)


def cpu_seconds(pid: int) -> float:
    """Processor seconds of a process, all its threads, so far; to the nanosecond, unlike /proc."""
    return time.clock_gettime((~pid << 3) | _PROCESS_CLOCK)


def peak_memory(pid: int) -> float:
    """The most memory that a process ever held, in MB."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024 / 1e6
    raise Failed(f"the memory of process {pid} is not told")


def bytes_written(pid: int) -> int:
    """How many bytes a process had written to files so far, as the kernel will bring them to the disk."""
    for line in Path(f"/proc/{pid}/io").read_text().splitlines():
        if line.startswith("write_bytes:"):
            return int(line.split()[1])
    raise Failed(f"what process {pid} wrote is not told")


@contextmanager
def alone_on(core: frozenset[int]) -> Iterator[None]:
    """Keeps this process, and what it starts meanwhile, to these cores."""
    if not core:
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, core)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def _wait(process: subprocess.Popen[bytes], seconds: float) -> float:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        pid, status, usage = os.wait4(process.pid, os.WNOHANG)
        if pid:
            process.returncode = os.waitstatus_to_exitcode(status)
            return usage.ru_utime + usage.ru_stime
        time.sleep(0.002)
    raise Failed(f"process {process.pid} was not done after {seconds:.0f} s")


def _name(command: Sequence[str | Path]) -> str:
    return next((Path(word).name for word in command if Path(word).suffix in {".py", ".js"}), str(command[0]))
