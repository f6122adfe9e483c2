"""When a feed is looked at next: what holds for all feeds, and the rules one by one."""

from collections import Counter
from dataclasses import replace
from datetime import timedelta
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alerts.feeds.schedule import (
    CATCH_UP_HOST_RATE,
    FEW,
    JITTER,
    LONGEST_BACKOFF,
    Facts,
    Overdue,
    Rhythm,
    schedule,
    spread,
    words,
)
from build import NOW

S, M, H, D = (timedelta(**{unit: 1}) for unit in ("seconds", "minutes", "hours", "days"))
RHYTHM = Rhythm(5 * M, H, D)
LIVE = Facts(interval=20 * S, stirred_at=NOW)

lengths = st.timedeltas(S, 2 * D)
rhythms = st.builds(Rhythm, lengths, lengths, lengths)
facts = st.builds(
    Facts,
    interval=lengths,
    stirred_at=st.timedeltas(timedelta(0), 9 * D).map(lambda ago: NOW - ago),
    is_followed=st.booleans(),
    ended_at=st.none() | st.timedeltas(timedelta(0), 9 * D).map(lambda ago: NOW - ago),
    failures=st.integers(0, 10_000),
    retry_after=st.none() | lengths,
    refresh=st.none() | lengths,
    work=st.timedeltas(timedelta(0), 60 * S),
    must_not_rest=st.booleans(),
)


@given(facts, rhythms, st.randoms(use_true_random=False))
def test_no_feed_is_asked_oftener_than_its_interval_less_a_fifth_or_than_its_server_allows(
    feed: Facts, rhythm: Rhythm, random: Random
) -> None:
    wait = schedule(feed, NOW, rhythm).jittered(random)
    if wait is not None:
        assert wait >= feed.interval * (1 - JITTER)
        assert not feed.failures or wait >= (feed.retry_after or S)
        assert wait >= 50 * feed.work * (1 - JITTER), "a fiftieth of a processor"


@given(facts, rhythms, st.randoms(use_true_random=False))
def test_no_feed_is_forgotten_but_one_that_has_ended(feed: Facts, rhythm: Rhythm, random: Random) -> None:
    wait = schedule(feed, NOW, rhythm).jittered(random)
    if wait is None:
        assert feed.ended_at is not None
        assert NOW - feed.ended_at >= rhythm.rest_after
        assert not feed.must_not_rest
    else:
        longest = max(feed.interval, rhythm.quiet_interval, rhythm.ended_interval, LONGEST_BACKOFF)
        assert wait <= max(longest * (1 + JITTER), feed.retry_after or S, 50 * feed.work * (1 + JITTER))


@given(facts, rhythms, st.timedeltas(timedelta(0), 3 * D))
def test_the_longer_it_is_quiet_or_fails_the_longer_it_waits(
    feed: Facts, rhythm: Rhythm, longer: timedelta
) -> None:
    def wait(of: Facts) -> timedelta:
        return schedule(of, NOW, rhythm).wait or 99 * D

    assert wait(replace(feed, stirred_at=feed.stirred_at - longer)) >= wait(feed)
    assert wait(replace(feed, failures=feed.failures + 1)) >= wait(feed)
    assert wait(replace(feed, is_followed=False)) >= wait(replace(feed, is_followed=True))


@pytest.mark.parametrize(
    ("feed", "wait", "why"),
    [
        (LIVE, 20 * S, "live"),
        (replace(LIVE, stirred_at=NOW - 59 * M), 20 * S, "live"),
        (replace(LIVE, stirred_at=NOW - H), 40 * S, "quiet for 1 h"),
        (replace(LIVE, stirred_at=NOW - 2 * H), 5 * M, "quiet for 2 h"),
        (replace(LIVE, stirred_at=NOW - 2 * H, interval=10 * M), 10 * M, "quiet for 2 h"),
        (replace(LIVE, is_followed=False), 5 * M, "nobody follows it"),
        (replace(LIVE, is_followed=False, refresh=30 * M), 30 * M, "nobody follows it"),
        (replace(LIVE, is_followed=False, refresh=9 * D), H, "nobody follows it"),
        (replace(LIVE, refresh=30 * M), 20 * S, "live"),
        (replace(LIVE, stirred_at=NOW - D, refresh=30 * M), 5 * M, "quiet for 1 d"),
        (replace(LIVE, ended_at=NOW - H), H, "ended"),
        (replace(LIVE, ended_at=NOW - D), None, "ended, and quiet for 1 d since"),
        (replace(LIVE, ended_at=NOW - D, must_not_rest=True), H, "ended"),
        (replace(LIVE, failures=1), 40 * S, "failed once"),
        (replace(LIVE, failures=3), 160 * S, "failed 3 times in a row"),
        (replace(LIVE, failures=99), 15 * M, "failed 99 times in a row"),
        (replace(LIVE, failures=99, interval=H), H, "failed 99 times in a row"),
        (
            replace(LIVE, failures=2, retry_after=H),
            80 * S,
            "failed 2 times in a row, and the server asks for 1 h",
        ),
        (replace(LIVE, work=0.2 * S), 20 * S, "live"),
        (replace(LIVE, work=0.5 * S), 25 * S, "live, and hard to read"),
        (replace(LIVE, work=10 * S, failures=1), 500 * S, "failed once, and hard to read"),
        (replace(LIVE, work=10 * S, ended_at=NOW - D), None, "ended, and quiet for 1 d since"),
    ],
)
def test_the_rules(feed: Facts, wait: timedelta | None, why: str) -> None:
    found = schedule(feed, NOW, RHYTHM)
    assert (found.wait, found.why) == (wait, why)


def test_what_the_server_asks_for_is_waited_for_whatever_the_jitter() -> None:
    found = schedule(replace(LIVE, failures=1, retry_after=H), NOW, RHYTHM)
    assert found.jittered(Random(1)) == H


overdue = st.lists(st.builds(Overdue, lengths, st.sampled_from(["one", "two", "three"])), max_size=60)


@given(overdue, st.randoms(use_true_random=False))
def test_nothing_that_was_missed_waits_longer_than_usual(feeds: list[Overdue], random: Random) -> None:
    delays = spread(feeds, random)
    assert all(timedelta(0) <= delay <= feed.wait for delay, feed in zip(delays, feeds, strict=True))
    assert len(feeds) > FEW or not any(delays)


def test_what_was_missed_is_spread_over_time_and_hosts() -> None:
    feeds = [Overdue(5 * M, f"host-{number % 100}") for number in range(500)]
    delays = spread(feeds, Random(1))
    per_second = Counter(int(delay.total_seconds()) for delay in delays)
    assert max(delays) <= 50 * S
    assert max(per_second.values()) <= 60, "the first ones are spread over little"
    of_one_host = spread([Overdue(5 * M, "host")] * 100, Random(1))
    assert max(of_one_host) <= timedelta(seconds=100 / CATCH_UP_HOST_RATE)
    assert max(of_one_host) > 20 * S


def test_one_live_feed_is_not_kept_waiting_by_a_thousand_quiet_ones() -> None:
    feeds = [Overdue(H, f"host-{number}") for number in range(999)]
    delays = spread([*feeds, Overdue(20 * S, "live")], Random(1))
    assert delays[-1] <= S


@pytest.mark.parametrize(
    ("length", "said"),
    [
        (20 * S, "20 s"),
        (119 * S, "119 s"),
        (M, "1 min"),
        (5 * M, "5 min"),
        (90 * M, "90 min"),
        (2 * D, "2 d"),
    ],
)
def test_lengths_in_words(length: timedelta, said: str) -> None:
    assert words(length) == said
