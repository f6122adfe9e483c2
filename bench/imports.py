"""What an import costs, and what a daemon beside it waits: a list of readers into an empty site.

    PYTHONPATH=tests .venv/bin/python bench/imports.py --lines 1000000

Beside the import a thread makes one short transaction every 20 ms, as a daemon does with receipts, and times each.
"""

import argparse
import io
import logging
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from time import perf_counter, process_time

import sqlalchemy as sa
import structlog
from sqlmodel import col

from alerts.audience.lists import rows, run, shapes, staging, undoing
from alerts.audience.lists.shapes import Given
from alerts.db import Database
from alerts.models import Topic
from alerts.schema import upgrade
from build import a_topic
from fakes import postgres

PEPPER = b"a pepper of the bench"
EVERY_SECONDS = 0.02


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lines", type=int, default=20_000)
    lines: int = parser.parse_args().lines
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    for name in ("sqlite", "postgres"):
        with ExitStack() as stack:
            database = _database(name, stack)
            with database.begin() as session:
                topic = a_topic(session)
            print(f"{name}: {lines} lines")
            number = _measured("  read and staged", database, topic, lines, partial(_stage, database, lines))
            _measured("  applied", database, topic, lines, partial(_apply, database, number))
            _measured("  undone", database, topic, lines, partial(_undo, database, number))


def _database(name: str, stack: ExitStack) -> Database:
    if name == "sqlite":
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="alerts-bench-")))
        database = Database(f"sqlite:///{folder / 'alerts.db'}")
        upgrade(database)
    else:
        server = stack.enter_context(postgres.server())
        database = Database(stack.enter_context(server.database()))
    stack.callback(database.close)
    return database


def _stage(database: Database, lines: int) -> int:
    now = datetime.now(UTC)
    table = rows.read(io.BufferedReader(_File(lines)))
    with database.begin() as session:
        number = staging.begin(session, by="bench", language="en", now=now)
    given = Given(now, consent_source="the bench", consent_date="2026-01-02")
    run.stage_file(
        database,
        number,
        table,
        shapes.reader_of(table, given),
        with_opt_outs=True,
        refuse=print,
        advance=lambda _: None,
        clock=lambda: datetime.now(UTC),
    )
    return number


def _apply(database: Database, number: int) -> int:
    with database.begin() as session:
        staging.seal(session, number, by="bench", now=datetime.now(UTC))
    run.finish(database, PEPPER, number, lambda: datetime.now(UTC), lambda _: None)
    return number


def _undo(database: Database, number: int) -> int:
    with database.begin() as session:
        undoing.begin(session, number, by="bench", now=datetime.now(UTC))
    run.finish(database, PEPPER, number, lambda: datetime.now(UTC), lambda _: None)
    return number


def _measured(what: str, database: Database, topic: int, lines: int, work: Callable[[], int]) -> int:
    waits: list[float] = []
    done = threading.Event()

    def daemon() -> None:
        mine = sa.update(Topic).where(col(Topic.id) == topic).values(description="")
        while not done.wait(EVERY_SECONDS):
            began = perf_counter()
            with database.begin() as session:
                session.exec(mine)
            waits.append(perf_counter() - began)

    thread = threading.Thread(target=daemon)
    thread.start()
    began, used = perf_counter(), process_time()
    try:
        number = work()
    finally:
        done.set()
        thread.join()
    seconds, processor = perf_counter() - began, process_time() - used
    waits.sort()
    half, most = waits[len(waits) // 2], waits[int(len(waits) * 0.99)]
    print(
        f"{what:18} {seconds:7.1f} s, {processor / lines * 1e6:5.0f} us of processor a line;"
        f" a transaction beside it: median {half * 1e3:.0f} ms, 99 % {most * 1e3:.0f} ms, most {waits[-1] * 1e3:.0f} ms"
    )
    return number


class _File(io.RawIOBase):
    """A list that is written as it is read."""

    def __init__(self, lines: int) -> None:
        self._lines = _text(lines)
        self._rest = b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override] # the stub says Buffer
        while len(self._rest) < len(buffer) and (line := next(self._lines, b"")):
            self._rest += line
        data, self._rest = self._rest[: len(buffer)], self._rest[len(buffer) :]
        buffer[: len(data)] = data
        return len(data)


def _text(lines: int) -> Iterator[bytes]:
    yield b"address,topic,frequency\n"
    for number in range(lines):
        yield b"reader-%d@mail-%d.example,all,%b\n" % (
            number,
            number % 500,
            b"daily" if number % 2 else b"every",
        )


if __name__ == "__main__":
    main()
