"""A built-in SMTP server that keeps what it is given, and a log of its own that trusts nobody else's.

It stands in for the readers' mailboxes in the demo, and lets an operator try a site out before there is a
relay. It takes mail for any address and sends none on.
"""

import asyncio
import email
import email.policy
import json
import re
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from email.message import EmailMessage
from pathlib import Path

from aiosmtpd.smtp import SMTP, Envelope, Session

_LINK = re.compile(r"https?://[^\s<>\"')\]]*[^\s<>\"')\].,;:!?]")


_NOTICE = re.compile(r"/n/[A-Za-z0-9_-]{43}$")


@dataclass(frozen=True, slots=True)
class Mail:
    """One mail to one recipient, as it came over the wire."""

    number: int
    recipient: str
    message_id: str
    subject: str
    links: tuple[str, ...]  # in its text part
    received_at: datetime
    raw: bytes

    def marker(self, page_url: str) -> str | None:
        """Gives the anchor on the page that this mail is about, or None when it names none or several."""
        anchors = {link.rpartition("#")[2] for link in self.links if link.startswith(f"{page_url}#")}
        return anchors.pop() if len(anchors) == 1 else None

    @property
    def is_notice(self) -> bool:
        """Whether one person asked for it: its link is that of a notice, not of an alert."""
        return any(_NOTICE.search(link) for link in self.links)

    def parsed(self) -> EmailMessage:
        return _parse(self.raw)

    def part(self, kind: str) -> str:
        """Gives the text of the `plain` or `html` part, empty when there is none."""
        return _part(self.parsed(), kind)


class Inbox:
    """What the SMTP server received; `lose` names the mail, counted from 1, that is dropped on the way."""

    def __init__(self, *, lose: int | None = None, log: Path | None = None) -> None:
        self.mails: list[Mail] = []
        self._lose = lose
        self._log = log
        self._taken = 0
        self._listeners: list[Callable[[Mail], None]] = []

    def on_mail(self, listener: Callable[[Mail], None]) -> None:
        self._listeners.append(listener)

    @asynccontextmanager
    async def serve(self, bound: socket.socket) -> AsyncIterator[None]:
        """Takes mail on a bound socket for as long as the `async with` lasts."""
        server = await asyncio.get_running_loop().create_server(
            lambda: SMTP(self, hostname="inbox.demo", ident="alerts demo inbox"), sock=bound
        )
        try:
            yield
        finally:
            server.close()

    async def handle_DATA(self, _server: SMTP, _session: Session, envelope: Envelope) -> str:  # noqa: N802 - aiosmtpd's name
        content = envelope.content if isinstance(envelope.content, bytes) else b""
        for recipient in envelope.rcpt_tos:
            self._take(recipient, content)
        return "250 2.0.0 Kept"

    def _take(self, recipient: str, raw: bytes) -> None:
        self._taken += 1
        if self._taken == self._lose:
            return
        parsed = _parse(raw)
        mail = Mail(
            number=len(self.mails) + 1,
            recipient=recipient,
            message_id=str(parsed["Message-ID"] or ""),
            subject=str(parsed["Subject"] or "(no subject)"),
            links=tuple(_LINK.findall(_part(parsed, "plain"))),
            received_at=datetime.now(UTC),
            raw=raw,
        )
        self.mails.append(mail)
        self._write(mail)
        for listener in self._listeners:
            listener(mail)

    def _write(self, mail: Mail) -> None:
        if self._log is None:
            return
        line = {
            "number": mail.number,
            "received_at": mail.received_at.isoformat(timespec="milliseconds"),
            "recipient": mail.recipient,
            "message_id": mail.message_id,
            "links": mail.links,
        }
        with self._log.open("a", encoding="utf-8") as log:
            log.write(json.dumps(line) + "\n")


def _parse(raw: bytes) -> EmailMessage:
    return email.message_from_bytes(raw, policy=email.policy.default)


def _part(message: EmailMessage, kind: str) -> str:
    part = message.get_body((kind,))
    return "" if part is None else str(part.get_content())
