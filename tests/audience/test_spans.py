"""What readers' digests owe them is kept in step with what they choose."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlmodel import Session, col, select

from alerts.audience import spans, subscribers
from alerts.db import Database
from alerts.models import (
    DigestMark,
    DigestSlot,
    DigestSpan,
    Diversion,
    Frequency,
    Subscriber,
    Subscription,
)
from alerts.schema import upgrade
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
        rows = session.exec(select(DigestSpan).order_by(col(DigestSpan.since), DigestSpan.frequency)).all()
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


def divert(db: Database, reader: int) -> None:
    with db.begin() as session:
        session.add(Diversion(subscriber_id=reader, alert_id=7, frequency=Frequency.DAILY, at=NOW))


def diversions(db: Database, at: int) -> int:
    """How many are left by a sweeping at that hour."""
    with db.begin() as session:
        spans.sweep(session, NOW + at * HOUR)
        return len(session.exec(select(Diversion)).all())


def test_what_a_reader_left_for_good_had_been_owed_is_swept_away(db: Database, reader: int) -> None:
    choose(db, reader, Frequency.DAILY, 0)
    choose(db, reader, Frequency.WEEKLY, 0, "town")
    divert(db, reader)
    assert diversions(db, 5) == 1
    leave(db, reader, 5)
    assert diversions(db, 5) == 1, "they may come back at once"
    assert diversions(db, 6) == 0
    choose(db, reader, Frequency.DAILY, 7)
    divert(db, reader)
    assert diversions(db, 9) == 1


def test_an_erasure_takes_what_was_diverted_along(db: Database, reader: int) -> None:
    choose(db, reader, Frequency.DAILY, 0)
    divert(db, reader)
    with db.begin() as session:
        subscribers.erase(session, reader, by="reader", now=NOW)
        assert session.exec(select(Diversion)).all() == []


def test_another_hour_moves_the_slot_and_no_window(db: Database, reader: int) -> None:
    choose(db, reader, Frequency.DAILY, 0)
    choose(db, reader, Frequency.HOURLY, 0, "town")
    with db.begin() as session:
        move(session, reader)
    assert marks_of(db) == {
        "daily": ("Asia/Kathmandu 20", 0, None),
        "hourly": ("Asia/Kathmandu", 0, None),
    }
    with db.begin() as session:
        slots = {(each.frequency, each.slot): each.next_at for each in session.exec(select(DigestSlot))}
    assert slots["daily", "Asia/Kathmandu 20"] == NOW.replace(hour=14, minute=15)
    assert slots["hourly", "Asia/Kathmandu"] == NOW + HOUR, "of UTC, as for all"


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


# --- pauses ----------------------------------------------------------------------------------------------


def pause(db: Database, reader: int, at: int, until: int | None) -> None:
    with db.begin() as session:
        end = None if until is None else NOW + until * HOUR
        subscribers.pause(session, reader, end, by="reader", now=NOW + at * HOUR)


def test_a_pause_is_cut_out_and_its_end_may_change(db: Database, reader: int) -> None:
    choose(db, reader, Frequency.DAILY, 0)
    pause(db, reader, 1, 5)
    assert spans_of(db) == [("daily", 0, 1), ("daily", 5, None)]
    pause(db, reader, 2, 9)
    assert spans_of(db) == [("daily", 0, 1), ("daily", 9, None)]
    pause(db, reader, 3, None)
    assert spans_of(db) == [("daily", 0, 1), ("daily", 3, None)]


def test_a_choice_in_a_pause_counts_from_its_end(db: Database, reader: int) -> None:
    choose(db, reader, Frequency.DAILY, 0)
    pause(db, reader, 1, 5)
    choose(db, reader, Frequency.WEEKLY, 2)
    choose(db, reader, Frequency.HOURLY, 2, "town")
    assert spans_of(db) == [("daily", 0, 1), ("hourly", 5, None), ("weekly", 5, None)]
    choose(db, reader, Frequency.DAILY, 7)
    assert spans_of(db) == [("daily", 0, 1), ("hourly", 5, None), ("weekly", 5, 7), ("daily", 7, None)]


ACTS = st.one_of(
    st.tuples(st.just("choose"), st.sampled_from([*Frequency])),
    st.tuples(st.just("pause"), st.integers(1, 4)),
    st.tuples(st.just("resume"), st.none()),
    st.tuples(st.just("leave"), st.none()),
)


@given(acts=st.lists(st.tuples(st.integers(0, 2), ACTS), max_size=10))
def test_a_topic_is_carried_at_its_frequency_but_for_pauses(
    sqlite_site: Database, acts: list[tuple[int, tuple[str, Any]]]
) -> None:
    """At each instant the spans say what the last choices made by then do; who left is owed nothing from before."""
    at, since = 0, 0
    choices: list[tuple[int, Frequency]] = []
    pauses: list[tuple[int, int]] = []
    with sqlite_site.begin() as session:
        reader = a_reader(session, f"{uuid4().hex}@example.org")
    for wait, (act, value) in acts:
        at += wait
        match act:
            case "choose":
                choose(sqlite_site, reader, value, at)
                choices.append((at, value))
            case "leave":
                leave(sqlite_site, reader, at)
                choices, since = [], at
            case _:
                pause(sqlite_site, reader, at, at + value if value else None)
                pauses.append((at, at + (value or 0)))
    with sqlite_site.begin() as session:
        spans = session.exec(select(DigestSpan).where(DigestSpan.subscriber_id == reader)).all()
        found = [(row.frequency, hours(row.since), hours(row.until)) for row in spans]
    for instant in range(since, at + 6):
        chosen = [frequency for begin, frequency in choices if begin <= instant][-1:]
        is_paused = [end > instant for begin, end in pauses if begin <= instant][-1:] == [True]
        expected = [each for each in chosen if each.is_digest and not is_paused]
        carried = [
            frequency
            for frequency, begin, end in found
            if begin is not None and begin <= instant and (end is None or instant < end)
        ]
        assert carried == expected, instant


@pytest.fixture(scope="module")
def sqlite_site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    db = Database(f"sqlite:///{tmp_path_factory.mktemp('spans')}/alerts.db")
    upgrade(db)
    with db.begin() as session:
        a_topic(session, "harbour")
    yield db
    db.close()
