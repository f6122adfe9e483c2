"""Where the mails of the bench go: our lean sink, Postfix's smtp-sink, and aiosmtpd to compare each byte."""

import json
import os
import re
import select
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope, Session

from bench.processes import Failed, end, start

_ANSWER_SECONDS = 20


@dataclass(frozen=True, slots=True)
class Manners:
    """How our sink behaves: times are milliseconds."""

    hold: float = 0
    work: float = 0
    is_shared: bool = False
    pipelining: bool = True
    log: Path | None = None
    keep: Path | None = None
    every: int = 1

    def options(self) -> list[str | Path]:
        options: list[str | Path] = ["--hold", str(self.hold), "--work", str(self.work)]
        options += ["--shared"] if self.is_shared else []
        options += [] if self.pipelining else ["--no-pipelining"]
        options += ["--log", self.log] if self.log else []
        return options + (["--keep", self.keep, "--every", str(self.every)] if self.keep else [])


@dataclass(frozen=True, slots=True)
class Counts:
    """What a sink saw since its last reset; moments are those of CLOCK_MONOTONIC."""

    mails: int
    bytes: int
    reads: int
    connections: int
    first_at: float
    last_at: float
    cpu: float


class LeanSink:
    """Our sink, a process of its own."""

    def __init__(self, program: Path, on: frozenset[int], manners: Manners = Manners()) -> None:
        command = [program, *manners.options()]
        self._process = start(command, on, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.port = int(self._line())

    def counts(self) -> Counts:
        return self._ask(b"stats\n")

    def reset(self) -> Counts:
        """Gives the counts, and begins anew."""
        return self._ask(b"reset\n")

    def close(self) -> None:
        """Ends it; its files are complete then."""
        if self._process.stdin is not None:
            self._process.stdin.close()
        try:
            self._process.wait(timeout=_ANSWER_SECONDS)
        finally:
            end(self._process)

    def _ask(self, word: bytes) -> Counts:
        assert self._process.stdin is not None
        self._process.stdin.write(word)
        self._process.stdin.flush()
        return Counts(**json.loads(self._line()))

    def _line(self) -> bytes:
        assert self._process.stdout is not None
        if not select.select([self._process.stdout], [], [], _ANSWER_SECONDS)[0]:
            raise Failed("the sink does not answer")
        line: bytes = self._process.stdout.readline()
        if not line:
            raise Failed("the sink has ended")
        return line


@contextmanager
def lean_sink(program: Path, on: frozenset[int], manners: Manners = Manners()) -> Iterator[LeanSink]:
    sink = LeanSink(program, on, manners)
    try:
        yield sink
    finally:
        sink.close()


@dataclass(frozen=True, slots=True)
class SmtpSink:
    """Postfix's smtp-sink; it counts aloud, session by session."""

    port: int
    said: Path

    def mails(self) -> int:
        """How many mails it has counted so far."""
        counted = re.findall(rb"mesg=(\d+)", self.said.read_bytes()[-400:])
        return int(counted[-1]) if counted else 0


@contextmanager
def smtp_sink(program: Path, on: frozenset[int]) -> Iterator[SmtpSink]:
    port = free_port()
    with tempfile.NamedTemporaryFile(prefix="alerts-sink-") as said:
        user = ["-u", "nobody"] if os.geteuid() == 0 else []
        command = [program, "-c", *user, f"127.0.0.1:{port}", "1024"]
        process = start(command, on, stdout=said.file)
        try:
            _await(port)
            yield SmtpSink(port, Path(said.name))
        finally:
            end(process)


@dataclass(slots=True)
class Compared:
    """aiosmtpd, which announces no PIPELINING; keeps each mail it got, dots stuffed again."""

    port: int = 0
    mails: list[tuple[str, bytes]] = field(default_factory=list)

    async def handle_DATA(self, _server: SMTP, _session: Session, envelope: Envelope) -> str:  # noqa: N802 - its name
        content = envelope.content
        assert isinstance(content, bytes)
        self.mails += [(each, re.sub(rb"(?m)^\.", b"..", content)) for each in envelope.rcpt_tos]
        return "250 Ok"


@contextmanager
def aiosmtpd() -> Iterator[Compared]:
    kept = Compared(free_port())
    controller = Controller(
        kept, hostname="127.0.0.1", port=kept.port, server_kwargs={"command_call_limit": None}
    )
    controller.start()
    try:
        yield kept
    finally:
        controller.stop()


def read_kept(path: Path) -> Iterator[tuple[str, bytes]]:
    """Gives (recipient, mail) of a file that our sink kept."""
    with path.open("rb") as file:
        while line := file.readline():
            recipient, length = line.decode("ascii").split()
            yield recipient, file.read(int(length))


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _await(port: int) -> None:
    until = time.monotonic() + _ANSWER_SECONDS
    while time.monotonic() < until:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.02)
    raise Failed(f"nothing listens on port {port}")
