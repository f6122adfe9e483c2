"""When a feed is polled ahead of its schedule, because its hub said that there is news. Pure.

The word often comes before the page shows the news: a cache in between, or a publisher who tells first. So a
poll that finds nothing is followed by a few more. And it may come in the middle of a poll, which then may have
looked too early: the wish is kept in the feed's row, where that poll cannot overwrite it.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

_ONCE_A = timedelta(seconds=1)  # a hub that talks without end makes us poll no oftener
_AGAIN_AFTER = (timedelta(seconds=1), timedelta(seconds=3), timedelta(seconds=10))


@dataclass(frozen=True, slots=True)
class Haste:
    """Since when a feed's news is looked for, None when it is not, and how many polls have looked in vain."""

    since: datetime | None = None
    polls: int = 0


def on_word(last_hastened_to: datetime | None, now: datetime) -> datetime:
    """Gives when a feed is polled whose hub speaks of news now: at once, but once a second at most."""
    return now if last_hastened_to is None else max(now, last_hastened_to + _ONCE_A)


def after_poll(
    haste: Haste, begun_at: datetime, now: datetime, *, found_news: bool
) -> tuple[Haste, datetime | None]:
    """Gives what is left of the haste after a poll begun at `begun_at`, and when to look again, if soon."""
    if haste.since is None:
        return haste, None
    if haste.since > begun_at:
        return haste, max(now, begun_at + _ONCE_A)
    if found_news or haste.polls >= len(_AGAIN_AFTER):
        return Haste(), None
    return Haste(haste.since, haste.polls + 1), now + _AGAIN_AFTER[haste.polls]
