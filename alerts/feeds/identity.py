"""Which entry is which: the rule is chosen from a feed's own evidence, and a text is known by its words. Pure.

Publishers' ids are positions, shared, missing, or different on http and https; no rule fits every feed. So a
rule is chosen from a window, kept with its health, and given up when the feed proves it wrong.
"""

import hashlib
import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from urllib.parse import urlsplit

from alerts.feeds.formats.markup import plain
from alerts.feeds.formats.values import FeedEntry


class Rule(StrEnum):
    ID = "id"  # the feed's own id
    URL = "url"  # the entry's address, with its query and fragment
    TEXT = "text"  # nothing but the words


class Health(StrEnum):
    GOOD = "good"
    WEAK = "weak"  # the best there is: an edit may be taken for a new entry
    DEGRADED = "degraded"  # a better rule was given up because the feed broke it
    UNKNOWN = "unknown"  # no entries yet


@dataclass(frozen=True, slots=True)
class Identity:
    rule: str
    health: str
    why: str


UNKNOWN = Identity("", Health.UNKNOWN, "no entries yet")

# FreshRSS gives a rule up from the same share on.
_PRESENT = 0.95
_MAX_KEY = 300  # characters: a longer one would not fit into an index of the database
_TRACKING = re.compile(
    r"^(?:utm_\w+|fbclid|gclid|dclid|msclkid|mc_[ce]id|at_\w+|ns_\w+|cmp|ito)=", re.IGNORECASE
)
_ORDINAL = re.compile(r"(\d{1,4})$")
_QUOTES = dict.fromkeys(
    map(ord, "\"'`\u00b4\u2018\u2019\u201a\u201b\u201c\u201d\u201e\u201f\u2039\u203a\u00ab\u00bb")
)
_DASHES = dict.fromkeys(map(ord, "\u2010\u2011\u2012\u2013\u2014\u2015\u2212"), "-")
_HIDDEN = re.compile("[\u00ad\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff]")
_UNIT = r"(?:s|secs?|seconds?|m|mins?|minutes?|h|hrs?|hours?|d|days?)"
_AGO = re.compile(rf"\b(?:\d+|an?|one|a few)\s*{_UNIT}\s+ago\b|\bjust now\b", re.IGNORECASE)


def choose(entries: Sequence[FeedEntry]) -> Identity:
    """Chooses the rule for a window: the feed's id, else the URL, else the words; says why not the better."""
    if not entries:
        return UNKNOWN
    against: list[str] = []
    for rule in (Rule.ID, Rule.URL):
        wrong = fault(entries, rule)
        if wrong is None:
            count = len({key(entry, rule) for entry in entries})
            return Identity(
                rule, Health.GOOD, "; ".join([*against, f"{_NAMES[rule]} tell {count} entries apart"])
            )
        against.append(wrong)
    return Identity(Rule.TEXT, Health.WEAK, "; ".join([*against, "entries are told apart by their words"]))


def fault(entries: Sequence[FeedEntry], rule: str) -> str | None:
    """Says what is wrong with a rule in a window; None when it holds there."""
    if rule == Rule.TEXT or not entries:
        return None
    name = _NAMES[Rule(rule)]
    given = [(value, fingerprint(entry), entry) for entry in entries if (value := _value(entry, rule))]
    if len(given) < _PRESENT * len(entries):
        return f"{name} are missing on {len(entries) - len(given)} of {len(entries)} entries"
    distinct = {(value, print_) for value, print_, _ in given}  # an entry shown twice counts once
    values = {value for value, _ in distinct}
    # One is forgiven: the stale copy of an edited post, pinned to the top.
    if len(distinct) - len(values) > max((1 - _PRESENT) * len(distinct), min(len(values) - 1, 1)):
        return f"{name} are shared: {len(values)} different on {len(distinct)} entries"
    if _is_positional([(value, entry) for value, _, entry in given]):
        return f"{name} are positions: they count from the top of the page"
    return None


def key(entry: FeedEntry, rule: str) -> str:
    """Gives an entry's key under a rule; where it lacks what the rule wants, under the next one.

    The key is the same on http, https and www, and with or without tracking parameters.
    """
    for candidate in _ORDER[_ORDER.index(Rule(rule)) :]:
        if value := _value(entry, candidate):
            return value
    return f"text:{fingerprint(entry)}"


def fingerprint(entry: FeedEntry) -> str:
    """Gives a hash of an entry's words, deaf to what is no edit.

    That is markup, entities, white space, quotes and dashes of another kind, letter case, invisible
    characters, and times told from now ("5 minutes ago").
    """
    return hashlib.sha256(words(entry).encode("utf-8", "replace")).hexdigest()[:32]


def words(entry: FeedEntry) -> str:
    """Gives the words that a fingerprint is made of; empty for a post of pictures only."""
    return "\n".join(part for part in (normal(entry.title), normal(entry.text)) if part)


def normal(text: str) -> str:
    """Gives a text as it is compared."""
    bare = plain(text) if "<" in text or "&" in text else text
    bare = unicodedata.normalize("NFKC", bare).translate(_QUOTES | _DASHES)
    bare = _AGO.sub(" ", _HIDDEN.sub("", bare))
    return " ".join(bare.casefold().split())


def canonical(value: str) -> str:
    """Gives an id or URL without what flips by itself: scheme, www, case of the host, tracking parameters."""
    value = value.strip()
    try:
        parts = urlsplit(value)
        if parts.scheme not in {"http", "https", ""} or not parts.netloc:
            return _short(value)
        host = (parts.hostname or "").removeprefix("www.")
        if parts.port not in {None, 80, 443}:
            host += f":{parts.port}"
    except ValueError:
        return _short(value)
    query = "&".join(part for part in parts.query.split("&") if part and not _TRACKING.match(part))
    address = host + (parts.path or "/")
    return _short(address + (f"?{query}" if query else "") + (f"#{parts.fragment}" if parts.fragment else ""))


def _value(entry: FeedEntry, rule: str) -> str:
    if rule == Rule.ID:
        return canonical(entry.key) if entry.key else ""
    if rule == Rule.URL:
        return canonical(entry.url) if entry.url else ""
    return f"text:{fingerprint(entry)}"


def _is_positional(given: Sequence[tuple[str, FeedEntry]]) -> bool:
    """Whether ids count 1, 2, 3 (or 0, 1, 2) down the page: on a newest-first page every arrival moves them."""
    times_by_value: dict[str, datetime | None] = {}
    for value, entry in given:  # a copy further down has no place of its own
        times_by_value.setdefault(value, entry.published_at)
    order = list(times_by_value)
    found = [_ORDINAL.search(value) for value in order]
    if len(order) < 2 or not all(found):  # noqa: PLR2004 - one entry has no order
        return False
    numbers = [int(match[1]) for match in found if match]
    stems = {value[: match.start()] for value, match in zip(order, found, strict=True) if match}
    if len(stems) > 1 or numbers[0] > 1 or numbers != list(range(numbers[0], numbers[0] + len(numbers))):
        return False
    times = [time for time in times_by_value.values() if time is not None]
    is_oldest_first = len(times) > 1 and times == sorted(times) and times[0] < times[-1]
    return not is_oldest_first


def _short(value: str) -> str:
    if len(value) <= _MAX_KEY:
        return value
    return f"{value[: _MAX_KEY - 40]}~{hashlib.sha256(value.encode('utf-8', 'replace')).hexdigest()[:32]}"


_ORDER = list(Rule)
_NAMES: dict[Rule, str] = {Rule.ID: "the feed's ids", Rule.URL: "the entries' URLs", Rule.TEXT: "words"}
