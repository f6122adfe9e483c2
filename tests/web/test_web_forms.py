"""What a form asks for, whatever it holds."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alerts.models import Frequency
from alerts.web.forms import Change, Choice, FollowAgain, OneClick, Stop, StopAll, Unclear, read_choice

NAMES = st.sampled_from(["List-Unsubscribe", "action", "topic", "frequency"]) | st.text(max_size=9)
VALUES = st.sampled_from(
    ["One-Click", "stop", "stop-all", "frequency", "follow", "flash", "every"]
) | st.text(max_size=9)


@pytest.mark.parametrize(
    ("fields", "choice"),
    [
        ([("List-Unsubscribe", "One-Click")], OneClick()),
        ([("List-Unsubscribe", "one-click")], OneClick()),
        ([("action", "stop-all")], StopAll()),
        ([("action", "stop"), ("topic", "storm")], Stop("storm")),
        (
            [("action", "frequency"), ("topic", "storm"), ("frequency", "flash")],
            Change("storm", Frequency.FLASH),
        ),
        ([("action", "follow"), ("topic", "storm"), ("topic", "trains")], FollowAgain(("storm", "trains"))),
    ],
)
def test_a_button_asks_for_one_thing(fields: list[tuple[str, str]], choice: Choice) -> None:
    assert read_choice(fields) == choice


@pytest.mark.parametrize(
    "fields",
    [
        [],
        [("action", "")],
        [("action", "stop")],
        [("action", "stop"), ("topic", "storm"), ("topic", "trains")],
        [("action", "follow")],
        [("action", "frequency"), ("topic", "storm")],
        [("action", "frequency"), ("topic", "storm"), ("frequency", "hourly")],
        [("action", "STOP-ALL")],
        [("List-Unsubscribe", "")],
    ],
)
def test_half_a_form_asks_for_nothing(fields: list[tuple[str, str]]) -> None:
    assert read_choice(fields) == Unclear()


@given(st.lists(st.tuples(NAMES, VALUES), max_size=6))
def test_a_choice_holds_only_what_the_form_said(fields: list[tuple[str, str]]) -> None:
    said = {value for _, value in fields}
    match read_choice(fields):
        case Stop(topic):
            assert {"stop", topic} <= said
        case Change(topic, frequency):
            assert {"frequency", topic, frequency} <= said
        case FollowAgain(topics):
            assert {"follow", *topics} <= said
        case StopAll():
            assert "stop-all" in said
