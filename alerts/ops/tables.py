"""A site's tables as rows in the order of their keys: copied from SQLite to PostgreSQL, and compared.

Rows stream on both sides, read and written through the types of `models`; memory does not grow with them.
"""

import re
from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from dataclasses import dataclass
from hashlib import sha256
from itertools import zip_longest
from typing import Any, cast

import psycopg
import sqlalchemy as sa
from psycopg import sql
from sqlalchemy.engine import Connection, Row
from sqlmodel import SQLModel

from alerts.errors import Conflict, Refused, Unavailable
from alerts.failpoints import reach
from alerts.models import Site, SiteFact, table_of

Advance = Callable[[int], None]

_SLICE = 1_000
_SITE = table_of(Site)
_OF_THE_MOVE = (SiteFact.MOVE, SiteFact.MOVED_TO, SiteFact.MOVING, SiteFact.MOVED_FROM)
_PLACE = re.compile(r"line (\d+)(?:, column (\w+))?")


class Differs(Conflict):
    """A row is not the same on both sides, or on one side only; the text names its table and key."""


@dataclass(frozen=True, slots=True)
class Verified:
    """A table that is the same on both sides; the digest is one of all its values."""

    table: str
    rows: int
    digest: str


def all_tables() -> Sequence[sa.Table]:
    """Gives the site's tables, each after those that its foreign keys name."""
    return SQLModel.metadata.sorted_tables


def count(connection: Connection, table: sa.Table) -> int:
    rows: int = connection.execute(sa.select(sa.func.count()).select_from(table)).scalar_one()
    return rows


def empty(there: Connection) -> None:
    """Takes all rows of all tables of the site away."""
    names = map(there.dialect.identifier_preparer.format_table, all_tables())
    there.exec_driver_sql(f"TRUNCATE {', '.join(names)}")


def copy(here: Connection, there: Connection, table: sa.Table, advance: Advance) -> None:
    """Copies a table's rows into the empty one; Refused, with the row's place, for what PostgreSQL cannot hold."""
    binders = [
        column.type.dialect_impl(there.dialect).bind_processor(there.dialect) for column in table.columns
    ]
    copied = 0
    try:
        driver = cast("psycopg.Connection[Any]", there.connection.dbapi_connection)
        with closing(_rows(here, table)) as rows, driver.cursor().copy(_copy_statement(table)) as into:
            for row in rows:
                into.write_row(
                    [bind(value) if bind else value for bind, value in zip(binders, row, strict=True)]
                )
                copied += 1
                if copied % _SLICE == 0:
                    advance(_SLICE)
                    reach("move.copying")
    except psycopg.OperationalError as error:
        raise Unavailable(
            f"The connection to PostgreSQL broke off at table {table.name}: run the same command again."
        ) from error
    except psycopg.Error as error:
        # The error's own text may hold the row's values.
        place = _PLACE.search(error.diag.context or "")
        row_number, column_name = place.groups() if place else (copied + 1, None)
        where = f"row {row_number} of table {table.name}" + (f", column {column_name}" if column_name else "")
        raise Refused(
            f"PostgreSQL does not take {where}, counted in the order of the key: {type(error).__name__}. "
            "Mend it in the file, and run the same command again."
        ) from None
    advance(copied % _SLICE)


def number(here: Connection, there: Connection, table: sa.Table) -> None:
    """Lets the table's own numbers go on after the greatest that was ever given, also to a row that is gone."""
    column = table.autoincrement_column
    if column is not None:
        given = here.execute(_GIVEN, {"name": table.name}).scalar() or 0
        greatest = sa.func.greatest(sa.func.max(column), given)
        sequence = sa.func.pg_get_serial_sequence(table.name, column.name)
        there.execute(sa.select(sa.func.setval(sequence, greatest + 1, sa.false())))


_GIVEN = sa.text("SELECT seq FROM sqlite_sequence WHERE name = :name")


def analyze(there: Connection, table: sa.Table) -> None:
    """Gathers statistics now: the first claims must not wait for autovacuum."""
    there.exec_driver_sql(f"ANALYZE {there.dialect.identifier_preparer.format_table(table)}")


def verify(here: Connection, there: Connection, table: sa.Table, advance: Advance) -> Verified:
    """Compares a table row by row, on both sides as `models` reads them; Differs at the first that is not the same."""
    digest, compared = sha256(), 0
    with closing(_rows(here, table)) as sent, closing(_rows(there, table)) as arrived:
        for ours, theirs in zip_longest(sent, arrived):
            if ours is None or theirs is None or tuple(ours) != tuple(theirs):
                key = _key(table, ours or theirs)
                raise Differs(f"Table {table.name} is not the same on both sides, at {key}.")
            digest.update(repr(tuple(ours)).encode("utf-8", "surrogatepass"))
            compared += 1
            if compared % _SLICE == 0:
                advance(_SLICE)
                reach("move.verifying")
    advance(compared % _SLICE)
    return Verified(table.name, compared, digest.hexdigest()[:16])


def _rows(connection: Connection, table: sa.Table) -> Generator[Row[Any], None, None]:
    """Streams a table's rows in the order of its key: of text by its bytes, which is the order of SQLite."""
    query = sa.select(table).order_by(*(_in_bytes(connection, each) for each in table.primary_key))
    if table is _SITE:
        query = query.where(_SITE.c.name.not_in(_OF_THE_MOVE))
    with connection.execute(query, execution_options={"yield_per": _SLICE}) as rows:
        yield from rows


def _in_bytes(connection: Connection, column: sa.Column[Any]) -> sa.ColumnElement[Any]:
    kind = column.type.impl_instance if isinstance(column.type, sa.TypeDecorator) else column.type
    is_text = isinstance(kind, sa.String)
    return column.collate("C") if is_text and connection.dialect.name == "postgresql" else column


def _key(table: sa.Table, row: Row[Any] | None) -> str:
    return ", ".join(f"{column.name} {getattr(row, column.name)}" for column in table.primary_key)


def _copy_statement(table: sa.Table) -> sql.Composed:
    columns = sql.SQL(", ").join(sql.Identifier(column.name) for column in table.columns)
    return sql.SQL("COPY {} ({}) FROM STDIN").format(sql.Identifier(table.name), columns)
