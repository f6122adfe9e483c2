"""One connection of the scripted server: reads commands, answers as the script says, judges the client."""

import asyncio
import base64
import re
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import cast

from fakes.script import Drop, Hang, Manners, Point, Reply, Script
from fakes.smtp_log import Attempt, Log, Mail, faults, unstuffed

OK = Reply.of(250, "2.0.0 ok")
_COMMAND_LIMIT = 1024  # RFC 5321 4.5.3.1.4 says 512, and extensions may add to it
# RFC 2920 3.1: what may only stand last in a group, since its reply changes what comes next.
_LAST_IN_GROUP = {"EHLO", "HELO", "DATA", "STARTTLS", "AUTH", "QUIT", "NOOP", "VRFY"}
_PATH = r"<([^<>\s]*)>((?: [A-Za-z0-9-]+(?:=[^\s=]+)?)*)"


class Over(Exception):
    """The dialogue ended, by either side."""


class Wire(asyncio.Protocol):
    """Bytes as they come, and nothing read ahead of what was asked for."""

    def __init__(self, on_connect: Callable[["Wire"], None]) -> None:
        self.buffer = bytearray()
        self.is_closed = False
        self.transport: asyncio.Transport
        self._on_connect = on_connect
        self._arrived = asyncio.Event()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        self._on_connect(self)

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        self._arrived.set()

    def connection_lost(self, exc: Exception | None) -> None:
        self.is_closed = True
        self._arrived.set()

    async def more(self) -> None:
        """Waits for at least one byte more; raises Over when none will come."""
        self._arrived.clear()
        if not self.is_closed:
            await self._arrived.wait()
        if self.is_closed:
            raise Over

    async def until(self, end: bytes) -> bytes:
        """Gives everything up to and with `end`."""
        looked = 0
        while (found := self.buffer.find(end, looked)) < 0:
            looked = max(0, len(self.buffer) - len(end))
            await self.more()
        taken = bytes(self.buffer[: found + len(end)])
        del self.buffer[: len(taken)]
        return taken

    async def lost(self) -> None:
        while True:
            await self.more()


def _decoded(text: str) -> str:
    return base64.b64decode(text).decode()


@dataclass(slots=True)
class Envelope:
    mail_from: str
    is_eight_bit: bool
    recipients: list[str]


