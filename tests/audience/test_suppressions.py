"""Suppressions: kept by hash, in step with the readers, undone as they were made."""

from concurrent.futures import ThreadPoolExecutor

import pytest
import sqlalchemy as sa
from sqlmodel import Session, col, select

from alerts.audience import subscribers, suppressions
from alerts.audience.addresses import normalise
from alerts.db import Database
from alerts.models import Subscriber, SubscriptionEvent, Suppression
from build import NOW

PEPPER = b"a pepper for tests"


def sign_up(session: Session, name: str) -> int:
    return subscribers.add(session, PEPPER, normalise(f"{name}@example.org"), by="test", now=NOW)


def suppress(session: Session, name: str, cause: str = "complaint") -> bool:
    return suppressions.suppress(
        session, PEPPER, f"{name}@example.org", cause=cause, evidence="a letter", origin="test", now=NOW
    )


def test_a_suppression_is_known_by_hash_only_and_marks_the_reader(db: Database) -> None:
    with db.begin() as session:
        reader = sign_up(session, "ana")
        assert suppress(session, "ana")
        assert not suppress(session, "ana", "bounce")
        assert suppressions.is_suppressed(session, PEPPER, "ana@example.org")
        assert not suppressions.is_suppressed(session, b"another pepper", "ana@example.org")
        assert subscribers.show(session, reader).suppressed == "complaint"
        row = session.exec(select(Suppression)).one()
        assert "ana" not in str(row.model_dump())


def test_an_address_can_be_suppressed_before_it_signs_up(db: Database) -> None:
    with db.begin() as session:
        assert suppress(session, "ben")
        assert subscribers.show(session, sign_up(session, "ben")).suppressed == "complaint"


def test_a_release_lets_the_reader_be_mailed_again(db: Database) -> None:
    with db.begin() as session:
        reader = sign_up(session, "ana")
        suppress(session, "ana")
        assert suppressions.release(session, PEPPER, "ana@example.org", by="test", now=NOW)
        assert not suppressions.release(session, PEPPER, "ana@example.org", by="test", now=NOW)
        assert subscribers.show(session, reader).suppressed == ""
        assert not suppressions.is_suppressed(session, PEPPER, "ana@example.org")


def test_a_reader_whose_suppression_is_under_a_hash_of_old_is_released(db: Database) -> None:
    """Keys beyond ASCII were folded differently once: the row of then is found by nobody any more."""
    with db.begin() as session:
        reader = sign_up(session, "zoë")
        suppress(session, "zoë")
        session.exec(sa.update(Suppression).values(address_hash="of another key"))
        key = normalise("zoë@example.org").key
        assert suppressions.release(session, PEPPER, key, by="test", now=NOW)
        assert subscribers.show(session, reader).suppressed == ""
        event = session.exec(select(SubscriptionEvent).order_by(col(SubscriptionEvent.id).desc())).first()
        assert event is not None
        assert (event.subscriber_id, event.kind) == (reader, "release")
        assert not suppressions.release(session, PEPPER, key, by="test", now=NOW)


@pytest.mark.parametrize("repeats", [1, 2])
def test_the_sender_suppresses_readers_by_id(db: Database, repeats: int) -> None:
    with db.begin() as session:
        ids = [sign_up(session, name) for name in ("ana", "ben", "cleo", "dora")]
        suppress(session, "ben")
        subscribers.erase(session, ids[2], by="test", now=NOW)
        found = [(reader, "550 5.1.1") for reader in ids[:3]]
        stopped = [
            suppressions.suppress_many(
                session, PEPPER, found, cause="dead address", origin="alert:1", now=NOW
            )
            for _ in range(repeats)
        ]
        assert stopped == [1, 0][:repeats]
        assert suppressions.suppress_many(session, PEPPER, [], cause="x", origin="y", now=NOW) == 0
    with db.begin() as session:
        readers = session.exec(select(Subscriber)).all()
        assert {each.id: each.suppressed for each in readers} == dict(
            zip(ids, ["dead address", "complaint", "", ""], strict=True)
        )
        assert suppressions.count(session) == [
            suppressions.Counted("complaint", "test", 1),
            suppressions.Counted("dead address", "alert:1", 1),
        ]


def test_two_who_suppress_one_address_at_once_wait_in_one_order(postgres_db: Database) -> None:
    """In opposite orders each would hold what the other waits for, until PostgreSQL ends one of them."""
    with postgres_db.begin() as session:
        reader = sign_up(session, "ana")
    with ThreadPoolExecutor(1) as threads, postgres_db.begin() as sender:
        sender.exec(select(Subscriber.id).where(col(Subscriber.id) == reader).with_for_update()).one()
        person = threads.submit(_suppress_ana, postgres_db)
        while not _is_anybody_blocked(postgres_db):
            assert not person.done()
        found = [(reader, "550 5.1.1")]
        suppressions.suppress_many(sender, PEPPER, found, cause="dead address", origin="alert:1", now=NOW)
    assert not person.result(), "the sender was first"


def _suppress_ana(database: Database) -> bool:
    with database.begin() as session:
        return suppress(session, "ana")


def _is_anybody_blocked(database: Database) -> bool:
    blocked = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
    with database.begin() as session:
        return bool(session.connection().exec_driver_sql(blocked).scalar_one())
