"""Where the demo's servers stand: on this machine only, at a port people expect if it is free."""

import socket
from types import TracebackType
from typing import Self

from aiohttp import web

HOST = "127.0.0.1"


def bind(preferred: int) -> socket.socket:
    """Gives a socket bound to the preferred port, or to any free one when that is taken; 0 asks for any."""
    try:
        return socket.create_server((HOST, preferred))
    except OSError:
        return socket.create_server((HOST, 0))


def port_of(bound: socket.socket) -> int:
    port: int = bound.getsockname()[1]
    return port


def free_port(preferred: int) -> int:
    """Names a port that was free a moment ago, for a server that binds by number itself."""
    with bind(preferred) as probe:
        return port_of(probe)


class WebServer:
    """An aiohttp application served on a bound socket for as long as the `async with` lasts."""

    def __init__(self, app: web.Application, bound: socket.socket) -> None:
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
        self._bound = bound
        self.url = f"http://{HOST}:{port_of(bound)}"

    async def __aenter__(self) -> Self:
        await self._runner.setup()
        await web.SockSite(self._runner, self._bound).start()
        return self

    async def __aexit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        await self._runner.cleanup()
