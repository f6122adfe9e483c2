"""May this reader be sent this alert now? Each reason, and which of two comes first."""

from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alerts.dispatch.eligible import AlertRule, Following, Reader, Send, Skip, eligible
from alerts.models import DeliveryState, Frequency, SubscriberState
from build import NOW

HOUR = timedelta(hours=1)
FOLLOWING = Following(1, Frequency.EVERY, is_in_time=True, is_chosen_in_time=True, has_left=False)
READER = Reader(True, SubscriberState.ACTIVE, "", (FOLLOWING,))
ENTRY = AlertRule({1: frozenset({Frequency.EVERY})}, NOW, NOW + HOUR)
KEY_EVENT = AlertRule({1: frozenset({Frequency.EVERY, Frequency.FLASH})}, NOW, NOW + HOUR)


def test_a_follower_is_sent_it() -> None:
    assert eligible(READER, ENTRY, NOW) == Send((1,), Frequency.EVERY)


@pytest.mark.parametrize(
    ("reader", "reason"),
    [
        (replace(READER, state=SubscriberState.ERASED, has_address=False), "erased"),
        (replace(READER, suppressed="complaint"), "suppressed: complaint"),
        (replace(READER, state=SubscriberState.LEFT), "unsubscribed"),
        (replace(READER, following=(replace(FOLLOWING, has_left=True),)), "unsubscribed"),
        (replace(READER, following=()), "unsubscribed"),
        (replace(READER, following=(replace(FOLLOWING, is_in_time=False),)), "followed later"),
        (replace(READER, following=(replace(FOLLOWING, frequency=Frequency.FLASH),)), "followed later"),
        (replace(READER, is_served=True), "served by an earlier alert"),
    ],
)
def test_a_reader_is_skipped_with_the_reason(reader: Reader, reason: str) -> None:
    assert eligible(reader, ENTRY, NOW) == Skip(DeliveryState.SKIPPED, reason)


def test_news_past_its_time_to_live_expires() -> None:
    verdict = eligible(READER, ENTRY, ENTRY.expires_at)
    assert verdict == Skip(DeliveryState.EXPIRED, "older than its time to live")


def test_a_new_choice_of_frequency_counts_from_then_on() -> None:
    widened = replace(READER, following=(replace(FOLLOWING, is_chosen_in_time=False),))
    assert eligible(widened, ENTRY, NOW) == Skip(DeliveryState.SKIPPED, "followed later")
    assert isinstance(eligible(widened, KEY_EVENT, NOW), Send), "both frequencies were owed a key event"


def test_all_topics_that_brought_it_are_named() -> None:
    other = replace(FOLLOWING, topic_id=2, frequency=Frequency.FLASH)
    both = replace(READER, following=(FOLLOWING, other))
    rule = AlertRule({1: KEY_EVENT.audience[1], 2: KEY_EVENT.audience[1]}, NOW, NOW + HOUR)
    assert eligible(both, rule, NOW) == Send((1, 2), Frequency.EVERY)


@given(
    state=st.sampled_from(SubscriberState),
    suppressed=st.sampled_from(["", "dead address"]),
    has_left=st.booleans(),
    seconds=st.integers(0, 8000),
    is_served=st.booleans(),
)
def test_nobody_who_opted_out_is_ever_sent_anything(
    state: SubscriberState, suppressed: str, has_left: bool, seconds: int, is_served: bool
) -> None:
    reader = replace(
        READER,
        state=state,
        suppressed=suppressed,
        is_served=is_served,
        following=(replace(FOLLOWING, has_left=has_left),),
    )
    verdict = eligible(reader, KEY_EVENT, NOW + timedelta(seconds=seconds))
    may = state is SubscriberState.ACTIVE and not suppressed and not has_left
    assert may or isinstance(verdict, Skip)
