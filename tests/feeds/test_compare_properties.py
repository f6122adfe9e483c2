"""What holds for every window: a known page in other clothes is not news, and a new entry is found once."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from hypothesis import assume, example, given
from hypothesis import strategies as st

from alerts.feeds.compare.decision import Policy
from alerts.feeds.formats import FeedEntry, ParsedFeed
from fakes.blog import START, URL, entry, window
from fakes.memory import NOTHING_KNOWN, after, decided, knowing, news, titles

ROOMY = Policy(flood_limit=50)

Change = Callable[[Sequence[FeedEntry], st.DataObject], list[FeedEntry]]


def permuted(entries: Sequence[FeedEntry], data: st.DataObject) -> list[FeedEntry]:
    return data.draw(st.permutations(entries))


def duplicated(entries: Sequence[FeedEntry], data: st.DataObject) -> list[FeedEntry]:
    return [*entries, *data.draw(st.lists(st.sampled_from(entries), max_size=3))]


def truncated(entries: Sequence[FeedEntry], data: st.DataObject) -> list[FeedEntry]:
    start = data.draw(st.integers(0, len(entries)))
    return list(entries[start : data.draw(st.integers(start, len(entries)))])


def redated(entries: Sequence[FeedEntry], data: st.DataObject) -> list[FeedEntry]:
    """Times made anew at this build: all one, each moved, or gone."""
    later = START + timedelta(days=1)
    how = data.draw(st.sampled_from(["one", "moved", "gone"]))
    times: dict[str, Callable[[int], datetime | None]] = {
        "one": lambda _: later,
        "moved": lambda place: later - timedelta(minutes=place),
        "gone": lambda _: None,
    }
    return [replace(each, published_at=times[how](place)) for place, each in enumerate(entries)]


def rekeyed(entries: Sequence[FeedEntry], data: st.DataObject) -> list[FeedEntry]:
    """All ids and addresses new, on the same texts."""
    mark = data.draw(st.integers(1, 9))
    return [
        replace(each, key=f"v{mark}-{place * 37}k", url=f"{URL}?v={mark}#{place * 37}k")
        for place, each in enumerate(entries)
    ]


def at_another_address(entries: Sequence[FeedEntry], data: st.DataObject) -> list[FeedEntry]:
    base = data.draw(
        st.sampled_from(
            ["http://www.news.example:80/harbour-live/", "https://m.news.example/harbour-live/amp"]
        )
    )
    tracking = data.draw(st.sampled_from(["", "?utm_source=x", "?fbclid=1"]))
    return [
        replace(each, url=base + tracking + "#" + each.url.partition("#")[2]) if each.url else each
        for each in entries
    ]


def in_other_markup(entries: Sequence[FeedEntry], data: st.DataObject) -> list[FeedEntry]:
    dress = data.draw(
        st.sampled_from(
            [
                lambda text: f"<div class='x'><p>{text}</p></div>",
                lambda text: text.replace("the ", "the\u200b\u00a0").upper(),
                lambda text: text.replace("fi", "\ufb01").replace("-", "\u2011"),
                lambda text: f"{text}\n\n5 minutes ago",
                lambda text: f"{text}\n1,204 views \u00b7 3 comments",
            ]
        )
    )
    return [replace(each, text=dress(each.text)) for each in entries]


CHANGES: st.SearchStrategy[Change] = st.sampled_from(
    [permuted, duplicated, truncated, redated, rekeyed, at_another_address, in_other_markup]
)


def blog(count: int, shape: str) -> list[FeedEntry]:
    """Posts 1 to `count`, newest first, told apart by ids, by addresses or by nothing but words."""
    bare: dict[str, dict[str, Any]] = {"ids": {}, "urls": {"key": None}, "words": {"key": None, "url": ""}}
    return [entry(number, **bare[shape]) for number in range(count, 0, -1)]


SHAPES = st.sampled_from(["ids", "urls", "words"])


@given(st.integers(1, 12), SHAPES, CHANGES, st.data())
def test_a_known_page_in_other_clothes_is_not_news(
    count: int, shape: str, change: Change, data: st.DataObject
) -> None:
    posts = blog(count, shape)
    decision = decided(knowing(window(*posts)), window(*change(posts, data)), ROOMY)
    assert not decision.inserts
    assert not decision.revisions
    assert not decision.hold


@given(st.integers(1, 8), SHAPES, st.lists(CHANGES, min_size=1, max_size=4), st.data())
def test_a_page_that_changes_its_clothes_at_each_poll_is_never_news(
    count: int, shape: str, changes: list[Change], data: st.DataObject
) -> None:
    posts = blog(count, shape)
    known = knowing(window(*posts))
    for change in changes:
        shown = window(*change(posts, data))
        decision = decided(known, shown, ROOMY)
        assert not decision.inserts
        assert not decision.revisions
        known = after(known, decision)
        again = decided(known, shown, ROOMY)
        assert not again.changes
        assert not again.names


@given(st.integers(2, 10), st.integers(0, 10), SHAPES, CHANGES, st.data())
def test_a_new_entry_anywhere_is_found_exactly_once(
    count: int, place: int, shape: str, change: Change, data: st.DataObject
) -> None:
    """Its time is its own, or none: below everything known an old time makes it history."""
    posts = blog(count + 1, shape)
    new = replace(
        posts.pop(0),
        published_at=data.draw(st.sampled_from([START + timedelta(minutes=count, seconds=30), None])),
    )
    known = knowing(window(*posts))
    shown = [*posts]
    shown.insert(min(place, len(posts)), new)
    changed = change(shown, data)
    assume(any(each.title == new.title for each in changed))
    # A page of which one post alone is left may be another page: nothing says that it is not.
    assume(change is not rekeyed or count > 1)
    first = decided(known, window(*changed), ROOMY)
    assert [insert.entry.title for insert in first.inserts] == [new.title]
    known = after(known, first)
    for later in (window(*changed), window(new, *posts), window(*posts), window(new)):
        decision = decided(known, later, ROOMY)
        assert not decision.inserts
        known = after(known, decision)


@given(st.lists(st.lists(st.integers(1, 9), max_size=9), min_size=1, max_size=6), SHAPES)
def test_windows_in_any_order_announce_no_post_twice(windows: list[list[int]], shape: str) -> None:
    """Edges of a CDN that are behind, and restored backups, show any part of the past."""
    known, announced = NOTHING_KNOWN, list[str]()
    posts = dict(enumerate(reversed(blog(9, shape)), start=1))
    for numbers in windows:
        decision = decided(known, window(*(posts[number] for number in numbers)), ROOMY)
        assert not decision.revisions
        announced += [] if decision.is_baseline else titles(decision)
        known = after(known, decision)
    assert len(announced) == len(set(announced))


@given(st.integers(3, 10), st.integers(1, 9), st.sampled_from(["top", "bottom", "shifting"]))
def test_positions_are_found_out_from_whichever_end_they_count(size: int, arrived: int, end: str) -> None:
    """A window of fixed size: `arrived` posts push as many out at the bottom."""

    def shown(newest: int, shift: int) -> ParsedFeed:
        numbers = range(newest, newest - size, -1)
        ids: dict[str, Callable[[int], int]] = {
            "top": lambda place: place + 1,
            "bottom": lambda place: size - place,
            "shifting": lambda place: 100 + place + shift,
        }
        return window(
            *(entry(number, key=f"post{ids[end](place)}", url="") for place, number in enumerate(numbers))
        )

    assume(arrived < size)
    known = knowing(shown(20, 0))
    decision = decided(known, shown(20 + arrived, 0), ROOMY)
    assert titles(decision) == [entry(number).title for number in range(21, 21 + arrived)]
    assert not decision.revisions
    assert [insert.history for insert in news(decision.inserts)] == [""] * arrived


def bare(key: str | None, url: str, title: str) -> FeedEntry:
    """Gives a post of one line, at no time."""
    return replace(entry(1), key=key, url=url, title=title, text="", published_at=None, updated_at=None)


_BARE = st.builds(
    bare,
    st.sampled_from([None, "1", "https://x.example/p", "https://en.x.example/p"]),
    st.sampled_from(["", "https://x.example/p", "https://en.x.example/p", "https://x.example/q"]),
    st.sampled_from(["Ferry late", "Quay closed", "Storm over"]),
)


@given(st.lists(_BARE, min_size=1, max_size=4), st.data())
@example(
    [
        bare("1", "https://en.x.example/p", "Ferry late"),
        bare("1", "https://x.example/p", "Ferry late"),
        bare(None, "https://x.example/p", "Quay closed"),
    ],
    None,
)
def test_what_stood_on_the_first_window_is_never_news_whatever_its_names(
    posts: list[FeedEntry], data: st.DataObject | None
) -> None:
    part = posts[2:] if data is None else data.draw(st.lists(st.sampled_from(posts)))
    assert not decided(knowing(window(*posts)), window(*part), ROOMY).inserts
