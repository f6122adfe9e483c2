"""A site's move from SQLite to PostgreSQL, on both databases as they are."""

import signal
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from alerts import db as door
from alerts import schema
from alerts.audience import tokens
from alerts.db import Database
from alerts.dispatch import outbox
from alerts.dispatch.journal import Journals
from alerts.dispatch.opening import Plan, open_chunk
from alerts.dispatch.receipts import Receipt, Settled
from alerts.errors import AlertsError, Conflict, Refused, Unavailable
from alerts.failpoints import MOVE_NAMES
from alerts.models import (
    Delivery,
    Entry,
    EntryAlias,
    Frequency,
    Site,
    Subscriber,
    SubscriptionEvent,
    Topic,
    table_of,
)
from alerts.ops import move, tables
from alerts.ops.move import Moved
from alerts.ops.tables import Advance, Differs
from build import a_feed, a_reader, a_topic, an_alert, an_entry, readers
from fakes import dying, postgres

KEYS = tokens.derive(b"a secret of the tests, long enough to be taken", [])
SECRET_WORD = "rosalind@example.org"
TEXTS = ("Zoë", "a b", "éclair", "Ab", "~", "zz")  # in another order in each collation


@pytest.fixture
def file(sqlite_url: str) -> Iterator[Database]:
    database = Database(sqlite_url)
    yield database
    database.close()


@pytest.fixture
def target(postgres_db: Database) -> Database:
    """A database with the schema alone."""
    return postgres_db


@pytest.fixture
def empty(postgres_server: postgres.Server) -> Iterator[Database]:
    """A database with nothing at all."""
    with postgres_server.empty() as url:
        database = Database(url)
        yield database
        database.close()


def silent(*_: object) -> Advance:
    return lambda _: None


def moves(file: Database, target: Database, folder: Path) -> Moved:
    with Journals(folder / "journal", "mover") as journals:
        return move.move(file, target, journals, KEYS, silent)


def rows_of(database: Database, table: sa.Table) -> list[tuple[Any, ...]]:
    """A table's rows in an order that no collation changes."""
    with database.engine.begin() as connection:
        found = [tuple(row) for row in connection.execute(sa.select(table))]
    width = len(table.primary_key)
    return sorted(found, key=lambda row: [str(value).encode() for value in row[:width]])


def some_value(column: sa.Column[Any], number: int) -> Any:
    """A value that tells whether a type was kept; keys of six rows, and what they refer to, are in step."""
    kind = column.type
    if isinstance(kind, sa.JSON):
        return {"key": [number, None, "ü"]} if number % 2 else []
    if isinstance(kind, sa.LargeBinary):
        return bytes([0, number, 255])
    if isinstance(kind, sa.TypeDecorator) and not isinstance(kind, sa.Interval):
        kind = kind.impl_instance
    values: dict[type, Any] = {
        int: number,
        bool: number % 2 == 0,
        str: TEXTS[number - 1],
        float: 0.1 * number,
        datetime: datetime(2026, 11, 22, 7, number, 5, 123456, tzinfo=UTC),
        timedelta: timedelta(days=40 * number, seconds=5, microseconds=number),
    }
    if column.nullable and not column.foreign_keys and number == 2:
        return None
    return values[kind.python_type]


def fill(file: Database) -> None:
    with file.begin() as session:
        for table in tables.all_tables():
            session.connection().execute(
                sa.insert(table),
                [{each.name: some_value(each, number) for each in table.columns} for number in range(1, 7)],
            )


def test_every_row_of_every_table_arrives_as_it_was(file: Database, empty: Database, tmp_path: Path) -> None:
    fill(file)
    before = {table.name: rows_of(file, table) for table in tables.all_tables()}
    moved = moves(file, empty, tmp_path)
    schema.prepare(empty)
    for table in tables.all_tables():
        if table.name not in {"site", "batch", "delivery"}:  # what is drained has tests of its own
            assert rows_of(empty, table) == before[table.name]
    assert {name for name, _ in rows_of(empty, table_of(Site))} == {*TEXTS, "secret", "moved_from"}
    assert {each.table for each in moved.tables} == set(before)
    assert all(each.rows == 6 for each in moved.tables if each.table != "site")
    assert len({each.digest for each in moved.tables}) == len(moved.tables)


