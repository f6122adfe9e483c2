"""How much of one document is taken in."""

from datetime import timedelta

from alerts.feeds.compare.bounds import bounded
from alerts.feeds.formats.values import FeedEntry, ParsedFeed
from build import NOW


def entry(number: int, *, text: str = "Words.", html: str = "", minute: int | None = None) -> FeedEntry:
    at = None if minute is None else NOW + timedelta(minutes=minute)
    return FeedEntry(str(number), "", f"Report {number}", text, html, "", at, None, None, is_correction=False)


def feed(*entries: FeedEntry, **fields: object) -> ParsedFeed:
    return ParsedFeed("rss", False, "Harbour", "", None, None, entries, (), **fields)  # type: ignore[arg-type]  # named at the call


def test_a_live_blog_is_taken_whole() -> None:
    given = feed(*(entry(number, minute=number) for number in range(1_000)), withdrawn=("a", "b"))
    assert bounded(given) == given


def test_the_newest_of_too_many_are_taken_in_the_document_s_order() -> None:
    taken = bounded(feed(*(entry(number, minute=number) for number in range(2_500)))).entries
    assert [each.key for each in taken] == [str(number) for number in range(1_500, 2_500)]
    taken = bounded(feed(*(entry(number, minute=-number) for number in range(2_500)))).entries
    assert [each.key for each in taken] == [str(number) for number in range(1_000)]


def test_without_times_those_on_top_are_taken_for_the_newest() -> None:
    given = feed(*(entry(number, minute=number or None) for number in range(2_500)))
    taken = bounded(given)
    assert [each.key for each in taken.entries] == [str(number) for number in range(1_000)]
    assert taken.warnings == ("the document holds 2500 entries: 1000 of them were read",)


def test_books_are_taken_in_part() -> None:
    taken = bounded(feed(*(entry(number, text="x" * 399_000) for number in range(20))))
    assert len(taken.entries) == 5
    [short] = bounded(feed(entry(1, text="y" * 500_000, html="<p>y</p>" * 90_000))).entries
    assert (len(short.text), short.html) == (400_000, "")
    [short] = bounded(feed(entry(1, html="<p>y</p>" * 90_000))).entries
    assert (short.text, short.html) == ("Words.", "")


def test_an_id_as_long_as_a_book_is_none() -> None:
    long = FeedEntry("k" * 10_001, "", "", "", "", "", None, None, None, is_correction=False)
    taken = bounded(feed(long, entry(1), withdrawn=("k" * 10_001, "b"), hub="h" * 20_000))
    assert [each.key for each in taken.entries] == ["1"]
    assert (taken.withdrawn, taken.hub) == (("b",), "")
    assert taken.warnings == ("the document holds 2 entries: 1 of them were read",)


def test_too_many_warnings_are_cut() -> None:
    given = ParsedFeed("rss", False, "", "", None, None, (), tuple("w" * 100))
    assert len(bounded(given).warnings) == 50
