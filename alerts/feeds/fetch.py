"""One conditional GET of one feed, within limits; no database, no judgement of the content."""

import hashlib
import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from types import TracebackType
from typing import Self

import aiohttp

from alerts.errors import FetchFailed, Gone

_REDIRECTS = 5
_ACCEPT = (
    "text/html, application/feed+json, application/atom+xml, application/rss+xml, "
    "application/json;q=0.9, application/xml;q=0.9, */*;q=0.5"
)
_CHUNK = 64 * 1024
_LONGEST_VALIDATOR = 512
_LONGEST_WAIT = timedelta(days=1)  # a server that asks for more is asked again tomorrow
_CHALLENGE = re.compile(rb"captcha|challenge|are you a (?:robot|human)|enable javascript", re.IGNORECASE)

_OK, _NOT_MODIFIED, _GONE, _REFUSING = 200, 304, 410, frozenset({401, 403, 429, 503})


@dataclass(frozen=True, slots=True)
class Validators:
    """What the server gave to recognise its last answer by: sent back exactly as it came."""

    etag: str = ""
    last_modified: str = ""


@dataclass(frozen=True, slots=True)
class Page:
    body: bytes
    url: str  # after redirects
    content_type: str
    validators: Validators
    body_hash: str
    moved_to: str = ""  # where a chain of nothing but permanent redirects led
    hub: str = ""  # WebSub, from the Link header
    topic_url: str = ""


@dataclass(frozen=True, slots=True)
class NotModified:
    validators: Validators
    moved_to: str = ""


@dataclass(frozen=True, slots=True)
class Limits:
    total_time: timedelta = timedelta(seconds=30)
    body: int = 10_000_000  # bytes after decompression


class Fetcher:
    """Fetches feeds over kept connections; used as an async context manager.

    The environment's proxies are ignored, and no cookie is kept: each poll is told the same story.
    """

    def __init__(self, user_agent: str, limits: Limits | None = None) -> None:
        self._user_agent = user_agent
        self._limits = limits or Limits()
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(
            timeout=aiohttp.ClientTimeout(total=self._limits.total_time.total_seconds()),
            headers={"User-Agent": self._user_agent, "Accept": _ACCEPT},
            cookie_jar=aiohttp.DummyCookieJar(),
            trust_env=False,
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._session is not None:
            await self._session.close()

    async def get(
        self, url: str, validators: Validators | None = None, *, now: datetime
    ) -> Page | NotModified:
        """Gets a page, or the word that it is as it was when `validators` came.

        Raises Gone at 410, FetchFailed for everything else that is no answer; `now` dates a Retry-After.
        """
        assert self._session is not None, "entered as a context manager"
        validators = validators or Validators()
        try:
            async with self._session.get(
                url, headers=_conditions(validators), max_redirects=_REDIRECTS
            ) as response:
                return await self._read(response, validators, now)
        except TimeoutError as error:
            seconds = self._limits.total_time.total_seconds()
            raise FetchFailed(f"The server did not answer in full within {seconds:g} seconds.") from error
        except aiohttp.TooManyRedirects as error:
            raise FetchFailed(
                f"The server redirects more than {_REDIRECTS} times, or in a circle."
            ) from error
        except (aiohttp.InvalidURL, aiohttp.NonHttpUrlClientError) as error:
            raise FetchFailed("The address, or one it redirects to, is no http or https URL.") from error
        except aiohttp.ClientConnectorDNSError as error:
            raise FetchFailed("The host name is not known: check the spelling, or the DNS.") from error
        except aiohttp.ClientSSLError as error:
            raise FetchFailed("The server's TLS certificate is not to be trusted.") from error
        except aiohttp.ClientConnectorError as error:
            raise FetchFailed("The server cannot be reached.") from error
        except (aiohttp.ClientError, ValueError) as error:  # ValueError: headers that are no text
            raise FetchFailed(
                f"The server broke off or answered nonsense ({type(error).__name__})."
            ) from error

    async def _read(
        self, response: aiohttp.ClientResponse, sent: Validators, now: datetime
    ) -> Page | NotModified:
        if response.status == _NOT_MODIFIED:
            return NotModified(_validators(response, otherwise=sent))
        if response.status != _OK:
            raise await _refusal(response, now)
        body = await self._body(response)
        return Page(
            body=body,
            url=str(response.url),
            content_type=response.headers.get("Content-Type", ""),
            validators=_validators(response),
            body_hash=hashlib.sha256(body).hexdigest(),
        )

    async def _body(self, response: aiohttp.ClientResponse) -> bytes:
        """Reads the decompressed body, and no more than the limit of it: a small answer can unpack to much."""
        body = bytearray()
        async for chunk in response.content.iter_chunked(_CHUNK):
            body += chunk
            if len(body) > self._limits.body:
                raise FetchFailed(f"The page is larger than {self._limits.body:,} bytes.")
        return bytes(body)


def retry_after(value: str, now: datetime) -> timedelta | None:
    """Reads a Retry-After header, seconds or a date (RFC 9110 section 10.2.3); None when it says nothing."""
    value = value.strip()
    if value.isascii() and value.isdigit():
        wait = timedelta(seconds=min(int(value[:9]), int(_LONGEST_WAIT.total_seconds())))
    else:
        try:
            moment = parsedate_to_datetime(value)
        except (ValueError, TypeError, IndexError, OverflowError):
            return None
        if moment.tzinfo is None:  # "-0000" reads as naive, and means UTC
            moment = moment.replace(tzinfo=UTC)
        wait = moment - now
    return min(wait, _LONGEST_WAIT) if wait > timedelta(0) else None


def _conditions(validators: Validators) -> dict[str, str]:
    headers = {"If-None-Match": validators.etag, "If-Modified-Since": validators.last_modified}
    return {name: value for name, value in headers.items() if value}


def _validators(response: aiohttp.ClientResponse, otherwise: Validators | None = None) -> Validators:
    """Gives the validators of an answer verbatim; a 304 need not repeat them (RFC 9110 section 15.4.5)."""
    kept = otherwise or Validators()
    return Validators(
        _header(response, "ETag") or kept.etag,
        _header(response, "Last-Modified") or kept.last_modified,
    )


def _header(response: aiohttp.ClientResponse, name: str) -> str:
    value = response.headers.get(name, "")
    return value if value.isascii() and value.isprintable() and len(value) <= _LONGEST_VALIDATOR else ""


async def _refusal(response: aiohttp.ClientResponse, now: datetime) -> FetchFailed:
    """Puts an answer that is no page into words."""
    status = response.status
    if status == _GONE:
        return Gone("The server says that the feed is gone for good (410).")
    wait = retry_after(response.headers.get("Retry-After", ""), now)
    said = f"{status} {response.reason or ''}".strip()
    if status in _REFUSING and "html" in response.headers.get("Content-Type", ""):
        shown = await response.content.read(_CHUNK)
        if "cf-mitigated" in response.headers or _CHALLENGE.search(shown):
            return FetchFailed(
                f"The server shows robots a challenge ({said}): ask its owner to let our User-Agent in.",
                retry_after=wait,
            )
    if status == 429:  # noqa: PLR2004 - RFC 6585 section 4
        return FetchFailed(f"The server says that we ask too often ({said}).", retry_after=wait)
    if status in _REFUSING - {503}:
        return FetchFailed(
            f"The server refuses us ({said}): ask its owner to let our User-Agent in.", retry_after=wait
        )
    return FetchFailed(f"The server answered {said}.", retry_after=wait)