def test_keys_of_text_are_compared_in_one_order_whatever_the_collation(target: Database) -> None:
    """No build of PostgreSQL that tests run on has another collation than that of bytes."""
    with target.engine.begin() as there:
        ordered = [tables._in_bytes(there, column) for column in table_of(EntryAlias).primary_key]
    assert [str(each) for each in ordered] == [
        "entry_alias.feed_id",
        'entry_alias.kind COLLATE "C"',
        'entry_alias.value COLLATE "C"',
    ]


def test_memory_does_not_grow_with_the_rows(file: Database, target: Database) -> None:
    table, peaks = table_of(Subscriber), []
    with file.begin() as session:
        topic = a_topic(session)
    for count in (2_000, 18_000):
        with file.begin() as session:
            readers(session, count, topic, prefix=f"of{count}-")
        with file.engine.begin() as here, target.engine.begin() as there:
            tables.empty(there)
            tracemalloc.start()
            tables.copy(here, there, table, silent())
            assert tables.verify(here, there, table, silent()).rows == 20_000 or count == 2_000
            peaks.append(tracemalloc.get_traced_memory()[1])
            tracemalloc.stop()
    assert peaks[1] < 1.5 * peaks[0], peaks


def test_numbers_go_on_after_the_greatest(file: Database, target: Database, tmp_path: Path) -> None:
    with file.begin() as session:
        for number in (3, 70):
            session.add(Subscriber(id=number, created_at=datetime.now(UTC)))
        a_topic(session, "gone")
        session.execute(sa.delete(Topic))
    moves(file, target, tmp_path)
    with target.begin() as session:
        assert a_reader(session) == 71
        assert a_topic(session) == 2  # links may name the one that is gone
        assert a_feed(session) == 1


def test_the_old_file_refuses_to_start_and_ends_who_is_at_work_on_it(
    file: Database, target: Database, tmp_path: Path
) -> None:
    at_work = Database(str(file.url))
    with at_work.begin() as session:
        a_reader(session)
    place = moves(file, target, tmp_path).place
    starts: dict[Database, Callable[[Database], object]] = {file: schema.prepare, at_work: begin}
    for database, start in starts.items():
        with pytest.raises(Unavailable, match="This site was moved") as caught:
            start(database)
        assert place in str(caught.value)
        assert str(file.url.database) in str(caught.value)
    at_work.close()


def begin(database: Database) -> None:
    with database.begin():
        pass


def test_nobody_writes_to_the_file_while_it_is_copied(
    file: Database, target: Database, tmp_path: Path
) -> None:
    refused: list[str] = []

    def watch(what: str, *_: object) -> Advance:
        with beside.engine.connect() as connection, pytest.raises(sa.exc.OperationalError, match="is locked"):
            connection.exec_driver_sql("UPDATE site SET value = value")
        refused.append(what)
        return silent()

    beside = Database(str(file.url))
    sa.event.listen(beside.engine, "connect", lambda driver, _: driver.execute("PRAGMA busy_timeout = 0"))
    with Journals(tmp_path / "journal", "mover") as journals:
        move.move(file, target, journals, KEYS, watch)
    assert set(refused) == {"copy", "verify"}
    beside.close()


def test_no_password_is_kept_or_told(file: Database, target: Database, tmp_path: Path) -> None:
    url = target.url.set(username="postgres", password="hunter2-hunter2")
    with_password = Database(url.render_as_string(hide_password=False))
    place = moves(file, with_password, tmp_path).place
    with_password.close()
    assert "hunter2" not in place
    assert "hunter2" not in str(rows_of(file, table_of(Site)))
    assert move.place_of(sa.make_url("postgresql+psycopg://u:p@h/d?password=q&host=/run")) == (
        "postgresql://u@h/d?host=%2Frun"
    )


# --- what is in hand -----------------------------------------------------------------------------------


