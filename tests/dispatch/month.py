"""A month of a newsroom and its readers, played against the real ledger, and a simple account of who is owed what.

The account knows what readers chose and when, what was released and when, and what each mail told. It says what a
digest should carry by looking at all of that anew, and shares nothing with the code that is judged.
"""

import random
from collections import defaultdict
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy import event
from sqlmodel import Session, col, select

from alerts.audience import spans, subscribers
from alerts.audience.tokens import derive
from alerts.db import Database
from alerts.dispatch import announce, outbox, receipts
from alerts.dispatch.digests.announcing import Late, Policy, announce_digests, close_time
from alerts.dispatch.opening import Opening, Plan, open_chunk
from alerts.dispatch.outbox import Lease
from alerts.dispatch.receipts import Receipt, Settled
from alerts.models import (
    Alert,
    AlertState,
    Delivery,
    DeliveryState,
    DigestMark,
    Entry,
    EntryRevision,
    Frequency,
    Selection,
    Subscriber,
    table_of,
)
from build import a_feed, a_reader, a_topic, an_entry

KEYS = derive(b"s" * 32, [])
LEASE = timedelta(seconds=30)
PAUSE = timedelta(seconds=5)
HOLDING = {DeliveryState.ACCEPTED, DeliveryState.SENDING, DeliveryState.DEFERRED, DeliveryState.UNKNOWN}
SOONEST = [Frequency.HOURLY, Frequency.DAILY, Frequency.WEEKLY]
TOPICS: dict[str, dict[str, Any]] = {
    "a": {"feeds": ["one"]},
    "b": {"feeds": ["two"]},
    "both": {"feeds": ["one", "two"]},
    "key": {"feeds": ["one"], "key_events_only": True},
}
ZONES = ["Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Africa/Casablanca", "UTC"]


@dataclass(frozen=True)
class Choice:
    """That a reader chose a frequency for a topic; none when they left it."""

    at: datetime
    frequency: Frequency | None


@dataclass
class Account:
    """One reader's choices, and where their digests' windows begin."""

    choices: dict[int, list[Choice]] = field(default_factory=lambda: defaultdict(list))
    marks: dict[Frequency, datetime] = field(default_factory=dict)
    pauses: list[tuple[datetime, datetime]] = field(default_factory=list)  # when each was chosen, and its end

    def choice(self, topic: int, at: datetime) -> Frequency | None:
        """What they had chosen at an instant; a choice counts from its own instant on."""
        made = [each for each in self.choices[topic] if each.at <= at]
        return made[-1].frequency if made else None

    def has_left(self, topic: int, since: datetime) -> bool:
        """Whether they left it after an instant, and did not come back at once to the same frequency.

        Who does is owed what came since they chose that, and since the last pause.
        """
        made = self.choices[topic]
        for before, left, back in zip(made, made[1:], [*made[2:], None], strict=False):
            if left.frequency is None and left.at > since:
                is_slip = back is not None and (
                    before.frequency == back.frequency in SOONEST and back.at - left.at < timedelta(hours=1)
                )
                begins = [before.at, *(end for at, end in self.pauses if back is not None and at <= back.at)]
                if not is_slip or since < max(begins[0], begins[-1]):
                    return True
        return False

    def ever_left(self, topic: int, since: datetime) -> bool:
        return any(each.frequency is None for each in self.choices[topic] if each.at > since)

    def was_always_at_once(self, topic: int, since: datetime) -> bool:
        later = [each.frequency for each in self.choices[topic] if each.at > since]
        return all(each in {Frequency.FLASH, Frequency.EVERY} for each in [self.choice(topic, since), *later])

    def is_paused(self, at: datetime) -> bool:
        """Whether the last choice that was made by then is a pause that lasts."""
        made = [end for chosen, end in self.pauses if chosen <= at]
        return bool(made) and at < made[-1]


