"""Entries that tell the same are grouped as they come in, and each is still its own."""

from datetime import timedelta

from sqlmodel import Session

from alerts.db import Database
from alerts.feeds.store.grouping import WINDOW, also_reported, group, other_sources
from alerts.models import Entry, EntryRevision
from build import NOW, a_feed, an_entry

TITLE = "Fire in Riverton warehouse"
TEXT = "Three people were hurt in a fire at a warehouse in Riverton, the fire service said."


def groups(session: Session, *ids: int) -> list[int | None]:
    session.expire_all()
    return [session.get_one(Entry, id_).group_id for id_ in ids]


def test_what_two_feeds_report_is_one_group_named_by_its_first_entry(db: Database) -> None:
    with db.begin() as session:
        gazette, herald = a_feed(session, "gazette"), a_feed(session, "herald")
        first = an_entry(session, gazette, title=TITLE, text=TEXT)
        second = an_entry(session, herald, title="Warehouse fire in Riverton", text=TEXT)
        other = an_entry(
            session, herald, "other", title="Ferries stay in port", text="The harbour gate is closed."
        )
        group(session, [second, other], NOW)
        assert groups(session, first, second, other) == [first, first, None]
        assert other_sources(session, second) == ("Gazette",)
        assert other_sources(session, first) == ("Herald",)
        assert other_sources(session, other) == ()
        assert [report.entry_id for report in also_reported(session, second)] == [first]


def test_a_third_joins_the_group_and_new_entries_of_one_poll_find_each_other(db: Database) -> None:
    with db.begin() as session:
        ids = [an_entry(session, a_feed(session, name), title=TITLE, text=TEXT) for name in ("a", "b", "c")]
        group(session, ids[1:], NOW)
        assert groups(session, *ids) == [ids[0]] * 3
        assert other_sources(session, ids[2]) == ("A", "B")


def test_a_feed_that_repeats_itself_is_no_other_source(db: Database) -> None:
    with db.begin() as session:
        feed = a_feed(session)
        first, second = (an_entry(session, feed, key, title=TITLE, text=TEXT) for key in ("1", "2"))
        group(session, [second], NOW)
        assert groups(session, first, second) == [first, first]
        assert other_sources(session, second) == ()


def test_what_is_told_again_after_the_window_stands_alone(db: Database) -> None:
    with db.begin() as session:
        feed = a_feed(session)
        early = an_entry(session, feed, "1", title=TITLE, text=TEXT, now=NOW - WINDOW - timedelta(seconds=1))
        late = an_entry(session, feed, "2", title=TITLE, text=TEXT)
        group(session, [late], NOW)
        assert groups(session, early, late) == [None, None]


def test_other_numbers_are_never_grouped(db: Database) -> None:
    with db.begin() as session:
        first = an_entry(session, a_feed(session, "a"), title=TITLE, text=TEXT)
        update = an_entry(session, a_feed(session, "b"), title=TITLE, text=TEXT.replace("Three", "Five"))
        group(session, [update], NOW)
        assert groups(session, first, update) == [None, None]


def test_what_the_flood_guard_holds_is_grouped_with_nothing(db: Database) -> None:
    with db.begin() as session:
        held = an_entry(session, a_feed(session, "a"), title=TITLE, text=TEXT, is_held=True)
        first = an_entry(session, a_feed(session, "b"), title=TITLE, text=TEXT)
        group(session, [first], NOW)
        assert groups(session, held, first) == [None, None]


def test_an_edited_text_is_compared_as_it_reads_now(db: Database) -> None:
    with db.begin() as session:
        first = an_entry(session, a_feed(session, "a"), title="Smoke over the docks", text="More soon.")
        group(session, [first], NOW)
        session.get_one(Entry, first).revision = 2
        session.add(
            EntryRevision(entry_id=first, number=2, fingerprint="2", title=TITLE, text=TEXT, seen_at=NOW)
        )
        session.flush()
        second = an_entry(session, a_feed(session, "b"), title=TITLE, text=TEXT)
        group(session, [second], NOW)
        assert groups(session, first, second) == [first, first]
