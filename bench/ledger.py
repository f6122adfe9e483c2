"""What the ledger costs per reader, with the SMTP server left out: it takes every mail at once.

    PYTHONPATH=tests .venv/bin/python bench/ledger.py

Runs the daemon's own transactions on SQLite and on PostgreSQL. On PostgreSQL a plain queue follows, to compare
what is written: a row per reader that is inserted at the announcement and found by its state.
"""

import argparse
import logging
import os
import tempfile
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from time import perf_counter, process_time
from typing import ParamSpec, TypeVar

import sqlalchemy as sa
import structlog
from sqlmodel import Session

import build
from alerts.audience.tokens import Keys, derive
from alerts.db import Database, clock
from alerts.dispatch import outbox, receipts
from alerts.dispatch.announce import announce_entry
from alerts.dispatch.opening import Opening, Plan, open_chunk
from alerts.dispatch.outbox import Lease
from alerts.dispatch.receipts import Receipt, Settled
from alerts.schema import upgrade
from fakes import postgres

P = ParamSpec("P")
T = TypeVar("T")

LEASE = timedelta(minutes=10)
PAUSE = timedelta(minutes=1)
KEYS: Keys = derive(b"a secret of the bench", [])


@dataclass(slots=True)
class Meter:
    """Times transactions by their name; on PostgreSQL it also counts what they write to the WAL.

    Of the server's own processor time it takes what passed within them.
    """

    database: Database
    seconds: dict[str, float] = field(default_factory=lambda: defaultdict(float))
    processor: dict[str, float] = field(default_factory=lambda: defaultdict(float))  # of this process
    calls: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    wal: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    server: float = 0.0

    def run(self, name: str, function: Callable[[Session], T]) -> T:
        before, busy = self._wal_position(), self._server_seconds()
        began, used = perf_counter(), process_time()
        with self.database.begin() as session:
            result = function(session)
        self.seconds[name] += perf_counter() - began
        self.processor[name] += process_time() - used
        self.calls[name] += 1
        self.server += self._server_seconds() - busy
        self.wal[name] += self._wal_position() - before
        return result

    def _wal_position(self) -> int:
        if self.database.is_sqlite:
            return 0
        with self.database.engine.connect() as connection:
            position = sa.text("SELECT pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0')")
            return int(connection.execute(position).scalar_one())

    def _server_seconds(self) -> float:
        """What the processes of the server on this machine have used, the present ones and those that ended."""
        if self.database.is_sqlite:
            return 0.0
        postmaster = int(
            (Path(str(self.database.url.query["host"])) / "data" / "postmaster.pid").read_text().split()[0]
        )
        own = Path(f"/proc/{postmaster}")
        children = (own / "task" / own.name / "children").read_text().split()
        ticks = _ticks(own.name, 4) + sum(_ticks(each, 2) for each in children)
        return ticks / os.sysconf("SC_CLK_TCK")


def _ticks(pid: str, fields: int) -> int:
    """User and system time of a process, and with four fields of its children that ended, too."""
    try:
        return sum(
            map(int, Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11 : 11 + fields])
        )
    except FileNotFoundError:  # it ended meanwhile
        return 0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--readers", type=int, default=20_000)
    parser.add_argument("--batch", type=int, default=500, help="readers a lease covers")
    parser.add_argument("--chunk", type=int, default=250, help="readers opened at once")
    parser.add_argument("--group", type=int, default=100, help="receipts recorded at once")
    sizes = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    for name in ("sqlite", "postgres"):
        with (
            tempfile.TemporaryDirectory(prefix="alerts-bench-") as folder,
            _database(name, folder) as database,
        ):
            upgrade(database)
            _print(name, "the ledger", _ledger(database, sizes), sizes.readers)
            if database.is_sqlite:
                _print_commits(database)
            else:
                _print(name, "a plain queue", _queue(database, sizes), sizes.readers)
                _print_in_place(database)


@contextmanager
def _database(name: str, folder: str) -> Iterator[Database]:
    if name == "sqlite":
        yield from _opened(f"sqlite:///{Path(folder) / 'alerts.db'}")
        return
    with postgres.server() as server, server.database() as url:
        yield from _opened(url)


def _opened(url: str) -> Iterator[Database]:
    database = Database(url)
    try:
        yield database
    finally:
        database.close()


def _ledger(database: Database, sizes: argparse.Namespace) -> Meter:
    """Announces one entry and delivers it to everybody, as `deliver` does, without the wire."""
    now = datetime.now(UTC)
    with database.begin() as session:
        entry = build.an_entry(session, build.a_feed(session, now=now), now=now)
        topic = build.a_topic(session, now=now)
        build.readers(session, sizes.readers, topic, now=now, apart=timedelta(seconds=1))
    meter = Meter(database)
    meter.run("announce", lambda session: announce_entry(session, entry, now))
    while (lease := meter.run("claim", lambda session: _claim(session, sizes.batch))) is not None:
        _deliver(meter, lease, sizes)
    return meter


def _deliver(meter: Meter, lease: Lease, sizes: argparse.Namespace) -> None:
    plan = Plan(sizes.chunk, KEYS.current, "main")
    while openings := meter.run("open", lambda session: open_chunk(session, lease, plan, clock(session))):
        said = [_accepted(opening) for opening in openings]
        for start in range(0, len(said), sizes.group):
            _record(meter, lease, said[start : start + sizes.group])
    meter.run("close", lambda session: outbox.close(session, lease, clock(session), PAUSE, PAUSE))


