"""One kept connection to an SMTP server, and the one place where a mail goes over it.

aiosmtplib connects, greets, secures and authenticates; the transaction on its connection is ours, because
only here is it known when a mail's content goes out and when its reply has come. Every write asks the
mail's fence first, so that a worker whose lease has run out writes nothing more.
"""

import asyncio
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Literal

import aiosmtplib
from aiosmtplib.response import SMTPResponse

from alerts.failpoints import reach

_PIECE = 64 * 1024  # how much content is written between two looks at the fence
_OK = 250
_GO_AHEAD = 354
_CLOSING = 421


@dataclass(frozen=True, slots=True)
class Server:
    """Where a transport's mail goes and how."""

    name: str
    host: str
    port: int
    tls: Literal["none", "starttls", "tls"]
    username: str
    password: str
    connections: int
    connect_timeout: timedelta
    reply_timeout: timedelta
    final_timeout: timedelta
    ca_file: Path | None = None


@dataclass(frozen=True, slots=True)
class Mail:
    """One reader's mail, ready for the wire: CRLF, dots stuffed, no end mark.

    `fence` raises when nothing more may be written; `begin` is called once, right before the content.
    """

    sender: str
    recipient: str
    content: bytes
    fence: Callable[[], None]
    begin: Callable[[], None]


@dataclass(frozen=True, slots=True)
class Replied:
    """The server's word on one mail, at the command that decided it."""

    stage: Literal["MAIL", "RCPT", "DATA", "content"]
    code: int
    text: str


@dataclass(frozen=True, slots=True)
class Unsent:
    """It is certain that the mail did not go out; `reason` names no reader's data."""

    reason: str


@dataclass(frozen=True, slots=True)
class InDoubt:
    """The content went out, at least in part, and its reply did not come."""

    reason: str


Outcome = Replied | Unsent | InDoubt


def tls_context(server: Server) -> ssl.SSLContext | None:
    """Makes the one TLS context that all connections of a transport share."""
    if server.tls == "none":
        return None
    return ssl.create_default_context(cafile=str(server.ca_file) if server.ca_file else None)


class Connection:
    """A connection that carries one mail at a time; after `is_open` turns false make another."""

    def __init__(self, server: Server, context: ssl.SSLContext | None) -> None:
        self._server = server
        self._client = aiosmtplib.SMTP(
            hostname=server.host,
            port=server.port,
            timeout=server.connect_timeout.total_seconds(),
            username=server.username or None,
            password=server.password or None,
            use_tls=server.tls == "tls",
            start_tls=server.tls == "starttls",
            tls_context=context,
        )
        self._is_fresh = True  # nothing of an earlier mail stands in the session
        self._is_first = True  # no mail was tried on this connection before
        self.in_content = False  # a mail's content went out, at least in part, and its reply is awaited

    @property
    def is_open(self) -> bool:
        return self._client.is_connected

    async def connect(self) -> None:
        """Opens, greets, secures and authenticates; raises aiosmtplib's errors or OSError."""
        await self._client.connect()
        if self._client.is_ehlo_or_helo_needed:
            await self._client.ehlo()

    async def send(self, mail: Mail) -> Outcome:
        """Hands one mail over; whatever happens, the fence's refusal included, is told as an outcome."""
        self.in_content = False
        is_first, self._is_first = self._is_first, False
        try:
            refused = await self._envelope(mail)
            if refused is not None:
                # RFC 5321, 3.8: the word is about the connection, which has carried its share.
                is_sent_away = refused.stage == "MAIL" and refused.code == _CLOSING and not is_first
                return Unsent("sent away") if is_sent_away else refused
            mail.fence()
            mail.begin()
            self.in_content = True
            reply = await self._content(mail)
        except Exception as error:  # noqa: BLE001 - a lost connection or lease, a full disk: all end this mail here
            self.close()
            reason = type(error).__name__
            return InDoubt(reason) if self.in_content else Unsent(reason)
        reach("smtp.replied")
        self.in_content = False
        return self._replied("content", reply)

    async def quit(self) -> None:
        """Says goodbye, briefly; a server that does not answer is left without."""
        try:
            await asyncio.wait_for(self._client.quit(), timeout=2)
        except (TimeoutError, aiosmtplib.SMTPException, OSError):
            self.close()

    def close(self) -> None:
        """Drops the connection at once; nothing buffered is flushed."""
        if isinstance(self._client.transport, asyncio.WriteTransport):
            self._client.transport.abort()
        self._client.close()

    async def _envelope(self, mail: Mail) -> Replied | None:
        """Sends MAIL, RCPT and DATA; gives the refusal, or nothing when the server waits for content."""
        if not self._is_fresh:
            mail.fence()
            await self._command(b"RSET")
            self._is_fresh = True
        steps: tuple[tuple[Literal["MAIL", "RCPT", "DATA"], bytes], ...] = (
            ("MAIL", b"MAIL FROM:<%s>" % mail.sender.encode("ascii")),
            ("RCPT", b"RCPT TO:<%s>" % mail.recipient.encode("ascii")),
            ("DATA", b"DATA"),
        )
        for stage, command in steps:
            mail.fence()
            reply = await self._command(command)
            reach(f"smtp.{stage.lower()}")
            is_yes = reply.code == _GO_AHEAD if stage == "DATA" else _OK <= reply.code < _OK + 10
            if not is_yes:
                self._is_fresh = False
                return self._replied(stage, reply)
        return None

    async def _command(self, command: bytes) -> SMTPResponse:
        return await self._client.execute_command(command, timeout=self._server.reply_timeout.total_seconds())

    async def _content(self, mail: Mail) -> SMTPResponse:
        """Writes the content piece by piece behind the fence, and waits for the reply to the final dot."""
        protocol = self._client.protocol
        assert protocol is not None, "connected"
        content = mail.content + b".\r\n"
        for start in range(0, len(content), _PIECE):
            if start:
                await protocol._drain_helper()  # noqa: SLF001 - asyncio's own flow control, as StreamWriter.drain
                mail.fence()
            protocol.write(content[start : start + _PIECE])
        reach("smtp.content")
        return await protocol.read_response(timeout=self._server.final_timeout.total_seconds())

    def _replied(self, stage: Literal["MAIL", "RCPT", "DATA", "content"], reply: SMTPResponse) -> Replied:
        if reply.code == _CLOSING:
            self.close()
        return Replied(stage, reply.code, reply.message)
