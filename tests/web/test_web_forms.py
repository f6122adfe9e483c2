"""What a form asks for, whatever it holds."""

from datetime import UTC, date, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alerts.audience.farewells import Reason
from alerts.models import Frequency
from alerts.web.forms import (
    AskErase,
    AskZone,
    Choice,
    Download,
    Erase,
    Fields,
    KeepAddress,
    NewAddress,
    OneClick,
    PauseFor,
    PauseUntil,
    Place,
    Resume,
    Save,
    SayWhy,
    SendLink,
    StopAll,
    Unclear,
    Wanted,
    read_choice,
    save_fields,
)

ACTIONS = [
    "stop-all", "save", "place", "zones", "pause", "resume", "address", "keep-address", "link", "download", "erase",
    "erase-now", "why",
]  # fmt: skip
NAMES = st.sampled_from(
    [
        "List-Unsubscribe",
        "action",
        "topic",
        "frequency.storm",
        "zone",
        "hour",
        "weekday",
        "days",
        "until",
        "reason",
    ]
) | st.text(max_size=9)
VALUES = st.sampled_from(
    ["One-Click", *ACTIONS, "every:daily", ":flash", "every:", "7", "0", "UTC", "2026-12-01", "other"]
) | st.text(max_size=9)


@pytest.mark.parametrize(
    ("fields", "choice"),
    [
        ([("List-Unsubscribe", "One-Click")], OneClick()),
        ([("List-Unsubscribe", "one-click"), ("action", "erase-now")], OneClick()),
        ([("list-unsubscribe", "One-Click\r\n"), ("action", "")], OneClick()),
        ([("action", "stop-all")], StopAll()),
        ([("action", "save")], Save(())),
        (
            [("action", "save"), ("frequency.storm", "every:daily"), ("frequency.arts", "flash:flash")],
            Save((Wanted("storm", Frequency.DAILY),)),
        ),
        (
            [("action", "save"), ("seen", "2026-11-22T07:00:00.000001+00:00")],
            Save((), datetime(2026, 11, 22, 7, 0, 0, 1, tzinfo=UTC)),
        ),
        ([("action", "save"), ("seen", "yesterday")], Save(())),
        ([("action", "save"), ("seen", "0001-01-01T00:00:00+14:00")], Save(())),
        ([("action", "save"), ("frequency.storm", "every:")], Save((Wanted("storm", None),))),
        ([("action", "save"), ("frequency.storm", ":every")], Save((Wanted("storm", Frequency.EVERY),))),
        (
            [("action", "place"), ("zone", "Asia/Tokyo"), ("hour", "0"), ("weekday", "6")],
            Place("Asia/Tokyo", 0, 6),
        ),
        ([("action", "zones"), ("hour", "23"), ("weekday", "0")], AskZone(23, 0)),
        ([("action", "pause"), ("days", "30")], PauseFor(30)),
        ([("action", "pause"), ("until", "2026-12-24")], PauseUntil(date(2026, 12, 24))),
        ([("action", "pause"), ("until", "Christmas")], PauseUntil(None)),
        ([("action", "resume")], Resume()),
        ([("action", "address"), ("address", "a@b.example")], NewAddress("a@b.example")),
        ([("action", "keep-address")], KeepAddress()),
        ([("action", "link")], SendLink()),
        ([("action", "download")], Download()),
        ([("action", "erase")], AskErase()),
        ([("action", "erase-now")], Erase()),
        (
            [("action", "why"), ("topic", "storm"), ("topic", "arts"), ("reason", "other"), ("words", "x")],
            SayWhy(("storm", "arts"), Reason.OTHER, "x"),
        ),
    ],
)
def test_a_button_asks_for_one_thing(fields: list[tuple[str, str]], choice: Choice) -> None:
    assert read_choice(fields) == choice


@pytest.mark.parametrize(
    "fields",
    [
        [],
        [("action", "")],
        [("action", "save"), ("frequency.storm", "daily")],
        [("action", "save"), ("frequency.storm", "every:yearly")],
        [("action", "save"), ("frequency.storm", "every:daily"), ("frequency.arts", "")],
        [("action", "place"), ("zone", "UTC"), ("hour", "24"), ("weekday", "0")],
        [("action", "place"), ("zone", "UTC"), ("hour", "07"), ("weekday", "0")],
        [("action", "place"), ("hour", "7"), ("weekday", "0")],
        [("action", "zones"), ("hour", "24"), ("weekday", "0")],
        [("action", "zones")],
        [("action", "pause")],
        [("action", "pause"), ("days", "-1")],
        [("action", "pause"), ("days", "367")],
        [("action", "why"), ("topic", "storm")],
        [("action", "STOP-ALL")],
        [("List-Unsubscribe", "")],
    ],
)
def test_half_a_form_asks_for_nothing(fields: list[tuple[str, str]]) -> None:
    assert read_choice(fields) == Unclear()


@given(st.lists(st.tuples(NAMES, VALUES), max_size=8))
def test_a_choice_holds_only_what_the_form_said(fields: list[tuple[str, str]]) -> None:
    given_fields = dict(fields)
    said = {value for _, value in fields}
    match read_choice(fields):
        case Save(wanted, _):
            for each in wanted:
                assert given_fields[f"frequency.{each.topic}"].endswith(f":{each.frequency or ''}")
        case Place(zone, hour, weekday):
            assert {zone, str(hour), str(weekday)} <= said
        case AskZone(hour, weekday):
            assert {str(hour), str(weekday)} <= said
        case PauseFor(days):
            assert str(days) in said
        case SayWhy(topics, reason, _):
            assert {*topics, str(reason)} <= said
        case StopAll():
            assert "stop-all" in said
        case Erase():
            assert "erase-now" in said


@given(
    st.lists(
        st.tuples(st.text(max_size=9), st.sampled_from(["", *Frequency]), st.sampled_from(["", *Frequency])),
        unique_by=lambda each: each[0],
    )
)
def test_fields_that_we_write_are_read_as_they_were_meant(changes: list[tuple[str, str, str]]) -> None:
    fields: Fields = save_fields(changes)
    wanted = tuple(
        Wanted(topic, Frequency(new) if new else None) for topic, old, new in changes if old != new
    )
    assert read_choice(fields) == (Save(wanted) if changes else Unclear())
