"""What a WebSub subscriber decides, pure: which hub may be asked, for what, how often, and whom to believe.

Section numbers are those of the W3C Recommendation of 23 January 2018.
"""

import hashlib
import hmac
import ipaddress
from dataclasses import dataclass
from datetime import timedelta
from random import Random
from urllib.parse import SplitResult, urlsplit

CALLBACK = "/websub/"  # the subscription's path follows

LEASE = timedelta(days=10)  # what we ask for, after section 8.2
_LONGEST_LEASE = timedelta(days=14)  # a hub's "for ever" is asked about again all the same
_UNSAID_LEASE = timedelta(days=1)  # for hubs that do not say how long, though section 5.3 has them
_SOONEST_RENEWAL = timedelta(minutes=1)  # also where a hub's lease is shorter: polling fills the gap

_FIRST_BACKOFF = timedelta(minutes=1)
_LONGEST_BACKOFF = timedelta(days=1)
_BACKOFF_FACTOR = 4
_MOST_STEPS = 8
_JITTER = 0.2

_LONGEST_URL = 2_000
_METHODS = {"sha1", "sha256", "sha384", "sha512"}  # section 7.1.1


@dataclass(frozen=True, slots=True)
class Offer:
    """The hub that a feed names, and the URL that the hub knows the feed by."""

    hub: str
    topic: str
    refusal: str = ""  # why we do not ask for it


@dataclass(frozen=True, slots=True)
class Request:
    """What a hub is to be asked, by the process that claimed it."""

    id: int
    feed: str  # empty when it is gone, as its address is
    feed_url: str
    hub: str
    topic: str
    path: str
    secret: str
    is_goodbye: bool

    @property
    def mode(self) -> str:
        """The word of the protocol for it."""
        return "unsubscribe" if self.is_goodbye else "subscribe"


def offer(feed_url: str, hub: str, topic: str) -> Offer | None:
    """Reads what a feed says of its hub; None when it names none that could be asked.

    A topic elsewhere than at the feed's own host is refused: a feed must not make us subscribe to others.
    One that names a hub and no topic is its own topic.
    """
    at = _parts(hub)
    if at is None or "@" in at.netloc:
        return None
    topic = topic or feed_url
    site = _site(topic)
    if topic != feed_url and (site is None or site != _site(feed_url)):
        return Offer(
            hub, topic, "The feed calls itself by an address on another host, which is not asked for."
        )
    return Offer(hub, topic)


def can_reach(hub: str, base_url: str) -> bool:
    """Whether a hub may be able to call us at `base_url`: behind a loopback name only one on this machine."""
    return not _is_loopback(base_url) or _is_loopback(hub)


def lease(said: str) -> timedelta:
    """Reads how long the hub will push, as it says in `hub.lease_seconds`."""
    if not (said.isascii() and said.isdigit() and int(said[:10])):
        return _UNSAID_LEASE
    return min(timedelta(seconds=int(said[:10])), _LONGEST_LEASE)


def renewal(length: timedelta, random: Random) -> timedelta:
    """Gives how long after its confirmation a lease is asked for again: about two thirds of it."""
    return max(length * random.uniform(0.6, 0.7), _SOONEST_RENEWAL)


def backoff(failures: int, random: Random) -> timedelta:
    """Gives how long a hub is left alone after so many requests in vain."""
    wait: timedelta = _FIRST_BACKOFF * _BACKOFF_FACTOR ** min(max(failures - 1, 0), _MOST_STEPS)
    return min(wait, _LONGEST_BACKOFF) * random.uniform(1 - _JITTER, 1 + _JITTER)


class Signature:
    """Checks a content against its `X-Hub-Signature` while its bytes go by, so that none need be kept."""

    def __init__(self, header: str, secret: str) -> None:
        method, _, digits = header.strip().partition("=")
        method = method.lower()
        try:
            self._said = bytes.fromhex(digits)
        except ValueError:
            self._said = b""
        self._is_known = method in _METHODS and bool(self._said)
        # Most hubs still sign with SHA-1 (section 7.1.1). As an HMAC it holds, and a push is only a hint.
        self._hmac = hmac.new(secret.encode(), digestmod=method if self._is_known else hashlib.sha256)

    def update(self, chunk: bytes) -> None:
        """Takes the next bytes of the content."""
        self._hmac.update(chunk)

    def is_right(self) -> bool:
        """Whether the bytes so far are what the hub signed; the comparison takes the same time either way."""
        return self._is_known and hmac.compare_digest(self._hmac.digest(), self._said)


def _parts(url: str) -> SplitResult | None:
    """Gives the parts of an http or https URL that is fit to be sent and stored."""
    if not url.isprintable() or " " in url or len(url) > _LONGEST_URL:
        return None
    try:
        parts = urlsplit(url)
    except ValueError:
        return None
    return parts if parts.scheme in {"http", "https"} and parts.hostname else None


def _site(url: str) -> str | None:
    """Gives the host that a URL is on, `www.` left out: publishers use either."""
    parts = _parts(url)
    return (parts.hostname or "").removeprefix("www.") if parts else None


def _is_loopback(url: str) -> bool:
    parts = _parts(url)
    host = (parts.hostname or "") if parts else ""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")
    return address.is_loopback or address.is_unspecified
