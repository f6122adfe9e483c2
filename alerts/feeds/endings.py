"""Whether a live blog has ended: pure. A feed that is no live blog goes quiet, and does not end by itself.

`coverageEndTime` lies both ways: some publishers move it a day ahead at each post, others write the start and
a minute. So it counts only together with hours of silence; the page's own word counts at once, and so does a
live blog's page that has become a plain article. Each function gives when the feed was found to have ended,
None while it goes on.
"""

from datetime import datetime, timedelta

SILENT_FOR = timedelta(hours=6)  # with the coverage over by its own date
NO_FEED_FOR = timedelta(hours=1)  # a page that was a live blog and is none any more ...
NO_FEED_TIMES = 3  # ... each time that it was looked at


def after_window(
    ended_at: datetime | None,
    now: datetime,
    *,
    says_ended: bool,
    has_news: bool,
    coverage_end: datetime | None,
    stirred_at: datetime,
) -> datetime | None:
    """Decides after a window was read; news after the end begins a feed anew, unless it says that it is over."""
    if says_ended:
        return now if has_news else ended_at or now
    if has_news or not _is_over(now, coverage_end, stirred_at):
        return None
    return ended_at or now


def after_silence(
    ended_at: datetime | None, now: datetime, *, coverage_end: datetime | None, stirred_at: datetime
) -> datetime | None:
    """Decides after a poll that found nothing changed."""
    return ended_at or (now if _is_over(now, coverage_end, stirred_at) else None)


def after_no_feed(
    ended_at: datetime | None,
    now: datetime,
    *,
    is_live_blog: bool,
    failures: int,
    failing_since: datetime,
) -> datetime | None:
    """Decides after a page was read that holds no feed, `failures` times in a row since `failing_since`."""
    is_over = is_live_blog and failures >= NO_FEED_TIMES and now - failing_since >= NO_FEED_FOR
    return ended_at or (now if is_over else None)


def _is_over(now: datetime, coverage_end: datetime | None, stirred_at: datetime) -> bool:
    return coverage_end is not None and coverage_end <= now and now - stirred_at >= SILENT_FOR
