"""Entries that are new to us and no news, and their neighbours that are."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from alerts.feeds.compare.decision import Policy
from fakes.blog import START, entry, newest_first, window
from fakes.memory import NOTHING_KNOWN, after, decided, knowing, news, titles

HOUR = timedelta(hours=1)


def part(newest: int, oldest: int, **fields: Any) -> Any:
    return window(*(entry(number, **fields) for number in range(newest, oldest - 1, -1)))


@pytest.mark.parametrize("at", [START - 48 * HOUR, START + timedelta(minutes=3, seconds=30)])
def test_between_known_entries_a_post_is_news_whatever_its_date(at: Any) -> None:
    late = entry(99, published_at=at)
    shown = window(entry(6), entry(5), late, *part(4, 1).entries)
    assert titles(decided(knowing(part(6, 1)), shown, now=START + 3 * HOUR)) == [late.title]


def test_a_date_beyond_belief_is_none() -> None:
    undated = entry(7, published_at=START - timedelta(days=20_000))
    shown = window(undated, *part(6, 1).entries)
    assert titles(decided(knowing(part(6, 1)), shown)) == [undated.title]


@pytest.mark.parametrize("fields", [{}, {"published_at": None}])
def test_a_page_cut_anew_that_reaches_further_back_brings_no_news(fields: dict[str, Any]) -> None:
    soon = START + timedelta(minutes=30)  # too soon for the dates to tell
    first = decided(NOTHING_KNOWN, part(10, 3, **fields), now=soon - HOUR)
    known = after(NOTHING_KNOWN, first, soon - HOUR)
    known = after(known, decided(known, part(12, 9, **fields), now=soon), soon)
    decision = decided(known, part(13, 1, **fields), now=soon)
    assert titles(decision) == [entry(13).title]
    assert len(decision.inserts) == 3


def test_an_older_page_in_place_of_the_first_brings_no_news_and_no_hold() -> None:
    decision = decided(knowing(part(10, 6)), part(5, 1))
    assert not news(decision.inserts)
    assert not decision.hold
    assert titles(decided(after(knowing(part(10, 6)), decision), part(11, 7))) == [entry(11).title]


def test_a_page_of_strangers_is_held_all_the_same() -> None:
    assert decided(knowing(part(5, 1)), part(10, 6)).hold


def test_ten_at_once_on_a_page_that_was_empty_are_held_and_nine_are_not() -> None:
    known = after(NOTHING_KNOWN, decided(NOTHING_KNOWN, window()))
    assert decided(known, newest_first(10), Policy(flood_limit=20)).hold
    assert titles(decided(known, newest_first(9), Policy(flood_limit=20)))


def test_what_came_while_the_blog_moved_is_news() -> None:
    moved_at = START + timedelta(minutes=15)
    meanwhile = entry(9, key="day2-9", published_at=moved_at - timedelta(minutes=2))
    before = entry(8, key="day2-8", published_at=moved_at - timedelta(minutes=12))
    parallel = entry(7, key="day2-7", published_at=START + timedelta(minutes=5))
    known = replace(knowing(newest_first(6)), moved_at=moved_at)
    assert titles(decided(known, window(meanwhile, before, parallel), now=moved_at)) == [meanwhile.title]


def test_two_whole_stories_under_one_id_and_time_are_two() -> None:
    one = entry(7, title="Parrots in a container", text="Forty grey birds travelled between bags of coffee.")
    other = replace(one, title="Fog in the basin", text="Ships wait outside until a pilot calls them in.")
    known = knowing(newest_first(6))
    decision = decided(known, window(one, other, *newest_first(6).entries))
    assert sorted(titles(decision)) == sorted([one.title, other.title])
    again = decided(after(known, decision), window(other, one, *newest_first(6).entries))
    assert not again.inserts


def test_a_holding_line_beside_the_whole_is_one_entry() -> None:
    line = entry(7, title="Ferry", text="More follows.")
    decision = decided(knowing(newest_first(6)), window(line, entry(7), *newest_first(6).entries))
    assert len(decision.inserts) == 1


def test_a_teaser_beside_the_whole_is_told_once() -> None:
    whole = entry(7)
    teaser = replace(whole, key="latest", url="", text=f"{whole.text[:45]}\u2026")
    shown = window(teaser, whole, *newest_first(6).entries)
    known = knowing(newest_first(6))
    decision = decided(known, shown)
    assert titles(decision) == [whole.title]
    assert not decided(after(known, decision), shown).changes


@pytest.mark.parametrize(
    "changes",
    [
        {
            "title": "Nobody at the counters",
            "text": "Passengers sleep on their suitcases at pier nine, and sing\u2026",
        },
        {"text": "Wait\u2026"},
        {"text": "A wholly different beginning of a text that is long enough\u2026"},
    ],
)
def test_what_only_looks_like_a_teaser_is_news(changes: dict[str, Any]) -> None:
    whole = entry(7)
    cut = replace(whole, key="other", url="", text=f"{whole.text[:45]}\u2026", published_at=None)
    other = replace(cut, **changes)
    shown = window(other, whole, *newest_first(6).entries)
    assert sorted(titles(decided(knowing(newest_first(6)), shown))) == sorted([other.title, whole.title])