def opened(file: Database, count: int, now: datetime) -> outbox.Lease:
    """A lease of a process that is dead by now, with `count` mails opened."""
    with file.begin() as session:
        entry = an_entry(session, a_feed(session))
        topic = a_topic(session)
        readers(session, count, topic, now=now - timedelta(hours=1))
        alert = an_alert(session, {topic: [Frequency.EVERY]}, now=now)
        session.connection().execute(
            sa.text("INSERT INTO alert_entry (alert_id, entry_id, revision) VALUES (:alert, :entry, 1)"),
            {"alert": alert, "entry": entry},
        )
    with file.begin() as session:
        lease = outbox.claim(session, "dead", size=count, length=timedelta(minutes=5), now=now)
        assert lease is not None
        assert len(open_chunk(session, lease, Plan(count, KEYS.current, "main"), now)) == count
    return lease


def states(database: Database) -> dict[int, str]:
    with database.begin() as session:
        found = session.connection().execute(sa.select(table_of(Delivery)))
        return {row.subscriber_id: row.state for row in found}


def test_what_the_journals_know_is_in_the_ledger_that_arrives(
    file: Database, target: Database, tmp_path: Path
) -> None:
    lease = opened(file, 4, datetime.now(UTC))
    with Journals(tmp_path / "journal", "dead") as journals, journals.open(lease.name) as journal:
        for number in (1, 2, 3):
            journal.begin(number)
        journal.receive(Receipt(1, Settled.ACCEPTED, "", 250, "", "example.org"))
        journal.receive(Receipt(2, Settled.REFUSED, "refused: no", 550, "no", "example.org"))
    moves(file, target, tmp_path)
    assert states(target) == {1: "accepted", 2: "refused", 3: "unknown", 4: "deferred"}
    assert not list((tmp_path / "journal").glob("*/*.journal"))


def test_a_lease_without_a_journal_ends_as_if_it_had_run_out(
    file: Database, target: Database, tmp_path: Path
) -> None:
    lease = opened(file, 2, datetime.now(UTC))
    moves(file, target, tmp_path)
    with target.begin() as session:
        again = outbox.claim(session, "new", size=9, length=timedelta(minutes=1), now=door.clock(session))
    assert again is not None
    assert (again.first_id, again.epoch) == (lease.first_id, lease.epoch + 1)
    assert states(target) == {1: "unknown", 2: "unknown"}


def test_another_secret_than_the_sites_is_refused(file: Database, target: Database, tmp_path: Path) -> None:
    moves(file, target, tmp_path / "a")
    undo(file, target)
    other = tokens.derive(b"quite another secret, long enough too", [])
    with (
        Journals(tmp_path / "journal", "mover") as journals,
        pytest.raises(AlertsError, match="secret is not the one"),
    ):
        move.move(file, target, journals, other, silent)


# --- what is refused -----------------------------------------------------------------------------------


def test_a_daemon_on_the_file_is_to_be_stopped_first(
    file: Database, target: Database, tmp_path: Path
) -> None:
    with door.only_process(file), pytest.raises(Unavailable, match="stop it, and run"):
        moves(file, target, tmp_path)
    moves(file, target, tmp_path)


def test_a_database_with_anything_in_it_is_refused(
    file: Database, target: Database, empty: Database, tmp_path: Path
) -> None:
    with target.begin() as session:
        a_topic(session)
    with pytest.raises(Conflict, match="holds topic"):
        moves(file, target, tmp_path)
    with empty.engine.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE ledger_of_somebody (id int)")
    with pytest.raises(Conflict, match="holds ledger_of_somebody"):
        moves(file, empty, tmp_path)
    schema.prepare(file)


def test_a_half_move_of_another_site_is_refused(file: Database, target: Database, tmp_path: Path) -> None:
    dies_at("move.copied", file, target, tmp_path)
    other = Database(f"sqlite:///{tmp_path}/other.db")
    with pytest.raises(Conflict, match="not empty"):
        moves(other, target, tmp_path)
    other.close()
    assert moves(file, target, tmp_path).tables


def test_a_second_move_into_a_database_waits_for_the_first(
    file: Database, target: Database, tmp_path: Path
) -> None:
    other = Database(f"sqlite:///{tmp_path}/other.db")

    def watch(*_: object) -> Advance:
        with target.engine.connect() as there:
            there.exec_driver_sql("SET lock_timeout = '1ms'")
            with pytest.raises(sa.exc.OperationalError, match="lock timeout"):
                there.exec_driver_sql(f"SELECT pg_advisory_lock({move._LOCK})")
        return silent()

    with Journals(tmp_path / "journal", "mover") as journals:
        move.move(file, target, journals, KEYS, watch)
    other.close()


