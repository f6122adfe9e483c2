"""When a feed's new address is believed: pure. Permanent redirects, and live blogs that continue elsewhere.

A permanent redirect is easily a mistake, or a captive portal's: it counts once it was seen again and again, in
a row and for a day. Meanwhile it is followed at each poll, so nothing is lost by waiting.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from urllib.parse import SplitResult, urlsplit

from alerts.feeds.formats.values import FeedEntry, ParsedFeed

SIGHTINGS = 5
SEEN_FOR = timedelta(days=1)
UPGRADE_SIGHTINGS = 2  # from http to https of the same page


@dataclass(frozen=True, slots=True)
class Sightings:
    """Where permanent redirects lead, how many polls in a row have seen it, and since when."""

    to: str = ""
    seen: int = 0
    since: datetime | None = None


def sighted(before: Sightings, url: str, moved_to: str, now: datetime) -> Sightings:
    """Counts what one answer says; one that came without a permanent redirect ends the row."""
    if not moved_to or moved_to == url:
        return Sightings()
    if moved_to != before.to or before.since is None:
        return Sightings(moved_to, 1, now)
    return Sightings(moved_to, before.seen + 1, before.since)


def is_trusted(sightings: Sightings, url: str, now: datetime) -> bool:
    """Whether the new address may take the old one's place."""
    if sightings.since is None:
        return False
    if _is_upgrade(url, sightings.to):
        return sightings.seen >= UPGRADE_SIGHTINGS
    return sightings.seen >= SIGHTINGS and now - sightings.since >= SEEN_FOR


def is_same_site(one: str, other: str) -> bool:
    """Whether two pages are on one host, `www.` left out: publishers use either."""
    first, second = _parts(one), _parts(other)
    return first is not None and second is not None and _site(first) == _site(second)


def continues(present: ParsedFeed, successor: ParsedFeed) -> bool:
    """Whether a page that a live blog names as its successor is one, and not its predecessor.

    Pages name earlier parts, too. A successor is a live blog that does not lead back, and whose newest entry is
    no older; one that has no entries yet is waited for, as there is nothing to follow.
    """
    if not successor.is_live_blog or not successor.entries or successor.continues_at == present.url:
        return False
    ours, theirs = _newest(present.entries), _newest(successor.entries)
    return ours is None or theirs is None or theirs >= ours


def _is_upgrade(url: str, to: str) -> bool:
    old, new = _parts(url), _parts(to)
    if old is None or new is None or (old.scheme, new.scheme) != ("http", "https"):
        return False
    if old.port not in {None, 80} or new.port not in {None, 443}:
        return False
    return (old.hostname, old.path or "/", old.query) == (new.hostname, new.path or "/", new.query)


def _newest(entries: Sequence[FeedEntry]) -> datetime | None:
    return max((entry.published_at for entry in entries if entry.published_at is not None), default=None)


def _parts(url: str) -> SplitResult | None:
    try:
        parts = urlsplit(url)
        is_whole = bool(parts.hostname) and parts.port != 0  # asking for the port checks it
    except ValueError:
        return None
    return parts if is_whole else None


def _site(parts: SplitResult) -> tuple[str, int | None]:
    return (parts.hostname or "").removeprefix("www."), parts.port
