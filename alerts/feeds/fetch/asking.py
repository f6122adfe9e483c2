"""Asks hosts, each in its turn, and follows their redirects hop by hop."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime

import aiohttp
from yarl import URL

from alerts.errors import FetchFailed
from alerts.feeds.fetch import hops
from alerts.feeds.fetch.connections import Connections
from alerts.feeds.fetch.guard import own_port
from alerts.feeds.fetch.pace import Pace

_REDIRECTS = 5
_MOVES = frozenset({301, 302, 303, 307, 308})
_FOR_GOOD = frozenset({301, 308})
_LARGEST_HEAD = 64 * 1024


@dataclass(frozen=True, slots=True)
class Trip:
    """What is the same at each hop of one fetch."""

    start: URL
    clock: asyncio.Timeout  # the whole time; waiting for a turn does not count
    now: datetime
    own_port: int | None  # at which loopback may be asked, because the operator wrote so
    conditions: Mapping[str, str]
    authorization: str
    past_caches: bool = False  # what caches in between hold is not enough


@dataclass(frozen=True, slots=True)
class Answer:
    response: aiohttp.ClientResponse
    url: URL
    moved_to: str


async def no_question(_: URL) -> None:
    """Asks nobody for leave."""


class Asker:
    """Asks over connections that the guard has seen, no host more often than its pace."""

    def __init__(self, connections: Connections, pace: Pace, own_pace: Pace) -> None:
        self._connections = connections
        self._pace = pace
        self._own_pace = own_pace  # for this machine itself

    @asynccontextmanager
    async def get(
        self, trip: Trip, url: URL, question: Callable[[URL], Awaitable[None]] = no_question
    ) -> AsyncIterator[Answer]:
        """Asks for a URL and for those it redirects to, and gives the first answer that is no redirect.

        `question` is asked for leave before each hop, and raises FetchFailed to refuse it.
        """
        begun, is_for_good = url, True
        for _ in range(_REDIRECTS + 1):
            await question(url)
            await self._turn(trip, url)
            headers = _headers(trip, url)
            async with self._connections.request("GET", url, headers, own=trip.own_port) as response:
                if sum(len(name) + len(value) for name, value in response.raw_headers) > _LARGEST_HEAD:
                    raise FetchFailed(
                        f"The server's headers are larger than {_LARGEST_HEAD:,} bytes: tell its owner."
                    )
                if response.status not in _MOVES:
                    yield Answer(response, url, _moved_to(trip, begun, url) if is_for_good else "")
                    return
                is_for_good = is_for_good and response.status in _FOR_GOOD
                url = hops.following(url, response.headers.get("Location", ""))
        raise FetchFailed(
            f"The server redirects more than {_REDIRECTS} times, or in a circle: check the URL in a browser."
        )

    @asynccontextmanager
    async def post(self, trip: Trip, fields: Mapping[str, str]) -> AsyncIterator[aiohttp.ClientResponse]:
        """Posts a form to the trip's start, and gives the answer, which may be a redirect."""
        await self._turn(trip, trip.start)
        headers = _headers(trip, trip.start)
        async with self._connections.request(
            "POST", trip.start, headers, own=trip.own_port, data=fields
        ) as response:
            yield response

    async def _turn(self, trip: Trip, url: URL) -> None:
        """Waits until the host may be asked again; the wait is added to the whole time."""
        pace = self._pace if own_port(str(url)) is None else self._own_pace
        wait = pace.take(url.host_port_subcomponent or "", asyncio.get_running_loop().time())
        if wait and (ends_at := trip.clock.when()) is not None:
            trip.clock.reschedule(ends_at + wait)
            await asyncio.sleep(wait)


def _headers(trip: Trip, url: URL) -> dict[str, str]:
    """Gives a hop's own headers; the password is for the host it was written for, and for no other."""
    headers = dict(trip.conditions)
    if trip.past_caches:
        headers["Cache-Control"] = "no-cache"  # RFC 9111, section 5.2.1.4
    if trip.authorization and url.origin() == trip.start.origin():
        headers["Authorization"] = trip.authorization
    return headers


def _moved_to(trip: Trip, begun: URL, url: URL) -> str:
    """Says where a feed has moved for good: not if it would lose its password there, or its TLS."""
    loses_tls = begun.scheme == "https" and url.scheme == "http"
    return "" if url == begun or loses_tls or trip.authorization else str(url)
