"""Digests, step by step: when they are due, what is in them, who gets none, and what is told instead."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlmodel import Session, col, select
from structlog.testing import capture_logs

from alerts.audience import disclosure, subscribers
from alerts.audience.tokens import derive
from alerts.db import Database
from alerts.dispatch import announce, outbox, receipts
from alerts.dispatch.digests import content, horizon
from alerts.dispatch.digests.announcing import GRACE, Late, Policy, announce_digests, close_time
from alerts.dispatch.explain import explain
from alerts.dispatch.opening import Opening, Plan, open_chunk
from alerts.dispatch.receipts import Receipt, Settled
from alerts.models import (
    Alert,
    AlertState,
    Delivery,
    DeliveryState,
    DigestMark,
    DigestSpan,
    Diversion,
    Entry,
    EntryRevision,
    Frequency,
    Lane,
    Selection,
    Subscriber,
)
from build import a_feed, a_reader, a_topic, an_entry
from listing import imported, undo

KEYS = derive(b"s" * 32, [])
SECOND = timedelta(seconds=1)
MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)  # a Sunday
SEVEN = NOON.replace(hour=7) + DAY  # when a daily digest in UTC is due
SEND = Policy()


class Newsroom:
    """A feed with two topics, and readers; time is what the test says."""

    def __init__(self, db: Database) -> None:
        self.db = db
        with db.begin() as session:
            self.feed = a_feed(session, now=NOON)
            self.topics = {slug: a_topic(session, slug, now=NOON) for slug in ("harbour", "town")}
        self.entries = 0

    def reader(self, name: str, at: datetime = NOON, **choices: Frequency) -> int:
        with self.db.begin() as session:
            reader = a_reader(session, f"{name}@example.org", now=at)
        for slug, frequency in choices.items():
            self.choose(reader, slug, frequency, at)
        return reader

    def choose(self, reader: int, slug: str, frequency: Frequency, at: datetime) -> None:
        with self.db.begin() as session:
            subscribers.follow(session, reader, slug, frequency, by="reader", now=at)

    def pause(self, reader: int, at: datetime, until: datetime | None) -> None:
        with self.db.begin() as session:
            subscribers.pause(session, reader, until, by="reader", now=at)

    def tell(self, at: datetime, *, topics: Sequence[str] = ("harbour", "town"), **fields: Any) -> int:
        """An entry that these topics want, announced at once."""
        self.entries += 1
        with self.db.begin() as session:
            for slug, topic in self.topics.items():
                self._want(session, topic, is_wanted=slug in topics)
            entry = an_entry(session, self.feed, f"post-{self.entries}", now=at, **fields)
            announce.announce_entry(session, entry, at)
        return entry

    def withdraw(self, entry: int, at: datetime | None) -> None:
        """Has its publisher take an entry back; shown again it is with None."""
        with self.db.begin() as session:
            session.get_one(Entry, entry).withdrawn_at = at

    def _want(self, session: Session, topic: int, *, is_wanted: bool) -> None:
        from alerts.models import Topic  # noqa: PLC0415 - the builders' own row

        session.get_one(Topic, topic).is_active = is_wanted

    def announce(self, at: datetime, policy: Policy = SEND) -> int:
        with self.db.begin() as session:
            close_time(session, at)
        with self.db.begin() as session:
            return announce_digests(session, policy, at)

    def deliver(self, at: datetime, settled: Settled = Settled.ACCEPTED) -> list[Opening]:
        """Works everything off that is due; gives what was opened."""
        opened: list[Opening] = []
        while (lease := self.claim(at)) is not None:
            while chunk := self.open(lease, at):
                opened += chunk
                with self.db.begin() as session:
                    group = [Receipt(each.subscriber_id, settled, "", 250, "", "") for each in chunk]
                    receipts.record(session, lease, group, KEYS, at)
            with self.db.begin() as session:
                outbox.close(session, lease, at, MINUTE, MINUTE)
        return opened

    def claim(self, at: datetime) -> outbox.Lease | None:
        with self.db.begin() as session:
            return outbox.claim(session, "a", size=50, length=timedelta(seconds=30), now=at)

    def open(self, lease: outbox.Lease, at: datetime) -> tuple[Opening, ...]:
        with self.db.begin() as session:
            return open_chunk(session, lease, Plan(2, 1, "main"), at)

    def digest(self, end: datetime, policy: Policy = SEND) -> dict[int, list[tuple[int, str]]]:
        """Announces and delivers what is due at an instant; gives what readers of digests got, by reader."""
        at = end + GRACE
        self.announce(at, policy)
        self.deliver(at)
        return self.got(end)

    def got(self, end: datetime) -> dict[int, list[tuple[int, str]]]:
        with self.db.begin() as session:
            rows = session.exec(
                select(Delivery.subscriber_id, Selection)
                .join(Alert, col(Alert.id) == Delivery.alert_id)
                .join(
                    Selection,
                    (col(Selection.alert_id) == Alert.id) & (col(Selection.variant) == Delivery.variant),
                )
                .where(Alert.window_end == end)
            ).all()
            return {reader: [(entry, mark) for entry, _, mark in row.entries] for reader, row in rows}

    def row(self, reader: int, cause: str) -> Delivery | None:
        with self.db.begin() as session:
            alert = session.exec(select(Alert).where(col(Alert.cause_key).startswith(cause))).one()
            return session.get(Delivery, (alert.id, reader))

    def disclosed(self, reader: int) -> list[tuple[str, str, list[str]]]:
        """What a reader's download says of alerts and digests: kind, state and titles."""
        with self.db.begin() as session:
            told = disclosure.of_reader(session, KEYS.pepper, reader, SEVEN)["alerts_and_digests"]
        return [(each["kind"], each["state"], [entry["title"] for entry in each["entries"]]) for each in told]

    def explained(self, name: str, entry: int, at: datetime) -> str:
        with self.db.begin() as session:
            return explain(session, f"{name}@example.org", entry, at).answer


