"""What publishers do to their pages between two polls, as examples for the pure comparison."""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from alerts.feeds.compare.decision import Policy
from alerts.feeds.compare.identity import Health, Name, Rule
from alerts.feeds.compare.known import MAX_REVISIONS
from alerts.feeds.formats import FeedEntry
from fakes.blog import START, URL, entry, newest_first, window, words
from fakes.memory import NOW, after, decided, knowing, news, titles

HOUR = timedelta(hours=1)
KNOWN = newest_first(6)


def reasons(decision: Any) -> list[str]:
    return [insert.history for insert in decision.inserts if insert.history]


# Names that change


def test_a_slug_and_a_headline_corrected_together_are_an_edit() -> None:
    wrong = entry(7, key=f"{URL}/7-feryr-late", url=f"{URL}/7-feryr-late", title="Feryr late")
    right = replace(wrong, key=f"{URL}/7-ferry-late", url=f"{URL}/7-ferry-late", title="Ferry late")
    decision = decided(knowing(window(wrong, *KNOWN.entries)), window(right, *KNOWN.entries))
    assert not decision.inserts
    assert [edit.entry.title for edit in decision.revisions] == ["Ferry late"]
    assert len(decision.relinks) == 1


def test_a_new_number_under_a_new_id_is_news() -> None:
    before = entry(7, text="More than 57 arrests were made in the old harbour overnight, the police say.")
    now = entry(8, text=before.text.replace("57", "90"), title=before.title)
    decision = decided(knowing(window(before, *KNOWN.entries)), window(now, *KNOWN.entries))
    assert titles(decision) == [now.title]


def test_a_new_id_with_the_known_address_is_the_same_entry() -> None:
    moved = replace(entry(3, text=f"{words(3)} The pilot agrees."), key="another-3")
    shown = [moved if each.title == moved.title else each for each in KNOWN.entries]
    decision = decided(knowing(KNOWN), window(*shown))
    assert not decision.inserts
    assert [edit.number for edit in decision.revisions] == [2]


def test_push_and_poll_may_show_different_ids() -> None:
    pushed = window(*(replace(each, key=f"tag:{each.key}") for each in KNOWN.entries))
    known = knowing(KNOWN, pushed)
    for shown in (KNOWN, pushed, KNOWN):
        decision = decided(known, shown)
        assert not decision.changes
        known = after(known, decision)
    assert known.identity.health == Health.GOOD


@pytest.mark.parametrize(
    "pattern", ["?sid={turn}a9&id={post}", "?id={post}&lang={turn}", "?id=u{post}__{turn}00"]
)
def test_sessions_languages_and_sort_orders_in_ids_are_found_out(pattern: str) -> None:
    def shown(turn: int, edited: str = "") -> list[FeedEntry]:
        return [
            replace(each, key=URL + pattern.format(turn=turn, post=place), text=each.text + edited, url="")
            for place, each in enumerate(KNOWN.entries)
        ]

    known = knowing(window(*shown(1)))
    for turn in range(2, 9):
        decision = decided(known, window(*shown(turn, edited=f" Edit {turn}." if turn == 5 else "")))
        assert not decision.inserts
        assert not decision.names or turn == 5, "names do not pile up"
        known = after(known, decision)
    assert (known.identity.rule, known.identity.health) == (Rule.ID, Health.GOOD)


def test_a_language_that_tells_entries_apart_is_kept() -> None:
    shown = [
        entry(number, key=f"{URL}?lang={'en' if number % 2 else 'de'}&id={number // 2}")
        for number in (5, 4, 3, 2)
    ]
    known = knowing(window(*shown[1:]))
    assert titles(decided(known, window(*shown))) == [shown[0].title]


