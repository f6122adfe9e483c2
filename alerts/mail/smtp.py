"""What the sending path says of one mail, and how a connection to a relay is opened.

aiosmtplib connects, greets, secures and authenticates, and says goodbye; between the two its connection
belongs to a `Dialogue`, because only there is it known when a mail's content goes out and when its reply
has come.
"""

import asyncio
import socket
import ssl
from dataclasses import dataclass
from datetime import timedelta
from functools import cache
from pathlib import Path
from typing import Literal, Protocol, cast

import aiosmtplib

_GOODBYE_SECONDS = 2

Stage = Literal["MAIL", "RCPT", "DATA", "content"]


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
    hello: str = ""  # the name to greet with; this machine's when empty


@dataclass(frozen=True, slots=True)
class Replied:
    """The server's word on one mail, at the command that decided it; `text` has all lines, without the code."""

    stage: Stage
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


class Mail(Protocol):
    """One reader's mail as the wire asks for it; all is called in the event loop, `settle` once and last."""

    sender: bytes
    recipient: bytes

    @property
    def domain(self) -> str:
        """The destination; it is only asked for where one has a limit."""

    tries: int  # connections that it was given to in vain; the transport counts them

    @property
    def goes_first(self) -> bool:
        """Whether it passes all mails that wait and do not: somebody sits before a page and awaits it."""

    def check(self) -> None:
        """Raises when nothing more may be written: it is asked before each write."""

    def content(self) -> bytes:
        """Gives the mail with CRLF and dots stuffed, without the dot that ends it."""

    def begin(self) -> None:
        """Is called right before the first byte of the content goes out; what it raises stops that."""

    def settle(self, outcome: Outcome) -> bool:
        """Is told what became of the mail; says whether its destination asks us to slow down."""


def tls_context(server: Server) -> ssl.SSLContext | None:
    """Makes the one TLS context that all connections of a transport share."""
    if server.tls == "none":
        return None
    return ssl.create_default_context(cafile=str(server.ca_file) if server.ca_file else None)


@cache
def _own_name() -> str:
    """Asks the resolver once: aiosmtplib would at each connection, and wait for a slow one each time."""
    return socket.getfqdn()


async def connect(server: Server, context: ssl.SSLContext | None) -> aiosmtplib.SMTP:
    """Opens, greets, secures and authenticates; raises aiosmtplib's errors or OSError, and leaves nothing open."""
    client = aiosmtplib.SMTP(
        hostname=server.host,
        port=server.port,
        timeout=server.connect_timeout.total_seconds(),
        username=server.username or None,
        password=server.password or None,
        use_tls=server.tls == "tls",
        start_tls=server.tls == "starttls",
        tls_context=context,
        local_hostname=server.hello or await asyncio.to_thread(_own_name),
    )
    try:
        await client.connect()
        if client.is_ehlo_or_helo_needed:
            await _greet(client)
        _must_stand(client)
    except BaseException:
        drop(client)
        raise
    return client


async def _greet(client: aiosmtplib.SMTP) -> None:
    """Says EHLO, and HELO to a server that does not know it (RFC 5321, 3.2)."""
    try:
        await client.ehlo()
    except aiosmtplib.SMTPHeloError as error:
        if error.code < 500:  # noqa: PLR2004 - RFC 5321, 4.2.1
            raise
        await client.helo()


def trouble(error: BaseException) -> str:
    """Names what went wrong in connecting by its kinds and code; never in the server's words."""
    kinds = type(error).__name__
    if error.__cause__ is not None:
        kinds = f"{kinds}, {type(error.__cause__).__name__}"
    return f"{kinds} {error.code}" if isinstance(error, aiosmtplib.SMTPResponseException) else kinds


def _must_stand(client: aiosmtplib.SMTP) -> None:
    """Raises when the connection was lost right behind the last reply: who takes it over would never hear of it."""
    if not client.is_connected or cast("asyncio.BaseTransport", client.transport).is_closing():
        raise aiosmtplib.SMTPServerDisconnected("The server closed the connection.")


async def quit_politely(client: aiosmtplib.SMTP) -> None:
    """Says goodbye, briefly; a server that does not answer is left without."""
    try:
        await asyncio.wait_for(client.quit(), timeout=_GOODBYE_SECONDS)
    except (TimeoutError, aiosmtplib.SMTPException, OSError):
        drop(client)


def drop(client: aiosmtplib.SMTP) -> None:
    """Drops the connection at once; nothing buffered is flushed."""
    if client.transport is not None:
        cast("asyncio.WriteTransport", client.transport).abort()  # uvloop's is one by its methods only
    client.close()
