"""When a live blog counts as ended, sign by sign."""

from datetime import datetime, timedelta

import pytest

from alerts.feeds import endings
from build import NOW

H = timedelta(hours=1)


def after_window(
    ended_at: datetime | None = None,
    *,
    says_ended: bool = False,
    has_news: bool = False,
    coverage_end: datetime | None = None,
    quiet_for: timedelta = timedelta(0),
) -> datetime | None:
    return endings.after_window(
        ended_at,
        NOW,
        says_ended=says_ended,
        has_news=has_news,
        coverage_end=coverage_end,
        stirred_at=NOW - quiet_for,
    )


def test_the_pages_own_word_counts_at_once_and_news_begin_the_end_anew() -> None:
    assert after_window(says_ended=True) == NOW
    assert after_window(NOW - H, says_ended=True) == NOW - H
    assert after_window(NOW - H, says_ended=True, has_news=True) == NOW


def test_news_after_the_end_revive_a_blog() -> None:
    assert after_window(NOW - H, has_news=True, coverage_end=NOW - 9 * H) is None


@pytest.mark.parametrize(
    ("coverage_end", "quiet_for", "is_over"),
    [
        (NOW + 24 * H, 9 * H, False),  # moved on at each post
        (NOW - 9 * H, H, False),  # the start and a minute
        (NOW - H, 6 * H, True),
        (None, 99 * H, False),  # RSS: goes quiet, and does not end
    ],
)
def test_the_pages_dates_count_only_with_hours_of_silence(
    coverage_end: datetime | None, quiet_for: timedelta, is_over: bool
) -> None:
    expected = NOW if is_over else None
    assert after_window(coverage_end=coverage_end, quiet_for=quiet_for) == expected
    silent = endings.after_silence(None, NOW, coverage_end=coverage_end, stirred_at=NOW - quiet_for)
    assert silent == expected


def test_silence_ends_no_end() -> None:
    assert endings.after_silence(NOW - H, NOW, coverage_end=None, stirred_at=NOW) == NOW - H


@pytest.mark.parametrize(
    ("is_live_blog", "failures", "failing_for", "is_over"),
    [(True, 3, H, True), (True, 2, H, False), (True, 9, 0.9 * H, False), (False, 9, 9 * H, False)],
)
def test_a_live_blogs_page_that_stays_an_article_has_ended(
    is_live_blog: bool, failures: int, failing_for: timedelta, is_over: bool
) -> None:
    ended_at = endings.after_no_feed(
        None, NOW, is_live_blog=is_live_blog, failures=failures, failing_since=NOW - failing_for
    )
    assert ended_at == (NOW if is_over else None)
