"""Mails of the tests on their way through a transport, and what they were told."""

import asyncio
from collections.abc import Callable
from datetime import timedelta
from typing import Any, Protocol

from alerts.mail.replies import Verdict, judge
from alerts.mail.smtp import Outcome, Replied, Server
from alerts.mail.transports import Transport

CONTENT = b"Subject: x\r\n\r\n..a dot\r\n"


class Relay(Protocol):
    @property
    def port(self) -> int: ...


def server_at(relay: Relay, **fields: Any) -> Server:
    values: dict[str, Any] = {
        "tls": "none",
        "username": "",
        "password": "",
        "connections": 1,
        "connect_timeout": timedelta(seconds=5),
        "reply_timeout": timedelta(seconds=5),
        "final_timeout": timedelta(seconds=5),
    }
    return Server(name="main", host="127.0.0.1", port=relay.port, **values | fields)


class AMail:
    """One mail; `began` counts how often its content was about to go out, `outcomes` is what it was told."""

    def __init__(
        self,
        recipient: str = "reader@example.org",
        *,
        text: bytes = CONTENT,
        fence: Callable[[], None] = lambda: None,
        begin: Callable[[], None] = lambda: None,
        goes_first: bool = False,
    ) -> None:
        self.sender = b"bounce@example.org"
        self.recipient = recipient.encode()
        self.tries = 0
        self.goes_first = goes_first
        self.check = fence
        self.began = 0
        self.domain = recipient.rpartition("@")[2]
        self.outcome: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        self._begin = begin
        self._text = text

    def begin(self) -> None:
        self._begin()
        self.began += 1

    def content(self) -> bytes:
        return self._text

    def settle(self, outcome: Outcome) -> bool:
        self.outcome.set_result(outcome)
        return isinstance(outcome, Replied) and judge(outcome.code, outcome.text).verdict is Verdict.SLOW_DOWN


async def hand_over(transport: Transport, *mails: AMail) -> list[Outcome]:
    """Submits all at once; gives the outcomes in the order of the mails."""
    for mail in mails:
        transport.submit(mail)
    return await asyncio.gather(*[mail.outcome for mail in mails])


async def hand_over_once(server: Server, *mails: AMail) -> list[Outcome]:
    """The same over a transport of its own, which is closed afterwards."""
    transport = Transport(server)
    try:
        return await hand_over(transport, *mails)
    finally:
        await transport.close()
