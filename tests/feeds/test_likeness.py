"""Which texts tell the same news."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alerts.feeds.compare.likeness import LEAST_WORDS, OTHER_FEED, SAME_FEED, is_same_news, likeness, told

BASE = (
    "Fire in Riverton warehouse",
    "Three people were hurt in a fire at a warehouse in Riverton on Sunday, the fire service said.",
)


def same(one: tuple[str, str], other: tuple[str, str], *, least: float = OTHER_FEED) -> bool:
    forth = is_same_news(told(*one), told(*other), least=least)
    assert forth == is_same_news(told(*other), told(*one), least=least), "who came first means nothing"
    return forth


@pytest.mark.parametrize(
    "other",
    [
        (
            "Warehouse fire in Riverton",
            "Three people were hurt in a fire at a warehouse in Riverton on Sunday, said the fire service.",
        ),
        ("FIRE IN RIVERTON WAREHOUSE", BASE[1]),
        ("Fire In Riverton Warehouse", BASE[1]),
        (BASE[0], BASE[1].replace("Three", "3")),
        ("", f"{BASE[0]}. {BASE[1]}"),
    ],
)
def test_the_same_news_in_other_words_is_the_same(other: tuple[str, str]) -> None:
    assert same(BASE, other)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("Three", "Four"),
        ("Three people", "13 people"),
        ("Riverton", "Hillford"),
        ("Sunday", "Monday"),
        ("were hurt", "were not hurt"),
        ("the fire service said", "the fire service denied"),
        ("in Riverton", "in Riverton and Hillford"),
        ("Three people were hurt", "Nobody was hurt"),
    ],
)
def test_another_number_place_day_or_a_negation_is_other_news(old: str, new: str) -> None:
    other = (BASE[0].replace(old, new), BASE[1].replace(old, new))
    assert other != BASE
    assert not same(BASE, other)


def test_a_place_that_begins_a_headline_is_a_place() -> None:
    body = "police have closed the motorway in both directions after the accident this morning."
    assert not same(("Hillford: motorway closed", body), ("Riverton: motorway closed", body))


@pytest.mark.parametrize(
    ("one", "other", "is_same"),
    [
        ("Zwei Verletzte bei Brand in Ulm", "2 Verletzte bei Brand in Ulm", True),
        ("Zwei Verletzte bei Brand in Ulm", "Zwei Verletzte bei Brand in Bonn", False),
        ("Le ministre ne démissionne pas à Lyon", "Le ministre démissionne à Lyon", False),
        ("Il sindaco di Siena si dimette oggi", "Il sindaco di Siena non si dimette oggi", False),
        ("More than 1,000 people march in Riverton", "More than 1000 people march in Riverton", True),
        ("東京で大きな地震が発生しました", "東京で大きな地震が発生しました", True),
        ("東京で大きな地震が発生しました", "大阪で大きな地震が発生しました", False),
        ("زلزال قوي يضرب مدينة الميناء صباح اليوم", "زلزال قوي يضرب مدينة الجبل صباح اليوم", False),
    ],
)
def test_other_languages_and_scripts(one: str, other: str, is_same: bool) -> None:
    assert same((one, ""), (other, "")) is is_same


def test_few_words_are_said_of_many_events() -> None:
    assert not same(("Goal!", ""), ("Goal!", ""))


def test_within_a_feed_more_must_agree() -> None:
    other = (
        "Warehouse blaze in Riverton",
        "Three people were hurt on Sunday, the fire service said of the fire in Riverton.",
    )
    assert same(BASE, other)
    assert not same(BASE, other, least=SAME_FEED)


texts = st.text(alphabet=st.sampled_from("aB c1.,éß東京\n"), max_size=60)


@given(texts, texts)
def test_likeness_is_a_share_and_even(one: str, other: str) -> None:
    first, second = told(one, other), told(other, one)
    assert likeness(first, second) == likeness(second, first)
    assert 0 <= likeness(first, second) <= 1


@given(texts, texts)
def test_a_text_is_the_same_news_as_itself_when_it_says_enough(title: str, text: str) -> None:
    one = told(title, text)
    assert is_same_news(one, one, least=SAME_FEED) is (len(one.words) >= LEAST_WORDS)


@given(texts, texts, st.integers(min_value=100, max_value=10**6))
def test_no_text_with_a_number_more_is_the_same_news(title: str, text: str, number: int) -> None:
    assert not is_same_news(told(title, text), told(title, f"{text} {number}"), least=OTHER_FEED)