class Month:
    """Plays it, and judges every digest as it is opened."""

    def __init__(self, db: Database, seed: int, start: datetime, readers: int = 5) -> None:
        if db.is_sqlite:  # it commits thousands of times, and no machine is lost
            event.listen(db.engine, "connect", lambda raw, _: raw.execute("PRAGMA synchronous=OFF"))
        self.db = db
        self.random = random.Random(seed)
        self.now = start
        self.is_down = False
        self.policy = Policy(Late.SEND if seed % 3 else Late.SKIP)
        self.digests: list[tuple[int, int, int]] = []  # judged: digest, reader, entries
        with db.begin() as session:
            self.feeds = [
                a_feed(session, "one", now=start),
                a_feed(session, "two", now=start),
                a_feed(session, "asked", now=start, approval=True),
            ]
            # What the third feed brings belongs to what the first two do.
            self.topics = {
                slug: a_topic(session, slug, now=start, **{**rule, "feeds": [*rule["feeds"], "asked"]})
                for slug, rule in TOPICS.items()
            }
            self.readers = [
                a_reader(session, f"reader{number}@example.org", now=start, zone=self.random.choice(ZONES))
                for number in range(readers)
            ]
        self.accounts = {reader: Account() for reader in self.readers}
        for reader in self.readers:
            for slug in TOPICS:
                if self.random.random() < 0.5:
                    self.choose(reader, slug)

    # --- what happens --------------------------------------------------------------------------------

    def play(self, days: int) -> None:
        """Lets so many days go by, and then all that is owed come."""
        end = self.now + timedelta(days=days)
        acts = [
            (self.tell, 12),
            (self.edit, 3),
            (self.withdraw, 1),
            (self.mark_as_key_event, 2),
            (self.decide, 4),
            (self.change_something, 8),
            (self.go_down, 1),
            (self.work_a_little, 10),
        ]
        names, weights = zip(*acts, strict=True)
        while self.now < end:
            self.random.choices(names, weights)[0]()
            self.pass_time()
        self.come_to_rest()

    def pass_time(self) -> None:
        self.wait(self.random.choice([0, 0.2, 1, 5, 20, 60, 200, 500]))
        if self.is_down:
            self.is_down = self.random.random() < 0.8

    def wait(self, minutes: float) -> None:
        end = self.now + timedelta(minutes=minutes, microseconds=self.random.randrange(1000))
        while self.now < end:
            # A daemon ticks all the time; what falls due on the hour is announced soon after.
            hour = self.now.replace(minute=0, second=20, microsecond=0)
            self.now = min(end, hour if hour > self.now else hour + timedelta(hours=1))
            if not self.is_down:
                self.tick()
                if self.random.random() < 0.7:
                    self.work()

    def tick(self) -> None:
        with self.db.begin() as session:
            announce.release_due(session, self.now)
            close_time(session, self.now)
            announce_digests(session, self.policy, self.now)

    def tell(self) -> None:
        number = self.random.randrange(1_000_000_000)
        is_key_event = self.random.random() < 0.2
        with self.db.begin() as session:
            entry = an_entry(
                session,
                self.random.choice(self.feeds),
                f"post-{number}",
                title=f"Post {number}",
                now=self.now,
                is_key_event=is_key_event,
            )
            announce.announce_entry(session, entry, self.now)

    def edit(self) -> None:
        with self.db.begin() as session:
            entry = self._some(session, select(Entry).where(col(Entry.withdrawn_at).is_(None)))
            if entry is None:
                return
            entry.revision += 1
            session.add(
                EntryRevision(
                    entry_id=entry.id,
                    number=entry.revision,
                    fingerprint=f"{entry.key} {entry.revision}",
                    title=f"{entry.key}, edited",
                    text="Edited.",
                    is_correction=self.random.random() < 0.4,
                    seen_at=self.now,
                )
            )

    def withdraw(self) -> None:
        with self.db.begin() as session:
            entry = self._some(session, select(Entry).where(col(Entry.withdrawn_at).is_(None)))
            if entry is not None and entry.id is not None:
                entry.withdrawn_at = self.now
                announce.cancel_withdrawn(session, entry.id, self.now)

    def mark_as_key_event(self) -> None:
        with self.db.begin() as session:
            entry = self._some(
                session,
                select(Entry).where(col(Entry.is_key_event).is_(False), col(Entry.withdrawn_at).is_(None)),
            )
            if entry is not None and entry.id is not None:
                entry.is_key_event = True
                session.flush()
                announce.announce_key_event(session, entry.id, self.now)

    def decide(self) -> None:
        """A person releases or cancels what waits for approval."""
        with self.db.begin() as session:
            alert = self._some(session, select(Alert).where(Alert.state == AlertState.HELD))
            if alert is not None and alert.id is not None:
                act = announce.release_alert if self.random.random() < 0.8 else announce.cancel_alert
                act(session, alert.id, "an admin", self.now)

    def change_something(self) -> None:
        reader, slug = self.random.choice(self.readers), self.random.choice([*TOPICS])
        match self.random.randrange(10):
            case 0 | 1 | 2 | 3 | 4:
                self.choose(reader, slug)
            case 5:
                before = self.accounts[reader].choice(self.topics[slug], self.now)
                self.leave(reader, slug)
                if before is not None and self.random.random() < 0.5:
                    self.wait(self.random.choice([0.2, 20, 50, 70]))
                    self.choose(reader, slug, before)
            case 6:
                self.pause(reader)
            case _:
                self.move(reader)

    def choose(self, reader: int, slug: str, frequency: Frequency | None = None) -> None:
        frequency = frequency or self.random.choice([*Frequency, *SOONEST])
        account, topic = self.accounts[reader], self.topics[slug]
        before = account.choice(topic, self.now)
        with self.db.begin() as session:
            subscribers.follow(session, reader, slug, frequency, by="reader", now=self.now)
        if frequency != before:
            account.choices[topic].append(Choice(self.now, frequency))
        if frequency.is_digest:
            account.marks.setdefault(frequency, self.now)

    def leave(self, reader: int, slug: str) -> None:
        account, topic = self.accounts[reader], self.topics[slug]
        with self.db.begin() as session:
            if subscribers.unsubscribe(session, reader, slug, by="reader", now=self.now):
                account.choices[topic].append(Choice(self.now, None))

    def pause(self, reader: int) -> None:
        account = self.accounts[reader]
        is_over = account.is_paused(self.now) and self.random.random() < 0.5
        hours = self.random.choice([1, 3, 30, 100])
        until = None if is_over else self.now + timedelta(hours=hours)
        with self.db.begin() as session:
            subscribers.pause(session, reader, until, by="reader", now=self.now)
        account.pauses.append((self.now, until or self.now))

    def move(self, reader: int) -> None:
        with self.db.begin() as session:
            row = session.get_one(Subscriber, reader)
            row.zone = self.random.choice(ZONES)
            row.digest_hour = self.random.randrange(24)
            row.digest_weekday = self.random.randrange(7)
            spans.place(session, row, self.now)

    def go_down(self) -> None:
        self.is_down = self.random.random() < 0.5

    def _some(self, session: Session, query: Any) -> Any:
        # The newest are most often spoken of.
        found = session.exec(query).all()[-6:]
        return self.random.choice(found) if found else None

    # --- what is sent --------------------------------------------------------------------------------

    def work(self) -> None:
        while not self.is_down and self._work_one_chunk(1.0):
            pass

    def work_a_little(self) -> None:
        for _ in range(self.random.randrange(4)):
            if not self.is_down:
                self._work_one_chunk(0.6)

    def _work_one_chunk(self, accepted: float) -> bool:
        with self.db.begin() as session:
            lease = outbox.claim(session, "a", size=3, length=LEASE, now=self.now)
        if lease is None:
            return False
        expected = self._expected(lease) if lease.terms.rule.slot else {}
        with self.db.begin() as session:
            opened = open_chunk(session, lease, Plan(2, 1, "main"), self.now)
        if lease.terms.rule.slot:
            self._judge(lease, expected)
        with self.db.begin() as session:
            if opened:
                group = [self._receipt(each, accepted) for each in opened]
                receipts.record(session, lease, group, KEYS, self.now)
                outbox.release(session, lease, self.now)
            else:
                outbox.close(session, lease, self.now, PAUSE, PAUSE)
        return True

    def _receipt(self, opening: Opening, accepted: float) -> Receipt:
        if self.random.random() < accepted:
            return Receipt(opening.subscriber_id, Settled.ACCEPTED, "", 250, "", "")
        return Receipt(opening.subscriber_id, Settled.DEFERRED, "retry", 451, "", "")

    def come_to_rest(self) -> None:
        """All that waits for a person is cancelled, and the daemon runs on until nothing is owed any more."""
        self.is_down = False
        with self.db.begin() as session:
            for alert in session.exec(select(Alert).where(Alert.state == AlertState.HELD)).all():
                announce.cancel_alert(session, alert.id or 0, "an admin", self.now)
        for _ in range(9 * 24):
            self.tick()
            self.work()
            self.now += timedelta(hours=1)

    # --- what should be ------------------------------------------------------------------------------

    def _expected(self, lease: Lease) -> dict[int, dict[int, tuple[int, str]]]:
        """What each reader's part of a digest that is about to be opened should be, as {entry: (revision, mark)}."""
        slot = lease.terms.rule.slot
        assert slot is not None
        frequency, end = Frequency(slot.frequency), slot.window_end
        with self.db.begin() as session:
            ledger = Ledger(session)
            return {
                reader: self._part(ledger, reader, frequency, end)
                for reader in self.readers
                if frequency in self.accounts[reader].marks and not self.accounts[reader].is_paused(self.now)
            }

    def _part(
        self, ledger: "Ledger", reader: int, frequency: Frequency, end: datetime
    ) -> dict[int, tuple[int, str]]:
        account = self.accounts[reader]
        part: dict[int, tuple[int, str]] = {}
        for alert in ledger.alerts:
            if alert.state not in {AlertState.RELEASED, AlertState.DONE}:
                continue
            topics = [int(topic) for topic, wanted in alert.audience.items() if Frequency.EVERY in wanted]
            in_window = account.marks[frequency] <= alert.released_at < end
            is_owed = (in_window and not account.is_paused(alert.released_at)) and any(
                account.choice(topic, alert.released_at) == frequency
                and not account.has_left(topic, alert.released_at)
                for topic in topics
            )
            entry = ledger.entry_of(alert)
            if (
                (is_owed or self._is_diverted(ledger, alert, topics, reader, frequency, end))
                and entry.withdrawn_at is None
                and not self._is_told(ledger, reader, entry.id)
            ):
                part[entry.id] = ledger.text(entry.id)
        return part

    def _is_told(self, ledger: "Ledger", reader: int, entry: int) -> bool:
        """Whether the reader holds an entry, or an alert that is going out will bring it."""
        for alert in ledger.alerts_of(entry):
            row = ledger.rows.get((alert.id, reader))
            if row is not None and row.state in HOLDING:
                return True
            if row is None and alert.state == AlertState.RELEASED and self._comes_at_once(alert, reader):
                return True
        return entry in ledger.told_by_digests(reader)

    def _comes_at_once(self, alert: Any, reader: int) -> bool:
        account = self.accounts[reader]
        for topic, wanted in alert.audience.items():
            then, now = (account.choice(int(topic), at) for at in (alert.released_at, self.now))
            if (
                then in {Frequency.FLASH, Frequency.EVERY}
                and now in wanted
                and not account.has_left(int(topic), alert.released_at)
                and account.was_always_at_once(int(topic), alert.released_at)
                and (then == now or len(wanted) == 2)
            ):
                return True
        return False

    def _is_diverted(
        self,
        ledger: "Ledger",
        alert: Any,
        topics: list[int],
        reader: int,
        frequency: Frequency,
        end: datetime,
    ) -> bool:
        row = ledger.rows.get((alert.id, reader))
        account = self.accounts[reader]
        if row is None or row.state != DeliveryState.DIVERTED:
            return False
        if not account.marks[frequency] <= row.at < end:
            return False
        chosen = {
            topic: account.choice(topic, row.at)
            for topic in topics
            if account.choice(topic, row.at) is not None
            and not self._came_back(account, topic, alert, row.at)
        }
        soonest = next(each for each in SOONEST if each in chosen.values())
        still = any(
            each == frequency and not account.has_left(topic, row.at) for topic, each in chosen.items()
        )
        return soonest == frequency and still

    def _came_back(self, account: Account, topic: int, alert: Any, at: datetime) -> bool:
        """Whether a topic that is followed at an instant was not when the alert was released, or not all the time."""
        if account.choice(topic, alert.released_at) is None:
            return True
        return any(
            each.frequency is None for each in account.choices[topic] if alert.released_at < each.at <= at
        )

    def _judge(self, lease: Lease, expected: dict[int, dict[int, tuple[int, str]]]) -> None:
        slot = lease.terms.rule.slot
        assert slot is not None
        frequency, end = Frequency(slot.frequency), slot.window_end
        with self.db.begin() as session:
            for reader, account in self.accounts.items():
                mark = session.get(DigestMark, (reader, frequency))
                if mark is None or mark.through != end or account.marks.get(frequency, end) >= end:
                    continue
                account.marks[frequency] = end
                row = session.get(Delivery, (lease.alert_id, reader))
                where = f"{slot}, alert {lease.alert_id}, reader {reader}"
                if row is None:
                    assert expected[reader] == {}, where
                elif row.state in HOLDING:
                    chosen = session.get_one(Selection, (lease.alert_id, row.variant))
                    told = {entry: (revision, became) for entry, revision, became in chosen.entries}
                    assert told == expected[reader], where
                    self.digests.append((lease.alert_id, reader, len(told)))
                else:
                    assert expected[reader] or row.reason == "unsubscribed", where

    def check_all(self) -> None:
        """Every entry that was owed to a reader reached them once, or there is a row that says why not."""
        with self.db.begin() as session:
            alerts = session.exec(select(Alert).where(col(Alert.window_end).is_(None))).all()
            assert {alert.state for alert in session.exec(select(Alert))} <= {
                AlertState.DONE,
                AlertState.CANCELLED,
            }
            told = {reader: self._all_told(session, reader) for reader in self.readers}
            for reader, entries in told.items():
                assert len(entries) == len(set(entries)), f"reader {reader} was told twice"
                for alert in alerts:
                    if alert.state == AlertState.DONE:
                        self._check_alert(session, alert, reader, set(entries))

    def _all_told(self, session: Session, reader: int) -> list[int]:
        told = []
        for row in session.exec(select(Delivery).where(Delivery.subscriber_id == reader)):
            if row.state != DeliveryState.ACCEPTED:
                continue
            alert = session.get_one(Alert, row.alert_id)
            if alert.window_end is None:
                told.append(int(alert.cause_key.partition(":")[2]))
            else:
                told += [each[0] for each in session.get_one(Selection, (row.alert_id, row.variant)).entries]
        return told

    def _check_alert(self, session: Session, alert: Alert, reader: int, told: set[int]) -> None:
        account, released_at = self.accounts[reader], alert.released_at
        assert released_at is not None
        owed = [
            int(topic)
            for topic, wanted in alert.audience.items()
            if (choice := account.choice(int(topic), released_at)) is not None
            and (choice in wanted or (choice.is_digest and Frequency.EVERY in wanted))
        ]
        entry = session.get_one(Entry, int(alert.cause_key.partition(":")[2]))
        if not owed or entry.id in told or entry.withdrawn_at is not None:
            return
        if account.is_paused(released_at) and not any(
            account.choice(topic, released_at) in {Frequency.FLASH, Frequency.EVERY} for topic in owed
        ):
            return
        row = session.get(Delivery, (alert.id, reader))
        is_said = row is not None and row.state in {DeliveryState.SKIPPED, DeliveryState.EXPIRED}
        # Moved to a digest, whose topics were left then.
        is_diverted = row is not None and row.state == DeliveryState.DIVERTED
        # Who came back at once had a digest pass while they were out: what each carried was judged as it was opened.
        has_left = (any if is_diverted else all)(account.ever_left(topic, released_at) for topic in owed)
        lapsed = session.exec(
            select(Delivery.alert_id)
            .join(Alert, col(Alert.id) == Delivery.alert_id)
            .where(
                Delivery.subscriber_id == reader,
                col(Alert.window_end) > released_at,
                col(Delivery.state).in_([DeliveryState.SKIPPED, DeliveryState.EXPIRED]),
            )
        ).first()
        assert is_said or has_left or lapsed is not None, f"reader {reader} never got entry {entry.id}"


