"""The ground other tests stand on: databases of each kind, and the builders."""

import subprocess
import sys
import time
from datetime import timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic.script import ScriptDirectory
from sqlmodel import Session, select

from alerts import migrations, schema
from alerts.db import Database, among, clock, each_id, only_process
from alerts.errors import Unavailable
from alerts.models import Delivery, EntryRevision, Site, Subscriber, Subscription, table_of
from build import a_feed, a_reader, a_topic, an_entry, readers
from fakes import postgres


def _count(session: Session, table: type) -> int:
    counted: int = session.execute(sa.select(sa.func.count()).select_from(table)).scalar_one()
    return counted


def test_a_database_has_this_versions_schema_and_nothing_in_it(db: Database) -> None:
    schema.check(db)
    with db.begin() as session:
        assert _count(session, Delivery) == 0


def test_each_test_has_a_database_of_its_own(db: Database) -> None:
    with db.begin() as session:
        assert a_feed(session) == 1


def test_builders_write_what_they_say(db: Database) -> None:
    with db.begin() as session:
        entry_id = an_entry(session, a_feed(session), title="A title", is_key_event=True, author="B. Writer")
        topic_id = a_topic(session)
        a_reader(session, topic_id=topic_id)
    with db.begin() as session:
        revision = session.get_one(EntryRevision, (entry_id, 1))
        assert (revision.title, revision.author) == ("A title", "B. Writer")
        assert _count(session, Subscription) == 1


def test_twenty_thousand_readers_are_written_in_bulk(db: Database) -> None:
    with db.begin() as session:
        topic_id = a_topic(session)
        begun = time.process_time()
        ids = readers(session, 20_000, topic_id)
        assert time.process_time() - begun < 5  # one at a time takes tens of seconds
        assert ids == sorted(set(ids))
        assert len(ids) == _count(session, Subscription) == 20_000


def test_a_postgres_that_vanished_is_given_up_in_half_a_minute(postgres_db: Database) -> None:
    """What libpq was told; to cut a connection without a word takes more rights than tests have."""
    with postgres_db.engine.connect() as connection:
        told = connection.connection.driver_connection.info.get_parameters()  # type: ignore[union-attr] # pooled: it is open
    assert int(told["tcp_user_timeout"]) <= 30_000
    assert (
        int(told["keepalives_idle"]) + int(told["keepalives_interval"]) * int(told["keepalives_count"]) <= 30
    )
    assert int(told["connect_timeout"]) <= 30


def test_a_connection_that_the_server_closed_is_replaced_unseen(
    postgres_db: Database, postgres_server: postgres.Server
) -> None:
    with postgres_db.begin() as session:
        was = _backend(session)
    postgres_server.execute(f"SELECT pg_terminate_backend({was}, 10000)")
    with postgres_db.begin() as session:
        assert _backend(session) != was


def _backend(session: Session) -> int:
    return int(session.connection().exec_driver_sql("SELECT pg_backend_pid()").scalar_one())


def test_one_daemon_holds_a_file_by_whatever_name_it_is_called(tmp_path: Path) -> None:
    (tmp_path / "site").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "site")
    (tmp_path / "other.db").symlink_to(tmp_path / "site" / "alerts.db")
    names = ("site/alerts.db", "link/alerts.db", "other.db")
    one, *others = [Database(f"sqlite:///{tmp_path}/{name}") for name in names]
    with only_process(one):
        for other in others:
            with pytest.raises(Unavailable), only_process(other):
                pass


def test_each_transaction_of_a_connection_ends_by_itself(db: Database) -> None:
    """The pool begins one, so that the next on the same connection could be forgotten."""
    named = sa.insert(table_of(Site))
    with db.engine.connect() as connection:
        for name in ("one", "two"):
            connection.execute(named, {"name": name, "value": ""})
            connection.commit()
        connection.execute(named, {"name": "three", "value": ""})
        connection.rollback()
    with db.begin() as session:
        assert set(session.exec(select(Site.name))) == {"one", "two"}


def test_the_clock_is_the_databases_at_the_begin(postgres_db: Database) -> None:
    times = []
    for _ in range(2):
        with postgres_db.begin() as session:
            times.append(clock(session))
            asked = session.connection().exec_driver_sql("SELECT clock_timestamp()").scalar_one()
            times.append(asked)
            assert clock(session) == times[-2]
    assert times == sorted(times)
    assert times[0].utcoffset() == timedelta(0)


AWKWARD = ["plain", 'quo"te', "back\\slash", "com,ma", "{brace}", "NULL", "", " space ", "ünï", "it's", "\n"]


@pytest.mark.parametrize("wanted", [[each] for each in AWKWARD] + [AWKWARD, AWKWARD[:3], []])
def test_texts_bound_as_one_value_are_found_as_they_are(db: Database, wanted: list[str]) -> None:
    table = table_of(Site)
    found = sa.select(table.c.name).where(among(table.c.name, "names"))
    with db.begin() as session:
        session.connection().execute(sa.insert(table), [{"name": each, "value": ""} for each in AWKWARD])
        names = session.connection().execute(found, {"names": wanted}).scalars()
        assert sorted(names) == sorted(wanted)


@pytest.mark.parametrize("ids", [[], [7], [3, 1, 2**40]])
def test_ids_bound_as_one_value_are_a_row_each(db: Database, ids: list[int]) -> None:
    with db.begin() as session:
        assert list(session.connection().execute(sa.select(each_id("ids")), {"ids": ids}).scalars()) == ids


def test_what_is_among_ids_is_looked_up_and_not_looked_for(sqlite_db: Database) -> None:
    ids = table_of(Subscriber).c.id
    found = sa.select(ids).where(among(ids, "ids"), ids > 0)
    with sqlite_db.begin() as session:
        text = str(found.compile(dialect=session.connection().dialect))
        plan = session.connection().exec_driver_sql(f"EXPLAIN QUERY PLAN {text}", ("[1]", 0)).all()
    assert "(rowid=?)" in str(plan)


def test_the_newest_schema_is_the_last_of_the_migrations() -> None:
    folder = Path(migrations.__file__).parent
    assert ScriptDirectory(str(folder)).get_current_head() == migrations.NEWEST


def test_a_process_loads_only_the_parts_that_it_runs() -> None:
    """Each would take some MB for nothing: the pages' framework, another database's driver, the schema's upgrades."""
    unwanted = ("fastapi", "psycopg", "alembic")
    parts = "alerts.cli, alerts.daemon, alerts.roles.poll, alerts.roles.send"
    code = f"import sys, {parts}; print(set({unwanted}) & sys.modules.keys())"
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert told.stdout.strip() == "set()"