def test_ids_that_are_new_at_each_poll_are_given_up_and_the_operator_is_told_once() -> None:
    known, degraded = knowing(KNOWN), []
    for turn in range(6):
        shown = window(*(replace(each, key=f"{turn}-{each.title}", url="") for each in KNOWN.entries))
        decision = decided(known, shown)
        assert not decision.inserts
        degraded += [decision.degraded] if decision.degraded else []
        known = after(known, decision)
    assert len(degraded) == 1
    assert "under new keys at each poll" in degraded[0]
    assert (known.identity.rule, known.identity.health) == (Rule.TEXT, Health.DEGRADED)


def test_a_page_that_shows_everything_twice_breaks_no_rule() -> None:
    twice = window(*KNOWN.entries, *(replace(each, key=f"pin-{each.key}", url="") for each in KNOWN.entries))
    known = knowing(*[twice] * 9)
    assert (known.identity.rule, known.identity.stable) == (Rule.ID, 1.0)
    assert len(known.entries) == 6


def test_one_migration_is_forgiven() -> None:
    renamed = window(*(replace(each, key=f"new-{each.key}", url="") for each in KNOWN.entries))
    known = knowing(KNOWN, renamed, renamed)
    assert (known.identity.rule, known.identity.health) == (Rule.ID, Health.GOOD)
    assert known.identity.stable == pytest.approx(0.79)


# Names that lie


def test_an_id_used_again_for_another_story_is_a_new_entry() -> None:
    known = knowing(KNOWN)
    story = FeedEntry(
        **{
            **{name: getattr(entry(3), name) for name in FeedEntry.__slots__},
            "title": "Council votes for a new market hall",
            "text": "After a long evening, members agreed by one vote that building may begin in spring.",
            "published_at": START + 3 * HOUR,
        }
    )
    shown = window(story, *(each for each in KNOWN.entries if each.key != story.key))
    decision = decided(known, shown, now=NOW + 2 * HOUR)
    assert titles(decision) == [story.title]
    assert not decision.revisions
    known = after(known, decision)
    assert not decided(known, shown).changes
    assert not decided(known, KNOWN).changes, "the old story comes back from an edge: nothing is new"


@pytest.mark.parametrize(
    "fields",
    [
        {"published_at": START + 3 * HOUR},  # the date alone
        {"text": "Nothing of what stood here is left, each word is another one now, and so is this."},
        {"text": f"{words(3)} This was put right.", "published_at": START + 3 * HOUR},
    ],
)
def test_less_than_that_is_an_edit_or_nothing(fields: dict[str, Any]) -> None:
    shown = [replace(each, **fields) if each.key == "post-3x" else each for each in KNOWN.entries]
    assert not decided(knowing(KNOWN), window(*shown)).inserts


def test_one_id_on_two_stories_of_a_page_are_two_entries() -> None:
    twin = entry(8, key="post-6x", title="Council votes", text="Members agreed by one vote on a market hall.")
    known = knowing(KNOWN)
    decision = decided(known, window(twin, *KNOWN.entries))
    assert titles(decision) == ["Council votes"]
    known = after(known, decision)
    for shown in (window(twin, *KNOWN.entries), window(*KNOWN.entries, twin), KNOWN):
        decision = decided(known, shown)
        assert not decision.inserts
        assert not decision.revisions
        known = after(known, decision)


def test_entries_that_share_one_link_are_told_apart_otherwise() -> None:
    def shown(*numbers: int) -> Any:
        return window(*(entry(number, key=None, url=URL) for number in numbers))

    decision = decided(knowing(shown(3, 2, 1)), shown(4, 3, 2))
    assert titles(decision) == [entry(4).title]


def test_a_place_on_the_page_with_an_id_of_its_own_hides_no_news() -> None:
    def pinned(each: FeedEntry) -> FeedEntry:
        return replace(each, key="pinned", url=f"{URL}#pinned")

    known = knowing(window(pinned(entry(2)), *KNOWN.entries))
    known = after(known, decided(known, window(pinned(entry(4)), *KNOWN.entries)))
    decision = decided(known, window(pinned(entry(7)), entry(7), *KNOWN.entries))
    assert titles(decision) == [entry(7).title]
    assert not decision.revisions