@pytest.fixture
def newsroom(db: Database) -> Newsroom:
    return Newsroom(db)


# --- when ------------------------------------------------------------------------------------------------


def test_a_digest_is_announced_once_a_while_after_its_instant(newsroom: Newsroom) -> None:
    newsroom.reader("a", harbour=Frequency.DAILY)
    newsroom.tell(NOON + HOUR)
    assert newsroom.announce(NOON + 2 * HOUR) == 0
    assert newsroom.announce(SEVEN + GRACE - timedelta(seconds=1)) == 0, "what is under way is not committed"
    assert newsroom.announce(SEVEN + GRACE) == 1
    assert newsroom.announce(SEVEN + GRACE) == 0
    with newsroom.db.begin() as session:
        digest = session.exec(select(Alert).where(col(Alert.window_end).is_not(None))).one()
    assert digest.cause_key == "digest:daily:UTC 07:2026-11-23T07:00:00+00:00"
    assert (digest.lane, digest.state, digest.released_at) == (Lane.DIGEST, AlertState.RELEASED, SEVEN)
    assert (digest.is_late, digest.expires_at) == (False, SEVEN + DAY)


def test_a_new_slot_is_announced_nothing_that_lies_before_it(newsroom: Newsroom) -> None:
    newsroom.reader("early", harbour=Frequency.EVERY)
    newsroom.tell(SEVEN - HOUR)
    newsroom.reader("late", at=SEVEN + MINUTE, harbour=Frequency.DAILY)
    assert newsroom.announce(SEVEN + 2 * MINUTE) == 0
    newsroom.tell(SEVEN + HOUR)
    assert newsroom.announce(SEVEN + 2 * HOUR) == 0
    assert newsroom.announce(SEVEN + DAY + GRACE) == 1


def test_nothing_is_announced_where_nothing_was_released(newsroom: Newsroom) -> None:
    reader = newsroom.reader("a", harbour=Frequency.DAILY)
    assert newsroom.announce(SEVEN + GRACE) == 0
    entry = newsroom.tell(SEVEN + HOUR)
    assert newsroom.digest(SEVEN + DAY) == {reader: [(entry, "")]}


@pytest.mark.parametrize("policy", Late)
def test_a_daemon_that_was_down_catches_up_with_one_digest_or_skips(newsroom: Newsroom, policy: Late) -> None:
    reader = newsroom.reader("a", harbour=Frequency.DAILY)
    entries = [newsroom.tell(NOON + days * DAY) for days in range(3)]
    up = SEVEN + 2 * DAY + 5 * HOUR
    assert newsroom.announce(up, Policy(policy)) == 1, "of three that were missed"
    newsroom.deliver(up)
    row = newsroom.row(reader, "digest:")
    assert row is not None
    with newsroom.db.begin() as session:
        assert session.exec(select(Alert.is_late).where(col(Alert.window_end).is_not(None))).one()
        assert session.get_one(DigestMark, (reader, Frequency.DAILY)).through == SEVEN + 2 * DAY
    if policy is Late.SEND:
        assert newsroom.got(SEVEN + 2 * DAY) == {reader: [(entry, "") for entry in entries]}
        assert newsroom.explained("a", entries[0], up).startswith(
            "Sent in the late daily digest of 2026-11-25"
        )
    else:
        assert (row.state, row.reason) == (DeliveryState.EXPIRED, "late, and late digests are skipped")
        assert "the late daily digest of 2026-11-25 07:00 UTC was not sent (late" in newsroom.explained(
            "a", entries[0], up
        )


@pytest.mark.parametrize("policy", Late)
def test_one_that_makes_up_for_missed_ones_is_late_though_its_own_instant_is_not(
    newsroom: Newsroom, policy: Late
) -> None:
    reader = newsroom.reader("a", harbour=Frequency.HOURLY)
    entry = newsroom.tell(NOON + 10 * MINUTE)
    up = NOON + 5 * HOUR + 10 * MINUTE
    assert newsroom.announce(up, Policy(policy)) == 1, "of five"
    newsroom.deliver(up)
    with newsroom.db.begin() as session:
        assert session.exec(select(Alert.is_late).where(col(Alert.window_end).is_not(None))).one()
    told = {reader: [(entry, "")]} if policy is Late.SEND else {}
    assert newsroom.got(NOON + 5 * HOUR) == told


def test_an_hour_that_passes_before_anybody_looks_is_not_lost(newsroom: Newsroom) -> None:
    reader = newsroom.reader("a", harbour=Frequency.DAILY)
    newsroom.announce(NOON + MINUTE)
    entry = newsroom.tell(NOON + HOUR)
    with newsroom.db.begin() as session:
        subscribers.place(
            session, reader, zone="UTC", hour=20, weekday=0, by="reader", now=NOON + 7 * HOUR + 50 * MINUTE
        )
    assert newsroom.digest(NOON + 8 * HOUR) == {reader: [(entry, "")]}


