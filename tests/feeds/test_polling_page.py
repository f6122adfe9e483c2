"""docs/explanation/polling.md is held to the code: each number on it is the one that counts."""

import re
from pathlib import Path

import pytest

from alerts.config import FeedConfig, PollingConfig
from alerts.feeds import endings, moves, poll, schedule
from alerts.feeds.schedule import words
from alerts.feeds.store import claims

PAGE = " ".join(
    (Path(__file__).parents[2] / "docs" / "explanation" / "polling.md").read_text().replace("**", "").split()
)
POLLING = PollingConfig()


@pytest.mark.parametrize(
    "said",
    [
        f"each `interval` ({words(FeedConfig.model_fields['interval'].default)})",
        f"`polling.quiet_interval` ({words(POLLING.quiet_interval)})",
        f"`polling.ended_interval` ({words(POLLING.ended_interval)})",
        f"has ended {words(POLLING.rest_after)} ago (`polling.rest_after`)",
        f"down to once in {words(schedule.LONGEST_BACKOFF)}",
        f"has not changed for {schedule.QUIET_AFTER.total_seconds() / 3600:g} hours",
        f"up to {schedule.JITTER:.0%} shorter".replace("%", " %"),
        f"looked up every {words(poll.FOLLOWERS_EVERY)}",
        f"nothing has changed for {words(endings.SILENT_FOR)}",
        f"{endings.NO_FEED_TIMES} times in a row over {words(endings.NO_FEED_FOR)}",
        f"{moves.SIGHTINGS} times in a row, over {words(moves.SEEN_FOR)} at least",
        f"under https the {moves.UPGRADE_SIGHTINGS}nd time",
        f"{POLLING.parallel} polls run at once",
        f"longer than {poll.SLOW_AFTER} s gives its place up, until {poll.SLOW_FACTOR} times as many",
        f"Of one host, {claims.MOST_OF_A_HOST} at once",
        f"due {words(claims.PRECEDENCE)} later",
        f"{schedule.CATCH_UP_RATE} feeds a second, {schedule.CATCH_UP_HOST_RATE} at each host",
    ],
)
def test_the_page_says_what_the_code_does(said: str) -> None:
    assert said in PAGE


def test_the_words_for_an_hour_and_a_day_are_those_of_the_code() -> None:
    assert re.search(r"has not changed for an hour \| half as often", PAGE)
    assert schedule.SLOWER_AFTER.total_seconds() == 3600
    assert "Once a day a page is asked for whole" in PAGE
    assert claims.WHOLE_AGAIN_AFTER.days == 1
