"""A machine that is lost in the middle of a transaction: what it locked is free again, and its lease is fenced."""

from collections.abc import Iterator
from datetime import datetime

import pytest
import sqlalchemy as sa
from sqlmodel import Session

from alerts import clocks
from alerts import db as database
from alerts.db import Database
from alerts.dispatch import deliver, outbox, receipts
from alerts.dispatch.opening import Plan, open_chunk
from alerts.dispatch.outbox import Lease
from alerts.dispatch.receipts import Receipt, Settled
from alerts.models import Delivery, DeliveryState, Frequency
from build import NOW, a_topic, an_alert, readers
from delivering import KEYS, SETTINGS

PLAN = Plan(size=100, key_id=1, transport="main")


@pytest.fixture
def site(postgres_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Database, Database]]:
    """Two machines on one database, which gives an idle transaction up after a second."""
    monkeypatch.setattr(database, "_IDLE_SECONDS", 1)
    one, other = Database(postgres_url), Database(postgres_url)
    with one.begin() as session:
        topic = a_topic(session)
        readers(session, 4, topic)
        an_alert(session, {topic: [Frequency.EVERY]})
    yield one, other
    one.close()
    other.close()


def claim(session: Session) -> Lease | None:
    return outbox.claim(session, "a", size=2, length=SETTINGS.lease, now=NOW)


def test_a_machine_that_sleeps_in_the_middle_of_a_claim_keeps_no_other_from_claiming(
    site: tuple[Database, Database],
) -> None:
    sleeper, other = site
    asleep = Session(sleeper.engine)
    asleep.begin()
    assert claim(asleep) is not None
    with other.begin() as session:
        assert claim(session) is not None, "and without a limit it would wait for ever"
    with pytest.raises(sa.exc.DBAPIError):
        asleep.commit()
    asleep.close()


def test_a_machine_that_sleeps_after_it_asked_for_the_time_is_fenced_by_the_time_it_asked_at(
    site: tuple[Database, Database], monkeypatch: pytest.MonkeyPatch
) -> None:
    began = clocks.boot_time()
    slept = 0.0

    def clock_and_sleep(session: Session) -> datetime:
        nonlocal slept
        now = database.clock(session)
        slept += 3600
        return now

    boot_time = clocks.boot_time
    monkeypatch.setattr(clocks, "boot_time", lambda: boot_time() + slept)
    monkeypatch.setattr(deliver, "clock", clock_and_sleep)
    with site[0].begin() as session:
        lease = deliver._claim(session, SETTINGS, 10, None, True, frozenset())
    assert lease is not None
    assert lease.deadline < began + 3600, "the row's lease ended an hour ago"


def test_a_late_journal_spares_who_was_put_off_meanwhile_the_next_try(db: Database) -> None:
    """The heir's try was put off by the server: what the lost machine had sent must not be sent once more."""
    with db.begin() as session:
        topic = a_topic(session)
        (reader,) = readers(session, 1, topic)
        alert = an_alert(session, {topic: [Frequency.EVERY]})
        lost = claim(session)
        assert lost is not None
        open_chunk(session, lost, PLAN, NOW)
    later = NOW + SETTINGS.lease * 2
    with db.begin() as session:
        heir = outbox.claim(session, "heir", size=2, length=SETTINGS.lease, now=later)
        assert heir is not None
        open_chunk(session, heir, PLAN, later)
        put_off = Receipt(reader, Settled.DEFERRED, "retry", 451, "", "")
        receipts.record(session, heir, [put_off], KEYS, later)
        assert not outbox.close(session, heir, later, SETTINGS.retry_first, SETTINGS.retry_most)
    with db.begin() as session:
        accepted = Receipt(reader, Settled.ACCEPTED, "", 250, "", "")
        key = (lost.alert_id, lost.first_id, lost.epoch)
        receipts.fold(session, key, lost.worker, [accepted], frozenset(), KEYS, later)
        assert session.get_one(Delivery, (alert, reader)).state == DeliveryState.ACCEPTED
