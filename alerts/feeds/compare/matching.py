"""Which entry of a window is which known one: by key, by text, by another of its names, by likeness. Pure.

Each pass takes the entries it is sure of and leaves the rest to the next. What is left at the end is new.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from alerts.feeds.compare.identity import Name, Rule
from alerts.feeds.compare.keys import OTHER_STORY
from alerts.feeds.compare.known import Keyed, Known, KnownEntry
from alerts.feeds.compare.rule import is_halved
from alerts.feeds.compare.teasers import teasers
from alerts.feeds.compare.times import Times, times_of
from alerts.feeds.compare.wording import SHORT, likeness, numbers, words

# Likeness from which two texts are one post, by what else agrees.
_EDITED_SAME_TIME = 0.3
_RENAMED_SAME_TIME = 0.5
_EDITED = 0.6
_EDITED_OTHER_TIME = 0.8
# Pairs of texts that one window may cost. No live blog rewrites 440 posts at once; a hostile page would, at
# every poll, and what is not compared is new, and too much of it is held.
_MOST_COMPARED = 200_000


@dataclass(frozen=True, slots=True)
class Pair:
    """An entry of the window and the known one that it is; `is_renamed` when it goes by a new key from now on."""

    keyed: Keyed
    old: KnownEntry
    is_renamed: bool = False
    is_edited: bool = False  # it shows a text that this entry never had


@dataclass(frozen=True, slots=True)
class Ignored:
    title: str
    why: str


@dataclass(frozen=True, slots=True)
class Match:
    """What became of a window; `retired` are keys of known entries that another story has taken over."""

    pairs: tuple[Pair, ...]
    new: tuple[Keyed, ...]
    retired: tuple[str, ...]
    ignored: tuple[Ignored, ...]
    times: Times


def match(known: Known, window: Sequence[Keyed], rule: str) -> Match:
    """Finds for each entry of the window the known one that it is."""
    found = _Matching(known, rule, times_of(known, window), _by_text(known), is_halved(known, window))
    rest = found.same(window)
    rest = found.known_texts(rest)
    rest = found.known_keys(rest)
    rest = found.other_names(rest)
    rest = found.copies(rest)
    new = found.alike(rest)
    place = {keyed.key: at for at, keyed in enumerate(window)}
    new = sorted([*new, *found.repeated], key=lambda keyed: place[keyed.key])
    return Match(tuple(found.pairs), tuple(new), tuple(found.retired), tuple(found.ignored), found.times)


def _by_text(known: Known) -> dict[str, list[KnownEntry]]:
    """Gives the entries that show each text now, those of the last window first."""
    shown = set(known.window)
    found: dict[str, list[KnownEntry]] = {}
    for entry in sorted(known.entries.values(), key=lambda each: (each.key not in shown, each.key)):
        found.setdefault(entry.fingerprint, []).append(entry)
    return found


@dataclass(slots=True)
class _Matching:
    """A match under way: what each pass has found so far."""

    known: Known
    rule: str
    times: Times
    by_text: dict[str, list[KnownEntry]]
    is_halved: bool
    pairs: list[Pair] = field(default_factory=list)
    claimed: set[str] = field(default_factory=set)
    repeated: list[Keyed] = field(default_factory=list)  # a few words said again: new, whatever comes later
    retired: list[str] = field(default_factory=list)
    ignored: list[Ignored] = field(default_factory=list)

    def same(self, window: Iterable[Keyed]) -> list[Keyed]:
        """Takes entries whose key and text are one known entry's."""
        rest = []
        for keyed in window:
            old = self._by_key(keyed)
            if old is not None and self._had(old, keyed):
                self._pair(keyed, old)
            else:
                rest.append(keyed)
        return rest

    def known_texts(self, window: Iterable[Keyed]) -> list[Keyed]:
        """Takes entries that show another known entry's text: renamed, or a copy, or in a slot of the page."""
        are_keys_steady = bool(self.claimed)
        rest = []
        for keyed in window:
            owners = self._owners(keyed)
            by_key = self._by_key(keyed)
            if not owners or (by_key is not None and _is_short(keyed)):
                rest.append(keyed)
            elif by_key is None and are_keys_steady and self._says_it_again(keyed, owners):
                self.repeated.append(keyed)
            elif free := [owner for owner in owners if owner.key not in self.claimed]:
                is_renamed = by_key is None and self._by_loose(keyed) != free[0]
                self._pair(keyed, free[0], is_renamed=is_renamed)
            else:
                self._ignore(keyed, "a copy of another entry on the page")
        return rest

    def known_keys(self, window: Sequence[Keyed]) -> list[Keyed]:
        """Takes entries with a known key and an unknown text: edited, or another story under a used key."""
        unknown_keys = {keyed.fingerprint for keyed in window if self._by_key(keyed) is None}
        rest = []
        for keyed in window:
            old = self._by_key(keyed)
            if old is None:
                rest.append(keyed)
            elif self._is_other_story(old, keyed, has_own_place=keyed.fingerprint in unknown_keys):
                if keyed.fingerprint in unknown_keys:
                    self._ignore(keyed, "a copy of another entry on the page")
                else:
                    self.repeated.append(keyed)
                    self.retired += [old.key] if old.key == keyed.key else []
            else:
                self._pair(keyed, old, is_edited=True)
        return rest

    def other_names(self, window: Iterable[Keyed]) -> list[Keyed]:
        """Takes entries that have another name of a known one, and its time or much of its text."""
        rest = []
        for keyed in window:
            old = self._entry(self.known.named(*keyed.others)) or self._by_loose(keyed)
            if old is None or old.key in self.claimed or not self._is_plausible(old, keyed):
                rest.append(keyed)
            else:
                by_loose = self._by_loose(keyed) is old
                self._pair(keyed, old, is_renamed=not by_loose, is_edited=not self._had(old, keyed))
        return rest

    def copies(self, window: Sequence[Keyed]) -> list[Keyed]:
        """Ignores an entry whose text, or more of it, stands on the page under another key."""
        shown = {pair.keyed.fingerprint: pair.keyed.entry.published_at for pair in self.pairs}
        begun = teasers([*(pair.keyed for pair in self.pairs), *window])
        rest = []
        for keyed in window:
            at = shown.get(keyed.fingerprint)
            if keyed.fingerprint in shown and not self._is_said_again(keyed, at):
                self._ignore(keyed, "a copy of another entry on the page")
            elif keyed.key in begun:
                self._ignore(keyed, "the beginning of another entry on the page")
            else:
                shown[keyed.fingerprint] = keyed.entry.published_at
                rest.append(keyed)
        return rest

    def alike(self, window: Sequence[Keyed]) -> list[Keyed]:
        """Takes entries that are much like one that just left the page: edited, under a new key."""
        gone = {key: old for key in sorted({*self.known.window} - self.claimed) if (old := self._entry(key))}
        if len(gone) * len(window) > _MOST_COMPARED:
            return list(window)
        units_of = {key: old.units for key, old in gone.items()} if window else {}
        rest = []
        for keyed in window:
            mine = keyed.units
            likest = max(units_of, key=lambda key: likeness(units_of[key], mine), default=None)
            if likest is not None and self._is_edit(gone[likest], units_of[likest], keyed):
                # A text that never rests would bring a new key at each poll, without end.
                self._pair(keyed, gone[likest], is_renamed=not gone[likest].is_restless, is_edited=True)
                del units_of[likest]
            else:
                rest.append(keyed)
        return rest

    def _pair(
        self, keyed: Keyed, old: KnownEntry, *, is_renamed: bool = False, is_edited: bool = False
    ) -> None:
        self.claimed.add(old.key)
        self.pairs.append(Pair(keyed, old, is_renamed, is_edited))

    def _ignore(self, keyed: Keyed, why: str) -> None:
        self.ignored.append(Ignored(keyed.entry.title, why))

    def _entry(self, key: str | None) -> KnownEntry | None:
        return self.known.entries.get(key) if key is not None else None

    def _by_key(self, keyed: Keyed) -> KnownEntry | None:
        return self._entry(self.known.named(keyed.name)) or self.known.entries.get(keyed.key)

    def _by_loose(self, keyed: Keyed) -> KnownEntry | None:
        if keyed.loose is None:
            return None
        return self._entry(self.known.named(Name(keyed.name.kind, keyed.loose.value), keyed.loose))

    def _had(self, old: KnownEntry, keyed: Keyed) -> bool:
        """Whether an entry shows this text now, or did once: an edge of a CDN may still hold it."""
        return old.fingerprint == keyed.fingerprint or self.known.names.get(keyed.text) == old.key

    def _owners(self, keyed: Keyed) -> list[KnownEntry]:
        """Gives the entries that show this text, then the one that once did."""
        now = self.by_text.get(keyed.fingerprint, [])
        once = self._entry(self.known.names.get(keyed.text))
        return [*now, once] if once is not None and once not in now else now

    def _says_it_again(self, keyed: Keyed, owners: Iterable[KnownEntry]) -> bool:
        return all(self._is_said_again(keyed, owner.published_at) for owner in owners)

    def _is_said_again(self, keyed: Keyed, before: datetime | None) -> bool:
        """Whether a few words said before are said again at another time: "Goal!" is news each time."""
        at = self.times.telling(keyed)
        return _is_short(keyed) and before is not None and at is not None and at != before

    def _is_other_story(self, old: KnownEntry, keyed: Keyed, *, has_own_place: bool) -> bool:
        """Whether a known key shows a story of its own: nothing of the old text, and more that speaks for it.

        That more is the story's other place on the page, the old entry's under another key, a page that is
        the successor of the old one, or a time that has moved on.
        """
        is_same_time = self._is_same_time(old, keyed)
        if has_own_place and is_same_time is not None:
            return not is_same_time
        if likeness(old.units, keyed.units) >= OTHER_STORY or is_same_time:
            return False
        if has_own_place or old.key in self.claimed or self.known.moved_at is not None:
            return True
        return not (_is_short(keyed) or len(old.text) < SHORT) and self.times.has_moved_on(old, keyed)

    def _is_plausible(self, old: KnownEntry, keyed: Keyed) -> bool:
        return self._is_same_time(old, keyed) is True or likeness(old.units, keyed.units) >= _EDITED_SAME_TIME

    def _is_edit(self, old: KnownEntry, other: frozenset[str], keyed: Keyed) -> bool:
        is_same_time = self._is_same_time(old, keyed)
        mine = keyed.units
        alike = likeness(mine, other)
        if is_same_time:
            return alike >= (_EDITED_SAME_TIME if self._are_keys_texts else _RENAMED_SAME_TIME)
        if self.is_halved:  # what a damaged page does not show has not left it
            return False
        has_same_numbers = numbers(mine) == numbers(other)
        if is_same_time is None and self._are_keys_texts and has_same_numbers:
            return alike >= _EDITED
        # Without ids and times a number may still be put right in place.
        is_number_mended = is_same_time is None and self.rule == Rule.TEXT
        return alike >= _EDITED_OTHER_TIME and (has_same_numbers or is_number_mended)

    def _is_same_time(self, old: KnownEntry, keyed: Keyed) -> bool | None:
        """Whether both were published at one time; None where a time is not given or says nothing."""
        at = self.times.telling(keyed)
        return None if at is None or old.published_at is None else at == old.published_at

    @property
    def _are_keys_texts(self) -> bool:
        """Whether an edit changes the key itself: told apart by words, or all keys are new."""
        return self.rule == Rule.TEXT or not self.claimed


def _is_short(keyed: Keyed) -> bool:
    return len(words(keyed.entry)) < SHORT
