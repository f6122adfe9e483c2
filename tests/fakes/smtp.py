"""SMTP servers for tests, on real sockets: one that misbehaves as told, one that only conforms."""

import asyncio
import time
from collections.abc import Awaitable, Callable

from aiosmtpd.smtp import SMTP, Envelope, Session

from fakes.script import EIGHT_BIT, PIPELINING, SIZE, UTF8, Drop, Hang, Manners, Point, Reply, Script
from fakes.smtp_dialogue import Dialogue, Wire
from fakes.smtp_log import Attempt, Log, Mail

__all__ = [
    "EIGHT_BIT",
    "PIPELINING",
    "SIZE",
    "UTF8",
    "Attempt",
    "ConformingServer",
    "Drop",
    "Hang",
    "Mail",
    "Manners",
    "Point",
    "Reply",
    "Script",
    "ScriptedServer",
    "StartSmtp",
]
HOST = "127.0.0.1"


class ScriptedServer(Log):
    """Answers by its manners, and by its script where that says otherwise; judges its client meanwhile.

    The script may be changed at any time: `server.script.on(Point.RCPT, Reply.of(450, "4.2.0 later"), times=1)`.
    """

    def __init__(self, manners: Manners | None = None, script: Script | None = None) -> None:
        super().__init__()
        self.host, self.port = HOST, 0
        self.manners = manners or Manners()
        self.script = script or Script()
        self._server: asyncio.Server | None = None
        self._dialogues: dict[asyncio.Task[None], Wire] = {}

    async def start(self) -> None:
        """Listens, on a free port the first time and on the same one after a `stop`."""
        tls = self.manners.tls if self.manners.is_tls_from_start else None
        self._server = await asyncio.get_running_loop().create_server(
            lambda: Wire(self._converse), self.host, self.port, ssl=tls
        )
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Listens no more, and cuts every connection; raises what went wrong in the server itself."""
        if self._server is not None:
            self._server.close()
        for task, wire in self._dialogues.items():
            wire.transport.abort()
            task.cancel()
        for result in await asyncio.gather(*self._dialogues, return_exceptions=True):
            if isinstance(result, Exception):
                raise result

    def _converse(self, wire: Wire) -> None:
        dialogue = Dialogue(wire, self.manners, self.script, self)
        self._dialogues[asyncio.get_running_loop().create_task(dialogue.run())] = wire


StartSmtp = Callable[..., Awaitable[ScriptedServer]]  # the fixture `smtp_server`


class ConformingServer(Log):
    """aiosmtpd with its strict checks: somebody else's reading of the RFCs. It offers no PIPELINING."""

    def __init__(self) -> None:
        super().__init__()
        self.host, self.port = HOST, 0
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        self._server = await asyncio.get_running_loop().create_server(
            lambda: SMTP(self, enable_SMTPUTF8=True, decode_data=False, hostname="mail.test"),
            self.host,
            self.port,
        )
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        if self._server is not None:
            self._server.close()

    async def handle_DATA(self, _server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802 - aiosmtpd's name
        content = envelope.content
        assert isinstance(content, bytes)
        for recipient in envelope.rcpt_tos:
            self.accepted.append(
                Mail(envelope.mail_from or "", recipient, content, id(session), time.monotonic())
            )
        self.changed.set()
        return "250 2.0.0 ok"
