"""What a window means: the examples that mailed too much elsewhere, and the promises for any window."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alerts.feeds.compare import identity
from alerts.feeds.compare.decision import Policy
from alerts.feeds.compare.identity import Health, Rule
from alerts.feeds.compare.known import MAX_REVISIONS
from alerts.feeds.formats import FeedEntry, ParsedFeed
from fakes.blog import START, URL, entry, newest_first, window, words
from fakes.memory import NOTHING_KNOWN, after, decided, knowing, titles


def plain(number: int, **fields: Any) -> FeedEntry:
    """An entry of a feed without ids and URLs."""
    return entry(number, **{"key": None, "url": ""} | fields)


# First contact


def test_the_first_window_is_a_baseline_however_large() -> None:
    decision = decided(NOTHING_KNOWN, newest_first(50))
    assert decision.is_baseline
    assert not decision.hold
    assert titles(decision)[0] == entry(1).title
    assert len(decision.inserts) == 50


def test_an_empty_first_window_is_a_baseline_too() -> None:
    known = knowing(window())
    assert known.is_baselined
    decision = decided(known, newest_first(2))
    assert titles(decision) == [entry(1).title, entry(2).title]
    assert not decision.is_baseline
    assert decision.identity.rule == Rule.ID


# New


def test_new_entries_come_oldest_first() -> None:
    decision = decided(knowing(newest_first(2)), newest_first(5))
    assert titles(decision) == [entry(3).title, entry(4).title, entry(5).title]


def test_without_times_the_newest_is_taken_to_stand_first() -> None:
    undated = [entry(number, published_at=None) for number in (4, 3, 2, 1)]
    decision = decided(knowing(window(*undated[2:])), window(*undated))
    assert titles(decision) == [entry(3).title, entry(4).title]


@pytest.mark.parametrize("published_at", [START + timedelta(days=400), START + timedelta(seconds=90), None])
def test_no_date_keeps_an_entry_from_being_new(published_at: datetime | None) -> None:
    dated = entry(9, published_at=published_at)
    decision = decided(knowing(newest_first(3)), window(*newest_first(3).entries, dated))
    assert titles(decision) == [dated.title]


def test_two_reporters_on_one_event_are_two_entries() -> None:
    first, second = entry(3, text="The ferry is in."), entry(4, text="Here comes the ferry.")
    decision = decided(knowing(newest_first(2)), window(second, first, *newest_first(2).entries))
    assert len(decision.inserts) == 2


def test_an_entry_without_words_waits_until_it_has_some() -> None:
    known = knowing(newest_first(2))
    picture = entry(3, title="", text="")
    first = decided(known, window(picture, *newest_first(2).entries))
    assert not first.changes
    assert first.ignored[0].why == "has no words yet"
    assert titles(decided(after(known, first), newest_first(3))) == [entry(3).title]


# The same


def test_a_pinned_copy_is_no_entry() -> None:
    known = knowing(newest_first(3))
    assert not decided(known, window(entry(1), *newest_first(3).entries)).changes
    copy = entry(1, key="pinned-1", url=f"{URL}#pinned-1")
    decision = decided(known, window(copy, *newest_first(3).entries))
    assert not decision.changes
    assert decision.ignored[0].why == "a copy of another entry on the page"


def test_a_few_words_said_again_are_news() -> None:
    goal, again = entry(3, title="Goal!", text=""), entry(8, title="Goal!", text="")
    known = knowing(window(goal, *newest_first(2).entries))
    assert titles(decided(known, window(again, goal, *newest_first(2).entries))) == ["Goal!"]
    assert titles(decided(known, window(again, *newest_first(2).entries))) == ["Goal!"]


def test_absence_is_not_deletion_and_return_is_not_news() -> None:
    known = knowing(newest_first(6))
    gone = decided(known, newest_first(4))
    assert not gone.changes
    assert not decided(after(known, gone), newest_first(6)).changes


def test_empty_then_full_changes_nothing() -> None:
    known = knowing(newest_first(6))
    empty = decided(known, window())
    assert not empty.changes
    assert not decided(after(known, empty), newest_first(6)).changes


def test_a_redated_entry_is_the_same() -> None:
    moved = entry(1, published_at=START + timedelta(hours=5))
    assert not decided(knowing(newest_first(3)), window(moved, entry(3), entry(2))).changes


# Edited


def test_an_edit_is_a_revision_and_nothing_else() -> None:
    edited = entry(2, text="The tug was seen, and then it was not.")
    decision = decided(knowing(newest_first(3)), window(entry(3), edited, entry(1)))
    assert [(edit.key, edit.number) for edit in decision.revisions] == [("post-2x", 2)]
    assert not decision.inserts


def test_a_text_that_never_rests_is_followed_only_so_far() -> None:
    known = knowing(newest_first(2))
    for turn in range(MAX_REVISIONS + 5):
        decision = decided(known, window(entry(2, text=f"Visitors: {turn}"), entry(1)))
        known = after(known, decision)
    assert not decision.changes
    assert known.entries["post-2x"].revision == MAX_REVISIONS


def test_the_later_of_two_versions_on_one_page_counts() -> None:
    stale, mended = (
        entry(2, updated_at=START),
        entry(2, text="Mended.", updated_at=START + timedelta(hours=1)),
    )
    known = knowing(newest_first(2))
    for shown in ((stale, mended), (mended, stale)):
        decision = decided(known, window(*shown, entry(1)))
        assert [edit.entry.text for edit in decision.revisions] == ["Mended."]


def test_without_ids_a_mended_typo_is_an_edit() -> None:
    known = knowing(window(*(plain(number) for number in (3, 2, 1))))
    mended = plain(2, text=words(2).replace("seen", "sighted"))
    decision = decided(known, window(plain(4), plain(3), mended, plain(1)))
    assert [edit.entry.text for edit in decision.revisions] == [mended.text]
    assert titles(decision) == [plain(4).title]


def test_without_ids_another_post_under_the_same_headline_is_new() -> None:
    known = knowing(window(*(plain(number, title="At a glance") for number in (3, 2, 1))))
    decision = decided(known, window(*(plain(number, title="At a glance") for number in (4, 3, 2))))
    assert len(decision.inserts) == 1
    assert not decision.revisions


# Ids that lie


def test_new_ids_on_known_texts_are_relinked_not_mailed() -> None:
    renamed = [entry(number, key=f"new-{number}x", url=f"{URL}#new-{number}x") for number in (4, 3, 2, 1)]
    decision = decided(knowing(newest_first(3)), window(*renamed))
    assert sorted(relink.new_key for relink in decision.relinks) == ["new-1x", "new-2x", "new-3x"]
    assert titles(decision) == [entry(4).title]
    assert not decision.hold


@pytest.mark.parametrize("scheme", ["http://", "http://www.", "https://www."])
def test_a_flip_of_scheme_or_www_is_nothing(scheme: str) -> None:
    def at(base: str) -> ParsedFeed:
        return window(*(entry(number, key=f"{base}news.example/{number}x") for number in (3, 2, 1)))

    assert not decided(knowing(at("https://")), at(scheme)).changes


def positional(*numbers: int) -> ParsedFeed:
    """A window whose ids count from the top."""
    return window(
        *(
            entry(number, key=f"live-{place}x", url=f"{URL}#live-{place}x")
            for place, number in enumerate(numbers, start=1)
        )
    )


@pytest.mark.parametrize("size", [1, 2, 5])
def test_ids_that_turn_out_to_be_positions_are_given_up(size: int) -> None:
    numbers = list(range(size, 0, -1))
    known = knowing(positional(*numbers))
    assert known.identity.rule == Rule.ID
    decision = decided(known, positional(size + 1, *numbers))
    assert (decision.identity.rule, decision.identity.health) == (Rule.TEXT, Health.DEGRADED)
    assert "moved to other keys" in decision.identity.why
    assert titles(decision) == [entry(size + 1).title]
    assert not decision.revisions
    known = after(known, decision)
    later = decided(known, positional(size + 2, size + 1, *numbers))
    assert titles(later) == [entry(size + 2).title]
    assert later.identity == known.identity


def test_words_give_way_to_ids_that_come_later() -> None:
    known = knowing(window(plain(2), plain(1)))
    decision = decided(known, newest_first(3))
    assert decision.identity.rule == Rule.ID
    assert titles(decision) == [entry(3).title]
    assert len(decision.relinks) == 2


def test_a_halved_window_proves_nothing_against_a_rule() -> None:
    known = knowing(newest_first(9))
    damaged = window(entry(20, key=None, url=""), entry(9, key=None))
    assert decided(known, damaged).identity == known.identity


# The flood guard


def test_more_than_the_limit_at_once_is_held() -> None:
    decision = decided(knowing(newest_first(3)), newest_first(9))
    assert decision.hold == "6 new entries in one poll, and the limit is 5"
    assert len(decision.inserts) == 6
    assert not decided(knowing(newest_first(3)), newest_first(8)).hold


def test_a_page_of_strangers_is_held() -> None:
    strangers = window(*(entry(number) for number in (33, 32, 31)))
    decision = decided(knowing(newest_first(3)), strangers)
    assert decision.hold == "3 new entries and not one that was known"


# Key events


def test_a_word_of_the_rule_makes_a_key_event() -> None:
    policy = Policy(key_words=("breaking", "Grand Fête"))
    for title, expected in [
        ("BREAKING: the ferry", True),
        ("the grand fête begins", True),
        ("Heartbreaking news", None),
        ("A breakingpoint", None),
    ]:
        decision = decided(NOTHING_KNOWN, window(entry(1, title=title)), policy)
        assert decision.inserts[0].is_key_event is expected, title
        assert decision.inserts[0].key_event_by == ("words" if expected else "")


def test_the_feeds_own_word_comes_first() -> None:
    marked = entry(1, title="Breaking", is_key_event=True, key_event_by="block")
    decision = decided(NOTHING_KNOWN, window(marked), Policy(key_words=("breaking",)))
    assert decision.inserts[0].key_event_by == "block"


def test_a_late_mark_is_noticed_once() -> None:
    known = knowing(newest_first(3))
    marked = window(entry(3), entry(2, is_key_event=True, key_event_by="block"), entry(1))
    decision = decided(known, marked)
    assert [(mark.key, mark.by, mark.is_news) for mark in decision.key_marks] == [("post-2x", "block", True)]
    assert not decided(after(known, decision), marked).changes


def test_a_mark_taken_back_changes_nothing() -> None:
    known = knowing(window(entry(1, is_key_event=True)))
    assert not decided(known, window(entry(1, is_key_event=False))).changes


def test_many_late_marks_at_once_are_a_template_not_news() -> None:
    marked = window(*(replace(each, is_key_event=True) for each in newest_first(9).entries))
    marks = decided(knowing(newest_first(9)), marked).key_marks
    assert len(marks) == 9
    assert not any(mark.is_news for mark in marks)


# For any window

NUMBERS = st.lists(st.integers(1, 12), max_size=12)
SHAPES = st.sampled_from(["ids", "urls", "words", "positions"])
STEADY = SHAPES.filter(lambda shape: shape != "positions")


def shaped(numbers: Sequence[int], shape: str) -> ParsedFeed:
    shapes: dict[str, Callable[[int, int], FeedEntry]] = {
        "ids": lambda number, _: entry(number),
        "urls": lambda number, _: entry(number, key=None),
        "words": lambda number, _: plain(number),
        "positions": lambda number, place: entry(number, key=f"post{place}", url=""),
    }
    return window(*(shapes[shape](number, place) for place, number in enumerate(numbers, start=1)))


@given(st.lists(NUMBERS, min_size=1, max_size=4), SHAPES)
def test_the_same_window_again_changes_nothing(windows: list[list[int]], shape: str) -> None:
    known = NOTHING_KNOWN
    for numbers in windows:
        parsed = shaped(numbers, shape)
        known = after(known, decided(known, parsed))
        again = decided(known, parsed)
        assert not again.changes
        assert again.identity == known.identity


@given(NUMBERS, STEADY, st.data())
def test_parts_of_a_known_window_in_any_order_change_nothing(
    numbers: list[int], shape: str, data: st.DataObject
) -> None:
    known = knowing(shaped(numbers, shape))
    order = data.draw(st.permutations(numbers))
    part = order[: data.draw(st.integers(0, len(order)))]
    decision = decided(known, shaped(part, shape))
    assert not decision.changes
    assert decision.identity == known.identity


@given(st.lists(NUMBERS, min_size=1, max_size=5), STEADY)
def test_no_text_is_announced_twice(windows: list[list[int]], shape: str) -> None:
    known, announced = NOTHING_KNOWN, set[str]()
    for numbers in windows:
        decision = decided(known, shaped(numbers, shape))
        prints = {identity.fingerprint(insert.entry) for insert in decision.inserts}
        assert len(prints) == len(decision.inserts)
        assert not prints & announced
        announced |= prints
        known = after(known, decision)


@given(st.integers(1, 6), st.lists(st.integers(0, 3), max_size=8), st.sampled_from(["post{}", "live-{}x"]))
def test_a_blog_whose_ids_are_positions_announces_each_post_once(
    size: int, arrivals: list[int], pattern: str
) -> None:
    known = NOTHING_KNOWN
    announced: list[str] = []
    for arrived in [0, *arrivals]:
        size += arrived
        posts = [
            entry(number, key=pattern.format(place), url="")
            for place, number in enumerate(range(size, 0, -1), start=1)
        ]
        decision = decided(known, window(*posts), Policy(flood_limit=50))
        announced += titles(decision)
        known = after(known, decision)
    assert announced == [entry(number).title for number in range(1, size + 1)]


@given(st.lists(NUMBERS, min_size=2, max_size=5), STEADY)
def test_nothing_shown_is_lost(windows: list[list[int]], shape: str) -> None:
    known, shown = NOTHING_KNOWN, set[str]()
    for numbers in windows:
        parsed = shaped(numbers, shape)
        shown |= {identity.fingerprint(each) for each in parsed.entries}
        known = after(known, decided(known, parsed))
    assert shown == {each.fingerprint for each in known.entries.values()}