def test_an_old_post_that_is_pinned_is_not_news() -> None:
    old = entry(90, key="pinned-90", published_at=START - 3 * HOUR)
    decision = decided(knowing(KNOWN), window(old, *KNOWN.entries))
    assert not news(decision.inserts)
    assert reasons(decision) == ["is older than all that is known, and was published long ago"]


# Windows that slide


def part(newest: int, oldest: int, without: int = 0, **fields: Any) -> Any:
    return window(*(entry(each, **fields) for each in range(newest, oldest - 1, -1) if each != without))


def test_an_old_entry_that_a_deletion_pulls_in_is_history() -> None:
    known = knowing(part(20, 11))
    decision = decided(known, part(20, 10, without=15))
    assert not news(decision.inserts)
    assert reasons(decision) == [
        "is older than all that is known, and stands in for an entry that is missing"
    ]
    assert not decided(after(known, decision), part(20, 10)).changes


def test_without_times_it_is_so_once_the_page_has_shown_which_end_is_newer() -> None:
    known = knowing(part(20, 11, published_at=None))
    grown = decided(known, part(21, 12, published_at=None), now=NOW + HOUR)
    assert titles(grown) == [entry(21).title]
    known = after(known, grown, NOW + HOUR)
    decision = decided(known, part(21, 10, without=15, published_at=None), now=NOW + HOUR)
    assert not news(decision.inserts)
    assert [insert.entry.title for insert in decision.inserts] == [entry(10).title]


def test_an_edge_that_is_behind_brings_no_news_and_undoes_nothing() -> None:
    edited = [entry(9, text=f"{words(9)} Put right."), *part(20, 5, without=9).entries]
    known = knowing(part(20, 5), window(*edited))
    decision = decided(known, part(18, 3))
    assert not news(decision.inserts)
    assert not decision.revisions


def test_a_post_approved_late_is_news() -> None:
    late = entry(99, published_at=START + timedelta(minutes=14, seconds=30))
    shown = [*part(20, 15).entries, late, *part(14, 11).entries]
    assert titles(decided(knowing(part(20, 11)), window(*shown))) == [late.title]


def test_a_future_date_hides_nothing_that_comes_later() -> None:
    future = entry(50, published_at=START + 900 * HOUR)
    known = knowing(window(future, *KNOWN.entries))
    assert titles(decided(known, window(future, entry(7), *KNOWN.entries))) == [entry(7).title]


@pytest.mark.parametrize("damage", [window(), window(entry(6)), window(entry(77, key=None, url=""))])
def test_a_damaged_page_is_no_evidence(damage: Any) -> None:
    known = knowing(KNOWN)
    decision = decided(known, damage)
    assert (decision.identity.rule, decision.identity.health) == (known.identity.rule, known.identity.health)
    assert not decided(after(known, decision), KNOWN).inserts


# Texts


def test_two_edges_with_two_texts_make_two_revisions_not_a_hundred() -> None:
    other = window(*(replace(each, text=f"{each.text} As told by edge B.") for each in KNOWN.entries))
    known = knowing(KNOWN)
    for shown in [other, KNOWN] * 20:
        known = after(known, decided(known, shown))
    assert {each.revision for each in known.entries.values()} == {2}


def test_a_text_that_never_rests_without_ids_leaves_no_trail() -> None:
    known = knowing(window(*(entry(number, key=None, url="") for number in (3, 2, 1))))
    for turn in range(MAX_REVISIONS + 9):
        restless = entry(2, key=None, url="", text=f"{words(2)} Visitors so far: {turn}")
        decision = decided(known, window(entry(3, key=None, url=""), restless, entry(1, key=None, url="")))
        assert not decision.inserts
        known = after(known, decision)
    assert not decision.changes
    assert not decision.names
    assert len(known.entries) == 3


