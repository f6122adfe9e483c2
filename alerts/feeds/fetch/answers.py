"""What a server's answer means: its validators, its links, and a clear word for what is no page; pure."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from urllib.parse import urljoin

from alerts.errors import FetchFailed, Gone

_LONGEST_WAIT = timedelta(days=1)  # a server that asks for more is asked again tomorrow
_LONGEST_VALIDATOR = 512
_LONGEST_LINKS = 4096
_REL = re.compile(r';\s{0,9}rel\s{0,9}=\s{0,9}(?:"([^"]*)"|([^\s;,]+))', re.IGNORECASE)


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
class Reply:
    """What came back to a form."""

    status: int
    location: str
    retry_after: timedelta | None
    body: bytes  # its start


def conditions(validators: Validators) -> dict[str, str]:
    """Gives the request's headers that ask for a page only if it changed."""
    headers = {"If-None-Match": validators.etag, "If-Modified-Since": validators.last_modified}
    return {name: value for name, value in headers.items() if value}


def validators(headers: Mapping[str, str], asked: Mapping[str, str] | None = None) -> Validators:
    """Gives the validators of an answer verbatim.

    A 304 need not repeat those that it was `asked` with, as `conditions` made them (RFC 9110 section 15.4.5).
    """
    asked = asked or {}
    return Validators(
        _sendable(headers.get("ETag", "")) or asked.get("If-None-Match", ""),
        _sendable(headers.get("Last-Modified", "")) or asked.get("If-Modified-Since", ""),
    )


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


def link(headers: str, relation: str, base: str) -> str:
    """Gives the first http or https target of a relation in Link headers (RFC 8288), or nothing."""
    for part in headers[:_LONGEST_LINKS].split("<")[1:]:
        target, closed, parameters = part.partition(">")
        found = _REL.search(parameters)
        if not closed or found is None or relation not in (found[1] or found[2] or "").lower().split():
            continue
        try:
            url = urljoin(base, target.strip())
        except ValueError:
            continue
        if url.startswith(("http://", "https://")) and url.isascii() and url.isprintable():
            return url
    return ""


def refusal(status: int, headers: Mapping[str, str], blocker: str, now: datetime) -> FetchFailed:
    """Puts an answer that is no page into words; `blocker` is whose wall it shows, if it does."""
    wait = retry_after(headers.get("Retry-After", ""), now)
    if status == HTTPStatus.GONE:
        return Gone("The server says that the feed is gone for good (410).")
    if blocker:
        return FetchFailed(blocked(blocker), retry_after=wait)
    said = _said(status)
    match status:
        case HTTPStatus.TOO_MANY_REQUESTS:
            text = f"The server says that we ask too often ({said}): raise the feed's interval if it goes on."
        case HTTPStatus.UNAUTHORIZED:
            text = f"The server asks for a password ({said}): write the URL as https://user:password@host/."
        case HTTPStatus.FORBIDDEN | HTTPStatus.UNAVAILABLE_FOR_LEGAL_REASONS:
            text = f"The server refuses us ({said}): ask its owner to let our User-Agent in."
        case HTTPStatus.NOT_FOUND:
            text = f"The server answered {said}: check the URL in a browser."
        case HTTPStatus.NOT_MODIFIED:
            text = f"The server answered {said}, though we asked for the whole page: tell its owner."
        case _ if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            text = f"The server answered {said}: it is in trouble, and is asked again later."
        case _:
            text = f"The server answered {said} instead of a page: check the URL in a browser."
    return FetchFailed(text, retry_after=wait)


def blocked(blocker: str) -> str:
    """Says that a wall stands before the page."""
    return (
        f"The server blocks us: it shows robots a challenge ({blocker}) instead of the page. "
        "Ask its owner to let our User-Agent in."
    )


def _said(status: int) -> str:
    """Gives a status with its standard name: the server's own words might be anything."""
    try:
        return f"{status} {HTTPStatus(status).phrase}"
    except ValueError:
        return str(status)


def _sendable(value: str) -> str:
    return value if value.isascii() and value.isprintable() and len(value) <= _LONGEST_VALIDATOR else ""