def test_hourly_digests_come_at_one_instant_and_show_it_by_their_readers_clocks(newsroom: Newsroom) -> None:
    with newsroom.db.begin() as session:
        zones = {
            a_reader(session, f"{number}@example.org", now=NOON, zone=zone): zone
            for number, zone in enumerate(["UTC", "Asia/Kathmandu", "Asia/Kathmandu"])
        }
    for reader in zones:
        newsroom.choose(reader, "harbour", Frequency.HOURLY, NOON)
    entry = newsroom.tell(NOON + MINUTE)
    assert newsroom.digest(NOON + HOUR) == {reader: [(entry, "")] for reader in zones}
    with newsroom.db.begin() as session:
        told = session.exec(
            select(Alert, Selection).join(Selection, col(Selection.alert_id) == Alert.id)
        ).all()
        shown = [
            content.load(session, alert, [row.variant], {}).views[row.variant].zone for alert, row in told
        ]
    assert sorted(shown) == ["Asia/Kathmandu", "UTC"], "and a zone's readers share what is rendered"


@pytest.mark.parametrize("zone", ["Asia/Gone", "Europe", "../etc/passwd"])
def test_a_zone_that_is_not_known_here_costs_nobody_a_digest(newsroom: Newsroom, zone: str) -> None:
    reader = newsroom.reader("a", harbour=Frequency.DAILY)
    with newsroom.db.begin() as session:
        elsewhere = a_reader(session, "b@example.org", now=NOON, zone=zone)
    newsroom.choose(elsewhere, "harbour", Frequency.DAILY, NOON)
    entry = newsroom.tell(NOON + HOUR)
    with capture_logs() as logs:
        got = newsroom.digest(SEVEN)
    assert got == {reader: [(entry, "")], elsewhere: [(entry, "")]}, "by UTC"
    (said,) = [each for each in logs if each["log_level"] == "error"]
    assert (said["event"], said["slot"]) == ("digest_zone_unknown", f"{zone} 07")
    with newsroom.db.begin() as session:
        for digest in session.exec(select(Alert).where(Alert.window_end == SEVEN)).all():
            (variant,) = session.exec(select(Selection.variant).where(Selection.alert_id == digest.id))
            assert content.load(session, digest, [variant], {}).views[variant].zone == "UTC"


def test_a_digest_that_came_to_nobody_in_time_leaves_its_entries_to_the_next(newsroom: Newsroom) -> None:
    reader = newsroom.reader("a", harbour=Frequency.HOURLY)
    entry = newsroom.tell(NOON + MINUTE)
    assert newsroom.announce(NOON + HOUR + GRACE) == 1
    assert newsroom.deliver(NOON + 2 * HOUR + 10 * MINUTE) == []
    assert newsroom.digest(NOON + 3 * HOUR) == {reader: [(entry, "")]}


# --- what ------------------------------------------------------------------------------------------------


def test_windows_and_choices_meet_without_a_gap_or_an_overlap(newsroom: Newsroom) -> None:
    reader = newsroom.reader("a", harbour=Frequency.DAILY)
    before, at, after = (newsroom.tell(SEVEN + timedelta(microseconds=each)) for each in (-1, 0, 1))
    assert newsroom.digest(SEVEN) == {reader: [(before, "")]}
    newsroom.choose(reader, "harbour", Frequency.WEEKLY, SEVEN + 2 * HOUR)
    last = newsroom.tell(SEVEN + 2 * HOUR)
    assert newsroom.digest(SEVEN + DAY) == {reader: [(at, ""), (after, "")]}
    monday = SEVEN + 7 * DAY
    assert newsroom.digest(monday) == {reader: [(last, "")]}
    with newsroom.db.begin() as session:
        assert {each.frequency for each in session.exec(select(DigestSpan))} == {Frequency.WEEKLY}
        assert session.get_one(DigestMark, (reader, Frequency.DAILY)).until == SEVEN + DAY


def test_subscriptions_count_from_since_and_a_hold_to_its_release(newsroom: Newsroom) -> None:
    with newsroom.db.begin() as session:
        asked = a_feed(session, "asked", now=NOON, approval=True)
        entry = an_entry(session, asked, now=NOON)
        alert = announce.announce_entry(session, entry, NOON)
    newsroom.tell(NOON)
    reader = newsroom.reader("a", at=NOON + HOUR, harbour=Frequency.DAILY)
    other = newsroom.tell(NOON + 2 * HOUR)
    assert newsroom.digest(SEVEN) == {reader: [(other, "")]}, "what waits for approval is in no digest"
    with newsroom.db.begin() as session:
        announce.release_alert(session, alert or 0, "an admin", SEVEN + 3 * HOUR)
    assert newsroom.digest(SEVEN + DAY) == {reader: [(entry, "")]}


