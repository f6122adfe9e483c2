"""What is not known and yet no news: old entries that a page shows again, and summaries of what is known. Pure.

In the middle of a page an unknown entry is news, whatever its date: it may have been approved late. Below
everything that is known it is news only if nothing says how it came there.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta

from alerts.feeds.compare.known import Keyed, Known
from alerts.feeds.compare.matching import Match, Pair
from alerts.feeds.compare.wording import likeness, normal, units

_LONG_AGO = timedelta(hours=1)
_BEYOND_BELIEF = timedelta(days=365)  # 1970 is no date, but the lack of one
_MEANWHILE = timedelta(minutes=10)  # between a blog's last word on one page and our look at the next
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
    """Gives what stood on a successor's page before we followed the blog there, but for what came meanwhile."""
    if known.moved_at is None:
        return
    last = max((at for key in known.window if (at := _published(known, key)) is not None), default=None)
    since = known.moved_at - _MEANWHILE
    if last is not None:  # one from the future must not make history of what is to come
        since = max(since, min(last, known.moved_at))
    for keyed in new:
        at = keyed.entry.published_at
        if at is None or at <= since:
            yield keyed.key, "stood on the page before we followed the blog there"


def _published(known: Known, key: str) -> datetime | None:
    return known.entries[key].published_at if key in known.entries else None


def _slid_in(known: Known, found: Match, window: Sequence[Keyed], now: datetime) -> Iterator[tuple[str, str]]:
    """Gives entries older than all that is known here, when something tells how they came onto the page.

    A page that shows its newest ten pulls an eleventh up when one is deleted; an edge of a CDN that is behind
    shows older ones instead of the newest; a page that is cut anew shows more of its past, or only that.
    """
    if not found.new:
        return
    if not found.pairs:
        yield from _another_page(known, found)
        return
    missing = _missing(known, found)
    below = _below(found, window)
    reaches_deeper = bool(below) and _oldest(found, window).old.key not in known.window
    for keyed in below:
        at = keyed.entry.published_at if found.times.are_steady else None
        if missing > 0:
            missing -= 1
            yield keyed.key, "is older than all that is known, and stands in for an entry that is missing"
        elif reaches_deeper:
            yield keyed.key, "is older than all that is known, on a page that shows more of its past"
        elif at is not None and _LONG_AGO < now - at < _BEYOND_BELIEF:
            yield keyed.key, "is older than all that is known, and was published long ago"


def _another_page(known: Known, found: Match) -> Iterator[tuple[str, str]]:
    """Gives what is older than everything in the last window, where nothing of that is shown."""
    shown = [_published(known, key) for key in known.window]
    times = [at for at in shown if at is not None]
    if not times or len(times) < len(shown):
        return
    for keyed in found.new:
        at = keyed.entry.published_at
        if at is not None and at < min(times):
            yield keyed.key, "is older than all that the page showed before"


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
    """Gives the new entries that are older than every known one on the page, the newest of them first.

    What stands between known entries is not below, where these are in the order of their times.
    """
    new = {keyed.key for keyed in found.new}
    dated = [each for pair in found.pairs if (each := pair.keyed.entry.published_at)]
    if found.times.are_steady and len(dated) == len(found.pairs):
        outside = new - _between(found.pairs, window)
        older = [(at, keyed) for keyed in found.new if (at := keyed.entry.published_at) and at < min(dated)]
        ranked = sorted(older, key=lambda each: each[0], reverse=True)
        return [keyed for _, keyed in ranked if keyed.key in outside]
    if not _is_newest_first(found.pairs, window):
        return []
    tail: list[Keyed] = []
    for keyed in reversed(window):
        if keyed.key not in new:
            break
        tail.insert(0, keyed)
    return [keyed for keyed in tail if keyed.entry.published_at is None or not found.times.are_steady]


def _between(pairs: Sequence[Pair], window: Sequence[Keyed]) -> frozenset[str]:
    """Gives the keys that stand between the first and the last of the known entries, if these are in order."""
    place = {keyed.key: at for at, keyed in enumerate(window)}
    in_order = sorted(pairs, key=lambda pair: place[pair.keyed.key])
    times = [at for pair in in_order if (at := pair.keyed.entry.published_at) is not None]
    if times not in (sorted(times), sorted(times, reverse=True)):
        return frozenset()
    first, last = (place[pair.keyed.key] for pair in (in_order[0], in_order[-1]))
    return frozenset(keyed.key for keyed in window[first:last])


def _oldest(found: Match, window: Sequence[Keyed]) -> Pair:
    """Gives the oldest known entry on the page: by time, or where those do not tell, the lowest."""
    place = {keyed.key: at for at, keyed in enumerate(window)}
    times = {id(pair): pair.keyed.entry.published_at for pair in found.pairs}
    dated = {key: at for key, at in times.items() if at is not None}
    if found.times.are_steady and len(dated) == len(times):
        return min(found.pairs, key=lambda pair: dated[id(pair)])
    return max(found.pairs, key=lambda pair: place[pair.keyed.key])


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
