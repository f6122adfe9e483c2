"""The script of the demo: what is in it, what the page shows when, and who is owed what."""

import re
from collections import Counter
from itertools import pairwise

import pytest

from alerts.demo.script import READERS, STORY, TRAVEL, TRAVEL_WORDS
from alerts.demo.story import (
    EVERYTHING,
    Delete,
    End,
    Follow,
    MarkKey,
    Mend,
    Pin,
    Post,
    Reader,
    Redate,
    Story,
    owed,
    page_at,
)

ADA = Reader("Ada", "ada@readers.example", "all", (Follow(EVERYTHING),))
FLASH = Reader("Bo", "bo@readers.example", "key events", (Follow(EVERYTHING, key_events_only=True),))
TRAVELLER = Reader("Cy", "cy@readers.example", "travel", (Follow("travel"),))
BOTH = Reader(
    "Di", "di@readers.example", "both", (Follow("travel"), Follow(EVERYTHING, key_events_only=True))
)


def post(post_id: str, at: float, *, key: bool = False, about: frozenset[str] = frozenset()) -> Post:
    return Post(post_id, at, f"Title of {post_id}", ("Some words.",), "A Reporter", key, about)


SMALL = Story(
    publisher="The Paper",
    headline="A story",
    standfirst="It goes on.",
    posts=(post("old", -60), post("a", 1), post("b", 2, key=True), post("c", 3, about=frozenset({"travel"}))),
    changes=(
        Mend(4, "a", "Some", "Sme"),
        MarkKey(5, "a"),
        Pin(6, "old"),
        Redate(7, "a"),
        Delete(8, "c"),
        End(9),
    ),
)


def ids(second: float) -> list[str]:
    return [shown.id for shown in page_at(SMALL, second).posts]


def test_page_shows_the_newest_first() -> None:
    assert ids(0) == ["old"]
    assert ids(1) == ["a", "old"]
    assert ids(3.5) == ["c", "b", "a", "old"]


def test_before_the_start_the_page_shows_what_was_there() -> None:
    assert ids(-5) == ["old"]


def test_mended_post_keeps_its_place_and_says_when() -> None:
    shown = page_at(SMALL, 4).posts[2]
    assert (shown.id, shown.paragraphs, shown.published, shown.updated) == ("a", ("Sme words.",), 1, 4)


def test_marked_post_joins_the_key_points() -> None:
    assert [shown.id for shown in page_at(SMALL, 4.9).key_points] == ["b"]
    assert [shown.id for shown in page_at(SMALL, 5).key_points] == ["b", "a"]


def test_pin_is_a_copy() -> None:
    page = page_at(SMALL, 6)
    assert page.pinned == page.posts[-1]


def test_redated_post_moves_up_with_its_words_unchanged() -> None:
    assert ids(7) == ["a", "c", "b", "old"]
    assert page_at(SMALL, 7).posts[0].paragraphs == page_at(SMALL, 6.9).posts[2].paragraphs


def test_deleted_post_leaves_and_the_page_ends() -> None:
    assert ids(8) == ["a", "b", "old"]
    assert page_at(SMALL, 8).ended is None
    assert page_at(SMALL, 9).ended == 9


def test_who_is_owed_what_and_from_when() -> None:
    assert owed(SMALL, [ADA]) == {(ADA.address, "a"): 1, (ADA.address, "b"): 2, (ADA.address, "c"): 3}
    assert owed(SMALL, [FLASH]) == {(FLASH.address, "a"): 5, (FLASH.address, "b"): 2}
    assert owed(SMALL, [TRAVELLER]) == {(TRAVELLER.address, "c"): 3}


def test_two_choices_of_one_reader_make_one_debt_from_the_earlier() -> None:
    story = Story("P", "H", "S", (post("x", 1, about=frozenset({"travel"})),), (MarkKey(2, "x"),))
    assert owed(story, [BOTH]) == {(BOTH.address, "x"): 1}


def test_script_holds_every_turn_a_live_blog_can_take() -> None:
    kinds = Counter(type(change) for change in STORY.changes)
    assert kinds == {Mend: 1, MarkKey: 1, Pin: 1, Redate: 1, Delete: 1, End: 1}
    assert 28 <= len(STORY.posts) <= 34
    assert 3 <= len(STORY.posts) - len(STORY.fresh()) <= 5
    assert any(each.title.startswith("Correction") for each in STORY.fresh())
    assert 50 <= STORY.ends_at <= 65


def test_script_is_told_in_order_and_each_post_once() -> None:
    assert all(earlier.at < later.at for earlier, later in pairwise(STORY.posts))
    assert len({each.id for each in STORY.posts}) == len(STORY.posts)


def test_changes_touch_what_the_page_shows() -> None:
    for change in STORY.changes:
        if isinstance(change, End):
            continue
        before = {shown.id for shown in page_at(STORY, change.at - 0.01).posts}
        assert change.post_id in before


def test_mend_mends() -> None:
    mend = next(change for change in STORY.changes if isinstance(change, Mend))
    wrong = next(shown for shown in page_at(STORY, mend.at - 0.01).posts if shown.id == mend.post_id)
    right = next(shown for shown in page_at(STORY, mend.at).posts if shown.id == mend.post_id)
    assert mend.wrong in wrong.title
    assert wrong.title.replace(mend.wrong, mend.right) == right.title


def test_deleted_post_stood_long_enough_to_be_read() -> None:
    delete = next(change for change in STORY.changes if isinstance(change, Delete))
    assert delete.at - STORY.post(delete.post_id).at >= 6


@pytest.mark.parametrize("pattern", [r"\b({})\b", "({})"], ids=["whole words", "parts of words"])
def test_travel_by_words_is_travel_by_hand(pattern: str) -> None:
    words = re.compile(pattern.format("|".join(TRAVEL_WORDS)), re.IGNORECASE)
    for each in STORY.fresh():
        text = " ".join((each.title, *each.paragraphs))
        assert bool(words.search(text)) == (TRAVEL in each.about), each.id


def test_readers_choices_differ() -> None:
    counts = Counter(address for address, _ in owed(STORY, READERS))
    assert len(set(counts.values())) == len(READERS) == 3
    assert min(counts.values()) >= 4