class Ledger:
    """What stands in the tables at one moment, read as it is."""

    def __init__(self, session: Session) -> None:
        connection = session.connection()
        self.alerts = connection.execute(
            sa.select(table_of(Alert)).where(col(Alert.window_end).is_(None)).order_by(col(Alert.id))
        ).all()
        self.entries = {row.id: row for row in connection.execute(sa.select(table_of(Entry)))}
        self.rows = {
            (row.alert_id, row.subscriber_id): row
            for row in connection.execute(sa.select(table_of(Delivery)))
        }
        self._selections = {
            (row.alert_id, row.variant): {each[0] for each in row.entries}
            for row in connection.execute(sa.select(table_of(Selection)))
        }
        self._revisions = connection.execute(
            sa.select(table_of(EntryRevision)).order_by(col(EntryRevision.number))
        ).all()

    def entry_of(self, alert: Any) -> Any:
        return self.entries[int(alert.cause_key.partition(":")[2])]

    def alerts_of(self, entry: int) -> list[Any]:
        return [each for each in self.alerts if each.cause_key in {f"entry:{entry}", f"flash:{entry}"}]

    def told_by_digests(self, reader: int) -> set[int]:
        told: set[int] = set()
        for (alert, who), row in self.rows.items():
            if who == reader and row.state in HOLDING:
                told |= self._selections.get((alert, row.variant), set())
        return told

    def text(self, entry: int) -> tuple[int, str]:
        """The newest text, and what became of it since the entry's first alert was released."""
        first = next(
            each for each in self.alerts_of(entry) if each.state in {AlertState.RELEASED, AlertState.DONE}
        )
        own = [each for each in self._revisions if each.entry_id == entry]
        later = [each.is_correction for each in own if each.seen_at > first.released_at]
        return own[-1].number, "corrected" if any(later) else "updated" if later else ""
