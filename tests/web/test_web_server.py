"""The server lives inside the daemon: it takes the port, and leaves signals alone."""

import asyncio
import signal
import socket

import aiohttp
import pytest
from starlette.types import Receive, Scope, Send

from alerts.errors import Unavailable
from alerts.web.server import WebServer

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Slow:
    """An application that answers when it is let."""

    def __init__(self) -> None:
        self.asked = asyncio.Event()
        self.may_answer = asyncio.Event()

    async def __call__(self, _scope: Scope, _receive: Receive, send: Send) -> None:
        self.asked.set()
        await self.may_answer.wait()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"done"})


async def get(server: WebServer) -> str:
    async with (
        aiohttp.ClientSession() as client,
        client.get(f"http://127.0.0.1:{server.port}/") as answer,
    ):
        return await answer.text()


async def test_a_port_that_is_taken_is_said_so() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        server = WebServer(Slow(), "127.0.0.1", port)
        with pytest.raises(Unavailable, match=rf"127\.0\.0\.1 port {port}: Address already in use"):
            await server.start()
        await server.stop()


async def test_a_host_that_is_not_here_is_said_so() -> None:
    with pytest.raises(Unavailable, match="set another"):
        await WebServer(Slow(), "no-such-host.invalid", 0).start()


async def test_signals_stay_as_they_were() -> None:
    before = [signal.getsignal(each) for each in SIGNALS]
    server = WebServer(Slow(), "127.0.0.1", 0)
    await server.start()
    assert [signal.getsignal(each) for each in SIGNALS] == before
    await server.stop()


async def test_stopping_lets_what_was_begun_end() -> None:
    app = Slow()
    server = WebServer(app, "127.0.0.1", 0)
    await server.start()
    asked = asyncio.create_task(get(server))
    await app.asked.wait()
    stopping = asyncio.create_task(server.stop())
    app.may_answer.set()
    assert await asked == "done"
    await stopping
    with pytest.raises(aiohttp.ClientConnectorError):
        await get(server)
    await server.stop()