def _record(meter: Meter, lease: Lease, group: Sequence[Receipt]) -> None:
    meter.run("record", lambda session: receipts.record(session, lease, group, KEYS, clock(session)))


def _claim(session: Session, size: int) -> Lease | None:
    return outbox.claim(session, "bench", size=size, length=LEASE, now=clock(session))


def _accepted(opening: Opening) -> Receipt:
    return Receipt(opening.subscriber_id, Settled.ACCEPTED, "", 250, "", "example.org")


def _queue(database: Database, sizes: argparse.Namespace) -> Meter:
    """The usual design: what is queued is a row, its state is indexed, and each step updates it."""
    with database.begin() as session:
        for statement in (
            "CREATE TABLE queue (alert_id bigint, subscriber_id bigint, address text, state text, at timestamp)",
            "ALTER TABLE queue ADD PRIMARY KEY (alert_id, subscriber_id)",
            "CREATE INDEX ix_queue_state ON queue (state, subscriber_id)",
        ):
            session.connection().exec_driver_sql(statement)
    meter = Meter(database)
    meter.run("announce", _enqueue)
    while ids := meter.run("open", lambda session: _take(session, sizes.chunk)):
        for start in range(0, len(ids), sizes.group):
            group = ids[start : start + sizes.group]
            meter.run("record", lambda session, group=group: _settle(session, group))  # type: ignore[misc]
    return meter


def _enqueue(session: Session) -> None:
    session.connection().execute(
        sa.text("INSERT INTO queue SELECT 1, id, address, 'queued', created_at FROM subscriber")
    )


def _take(session: Session, size: int) -> list[int]:
    taken = sa.text(
        "UPDATE queue SET state = 'sending' WHERE alert_id = 1 AND subscriber_id IN (SELECT subscriber_id FROM"
        f" queue WHERE state = 'queued' ORDER BY subscriber_id LIMIT {size}"
        " FOR UPDATE SKIP LOCKED) RETURNING subscriber_id"
    )
    return list(session.connection().execute(taken).scalars())


def _settle(session: Session, ids: Sequence[int]) -> None:
    settled = sa.text("UPDATE queue SET state = 'accepted' WHERE alert_id = 1 AND subscriber_id IN :ids")
    session.connection().execute(settled.bindparams(sa.bindparam("ids", expanding=True)), {"ids": ids})


def _print(name: str, what: str, meter: Meter, readers: int) -> None:
    print(f"\n{name}: {what}, {readers} readers")
    print(
        f"{'':10}{'transactions':>14}{'ms each':>10}{'us/reader':>12}{'processor':>12}{'WAL bytes/reader':>20}"
    )
    together = [sum(each.values()) for each in (meter.calls, meter.seconds, meter.processor, meter.wal)]
    for step in meter.seconds:
        _print_row(
            step, meter.calls[step], meter.seconds[step], meter.processor[step], meter.wal[step], readers
        )
    calls, seconds, processor, wal = together
    _print_row("together", int(calls), seconds, processor, int(wal), readers)
    if meter.server:
        print(f"{'server':10}{meter.server / readers * 1e6:48.1f}")


def _print_row(step: str, calls: int, seconds: float, processor: float, wal: int, readers: int) -> None:
    each = [f"{seconds / readers * 1e6:.1f}", f"{processor / readers * 1e6:.1f}"]
    bytes_each = f"{wal / readers:.0f}" if wal else "-"
    print(f"{step:10}{calls:>14}{seconds / calls * 1e3:>10.2f}{each[0]:>12}{each[1]:>12}{bytes_each:>20}")


def _print_in_place(database: Database) -> None:
    """Says how many of the updates stayed on their page and touched no index (HOT)."""
    print("\npostgres: updates in place (HOT), of all updates")
    with database.begin() as session:
        session.connection().exec_driver_sql("SELECT pg_stat_force_next_flush()")
    counts = sa.text("SELECT n_tup_hot_upd, n_tup_upd FROM pg_stat_user_tables WHERE relname = :name")
    for name in ("delivery", "queue"):
        with database.engine.connect() as connection:
            in_place, updates = connection.execute(counts, {"name": name}).one()
        print(f"{name:10}{in_place:>8} of {updates}")


def _print_commits(database: Database, commits: int = 300) -> None:
    """Times a transaction of one row, with and without the wait for the disk."""
    print("\nsqlite: a transaction of one row")
    for level in ("FULL", "NORMAL"):
        with database.engine.connect() as connection:
            connection.rollback()
            raw = connection.connection.dbapi_connection
            assert raw is not None
            cursor = raw.cursor()
            cursor.execute(f"PRAGMA synchronous={level}")
            began = perf_counter()
            for number in range(commits):
                cursor.execute("BEGIN IMMEDIATE")
                cursor.execute("INSERT OR REPLACE INTO site VALUES ('bench', ?)", (str(number),))
                cursor.execute("COMMIT")
            print(f"synchronous={level:8}{(perf_counter() - began) / commits * 1e3:.2f} ms")


if __name__ == "__main__":
    main()
