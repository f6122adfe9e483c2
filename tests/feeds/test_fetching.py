"""The settings reach the fetcher: who we are, how much, how often, through what, and where to."""

from datetime import UTC, datetime

import pytest

from alerts.config import PollingConfig
from alerts.errors import FetchFailed
from alerts.fetching import fetcher
from fakes.hostile_site import hostile_site

NOW = datetime(2026, 11, 22, 7, 0, tzinfo=UTC)


async def test_every_setting_of_fetching_counts() -> None:
    async with hostile_site() as web, hostile_site() as proxy:
        inside = web.url("/live").replace("127.0.0.1", "[::ffff:127.0.0.1]")
        web.answers("/live", body=b"x" * 1_000)
        web.answers("/large", body=b"x" * 1_001)
        async with fetcher(PollingConfig()) as plain:
            with pytest.raises(FetchFailed, match=r"polling\.allow"):
                await plain.get(inside, now=NOW)
        given = PollingConfig(user_agent="us/1", body_limit=1_000, allow=("127.0.0.0/8",))
        async with fetcher(given) as fetches:
            await fetches.get(inside, now=NOW)
            with pytest.raises(FetchFailed, match="1,000 bytes"):
                await fetches.get(web.url("/large"), now=NOW)
        assert {asked.header("User-Agent") for asked in web.asked} == {"us/1"}
        async with fetcher(PollingConfig(proxy=proxy.url())) as fetches:
            with pytest.raises(FetchFailed, match="404"):
                await fetches.get("http://news.example/live", now=NOW)
        assert proxy.asked[-1].path == "http://news.example/live"


async def test_the_pace_is_that_of_the_settings() -> None:
    waits: list[float] = []
    for rate in (100, None):
        fetches = fetcher(PollingConfig(host_rate=rate))
        paces = (fetches._asker._pace, fetches._asker._own_pace)
        waits += [[pace.take("news.example", 0) for _ in range(7)][-1] for pace in paces]
    assert waits == [pytest.approx(0.02), pytest.approx(0.02), pytest.approx(1.0), 0]
