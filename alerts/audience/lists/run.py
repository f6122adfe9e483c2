"""A file of readers, from its first line to the last that is applied, in short transactions with room between them."""

import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from itertools import islice
from typing import TypeVar

import structlog
from sqlmodel import Session

from alerts.audience.lists import applying, staging, undoing
from alerts.audience.lists.judging import judge
from alerts.audience.lists.rows import Bad, Row, Table
from alerts.audience.lists.shapes import Line, Step
from alerts.db import Database
from alerts.errors import Conflict, NotFound
from alerts.models import ImportState

log = structlog.get_logger()

Advance = Callable[[int], object]  # is told of lines that are done
T = TypeVar("T")
Refuse = Callable[[Bad], object]

_SHORTEST_PAUSE, _LONGEST_PAUSE = 0.005, 0.1


@dataclass(frozen=True, slots=True)
class Read:
    """What a file held: lines staged, refused, said before, and opt-outs that were to be left out."""

    staged: int
    refused: int
    repeated: int
    left_out: int


def stage_file(
    database: Database,
    import_id: int,
    table: Table,
    meaning: Callable[[Row], Line | Bad],
    *,
    with_opt_outs: bool,
    refuse: Refuse,
    advance: Advance,
    clock: Callable[[], datetime],
) -> Read:
    """Reads a table to its end and stages what can be applied; `refuse` is told of each line that cannot."""
    counts: Counter[str] = Counter()
    rows = iter(table.rows)
    while some := list(islice(rows, staging.SLICE)):
        lines: list[Line] = []
        for row in some:
            line = row if isinstance(row, Bad) else meaning(row)
            if isinstance(line, Bad):
                counts["refused"] += 1
                refuse(line)
            elif line.step is Step.FOLLOW or with_opt_outs:
                lines.append(line)
            else:
                counts["left_out"] += 1
        if lines:
            stage = partial(staging.stage, import_id=import_id, lines=lines, now=clock())
            staged = _in_turn(database, stage)
            counts.update(
                refused=len(staged.refused),
                repeated=staged.repeated,
                staged=len(lines) - len(staged.refused) - staged.repeated,
            )
            for each in staged.refused:
                refuse(each)
        advance(len(some))
    return Read(counts["staged"], counts["refused"], counts["repeated"], counts["left_out"])


def preview(database: Database, pepper: bytes, import_id: int, advance: Advance) -> Mapping[str, int]:
    """Counts what would become of the staged lines, and changes nothing."""
    counts: Counter[str] = Counter()
    place = (-1, 0)

    def some(session: Session) -> Sequence[str]:
        nonlocal place
        lines = staging.lines_after(session, import_id, place, staging.SLICE)
        if not lines:
            return ()
        place = lines[-1].step, lines[-1].line
        return [each.outcome for each in judge(session, pepper, lines)]

    while outcomes := _in_turn(database, some):
        counts.update(outcomes)
        advance(len(outcomes))
    return counts


def discard(database: Database, import_id: int) -> None:
    """Takes away what is staged of an import that was not sealed."""
    while _in_turn(database, lambda session: staging.discard(session, import_id)):
        pass


def finish(
    database: Database, pepper: bytes, import_id: int, clock: Callable[[], datetime], advance: Advance
) -> None:
    """Goes on with an import, applying or undoing it, to its end; Conflict when it has no end to go to."""
    with database.begin() as session:
        state = staging.locked(session, import_id).state
    slices = {ImportState.APPLYING: applying.apply_slice, ImportState.UNDOING: undoing.undo_slice}
    step = slices.get(ImportState(state))
    if step is None:
        raise Conflict(f"There is nothing to go on with in import {import_id}: it is {state}.")
    while done := _in_turn(database, lambda session: step(session, pepper, import_id, clock())):
        advance(done)


def tend(database: Database, pepper: bytes, clock: Callable[[], datetime]) -> None:
    """Finishes what others left half done, as the daemon does: imports, undoings, what is given up or too old to undo."""
    with database.begin() as session:
        halfway, given_up = staging.left_behind(session, clock())
    for each in given_up:
        log.info("import_given_up", subject=f"import:{each}")
        with suppress(Conflict, NotFound):  # another was quicker
            discard(database, each)
    for each in halfway:
        log.warning("import_goes_on", subject=f"import:{each}")
        with suppress(Conflict):  # another was quicker
            finish(database, pepper, each, clock, lambda _: None)
    while _in_turn(database, lambda session: staging.forget_changes(session, clock())):
        pass


def _in_turn(database: Database, function: Callable[[Session], T]) -> T:
    """Runs one transaction, then leaves others as long as it took: SQLite has no queue for those who wait to write."""
    began = time.monotonic()
    with database.begin() as session:
        result = function(session)
    if database.is_sqlite:
        time.sleep(min(max(time.monotonic() - began, _SHORTEST_PAUSE), _LONGEST_PAUSE))
    return result
