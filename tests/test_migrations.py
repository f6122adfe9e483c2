"""A site of an earlier version becomes one of this: its rows stay, and so does what holds them together."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from sqlmodel import SQLModel, col, select

from alerts import migrations, schema
from alerts.db import Database
from alerts.models import DigestMark, DigestSlot, DigestSpan

_AT = datetime(2026, 11, 22, 7, 0, tzinfo=UTC)


def migrate(database: Database, to: str) -> None:
    config = Config()
    config.set_main_option("script_location", str(Path(migrations.__file__).parent))
    with (
        database.engine.connect() as connection,
        schema.checking_references_last(connection),
        connection.begin(),
    ):
        config.attributes["connection"] = connection
        command.upgrade(config, to)


@pytest.fixture
def older(tmp_path: Path) -> Iterator[Database]:
    """A site as 0005 left it, with two rows in each table."""
    database = Database(f"sqlite:///{tmp_path / 'older.db'}")
    migrate(database, "0005")
    with database.engine.begin() as connection:
        found = sa.MetaData()
        found.reflect(connection)
        for table in found.sorted_tables:
            if table.name != "alembic_version":
                connection.execute(sa.insert(table), [a_row(table, number) for number in (1, 2)])
    yield database
    database.close()


def a_row(table: sa.Table, number: int) -> dict[str, Any]:
    return {each.name: a_value(each, number) for each in table.columns}


def a_value(column: sa.Column[Any], number: int) -> Any:
    values: dict[type, Any] = {datetime: _AT, bool: True, bytes: b"kept", str: f"kept {number}", dict: {}}
    return values.get(column.type.python_type, number)


def held_together(database: Database, table: str) -> tuple[Any, ...]:
    """Gives a table's columns, keys, indexes and references, in an order of their own."""
    look = sa.inspect(database.engine)
    parts = (look.get_columns(table), look.get_indexes(table), look.get_foreign_keys(table))
    keys = (look.get_unique_constraints(table), look.get_pk_constraint(table)["constrained_columns"])
    return tuple(sorted(map(str, each)) for each in (*parts, *keys))


def rows(database: Database) -> dict[str, list[tuple[Any, ...]]]:
    with database.engine.begin() as connection:
        return {
            table.name: [tuple(row) for row in connection.exec_driver_sql(f'SELECT * FROM "{table.name}"')]
            for table in SQLModel.metadata.sorted_tables
        }


def test_no_row_and_no_reference_is_lost_on_the_way(older: Database) -> None:
    before = rows(older)
    names = before.keys() - {"notice"}  # it has another key
    tables = {name: held_together(older, name) for name in names}
    schema.upgrade(older)
    assert {name: held_together(older, name) for name in names} == tables
    after = rows(older)
    assert [row[:-1] for row in after.pop("notice")] == before.pop("notice")
    assert after == before
    with older.begin() as session:
        assert session.connection().exec_driver_sql("PRAGMA foreign_keys").scalar_one() == 1


def test_this_versions_schema_is_that_of_the_models(sqlite_db: Database) -> None:
    made = Database("sqlite://")
    SQLModel.metadata.create_all(made.engine)
    for table in SQLModel.metadata.tables:
        assert columns_of(sqlite_db, table) == columns_of(made, table)
        assert held_together(sqlite_db, table)[1:] == held_together(made, table)[1:]
        assert counts_up(sqlite_db, table) == counts_up(made, table)
    made.close()


def columns_of(database: Database, table: str) -> set[tuple[str, str, bool]]:
    found = sa.inspect(database.engine).get_columns(table)
    return {(each["name"], str(each["type"]), each["nullable"]) for each in found}


def counts_up(database: Database, table: str) -> bool:
    query = sa.text(
        "SELECT sql LIKE '%AUTOINCREMENT%' FROM sqlite_master WHERE type = 'table' AND name = :name"
    )
    with database.engine.begin() as connection:
        return bool(connection.execute(query, {"name": table}).scalar_one())


def test_a_name_beyond_ascii_has_the_key_of_its_own_mailbox(older: Database) -> None:
    spelled = ("Strauß@example.org", "Éclair@example.org", "Ann@example.org")
    folded = ("strauss@example.org", "éclair@example.org", "ann@example.org")
    with older.engine.begin() as connection:
        reader = sa.Table("subscriber", sa.MetaData(), autoload_with=connection)
        for number, (address, key) in enumerate(zip(spelled, folded, strict=True), start=5):
            row = a_row(reader, number) | {"address": address, "address_key": key}
            connection.execute(sa.insert(reader), row)
    schema.upgrade(older)
    with older.engine.begin() as connection:
        keys = connection.execute(
            sa.select(reader.c.address_key).where(reader.c.id > 2).order_by(reader.c.id)
        )
        assert keys.scalars().all() == ["strauß@example.org", "éclair@example.org", "ann@example.org"]


def test_a_pause_under_way_is_cut_out_and_hourly_digests_go_by_their_readers_clocks(older: Database) -> None:
    now = datetime.now(UTC)
    ends, due = now + timedelta(days=3), now + timedelta(minutes=20)
    with older.engine.begin() as connection:
        tables = sa.MetaData()
        tables.reflect(connection)
        reader, span, mark, slot = (
            tables.tables[name] for name in ("subscriber", "digest_span", "digest_mark", "digest_slot")
        )
        of_one = {"subscriber_id": 1, "frequency": "hourly"}
        connection.execute(sa.delete(span))
        connection.execute(sa.delete(mark))
        connection.execute(sa.update(reader).values(zone="Asia/Kolkata", paused_until=None))
        connection.execute(sa.update(reader).where(reader.c.id == 1).values(paused_until=ends))
        connection.execute(sa.insert(slot).values(frequency="hourly", slot="UTC", next_at=due))
        connection.execute(sa.insert(mark).values(**of_one, slot="UTC", through=_AT))
        for reader_id in (1, 2):
            row = of_one | {"subscriber_id": reader_id}
            connection.execute(sa.insert(span).values(**row, topic_id=1, since=_AT))
    schema.upgrade(older)
    with older.begin() as session:
        spans = session.exec(
            select(DigestSpan).order_by(col(DigestSpan.subscriber_id), col(DigestSpan.since))
        ).all()
        cut, rest, whole = ((each.since, each.until) for each in spans)
        assert cut[0] == _AT
        assert cut[1] is not None
        assert now <= cut[1] < due
        assert (rest, whole) == ((ends, None), (_AT, None))
        assert session.exec(select(DigestMark.slot)).all() == ["Asia/Kolkata"]
        assert session.get_one(DigestSlot, ("hourly", "Asia/Kolkata")).next_at == due
