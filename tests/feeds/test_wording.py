"""What a text's fingerprint does not hear, and what it must hear."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alerts.feeds.compare.addresses import canonical, loose
from alerts.feeds.compare.wording import likeness, normal, numbers, units

NEWS = "The ferry is late"


@pytest.mark.parametrize(
    "told",
    [
        "{} minutes ago", "{}m ago", "{} hrs ago", "vor {} Minuten", "vor {} Std.", "il y a {} min",
        "il y a {} heures", "hace {} minutos", "{} min fa", "{} ore fa", "há {} minutos", "{} minutos atrás",
        "{} minuten geleden", "för {} minuter sedan", "for {} minutter siden", "{} minuuttia sitten",
        "{} minut temu", "před {} minutami", "{} dakika önce", "{} минут назад", "{} хвилин тому",
        "πριν από {} λεπτά", "قبل {} دقائق", "לפני {} דקות", "{} मिनट पहले", "{}分前", "{} 分钟前", "{}분 전",
        "{} phút trước", "{} menit yang lalu", "acum {} minute",
    ],
)  # fmt: skip
def test_times_told_from_now_are_not_heard(told: str) -> None:
    assert normal(f"{NEWS} {told.format(5)}") == normal(f"{NEWS} {told.format(12)}") == normal(NEWS)


@pytest.mark.parametrize(
    "told", ["just now", "a minute ago", "vor einer Stunde", "il y a une heure", "gerade eben"]
)
def test_nor_are_those_without_a_number(told: str) -> None:
    assert normal(f"{NEWS} {told}") == normal(NEWS)


@pytest.mark.parametrize(
    "clock",
    ["19:02(IST) ", "7.05pm BST: ", "14:35 Uhr | ", "9h30 - ", "21:15 — ", "[14:35] | ", "07:05 GMT "],
)
def test_a_clock_before_a_headline_is_not_heard(clock: str) -> None:
    assert normal(clock + NEWS) == normal(NEWS)


@pytest.mark.parametrize(
    "counted",
    [
        "\n1,204 views",
        "\n12 comments \u00b7 3 shares",
        "\nComments (12)",
        " | 12 likes",
        "\n1.2k Aufrufe",
        "\n3 commentaires",
    ],
)
def test_counters_are_not_heard(counted: str) -> None:
    assert normal(NEWS + counted) == normal(NEWS)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (
            "https://img.example/a.jpg?Expires=1&Signature=x",
            "https://img.example/a.jpg?Expires=2&Signature=y",
        ),
        ("https://news.example/a?utm_source=rss", "http://www.news.example/a/"),
        ("\u201cLate\u201d", '"Late"'),
        ("o\ufb03ce", "office"),
        ("\u2067late\u2069", "late"),
        ("Caf\u00e9", "Cafe\u0301"),
        ("<p>late &amp; full</p>", "late & full"),
    ],
)
def test_the_clothes_of_a_text_are_not_heard(one: str, other: str) -> None:
    assert normal(one) == normal(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("57 arrests", "90 arrests"),
        ("10:15 ferry is cancelled", "11:15 ferry is cancelled"),
        ("The video had 3 million views by noon", "The video had 5 million views by noon"),
        ("Score: 2:1", "Score: 2:2"),
        ("5 minutes of silence", "6 minutes of silence"),
        ("vor 5 Zeugen", "vor 6 Zeugen"),
        ("https://news.example/a?post=1", "https://news.example/a?post=2"),
        ("It is late", "It is not late"),
    ],
)
def test_the_news_is_heard(one: str, other: str) -> None:
    assert normal(one) != normal(other)


@given(st.text(max_size=120))
def test_a_normal_text_is_its_own_normal_text_or_shorter(text: str) -> None:
    assert len(normal(normal(text))) <= len(normal(text))


def test_a_script_without_spaces_is_compared_by_pairs_of_letters() -> None:
    one, other = (
        units(normal(text)) for text in ("港の連絡船は遅れて到着した", "港の連絡船は遅れて出発した")
    )
    assert 0.5 < likeness(one, other) < 1


def test_numbers_are_the_words_with_a_digit() -> None:
    assert numbers(units("57 people at pier b2")) == {"57", "b2"}


# Addresses

SAME = [
    "https://news.example/live/story?post=7#x",
    "http://www.news.example:80/live/story/?post=7#x",
    "https://m.news.example/live/story?utm_medium=a&post=7&fbclid=1#x",
    "https://amp.news.example/live/story/amp?post=7#x",
    "https://news.example/amp/live/story?post=7&amp#x",
    "https://news.example:443/live/%73tory?post=7&outputType=amp#x",
    "https://news-example.cdn.ampproject.org/c/s/www.news.example/live/story?post=7#x",
]


@pytest.mark.parametrize("other", SAME[1:])
def test_one_page_at_many_addresses_is_one(other: str) -> None:
    assert canonical(SAME[0]) == canonical(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("https://tv.example/live?postid=6132228#body", "https://tv.example/live?postid=6132229#body"),
        ("https://tv.example/live?pinned_post_locator=urn:asset:a", "https://tv.example/live?pinned_post_locator=urn:asset:b"),
        ("https://tv.example/live?post=asset%3Aa#post", "https://tv.example/live?post=asset%3Ab#post"),
        ("https://tv.example/live?postId=a", "https://tv.example/live?postId=b"),
        ("https://tv.example/a%2Fb", "https://tv.example/a/b"),
        ("https://tv.example/Live", "https://tv.example/live"),
        ("https://amp.com/live", "https://com/live"),
    ],
)  # fmt: skip
def test_what_carries_identity_stays(one: str, other: str) -> None:
    assert canonical(one) != canonical(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("https://blog.example/?id=urn:a:7__12300", "https://blog.example/?id=urn:a:7__9900"),
        ("https://blog.example/p;jsessionid=A1?id=7", "https://blog.example/p;jsessionid=B2?id=7"),
        ("https://it.blog.example/?id=7&lang=it", "https://www.blog.example/?id=7"),
        ("urn:a:7__1", "urn:a:7__2"),
    ],
)
def test_a_loose_name_is_deaf_to_sessions_languages_and_sort_orders(one: str, other: str) -> None:
    assert loose(canonical(one)) == loose(canonical(other))
    assert canonical(one) != canonical(other)


@given(st.text(max_size=60))
def test_a_canonical_address_is_canonical(value: str) -> None:
    address = f"https://news.example/{value}"
    assert canonical(f"http://www.news.example/{value}") == canonical(address)
    assert len(canonical(address)) <= 300