def test_the_latest_text_is_told_and_what_became_of_it(newsroom: Newsroom) -> None:
    reader = newsroom.reader("a", harbour=Frequency.DAILY)
    plain, edited, corrected, gone = (newsroom.tell(NOON + each * MINUTE) for each in range(1, 5))
    with newsroom.db.begin() as session:
        for entry, corrections in ((edited, [False]), (corrected, [True, False])):
            for is_correction in corrections:
                row = session.get_one(Entry, entry)
                row.revision += 1
                session.add(
                    EntryRevision(
                        entry_id=entry,
                        number=row.revision,
                        fingerprint="another",
                        is_correction=is_correction,
                        seen_at=NOON + HOUR,
                    )
                )
        session.get_one(Entry, gone).withdrawn_at = NOON + HOUR
    assert newsroom.digest(SEVEN) == {reader: [(plain, ""), (edited, "updated"), (corrected, "corrected")]}
    with newsroom.db.begin() as session:
        (chosen,) = session.exec(select(Selection)).all()
        assert [each[1] for each in chosen.entries] == [1, 2, 3]
    assert newsroom.explained("a", gone, SEVEN + HOUR) == "Not sent at once: its publisher took it back."


def test_what_became_of_a_text_counts_from_the_first_alert_however_long_ago(newsroom: Newsroom) -> None:
    with newsroom.db.begin() as session:
        a_topic(session, "key", now=NOON, key_events_only=True)
    entry = newsroom.tell(NOON + HOUR)
    reader = newsroom.reader("a", at=NOON + 2 * HOUR, key=Frequency.DAILY)
    with newsroom.db.begin() as session:
        row = session.get_one(Entry, entry)
        row.revision, row.is_key_event = 2, True
        session.add(
            EntryRevision(
                entry_id=entry, number=2, fingerprint="another", is_correction=True, seen_at=NOON + 3 * HOUR
            )
        )
        session.flush()
        announce.announce_key_event(session, entry, NOON + 4 * HOUR)
    assert newsroom.digest(SEVEN) == {reader: [(entry, "corrected")]}


def test_what_was_taken_back_over_the_instant_is_in_no_digest_and_that_is_said(newsroom: Newsroom) -> None:
    reader = newsroom.reader("a", harbour=Frequency.DAILY)
    entry = newsroom.tell(NOON + HOUR)
    other = newsroom.tell(NOON + HOUR)
    newsroom.withdraw(entry, NOON + 2 * HOUR)
    assert newsroom.digest(SEVEN) == {reader: [(other, "")]}
    newsroom.withdraw(entry, None)
    assert newsroom.explained("a", entry, SEVEN + HOUR) == (
        "Not sent at once: its publisher had taken it back when its digest came."
    )
    assert newsroom.explained("a", other, SEVEN + HOUR).startswith("Sent in the daily digest")


def test_readers_of_the_same_share_a_variant_and_each_gets_their_own_topics(newsroom: Newsroom) -> None:
    one = newsroom.reader("one", harbour=Frequency.DAILY)
    two = newsroom.reader("two", at=NOON + MINUTE, harbour=Frequency.DAILY)
    both = newsroom.reader("both", harbour=Frequency.DAILY, town=Frequency.DAILY)
    harbour = newsroom.tell(NOON + HOUR, topics=["harbour"])
    town = newsroom.tell(NOON + 2 * HOUR, topics=["town"])
    assert newsroom.digest(SEVEN) == {
        one: [(harbour, "")],
        two: [(harbour, "")],
        both: [(harbour, ""), (town, "")],
    }
    with newsroom.db.begin() as session:
        chosen = session.exec(select(Selection)).all()
    assert sorted(each.topics for each in chosen) == [
        [newsroom.topics["harbour"]],
        sorted(newsroom.topics.values()),
    ]


def test_nobody_gets_an_empty_digest_and_their_windows_go_on(newsroom: Newsroom) -> None:
    reader = newsroom.reader("a", town=Frequency.DAILY)
    other = newsroom.reader("b", harbour=Frequency.DAILY)
    entry = newsroom.tell(NOON + HOUR, topics=["harbour"])
    assert newsroom.digest(SEVEN) == {other: [(entry, "")]}
    assert newsroom.row(reader, "digest:") is None
    with newsroom.db.begin() as session:
        assert session.get_one(DigestMark, (reader, Frequency.DAILY)).through == SEVEN


# --- what is held already --------------------------------------------------------------------------------


def test_what_came_at_once_is_left_out(newsroom: Newsroom) -> None:
    reader = newsroom.reader("a", harbour=Frequency.EVERY, town=Frequency.DAILY)
    newsroom.tell(NOON + HOUR)
    newsroom.deliver(NOON + HOUR)
    town = newsroom.tell(NOON + 2 * HOUR, topics=["town"])
    assert newsroom.digest(SEVEN) == {reader: [(town, "")]}


def test_what_will_come_at_once_is_left_out_and_comes_later_if_it_does_not(newsroom: Newsroom) -> None:
    reader = newsroom.reader("a", harbour=Frequency.EVERY, town=Frequency.DAILY)
    entry = newsroom.tell(SEVEN - MINUTE)
    lease = newsroom.claim(SEVEN)  # of the alert: nobody is opened yet
    assert lease is not None
    assert newsroom.digest(SEVEN) == {}
    with newsroom.db.begin() as session:
        subscribers.unsubscribe(session, reader, "harbour", by="reader", now=SEVEN + MINUTE)
    assert newsroom.deliver(SEVEN + 2 * MINUTE) == []
    row = newsroom.row(reader, "entry:")
    assert row is not None
    assert row.state == DeliveryState.DIVERTED
    assert newsroom.explained("a", entry, SEVEN + HOUR) == (
        "Not sent at once: it comes with the daily digest, due 2026-11-24 07:00 UTC."
    )
    assert newsroom.digest(SEVEN + DAY) == {reader: [(entry, "")]}


