"""Imports and exports as tests make them."""

import io
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from sqlmodel import select

from alerts.audience import subscribers
from alerts.audience.lists import export, rows, run, shapes, staging, undoing
from alerts.audience.lists.rows import Bad
from alerts.audience.lists.shapes import Given
from alerts.db import Database
from alerts.models import ImportBatch, ImportLine
from build import NOW

PEPPER = b"a pepper for tests"
LATER = NOW + timedelta(hours=1)
AGREED = {"consent_source": "the fair", "consent_date": "2026-01-02"}


def staged(
    db: Database,
    text: str,
    *,
    with_opt_outs: bool = True,
    clock: Callable[[], datetime] = lambda: NOW,
    **given: Any,
) -> tuple[int, list[Bad]]:
    """Stages a file, and gives the import's number and the refused lines."""
    table = rows.read(io.BytesIO(text.encode()))
    refused: list[Bad] = []
    with db.begin() as session:
        number = staging.begin(session, by="test", language="en", now=NOW)
    run.stage_file(
        db,
        number,
        table,
        shapes.reader_of(table, Given(NOW, **(AGREED | given))),
        with_opt_outs=with_opt_outs,
        refuse=refused.append,
        advance=lambda _: None,
        clock=clock,
    )
    return number, refused


def imported(db: Database, text: str, now: datetime = NOW, **given: Any) -> tuple[int, dict[str, int]]:
    """Imports a file that has nothing to refuse; gives the import's number and what became of the lines."""
    number, refused = staged(db, text, **given)
    assert refused == []
    would = dict(run.preview(db, PEPPER, number, lambda _: None))
    with db.begin() as session:
        staging.seal(session, number, by="test", now=now)
    run.finish(db, PEPPER, number, lambda: now, lambda _: None)
    with db.begin() as session:
        batch = session.get(ImportBatch, number)
        assert batch is not None
        assert session.exec(select(ImportLine)).all() == [], "nothing stays staged"
        assert batch.counts == would, "a dry run says what comes"
        return number, batch.counts


def undo(db: Database, number: int, now: datetime = LATER) -> dict[str, int]:
    with db.begin() as session:
        undoing.begin(session, number, by="test", now=now)
    run.finish(db, PEPPER, number, lambda: now, lambda _: None)
    with db.begin() as session:
        batch = session.get(ImportBatch, number)
        assert batch is not None
        assert batch.state == "undone"
        return batch.counts


def reads(db: Database, address: str) -> dict[str, str]:
    """Gives what a reader follows: topics and frequencies."""
    with db.begin() as session:
        view = subscribers.show(session, subscribers.find(session, address))
        return {each.topic: each.frequency for each in view.following if each.until is None}


def exported(db: Database, **wishes: Any) -> str:
    with db.begin() as session:
        page = export.page(session, after=0, **wishes)
    assert page.after is None
    return export.header() + "".join(export.csv_lines(page.lines))


def csv_of(*lines: str, columns: str = "address,topic,frequency,status") -> str:
    return "\n".join([columns, *lines]) + "\n"
