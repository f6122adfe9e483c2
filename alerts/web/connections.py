"""What one connection may cost: how long it may keep us waiting, and what gives way when there are too many."""

import asyncio
from collections.abc import MutableMapping
from dataclasses import dataclass, field
from typing import Any

import h11
from uvicorn.config import Config
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.server import ServerState

_FULL = (
    b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 10\r\nConnection: close\r\n"
    b"Content-Type: text/plain\r\nContent-Length: 15\r\n\r\nPlease wait...\n"
)
_LATE = b"The request did not come in time.\n"


@dataclass(frozen=True, slots=True)
class Limits:
    """How long the head of a request may take, and then its body; and how many connections there may be.

    They leave room for feeds and relays within the 1,024 descriptors that a process has at the least.
    """

    seconds: float = 15.0
    connections: int = 500


@dataclass(slots=True)
class Line:
    """The connections of one server that have not asked yet, those that wait longest first."""

    limits: Limits
    waiting: MutableMapping["Connection", None] = field(default_factory=dict)


class Connection(H11Protocol):
    """A connection that is closed when its request does not come in time.

    Who has not asked yet gives way to who comes when there are too many; when all have asked, who comes is sent away.
    """

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
        *,
        line: Line,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._line = line
        self._awaited: object = None  # of h11's states: the one that has to end
        self._deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        super().connection_made(transport)
        if len(self.connections) > self._line.limits.connections:
            longest = next(iter(self._line.waiting), None)
            if longest is None:
                transport.write(_FULL)
                transport.close()
            else:
                longest.leave()
        self._look()

    def handle_events(self) -> None:
        super().handle_events()
        self._look()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._look()

    def timeout_keep_alive_handler(self) -> None:
        self.leave()

    def connection_lost(self, exc: Exception | None) -> None:
        self._await(None)
        super().connection_lost(exc)

    def leave(self) -> None:
        """Closes the connection, once what was sent is on its way."""
        self.transport.close()
        self._look()

    def _look(self) -> None:
        """Awaits what has to come next: a request's head, the rest of its body, or that our answer is taken."""
        if self.transport.is_closing():
            self._await(h11.CLOSED)
        else:
            state = self.conn.their_state
            self._await(state if state in (h11.IDLE, h11.SEND_BODY) else None)

    def _await(self, state: object) -> None:
        if state is self._awaited:
            return
        self._awaited = state
        if self._deadline is not None:
            self._deadline.cancel()
        self._line.waiting.pop(self, None)
        if state is h11.IDLE:
            self._line.waiting[self] = None
        if state is not None:
            self._deadline = self.loop.call_later(self._line.limits.seconds, self._late)

    def _late(self) -> None:
        if self._awaited is h11.CLOSED:
            self.transport.abort()
            return
        is_begun = self._awaited is h11.SEND_BODY or bool(self.conn.trailing_data[0])
        if is_begun and self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            self._tell_late()
        self.leave()

    def _tell_late(self) -> None:
        """Answers in the application's place, which is told that the client is gone."""
        if self._awaited is h11.SEND_BODY:
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        headers = [
            ("Content-Type", "text/plain"),
            ("Content-Length", str(len(_LATE))),
            ("Connection", "close"),
        ]
        for event in (
            h11.Response(status_code=408, headers=headers, reason=b"Request Timeout"),
            h11.Data(data=_LATE),
            h11.EndOfMessage(),
        ):
            self.transport.write(self.conn.send(event))
