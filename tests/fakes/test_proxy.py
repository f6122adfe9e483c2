"""The proxy does to connections what it is told: what the tests of many machines rest on."""

import asyncio
from asyncio import StreamReader, StreamWriter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import pytest

from fakes.proxy import Proxy, proxy


class Echo:
    """A server that says what it hears, and notes how its connections ended."""

    def __init__(self) -> None:
        self.ends: list[str] = []
        self.ended = asyncio.Event()

    async def serve(self, reader: StreamReader, writer: StreamWriter) -> None:
        try:
            while data := await reader.read(100):
                writer.write(data)
            self.ends.append("closed")
        except ConnectionError:
            self.ends.append("reset")
        writer.close()
        self.ended.set()


@pytest.fixture
async def echo() -> Echo:
    return Echo()


@pytest.fixture
async def way(echo: Echo) -> AsyncIterator[Proxy]:
    server = await asyncio.start_server(echo.serve, "127.0.0.1", 0)
    async with proxy(("127.0.0.1", server.sockets[0].getsockname()[1])) as made:
        yield made
    server.close()


@asynccontextmanager
async def client(way: Proxy) -> AsyncIterator[tuple[StreamReader, StreamWriter]]:
    reader, writer = await asyncio.open_connection(way.host, way.port)
    try:
        yield reader, writer
    finally:
        writer.transport.abort()
        with suppress(ConnectionError):
            await writer.wait_closed()


async def hears(reader: StreamReader, writer: StreamWriter) -> bytes:
    writer.write(b"hello")
    return await asyncio.wait_for(reader.read(100), 5)


async def test_it_carries_both_ways_and_closes_as_it_was_closed(way: Proxy, echo: Echo) -> None:
    async with client(way) as (reader, writer):
        assert await hears(reader, writer) == b"hello"
        writer.write_eof()
        assert await reader.read() == b""
        assert echo.ends == ["closed"]


async def test_a_cut_resets_both_ends(way: Proxy, echo: Echo) -> None:
    async with client(way) as (reader, writer):
        await hears(reader, writer)
        way.cut()
        with pytest.raises(ConnectionResetError):
            await reader.read(100)
        await echo.ended.wait()
        assert echo.ends == ["reset"]
    async with client(way) as anew:
        assert await hears(*anew) == b"hello"


async def test_a_half_closed_connection_ends_for_the_client_and_not_for_the_server(
    way: Proxy, echo: Echo
) -> None:
    async with client(way) as (reader, writer):
        await hears(reader, writer)
        way.half_close()
        assert await reader.read(100) == b""
        assert echo.ends == []
        writer.write_eof()
        await echo.ended.wait()
        assert echo.ends == ["closed"]


async def test_a_way_that_is_shut_resets_who_comes(way: Proxy) -> None:
    way.shut()
    async with client(way) as refused:
        with pytest.raises(ConnectionResetError):
            await hears(*refused)
    way.open()
    async with client(way) as anew:
        assert await hears(*anew) == b"hello"


async def test_what_is_held_comes_when_the_way_is_open_again(way: Proxy) -> None:
    async with client(way) as old, client(way) as new:
        await hears(*old)
        way.hold()
        heard = [asyncio.create_task(hears(*each)) for each in (old, new)]
        _, waiting = await asyncio.wait(heard, timeout=0.1)
        assert len(waiting) == 2
        way.open()
        assert await asyncio.gather(*heard) == [b"hello", b"hello"]


async def test_what_is_muted_stays_mute_and_who_comes_anew_is_heard(way: Proxy) -> None:
    async with client(way) as (reader, writer):
        await hears(reader, writer)
        way.mute()
        writer.write(b"hello")
        async with client(way) as anew:
            assert await hears(*anew) == b"hello"
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(reader.read(100), 0.1)


async def test_what_it_delays_comes_later_and_whole(way: Proxy) -> None:
    way.delay = 0.05
    began = asyncio.get_running_loop().time()
    async with client(way) as held:
        assert await hears(*held) == b"hello"
    assert asyncio.get_running_loop().time() - began >= 0.1
