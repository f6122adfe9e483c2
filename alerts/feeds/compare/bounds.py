"""How much of one document is taken in: a window that no live blog fills, and no bomb bursts. Pure."""

from dataclasses import replace

from alerts.feeds.formats.values import FeedEntry, ParsedFeed

# The longest live blog of our practice pages shows 428 posts; of a longer document the newest are its news.
MOST_ENTRIES = 1_000
_MOST_LETTERS = 2_000_000  # of all entries together
_LONGEST_ENTRY = 400_000
_LONGEST_LINE = 10_000  # of an id, a link or a name
_MOST_WARNINGS = 50


def bounded(parsed: ParsedFeed) -> ParsedFeed:
    """Gives the window that is taken of a document: all of it, or as much as fits, with a warning."""
    kept = _newest(parsed.entries)
    warnings = list(parsed.warnings[:_MOST_WARNINGS])
    if len(kept) < len(parsed.entries):
        warnings.append(f"the document holds {len(parsed.entries)} entries: {len(kept)} of them were read")
    return replace(
        parsed,
        title=parsed.title[:_LONGEST_LINE],
        url=_if_short(parsed.url),
        entries=tuple(kept),
        warnings=tuple(warning[:_LONGEST_LINE] for warning in warnings),
        continues_at=_if_short(parsed.continues_at),
        hub=_if_short(parsed.hub),
        topic_url=_if_short(parsed.topic_url),
        withdrawn=tuple(key for key in parsed.withdrawn[:MOST_ENTRIES] if len(key) <= _LONGEST_LINE),
    )


def _newest(entries: tuple[FeedEntry, ...]) -> list[FeedEntry]:
    """Gives the newest entries that fit, in document order: newest by time if each has one, else those on top."""
    shortened = [short for entry in entries if (short := _shortened(entry)) is not None]
    kept: list[int] = []
    letters = 0
    for number in _order(shortened):
        letters += _letters(shortened[number])
        if len(kept) == MOST_ENTRIES or letters > _MOST_LETTERS:
            break
        kept.append(number)
    return [shortened[number] for number in sorted(kept)]


def _order(entries: list[FeedEntry]) -> list[int]:
    """Gives the numbers of entries, newest first where each names its time, else from the top."""
    times = {number: entry.published_at for number, entry in enumerate(entries)}
    dated = {number: time for number, time in times.items() if time is not None}
    return (
        sorted(times, key=lambda number: dated[number], reverse=True)
        if len(dated) == len(times)
        else list(times)
    )


def _shortened(entry: FeedEntry) -> FeedEntry | None:
    """Gives an entry without what no mail could carry; None where an id or a link alone is a book."""
    if max(len(entry.key or ""), len(entry.url), len(entry.title), len(entry.author)) > _LONGEST_LINE:
        return None
    if _letters(entry) > _LONGEST_ENTRY:
        return replace(entry, text=entry.text[:_LONGEST_ENTRY], html="")
    return entry


def _if_short(link: str) -> str:
    return link if len(link) <= _LONGEST_LINE else ""


def _letters(entry: FeedEntry) -> int:
    return len(entry.text) + len(entry.html) + len(entry.title) + len(entry.key or "") + len(entry.url)