def test_who_changes_to_a_digest_while_an_alert_goes_out_gets_it_with_the_digest(newsroom: Newsroom) -> None:
    reader = newsroom.reader("a", harbour=Frequency.EVERY)
    entry = newsroom.tell(NOON + HOUR)
    newsroom.choose(reader, "harbour", Frequency.DAILY, NOON + HOUR + MINUTE)
    row = newsroom.row(reader, "entry:")
    assert row is not None
    assert (row.state, row.reason) == (DeliveryState.DIVERTED, "digests were chosen meanwhile")
    newsroom.choose(reader, "harbour", Frequency.EVERY, NOON + HOUR + 2 * MINUTE)
    assert newsroom.deliver(NOON + HOUR + 3 * MINUTE) == []
    assert newsroom.digest(SEVEN) == {reader: [(entry, "")]}
    assert newsroom.digest(SEVEN + DAY) == {}
    with newsroom.db.begin() as session:
        assert session.exec(select(Diversion)).all() == []


def test_an_import_and_its_undoing_change_a_frequency_as_a_reader_does(newsroom: Newsroom) -> None:
    reader = newsroom.reader("a", harbour=Frequency.EVERY)
    entry = newsroom.tell(NOON + HOUR)
    line = "address,topic,frequency\na@example.org,harbour,"
    imported(newsroom.db, f"{line}daily\n", NOON + HOUR + MINUTE)
    assert newsroom.deliver(NOON + HOUR + 2 * MINUTE) == []
    assert newsroom.digest(SEVEN) == {reader: [(entry, "")]}
    number, _ = imported(newsroom.db, f"{line}every\n", SEVEN + HOUR)
    entry = newsroom.tell(SEVEN + 2 * HOUR)
    undo(newsroom.db, number, SEVEN + 2 * HOUR + MINUTE)
    assert newsroom.deliver(SEVEN + 2 * HOUR + 2 * MINUTE) == []
    assert newsroom.digest(SEVEN + DAY) == {reader: [(entry, "")]}


def test_an_import_keeps_whom_an_alert_under_way_is_owed_by_either_choice(newsroom: Newsroom) -> None:
    reader = newsroom.reader("a", harbour=Frequency.EVERY)
    newsroom.tell(NOON + HOUR, is_key_event=True)
    imported(newsroom.db, "address,topic,frequency\na@example.org,harbour,flash\n", NOON + HOUR + MINUTE)
    assert [each.subscriber_id for each in newsroom.deliver(NOON + HOUR + 2 * MINUTE)] == [reader]


def test_a_change_after_the_mail_was_opened_diverts_nothing(newsroom: Newsroom) -> None:
    reader = newsroom.reader("a", harbour=Frequency.EVERY)
    newsroom.tell(NOON + HOUR)
    assert len(newsroom.deliver(NOON + HOUR)) == 1
    newsroom.choose(reader, "harbour", Frequency.DAILY, NOON + HOUR + MINUTE)
    assert newsroom.digest(SEVEN) == {}


def test_what_is_too_old_to_be_sent_at_once_goes_to_the_digest(newsroom: Newsroom) -> None:
    reader = newsroom.reader("a", harbour=Frequency.EVERY, town=Frequency.DAILY)
    alone = newsroom.reader("alone", harbour=Frequency.EVERY)
    entry = newsroom.tell(NOON + HOUR)
    assert newsroom.deliver(NOON + 3 * HOUR) == []
    states = [row.state if (row := newsroom.row(each, "entry:")) else None for each in (reader, alone)]
    assert states == [DeliveryState.DIVERTED, DeliveryState.EXPIRED]
    assert newsroom.digest(SEVEN) == {reader: [(entry, "")]}


def test_one_digest_tells_what_two_are_about(newsroom: Newsroom) -> None:
    reader = newsroom.reader("a", harbour=Frequency.HOURLY, town=Frequency.DAILY)
    newsroom.tell(NOON + MINUTE)
    town = newsroom.tell(NOON + 2 * MINUTE, topics=["town"])
    newsroom.digest(NOON + HOUR)
    assert newsroom.digest(SEVEN) == {reader: [(town, "")]}


def test_both_of_one_reader_at_one_instant_tell_it_once(newsroom: Newsroom) -> None:
    reader = newsroom.reader("a", harbour=Frequency.DAILY, town=Frequency.WEEKLY)
    entry = newsroom.tell(NOON + HOUR)
    monday = SEVEN
    newsroom.announce(monday + GRACE)
    newsroom.deliver(monday + GRACE)
    with newsroom.db.begin() as session:
        digests = session.exec(select(Alert.frequency).where(Alert.window_end == monday)).all()
        rows = session.exec(select(Delivery).where(Delivery.variant != "")).all()
    assert sorted(digests) == [Frequency.DAILY, Frequency.WEEKLY]
    assert len(rows) == 1
    assert newsroom.got(monday) == {reader: [(entry, "")]}


