"""One conditional GET of one feed, politely and within limits; no database, no judgement of the content.

    URL ──ask──> answer ──redirect──> ask ... ──unpack──> body ──is it a wall? may a robot read it?──> Page

Each hop waits for its host's turn and goes over a connection that the guard has seen.
"""

import asyncio
import math
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from http import HTTPStatus
from types import TracebackType
from typing import Self

import aiohttp
from yarl import URL

from alerts.errors import FetchFailed
from alerts.feeds.fetch import answers, decoding, hops
from alerts.feeds.fetch.answers import NotModified, Page, Reply, Validators, retry_after
from alerts.feeds.fetch.asking import Answer, Asker, Trip, no_question
from alerts.feeds.fetch.blocks import is_page, who_blocks
from alerts.feeds.fetch.connections import Connections, LookUp
from alerts.feeds.fetch.decoding import Decoder
from alerts.feeds.fetch.failures import in_words
from alerts.feeds.fetch.guard import Guard, own_port
from alerts.feeds.fetch.pace import Pace
from alerts.feeds.fetch.permission import Permission
from alerts.feeds.fetch.robots import LONGEST as LONGEST_ROBOTS

__all__ = ["Fetcher", "Guard", "Limits", "NotModified", "Page", "Validators", "retry_after"]

_PAGES = frozenset({200, 203})
_REFUSING = frozenset({202, 401, 403, 405, 429, 503})  # with which walls are shown
_ACCEPT = (
    "text/html, application/feed+json, application/atom+xml, application/rss+xml, "
    "application/json;q=0.9, application/xml;q=0.9, */*;q=0.5"
)
_PIECE = 256 * 1024
_SMALL = 8 * 1024  # bytes: more of a packed body is unpacked in a thread, so that the loop goes on
_SHOWN = 64 * 1024  # of a refusal, to see what it is
_SHOWN_SECONDS = 5
_ROBOTS_SECONDS = 10


@dataclass(frozen=True, slots=True)
class Limits:
    total_time: timedelta = timedelta(seconds=30)
    body: int = 10_000_000  # bytes after decompression