def test_a_database_in_another_encoding_is_refused(
    file: Database, tmp_path: Path, postgres_server: postgres.Server
) -> None:
    with postgres_server.empty("ENCODING 'LATIN1'") as url:
        target = Database(url)
        with pytest.raises(Refused, match="UTF8"):
            moves(file, target, tmp_path)
        target.close()


def test_what_postgresql_cannot_hold_is_named_without_its_words(
    file: Database, target: Database, tmp_path: Path
) -> None:
    with file.begin() as session:
        a_reader(session, "first@example.org")
        a_reader(session, SECRET_WORD, language="d\x00e")
    with pytest.raises(Refused, match="row 2 of table subscriber") as caught:
        moves(file, target, tmp_path)
    assert SECRET_WORD not in str(caught.value)
    with file.begin() as session:
        session.get_one(Subscriber, 2).language = "de"
        a_feed(session, flood_limit=2**40)
    with pytest.raises(Refused, match="row 1 of table feed, column flood_limit"):
        moves(file, target, tmp_path)
    schema.prepare(file)


def test_a_row_that_arrived_otherwise_is_found_and_the_file_stays_the_site(
    file: Database, target: Database, tmp_path: Path
) -> None:
    with file.begin() as session:
        a_reader(session, "first@example.org")
        a_reader(session, SECRET_WORD)
    schema.upgrade(target)
    with target.engine.begin() as connection:
        connection.exec_driver_sql(
            "CREATE FUNCTION spoil() RETURNS trigger LANGUAGE plpgsql AS"
            " $$ BEGIN IF NEW.id = 2 THEN NEW.language := 'xx'; END IF; RETURN NEW; END $$"
        )
        connection.exec_driver_sql(
            "CREATE TRIGGER spoil BEFORE INSERT ON subscriber FOR EACH ROW EXECUTE FUNCTION spoil()"
        )
    with pytest.raises(Differs, match="Table subscriber is not the same on both sides, at id 2") as caught:
        moves(file, target, tmp_path)
    assert SECRET_WORD not in str(caught.value)
    schema.prepare(file)
    with pytest.raises(Unavailable, match="A move into this database"):
        schema.prepare(target)
    with target.engine.begin() as connection:
        connection.exec_driver_sql("DROP TRIGGER spoil ON subscriber")
    assert moves(file, target, tmp_path).tables


@pytest.mark.parametrize("missing", ["there", "here"])
def test_a_row_on_one_side_only_is_found(file: Database, target: Database, missing: str) -> None:
    schema.upgrade(target)
    for database in (file, target):
        with database.begin() as session:
            a_reader(session)
            if (database is file) == (missing == "there"):
                a_reader(session, SECRET_WORD)
    with (
        file.engine.begin() as here,
        target.engine.begin() as there,
        pytest.raises(Differs, match=r"Table subscriber .* at id 2"),
    ):
        tables.verify(here, there, table_of(Subscriber), silent())


# --- what breaks off -----------------------------------------------------------------------------------


def dies_at(point: str, file: Database, target: Database, folder: Path) -> None:
    """Moves in a process that is killed at a point."""
    urls = str(file.url), target.url.render_as_string(hide_password=False)
    assert dying.at(point, move_in_a_process, *urls, str(folder)) == -signal.SIGKILL


def move_in_a_process(file: str, target: str, folder: str) -> None:
    moves(Database(file), Database(target), Path(folder))


@pytest.mark.parametrize("point", ["fold.committed", *MOVE_NAMES])
def test_a_move_that_is_killed_is_run_again(
    file: Database, target: Database, tmp_path: Path, point: str
) -> None:
    lease = opened(file, 1100, datetime.now(UTC))
    with Journals(tmp_path / "journal", "dead") as journals, journals.open(lease.name) as journal:
        for number in (1, 2):
            journal.begin(number)
        journal.receive(Receipt(1, Settled.ACCEPTED, "", 250, "", "example.org"))
    dies_at(point, file, target, tmp_path)
    is_file_open, is_target_open = opens(file), opens(target)
    assert is_file_open == (point not in {"move.closed", "move.opened"})
    # Before it is marked, the database is nobody's.
    assert is_target_open == (point in {"fold.committed", "move.drained", "move.opened"})
    moves(file, target, tmp_path)
    assert not opens(file)
    assert opens(target)
    assert_same(file, target)
    found = states(target)
    assert (len(found), found[1], found[2]) == (1100, "accepted", "unknown")
    assert {found[number] for number in range(3, 1101)} == {"deferred"}


