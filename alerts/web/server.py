"""The web server, inside the daemon's own event loop."""

import asyncio
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import cast

import uvicorn
from starlette.types import ASGIApp

from alerts.errors import Unavailable
from alerts.web.connections import Connection, Limits, Line
from alerts.web.forwarded import Forwarded

_DRAIN_SECONDS = 5
_BACKLOG = 128  # as many are taken on at once before a limit is looked at


class WebServer:
    """Serves an application from `start` to `stop`; signals stay the daemon's, and requests are not logged.

    `proxies` are the networks whose word counts about who asks (X-Forwarded-For, X-Forwarded-Proto): the client is
    the last hop that is none of them.
    """

    def __init__(
        self,
        app: ASGIApp,
        host: str,
        port: int,
        proxies: Sequence[str] = (),
        *,
        limits: Limits = Limits(),  # noqa: B008 - frozen
    ) -> None:
        self._app = app
        self._host = host
        self._proxies = [*proxies]
        self._wanted_port = port
        self._limits = limits
        self._running: tuple[_Server, asyncio.Task[None]] | None = None
        self.port = 0
        """The port that is listened on, from `start` on: a free one when 0 was asked for."""

    async def start(self) -> None:
        """Listens; requests are answered when this returns. Raises Unavailable when the port cannot be had."""
        listener = _listen(self._host, self._wanted_port)
        self.port = listener.getsockname()[1]
        server = _Server(
            uvicorn.Config(
                Forwarded(self._app, self._proxies),
                http=cast("type[asyncio.Protocol]", partial(Connection, line=Line(self._limits))),
                backlog=_BACKLOG,
                ws="none",
                lifespan="off",
                # Tokens stand in paths: no access log, and no trace of requests whatever the root logger's level.
                access_log=False,
                log_config=None,
                log_level="warning",
                proxy_headers=False,
                server_header=False,
                timeout_graceful_shutdown=_DRAIN_SECONDS,
            )
        )
        task = asyncio.create_task(server.serve(sockets=[listener]), name="web")
        self._running = server, task
        ready = asyncio.create_task(server.ready.wait())
        await asyncio.wait({task, ready}, return_when=asyncio.FIRST_COMPLETED)
        ready.cancel()
        if task.done():
            await task

    async def stop(self) -> None:
        """Stops listening and lets requests that were begun end, for some seconds at most."""
        if self._running is None:
            return
        (server, task), self._running = self._running, None
        server.should_exit = True
        await task


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.ready = asyncio.Event()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leaves signals to the daemon, which stops more than the web server."""
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.ready.set()


def _listen(host: str, port: int) -> socket.socket:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, kind, protocol, _, address = found[0]
        # The protocol is named, as asyncio switches Nagle's delay off (44 ms an answer) only where it is.
        listener = socket.socket(family, kind, protocol)
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(address)
        except OSError:
            listener.close()
            raise
    except OSError as error:
        raise Unavailable(
            f"The web pages cannot listen on {host} port {port}: {error.strerror}. "
            "Stop what uses it, or set another [web] host or port."
        ) from error
    return listener
