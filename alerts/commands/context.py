"""What every command has at hand: the configuration, the database, and how to print."""

from __future__ import annotations

import getpass
import json
import os
import sys
from contextlib import contextmanager
from dataclasses import asdict, dataclass, is_dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TextIO

import typer

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from sqlmodel import Session

    from alerts.config import Config
    from alerts.db import Database

_WIDE = 10_000
DEFAULT_CONFIG = Path("config.toml")

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")]


@dataclass(frozen=True, slots=True)
class Front:
    """What the command line was called with; a typer context carries it to each command."""

    config_path: Path | None

    @property
    def path(self) -> Path | None:
        """The configuration file: the one named, else config.toml here when there is one."""
        if self.config_path is not None:
            return self.config_path
        return DEFAULT_CONFIG if DEFAULT_CONFIG.exists() else None

    def config(self) -> Config:
        from alerts.config import load

        return load(self.path, os.environ)

    @contextmanager
    def database(self) -> Iterator[Database]:
        """Gives the configured database, ready to use; what is wrong with it is said in one line."""
        from alerts import schema

        with self.raw_database() as database:
            schema.prepare(database)
            yield database

    @contextmanager
    def raw_database(self) -> Iterator[Database]:
        """Gives the configured database whatever its schema is."""
        from alerts.db import Database

        _log_warnings_only()
        with plain_errors():
            database = Database(self.config().database.url.get_secret_value())
            try:
                yield database
            finally:
                database.close()

    @contextmanager
    def transaction(self) -> Iterator[Session]:
        """Gives a session whose work is committed at the end, or undone on any error."""
        with self.database() as database, database.begin() as session:
            yield session

    def pepper(self) -> bytes:
        """Gives the key under which addresses are hashed."""
        from alerts.config import keys

        return keys(self.config()).pepper


def front(context: typer.Context) -> Front:
    """Gives what the command line was called with."""
    found: Front = context.find_root().obj
    return found


def now() -> datetime:
    """Gives the time that a command's work is dated with."""
    return datetime.now(UTC)


def by() -> str:
    """Names who gives the command, for the audit."""
    try:
        return f"cli:{getpass.getuser()}"
    except (KeyError, OSError):  # a container's user without a name
        return f"cli:{os.getuid()}"


def say(text: str) -> None:
    """Prints one line of text as it is, without rich's markup: it may come from a feed."""
    sys.stdout.write(f"{_printable(text)}\n")


def say_json(value: object) -> None:
    """Prints a value as JSON: dataclasses as objects, times in RFC 3339 UTC, durations in seconds."""
    sys.stdout.write(json.dumps(value, indent=2, default=_plain) + "\n")


def say_json_line(value: object, stream: TextIO | None = None) -> None:
    """Prints a value as JSON on one line, for a stream of them."""
    (stream or sys.stdout).write(json.dumps(value, default=_plain) + "\n")


def say_table(columns: Sequence[str], rows: Iterable[Sequence[object]], *, empty: str) -> None:
    """Prints rows under their columns, or one line when there are none."""
    from rich.console import Console
    from rich.table import Column, Table
    from rich.text import Text

    headers = [Column(name, overflow="fold") for name in columns]
    table = Table(*headers, box=None, pad_edge=False, header_style="bold")
    for row in rows:
        table.add_row(*[Text(_printable(_cell(value))) for value in row])
    if table.row_count:
        # Into a file or a pipe nothing is cut to the width of a terminal that is not there.
        Console(width=None if sys.stdout.isatty() else _WIDE).print(table)
    else:
        say(empty)


def say_facts(facts: Iterable[tuple[str, object]]) -> None:
    """Prints names and values, one a line; values that say nothing are left out."""
    shown = [(name, _cell(value)) for name, value in facts if value not in (None, "", ())]
    width = max((len(name) for name, _ in shown), default=0)
    for name, value in shown:
        say(f"{name:<{width}}  {value}")


def _cell(value: object) -> str:
    match value:
        case None:
            return ""
        case bool():
            return "yes" if value else "no"
        case datetime():
            return f"{value.astimezone(UTC):%Y-%m-%d %H:%M:%S}Z"
        case timedelta():
            return f"{value.total_seconds():g} s"
        case tuple() | list():
            return ", ".join(_cell(each) for each in value)
    return str(value)


def _plain(value: object) -> Any:
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
    if isinstance(value, timedelta):
        return value.total_seconds()
    if is_dataclass(value) and not isinstance(value, type):
        return asdict(value)
    return str(value)


def _printable(text: str) -> str:
    """Takes control characters out: a feed's title must not steer the terminal."""
    return "".join(letter if letter.isprintable() else " " for letter in text)


def _log_warnings_only() -> None:
    import logging

    import structlog

    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )


@contextmanager
def plain_errors() -> Iterator[None]:
    """Turns a database that does not answer into one line that says so."""
    from sqlalchemy.exc import DBAPIError

    from alerts.errors import Unavailable

    try:
        yield
    except DBAPIError as error:
        if not (error.connection_invalidated or type(error).__name__ == "OperationalError"):
            raise
        reason = " ".join(str(error.orig).split())
        raise Unavailable(f"The database cannot be used: {reason}") from None
