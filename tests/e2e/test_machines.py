"""Many machines on one PostgreSQL: some join and leave, die, sleep, or lose the database while an alert goes out.

`python -m chaos.machines` plays the same scenes with more readers.
"""

from pathlib import Path

import pytest

from chaos.machines import SCENES, play
from chaos.stage import Plan
from fakes.postgres import Server


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("scene", SCENES)
async def test_many_machines_keep_the_promises(scene: str, postgres_server: Server, tmp_path: Path) -> None:
    verdict = await play(scene, postgres_server, tmp_path, Plan())
    assert verdict.problems == ()


@pytest.mark.slow
@pytest.mark.timeout(300)
async def test_nothing_is_opened_for_a_crowd_that_leaves_while_it_goes_out(
    postgres_server: Server, tmp_path: Path
) -> None:
    """A relay that takes its time for each mail, three machines, and one click after another over HTTP."""
    verdict = await play("crowd_left", postgres_server, tmp_path, Plan(readers=800, delay=0.3))
    assert verdict.problems == ()
    assert verdict.owed == 250