def test_a_late_key_mark_tells_nobody_what_a_digest_told(newsroom: Newsroom) -> None:
    reader = newsroom.reader("a", harbour=Frequency.HOURLY, town=Frequency.FLASH)
    entry = newsroom.tell(NOON + MINUTE)
    assert newsroom.digest(NOON + HOUR) == {reader: [(entry, "")]}
    with newsroom.db.begin() as session:
        session.get_one(Entry, entry).is_key_event = True
        session.flush()
        announce.announce_key_event(session, entry, NOON + HOUR + MINUTE)
    assert newsroom.deliver(NOON + HOUR + 2 * MINUTE) == []
    row = newsroom.row(reader, "flash:")
    assert row is not None
    assert row.reason == "served by an earlier alert"


# --- who gets none ---------------------------------------------------------------------------------------


def test_a_pause_passes_over_what_is_released_in_it_and_says_so(newsroom: Newsroom) -> None:
    reader = newsroom.reader("a", harbour=Frequency.DAILY, town=Frequency.EVERY)
    before = newsroom.tell(NOON + HOUR, topics=["harbour"])
    newsroom.pause(reader, NOON + 2 * HOUR, NOON + 4 * HOUR)
    daily = newsroom.tell(NOON + 2 * HOUR, topics=["harbour"])
    every = newsroom.tell(NOON + 3 * HOUR, topics=["town"])
    assert newsroom.deliver(NOON + 3 * HOUR) == []
    after = newsroom.tell(NOON + 4 * HOUR, topics=["harbour"])
    assert newsroom.digest(SEVEN) == {reader: [(before, ""), (after, "")]}
    row = newsroom.row(reader, f"entry:{every}")
    assert row is not None
    assert (row.state, row.reason) == (DeliveryState.SKIPPED, "paused")
    assert newsroom.explained("a", daily, SEVEN + HOUR) == (
        "Not sent at once: the reader had paused when it was released."
    )


@pytest.mark.parametrize("frequency", [Frequency.HOURLY, Frequency.DAILY])
def test_what_came_before_a_pause_over_the_instant_comes_after_it(
    newsroom: Newsroom, frequency: Frequency
) -> None:
    reader = newsroom.reader("a", harbour=frequency)
    other = newsroom.reader("b", harbour=frequency)
    entry = newsroom.tell(SEVEN - 30 * MINUTE)
    newsroom.pause(reader, SEVEN - 20 * MINUTE, SEVEN + HOUR)
    missed = newsroom.tell(SEVEN - 10 * MINUTE)
    assert newsroom.digest(SEVEN) == {other: [(entry, ""), (missed, "")]}
    newsroom.tell(SEVEN + 30 * MINUTE)
    coming = SEVEN + (HOUR if frequency == Frequency.HOURLY else DAY)
    assert newsroom.explained("a", entry, SEVEN + MINUTE) == (
        f"Not sent at once: it comes with the {frequency} digest, due {coming:%Y-%m-%d %H:%M} UTC."
    )
    assert newsroom.digest(coming)[reader] == [(entry, "")]
    assert newsroom.digest(coming + DAY) == {}


def test_a_pause_that_a_list_brought_is_one(newsroom: Newsroom) -> None:
    with newsroom.db.begin() as session:
        reader = a_reader(session, "a@example.org", now=NOON, paused_until=NOON + 2 * HOUR)
    newsroom.choose(reader, "harbour", Frequency.DAILY, NOON)
    missed, told = (newsroom.tell(NOON + hours * HOUR) for hours in (1, 2))
    assert newsroom.digest(SEVEN) == {reader: [(told, "")]}
    assert newsroom.explained("a", missed, SEVEN + HOUR).endswith("had paused when it was released.")


def test_nothing_is_announced_for_who_pauses_alone(newsroom: Newsroom) -> None:
    reader = newsroom.reader("a", harbour=Frequency.DAILY)
    newsroom.tell(SEVEN - HOUR)
    newsroom.pause(reader, SEVEN - MINUTE, SEVEN + HOUR)
    assert newsroom.announce(SEVEN + GRACE) == 0


def test_several_pauses_in_one_window_cut_it_several_times(newsroom: Newsroom) -> None:
    reader = newsroom.reader("a", harbour=Frequency.DAILY)
    newsroom.pause(reader, NOON + HOUR, NOON + 2 * HOUR)
    newsroom.pause(reader, NOON + 3 * HOUR, NOON + 30 * HOUR)
    newsroom.pause(reader, NOON + 4 * HOUR, NOON + 40 * HOUR)  # longer
    newsroom.pause(reader, NOON + 5 * HOUR, None)  # and ended
    newsroom.choose(reader, "town", Frequency.DAILY, NOON + 6 * HOUR)
    newsroom.pause(reader, NOON + 7 * HOUR, NOON + 8 * HOUR)
    newsroom.choose(reader, "harbour", Frequency.WEEKLY, NOON + 7 * HOUR + MINUTE)
    told = [newsroom.tell(NOON + hours * HOUR + 30 * MINUTE, topics=["harbour"]) for hours in range(10)]
    newsroom.digest(SEVEN)  # a Monday
    with newsroom.db.begin() as session:
        rows = session.exec(
            select(Alert.frequency, Selection.entries).join(Selection, col(Selection.alert_id) == Alert.id)
        ).all()
    assert {frequency: [told.index(entry) for entry, _, _ in entries] for frequency, entries in rows} == {
        Frequency.DAILY: [0, 2, 5, 6],
        Frequency.WEEKLY: [8, 9],
    }


