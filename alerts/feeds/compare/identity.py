"""Which entry is which: the rule is chosen from a feed's own evidence. Pure.

Publishers' ids are positions, shared, missing, or different on http and https; no rule fits every feed. So a
rule is chosen from a window, kept with its health, and given up when the feed proves it wrong.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import NamedTuple

from alerts.feeds.compare.addresses import canonical
from alerts.feeds.compare.wording import digest, fingerprint, normal, words
from alerts.feeds.formats.values import FeedEntry

__all__ = [
    "UNKNOWN",
    "Health",
    "Identity",
    "Name",
    "Rule",
    "Sighting",
    "canonical",
    "choose",
    "fault",
    "fingerprint",
    "key",
    "normal",
    "sight",
    "words",
]


class Rule(StrEnum):
    """What entries are told apart by; also the kinds of names that an entry is remembered by."""

    ID = "id"  # the feed's own id
    URL = "url"  # the entry's address, with its query and fragment
    TEXT = "text"  # nothing but the words


class Health(StrEnum):
    GOOD = "good"
    WEAK = "weak"  # the best there is: an edit may be taken for a new entry
    DEGRADED = "degraded"  # a better rule was given up because the feed broke it
    UNKNOWN = "unknown"  # no entries yet


class Name(NamedTuple):
    """One of the things that an entry is known by; `value` is canonical."""

    kind: str
    value: str


@dataclass(frozen=True, slots=True)
class Identity:
    """The rule in force, and how it fares.

    `unique` is the share of a window's entries that the rule tells apart, `stable` the share of known texts
    that stood under their known keys, both over the last windows; None before there was anything to measure.
    """

    rule: str
    health: str
    why: str
    unique: float | None = None
    stable: float | None = None


@dataclass(frozen=True, slots=True)
class Sighting:
    """An entry of a window with what it may be known by; an empty string where it gives none."""

    entry: FeedEntry
    id: str
    url: str
    fingerprint: str
    has_words: bool = True  # false for a post of pictures only

    def name(self, rule: str) -> Name | None:
        """Gives what the entry is known by under a rule alone."""
        value = self.id if rule == Rule.ID else self.url if rule == Rule.URL else self.fingerprint
        return Name(rule, value) if value else None


UNKNOWN = Identity("", Health.UNKNOWN, "no entries yet")

# FreshRSS gives a rule up from the same share on.
_PRESENT = 0.95
# A place on a page: "post1", "#1". Not what ends in a number by chance: an address, a urn, "6740e01", "0001".
_PLACE = re.compile(r"((?:[^#]*#)?(?:[^#/:?]*[^\w#/:?]|[^#/:?]*_)?[^\W\d_]*)(0|[1-9]\d{0,3})")


def sight(entry: FeedEntry) -> Sighting:
    """Reads off an entry, once, what it may be known by."""
    said = words(entry)
    return Sighting(
        entry,
        canonical(entry.key) if entry.key else "",
        canonical(entry.url) if entry.url else "",
        digest(said),
        has_words=bool(said),
    )


def choose(window: Sequence[Sighting]) -> Identity:
    """Chooses the rule for a window: the feed's id, else the URL, else the words; says why not the better."""
    if not window:
        return UNKNOWN
    against: list[str] = []
    for rule in (Rule.ID, Rule.URL):
        wrong = fault(window, rule)
        if wrong is None:
            count = len({key(each, rule) for each in window})
            return Identity(
                rule, Health.GOOD, "; ".join([*against, f"{_NAMES[rule]} tell {count} entries apart"])
            )
        against.append(wrong)
    return Identity(Rule.TEXT, Health.WEAK, "; ".join([*against, "entries are told apart by their words"]))


def fault(window: Sequence[Sighting], rule: str) -> str | None:
    """Says what is wrong with a rule in a window; None when it holds there."""
    if rule == Rule.TEXT or not window:
        return None
    name = _NAMES[Rule(rule)]
    given = [(named.value, each) for each in window if (named := each.name(rule))]
    if len(given) < _PRESENT * len(window):
        return f"{name} are missing on {len(window) - len(given)} of {len(window)} entries"
    distinct = {(value, each.fingerprint) for value, each in given}  # an entry shown twice counts once
    values = {value for value, _ in distinct}
    # One is forgiven: the stale copy of an edited post, pinned to the top.
    if len(distinct) - len(values) > max((1 - _PRESENT) * len(distinct), min(len(values) - 1, 1)):
        return f"{name} are shared: {len(values)} different on {len(distinct)} entries"
    if _is_positional(given):
        return f"{name} are positions: they count from the top of the page"
    return None


def unique_share(window: Sequence[Sighting], rule: str) -> float:
    """Gives the share of a window's different entries that have a name of their own under a rule."""
    entries = {(each.name(rule), each.fingerprint) for each in window}
    names = {name for name, _ in entries if name is not None}
    return len(names) / len(entries) if entries else 1.0


def key(sighting: Sighting, rule: str) -> str:
    """Gives an entry's key under a rule; where it lacks what the rule wants, under the next one."""
    name = named(sighting, rule)
    return f"text:{name.value}" if name.kind == Rule.TEXT else name.value


def named(sighting: Sighting, rule: str) -> Name:
    """Gives what stands behind an entry's key under a rule."""
    for candidate in _ORDER[_ORDER.index(Rule(rule)) :]:
        if name := sighting.name(candidate):
            return name
    return Name(Rule.TEXT, sighting.fingerprint)


def _is_positional(given: Sequence[tuple[str, Sighting]]) -> bool:
    """Whether ids count 1, 2, 3 (or 0, 1, 2) down the page: on a newest-first page every arrival moves them.

    What is not seen here is found out by the first arrival: `rule.rule_for`.
    """
    times_by_value: dict[str, datetime | None] = {}
    for value, sighting in given:  # a copy further down has no place of its own
        times_by_value.setdefault(value, sighting.entry.published_at)
    order = list(times_by_value)
    found = [_PLACE.fullmatch(value) for value in order]
    if len(order) < 2 or not all(found):  # noqa: PLR2004 - one entry has no order
        return False
    numbers = [int(match[2]) for match in found if match]
    stems = {match[1] for match in found if match}
    if len(stems) > 1 or numbers[0] > 1 or numbers != list(range(numbers[0], numbers[0] + len(numbers))):
        return False
    times = [time for time in times_by_value.values() if time is not None]
    is_oldest_first = len(times) > 1 and times == sorted(times) and times[0] < times[-1]
    return not is_oldest_first


_ORDER = list(Rule)
_NAMES: dict[Rule, str] = {Rule.ID: "the feed's ids", Rule.URL: "the entries' URLs", Rule.TEXT: "words"}
