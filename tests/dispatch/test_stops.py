"""A stop is acknowledged only when no opening is under way that had read the reader before it."""

import threading
import time
from collections.abc import Callable
from datetime import timedelta

import pytest
import sqlalchemy as sa
from sqlmodel import Session

from alerts.audience import subscribers, suppressions
from alerts.audience.addresses import normalise
from alerts.audience.subscribers import erase, unsubscribe
from alerts.audience.tokens import Claim, Purpose
from alerts.db import Database
from alerts.dispatch import outbox
from alerts.dispatch.opening import Plan, open_chunk
from alerts.dispatch.outbox import Lease
from alerts.models import Delivery, Frequency
from alerts.web.deeds import stop_what_brought
from build import NOW, a_topic, an_alert, readers
from delivering import KEYS, SETTINGS

Stop = Callable[[Session, int], object]


def by_command(session: Session, reader: int) -> object:
    return unsubscribe(session, reader, None, by="cli", now=NOW)


def by_one_click(session: Session, reader: int) -> object:
    stop_what_brought(session, Claim(Purpose.MANAGE, reader, 1, 1), NOW)
    return None


def by_erasure(session: Session, reader: int) -> object:
    erase(session, reader, by="cli", now=NOW)
    return None


def by_suppression(session: Session, reader: int) -> object:
    address = f"reader{reader}@example.org"
    return suppressions.suppress(
        session, KEYS.pepper, address, cause="complaint", evidence="", origin="test", now=NOW
    )


def by_new_address(session: Session, reader: int) -> object:
    elsewhere = normalise("elsewhere@example.net")
    return subscribers.readdress(session, KEYS.pepper, reader, elsewhere, by="reader", now=NOW)


def by_pause(session: Session, reader: int) -> object:
    return subscribers.pause(session, reader, NOW + timedelta(days=1), by="reader", now=NOW)


STOPS = [by_command, by_one_click, by_erasure, by_suppression]


def claim(session: Session, size: int) -> Lease | None:
    return outbox.claim(session, "a", size=size, length=SETTINGS.lease, now=NOW)


def leased(db: Database, count: int, size: int = 500) -> tuple[Lease, list[int]]:
    with db.begin() as session:
        topic = a_topic(session)
        ids = readers(session, count, topic)
        an_alert(session, {topic: [Frequency.EVERY]})
    with db.begin() as session:
        lease = claim(session, size)
    assert lease is not None
    return lease, ids


def acknowledging(db: Database, stop: Stop, reader: int) -> tuple[threading.Thread, threading.Event]:
    """Has a reader stop in a thread of its own; the event is set when that is acknowledged."""
    acknowledged = threading.Event()

    def run() -> None:
        with db.begin() as session:
            stop(session, reader)
        acknowledged.set()

    thread = threading.Thread(target=run)
    thread.start()
    return thread, acknowledged


def somebody_waits(db: Database) -> bool:
    with db.engine.connect() as connection:
        query = sa.text("SELECT count(*) FROM pg_locks WHERE NOT granted")
        return bool(connection.execute(query).scalar_one())


@pytest.mark.parametrize("stop", [*STOPS, by_new_address, by_pause])
def test_an_opening_that_read_the_reader_before_their_stop_is_committed_before_it_is_acknowledged(
    postgres_db: Database, stop: Stop
) -> None:
    lease, ids = leased(postgres_db, 4)
    with postgres_db.begin() as opening:
        openings = open_chunk(opening, lease, Plan(4, 1, "main"), NOW)
        thread, acknowledged = acknowledging(postgres_db, stop, ids[-1])
        while not somebody_waits(postgres_db):
            assert not acknowledged.is_set(), "and the opening is not committed yet"
            time.sleep(0.01)
    thread.join()
    assert acknowledged.is_set()
    assert [each.subscriber_id for each in openings] == ids


@pytest.mark.parametrize("stop", STOPS)
def test_a_stop_does_not_wait_for_openings_of_others(postgres_db: Database, stop: Stop) -> None:
    first, ids = leased(postgres_db, 4, size=2)
    with postgres_db.begin() as session:
        assert claim(session, size=2) is not None
    with postgres_db.begin() as opening:
        open_chunk(opening, first, Plan(2, 1, "main"), NOW)
        thread, acknowledged = acknowledging(postgres_db, stop, ids[-1])
        thread.join()
        assert acknowledged.is_set()


@pytest.mark.parametrize("stop", STOPS)
def test_what_is_opened_after_a_stop_knows_of_it(db: Database, stop: Stop) -> None:
    lease, ids = leased(db, 4)
    with db.begin() as session:
        stop(session, ids[-1])
    with db.begin() as session:
        openings = open_chunk(session, lease, Plan(4, 1, "main"), NOW)
    assert [each.subscriber_id for each in openings] == ids[:-1]
    with db.begin() as session:
        assert session.get_one(Delivery, (lease.alert_id, ids[-1])).state == "skipped"