def test_who_leaves_between_the_instant_and_the_opening_ends_in_a_state(newsroom: Newsroom) -> None:
    leaver = newsroom.reader("leaver", harbour=Frequency.DAILY)
    dead = newsroom.reader("dead", harbour=Frequency.DAILY)
    stays = newsroom.reader("stays", harbour=Frequency.DAILY)
    entry = newsroom.tell(NOON + HOUR)
    newsroom.announce(SEVEN + GRACE)
    with newsroom.db.begin() as session:
        subscribers.unsubscribe(session, leaver, None, by="reader", now=SEVEN + GRACE)
        session.get_one(Subscriber, dead).suppressed = "complaint"
    newsroom.deliver(SEVEN + GRACE)
    assert newsroom.got(SEVEN) == {stays: [(entry, "")]}
    reasons = [row.reason if (row := newsroom.row(each, "digest:")) else None for each in (leaver, dead)]
    assert reasons == ["unsubscribed", "suppressed: complaint"]


def test_who_leaves_and_comes_back_starts_anew(newsroom: Newsroom) -> None:
    reader = newsroom.reader("a", harbour=Frequency.DAILY)
    newsroom.tell(NOON + HOUR)
    with newsroom.db.begin() as session:
        subscribers.unsubscribe(session, reader, None, by="reader", now=NOON + 2 * HOUR)
    newsroom.tell(NOON + 3 * HOUR)
    newsroom.choose(reader, "harbour", Frequency.DAILY, NOON + 4 * HOUR)
    entry = newsroom.tell(NOON + 5 * HOUR)
    assert newsroom.digest(SEVEN) == {reader: [(entry, "")]}


@pytest.mark.parametrize("frequency", [Frequency.DAILY, Frequency.WEEKLY])
def test_who_leaves_and_undoes_it_has_lost_nothing(newsroom: Newsroom, frequency: Frequency) -> None:
    reader = newsroom.reader("a", harbour=frequency, town=frequency)
    entry = newsroom.tell(NOON + HOUR, topics=["harbour"])
    with newsroom.db.begin() as session:
        subscribers.unsubscribe(session, reader, None, by="reader", now=NOON + 2 * HOUR)
    newsroom.tell(NOON + 2 * HOUR + MINUTE)
    newsroom.choose(reader, "harbour", frequency, NOON + 2 * HOUR + 2 * MINUTE)
    newsroom.choose(reader, "town", frequency, NOON + 2 * HOUR + 2 * MINUTE)
    last = newsroom.tell(NOON + 2 * HOUR + 3 * MINUTE)
    assert newsroom.digest(SEVEN) == {reader: [(entry, ""), (last, "")]}
    assert newsroom.digest(SEVEN + 7 * DAY) == {}


def test_nothing_comes_while_they_are_out_and_what_was_owed_comes_after_they_are_back(
    newsroom: Newsroom,
) -> None:
    reader = newsroom.reader("a", harbour=Frequency.HOURLY)
    newsroom.reader("b", harbour=Frequency.HOURLY)
    entry = newsroom.tell(NOON + 50 * MINUTE)
    with newsroom.db.begin() as session:
        subscribers.unsubscribe(session, reader, None, by="reader", now=NOON + 55 * MINUTE)
    assert reader not in newsroom.digest(NOON + HOUR)
    newsroom.choose(reader, "harbour", Frequency.HOURLY, NOON + HOUR + 5 * MINUTE)
    assert newsroom.digest(NOON + 2 * HOUR) == {reader: [(entry, "")]}


def test_a_pause_before_a_slip_is_not_told(newsroom: Newsroom) -> None:
    reader = newsroom.reader("a", harbour=Frequency.DAILY)
    newsroom.pause(reader, NOON + HOUR, NOON + 9 * HOUR)
    newsroom.tell(NOON + 2 * HOUR)
    newsroom.pause(reader, NOON + 3 * HOUR, None)
    entry = newsroom.tell(NOON + 4 * HOUR)
    with newsroom.db.begin() as session:
        subscribers.unsubscribe(session, reader, None, by="reader", now=NOON + 5 * HOUR)
    newsroom.choose(reader, "harbour", Frequency.DAILY, NOON + 5 * HOUR + MINUTE)
    assert newsroom.digest(SEVEN) == {reader: [(entry, "")]}


# --- again -----------------------------------------------------------------------------------------------


def test_a_digest_that_comes_again_says_what_it_said(newsroom: Newsroom) -> None:
    reader = newsroom.reader("a", harbour=Frequency.DAILY)
    entry = newsroom.tell(NOON + HOUR)
    newsroom.announce(SEVEN + GRACE)
    (first,) = newsroom.deliver(SEVEN + GRACE, Settled.DEFERRED)
    with newsroom.db.begin() as session:
        row = session.get_one(Entry, entry)
        row.revision += 1
        session.add(EntryRevision(entry_id=entry, number=2, fingerprint="another", seen_at=SEVEN + MINUTE))
    newsroom.choose(reader, "harbour", Frequency.EVERY, SEVEN + MINUTE)
    (again,) = newsroom.deliver(SEVEN + 5 * MINUTE)
    assert again.variant == first.variant
    assert newsroom.got(SEVEN) == {reader: [(entry, "")]}