class Fetcher:
    """Fetches feeds and pages over kept connections; used as an async context manager.

    `host_rate` is how many requests a second one host gets in the long run; a few at once always go.
    `own_rate` is the same for loopback, where no stranger is asked.
    `look_up` and `tls` stand in for the system's resolver and authorities.
    """

    def __init__(
        self,
        user_agent: str,
        limits: Limits | None = None,
        *,
        guard: Guard | None = None,
        host_rate: float = math.inf,
        own_rate: float = math.inf,
        proxy: str = "",
        tls: ssl.SSLContext | None = None,
        look_up: LookUp | None = None,
    ) -> None:
        self._limits = limits or Limits()
        headers = {"User-Agent": user_agent, "Accept": _ACCEPT, "Accept-Encoding": decoding.ACCEPT}
        self._connections = Connections(guard or Guard(), headers, proxy=proxy, tls=tls, look_up=look_up)
        self._asker = Asker(self._connections, Pace(host_rate), Pace(own_rate))
        self._permission = Permission(user_agent)

    async def __aenter__(self) -> Self:
        await self._connections.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._connections.__aexit__(kind, error, trace)

    async def get(
        self,
        url: str,
        validators: Validators | None = None,
        *,
        now: datetime,
        obey_robots: bool = True,
        known_page: bool | None = None,
        past_caches: bool = False,
        beside: str = "",
    ) -> Page | NotModified:
        """Gets a page, or the word that it is as it was when `validators` came.

        `known_page` says whether the address held an HTML page the last time; robots.txt speaks for pages
        alone. `past_caches` wants the publisher's own answer. `beside` is the feed whose page named the URL,
        if one did: what a page names is not the operator's word. `now` dates a Retry-After. Raises Gone at
        410, FetchFailed for all else that is no answer.
        """
        async with self._limited(
            url, now, validators or Validators(), own_port(beside or url), past_caches=past_caches
        ) as trip:
            if obey_robots:
                return await self._get_permitted(trip, known_page=known_page)
            async with self._asker.get(trip, trip.start) as answer:
                return await self._read(answer, trip)

    async def post(self, url: str, fields: Mapping[str, str], *, now: datetime, beside: str = "") -> Reply:
        """Posts a form, as to a WebSub hub, and gives what it answers; no redirect is followed.

        The same guard and limits hold. This machine is asked only where `beside`, the URL of the feed that
        named the hub, may be. Raises FetchFailed when there is no answer.
        """
        async with (
            self._limited(url, now, Validators(), own_port(beside)) as trip,
            self._asker.post(trip, fields) as response,
        ):
            return Reply(
                status=response.status,
                location=response.headers.get("Location", ""),
                retry_after=retry_after(response.headers.get("Retry-After", ""), now),
                body=await _start(response, _SHOWN),
            )

    @asynccontextmanager
    async def _limited(
        self,
        url: str,
        now: datetime,
        validators: Validators,
        own: int | None,
        *,
        past_caches: bool = False,
    ) -> AsyncIterator[Trip]:
        """Begins a fetch: ends it when its time is up, and puts what goes wrong into words."""
        seconds = self._limits.total_time.total_seconds()
        try:
            async with asyncio.timeout(seconds) as clock:
                yield Trip(
                    start=hops.first(url),
                    clock=clock,
                    now=now,
                    own_port=own,
                    conditions=answers.conditions(validators),
                    authorization=hops.credentials(url),
                    past_caches=past_caches,
                )
        except aiohttp.ConnectionTimeoutError as error:
            raise FetchFailed(in_words(error)) from error
        except TimeoutError as error:
            raise FetchFailed(
                f"The server did not answer in full within {seconds:g} seconds: raise polling.total_timeout "
                "if it is always slow."
            ) from error
        except (aiohttp.ClientError, OSError, ValueError) as error:  # ValueError: headers that are no text
            raise FetchFailed(in_words(error)) from error

    async def _get_permitted(self, trip: Trip, *, known_page: bool | None) -> Page | NotModified:
        """Gets a page if robots.txt lets us, or a feed whatever it says.

        What an address holds is not known before its first answer: then robots.txt is asked first, and
        counts when the answer is a page. Such an address is not asked for again.
        """
        start, refusals = str(trip.start), dict[URL, str]()
        is_known_page = known_page or self._permission.is_kept_page(start, trip.now)

        async def question(url: URL) -> None:
            refusals[url] = await self._permission.why_not(
                url, lambda robots: self._robots(trip, robots), trip.now
            )
            if is_known_page and refusals[url]:
                raise FetchFailed(refusals[url])

        ask = no_question if known_page is False else question
        async with self._asker.get(trip, trip.start, ask) as answer:
            read = await self._read(answer, trip)
        if isinstance(read, Page) and is_page(read.content_type, read.body):
            if answer.url not in refusals:
                await question(answer.url)
            if refusals[answer.url]:
                self._permission.note_page(start, trip.now)
                raise FetchFailed(refusals[answer.url])
        return read

    async def _robots(self, trip: Trip, url: URL) -> tuple[int, bytes]:
        """Gets the status and the text of a robots.txt, within a time of its own."""
        try:
            async with asyncio.timeout(_ROBOTS_SECONDS), self._asker.get(trip, url) as answer:
                return answer.response.status, await _start(answer.response, LONGEST_ROBOTS)
        except TimeoutError as error:
            raise FetchFailed(f"It did not come within {_ROBOTS_SECONDS} seconds.") from error
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise FetchFailed(in_words(error)) from error

    async def _read(self, answer: Answer, trip: Trip) -> Page | NotModified:
        """Judges an answer by its status, and unpacks the page that it brings."""
        response, headers = answer.response, answer.response.headers
        if response.status == HTTPStatus.NOT_MODIFIED and trip.conditions:
            return NotModified(answers.validators(headers, asked=trip.conditions), answer.moved_to)
        if response.status not in _PAGES:
            shown = await _shown(response)
            blocker = who_blocks(headers, shown, is_refusal=response.status in _REFUSING)
            raise answers.refusal(response.status, headers, blocker, trip.now)
        body, body_hash = await self._body(response)
        if not body:
            raise FetchFailed("The page is empty: check the URL in a browser.")
        if blocker := who_blocks(headers, body):
            raise FetchFailed(answers.blocked(blocker))
        links, url = ", ".join(headers.getall("Link", ())), str(answer.url)
        return Page(
            body=body,
            url=url,
            content_type=headers.get("Content-Type", ""),
            validators=answers.validators(headers),
            body_hash=body_hash,
            moved_to=answer.moved_to,
            hub=answers.link(links, "hub", url),
            topic_url=answers.link(links, "self", url),
        )

    async def _body(self, response: aiohttp.ClientResponse) -> tuple[bytes, str]:
        """Gives the body unpacked, and its hash; no more is read than the limit of it."""
        decoder = Decoder(_encoding(response), self._limits.body)
        async for piece in response.content.iter_chunked(_PIECE):
            if len(piece) > _SMALL:
                await asyncio.to_thread(decoder.feed, piece)
            else:
                decoder.feed(piece)
        return decoder.finish()


async def _shown(response: aiohttp.ClientResponse) -> bytes:
    """Gives what a refusal shows; its status counts, even if the rest never comes."""
    with suppress(aiohttp.ClientError, TimeoutError):
        async with asyncio.timeout(_SHOWN_SECONDS):
            return await _start(response, _SHOWN)
    return b""


async def _start(response: aiohttp.ClientResponse, most: int) -> bytes:
    """Gives the start of a body, as far as it can be unpacked."""
    decoder: Decoder | None = None
    with suppress(FetchFailed):  # too large, or broken: what came before is what is asked for
        decoder = Decoder(_encoding(response), most)
        async for piece in response.content.iter_chunked(_SMALL):
            decoder.feed(piece)
        decoder.finish()
    return b"" if decoder is None else bytes(decoder.body[:most])


def _encoding(response: aiohttp.ClientResponse) -> str:
    return ",".join(response.headers.getall("Content-Encoding", ()))
