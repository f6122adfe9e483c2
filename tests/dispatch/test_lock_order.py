"""Whoever locks the same rows waits in one order: queued up behind one lock, all get through on PostgreSQL."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
import sqlalchemy as sa
from sqlmodel import Session, SQLModel, col, select

from alerts.audience import notices as asking
from alerts.audience import signups, subscribers
from alerts.audience.addresses import normalise
from alerts.audience.consents import Words
from alerts.audience.lists import applying, staging
from alerts.audience.signups import Confirmed, NotConfirmed, Wanted
from alerts.audience.tokens import derive
from alerts.db import Database
from alerts.dispatch import notices, outbox, receipts
from alerts.dispatch.opening import Plan, open_chunk
from alerts.dispatch.outbox import Lease
from alerts.dispatch.receipts import Receipt, Settled
from alerts.models import (
    Batch,
    DigestMark,
    DigestSpan,
    Diversion,
    Frequency,
    Notice,
    NoticeKind,
    SignUp,
    Subscriber,
    table_of,
)
from build import NOW, a_reader, a_topic, an_alert, follows
from listing import csv_of, staged

LEASE = timedelta(seconds=30)
KEYS = derive(b"s" * 32, [])
PLAN = Plan(size=100, key_id=1, transport="main")
ADDRESS = "ana@example.org"
DEAD = (Settled.DEAD, "no such user", 550, "5.1.1", "example.org", "main")
LATE = NOW + timedelta(hours=3)
A_MINUTE_ON = NOW + timedelta(minutes=1)
Deed = Callable[[Session], object]


def behind(db: Database, table: type[SQLModel], *deeds: Deed) -> list[object]:
    """Has transactions come to wait one after the other while a table's rows are locked; gives their answers."""

    def in_a_transaction(deed: Deed) -> object:
        with db.begin() as session:
            return deed(session)

    with ThreadPoolExecutor(len(deeds)) as threads:
        with db.begin() as session:
            session.execute(sa.select(table_of(table)).with_for_update()).all()
            answers = []
            for deed in deeds:
                answers.append(threads.submit(in_a_transaction, deed))
                while waiting(db) < len(answers):
                    assert not answers[-1].done(), "it waited for nobody"
        return [each.result() for each in answers]


def waiting(db: Database) -> int:
    blocked = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
    with db.begin() as session:
        return int(session.connection().exec_driver_sql(blocked).scalar_one())


@pytest.fixture
def reader(postgres_db: Database) -> int:
    with postgres_db.begin() as session:
        topic = a_topic(session)
        reader = a_reader(session, ADDRESS, topic)
        town = a_topic(session, "town")
        follows(session, reader, town, Frequency.DAILY)
        an_alert(session, {topic: [Frequency.EVERY], town: [Frequency.EVERY]})
    return reader


def leased(db: Database) -> Lease:
    with db.begin() as session:
        lease = outbox.claim(session, "a", size=500, length=LEASE, now=NOW)
    assert lease is not None
    return lease


def applies(db: Database) -> Deed:
    """Gives an import that changes the reader's frequency, and so looks after alerts that are under way."""
    number, refused = staged(db, csv_of(f"{ADDRESS},all,daily,"))
    assert refused == []
    with db.begin() as session:
        staging.seal(session, number, by="test", now=NOW)
    return lambda session: applying.apply_slice(session, KEYS.pepper, number, A_MINUTE_ON)


def stopped(db: Database) -> list[str]:
    with db.begin() as session:
        return [*session.exec(select(Subscriber.suppressed))]


def test_dead_addresses_are_recorded_while_an_import_changes_their_readers(
    postgres_db: Database, reader: int
) -> None:
    lease = leased(postgres_db)
    with postgres_db.begin() as session:
        assert open_chunk(session, lease, PLAN, NOW)

    def record(session: Session) -> None:
        receipts.record(session, lease, [Receipt(reader, *DEAD)], KEYS, NOW)

    assert behind(postgres_db, Batch, record, applies(postgres_db)) == [None, 1]
    assert stopped(postgres_db) == ["dead address"]


