"""Which rule is chosen from what evidence, and what a fingerprint does not hear."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alerts.feeds.compare import identity
from alerts.feeds.compare.identity import Health, Identity, Rule, canonical, fingerprint, sight
from alerts.feeds.formats import FeedEntry
from fakes.blog import START, URL, entry


def choose(entries: Sequence[FeedEntry]) -> Identity:
    return identity.choose([sight(each) for each in entries])


def fault(entries: Sequence[FeedEntry], rule: str) -> str | None:
    return identity.fault([sight(each) for each in entries], rule)


def key(each: FeedEntry, rule: str) -> str:
    return identity.key(sight(each), rule)


def rule(*entries: FeedEntry) -> str:
    return choose(entries).rule


def numbered(pattern: str, numbers: list[int], field: str = "key") -> list[FeedEntry]:
    """Newest first: the first entry is the latest."""
    others: dict[str, Any] = {"key": None, "url": ""}
    return [
        entry(len(numbers) - place, **others | {field: pattern.format(number)})
        for place, number in enumerate(numbers)
    ]


def test_prefers_the_feeds_own_id() -> None:
    found = choose([entry(1), entry(2)])
    assert found == Identity(Rule.ID, Health.GOOD, "the feed's ids tell 2 entries apart")


def test_takes_the_url_when_there_is_no_id() -> None:
    assert rule(entry(1, key=None), entry(2, key=None)) == Rule.URL


def test_takes_the_words_when_there_is_nothing_else() -> None:
    found = choose([entry(1, key=None, url=""), entry(2, key=None, url="")])
    assert (found.rule, found.health) == (Rule.TEXT, Health.WEAK)
    assert "ids are missing on 2 of 2 entries" in found.why


@pytest.mark.parametrize("query", ["?postid=1{}", "?post=asset%3A{}b#post", "#751{}", "?update={}9#live"])
def test_tells_urls_apart_by_query_and_fragment(query: str) -> None:
    entries = [entry(number, key=None, url=URL + query.format(number)) for number in (5, 3, 8)]
    assert rule(*entries) == Rule.URL
    assert len({key(each, Rule.URL) for each in entries}) == 3


def test_refuses_ids_that_all_share() -> None:
    entries = [entry(number, key="blog", url="https://news.example/blog") for number in (1, 2, 3)]
    assert rule(*entries) == Rule.TEXT


def test_forgives_one_missing_id_in_many() -> None:
    entries = [entry(number) for number in range(1, 40)] + [entry(40, key=None)]
    assert rule(*entries) == Rule.ID
    assert key(entries[-1], Rule.ID) == key(entries[-1], Rule.URL)


def test_refuses_ids_that_many_lack() -> None:
    assert rule(entry(1), entry(2, key=None), entry(3)) == Rule.URL


@pytest.mark.parametrize("field", ["key", "url"])
@pytest.mark.parametrize("numbers", [[1, 2], [1, 2, 3, 4], [0, 1, 2]])
def test_refuses_positions(field: str, numbers: list[int]) -> None:
    assert rule(*numbered("https://news.example/live#post{}", numbers, field)) == Rule.TEXT


@pytest.mark.parametrize("numbers", [[4, 3, 2, 1], [751105, 751104, 751103], [12, 9, 4], [1]])
def test_takes_numbers_that_are_no_positions(numbers: list[int]) -> None:
    assert rule(*numbered("https://news.example/live#{}", numbers)) == Rule.ID


@pytest.mark.parametrize(
    "pattern",
    [
        "6740e0ff8f08ab12cd34ef{}",
        "0a1b2c3d-0000-4000-8000-00000000000{}",
        "340000{}",
        "tag:news.example,2026:{}",
        "https://news.example/?p={}",
        "https://news.example/live/2026/{}",
    ],
)
def test_takes_an_id_that_ends_in_a_number_for_no_position(pattern: str) -> None:
    """Two or three posts may well bear ids that follow one another; a page counts in words or fragments."""
    assert rule(*numbered(pattern, [1, 2, 3])) == Rule.ID


def test_takes_numbers_that_rise_with_time_for_what_they_are() -> None:
    entries = [entry(number, key=f"#{number}") for number in (1, 2, 3)]  # oldest first
    assert rule(*entries) == Rule.ID


def test_counts_an_entry_shown_twice_once() -> None:
    assert rule(entry(1), entry(2), entry(1)) == Rule.ID


def test_forgives_the_stale_copy_of_an_edited_post() -> None:
    assert fault([entry(1, text="as it was"), entry(3), entry(2), entry(1)], Rule.ID) is None


def test_knows_nothing_of_an_empty_window() -> None:
    assert choose([]).health == Health.UNKNOWN


@pytest.mark.parametrize(
    "other",
    [
        "http://news.example/live?b=1#x",
        "https://www.news.example/live?b=1#x",
        "HTTPS://NEWS.example:443/live?b=1&utm_source=feed#x",
        " //news.example/live?b=1#x ",
        "https://news.example/live?fbclid=1&b=1#x",
    ],
)
def test_a_key_does_not_depend_on_what_flips_by_itself(other: str) -> None:
    assert canonical(other) == canonical("https://news.example/live?b=1#x")


@pytest.mark.parametrize(
    "other",
    [
        "https://news.example/live?b=2#x",
        "https://news.example/live?b=1#y",
        "https://news.example:8080/live?b=1#x",
        "https://sport.news.example/live?b=1#x",
    ],
)
def test_a_key_depends_on_the_rest(other: str) -> None:
    assert canonical(other) != canonical("https://news.example/live?b=1#x")


def test_leaves_ids_that_are_no_urls_alone() -> None:
    assert canonical("tag:news.example,2026:A/1") == "tag:news.example,2026:A/1"


def test_a_long_key_fits_an_index_and_stays_its_own() -> None:
    long, other = (canonical("https://news.example/" + "a" * 5_000 + end) for end in "xy")
    assert len(long) <= 300
    assert long != other


@pytest.mark.parametrize(
    "text",
    [
        "<p>The  port's <b>word</b></p>",
        "The port\u2019s word",
        "The port&rsquo;s word",
        "The port&amp;#39;s word",
        " the PORT's\u00a0word\u200b\n",
        "The port's word 5 minutes ago",
    ],
)
def test_a_fingerprint_is_deaf_to_what_is_no_edit(text: str) -> None:
    assert fingerprint(entry(text=text)) == fingerprint(entry(text="The port's word"))


@pytest.mark.parametrize("text", ["The port's words", "The port's word: 90", "57 boats", "90 boats", ""])
def test_a_fingerprint_hears_an_edit(text: str) -> None:
    assert fingerprint(entry(text=text)) != fingerprint(entry(text="The port's word"))


def test_dates_author_and_links_are_not_in_the_fingerprint() -> None:
    changed = replace(
        entry(), published_at=START, updated_at=START, author="B.", url="https://news.example/other"
    )
    assert fingerprint(changed) == fingerprint(entry())


@given(st.text(max_size=200))
def test_any_id_gives_a_key_that_the_same_id_gives_again(value: str) -> None:
    first = canonical(value)
    assert len(first) <= 300
    assert canonical(f" {value} ") == first or value != value.strip()


@given(
    st.lists(st.tuples(st.text(max_size=8) | st.none(), st.text(max_size=8), st.text(max_size=8)), max_size=8)
)
def test_every_window_gets_a_rule_that_holds_there(windows: list[tuple[str | None, str, str]]) -> None:
    entries = [entry(key=id_, url=url, title=title) for id_, url, title in windows]
    chosen = choose(entries)
    if entries:
        assert fault(entries, chosen.rule) is None
        assert all(key(each, chosen.rule) for each in entries)
