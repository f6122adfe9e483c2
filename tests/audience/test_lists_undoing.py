"""What an undoing must not take back: a reader's own word, another import's, and what is too old."""

from datetime import datetime, timedelta

import pytest
from sqlmodel import Session, col, select

from alerts.audience import signups, subscribers, suppressions
from alerts.audience.addresses import normalise
from alerts.audience.consents import Words
from alerts.audience.lists import applying, run, staging, undoing
from alerts.audience.signups import Confirmed, Pending, Wanted
from alerts.audience.tokens import Claim, Purpose, derive
from alerts.db import Database
from alerts.errors import Conflict, NotFound
from alerts.models import Frequency, Notice, Subscriber, SubscriptionEvent, Topic
from alerts.web.deeds import stop_what_brought
from build import NOW, a_topic, an_alert
from listing import LATER, PEPPER, csv_of, exported, imported, reads, staged, undo

KEYS = derive(b"a secret of thirty-two characters", [])
MINUTE = timedelta(minutes=1)
ANA, BEN, ZOE = (f"{name}@example.org" for name in ("ana", "ben", "zoe"))


@pytest.fixture
def site(sqlite_db: Database) -> Database:
    with sqlite_db.begin() as session:
        for slug in ("all", "ferries"):
            a_topic(session, slug)
    return sqlite_db


def is_reader(db: Database, address: str) -> bool:
    with db.begin() as session:
        try:
            subscribers.find(session, address)
        except NotFound:
            return False
        return True


def suppressed(db: Database) -> tuple[dict[str, str], dict[str | None, str]]:
    """Gives the causes by the table of suppressions, and by the readers' rows."""
    with db.begin() as session:
        causes = dict(suppressions.causes(session, PEPPER, [ANA, BEN, ZOE]))
        rows = session.exec(select(Subscriber)).all()
        return causes, {each.address: each.suppressed for each in rows if each.suppressed}


def leave(db: Database, address: str, topic: str | None, now: datetime) -> int:
    with db.begin() as session:
        reader = subscribers.find(session, address)
        return subscribers.unsubscribe(session, reader, topic, by="reader", now=now)


def why_kept(db: Database, number: int) -> list[str]:
    with db.begin() as session:
        return [each.why for each in staging.list_kept(session, number, 10)]


def history(db: Database, address: str) -> list[tuple[str, str]]:
    with db.begin() as session:
        reader = subscribers.find(session, address)
        query = select(SubscriptionEvent).where(SubscriptionEvent.subscriber_id == reader)
        return [(each.kind, each.by) for each in session.exec(query.order_by(col(SubscriptionEvent.id)))]


@pytest.mark.parametrize(
    ("line", "own", "stays"),
    [
        (f"{ANA},,,left", None, {}),
        (f"{ANA},,,left", "all", {"ferries": "every"}),
        (f"{ANA},all,,left", "all", {"ferries": "every"}),
        (f"{ANA},all,,left", None, {}),
    ],
)
def test_who_left_by_themselves_after_an_import_had_them_leave_stays_away(
    site: Database, line: str, own: str | None, stays: dict[str, str]
) -> None:
    imported(site, csv_of(f"{ANA},all,daily,", f"{ANA},ferries,every,"))
    number, _ = imported(site, csv_of(line), now=LATER)
    leave(site, ANA, own, LATER + MINUTE)
    undo(site, number, LATER + 2 * MINUTE)
    assert reads(site, ANA) == stays
    assert why_kept(site, number)


def test_who_leaves_by_the_link_in_a_mail_after_an_import_had_them_leave_stays_away(site: Database) -> None:
    imported(site, csv_of(f"{ANA},all,daily,", f"{ANA},ferries,every,"))
    with site.begin() as session:
        reader = subscribers.find(session, ANA)
        topic = session.exec(select(Topic.id).where(Topic.slug == "ferries")).one() or 0
        alert = an_alert(session, {topic: [Frequency.EVERY]})
    number, _ = imported(site, csv_of(f"{ANA},,,left"), now=LATER)
    with site.begin() as session:
        stop_what_brought(session, Claim(Purpose.MANAGE, reader, alert, 1), LATER + MINUTE)
    undo(site, number, LATER + 2 * MINUTE)
    assert reads(site, ANA) == {"all": "daily"}


