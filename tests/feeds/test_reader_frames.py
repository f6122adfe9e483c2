"""The answer of a process that read hostile bytes: every feed comes over whole, and nothing else comes over."""

import json
from dataclasses import fields
from datetime import UTC, datetime, timedelta
from typing import Any, get_type_hints

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alerts.feeds.formats.values import FeedEntry, ParsedFeed
from alerts.feeds.read import frames
from hostile import hostile

_TEXT = hostile.map(lambda text: text.encode("utf-8", "replace").decode())
_MOMENT = st.datetimes(datetime(1900, 1, 1), datetime(2199, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001 - hypothesis adds the zone
_LENGTH = st.timedeltas(timedelta(0), timedelta(days=9))
_KINDS: dict[object, st.SearchStrategy[Any]] = {
    str: _TEXT,
    str | None: st.none() | _TEXT,
    bool: st.booleans(),
    bool | None: st.none() | st.booleans(),
    datetime | None: st.none() | _MOMENT,
    timedelta | None: st.none() | _LENGTH,
    tuple[str, ...]: st.lists(_TEXT, max_size=3).map(tuple),
}


def of(value: type[Any], **others: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    hints = get_type_hints(value)
    mine = {field.name: _KINDS[hints[field.name]] for field in fields(value) if field.name not in others}
    return st.builds(value, **mine, **others)


entries = of(FeedEntry)
feeds = of(ParsedFeed, entries=st.lists(entries, max_size=3).map(tuple))


@given(feeds, st.booleans())
def test_a_feed_comes_over_as_it_was(feed: ParsedFeed, retires: bool) -> None:
    first, *rest = frames.answer(frames.Head("feed", feed=feed, retires=retires))
    head = frames.read_head(first)
    assert (head.kind, head.entries, head.retires) == ("feed", len(feed.entries), retires)
    assert head.feed is not None
    came = ParsedFeed(
        **{field.name: getattr(head.feed, field.name) for field in fields(ParsedFeed)}
        | {"entries": tuple(frames.read_entry(frame) for frame in rest)}
    )
    assert came == feed
    assert all(moment.tzinfo is UTC for moment in moments(came))


def moments(feed: ParsedFeed) -> list[datetime]:
    found = [feed.coverage_start, feed.coverage_end]
    for entry in feed.entries:
        found += [entry.published_at, entry.updated_at]
    return [moment for moment in found if moment is not None]


def test_half_a_surrogate_pair_does_not_end_the_reader() -> None:
    [head] = frames.answer(frames.Head("no_feed", "\ud800"))
    assert frames.read_head(head).reason == "?"


@given(st.binary(max_size=200))
def test_any_other_bytes_are_garbled(frame: bytes) -> None:
    for read in (frames.read_head, frames.read_entry):
        with pytest.raises(frames.Garbled):
            read(frame)


any_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.just("\ud800"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=5,
)


@given(entries, st.data())
def test_one_value_of_another_kind_garbles_an_entry(entry: FeedEntry, data: st.DataObject) -> None:
    [_, frame] = frames.answer(
        frames.Head("feed", feed=ParsedFeed("", False, "", "", None, None, (entry,), ()))
    )
    plain = json.loads(frame)
    name = data.draw(st.sampled_from(sorted(plain)))
    plain[name] = data.draw(any_json)
    try:
        came = frames.read_entry(json.dumps(plain).encode())
    except frames.Garbled:
        return
    value = getattr(came, name)
    hints = get_type_hints(FeedEntry)
    assert isinstance(value, hints[name])


@pytest.mark.parametrize(
    "slip",
    [
        {"entries": 1_001},
        {"entries": -1},
        {"entries": True},
        {"retires": 1},
        {"kind": "other"},
        {"kind": []},
        {"reason": "x" * 501},
        {"reason": "\udea2"},
        {"feed": None},
        {"feed": {}},
        {"more": 1},
    ],
)
def test_a_slip_in_the_head_garbles_it(slip: dict[str, object]) -> None:
    feed = ParsedFeed("rss", False, "", "", None, None, (), ())
    [frame] = frames.answer(frames.Head("feed", feed=feed))
    with pytest.raises(frames.Garbled):
        frames.read_head(json.dumps(json.loads(frame) | slip).encode())


@pytest.mark.parametrize("name", ["entries", "refresh", "coverage_start", "warnings", "title"])
@pytest.mark.parametrize("value", [1e400, float("nan"), "2026-11-22T07:00:00", [1], {"a": 1}, [[]]])
def test_a_slip_in_the_feed_garbles_it(name: str, value: object) -> None:
    if name == "title" and isinstance(value, str):
        return
    feed = ParsedFeed("rss", False, "", "", None, None, (), ())
    [frame] = frames.answer(frames.Head("feed", feed=feed))
    plain = json.loads(frame)
    plain["feed"][name] = value
    with pytest.raises(frames.Garbled):
        frames.read_head(json.dumps(plain).encode())


def test_deep_nesting_is_garbled() -> None:
    with pytest.raises(frames.Garbled):
        frames.read_head(b"[" * 200_000)


@given(st.text(), st.text(), st.floats(0, 100))
def test_a_request_comes_over_as_it_was(url: str, content_type: str, seconds: float) -> None:
    asked = frames.Request(url, content_type, seconds)
    assert frames.read_request(frames.request(asked)) == asked