def opens(database: Database) -> bool:
    with suppress(Unavailable):
        schema.prepare(database)
        return True
    return False


def assert_same(file: Database, target: Database) -> None:
    with file.engine.begin() as here, target.engine.begin() as there:
        for table in tables.all_tables():
            tables.verify(here, there, table, silent())


def test_what_the_file_learned_after_a_move_broke_off_arrives_too(
    file: Database, target: Database, tmp_path: Path
) -> None:
    with file.begin() as session:
        readers(session, 1100, a_topic(session))
    dies_at("move.verified", file, target, tmp_path)
    with file.begin() as session:
        session.get_one(Subscriber, 1).language = "de"
        an_entry(session, a_feed(session))
    moves(file, target, tmp_path)
    with target.begin() as session:
        assert session.get_one(Subscriber, 1).language == "de"
        assert session.get_one(Entry, 1).key == "post-1"


def test_a_finished_move_may_be_run_again(file: Database, target: Database, tmp_path: Path) -> None:
    moves(file, target, tmp_path)
    with target.begin() as session:
        a_reader(session)
    assert moves(file, target, tmp_path).tables == ()
    with target.begin() as session:
        assert session.get(Subscriber, 1) is not None


def test_a_moved_site_does_not_move_on_to_another_database(
    file: Database, target: Database, empty: Database, tmp_path: Path
) -> None:
    moves(file, target, tmp_path)
    with pytest.raises(Refused, match="not the database"):
        moves(file, empty, tmp_path)
    assert opens(target)


# --- back ----------------------------------------------------------------------------------------------


def undo(file: Database, target: Database) -> None:
    """Goes back, as a command of its own would: with no other connection to the database."""
    target.engine.dispose()
    move.undo(file, target, silent)


def test_a_move_is_undone_while_nothing_worked_there(
    file: Database, target: Database, tmp_path: Path
) -> None:
    fill(file)
    moves(file, target, tmp_path)
    undo(file, target)
    assert opens(file)
    assert not opens(target)
    with file.begin() as session:
        a_reader(session)
    moves(file, target, tmp_path)
    assert_same(file, target)


def test_a_move_is_not_undone_once_the_database_has_worked(
    file: Database, target: Database, tmp_path: Path
) -> None:
    moves(file, target, tmp_path)
    with target.begin() as session:
        reader = a_reader(session, SECRET_WORD)
        session.add(SubscriptionEvent(subscriber_id=reader, kind="follow", by="test", at=datetime.now(UTC)))
    with pytest.raises(Conflict, match="has worked in the database") as caught:
        undo(file, target)
    assert SECRET_WORD not in str(caught.value)
    assert opens(target)
    assert not opens(file)
    with pytest.raises(Refused, match="was not moved there"):
        move.undo_by_force(file, sa.make_url("postgresql://elsewhere/alerts"))
    move.undo_by_force(file, target.url)
    assert opens(file)


def test_a_move_is_not_undone_while_somebody_is_connected(
    file: Database, target: Database, tmp_path: Path
) -> None:
    moves(file, target, tmp_path)
    daemon = Database(target.url.render_as_string(hide_password=False))
    begin(daemon)
    with daemon.begin() as session:
        door.clock(session)
    with pytest.raises(Unavailable, match="is connected"):
        undo(file, target)
    assert opens(target)
    daemon.close()
    undo(file, target)


def test_there_is_nothing_to_undo_without_a_move(file: Database, target: Database) -> None:
    schema.prepare(file)
    with pytest.raises(Conflict, match="was not moved"):
        undo(file, target)
    with pytest.raises(Conflict, match="was not moved"):
        move.undo_by_force(file, target.url)
