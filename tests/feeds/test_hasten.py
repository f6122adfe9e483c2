"""A hub's word makes a poll come at once, and again when it was too early, and never without end."""

from datetime import datetime, timedelta
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from alerts.feeds.push.hasten import Haste, after_poll, on_word
from build import NOW

SECOND = timedelta(seconds=1)
LATER = NOW + timedelta(hours=1)


def test_a_word_makes_a_feed_due_at_once() -> None:
    assert on_word(None, NOW) == NOW
    assert on_word(NOW - SECOND * 60, NOW) == NOW


def test_a_poll_that_finds_nothing_is_followed_by_three_more() -> None:
    haste, at, waits = Haste(NOW), NOW, list[float]()
    while (following := after_poll(haste, at, at, found_news=False))[1] is not None:
        haste, soon = following
        assert soon is not None
        waits.append((soon - at).total_seconds())
        at = soon
    assert waits == [1, 3, 10]
    assert following[0] == Haste()


def test_a_poll_that_finds_news_ends_the_haste() -> None:
    assert after_poll(Haste(NOW, 2), LATER, LATER, found_news=True) == (Haste(), None)


def test_a_poll_begun_before_the_word_does_not_count_though_it_found_news() -> None:
    begun, now = NOW - timedelta(milliseconds=300), NOW + timedelta(milliseconds=100)
    for found_news in (False, True):
        haste, soon = after_poll(Haste(NOW), begun, now, found_news=found_news)
        assert haste == Haste(NOW)
        assert soon == begun + SECOND
    assert after_poll(Haste(NOW), begun, LATER, found_news=False)[1] == LATER


def test_without_a_word_nothing_is_hastened() -> None:
    assert after_poll(Haste(), NOW, NOW, found_news=False) == (Haste(), None)


@given(st.lists(st.integers(0, 3_000), min_size=1, max_size=60))
def test_a_hub_that_talks_without_end_is_heard_once_a_second(gaps: list[int]) -> None:
    now, due = NOW, list[datetime]()
    for gap in gaps:
        now += timedelta(milliseconds=gap)
        soonest = on_word(due[-1] if due else None, now)
        if not due or due[-1] <= now:  # polled: the next word brings another poll
            due.append(soonest)
    assert all(after - before >= SECOND for before, after in pairwise(due))
    assert all(at - now <= SECOND for at in due), "and none is put off for longer than that"