class Dialogue:
    """Talks with one client from the banner to the end; everything is written to the log as it happens."""

    def __init__(self, wire: Wire, manners: Manners, script: Script, log: Log) -> None:
        log.connections += 1
        log.open += 1
        log.changed.set()
        self._number = log.connections
        self._wire = wire
        self._manners = manners
        self._script = script
        self._log = log
        self._is_greeted = False
        self._is_secure = manners.is_tls_from_start
        self._is_authenticated = manners.credentials is None
        self._envelope: Envelope | None = None
        self._mails = 0
        self._handlers: dict[str, Callable[[str], Awaitable[object]]] = {
            "EHLO": self._ehlo,
            "HELO": self._helo,
            "STARTTLS": self._starttls,
            "AUTH": self._auth,
            "MAIL": self._mail,
            "RCPT": self._rcpt,
            "DATA": self._data,
            "RSET": self._rset,
            "NOOP": self._noop,
            "QUIT": self._quit,
        }

    async def run(self) -> None:
        try:
            await self._speak(Point.BANNER, Reply.of(220, "mail.test ESMTP"))
            while True:
                await self._obey(await self._wire.until(b"\n"))
        except (Over, OSError):  # OSError: the TLS handshake failed
            pass
        finally:
            self._wire.transport.close()
            self._log.open -= 1
            self._log.changed.set()

    async def _obey(self, line: bytes) -> None:
        if not line.endswith(b"\r\n") or b"\r" in line[:-2]:
            self._blame("a command with a bare CR or LF")
        if len(line) > _COMMAND_LIMIT:
            self._blame(f"a command of more than {_COMMAND_LIMIT} octets")
        if not line.isascii() and "SMTPUTF8" not in self._manners.extensions:
            self._blame("a command that is not ASCII, without SMTPUTF8")
        verb, _, argument = line.rstrip(b"\r\n").decode(errors="surrogateescape").partition(" ")
        verb = verb.upper()
        self._log.commands.append(verb)
        self._judge_group(verb)
        if handler := self._handlers.get(verb):
            await handler(argument)
        else:
            await self._write(Reply.of(500, "5.5.2 unknown command"))

    def _judge_group(self, verb: str) -> None:
        if not self._wire.buffer:
            return
        if verb in _LAST_IN_GROUP:
            self._blame(f"{verb} was not the last of its group")
        elif "PIPELINING" not in self._manners.extensions:
            self._blame(f"{verb} was pipelined, which was not offered")

    async def _ehlo(self, argument: str) -> None:
        self._log.greetings.append(argument)
        offered = list(self._manners.extensions)
        if self._manners.tls and not self._is_secure:
            offered.append("STARTTLS")
        elif self._manners.credentials:
            offered.append("AUTH PLAIN LOGIN")
        self._envelope = None
        self._is_greeted = await self._speak(Point.EHLO, Reply.of(250, "mail.test", *offered)) == OK.code

    async def _helo(self, argument: str) -> None:
        self._envelope = None
        self._is_greeted = await self._speak(Point.HELO, Reply.of(250, "mail.test")) == OK.code

    async def _starttls(self, argument: str) -> None:
        if self._manners.tls is None or self._is_secure:
            await self._write(Reply.of(503, "5.5.1 not offered"))
        elif await self._speak(Point.STARTTLS, Reply.of(220, "2.0.0 go ahead")) == 220:
            self._wire.buffer.clear()  # what was sent in clear must not be taken for secured
            transport = await asyncio.get_running_loop().start_tls(
                self._wire.transport, self._wire, self._manners.tls, server_side=True
            )
            if transport is None:
                raise Over
            self._wire.transport = transport
            self._is_secure, self._is_greeted = True, False

    async def _auth(self, argument: str) -> None:
        if self._manners.credentials is None or (self._manners.tls and not self._is_secure):
            await self._write(Reply.of(503, "5.5.1 not offered"))
            return
        mechanism, _, initial = argument.partition(" ")
        if mechanism.upper() == "PLAIN":
            _, username, password = (_decoded(initial) if initial else await self._ask("")).split("\0")
        else:
            username = _decoded(initial) if initial else await self._ask("Username:")
            password = await self._ask("Password:")
        is_right = (username, password) == self._manners.credentials
        usual = Reply.of(235, "2.7.0 welcome") if is_right else Reply.of(535, "5.7.8 wrong credentials")
        self._is_authenticated = await self._speak(Point.AUTH, usual) == 235

    async def _ask(self, prompt: str) -> str:
        await self._write(Reply.of(334, base64.b64encode(prompt.encode()).decode()))
        return _decoded((await self._wire.until(b"\r\n")).decode())

    async def _mail(self, argument: str) -> None:
        match = re.fullmatch("FROM:" + _PATH, argument, re.IGNORECASE)
        if match is None:
            self._blame("MAIL with a wrong argument")
            await self._write(Reply.of(501, "5.5.4 MAIL FROM:<address>"))
        elif not self._is_greeted or self._envelope is not None:
            self._blame("MAIL out of order")
            await self._write(Reply.of(503, "5.5.1 not now"))
        elif not self._is_authenticated:
            await self._write(Reply.of(530, "5.7.0 authenticate first"))
        elif self._mails == self._manners.mails_per_connection:
            await self._write(Reply.of(421, "4.7.0 too many mails on this connection"))
        else:
            parameters = match[2].upper().split()
            self._judge_parameters(parameters)
            if await self._speak(Point.MAIL, OK) == OK.code:
                self._envelope = Envelope(match[1], "BODY=8BITMIME" in parameters, [])

    def _judge_parameters(self, parameters: list[str]) -> None:
        offered = {extension.partition(" ")[0] for extension in self._manners.extensions}
        needed = {"SIZE": "SIZE", "BODY": "8BITMIME", "SMTPUTF8": "SMTPUTF8"}
        for parameter in parameters:
            name = parameter.partition("=")[0]
            if needed.get(name) not in offered:
                self._blame(f"MAIL with {name}, which was not offered")

    async def _rcpt(self, argument: str) -> None:
        match = re.fullmatch("TO:" + _PATH, argument, re.IGNORECASE)
        recipient = match[1] if match else ""
        mail_from = self._envelope.mail_from if self._envelope else ""
        self._log.attempts.append(Attempt(mail_from, recipient, self._number, time.monotonic()))
        self._log.changed.set()
        if not recipient:
            self._blame("RCPT with a wrong argument")
            await self._write(Reply.of(501, "5.5.4 RCPT TO:<address>"))
        elif self._envelope is None:  # a pipelining client may meet this after a refused MAIL
            await self._write(Reply.of(503, "5.5.1 MAIL first"))
        elif await self._speak(Point.RCPT, OK, (recipient,)) == OK.code:
            self._envelope.recipients.append(recipient)

    async def _data(self, argument: str) -> None:
        envelope = self._envelope or Envelope("", is_eight_bit=True, recipients=[])
        usual = (
            Reply.of(354, "go ahead") if envelope.recipients else Reply.of(554, "5.5.1 no valid recipients")
        )
        if await self._speak(Point.DATA, usual, tuple(envelope.recipients)) != 354:
            self._envelope = None  # RFC 5321 4.1.4: a refused DATA leaves nothing behind
            return
        self._log.begin_mail()
        try:
            await self._content(envelope)
        finally:
            self._log.end_mail()

    async def _content(self, envelope: Envelope) -> None:
        recipients = tuple(envelope.recipients)
        if (action := self._script.next(Point.MIDDLE, recipients)) is not None:
            while not self._wire.buffer:
                await self._more_of_mail()
            await self._do(action)
        raw = await self._rest_of_mail()
        for fault in faults(raw, is_eight_bit_declared=envelope.is_eight_bit):
            self._blame(fault)
        if raw and not recipients:
            self._blame("content though no recipient was accepted")
        mails = [
            Mail(envelope.mail_from, recipient, unstuffed(raw), self._number, time.monotonic())
            for recipient in recipients
        ]
        self._log.received += mails
        self._log.changed.set()
        if self._manners.delay:
            await asyncio.sleep(self._manners.delay)
        action = self._script.next(Point.CONTENT, recipients) or (
            OK if recipients else Reply.of(554, "5.5.1")
        )
        match action:
            case Reply(code=250) | Drop(is_accepted=True) | Hang(is_accepted=True):
                self._log.accepted += mails
        self._mails += 1
        self._envelope = None
        await self._do(action)
        if self._mails == self._manners.close_after:
            raise Over

    async def _rest_of_mail(self) -> bytes:
        """Gives the content as it came, without the line of the final dot."""
        try:
            first = await self._wire.until(b"\r\n")
            if first == b".\r\n":
                return b""
            self._wire.buffer[:0] = first
            return (await self._wire.until(b"\r\n.\r\n"))[: -len(b".\r\n")]
        except Over:
            self._log.cut_off += 1
            raise

    async def _more_of_mail(self) -> None:
        try:
            await self._wire.more()
        except Over:
            self._log.cut_off += 1
            raise

    async def _rset(self, argument: str) -> None:
        self._envelope = None
        await self._speak(Point.RSET, OK)

    async def _noop(self, argument: str) -> None:
        await self._speak(Point.NOOP, OK)

    async def _quit(self, argument: str) -> None:
        await self._speak(Point.QUIT, Reply.of(221, "2.0.0 bye"))
        raise Over

    async def _speak(self, point: Point, usual: Reply, recipients: tuple[str, ...] = ()) -> int:
        """Does what the script says at this point, else answers `usual`; gives the code that went out."""
        return await self._do(self._script.next(point, recipients) or usual)

    async def _do(self, action: Reply | Drop | Hang) -> int:
        match action:
            case Drop():
                self._wire.transport.abort()
                raise Over
            case Hang():
                await self._wire.lost()
                raise Over
            case Reply():
                await self._write(action)
                return action.code

    async def _write(self, reply: Reply) -> None:
        if self._wire.is_closed:
            raise Over
        if self._manners.is_byte_by_byte:
            for byte in bytes(reply):
                self._wire.transport.write(bytes([byte]))
                await asyncio.sleep(0)
        else:
            self._wire.transport.write(bytes(reply))
        if reply.code == 421:
            raise Over

    def _blame(self, fault: str) -> None:
        self._log.violations.append(fault)
        self._log.changed.set()
