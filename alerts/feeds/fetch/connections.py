"""Connections to publishers: each to an address that the guard has seen, and with an end to idle talk."""

import asyncio
import functools
import socket
import ssl
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Any, Self

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.client_proto import ResponseHandler
from yarl import URL

from alerts.errors import FetchFailed
from alerts.feeds.fetch.failures import REFUSED, NotAdmittedError, TalkError
from alerts.feeds.fetch.guard import Guard, is_loopback, own_port

AddrInfo = tuple[Any, Any, int, str, Any]  # as `socket.getaddrinfo` gives it
LookUp = Callable[[str, int], Sequence[AddrInfo]]

_CONNECT_SECONDS = 10  # for one address: another of the host may answer
_KEPT_SECONDS = 30
_AT_ONCE_PER_HOST = 4
_ANY_NUMBER = 0  # of connections to this machine itself: there is no stranger to be polite to
_ADDRESSES = 4  # of one host and family that are tried
_NAME_THREADS = 32

_LONGEST_LINE = 8190
_LONGEST_FIELD = 32 * 1024  # some publishers' Content-Security-Policy is longer than aiohttp's 8 KiB
_MOST_FIELDS = 200
_TALK = 128 * 1024  # bytes that are no body: headers, interim answers, trailers ...
_TALK_PER_BYTE = 0.25  # ... and more for the framing of a body that comes in chunks


class Connections:
    """Kept connections to publishers' hosts; used as an async context manager.

    There are two pools, so that no kept connection passes by the guard: one for the world, and one for
    feeds that their operator wrote down as this machine's own. The environment's proxies are ignored, and
    no cookie is kept: each poll is told the same story.
    """

    def __init__(
        self,
        guard: Guard,
        headers: Mapping[str, str],
        *,
        proxy: str = "",
        tls: ssl.SSLContext | None = None,
        look_up: LookUp | None = None,
    ) -> None:
        self._guard = guard
        self._headers = headers
        self._proxy = proxy
        self._tls = tls
        self._look_up = look_up or _look_up
        self._open = AsyncExitStack()

    async def __aenter__(self) -> Self:
        names = _Names(self._look_up)
        self._open.push_async_callback(names.close)
        # Behind a proxy the only address that is connected to is the proxy's, which the operator wrote.
        admits = (lambda _: True) if self._proxy else self._guard.admits
        self._world = await self._open.enter_async_context(self._session(names, admits, _AT_ONCE_PER_HOST))
        self._own = await self._open.enter_async_context(self._session(names, is_loopback, _ANY_NUMBER))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._open.aclose()

    def request(
        self,
        method: str,
        url: URL,
        headers: Mapping[str, str],
        *,
        own: int | None = None,
        data: Mapping[str, str] | None = None,
    ) -> Any:  # aiohttp's own context manager, which gives a ClientResponse
        """Opens one request, as an async context manager; follows nothing, unpacks nothing.

        `own` is the port at which this machine's loopback may be asked. Raises FetchFailed, or what
        `failures.in_words` puts into words.
        """
        is_own = own is not None and own_port(str(url)) == own
        proxy = None if is_own or not self._proxy else self._proxy
        if proxy and not self._guard.admits_by_word(url.raw_host or ""):
            raise FetchFailed(REFUSED)
        session = self._own if is_own else self._world
        return session.request(
            method, url, headers=headers, data=data, proxy=proxy, allow_redirects=False, auto_decompress=False
        )

    def _session(self, names: "_Names", admits: Callable[[str], bool], at_once: int) -> aiohttp.ClientSession:
        return aiohttp.ClientSession(
            connector=_Connector(names, admits, self._tls, at_once),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT_SECONDS),
            headers=self._headers,
            cookie_jar=aiohttp.DummyCookieJar(),
            trust_env=False,
            max_line_size=_LONGEST_LINE,
            max_field_size=_LONGEST_FIELD,
            max_headers=_MOST_FIELDS,
        )


class _Connector(aiohttp.TCPConnector):
    """Asks `admits` about each address at the one place where its socket is made.

    aiohttp connects that socket to the very address it was made for, so that what was checked is what is
    connected to, whatever a name resolves to the next time.
    """

    def __init__(
        self, names: "_Names", admits: Callable[[str], bool], tls: ssl.SSLContext | None, at_once: int
    ) -> None:
        def make(info: AddrInfo) -> socket.socket:
            family, kind, protocol, _, address = info
            if not admits(str(address[0])):
                raise NotAdmittedError("not admitted")
            return socket.socket(family, kind, protocol)

        super().__init__(
            resolver=names,
            socket_factory=make,
            ssl=tls or True,
            limit=0,  # the poller bounds how many there are
            limit_per_host=at_once,
            keepalive_timeout=_KEPT_SECONDS,
        )
        handler: type[ResponseHandler] = _Handler
        self._factory = functools.partial(handler, loop=self._loop)


class _Handler(ResponseHandler):
    """Ends an answer that is mostly talk.

    aiohttp bounds each header, but not how many interim answers, chunk extensions or one-byte chunks come:
    a fast server could keep the event loop busy with them until the whole time is up.
    """

    _heard = 0

    def set_response_params(self, **params: Any) -> None:
        self._heard = 0
        self._payload = None
        super().set_response_params(**params)

    def data_received(self, data: bytes) -> None:
        self._heard += len(data)
        super().data_received(data)
        body = self._payload
        of_body = 0 if body is None else body.total_bytes
        if self._heard - of_body > _TALK + _TALK_PER_BYTE * of_body:
            error = TalkError("too much talk")
            self.set_exception(error)
            if body is not None:
                body.set_exception(error)
            if self.transport is not None:
                self.transport.abort()


class _Names(AbstractResolver):
    """Looks names up in threads of its own, so that names that nobody answers for keep nothing else waiting."""

    def __init__(self, look_up: LookUp) -> None:
        self._look_up = look_up
        self._threads = ThreadPoolExecutor(_NAME_THREADS, thread_name_prefix="names")

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        loop = asyncio.get_running_loop()
        infos = await loop.run_in_executor(self._threads, self._look_up, host, port)
        found = [info for info in infos if family in (socket.AF_UNSPEC, info[0])]
        few = [
            info
            for each in (socket.AF_INET6, socket.AF_INET)
            for info in [info for info in found if info[0] == each][:_ADDRESSES]
        ]
        if not few:
            raise OSError("no address")
        return [
            ResolveResult(
                hostname=host,
                host=info[4][0],
                port=port,
                family=info[0],
                proto=0,
                flags=socket.AI_NUMERICHOST,
            )
            for info in few
        ]

    async def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)


def _look_up(host: str, port: int) -> Sequence[AddrInfo]:
    return socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