def test_who_left_meanwhile_gets_no_second_try(newsroom: Newsroom) -> None:
    reader = newsroom.reader("a", harbour=Frequency.DAILY)
    newsroom.tell(NOON + HOUR)
    newsroom.announce(SEVEN + GRACE)
    newsroom.deliver(SEVEN + GRACE, Settled.DEFERRED)
    with newsroom.db.begin() as session:
        subscribers.unsubscribe(session, reader, "harbour", by="reader", now=SEVEN + MINUTE)
        subscribers.follow(session, reader, "town", Frequency.DAILY, by="reader", now=SEVEN + MINUTE)
    assert newsroom.deliver(SEVEN + 5 * MINUTE) == []
    row = newsroom.row(reader, "digest:")
    assert row is not None
    assert row.reason == "unsubscribed"


def test_a_digest_that_was_opened_expires_with_its_time(newsroom: Newsroom) -> None:
    reader = newsroom.reader("a", harbour=Frequency.HOURLY)
    newsroom.tell(NOON + MINUTE)
    newsroom.announce(NOON + HOUR + GRACE)
    newsroom.deliver(NOON + HOUR + GRACE, Settled.DEFERRED)
    assert newsroom.deliver(NOON + 2 * HOUR + MINUTE) == []
    row = newsroom.row(reader, "digest:")
    assert row is not None
    assert row.state == DeliveryState.EXPIRED


# --- however long a release takes ------------------------------------------------------------------------


def slow(newsroom: Newsroom, session: Session, at: datetime) -> int:
    entry = an_entry(session, newsroom.feed, "slow", now=at)
    announce.announce_entry(session, entry, at)
    return entry


def test_what_is_released_in_a_transaction_that_takes_its_time_is_in_the_digest(
    postgres_db: Database,
) -> None:
    newsroom = Newsroom(postgres_db)
    reader = newsroom.reader("a", harbour=Frequency.DAILY)
    quick = newsroom.tell(NOON)
    with postgres_db.begin() as session:
        entry = slow(newsroom, session, SEVEN - SECOND)
        newsroom.digest(SEVEN)
        other = newsroom.tell(SEVEN + GRACE)
    newsroom.digest(SEVEN)
    newsroom.digest(SEVEN + DAY)
    assert newsroom.got(SEVEN) == {reader: [(quick, ""), (entry, "")]}, (
        "it waits for the release, which has no limit"
    )
    assert newsroom.got(SEVEN + DAY) == {reader: [(other, "")]}, "and no other release waits"


def test_the_horizon_goes_on_and_never_back(db: Database) -> None:
    for at in (SEVEN, SEVEN - SECOND, SEVEN + SECOND):
        with db.begin() as session:
            horizon.move(session, at)
            assert horizon.reached(session) == max(SEVEN, at)
            assert horizon.at_release(session, NOON) == max(SEVEN, at)


def test_what_is_released_by_a_clock_that_a_digest_has_passed_is_in_the_next(newsroom: Newsroom) -> None:
    reader = newsroom.reader("a", harbour=Frequency.DAILY)
    quick = newsroom.tell(NOON)
    assert newsroom.digest(SEVEN) == {reader: [(quick, "")]}
    entry = newsroom.tell(SEVEN - SECOND)
    assert newsroom.digest(SEVEN + DAY) == {reader: [(entry, "")]}


def test_what_is_diverted_by_a_clock_that_a_digest_has_passed_is_in_the_next(newsroom: Newsroom) -> None:
    reader = newsroom.reader("a", harbour=Frequency.EVERY, town=Frequency.DAILY)
    entry = newsroom.tell(SEVEN - 2 * HOUR)
    lease = newsroom.claim(SEVEN - SECOND)
    assert lease is not None
    assert newsroom.digest(SEVEN) == {}, "it is left to the mail that is under way"
    assert newsroom.open(lease, SEVEN - SECOND) == (), "which is too old by now"
    assert newsroom.digest(SEVEN + DAY) == {reader: [(entry, "")]}


# --- the download ----------------------------------------------------------------------------------------


def test_a_download_names_the_entries_that_its_reader_was_told_and_no_others(newsroom: Newsroom) -> None:
    at_the_harbour = newsroom.reader("a", harbour=Frequency.DAILY)
    in_town = newsroom.reader("b", town=Frequency.DAILY)
    late = newsroom.reader("c", harbour=Frequency.EVERY, town=Frequency.DAILY)
    paused = newsroom.reader("d", harbour=Frequency.DAILY)
    newsroom.pause(paused, NOON, SEVEN + DAY)
    newsroom.tell(NOON + HOUR, topics=["harbour"], title="A ferry")
    newsroom.tell(NOON + HOUR, title="A storm")
    assert newsroom.deliver(NOON + 3 * HOUR) == [], "both are too old to be sent at once"
    newsroom.digest(SEVEN)
    assert newsroom.disclosed(at_the_harbour) == [("daily", "accepted", ["A ferry", "A storm"])]
    assert newsroom.disclosed(in_town) == [("daily", "accepted", ["A storm"])]
    assert newsroom.disclosed(paused) == []
    assert newsroom.disclosed(late) == [
        ("update", "expired", []),
        ("update", "diverted", []),
        ("daily", "accepted", ["A storm"]),
    ]
