"""When a new address is believed: permanent redirects, and pages that name their successor."""

from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from alerts.feeds.moves import Sightings, continues, is_same_site, is_trusted, sighted
from build import NOW
from fakes.blog import URL, entry, window

OLD, NEW = "https://news.example/live", "https://news.example/blogs/live"


def seen(times: int, *, to: str = NEW, url: str = OLD, over: timedelta = timedelta(days=1)) -> bool:
    """Whether a redirect is trusted that was seen so often, evenly over a time."""
    sightings = Sightings()
    now: datetime = NOW
    for number in range(times):
        now = NOW + over * number / max(times - 1, 1)
        sightings = sighted(sightings, url, to, now)
    return is_trusted(sightings, url, now)


def test_a_redirect_is_trusted_after_a_day_of_sightings() -> None:
    assert seen(5)
    assert not seen(4)
    assert not seen(4_000, over=timedelta(hours=23))


@pytest.mark.parametrize("between", ["", OLD, "https://news.example/third"])
def test_any_other_answer_ends_the_row(between: str) -> None:
    sightings = Sightings(NEW, 4, NOW)
    sightings = sighted(sightings, OLD, between, NOW + timedelta(days=1))
    sightings = sighted(sightings, OLD, NEW, NOW + timedelta(days=2))
    assert sightings == Sightings(NEW, 1, NOW + timedelta(days=2))
    assert not is_trusted(Sightings(), OLD, NOW)


@pytest.mark.parametrize(
    ("url", "to", "is_upgrade"),
    [
        ("http://news.example/live?id=1", "https://news.example/live?id=1", True),
        ("http://news.example", "https://news.example/", True),
        ("http://news.example/live", "https://www.news.example/live", False),
        ("http://news.example/live", "https://news.example/", False),
        ("http://news.example:8080/live", "https://news.example/live", False),
        ("https://news.example/live", "http://news.example/live", False),
        ("http://news.example/live", "https://news.example:99999/live", False),
    ],
)
def test_the_same_page_under_https_is_trusted_the_second_time(url: str, to: str, is_upgrade: bool) -> None:
    assert seen(2, url=url, to=to, over=timedelta(seconds=20)) is is_upgrade
    assert not seen(1, url=url, to=to)


def test_a_site_is_a_host_with_or_without_www() -> None:
    assert is_same_site("http://www.news.example/a", "https://news.example/b")
    assert not is_same_site("https://news.example/a", "https://evil.example/a")
    assert not is_same_site("https://news.example/a", "https://live.news.example/a")
    assert not is_same_site("https://news.example/a", "https://[oops")


def test_a_successor_is_a_live_blog_that_is_no_older_and_does_not_lead_back() -> None:
    present = window(entry(5))
    assert continues(present, window(entry(6)))
    assert continues(present, window(entry(6, published_at=None)))
    assert not continues(present, window(entry(4))), "an earlier part"
    assert not continues(present, window()), "there is nothing to follow yet"
    assert not continues(present, replace(window(entry(6)), continues_at=URL))
    assert not continues(present, replace(window(entry(6)), is_live_blog=False))
