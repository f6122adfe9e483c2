"""What a window of a feed means, against what is known of the feed: new, edited, the same, or not to be trusted.

Pure: old state and new window in, one frozen Decision out.

    window ──identity──> keyed entries ──match──> known, by key
                                                  known text under a new key   relinked, silently
                                                  a copy of one on the page    ignored
                                                  nothing like it              new
    new ──flood guard──> inserted and announced, or inserted and held

The window is a window: what is not in it is not deleted, its order means nothing, and its dates decide nothing.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from alerts.feeds import identity
from alerts.feeds.formats.values import FeedEntry, ParsedFeed
from alerts.feeds.identity import Identity
from alerts.feeds.matching import Ignored, Keyed, Known, KnownEntry, match, rule_for, with_keys

MAX_REVISIONS = 24  # then a text that changes at every poll (an advert, a counter) is no longer followed
# So many new entries and not one known: another blog, a new id scheme, or we were away for long.
_LOST_TOUCH = 3
_MARKS_AT_ONCE = 5  # more known entries that turn into key events at one poll are a new template, no news


@dataclass(frozen=True, slots=True)
class Policy:
    flood_limit: int = 20
    key_words: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Insert:
    key: str
    fingerprint: str
    entry: FeedEntry
    is_key_event: bool | None
    key_event_by: str


@dataclass(frozen=True, slots=True)
class Revision:
    """The text of a known entry changed; `number` is the revision it becomes."""

    key: str
    fingerprint: str
    entry: FeedEntry
    number: int


@dataclass(frozen=True, slots=True)
class KeyMark:
    """A known entry turned out to be a key event: news, or only to be remembered."""

    key: str
    by: str
    is_news: bool = True


@dataclass(frozen=True, slots=True)
class Relink:
    """A known entry goes by another key now; to be done before anything that names the new key."""

    old_key: str
    new_key: str


@dataclass(frozen=True, slots=True)
class Decision:
    """What is to be done; `inserts` are oldest first, `seen` are the known entries of this window.

    `hold` says why nothing new may be announced before a person has looked; empty when all is well.
    """

    identity: Identity
    is_baseline: bool = False
    relinks: tuple[Relink, ...] = ()
    inserts: tuple[Insert, ...] = ()
    revisions: tuple[Revision, ...] = ()
    key_marks: tuple[KeyMark, ...] = ()
    ignored: tuple[Ignored, ...] = ()
    seen: frozenset[str] = frozenset()
    hold: str = ""

    @property
    def changes(self) -> bool:
        """Whether anything is new or different."""
        return bool(
            self.is_baseline or self.relinks or self.inserts or self.revisions or self.key_marks or self.hold
        )


def decide(known: Known, parsed: ParsedFeed, policy: Policy) -> Decision:
    """Compares a window with what is known and says what is to be done.

    The first window of a feed is its baseline, an empty one too. Deciding the same window again, its parts,
    or another order of it, changes nothing.
    """
    readable = [entry for entry in parsed.entries if identity.words(entry)]
    ignored = tuple(
        Ignored(entry.url, "has no words yet") for entry in parsed.entries if not identity.words(entry)
    )
    rule = rule_for(known, readable)
    window = with_keys(readable, rule.rule)
    if not known.is_baselined:
        first = tuple(_insert(keyed, policy) for keyed in _oldest_first(window))
        return Decision(rule, is_baseline=True, inserts=first, ignored=ignored)
    found = match(known, window, rule.rule)
    inserts = tuple(_insert(keyed, policy) for keyed in _oldest_first(found.new))
    pairs = [(keyed, known.entries[old_key]) for keyed, old_key in found.known]
    revisions, restless = _revisions(pairs)
    return Decision(
        rule,
        relinks=tuple(Relink(old_key, keyed.key) for keyed, old_key in found.known if old_key != keyed.key),
        inserts=inserts,
        revisions=revisions,
        key_marks=_key_marks(pairs, policy),
        ignored=(*ignored, *found.ignored, *restless),
        seen=frozenset(keyed.key for keyed, _ in found.known),
        hold=_hold(known, inserts, is_any_known=bool(found.known), policy=policy),
    )


def key_event(entry: FeedEntry, words: Iterable[str]) -> tuple[bool | None, str]:
    """Says whether an entry is a key event, and by whose word: the feed's, its key points', or a rule of words."""
    if entry.is_key_event:
        return True, entry.key_event_by
    for word in words:
        if word.strip() and re.search(rf"(?<!\w){re.escape(word.strip())}(?!\w)", entry.title, re.IGNORECASE):
            return True, "words"
    return entry.is_key_event, entry.key_event_by


def _insert(keyed: Keyed, policy: Policy) -> Insert:
    is_key_event, by = key_event(keyed.entry, policy.key_words)
    return Insert(keyed.key, keyed.fingerprint, keyed.entry, is_key_event, by)


def _revisions(
    pairs: Sequence[tuple[Keyed, KnownEntry]],
) -> tuple[tuple[Revision, ...], tuple[Ignored, ...]]:
    edited = [(keyed, old) for keyed, old in pairs if keyed.fingerprint != old.fingerprint]
    followed = [(keyed, old) for keyed, old in edited if old.revision < MAX_REVISIONS]
    return (
        tuple(Revision(new.key, new.fingerprint, new.entry, old.revision + 1) for new, old in followed),
        tuple(
            Ignored(keyed.entry.title, f"was edited more than {MAX_REVISIONS} times")
            for keyed, old in edited
            if old.revision >= MAX_REVISIONS
        ),
    )


def _key_marks(pairs: Sequence[tuple[Keyed, KnownEntry]], policy: Policy) -> tuple[KeyMark, ...]:
    marks = []
    for keyed, old in pairs:
        is_key_event, by = key_event(keyed.entry, policy.key_words)
        if is_key_event and not old.is_key_event:
            marks.append(KeyMark(keyed.key, by))
    if len(marks) > _MARKS_AT_ONCE:
        return tuple(replace(mark, is_news=False) for mark in marks)
    return tuple(marks)


def _hold(known: Known, inserts: Sequence[Insert], *, is_any_known: bool, policy: Policy) -> str:
    """Says why this window must not mail anybody by itself; empty when it may."""
    if len(inserts) > policy.flood_limit:
        return f"{len(inserts)} new entries in one poll, and the limit is {policy.flood_limit}"
    if known.entries and not is_any_known and len(inserts) >= _LOST_TOUCH:
        return f"{len(inserts)} new entries and not one that was known"
    return ""


def _oldest_first(window: Sequence[Keyed]) -> list[Keyed]:
    """Gives entries in the order they were published: by time if each has one, else newest stand first."""
    upwards = list(reversed(window))
    times = {keyed.key: keyed.entry.published_at for keyed in upwards}
    dated = {key: time for key, time in times.items() if time is not None}
    return sorted(upwards, key=lambda keyed: dated[keyed.key]) if len(dated) == len(times) else upwards
