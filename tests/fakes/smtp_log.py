"""What an SMTP server of the tests saw and took, and the judgement of what its client sent."""

import asyncio
import re
from collections.abc import Callable
from dataclasses import dataclass, field

_LINE_LIMIT = 1000  # RFC 5321 4.5.3.1.6, CRLF included
_PATIENCE = 20


@dataclass(frozen=True, slots=True)
class Mail:
    """A mail as it came, for one recipient; its dots are un-stuffed, `at` is monotonic seconds."""

    mail_from: str
    rcpt: str
    content: bytes
    connection: int
    at: float


@dataclass(frozen=True, slots=True)
class Attempt:
    """One RCPT, whatever became of it."""

    mail_from: str
    rcpt: str
    connection: int
    at: float


@dataclass
class Log:
    accepted: list[Mail] = field(default_factory=list)  # what the server took responsibility for
    received: list[Mail] = field(default_factory=list)  # what came to its final dot, whatever was replied
    attempts: list[Attempt] = field(default_factory=list)
    violations: list[str] = field(default_factory=list)  # what a client may not do
    commands: list[str] = field(default_factory=list)  # verbs, in order of arrival
    greetings: list[str] = field(default_factory=list)  # the names in EHLO
    connections: int = 0
    open: int = 0
    in_flight: int = 0  # connections between DATA and the reply to its content
    peak_in_flight: int = 0
    cut_off: int = 0  # how often the client went away in the middle of a mail
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    async def wait_until(self, holds: Callable[[], bool], seconds: float = _PATIENCE) -> None:
        """Returns once `holds()`, asked again at each change; raises TimeoutError after `seconds`."""
        async with asyncio.timeout(seconds):
            while not holds():
                self.changed.clear()
                await self.changed.wait()

    def begin_mail(self) -> None:
        self.in_flight += 1
        self.peak_in_flight = max(self.peak_in_flight, self.in_flight)
        self.changed.set()

    def end_mail(self) -> None:
        self.in_flight -= 1
        self.changed.set()


def faults(raw: bytes, *, is_eight_bit_declared: bool) -> list[str]:
    """Tells what is wrong with content as it came on the wire, its dots still stuffed."""
    found = []
    if re.search(rb"(?<!\r)\n|\r(?!\n)", raw):
        found.append("a bare CR or LF in the content")
    if any(len(line) + 2 > _LINE_LIMIT for line in raw.split(b"\r\n")):
        found.append(f"a line of more than {_LINE_LIMIT} octets")
    if re.search(rb"(?m)^\.(?!\.)", raw):
        found.append("a line that begins with one dot: it was not stuffed")
    if b"\0" in raw:
        found.append("a NUL in the content")
    if not raw.isascii() and not is_eight_bit_declared:
        found.append("8-bit content without BODY=8BITMIME")
    return found


def unstuffed(raw: bytes) -> bytes:
    return re.sub(rb"(?m)^\.", b"", raw)
