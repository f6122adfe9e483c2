"""A month of days, over both clock changes, and every digest of it compared with what should be in it."""

from datetime import UTC, datetime

import pytest

from alerts.db import Database
from dispatch.month import Month

SPRING = datetime(
    2026, 3, 6, 12, tzinfo=UTC
)  # New York changes on the 8th, Casablanca's Ramadan ends, Berlin on the 29th
AUTUMN = datetime(
    2026, 10, 2, 12, tzinfo=UTC
)  # Lord Howe changes on the 4th, Berlin on the 25th, New York a week later


@pytest.mark.parametrize(("seed", "start"), [(1, SPRING), (2, AUTUMN), (3, SPRING)])
def test_each_digest_of_a_month_is_what_it_should_be(sqlite_db: Database, seed: int, start: datetime) -> None:
    month = Month(sqlite_db, seed, start)
    month.play(days=30)
    month.check_all()
    assert len(month.digests) > 40, "it was about something"


def test_a_week_on_postgres(postgres_db: Database) -> None:
    month = Month(postgres_db, 4, AUTUMN)
    month.play(days=7)
    month.check_all()
    assert len(month.digests) > 10