def test_dead_addresses_of_a_journal_are_folded_while_an_import_changes_their_readers(
    postgres_db: Database, reader: int
) -> None:
    lease = leased(postgres_db)
    with postgres_db.begin() as session:
        assert open_chunk(session, lease, PLAN, NOW)
    key = (lease.alert_id, lease.first_id, lease.epoch)

    def fold(session: Session) -> None:
        receipts.fold(session, key, "a", [Receipt(reader, *DEAD)], frozenset(), KEYS, NOW)

    assert behind(postgres_db, Batch, fold, applies(postgres_db)) == [None, 1]
    assert stopped(postgres_db) == ["dead address"]


def test_an_opening_diverts_readers_while_an_import_changes_them(postgres_db: Database, reader: int) -> None:
    lease = leased(postgres_db)
    with postgres_db.begin() as session:
        session.exec(sa.update(Batch).values(due_at=LATE + LEASE))

    def open_late(session: Session) -> object:
        return open_chunk(session, lease, PLAN, LATE)

    assert behind(postgres_db, Batch, open_late, applies(postgres_db)) == [(), 1]
    with postgres_db.begin() as session:
        assert session.exec(select(Diversion.subscriber_id)).all() == [reader]


def test_a_notice_to_a_dead_address_is_settled_while_its_reader_is_erased(
    postgres_db: Database, reader: int
) -> None:
    with postgres_db.begin() as session:
        lifetime = timedelta(hours=1)
        kind, address = NoticeKind.LINK, normalise(ADDRESS)
        asking.ask(session, KEYS, kind, address, reader, language="en", lifetime=lifetime, now=NOW)
    with postgres_db.begin() as session:
        (claimed,) = notices.claim(session, "a", 1, LEASE, NOW)

    def settle(session: Session) -> None:
        waits = (LEASE, LEASE)
        notices.settle(session, claimed, Receipt(reader, *DEAD), KEYS, waits, NOW)

    def erase(session: Session) -> None:
        subscribers.erase(session, reader, by="reader", now=NOW)

    behind(postgres_db, Notice, settle, erase)
    assert stopped(postgres_db) == ["dead address"]


@pytest.mark.parametrize("is_erased_first", [False, True])
def test_a_sign_up_is_confirmed_while_its_reader_is_erased(
    postgres_db: Database, reader: int, *, is_erased_first: bool
) -> None:
    wanted = Wanted(normalise(ADDRESS), "en", "UTC", {"all": "every"}, Words("en", "yes"), "sign-up page")
    with postgres_db.begin() as session:
        signups.ask_to_confirm(session, KEYS, wanted, timedelta(days=1), NOW)
    with postgres_db.begin() as session:
        notice = session.exec(select(col(Notice.id))).one() or 0
        pending = signups.look(session, KEYS, notice, NOW)
    assert isinstance(pending, signups.Pending)

    def confirm(session: Session) -> object:
        return signups.confirm(session, KEYS, notice, pending.version, NOW)

    def erase(session: Session) -> None:
        subscribers.erase(session, reader, by="reader", now=NOW)

    if is_erased_first:
        assert behind(postgres_db, SignUp, erase, confirm) == [None, NotConfirmed.GONE]
    else:
        assert behind(postgres_db, SignUp, confirm, erase) == [Confirmed(reader, pending.topics), None]


@pytest.mark.parametrize("is_erased", [False, True])
def test_a_reader_leaves_while_their_digest_is_opened(postgres_db: Database, *, is_erased: bool) -> None:
    """The digest locks the mark, and forgets a span that is closed then."""
    with postgres_db.begin() as session:
        reader = a_reader(session, ADDRESS)
        for slug in ("all", "town"):
            a_topic(session, slug)
            subscribers.follow(session, reader, slug, Frequency.DAILY, by="reader", now=NOW)
    with postgres_db.begin() as session:
        for slug in ("all", "town"):
            subscribers.follow(session, reader, slug, Frequency.EVERY, by="reader", now=A_MINUTE_ON)

    def open_digest(session: Session) -> None:
        session.execute(sa.select(table_of(DigestMark)).with_for_update()).all()
        session.execute(sa.delete(DigestSpan))

    def leave(session: Session) -> None:
        if is_erased:
            subscribers.erase(session, reader, by="reader", now=LATE)
        else:
            subscribers.unsubscribe(session, reader, None, by="reader", now=LATE)

    behind(postgres_db, DigestMark, open_digest, leave)
    with postgres_db.begin() as session:
        assert session.exec(select(DigestSpan)).all() == []
