"""The 30 traps, each through the whole line: bytes over HTTP at one end, mails at an SMTP server at the other."""

import re
from dataclasses import replace
from pathlib import Path

import pytest

from alerts.db import Database
from traps import copy_traps, course_traps, identity_traps, text_traps, time_traps, twin_traps, window_traps
from traps.newsroom import run, surprises
from traps.scenario import Trap, traps

WRITTEN_IN = (identity_traps, twin_traps, time_traps, window_traps, text_traps, copy_traps, course_traps)
TRAPS = traps()


def test_every_trap_is_written() -> None:
    assert [each.number for each in TRAPS] == list(range(1, 31))
    assert all(each.scenarios for each in TRAPS)
    for each in TRAPS:
        names = [one.name for one in each.scenarios]
        assert len(set(names)) == len(names), f"two scenarios of trap {each.number} bear one name"
    assert all(any(step.mails for one in each.scenarios for step in one.steps) for each in TRAPS), (
        "a trap that expects no mail at all is passed by a line that is dead"
    )


def test_the_page_on_traps_lists_them_all() -> None:
    page = (Path(__file__).parents[2] / "docs/explanation/traps.md").read_text()
    rows = re.findall(r"^\| (\d+) \| (.+?) \| .+ \|$", page, re.MULTILINE)
    assert [(int(number), what) for number, what in rows] == [(each.number, each.what) for each in TRAPS]


@pytest.mark.parametrize("trap", TRAPS, ids=[f"{each.number:02}" for each in TRAPS])
async def test_a_trap_causes_these_mails_and_no_others(
    trap: Trap, sqlite_db: Database, tmp_path: Path
) -> None:
    found = surprises(trap.scenarios, await run(trap.scenarios, sqlite_db, tmp_path))
    assert not found, "\n".join(found)


async def test_on_postgresql_scenarios_of_each_trap_come_to_the_same(
    postgres_db: Database, tmp_path: Path
) -> None:
    """What is decided is the same on both; what is read and written may not be."""
    sample = [
        replace(scenario, name=f"{trap.number}, {scenario.name}")
        for trap in TRAPS
        for scenario in trap.scenarios[::16]
    ]
    found = surprises(sample, await run(sample, postgres_db, tmp_path))
    assert not found, "\n".join(found)
