"""The server lives inside the daemon: it takes the port, and leaves signals alone."""

import asyncio
import resource
import signal
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import aiohttp
import pytest
from starlette.types import ASGIApp, Receive, Scope, Send

from alerts import loops
from alerts.errors import Unavailable
from alerts.web.connections import Limits
from alerts.web.server import WebServer

Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]

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


class Reads:
    """An application that answers when it has the whole body, and notes who went before."""

    def __init__(self) -> None:
        self.gone = 0

    async def __call__(self, _scope: Scope, receive: Receive, send: Send) -> None:
        more = True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                self.gone += 1
                return
            more = message.get("more_body", False)
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"4")]})
        await send({"type": "http.response.body", "body": b"read"})


SOON = Limits(seconds=0.05)
HALF_A_BODY = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 60000\r\n\r\na"
WHOLE = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"


@asynccontextmanager
async def serving(app: ASGIApp, limits: Limits) -> AsyncIterator[Callable[[bytes], Awaitable[Connection]]]:
    """Serves; gives what opens a connection and sends something on it."""
    server = WebServer(app, "127.0.0.1", 0, limits=limits)
    await server.start()
    opened = []

    async def say(words: bytes) -> Connection:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        opened.append(writer)
        writer.write(words)
        await writer.drain()
        return reader, writer

    try:
        yield say
    finally:
        for each in opened:
            each.close()
        await server.stop()


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


@pytest.mark.parametrize(
    ("words", "answer"),
    [
        (b"", b""),
        (b"GET / HT", b"HTTP/1.1 408 Request Timeout"),
        (b"GET / HTTP/1.1\r\nHost: x\r\n", b"HTTP/1.1 408 Request Timeout"),
        (HALF_A_BODY, b"HTTP/1.1 408 Request Timeout"),
        (WHOLE + b"GET / HT", b"HTTP/1.1 200 OK"),
    ],
)
async def test_who_does_not_finish_asking_is_sent_away(words: bytes, answer: bytes) -> None:
    app = Reads()
    async with serving(app, SOON) as say:
        reader, _ = await say(words)
        lines = (await reader.read()).split(b"\r\n")
    assert lines[0] == answer
    assert app.gone == (words == HALF_A_BODY)


@pytest.mark.parametrize("begun", [b"GET / HTTP/1.1\r\nX: ", HALF_A_BODY])
async def test_a_trickle_gains_no_time(begun: bytes) -> None:
    async with serving(Reads(), SOON) as say:
        reader, writer = await say(begun)

        async def trickle() -> None:
            while not reader.at_eof():
                writer.write(b"x")
                await asyncio.sleep(0.001)

        trickling = asyncio.create_task(trickle())
        assert b"408" in await reader.readline()
        trickling.cancel()


async def test_an_answer_may_take_longer_than_a_question() -> None:
    app = Slow()
    async with serving(app, SOON) as say:
        asked, _ = await say(WHOLE)
        await app.asked.wait()
        idle, _ = await say(b"")
        assert await idle.read() == b""  # its time is up, and it began later
        app.may_answer.set()
        assert b"200" in await asked.readline()


async def test_who_has_not_asked_gives_way_to_who_comes() -> None:
    async with serving(Reads(), Limits(connections=3)) as say:
        waiting = [(await say(b"GET / HT"))[0] for _ in range(3)]
        for answered in [(await say(WHOLE))[0] for _ in range(2)]:
            assert b"200" in await answered.readline()
        assert [await each.read() for each in waiting[:2]] == [b"", b""]
        assert not waiting[2].at_eof()


async def test_who_comes_when_all_have_asked_is_sent_away() -> None:
    app = Slow()
    async with serving(app, Limits(connections=1)) as say:
        asked, _ = await say(WHOLE)
        await app.asked.wait()
        refused, _ = await say(b"")
        assert b"503" in await refused.readline()
        app.may_answer.set()
        assert b"200" in await asked.readline()


async def test_who_does_not_take_the_answer_is_cut_off() -> None:
    """The closing of a connection waits for what was written on it, which may never be read."""

    async def much(_scope: Scope, _receive: Receive, send: Send) -> None:
        headers = [(b"connection", b"close")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": bytes(30_000_000)})

    async with serving(much, SOON) as say:
        reader, _ = await say(WHOLE)
        assert b"200" in await reader.readline()
        idle, _ = await say(b"")
        await idle.read()
        assert len(await reader.read()) < 30_000_000


def test_the_daemon_has_all_descriptors_that_the_system_allows() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard // 2, hard))
        loops.allow_all_descriptors()
        assert resource.getrlimit(resource.RLIMIT_NOFILE) == (hard, hard)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
