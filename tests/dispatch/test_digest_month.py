"""Days and weeks over clock changes, and every digest of them compared with what should be in it."""

from datetime import UTC, datetime

import pytest

from alerts.db import Database
from dispatch.month import Month

# New York changes its clocks on the 8th of March, Casablanca on the 22nd, Berlin on the 29th.
SPRING = datetime(2026, 3, 6, 12, tzinfo=UTC)
# Berlin on the 25th of October, New York a week later.
AUTUMN = datetime(2026, 10, 23, 12, tzinfo=UTC)


@pytest.mark.timeout(600)
@pytest.mark.parametrize(("seed", "start", "days"), [(1, SPRING, 30), (2, AUTUMN, 10)])
def test_each_digest_is_what_it_should_be(sqlite_db: Database, seed: int, start: datetime, days: int) -> None:
    play(sqlite_db, seed, start, days)


@pytest.mark.timeout(600)
def test_each_digest_is_what_it_should_be_on_postgres(postgres_db: Database) -> None:
    play(postgres_db, 4, AUTUMN, days=5)


def play(db: Database, seed: int, start: datetime, days: int) -> None:
    month = Month(db, seed, start)
    month.play(days)
    month.check_all()
    assert len(month.digests) > 2 * days, "it was about something"
