"""What the daemon does beside its parts."""

from datetime import UTC, datetime, timedelta

import pytest
from structlog.testing import capture_logs

from alerts import daemon
from alerts.db import Database


@pytest.mark.parametrize("hours", [-3, 3])
async def test_a_machine_whose_clock_is_wrong_is_told_of(
    postgres_db: Database, monkeypatch: pytest.MonkeyPatch, hours: int
) -> None:
    with capture_logs() as logs:
        await daemon._compare_clocks(postgres_db)
        assert logs == []
        monkeypatch.setattr(daemon, "utc_now", lambda: datetime.now(UTC) + timedelta(hours=hours))
        await daemon._compare_clocks(postgres_db)
    (said,) = logs
    assert (said["event"], said["log_level"]) == ("clock_is_wrong", "error")
    assert abs(said["seconds_ahead_of_database"] - hours * 3600) < 2
