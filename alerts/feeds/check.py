"""What we would read from a document, before it is added as a feed: the value behind `alerts feeds check`."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from alerts.feeds.compare import identity
from alerts.feeds.compare.identity import Identity, Sighting
from alerts.feeds.compare.keys import with_keys
from alerts.feeds.compare.known import Keyed
from alerts.feeds.formats import ParsedFeed, parse


@dataclass(frozen=True, slots=True)
class CheckReport:
    """A document as a poll would see it: entries in document order, each once, with the keys they would get."""

    feed: ParsedFeed
    identity: Identity
    entries: tuple[Keyed, ...]
    warnings: tuple[str, ...]

    def as_json(self) -> dict[str, Any]:
        """Gives the report as one JSON object; times in RFC 3339 UTC or null."""
        return {
            "format": self.feed.format,
            "is_live_blog": self.feed.is_live_blog,
            "title": self.feed.title,
            "url": self.feed.url,
            "coverage_start": _stamp(self.feed.coverage_start),
            "coverage_end": _stamp(self.feed.coverage_end),
            "identity": {
                "rule": str(self.identity.rule),
                "health": str(self.identity.health),
                "why": self.identity.why,
            },
            "warnings": list(self.warnings),
            "entries": [_entry(keyed) for keyed in self.entries],
        }


def check(body: bytes, url: str, content_type: str) -> CheckReport:
    """Reads a document as a poll would. Raises NotAFeed, with one line for a person, and nothing else."""
    return report(parse(body, url, content_type))


def report(feed: ParsedFeed) -> CheckReport:
    """Says what a poll would make of a document that was read."""
    window = [identity.sight(entry) for entry in feed.entries]
    chosen = identity.choose(window)
    entries = _shown(window, chosen.rule) if window else ()
    return CheckReport(feed, chosen, entries, (*feed.warnings, *_warnings(window, chosen, len(entries))))


def _shown(window: Sequence[Sighting], rule: str) -> tuple[Keyed, ...]:
    """Gives each entry once, in document order; those without words are no copies of each other."""
    counted = {
        id(keyed.entry): keyed for keyed in with_keys([each for each in window if each.has_words], rule)
    }
    wordless = {id(each.entry): with_keys([each], rule)[0] for each in window if not each.has_words}
    shown = counted | wordless
    return tuple(shown[id(each.entry)] for each in window if id(each.entry) in shown)


def _warnings(window: Sequence[Sighting], chosen: Identity, distinct: int) -> list[str]:
    found = []
    if chosen.health == identity.Health.WEAK:
        found.append(f"{chosen.why}: a large edit may be taken for a new entry")
    if distinct < len(window):
        found.append(f"{len(window) - distinct} entries repeat another and are counted once")
    wordless = sum(not each.has_words for each in window)
    if wordless:
        found.append(f"{wordless} entries have no words and would not be mailed")
    return found


def _entry(keyed: Keyed) -> dict[str, Any]:
    entry = keyed.entry
    return {
        "key": keyed.key,
        "url": entry.url,
        "title": entry.title,
        "text": entry.text,
        "html": entry.html,
        "author": entry.author,
        "published_at": _stamp(entry.published_at),
        "updated_at": _stamp(entry.updated_at),
        "is_key_event": entry.is_key_event,
    }


def _stamp(moment: datetime | None) -> str | None:
    return None if moment is None else moment.astimezone(UTC).isoformat().replace("+00:00", "Z")
