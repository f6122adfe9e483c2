"""What readers' digests owe them is kept in step with what they choose."""

from datetime import timedelta

import pytest
from sqlmodel import Session, col, select

from alerts.audience import spans, subscribers
from alerts.db import Database
from alerts.models import DigestMark, DigestSlot, DigestSpan, Frequency, Subscriber, Subscription
from build import NOW, a_reader, a_topic

HOUR = timedelta(hours=1)


@pytest.fixture
def reader(db: Database) -> int:
    with db.begin() as session:
        for slug in ("harbour", "town"):
            a_topic(session, slug)
        return a_reader(session, zone="Europe/Berlin", digest_hour=6, digest_weekday=4)


def choose(db: Database, reader: int, frequency: Frequency, hours: int, slug: str = "harbour") -> None:
    with db.begin() as session:
        subscribers.follow(session, reader, slug, frequency, by="reader", now=NOW + hours * HOUR)


def leave(db: Database, reader: int, hours: int, slug: str | None = "harbour") -> None:
    with db.begin() as session:
        subscribers.unsubscribe(session, reader, slug, by="reader", now=NOW + hours * HOUR)


def spans_of(db: Database) -> list[tuple[str, int, int | None]]:
    """Frequency, since and until, in hours."""
    with db.begin() as session:
        rows = session.exec(select(DigestSpan).order_by(col(DigestSpan.since))).all()
        return [(row.frequency, hours(row.since) or 0, hours(row.until)) for row in rows]


def marks_of(db: Database) -> dict[str, tuple[str, int, int | None]]:
    with db.begin() as session:
        rows = session.exec(select(DigestMark)).all()
        return {row.frequency: (row.slot, hours(row.through) or 0, hours(row.until)) for row in rows}


def hours(at: object) -> int | None:
    return None if at is None else round((at - NOW) / HOUR)  # type: ignore[operator] # of times


def test_a_digest_begins_with_the_choice(db: Database, reader: int) -> None:
    choose(db, reader, Frequency.DAILY, 0)
    assert spans_of(db) == [("daily", 0, None)]
    assert marks_of(db) == {"daily": ("Europe/Berlin 06", 0, None)}
    with db.begin() as session:
        (slot,) = session.exec(select(DigestSlot)).all()
        assert slot.next_at == NOW.replace(hour=5) + timedelta(days=1)


def test_alerts_at_once_need_none(db: Database, reader: int) -> None:
    choose(db, reader, Frequency.EVERY, 0)
    choose(db, reader, Frequency.FLASH, 1)
    assert (spans_of(db), marks_of(db)) == ([], {})
    with db.begin() as session:
        held = session.exec(select(Subscription)).one()
        assert (hours(held.immediate_since), hours(held.chosen_at)) == (0, 1)


def test_a_change_ends_one_span_and_begins_another(db: Database, reader: int) -> None:
    choose(db, reader, Frequency.DAILY, 0)
    choose(db, reader, Frequency.WEEKLY, 2)
    choose(db, reader, Frequency.EVERY, 3)
    assert spans_of(db) == [("daily", 0, 2), ("weekly", 2, 3)]
    assert marks_of(db) == {"daily": ("Europe/Berlin 06", 0, None), "weekly": ("Europe/Berlin 4 06", 2, None)}


def test_a_change_and_its_undoing_at_one_instant_are_one_span(db: Database, reader: int) -> None:
    choose(db, reader, Frequency.DAILY, 0)
    choose(db, reader, Frequency.EVERY, 0)
    choose(db, reader, Frequency.DAILY, 0)
    assert spans_of(db) == [("daily", 0, None)]


def test_who_leaves_is_owed_nothing_and_begins_anew_when_they_return(db: Database, reader: int) -> None:
    choose(db, reader, Frequency.DAILY, 0)
    choose(db, reader, Frequency.DAILY, 0, "town")
    leave(db, reader, 1)
    assert marks_of(db)["daily"] == ("Europe/Berlin 06", 0, None), "the other topic is still owed"
    leave(db, reader, 2, None)
    assert spans_of(db) == []
    assert marks_of(db)["daily"] == ("Europe/Berlin 06", 0, 2)
    choose(db, reader, Frequency.DAILY, 3)
    assert spans_of(db) == [("daily", 3, None)]
    assert marks_of(db)["daily"] == ("Europe/Berlin 06", 3, None)


def test_another_hour_moves_the_slot_and_no_window(db: Database, reader: int) -> None:
    choose(db, reader, Frequency.DAILY, 0)
    choose(db, reader, Frequency.HOURLY, 0, "town")
    with db.begin() as session:
        move(session, reader)
    assert marks_of(db) == {"daily": ("Asia/Kathmandu 20", 0, None), "hourly": ("UTC", 0, None)}
    with db.begin() as session:
        slots = {(each.frequency, each.slot): each.next_at for each in session.exec(select(DigestSlot))}
    assert slots["daily", "Asia/Kathmandu 20"] == NOW.replace(hour=14, minute=15)
    assert slots["hourly", "UTC"] == NOW + HOUR


def move(session: Session, reader: int) -> None:
    row = session.get_one(Subscriber, reader)
    row.zone, row.digest_hour = "Asia/Kathmandu", 20
    spans.place(session, row, NOW)


def test_many_at_once_get_what_each_would(db: Database) -> None:
    with db.begin() as session:
        a_topic(session, "harbour")
        ids = [
            a_reader(session, f"reader{n}@example.org", zone=zone)
            for n, zone in enumerate(["UTC", "Asia/Tokyo"])
        ]
        subscribers.follow_many(session, ids, "harbour", Frequency.DAILY, by="import", now=NOW)
        marks = session.exec(select(DigestMark).order_by(col(DigestMark.subscriber_id))).all()
        assert [each.slot for each in marks] == ["UTC 07", "Asia/Tokyo 07"]
        assert len(session.exec(select(DigestSlot)).all()) == 2