def test_a_new_template_makes_edits_and_no_news() -> None:
    dressed = window(
        *(replace(each, text=f"{each.text}\n\nFollow the harbour desk.") for each in KNOWN.entries)
    )
    decision = decided(knowing(KNOWN), dressed)
    assert not decision.inserts
    assert len(decision.revisions) == 6


def test_a_summary_of_what_is_known_is_not_news() -> None:
    lines = "\n\n".join(words(number) for number in (6, 4, 3, 1))
    summary = entry(7, title="What we know so far", text=lines)
    decision = decided(knowing(KNOWN), window(summary, *KNOWN.entries))
    assert not news(decision.inserts)
    assert reasons(decision) == ["restates entries that are known"]


def test_what_the_house_says_under_every_post_makes_no_summary() -> None:
    foot = "Follow the harbour desk for more.\nSend your pictures to the desk.\nAll times are local here."
    posts = [replace(each, text=f"{each.text}\n{foot}") for each in newest_first(7).entries]
    assert titles(decided(knowing(window(*posts[1:])), window(*posts))) == [entry(7).title]


# A page that goes on elsewhere


def moved_on(*posts: FeedEntry, at: datetime) -> Any:
    return decided(replace(knowing(KNOWN), moved_at=at), window(*posts), Policy(flood_limit=5), at)


def on_the_new_page(number: int, **fields: Any) -> FeedEntry:
    return entry(number, key=f"day2-{number}", url=f"{URL}-2#{number}", **fields)


def test_a_new_page_repeats_tells_history_and_brings_news() -> None:
    moved_at = START + 3 * HOUR
    history = [
        on_the_new_page(number, published_at=moved_at - number * timedelta(minutes=1))
        for number in range(20, 40)
    ]
    fresh = on_the_new_page(50, published_at=moved_at + timedelta(seconds=5))
    decision = moved_on(fresh, on_the_new_page(6), on_the_new_page(5), *history, at=moved_at)
    assert titles(decision) == [fresh.title]
    assert len(decision.relinks) == 2
    assert len(reasons(decision)) == 20
    assert not decision.hold


def test_a_new_page_may_count_its_ids_from_the_start_again() -> None:
    moved_at = START + 3 * HOUR
    first = entry(
        1,
        title="Good morning",
        text="A second day begins, and cranes stand still at all quays.",
        published_at=moved_at,
    )
    decision = moved_on(first, at=moved_at)
    assert titles(decision) == ["Good morning"]
    assert not decision.revisions


# Taken back


def test_a_withdrawn_entry_is_marked_once_and_restored_without_news() -> None:
    gone = replace(window(*KNOWN.entries[:3], *KNOWN.entries[4:]), withdrawn=("post-3x", "unknown"))
    known = knowing(KNOWN)
    decision = decided(known, gone)
    assert decision.withdrawn == ("post-3x",)
    known = after(known, decision)
    assert not decided(known, gone).changes
    back = decided(known, KNOWN)
    assert back.restored == ("post-3x",)
    assert not back.inserts
    renamed = [
        replace(each, key=f"again-{each.key}", url="") if each.key == "post-3x" else each
        for each in KNOWN.entries
    ]
    again = decided(known, window(*renamed))
    assert not again.inserts
    assert again.restored == ("again-post-3x",)


def test_an_id_that_is_both_shown_and_withdrawn_is_shown() -> None:
    assert not decided(knowing(KNOWN), replace(KNOWN, withdrawn=("post-3x",))).changes


def test_what_an_entry_goes_by_leads_to_it_for_ever() -> None:
    known = knowing(KNOWN, newest_first(40), part(140, 120))
    assert known.named(Name(Rule.ID, "post-2x")) == "post-2x"
    assert not decided(known, window(*KNOWN.entries, *part(140, 120).entries)).inserts
