"""Kill -9 while 20,000 readers are mailed: nothing is lost, and one mail at most a connection is repeated.

`make chaos` does the same hundreds of times, and at every named point.
"""

from pathlib import Path

import pytest

from alerts.models import InDoubt
from chaos.supervisor import AtPoint, AtRandom, Blow, Plan, run

BLOWS: tuple[Blow, ...] = (
    AtRandom(0.3),
    AtPoint("smtp.content", 700),
    AtPoint("notice.replied", 1),
    AtPoint("record.before_commit", 5),
    AtRandom(0.5),
    AtRandom(0.1),
    AtRandom(0.2),
)


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_killed_while_mailing_nothing_is_lost_and_repeats_are_bounded(db_url: str, tmp_path: Path) -> None:
    report = run(Plan(db_url, readers=20_000, blows=BLOWS), tmp_path)
    assert report.problems == ()
    assert report.kills == len(BLOWS)
    assert report.counted >= 5
    assert report.notices == 3
    assert report.is_byte_identical


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_killed_while_mailing_and_moved_to_postgresql_the_same_holds(
    sqlite_url: str, postgres_url: str, tmp_path: Path
) -> None:
    blows = (AtPoint("smtp.content", 700), AtRandom(0.3))
    report = run(Plan(sqlite_url, readers=4000, blows=blows, moves_to=postgres_url), tmp_path)
    assert report.problems == ()
    assert report.counted == 2
    assert report.is_byte_identical


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_where_a_feed_holds_what_is_in_doubt_nothing_is_repeated(sqlite_url: str, tmp_path: Path) -> None:
    blows = (AtPoint("smtp.content", 300), AtRandom(0.2))
    report = run(Plan(sqlite_url, readers=4000, blows=blows, in_doubt=InDoubt.HOLD), tmp_path)
    assert report.problems == ()
    assert report.counted == 2
    assert report.repeated == 0
