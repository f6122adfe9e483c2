"""An import beside others on PostgreSQL: whoever comes second waits, and finds what the first one did."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from functools import partial
from typing import Any

import pytest
from sqlmodel import Session, col, select

from alerts.audience import signups, subscribers, suppressions
from alerts.audience.addresses import normalise
from alerts.audience.consents import Words
from alerts.audience.lists import applying, staging, undoing
from alerts.audience.signups import NotConfirmed, Wanted
from alerts.audience.tokens import derive
from alerts.db import Database
from alerts.models import (
    Consent,
    DigestSpan,
    Frequency,
    ImportChange,
    Notice,
    Subscriber,
    SubscriptionEvent,
)
from build import NOW, a_topic
from listing import LATER, csv_of, imported, reads, staged

KEYS = derive(b"a secret of thirty-two characters", [])
Deed = Callable[[Session], object]


@pytest.fixture
def site(postgres_db: Database) -> Database:
    with postgres_db.begin() as session:
        for slug in ("all", "ferries"):
            a_topic(session, slug)
    return postgres_db


def one_then_the_other(db: Database, first: Deed, second: Deed) -> Any:
    """Has two transactions begin one after the other: the second waits for the first, and its answer is given."""

    def in_a_transaction() -> object:
        with db.begin() as session:
            return second(session)

    with ThreadPoolExecutor(1) as threads:
        with db.begin() as session:
            first(session)
            answer = threads.submit(in_a_transaction)
            while not is_anybody_blocked(db):
                assert not answer.done(), "it waited for nobody"
        return answer.result()


def is_anybody_blocked(db: Database) -> bool:
    blocked = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
    with db.begin() as session:
        return bool(session.connection().exec_driver_sql(blocked).scalar_one())


def sealed(db: Database, *lines: str) -> int:
    number, refused = staged(db, csv_of(*lines))
    assert refused == []
    with db.begin() as session:
        staging.seal(session, number, by="test", now=NOW)
    return number


def applies(db: Database, *lines: str) -> Deed:
    """Gives the first slice of an import of these lines."""
    number = sealed(db, *lines)
    return lambda session: applying.apply_slice(session, KEYS.pepper, number, LATER)


def adds(address: str) -> Deed:
    return lambda session: subscribers.add(session, KEYS.pepper, normalise(address), by="test", now=LATER)


def confirms(db: Database, address: str) -> Deed:
    """Gives the confirming of a sign-up that waits."""
    wanted = Wanted(normalise(address), "en", "UTC", {"all": "every"}, Words("en", "yes"), "sign-up page")
    with db.begin() as session:
        signups.ask_to_confirm(session, KEYS, wanted, timedelta(days=1), NOW)
    with db.begin() as session:
        notice = session.exec(select(Notice.id).order_by(col(Notice.id).desc())).first() or 0
        found = signups.look(session, KEYS, notice, NOW)
    assert isinstance(found, signups.Pending)
    version = found.version
    return lambda session: signups.confirm(session, KEYS, notice, version, NOW)


def suppresses(address: str) -> Deed:
    return partial(
        suppressions.suppress,
        pepper=KEYS.pepper,
        address_key=address,
        cause="complaint",
        evidence="a letter",
        origin="test",
        now=NOW,
    )


def leaves(reader: int) -> Deed:
    return lambda session: subscribers.unsubscribe(session, reader, None, by="reader", now=NOW)


def suppressed(db: Database) -> dict[str | None, str]:
    with db.begin() as session:
        return {each.address: each.suppressed for each in session.exec(select(Subscriber))}


def test_whoever_becomes_a_reader_while_their_address_is_suppressed_is_suppressed(site: Database) -> None:
    name = "ana@example.org"
    assert one_then_the_other(site, suppresses(name), applies(site, f"{name},all,every,")) == 1
    assert suppressed(site) == {}
    name = "ben@example.org"
    assert one_then_the_other(site, applies(site, f"{name},all,every,"), suppresses(name)) is True
    assert suppressed(site) == {name: "complaint"}
    name = "cem@example.org"
    one_then_the_other(site, suppresses(name), adds(name))
    assert suppressed(site)[name] == "complaint"
    name = "dora@example.org"
    one_then_the_other(site, adds(name), suppresses(name))
    assert suppressed(site)[name] == "complaint"
    name = "eve@example.org"
    assert one_then_the_other(site, suppresses(name), confirms(site, name)) is NotConfirmed.SUPPRESSED
    assert name not in suppressed(site)
    name = "fred@example.org"
    one_then_the_other(site, confirms(site, name), suppresses(name))
    assert suppressed(site)[name] == "complaint"


def test_a_release_and_a_sign_up_at_once_leave_nobody_suppressed_for_no_reason(site: Database) -> None:
    name = "ana@example.org"
    with site.begin() as session:
        suppresses(name)(session)
    release = partial(suppressions.release, pepper=KEYS.pepper, address_key=name, by="test", now=NOW)
    one_then_the_other(site, adds(name), release)
    assert suppressed(site) == {name: ""}


@pytest.mark.parametrize("line", ["ana@example.org,all,daily,", "ana@example.org,ferries,daily,"])
def test_who_leaves_while_an_import_is_applied_stays_away(site: Database, line: str) -> None:
    imported(site, csv_of("ana@example.org,all,every,"))
    with site.begin() as session:
        reader = subscribers.find(session, "ana@example.org")
    apply = applies(site, line)
    one_then_the_other(site, leaves(reader), apply)
    assert reads(site, "ana@example.org") == {}
    with site.begin() as session:
        assert session.exec(select(DigestSpan)).all() == []
        subscribers.follow(session, reader, "all", Frequency.EVERY, by="reader", now=NOW)
    apply = applies(site, line)
    one_then_the_other(site, apply, leaves(reader))
    assert reads(site, "ana@example.org") == {}
    with site.begin() as session:
        assert session.exec(select(DigestSpan)).all() == []


def test_who_is_erased_while_an_import_is_applied_does_not_come_back(site: Database) -> None:
    imported(site, csv_of("ana@example.org,all,every,"))
    with site.begin() as session:
        reader = subscribers.find(session, "ana@example.org")
    apply = applies(site, "ana@example.org,all,daily,", "ana@example.org,ferries,daily,")

    def erase(session: Session) -> None:
        subscribers.erase(session, reader, by="reader", now=NOW)

    assert one_then_the_other(site, erase, apply) == 2
    with site.begin() as session:
        assert [each.state for each in session.exec(select(Subscriber))] == ["erased"]


def test_who_leaves_while_an_import_is_undone_stays_away(site: Database) -> None:
    imported(site, csv_of("ana@example.org,all,daily,"))
    number, _ = imported(site, csv_of("ana@example.org,all,every,"), now=LATER)
    with site.begin() as session:
        reader = subscribers.find(session, "ana@example.org")
        undoing.begin(session, number, by="test", now=LATER)
    later = LATER + timedelta(minutes=1)

    def leave(session: Session) -> object:
        return subscribers.unsubscribe(session, reader, None, by="reader", now=later)

    def undo(session: Session) -> object:
        return undoing.undo_slice(session, KEYS.pepper, number, later)

    one_then_the_other(site, leave, undo)
    assert reads(site, "ana@example.org") == {}
    with site.begin() as session:
        assert session.exec(select(DigestSpan)).all() == []


def test_two_imports_that_bring_the_same_reader_at_once_bring_them_once(site: Database) -> None:
    first, second = (applies(site, f"ana@example.org,all,{frequency},") for frequency in ("daily", "hourly"))
    one_then_the_other(site, first, second)
    assert reads(site, "ana@example.org") == {"all": "hourly"}
    with site.begin() as session:
        spans = session.exec(select(DigestSpan).where(col(DigestSpan.until).is_(None))).all()
        assert [each.frequency for each in spans] == ["hourly"]
        changes = session.exec(select(ImportChange).order_by(col(ImportChange.id))).all()
        assert [(each.kind, each.before) for each in changes] == [("new", ""), ("change", "daily")]
        events = session.exec(select(SubscriptionEvent).order_by(col(SubscriptionEvent.id))).all()
        assert [each.kind for each in events] == ["follow", "change"]
        assert len(session.exec(select(Consent)).all()) == 2
