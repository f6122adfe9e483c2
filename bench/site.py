"""A site of ours as its operator has it: a configuration, a database full of readers, and daemons as processes."""

import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import psycopg
import sqlalchemy as sa
from sqlalchemy.engine import make_url
from sqlmodel import col, select

from alerts.db import Database
from alerts.models import Frequency, Subscriber, Subscription, Topic
from alerts.schema import upgrade
from bench.processes import Failed, end, start

SECRET = "a secret of the bench, long enough to be taken"
_READY_SECONDS = 60
_LOG_TAIL = 3000
_SLICE = 100_000

_CONFIG = """\
state_dir = "{state}"
secret = "{secret}"
[site]
name = "Harbour Alerts"
sender_name = "Harbour Alerts"
sender = "alerts@example.org"
base_url = "https://alerts.example.org"
postal_address = "1 Quay Street, Port Example"
[database]
url = "{database}"
[transport.main]
host = "127.0.0.1"
port = {port}
connections = {connections}
[web]
enabled = false
[[feed]]
name = "harbour"
url = "{feed}"
interval = 1
[[topic]]
slug = "harbour"
title = "The harbour"
"""
_SIGNED = """\
[dkim.bench]
key_file = "{key}"
"""


@dataclass(frozen=True, slots=True)
class Wishes:
    """How a site is to be; with a signing key, a PEM file, it signs."""

    database: str
    readers: int
    port: int
    feed: str
    connections: int = 10
    signing_key: Path | None = None


class Site:
    """The site, and its daemons while they run."""

    def __init__(self, folder: Path, wishes: Wishes, on: frozenset[int]) -> None:
        self.wishes = wishes
        self._folder = folder
        self._on = on
        self._daemons: list[subprocess.Popen[bytes]] = []
        self._view = _View(wishes.database)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for daemon in self._daemons:
            end(daemon)
        self._view.close()

    @property
    def pids(self) -> list[int]:
        return [each.pid for each in self._daemons]

    def start(self) -> None:
        """Starts one more daemon, and waits until it is ready."""
        number = len(self._daemons)
        config, log = self._folder / f"config-{number}.toml", self._folder / f"daemon-{number}.log"
        config.write_text(self._config(number))
        with log.open("wb") as output:
            command = [sys.executable, "-m", "alerts.cli", "--config", config, "run"]
            daemon = start(command, self._on, stdout=output, stderr=output)
        self._daemons.append(daemon)
        until = time.monotonic() + _READY_SECONDS
        while b"daemon_ready" not in log.read_bytes():
            if daemon.poll() is not None or time.monotonic() > until:
                raise Failed(f"the daemon does not start: {self.last_words()}")
            time.sleep(0.05)

    def make(self) -> None:
        """Makes the schema, the feed and the topic, and puts the readers in, who follow it."""
        config = self._folder / "config.toml"
        config.write_text(self._config(0))
        database = Database(self.wishes.database)
        try:
            upgrade(database)
            self._apply(config)
            _fill(database, self.wishes.readers)
        finally:
            database.close()

    def is_done(self) -> bool:
        """Whether every reader owed the newest alert ended in a recorded state."""
        return self._view.ask("SELECT count(*) FROM alert WHERE done_at IS NOT NULL") > 0

    def accepted(self) -> int:
        return self._view.ask("SELECT count(*) FROM delivery WHERE state = 'accepted'")

    def written(self) -> int:
        """How many bytes PostgreSQL wrote to its WAL so far; SQLite's are the daemon's own."""
        if self._view.is_sqlite:
            return 0
        return self._view.ask("SELECT pg_wal_lsn_diff(pg_current_wal_lsn(), '0/0')::bigint")

    def last_words(self) -> str:
        logs = sorted(self._folder.glob("daemon-*.log"))
        return "\n".join(each.read_bytes()[-_LOG_TAIL:].decode(errors="replace") for each in logs)

    def _config(self, number: int) -> str:
        wishes = self.wishes
        text = _CONFIG.format(
            state=self._folder / f"state-{number}",
            secret=SECRET,
            database=wishes.database,
            port=wishes.port,
            connections=wishes.connections,
            feed=wishes.feed,
        )
        return text + (_SIGNED.format(key=wishes.signing_key) if wishes.signing_key else "")

    def _apply(self, config: Path) -> None:
        command = [sys.executable, "-m", "alerts.cli", "--config", config, "config", "apply"]
        process = start(command, self._on, stderr=subprocess.PIPE)
        _, errors = process.communicate(timeout=_READY_SECONDS)
        if process.returncode:
            raise Failed(f"config apply failed: {errors.decode()[-_LOG_TAIL:]}")


class _View:
    """Looks into the database from beside, and holds nobody up: it writes nothing, and each look is over at once."""

    def __init__(self, url: str) -> None:
        self._url = make_url(url)
        self.is_sqlite = self._url.get_backend_name() == "sqlite"
        self._connection: Any = None

    def ask(self, question: str) -> int:
        if self._connection is None:
            self._connection = self._connect()
        return int(self._connection.execute(question).fetchone()[0])

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()

    def _connect(self) -> Any:
        if self.is_sqlite:
            uri = f"file:{self._url.database}?mode=ro"
            return sqlite3.connect(uri, uri=True, isolation_level=None, timeout=30)
        address = self._url.set(drivername="postgresql").render_as_string(hide_password=False)
        return psycopg.connect(address, autocommit=True)


@contextmanager
def site(folder: Path, wishes: Wishes, on: frozenset[int]) -> Iterator[Site]:
    """Gives a site that is made and has no daemon yet."""
    folder.mkdir(parents=True)
    with Site(folder, wishes, on) as made:
        made.make()
        yield made


def _fill(database: Database, readers: int) -> None:
    """Writes the readers and what they follow, a slice at a time: one statement may not take a minute."""
    for first in range(0, readers, _SLICE):
        with database.begin() as session:
            topic = session.exec(select(Topic.id)).one()
            newest = session.exec(select(sa.func.coalesce(sa.func.max(Subscriber.id), 0))).one()
            now = sa.select(sa.func.max(col(Topic.created_at))).scalar_subquery()
            address = _addresses(first, min(readers, first + _SLICE))
            connection = session.connection()
            connection.execute(
                sa.insert(Subscriber).from_select(
                    ["address", "address_key", "created_at"], sa.select(address, address, now)
                )
            )
            number = col(Subscriber.id)
            followed = sa.select(number, sa.literal(topic), sa.literal(str(Frequency.EVERY)), now, now)
            connection.execute(
                sa.insert(Subscription).from_select(
                    ["subscriber_id", "topic_id", "frequency", "since", "chosen_at"],
                    followed.where(number > newest),
                )
            )
    if not database.is_sqlite:  # as its autovacuum does, in its own time
        with database.begin() as session:
            session.connection().exec_driver_sql("ANALYZE")


def _addresses(first: int, end: int) -> sa.ColumnElement[str]:
    """Gives the addresses of the readers of these numbers, as a column that the database counts up itself."""
    numbers = sa.select(sa.literal(first).label("n")).cte("numbers", recursive=True)
    numbers = numbers.union_all(sa.select(numbers.c.n + 1).where(numbers.c.n + 1 < end))
    number, host = sa.cast(numbers.c.n, sa.String), sa.cast(numbers.c.n % 50, sa.String)
    return sa.literal("reader").concat(number).concat("@mail").concat(host).concat(".example.net")
