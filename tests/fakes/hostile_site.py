"""A server on loopback that sends whatever bytes a test likes, as slowly or endlessly as it likes."""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

Sends = Callable[[], AsyncIterator[bytes]]


@dataclass(frozen=True, slots=True)
class Asked:
    """A request's head as it came."""

    path: str
    head: str

    def header(self, name: str) -> str:
        """Gives a header's value, or nothing."""
        for line in self.head.split("\r\n")[1:]:
            key, _, value = line.partition(":")
            if key.lower() == name.lower():
                return value.strip()
        return ""


@dataclass(slots=True)
class HostileSite:
    """What each path sends; anything else is 404. A path's bytes go out as they are, headers and all."""

    port: int = 0
    paths: dict[str, bytes | Sends] = field(default_factory=dict)
    asked: list[Asked] = field(default_factory=list)
    sent: int = 0  # bytes that were taken off us
    open: int = 0  # connections
    scheme: str = "http"

    def url(self, path: str = "/", host: str = "127.0.0.1") -> str:
        return f"{self.scheme}://{host}:{self.port}{path}"

    def answers(self, path: str, *lines: str, body: bytes = b"", status: str = "200 OK") -> None:
        """Makes a path send an answer with these header lines, and its right length."""
        head = "\r\n".join((f"HTTP/1.1 {status}", *lines, f"Content-Length: {len(body)}", "", ""))
        self.paths[path] = head.encode("utf-8", "surrogateescape") + body

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.open += 1
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
                asked = Asked(head.split(" ")[1], head)
                self.asked.append(asked)
                await self._send(asked.path, writer)
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            pass  # the client has gone, or the test has ended
        finally:
            self.open -= 1
            writer.transport.abort()

    async def _send(self, path: str, writer: asyncio.StreamWriter) -> None:
        what = self.paths.get(path, b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")
        if isinstance(what, bytes):
            writer.write(what)
            await writer.drain()
            self.sent += len(what)
            return
        async for piece in what():
            writer.write(piece)
            await writer.drain()
            self.sent += len(piece)
        await writer.drain()
        writer.close()
        raise ConnectionError  # what a script sends ends with its connection


@asynccontextmanager
async def hostile_site(tls: ssl.SSLContext | None = None) -> AsyncIterator[HostileSite]:
    """Serves on a free port until the block ends."""
    site = HostileSite(scheme="https" if tls else "http")
    running = set[asyncio.Task[None]]()

    def begin(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(site._serve(reader, writer))
        running.add(task)
        task.add_done_callback(running.discard)

    server = await asyncio.start_server(begin, "127.0.0.1", 0, ssl=tls)
    site.port = server.sockets[0].getsockname()[1]
    try:
        yield site
    finally:
        server.close()
        for task in list(running):
            task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.gather(*running, return_exceptions=True)


def endlessly(start: bytes, piece: bytes, *, pause: float = 0) -> Sends:
    """Sends a start, and then a piece again and again until nobody listens."""

    async def send() -> AsyncIterator[bytes]:
        yield start
        while True:
            yield piece
            await asyncio.sleep(pause)

    return send


def then_closes(data: bytes) -> Sends:
    """Sends bytes and hangs up."""

    async def send() -> AsyncIterator[bytes]:
        yield data

    return send
