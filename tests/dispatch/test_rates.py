"""The arithmetic of rates: no stretch of time has more mails than fit it and one burst, and none is wasted."""

from datetime import datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from alerts.dispatch.rates import Rate
from build import NOW

SECOND = timedelta(seconds=1)
RATES = st.floats(min_value=0.05, max_value=50_000).map(Rate) | st.integers(1, 1000).map(Rate)
STEPS = st.lists(
    st.tuples(st.floats(0, 5).map(lambda seconds: timedelta(seconds=seconds)), st.integers(0, 500)),
    max_size=40,
)


def burst_seconds(rate: Rate) -> float:
    return rate.burst / rate.a_second


@given(RATES, STEPS)
def test_no_stretch_of_time_has_more_than_its_share_and_one_burst(
    rate: Rate, steps: list[tuple[timedelta, int]]
) -> None:
    """Each step may be of another process, or after a restart: all that is kept is one moment."""
    spent_to, now = NOW - timedelta(days=1), NOW
    left: list[tuple[datetime, int]] = []
    for pause, wanted in steps:
        now += pause
        mails = min(wanted, rate.ready(spent_to, now))
        if mails:
            spent_to = rate.spend(spent_to, mails, now)
            left.append((now, mails))
        assert spent_to <= now
    for first, (start, _) in enumerate(left):
        total = 0
        for end, mails in left[first:]:
            total += mails
            assert total <= rate.a_second * ((end - start).total_seconds() + burst_seconds(rate)) + 1e-3


@given(RATES, st.integers(1, 500))
def test_whoever_comes_when_told_gets_what_they_came_for(rate: Rate, mails: int) -> None:
    mails = min(mails, rate.burst)
    spent_to = rate.spend(NOW - timedelta(days=1), rate.burst, NOW)
    at = rate.when(spent_to, mails, NOW)
    assert rate.ready(spent_to, at) >= mails
    assert (at - NOW).total_seconds() <= mails / rate.a_second + 1e-3


@given(RATES)
def test_who_comes_often_enough_uses_the_rate_in_full(rate: Rate) -> None:
    spent_to, now, sent = NOW, NOW, 0
    for _ in range(100):
        now += burst_seconds(rate) / 2 * SECOND + timedelta(microseconds=2)
        ready = rate.ready(spent_to, now)
        if ready:
            spent_to = rate.spend(spent_to, ready, now)
            sent += ready
    fits = rate.a_second * (now - NOW).total_seconds()
    assert fits * (1 - 1e-3) - 2 <= sent <= fits + 1e-3


@given(RATES, st.integers(0, 50), st.lists(st.integers(1, 2000), max_size=30))
def test_turns_are_given_two_seconds_ahead_and_each_is_ready_when_it_comes(
    rate: Rate, promised: int, waiting: list[int]
) -> None:
    spent_to = NOW - SECOND / 2
    turns = rate.turns(spent_to, NOW, NOW + 2 * SECOND, promised, waiting)
    assert len(turns) <= len(waiting)
    assert [at for _, at in turns] == sorted(at for _, at in turns)
    if promised:  # they are used first
        spent_to = spent_to + timedelta(microseconds=-(-promised * 1_000_000 // rate.a_second))
    for (mails, at), readers in zip(turns, waiting, strict=False):
        assert 1 <= mails <= min(readers, rate.burst)
        assert rate.ready(spent_to, at) >= min(mails, rate.burst) or at > NOW + 2 * SECOND
        spent_to = rate.spend(spent_to, mails, at)
    if len(turns) < len(waiting):
        assert spent_to >= NOW + 2 * SECOND - timedelta(seconds=burst_seconds(rate))


def test_a_clock_that_was_set_back_does_not_stop_the_mails() -> None:
    rate = Rate(10)
    assert rate.ready(NOW + timedelta(hours=3), NOW) == 0
    spent_to = rate.spend(NOW + timedelta(hours=3), 0, NOW)
    assert rate.ready(spent_to, NOW + SECOND) == 10


def test_a_rate_below_one_a_second_lets_one_mail_through_at_a_time() -> None:
    rate = Rate(0.1)
    assert (rate.burst, rate.ready(NOW - timedelta(days=1), NOW)) == (1, 1)
    spent_to = rate.spend(NOW - timedelta(days=1), 1, NOW)
    assert rate.when(spent_to, 1, NOW) == NOW + timedelta(seconds=10)
