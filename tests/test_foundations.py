"""The ground other tests stand on: databases of each kind, and the builders."""

import time

import sqlalchemy as sa
from sqlmodel import Session

from alerts.db import Database, check_schema
from alerts.models import Delivery, EntryRevision, Subscription
from build import a_feed, a_reader, a_topic, an_entry, readers


def _count(session: Session, table: type) -> int:
    counted: int = session.execute(sa.select(sa.func.count()).select_from(table)).scalar_one()
    return counted


def test_a_database_has_this_versions_schema_and_nothing_in_it(db: Database) -> None:
    check_schema(db)
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
