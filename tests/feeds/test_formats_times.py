"""Times in the notations and languages that feeds are written in; what is no time stays none."""

# ruff: noqa: RUF001 - some months are Greek

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alerts.feeds.formats.times import Clock


def read(text: str) -> datetime | None:
    return Clock([text]).read(text)


@pytest.mark.parametrize(
    "text",
    [
        "Sun, 22 Nov 2026 07:01:00 GMT",
        "Sun, 22 Nov 2026 08:01:00 +0100",
        "Sun, 22 Nov 2026 08:01:00 +01:00",
        "22 Nov 26 07:01 UT",
        "Sun, 22 Nov 2026 07:01:00 Z",
        "Sun,22 Nov 2026 07:01:00 GMT",
        "Sun, 22 November 2026 02:01:00 EST",
        "Sun, 22 Nov 2026 08:01:00 CET",
        "Sun, 22 Nov 2026 08:01:00 GMT+1",
        "Sun, 22 Nov 2026 02:01:00 GMT-05:00",
        "Sun, 22 Nov 2026 07:01:00 Etc/GMT",
        "Sun, 22 Nov 2026 12:31:00 IST",
        "Sun, 22 Nov 2026 06:01:00 A",
        "Sun, 22 Nov 2026 08:01:00 N",
        "Sun, 22 Nov 2026 02:01 AM EST",
        "Sun, Nov 22 2026 07:01:00 UTC",
        "Mon, 22 Nov 2026 07:01:00 GMT",
        "Sun Nov 22 07:01:00 2026",
        "Sun Nov 22 07:01:00 UTC 2026",
        "Sun Nov 22 08:01:00 +0100 2026",
        "Sunday, November 22nd, 2026 at 7:01 am",
        "Sun, 2026/11/22 02:01:00 EST",
        "2026-11-22T07:01:00Z",
        "2026-11-22t07:01:00z",
        "2026-11-22T08:01:00 +01:00",
        "2026-11-22 08:01:00+0100",
        "2026-11-22T080100+0100",
        "2026-11-22T8:01+01:00",
        "2026-326T07:01Z",
        "20261122T070100Z",
        "2026-11-22 07:01:00.0",
        "11/22/2026 7:01:00 AM",
        "22.11.2026 07:01",
        "22/11/2026 07:01",
        "22-Nov-2026 07:01:00",
        "2026년 11월 22일  16:01:00",
        "2026-11-22 오후 4:01:00",
        "2026-november-22T8:01+01:00",
        "Κυρ, 22 Νοέ 2026 02:01:00 EST",
        "воскресенье, 22 ноября 2026 10:01:00 +0300",
        "dim., 22 nov. 2026 08:01:00 +0100",
        "So, 22. November 2026, 08:01:00 MEZ",
        "domingo, 22 de noviembre de 2026 07:01:00",
        "1795330860",
    ],
)
def test_reads_the_notations_of_the_wild(text: str) -> None:
    assert read(text) == datetime(2026, 11, 22, 7, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "month", "day"),
    [
        ("2026", 1, 1),
        ("2026-05", 5, 1),
        ("2026-05-04", 5, 4),
        ("mar, 4 mag 2026", 5, 4),
        ("mardi 3 mars 2026", 3, 3),
        ("mar 3 2026", 3, 3),
        ("4 août 2026", 8, 4),
        ("4. März 2026", 3, 4),
        ("2026-május-4", 5, 4),
        ("Τρι, 4 Μάϊ 2026", 5, 4),
        ("4 мая 2026", 5, 4),
        ("4 Ağustos 2026", 8, 4),
        ("4 juin 2026", 6, 4),
        ("4 juil. 2026", 7, 4),
    ],
)
def test_reads_days(text: str, month: int, day: int) -> None:
    assert read(text) == datetime(2026, month, day, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "after"),
    [
        ("Sun, 22 Nov 2026 24:00:00 GMT", timedelta(days=1)),
        ("2026-11-22T24:00:00Z", timedelta(days=1)),
        ("Sun, 22 Nov 2026 12:01 AM GMT", timedelta(minutes=1)),
        ("Sun, 22 Nov 2026 12:01 PM GMT", timedelta(hours=12, minutes=1)),
        ("Sun, 22 Nov 2026 08:01:60 GMT", timedelta(hours=8, minutes=1, seconds=59)),
    ],
)
def test_reads_the_edges_of_a_day(text: str, after: timedelta) -> None:
    assert read(text) == datetime(2026, 11, 22, tzinfo=UTC) + after


@pytest.mark.parametrize(
    "text",
    [
        "",
        "soon",
        "5 minutes ago",
        "yesterday at 08:01",
        "3/4/2026",
        "2026-11-22T25:51:30-05:00",
        "2026-06-31T15:51:30-0500",
        "Sun, 31 Feb 2026 08:01:00 GMT",
        "Sun, 22 Nov 2026 08:61:00 GMT",
        "2026-366T07:01Z",
        "Mon, 01 Jan 0001 00:00:00 +0000",
        "0000-00-00 00:00:00",
        "we may meet 5 of the 2026 team in march",
        "Nov 2026",
        "1" * 5_000,
        "9999-12-31T23:59:59-23:59",
    ],
)
def test_makes_no_time_up(text: str) -> None:
    assert read(text) is None


def test_takes_the_first_value_that_is_a_time() -> None:
    clock = Clock()
    assert clock.read(None, "", "whenever", "2026-11-22T07:01:00Z", "2027") == datetime(
        2026, 11, 22, 7, 1, tzinfo=UTC
    )
    assert clock.warnings() == []
    assert clock.read("whenever", "soon") is None
    assert clock.warnings() == ["1 times could not be read and were left out"]


@given(
    st.text(max_size=120)
    | st.from_regex(r"\d{1,4}[-/. ]\w{1,9}[-/. ]\d{1,4}[ T]\d{1,2}:\d{1,2}(:\d\d)? ?\S{0,6}", fullmatch=True)
)
def test_any_text_is_a_time_or_none(text: str) -> None:
    moment = read(text)
    assert moment is None or moment.tzinfo is UTC


@given(st.integers(0, 100 * 365 * 86_400), st.integers(-14 * 60, 14 * 60))
def test_reads_back_what_rfc_822_and_rfc_3339_write(second: int, minutes: int) -> None:
    moment = datetime(1990, 1, 1, tzinfo=UTC) + timedelta(seconds=second)
    there = moment + timedelta(minutes=minutes)
    sign, away = "+-"[minutes < 0], abs(minutes)
    assert read(f"{there:%a, %d %b %Y %H:%M:%S} {sign}{away // 60:02}{away % 60:02}") == moment
    assert read(f"{there:%Y-%m-%dT%H:%M:%S}{sign}{away // 60:02}:{away % 60:02}") == moment
