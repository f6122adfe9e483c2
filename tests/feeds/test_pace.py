"""A host's turns: a few at once, then so many a second, whatever the order they are asked in."""

from hypothesis import given
from hypothesis import strategies as st

from alerts.feeds.fetch.pace import Pace


def test_lets_a_few_go_at_once_and_then_keeps_the_rate() -> None:
    pace = Pace(rate=2, burst=3)
    assert [pace.take("a", 100.0) for _ in range(6)] == [0, 0, 0, 0.5, 1.0, 1.5]


def test_hosts_do_not_wait_for_each_other() -> None:
    pace = Pace(rate=1, burst=1)
    assert [pace.take("a", 0), pace.take("b", 0), pace.take("a", 0)] == [0, 0, 1]


def test_a_host_that_rested_has_its_few_again_and_no_more() -> None:
    pace = Pace(rate=1, burst=2)
    assert [pace.take("a", 0) for _ in range(3)] == [0, 0, 1]
    assert [pace.take("a", 1000) for _ in range(3)] == [0, 0, 1]


@given(
    gaps=st.lists(st.floats(0, 3), min_size=1, max_size=60),
    rate=st.floats(0.1, 50),
    burst=st.integers(1, 6),
)
def test_no_more_than_the_burst_and_the_rate_in_any_time(gaps: list[float], rate: float, burst: int) -> None:
    pace, at, goes = Pace(rate, burst), 0.0, []
    for gap in gaps:
        at += gap
        goes.append(at + pace.take("a", at))
    assert goes == sorted(goes)
    for first, start in enumerate(goes):
        for last in range(first, len(goes)):
            assert last - first + 1 <= burst + (goes[last] - start) * rate + 1e-6


def test_hosts_that_rest_are_forgotten() -> None:
    pace = Pace(rate=1)
    for each in range(5_000):
        pace.take(f"host{each}", float(each * 10))
    assert len(pace._full_at) < 1_100