def test_a_wish_to_leave_is_noted_once_also_where_nothing_is_left_to_end(site: Database) -> None:
    imported(site, csv_of(f"{ANA},all,daily,"))
    assert leave(site, ANA, "all", LATER) == 1
    before = history(site, ANA)
    assert leave(site, ANA, "all", LATER + MINUTE) == 0
    assert history(site, ANA) == before, "said already"
    assert leave(site, ANA, "ferries", LATER + MINUTE) == 0
    assert history(site, ANA) == [*before, ("unsubscribe", "reader")]


def test_who_complained_after_an_import_had_suppressed_them_stays_suppressed(site: Database) -> None:
    imported(site, csv_of(f"{ANA},all,every,"))
    number, _ = imported(site, csv_of(f"{ANA},,,bounced", f"{ZOE},,,bounced"), now=LATER)
    with site.begin() as session:
        for address in (ANA, ZOE):
            is_new = suppressions.suppress(
                session,
                PEPPER,
                address,
                cause="complaint",
                evidence="a letter",
                origin="ops",
                now=LATER + MINUTE,
            )
            assert not is_new
    undo(site, number, LATER + 2 * MINUTE)
    assert suppressed(site) == ({ANA: "complaint", ZOE: "complaint"}, {ANA: "complaint"})
    assert why_kept(site, number) == ["is suppressed for another reason since"]
    with site.begin() as session:
        assert suppressions.count(session) == [suppressions.Counted("complaint", "ops", 2)]


def test_an_opt_out_that_a_later_import_names_too_stays(site: Database) -> None:
    imported(site, csv_of(f"{ANA},all,daily,", f"{BEN},all,daily,"))
    outs = csv_of(f"{ANA},,,left", f"{BEN},,,spam", f"{ZOE},,,spam", "new@example.org,,,left")
    first, _ = imported(site, outs, now=LATER)
    for minutes in (1, 2):
        imported(site, outs, now=LATER + minutes * MINUTE)
    assert len(history(site, ANA)) == 3, "a third import adds nothing: follow, leaving, named"
    undo(site, first, LATER + 3 * MINUTE)
    assert reads(site, ANA) == {}
    assert suppressed(site) == ({BEN: "spam", ZOE: "spam"}, {BEN: "spam"})
    assert is_reader(site, "new@example.org"), "or nothing is left to know them by"


@pytest.mark.parametrize("second", [f"{ANA},all,,left", f"{ANA},,,left"])
def test_a_topic_that_two_imports_have_readers_leave_stays_left(site: Database, second: str) -> None:
    imported(site, csv_of(f"{ANA},all,daily,", f"{ANA},ferries,every,"))
    first, _ = imported(site, csv_of(f"{ANA},all,,left"), now=LATER)
    imported(site, csv_of(second), now=LATER + MINUTE)
    undo(site, first, LATER + 2 * MINUTE)
    assert "all" not in reads(site, ANA)


def test_a_reader_whom_a_second_import_names_too_stays_until_that_is_undone(site: Database) -> None:
    text = csv_of(f"{ANA},all,daily,")
    first, _ = imported(site, text)
    second, _ = imported(site, text, now=LATER)
    undo(site, first, LATER + MINUTE)
    assert reads(site, ANA) == {"all": "daily"}
    third, _ = imported(site, csv_of(f"{BEN},all,daily,"), now=LATER)
    fourth, _ = imported(site, csv_of(f"{BEN},all,daily,"), now=LATER + MINUTE)
    undo(site, fourth, LATER + 2 * MINUTE)
    undo(site, third, LATER + 3 * MINUTE)
    assert not is_reader(site, BEN)
    assert second


