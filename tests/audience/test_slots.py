"""When digests are due: held against a clock that is read minute by minute, in zones whose clocks are changed."""

from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alerts.audience.slots import coming, latest, slot_of, zone_of
from alerts.models import Frequency

DAY, HOUR, MINUTE = timedelta(days=1), timedelta(hours=1), timedelta(minutes=1)
ZONES = [
    "Europe/Berlin",
    "America/New_York",
    "Australia/Lord_Howe",  # half an hour
    "Africa/Casablanca",  # back for Ramadan
    "Pacific/Apia",  # left out 30 December 2011
    "America/Sao_Paulo",  # changed at midnight, until 2019
    "Asia/Kathmandu",
    "UTC",
]
zones = st.sampled_from(ZONES)
hours = st.integers(0, 23)
instants = st.datetimes(
    datetime(2011, 1, 1),  # noqa: DTZ001 - made aware by `timezones`
    datetime(2030, 1, 1),  # noqa: DTZ001 - same
    timezones=st.just(UTC),
)
slots = st.one_of(
    st.builds(lambda zone, hour: (Frequency.DAILY, slot_of(Frequency.DAILY, zone, hour, 0)), zones, hours),
    st.builds(
        lambda zone, hour, day: (Frequency.WEEKLY, slot_of(Frequency.WEEKLY, zone, hour, day)),
        zones,
        hours,
        st.integers(0, 6),
    ),
    st.just((Frequency.HOURLY, slot_of(Frequency.HOURLY, "Europe/Berlin", 7, 0))),
)


@given(slots, instants)
def test_every_instant_lies_between_one_that_was_due_and_one_that_is_coming(
    slot: tuple[str, str], now: datetime
) -> None:
    before, after = latest(*slot, now), coming(*slot, now)
    assert before <= now < after
    assert coming(*slot, before) == after, "nothing is between them"
    assert latest(*slot, after) == after
    assert latest(*slot, after - timedelta(microseconds=1)) == before


@given(slots, instants, st.timedeltas(timedelta(0), timedelta(days=40)))
def test_later_never_means_earlier(slot: tuple[str, str], now: datetime, step: timedelta) -> None:
    assert latest(*slot, now) <= latest(*slot, now + step)
    assert coming(*slot, now) <= coming(*slot, now + step)


@given(zones, hours, st.dates(date(2011, 1, 2), date(2029, 12, 30)))
def test_a_day_s_digest_is_due_when_a_clock_on_the_wall_first_shows_the_hour(
    zone: str, hour: int, day: date
) -> None:
    slot = slot_of(Frequency.DAILY, zone, hour, 0)
    due = as_the_wall_shows(zone, day, hour)
    assert latest(Frequency.DAILY, slot, due) == due


@pytest.mark.parametrize(
    ("zone", "day", "hour", "due"),
    [
        ("Europe/Berlin", date(2026, 3, 29), 2, "2026-03-29T01:00+00:00"),  # 2:00 does not exist: 3:00
        ("Europe/Berlin", date(2026, 3, 29), 3, "2026-03-29T01:00+00:00"),
        ("Europe/Berlin", date(2026, 10, 25), 2, "2026-10-25T00:00+00:00"),  # the first of two
        ("America/New_York", date(2026, 3, 8), 2, "2026-03-08T07:00+00:00"),
        ("America/New_York", date(2026, 11, 1), 1, "2026-11-01T05:00+00:00"),
        ("Australia/Lord_Howe", date(2026, 10, 4), 2, "2026-10-03T15:30+00:00"),  # 2:00 becomes 2:30
        ("Australia/Lord_Howe", date(2026, 4, 5), 1, "2026-04-04T14:00+00:00"),
        ("Africa/Casablanca", date(2026, 2, 15), 2, "2026-02-15T01:00+00:00"),  # the first of two
        ("Africa/Casablanca", date(2026, 3, 22), 2, "2026-03-22T02:00+00:00"),
        (
            "Pacific/Apia",
            date(2011, 12, 30),
            7,
            "2011-12-30T10:00+00:00",
        ),  # no such day: the next one's begin
        ("America/Sao_Paulo", date(2018, 11, 4), 0, "2018-11-04T03:00+00:00"),
    ],
)
def test_clock_changes(zone: str, day: date, hour: int, due: str) -> None:
    expected = datetime.fromisoformat(due)
    assert as_the_wall_shows(zone, day, hour) == expected
    slot = slot_of(Frequency.DAILY, zone, hour, 0)
    assert latest(Frequency.DAILY, slot, expected) == expected
    assert latest(Frequency.DAILY, slot, expected - timedelta(microseconds=1)) < expected


@given(zones, hours, st.integers(0, 6), instants)
def test_a_week_s_digest_comes_on_its_weekday(zone: str, hour: int, weekday: int, now: datetime) -> None:
    slot = slot_of(Frequency.WEEKLY, zone, hour, weekday)
    due = coming(Frequency.WEEKLY, slot, now)
    assert timedelta(0) < due - now <= timedelta(days=7, hours=24)
    # Where a day is left out, its digest comes at the next one's begin.
    assert due.astimezone(ZoneInfo(zone)).weekday() in {weekday, (weekday + 1) % 7}


def test_a_slot_names_the_zone_that_its_clock_goes_by() -> None:
    for frequency in (Frequency.HOURLY, Frequency.DAILY, Frequency.WEEKLY):
        assert zone_of(slot_of(frequency, "America/New_York", 7, 3)) == "America/New_York"
    assert zone_of(slot_of(Frequency.DAILY, "Asia/Gone", 7, 3)) == "UTC"
    with pytest.raises(ValueError, match="no digest"):
        slot_of(Frequency.EVERY, "UTC", 7, 0)


def as_the_wall_shows(zone: str, day: date, hour: int) -> datetime:
    """Reads a wall's clock each half hour: they are changed on half hours, in these years and zones."""
    wanted = datetime.combine(day, time(hour))
    place = ZoneInfo(zone)
    now = datetime.combine(day, time(0), UTC) - DAY
    while now.astimezone(place).replace(tzinfo=None) < wanted:
        now += 15 * MINUTE
    return now
