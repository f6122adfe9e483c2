"""An SMTP server as a process of its own; what its append-only log says happened, and nothing else counts.

    python -m chaos.sink --log sink.jsonl --status status --delay 0.002

It prints its ports as one JSON line: one for each door, so that the log tells who came. A mail is written to the log, with one unbuffered write, before its 250
goes out. Whatever came whole is accepted, also when its client has died meanwhile: so do real servers, and
it is the case that makes repeats. `mark` is the entry that a mail is about (see `blog`).
"""

import argparse
import asyncio
import hashlib
import json
import os
import re
import signal
import sys
import time
from functools import partial
from pathlib import Path

from chaos.status import Status

_MARK = re.compile(rb"mark-(\d{4})")
_MESSAGE_ID = re.compile(rb"^Message-ID:\s*<([^>]+)>", re.IGNORECASE | re.MULTILINE)
_END = b"\r\n.\r\n"


class Log:
    """The append-only file, and the counters beside it."""

    def __init__(self, path: Path, status: Status) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
        self._status = status
        self._begun = self._ended = self._open = self._connections = 0

    def open(self, door: int) -> int:
        self._connections += 1
        self._open += 1
        self._write("open", self._connections, door=door)
        return self._connections

    def begin(self) -> None:
        self._begun += 1
        self._count()

    def accept(self, connection: int, recipient: str, content: bytes) -> None:
        head = content.partition(b"\r\n\r\n")[0]
        mark, message_id = _MARK.search(content), _MESSAGE_ID.search(head)
        self._write(
            "mail",
            connection,
            rcpt=recipient,
            sha256=hashlib.sha256(content).hexdigest(),
            message_id=message_id[1].decode() if message_id else "",
            mark=int(mark[1]) if mark else 0,
        )

    def end(self) -> None:
        self._ended += 1
        self._count()

    def close(self, connection: int, *, is_in_flight: bool) -> None:
        self._open -= 1
        self._write("close", connection, is_in_flight=is_in_flight)

    def _write(self, kind: str, connection: int, **facts: str | int) -> None:
        line = {"kind": kind, "connection": connection, "at": time.monotonic(), **facts}
        os.write(self._file, json.dumps(line).encode() + b"\n")
        self._count()

    def _count(self) -> None:
        self._status.write(self._begun, self._ended, self._open)


class Connection(asyncio.Protocol):
    """Takes one mail after another, with one recipient each; `delay` stands between a mail and its 250."""

    def __init__(self, log: Log, door: int, delay: float, extensions: tuple[str, ...]) -> None:
        self._log = log
        self._door = door
        self._delay = delay
        self._greeting = (
            "".join(f"250-{each}\r\n" for each in ("sink.test", *extensions)) + "250 8BITMIME\r\n"
        )
        self._buffer = bytearray()
        self._recipient = ""
        self._is_in_content = False
        self._is_deciding = False
        self._is_answered = False  # a mail has its 250, and nothing came after it
        self._is_lost = False
        self._replies: list[str] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._number = self._log.open(self._door)
        transport.write(b"220 sink.test ESMTP\r\n")

    def connection_lost(self, exc: Exception | None) -> None:
        self._is_lost = True
        # A process that dies with our reply unread resets its connection: the mail was in flight for it.
        is_unread = self._is_answered and isinstance(exc, ConnectionError)
        self._log.close(self._number, is_in_flight=self._is_in_content or self._is_deciding or is_unread)
        if self._is_in_content:
            self._log.end()

    def data_received(self, data: bytes) -> None:
        self._is_answered = False
        self._buffer += data
        self._advance()

    def _advance(self) -> None:
        """Works off what has come, as far as it is complete."""
        while not self._is_deciding and (
            self._take_content() if self._is_in_content else self._take_command()
        ):
            pass
        if self._replies and not self._is_lost:
            self._transport.write("".join(self._replies).encode())
            self._replies.clear()

    def _take_command(self) -> bool:
        end = self._buffer.find(b"\r\n")
        if end < 0:
            return False
        line = self._buffer[:end].decode("ascii", "replace")
        del self._buffer[: end + 2]
        match line[:4].upper():
            case "EHLO":
                self._replies.append(self._greeting)
            case "RCPT":
                self._recipient = line.partition("<")[2].partition(">")[0]
                self._replies.append("250 2.1.5 ok\r\n")
            case "DATA":
                self._is_in_content = True
                self._log.begin()
                self._replies.append("354 go ahead\r\n")
            case "QUIT":
                self._replies.append("221 2.0.0 bye\r\n")
                self._transport.write("".join(self._replies).encode())
                self._replies.clear()
                self._transport.close()
                return False
            case "MAIL" | "RSET" | "NOOP":
                self._replies.append("250 2.0.0 ok\r\n")
            case _:
                self._replies.append("500 5.5.2 what?\r\n")
        return True

    def _take_content(self) -> bool:
        end = self._buffer.find(_END)
        if end < 0:
            return False
        content = bytes(self._buffer[: end + 2])
        del self._buffer[: end + len(_END)]
        self._is_in_content, self._is_deciding = False, True
        if self._delay:
            asyncio.get_running_loop().call_later(self._delay, self._accept, content)
            return False
        self._accept(content)
        return False

    def _accept(self, content: bytes) -> None:
        self._log.accept(self._number, self._recipient, content)
        self._is_deciding = False
        self._log.end()
        if not self._is_lost:
            self._is_answered = True
            self._replies.append("250 2.0.0 taken\r\n")
            self._advance()


async def serve(arguments: argparse.Namespace) -> None:
    """Serves until SIGTERM."""
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, stop.set)
    log = Log(arguments.log, Status(arguments.status))
    extensions = ("PIPELINING",) if arguments.pipelining else ()
    servers = [
        await loop.create_server(
            partial(Connection, log, door, arguments.delay, extensions), "127.0.0.1", 0, backlog=1000
        )
        for door in range(arguments.doors)
    ]
    sys.stdout.write(json.dumps({"ports": [each.sockets[0].getsockname()[1] for each in servers]}) + "\n")
    sys.stdout.flush()
    await stop.wait()
    for server in servers:
        server.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--log", type=Path, required=True)
    parser.add_argument("--status", type=Path, required=True)
    parser.add_argument("--delay", type=float, default=0.0, help="seconds from a mail's end to its 250")
    parser.add_argument("--doors", type=int, default=1)
    parser.add_argument("--pipelining", action=argparse.BooleanOptionalAction, default=True)
    asyncio.run(serve(parser.parse_args()))


if __name__ == "__main__":
    main()
