"""What a window of a feed means, against what is known of the feed: new, edited, the same, or not to be trusted.

Pure: old state and new window in, one frozen Decision out.

    window ──rule──> keyed entries ──match──> known, by key or another name
                                              known text under a new key   relinked, silently
                                              a copy of one on the page    ignored
                                              nothing like it              new
    new ──history──> old, or a summary: kept, mailed to nobody
        ──flood guard──> inserted and announced, or inserted and held

The window is a window: what is not in it is not deleted, and its order means nothing by itself.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from alerts.feeds.compare import identity
from alerts.feeds.compare.addresses import canonical
from alerts.feeds.compare.decision import Decision, Insert, KeyMark, Policy, Relink, Revision
from alerts.feeds.compare.history import history
from alerts.feeds.compare.identity import Health, Identity, Name, Rule, Sighting
from alerts.feeds.compare.keys import with_keys
from alerts.feeds.compare.known import Keyed, Known
from alerts.feeds.compare.matching import Ignored, Match, Pair, match
from alerts.feeds.compare.rule import rule_for
from alerts.feeds.formats.values import FeedEntry, ParsedFeed

# So many new entries and not one known: another blog, a new id scheme, or we were away for long.
_LOST_TOUCH = 3
_AT_ONCE = 10  # a blog that begins has a few entries at the second look, a page that was broken has them all
_MARKS_AT_ONCE = 5  # more known entries that turn into key events at one poll are a new template, no news


def decide(
    known: Known,
    parsed: ParsedFeed,
    policy: Policy,
    now: datetime,
    sightings: Sequence[Sighting] | None = None,
) -> Decision:
    """Compares a window with what is known and says what is to be done.

    The first window of a feed is its baseline, an empty one too. Deciding the same window again, its parts,
    or another order of it, changes nothing. `sightings` are the window's entries where they were read off
    before, to look up what is known.
    """
    seen = [identity.sight(entry) for entry in parsed.entries] if sightings is None else sightings
    readable = [sighting for sighting in seen if sighting.has_words]
    wordless = tuple(Ignored(each.entry.url, "has no words yet") for each in seen if not each.has_words)
    rule = rule_for(known, readable)
    window = with_keys(readable, rule.rule) if readable else []
    found = match(known, window, rule.rule)
    past = history(known, found, window, now) if known.is_baselined else {}
    inserts = tuple(_insert(keyed, policy, past) for keyed in _oldest_first(found.new))
    if not known.is_baselined:
        return _baseline(rule, window, found, inserts, (*wordless, *found.ignored))
    keys = _Keys.of(known, found)
    revisions, restless = _revisions(found.pairs, keys)
    return Decision(
        rule,
        relinks=keys.relinks,
        inserts=inserts,
        revisions=revisions,
        key_marks=_key_marks(found.pairs, keys, policy),
        withdrawn=_withdrawn(known, parsed, {pair.old.key for pair in found.pairs}),
        restored=tuple(dict.fromkeys(keys[pair] for pair in found.pairs if pair.old.is_withdrawn)),
        names=_names(known, found, keys, {revision.key for revision in revisions}),
        ignored=(*wordless, *found.ignored, *restless),
        window=_window(window, found, keys),
        hold=_hold(known, inserts, is_any_known=bool(found.pairs), policy=policy),
        degraded=rule.why if _is_given_up(known.identity, rule) else "",
    )


def key_event(entry: FeedEntry, words: Iterable[str]) -> tuple[bool | None, str]:
    """Says whether an entry is a key event, and by whose word: the feed's, its key points', or a rule of words."""
    if entry.is_key_event:
        return True, entry.key_event_by
    for word in words:
        if word.strip() and re.search(rf"(?<!\w){re.escape(word.strip())}(?!\w)", entry.title, re.IGNORECASE):
            return True, "words"
    return entry.is_key_event, entry.key_event_by


def _baseline(
    rule: Identity,
    window: Sequence[Keyed],
    found: Match,
    inserts: tuple[Insert, ...],
    ignored: tuple[Ignored, ...],
) -> Decision:
    names: dict[Name, str] = {}
    for keyed in found.new:
        for name in _own_names(keyed):
            names.setdefault(name, keyed.key)
    # What stood there at the first look is history, a version under another's name, too. Later it was not told.
    owners = {keyed.fingerprint: keyed.key for keyed in found.new}
    for keyed in window:
        for text in keyed.versions if keyed.fingerprint in owners else ():
            names.setdefault(Name(Rule.TEXT, text), owners[keyed.fingerprint])
    keys = tuple(keyed.key for keyed in found.new)
    return Decision(
        rule, is_baseline=True, inserts=inserts, names=tuple(names.items()), ignored=ignored, window=keys
    )


def _is_given_up(before: Identity, after: Identity) -> bool:
    return after.health == Health.DEGRADED and (before.rule, before.health) != (after.rule, after.health)


def _insert(keyed: Keyed, policy: Policy, past: Mapping[str, str]) -> Insert:
    is_key_event, by = key_event(keyed.entry, policy.key_words)
    return Insert(
        keyed.key, keyed.fingerprint, keyed.entry, is_key_event, by, history=past.get(keyed.key, "")
    )


@dataclass(frozen=True, slots=True)
class _Keys:
    """The keys that known entries go by after this window; `moved` are those that change."""

    moved: Mapping[str, str]

    @classmethod
    def of(cls, known: Known, found: Match) -> "_Keys":
        """Makes room for stories under used keys, and gives renamed entries their new ones."""
        retired = {key: f"{key}~{known.entries[key].fingerprint[:8]}" for key in found.retired}
        renamed = {pair.old.key: pair.keyed.key for pair in found.pairs if pair.is_renamed}
        return cls(retired | renamed)

    def __getitem__(self, pair: Pair) -> str:
        return self.moved.get(pair.old.key, pair.old.key)

    @property
    def relinks(self) -> tuple[Relink, ...]:
        return tuple(Relink(old, new) for old, new in self.moved.items())


def _window(window: Sequence[Keyed], found: Match, keys: _Keys) -> tuple[str, ...]:
    here = {pair.keyed.key: keys[pair] for pair in found.pairs} | {
        keyed.key: keyed.key for keyed in found.new
    }
    return tuple(dict.fromkeys(here[keyed.key] for keyed in window if keyed.key in here))


def _revisions(pairs: Sequence[Pair], keys: _Keys) -> tuple[tuple[Revision, ...], tuple[Ignored, ...]]:
    """Gives the new texts, of two for one entry the one last updated."""
    edited: dict[str, Pair] = {}
    for pair in sorted((pair for pair in pairs if pair.is_edited), key=lambda pair: _age(pair.keyed)):
        edited[pair.old.key] = pair
    followed = [pair for pair in edited.values() if not pair.old.is_restless]
    return (
        tuple(
            Revision(keys[pair], pair.keyed.fingerprint, pair.keyed.entry, pair.old.revision + 1)
            for pair in followed
        ),
        tuple(
            Ignored(pair.keyed.entry.title, f"was edited {pair.old.revision} times and is followed no more")
            for pair in edited.values()
            if pair.old.is_restless
        ),
    )


def _age(keyed: Keyed) -> tuple[datetime, str]:
    entry = keyed.entry
    return entry.updated_at or entry.published_at or datetime.min.replace(tzinfo=UTC), keyed.fingerprint


def _key_marks(pairs: Sequence[Pair], keys: _Keys, policy: Policy) -> tuple[KeyMark, ...]:
    marks: dict[str, KeyMark] = {}
    for pair in pairs:
        is_key_event, by = key_event(pair.keyed.entry, policy.key_words)
        if is_key_event and not pair.old.is_key_event:
            marks[keys[pair]] = KeyMark(keys[pair], by)
    if len(marks) > _MARKS_AT_ONCE:
        return tuple(replace(mark, is_news=False) for mark in marks.values())
    return tuple(marks.values())


def _withdrawn(known: Known, parsed: ParsedFeed, shown: Iterable[str]) -> tuple[str, ...]:
    """Gives the known entries that the feed takes back by their ids, unless it shows them all the same."""
    found = (known.named(Name(Rule.ID, canonical(id_))) for id_ in parsed.withdrawn)
    keys = dict.fromkeys(key for key in found if key is not None and key not in shown)
    return tuple(key for key in keys if key in known.entries and not known.entries[key].is_withdrawn)


def _names(known: Known, found: Match, keys: _Keys, revised: Iterable[str]) -> tuple[tuple[Name, str], ...]:
    """Gives the names that entries have from now on, and had not."""
    learned: dict[Name, str] = {}
    for pair in found.pairs:
        for name in _learned(pair, is_revised=keys[pair] in revised):
            if known.names.get(name) != pair.old.key:
                learned.setdefault(name, keys[pair])
    for keyed in found.new:
        learned |= dict.fromkeys(_own_names(keyed), keyed.key)
    return tuple(learned.items())


def _own_names(keyed: Keyed) -> Iterator[Name]:
    yield keyed.name
    yield keyed.text
    yield from keyed.others
    if keyed.loose is not None and keyed.loose.value != keyed.name.value:
        yield keyed.loose


def _learned(pair: Pair, *, is_revised: bool) -> Iterator[Name]:
    keyed, old = pair.keyed, pair.old
    is_known_by_its_key = keyed.key == old.key
    if pair.is_renamed or is_known_by_its_key:
        yield from (name for name in _own_names(keyed) if name.kind != Rule.TEXT)
    if is_revised and pair.is_edited:
        yield keyed.text


def _hold(known: Known, inserts: Sequence[Insert], *, is_any_known: bool, policy: Policy) -> str:
    """Says why this window must not mail anybody by itself; empty when it may."""
    news = sum(not insert.history for insert in inserts)
    if news > policy.flood_limit:
        return f"{news} new entries in one poll, and the limit is {policy.flood_limit}"
    if not known.window and news >= _AT_ONCE:
        return f"{news} new entries at once on a page that was empty"
    if known.window and known.moved_at is None and not is_any_known and news >= _LOST_TOUCH:
        return f"{news} new entries and not one that was known"
    return ""


def _oldest_first(window: Sequence[Keyed]) -> list[Keyed]:
    """Gives entries in the order they were published: by time if each has one, else newest stand first."""
    upwards = list(reversed(window))
    times = {keyed.key: keyed.entry.published_at for keyed in upwards}
    dated = {key: time for key, time in times.items() if time is not None}
    return sorted(upwards, key=lambda keyed: dated[keyed.key]) if len(dated) == len(times) else upwards
