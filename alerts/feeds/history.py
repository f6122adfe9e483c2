"""What is not known and yet no news: old entries that a page shows again, and summaries of what is known. Pure.

In the middle of a page an unknown entry is news, whatever its date: it may have been approved late. Below
everything that is known it is news only if nothing says how it came there.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta

from alerts.feeds.known import Keyed, Known
from alerts.feeds.matching import Match, Pair
from alerts.feeds.wording import likeness, normal, units

_LONG_AGO = timedelta(hours=1)
_LEAST_WORDS = 4  # of a line that says something
_LEAST_LINES = 3  # of a summary
_RESTATED = 0.8  # share of a summary's lines that known entries have said
_ALIKE = 0.7  # of two lines that say the same


def history(known: Known, found: Match, window: Sequence[Keyed], now: datetime) -> dict[str, str]:
    """Gives the new entries that are no news, by key, with the reason."""
    return {
        **dict(_restated(known, found.new)),
        **dict(_slid_in(known, found, window, now)),
        **dict(_before_the_move(known, found.new)),
    }


def _before_the_move(known: Known, new: Iterable[Keyed]) -> Iterator[tuple[str, str]]:
    if known.moved_at is None:
        return
    for keyed in new:
        at = keyed.entry.published_at
        if at is None or at < known.moved_at:
            yield keyed.key, "stood on the page before we followed the blog there"


def _slid_in(known: Known, found: Match, window: Sequence[Keyed], now: datetime) -> Iterator[tuple[str, str]]:
    """Gives entries older than all that is known here, when others are missing or they are old indeed.

    A page that shows its newest ten pulls an eleventh up when one is deleted; an edge of a CDN that is behind
    shows older ones instead of the newest.
    """
    if not found.pairs or not found.new:
        return
    missing = _missing(known, found)
    for keyed in _below(found, window):
        at = keyed.entry.published_at if found.times.are_steady else None
        if missing > 0:
            missing -= 1
            yield keyed.key, "is older than all that is known, and stands in for an entry that is missing"
        elif at is not None and now - at > _LONG_AGO:
            yield keyed.key, "is older than all that is known, and was published long ago"


def _missing(known: Known, found: Match) -> int:
    """Counts the entries that are gone though older ones of the last window are still there."""
    present = {pair.old.key for pair in found.pairs}
    shown = [at for at, key in enumerate(known.window) if key in present]
    times = [each for pair in found.pairs if (each := pair.old.published_at)]
    if found.times.are_steady and times and len(times) == len(found.pairs):
        oldest = min(times)
        gone = (known.entries[key] for key in known.window if key not in present and key in known.entries)
        return sum(entry.published_at is not None and entry.published_at > oldest for entry in gone)
    return sum(key not in present for key in known.window[: max(shown, default=0)])


def _below(found: Match, window: Sequence[Keyed]) -> list[Keyed]:
    """Gives the new entries that are older than every known one on the page, the newest of them first."""
    dated = [each for pair in found.pairs if (each := pair.keyed.entry.published_at)]
    if found.times.are_steady and len(dated) == len(found.pairs):
        older = [(at, keyed) for keyed in found.new if (at := keyed.entry.published_at) and at < min(dated)]
        return [keyed for _, keyed in sorted(older, key=lambda each: each[0], reverse=True)]
    if not _is_newest_first(found.pairs, window):
        return []
    new = {keyed.key for keyed in found.new}
    tail: list[Keyed] = []
    for keyed in reversed(window):
        if keyed.key not in new:
            break
        tail.insert(0, keyed)
    return [keyed for keyed in tail if keyed.entry.published_at is None or not found.times.are_steady]


def _is_newest_first(pairs: Sequence[Pair], window: Sequence[Keyed]) -> bool:
    """Whether what we saw later stands higher, as far as we saw entries at different times."""
    place = {keyed.key: at for at, keyed in enumerate(window)}
    in_order = sorted(pairs, key=lambda pair: place[pair.keyed.key])
    seen = [at for pair in in_order if (at := pair.old.first_seen_at)]
    return len(set(seen)) > 1 and seen == sorted(seen, reverse=True)


def _restated(known: Known, new: Sequence[Keyed]) -> Iterator[tuple[str, str]]:
    """Gives summaries: entries nearly all of whose lines several known entries have said.

    A line that stands in more than one known entry says nothing: it is the house's, as "Follow us" is.
    """
    long = {keyed.key: lines for keyed in new if len(lines := _lines(keyed.entry.text)) >= _LEAST_LINES}
    said = _said(known) if long else {}
    for key, lines in long.items():
        own = [line for line in lines if len(said.get(line, ())) <= 1]
        sources = [_sources(line, said) for line in own]
        again = sum(bool(each) for each in sources)
        if len(own) >= _LEAST_LINES and again >= _RESTATED * len(own) and len(set().union(*sources)) > 1:
            yield key, "restates entries that are known"


def _sources(line: frozenset[str], said: Mapping[frozenset[str], set[str]]) -> set[str]:
    """Gives the keys of the entries that have said a line."""
    return {key for other, keys in said.items() if likeness(line, other) >= _ALIKE for key in keys}


def _said(known: Known) -> dict[frozenset[str], set[str]]:
    """Gives the lines of the entries that the last window showed, with the keys of those that say each."""
    said: dict[frozenset[str], set[str]] = {}
    for key in known.window:
        if (entry := known.entries.get(key)) is not None:
            for line in [*_lines(entry.title), *_lines(entry.text)]:
                said.setdefault(line, set()).add(key)
    return said


def _lines(text: str) -> list[frozenset[str]]:
    lines = (units(normal(line)) for line in text.split("\n"))
    return [line for line in lines if len(line) >= _LEAST_WORDS]
