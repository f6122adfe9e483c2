"""A proxy before a server, PostgreSQL or SMTP, that does to its connections what a test tells it.

It cuts them (RST), closes one direction, delays what goes through, or lets it vanish.
"""

import asyncio
import socket
import struct
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

_READ_BYTES = 65_536
_RESET_AT_CLOSE = struct.pack("ii", 1, 0)  # SO_LINGER with no time: close sends RST


@dataclass(eq=False, slots=True)
class _End:
    """One end of a link: the client's or the server's."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    is_finished: bool = False  # it was told that no more comes

    def reset(self) -> None:
        handle = self.writer.get_extra_info("socket")
        with suppress(OSError):  # it is gone already
            handle.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_AT_CLOSE)
        self.writer.transport.abort()

    def finish(self) -> None:
        """Sends FIN, and goes on reading."""
        self.is_finished = True
        with suppress(OSError):
            self.writer.write_eof()


@dataclass(eq=False, slots=True)
class Link:
    """One client's connection, and ours to the server behind it."""

    client: _End
    server: _End
    is_mute: bool = False  # what it is given vanishes, for ever
    tasks: list[asyncio.Task[None]] = field(default_factory=list)

    def cut(self) -> None:
        """Resets both ends."""
        self.client.reset()
        self.server.reset()

    def half_close(self) -> None:
        """Tells the client that the server has closed, while the server believes that the client is there."""
        self.client.finish()


class Proxy:
    """Carries what comes to `port` of this machine to a server: (host, port), or the path of a socket."""

    def __init__(self, to: tuple[str, int] | Path, host: str = "127.0.0.1") -> None:
        self.host = host
        self.port = 0
        self.delay = 0.0  # seconds that each piece waits, either way
        self.links: list[Link] = []
        self._to = to
        self._is_shut = False
        self._flows = asyncio.Event()
        self._flows.set()
        self._server: asyncio.Server | None = None
        self._serving: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._accept, self.host, self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        assert self._server is not None
        self._server.close()
        self.shut()
        self._flows.set()
        while self._serving:
            await asyncio.wait(self._serving)

    def cut(self, chosen: Callable[[Link], bool] = lambda _: True) -> None:
        """Resets the chosen connections."""
        for link in filter(chosen, [*self.links]):
            link.cut()

    def half_close(self, chosen: Callable[[Link], bool] = lambda _: True) -> None:
        for link in filter(chosen, [*self.links]):
            link.half_close()

    def shut(self) -> None:
        """Resets all connections, and each new one at once, until `open`."""
        self._is_shut = True
        self.cut()

    def hold(self) -> None:
        """Lets nothing through until `open`, as a network does that loses packets; new connections hear nothing."""
        self._flows.clear()

    def mute(self) -> None:
        """Lets what is sent vanish over the connections there are, for ever: nobody tells either end."""
        for link in self.links:
            link.is_mute = True

    def open(self) -> None:
        """Lets everything through again, also what was held."""
        self._is_shut = False
        self._flows.set()

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(self._serve(reader, writer))
        self._serving.add(task)
        task.add_done_callback(self._serving.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        client = _End(reader, writer)
        await self._flows.wait()
        if self._is_shut:
            client.reset()
            return
        try:
            server = _End(*await self._connect())
        except OSError:
            client.reset()
            return
        link = Link(client, server)
        self.links.append(link)
        try:
            await asyncio.gather(self._carry(link, client, server), self._carry(link, server, client))
        finally:
            self.links.remove(link)
            client.writer.close()
            server.writer.close()

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if isinstance(self._to, Path):
            return await asyncio.open_unix_connection(self._to)
        return await asyncio.open_connection(*self._to)

    async def _carry(self, link: Link, source: _End, target: _End) -> None:
        """Carries one direction to its end, and closes it on the other side as it was closed on this one."""
        try:
            while data := await source.reader.read(_READ_BYTES):
                if self.delay:
                    await asyncio.sleep(self.delay)
                await self._flows.wait()
                if not (link.is_mute or target.is_finished or target.writer.is_closing()):
                    target.writer.write(data)
                    await target.writer.drain()
            await self._flows.wait()
            if not (link.is_mute or target.is_finished):
                target.finish()
        except OSError:
            link.cut()


@asynccontextmanager
async def proxy(to: tuple[str, int] | Path, host: str = "127.0.0.1") -> AsyncIterator[Proxy]:
    """Gives a proxy for the length of the block."""
    made = Proxy(to, host)
    await made.start()
    try:
        yield made
    finally:
        await made.stop()