def test_who_has_confirmed_for_themselves_since_stays(site: Database) -> None:
    number, _ = imported(site, csv_of(f"{ANA},all,every,", f"{BEN},all,every,"))
    wanted = Wanted(normalise(ANA), "en", "UTC", {"all": "every"}, Words("en", "yes"), "sign-up page")
    with site.begin() as session:
        signups.ask_to_confirm(session, KEYS, wanted, timedelta(days=1), LATER)
    with site.begin() as session:
        notice = session.exec(select(Notice.id)).one() or 0
        found = signups.look(session, KEYS, notice, LATER)
        assert isinstance(found, Pending)
        assert isinstance(signups.confirm(session, KEYS, notice, found.version, LATER), Confirmed)
    undo(site, number, LATER + MINUTE)
    assert reads(site, ANA) == {"all": "every"}
    assert not is_reader(site, BEN)


def pause(session: Session, reader: int) -> None:
    subscribers.pause(session, reader, LATER + timedelta(days=9), by="reader", now=LATER + MINUTE)


def test_a_suppression_that_an_undoing_leaves_alone_stays_whole(site: Database) -> None:
    imported(site, csv_of(f"{ANA},all,every,"))
    number, _ = imported(site, csv_of(f"{ANA},,,bounced", f"{ZOE},,,bounced"), now=LATER)
    with site.begin() as session:
        pause(session, subscribers.find(session, ANA))
    counts = undo(site, number, LATER + 2 * MINUTE)
    assert counts[undoing.KEPT] == 1
    assert suppressed(site) == ({ANA: "bounced"}, {ANA: "bounced"})
    with site.begin() as session:
        assert suppressions.release(session, PEPPER, ANA, by="ops", now=LATER + 3 * MINUTE)
    assert suppressed(site) == ({}, {})


def test_what_is_too_old_is_not_undone_at_all(site: Database) -> None:
    imported(site, csv_of(f"{ANA},all,every,"))
    number, _ = imported(site, csv_of(f"{ANA},,,bounced", f"{ZOE},,,bounced"), now=LATER)
    late = LATER + timedelta(days=30)
    with site.begin() as session, pytest.raises(Conflict, match="30 days"):
        undoing.begin(session, number, by="test", now=late)
    assert suppressed(site)[0] == {ANA: "bounced", ZOE: "bounced"}


def test_an_undoing_that_was_begun_in_time_forgets_nothing_before_its_end(site: Database) -> None:
    imported(site, csv_of(f"{ANA},all,every,"))
    number, _ = imported(site, csv_of(f"{ANA},all,daily,"), now=LATER)
    with site.begin() as session:
        undoing.begin(session, number, by="test", now=LATER + timedelta(days=30, seconds=-10))
    late = LATER + timedelta(days=30)
    run.tend(site, PEPPER, lambda: late)  # too soon for a daemon to go on with it
    run.finish(site, PEPPER, number, lambda: late, lambda _: None)
    assert reads(site, ANA) == {"all": "every"}


def test_what_was_touched_between_two_slices_of_an_import_is_left_alone(
    site: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The reader chooses behind the slice that brought them, and before the one that has them follow more."""
    monkeypatch.setattr(applying, "_ONE_BY_ONE", 1)
    monkeypatch.setattr(applying, "SLICE", 1)
    number, _ = staged(site, csv_of(f"{ANA},all,every,", f"{ANA},ferries,every,"))
    with site.begin() as session:
        staging.seal(session, number, by="test", now=NOW)
    with site.begin() as session:
        applying.apply_slice(session, PEPPER, number, NOW)
    with site.begin() as session:
        reader = subscribers.find(session, ANA)
        subscribers.follow(session, reader, "all", Frequency.DAILY, by="reader", now=NOW + MINUTE)
    run.finish(site, PEPPER, number, lambda: NOW + 2 * MINUTE, lambda _: None)
    undo(site, number)
    assert reads(site, ANA) == {"all": "daily"}


def test_undoing_the_leaving_of_a_topic_never_followed_leaves_nothing(site: Database) -> None:
    imported(site, csv_of(f"{ANA},all,every,"))
    whole = exported(site, with_left=True)
    number, _ = imported(site, csv_of(f"{ANA},ferries,,left"), now=LATER)
    assert exported(site, with_left=True) != whole
    undo(site, number, LATER + MINUTE)
    assert exported(site, with_left=True) == whole
    imported(site, csv_of(f"{ANA},ferries,every,"), now=LATER + 2 * MINUTE)
    assert reads(site, ANA) == {"all": "every", "ferries": "every"}
