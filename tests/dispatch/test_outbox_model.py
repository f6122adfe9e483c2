"""Any order of announcing, claiming, sending, crashing, leaving and waiting keeps the promises.

A model plays workers, a mail server and readers against the real outbox; the server's own list is what
counts. A crash with its journal repeats at most the mails that were begun; without it (the machine is lost)
at most what was opened. Nobody gets a third copy, and nobody gets one after leaving. The destination may have a
rate, and may stop us and take us back at any moment.
"""

import tempfile
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from sqlmodel import Session, col, select

from alerts.audience.tokens import derive
from alerts.db import Database
from alerts.dispatch import breakers, gates, outbox, receipts
from alerts.dispatch.gates import Later, Limits, View, Ways
from alerts.dispatch.opening import Opening, Plan, open_chunk
from alerts.dispatch.outbox import Lease
from alerts.dispatch.rates import Rate
from alerts.dispatch.receipts import Receipt, Settled
from alerts.errors import LeaseLost
from alerts.models import (
    Alert,
    AlertState,
    Delivery,
    DeliveryState,
    Frequency,
    Subscriber,
    Subscription,
)
from build import NOW, a_topic, an_alert, readers

KEYS = derive(b"s" * 32, [])
LEASE = timedelta(seconds=30)
RATE = Rate(0.2)
READERS = 9
WORKERS = ("a", "b", "c")


@dataclass
class Worker:
    """What a worker knows by itself, and loses when it dies; the journal outlives it."""

    lease: Lease | None = None
    opened: list[Opening] = field(default_factory=list)  # not begun yet
    journal: list[Receipt] = field(default_factory=list)
    unrecorded: list[Receipt] = field(default_factory=list)
    begun: set[int] = field(default_factory=set)  # no reply was read


class Line(RuleBasedStateMachine):
    """One alert (more may be announced) to nine readers through three workers."""

    make: Callable[[], Database]

    @initialize(is_limited=st.booleans())
    def start(self, is_limited: bool) -> None:
        self.db = type(self).make()
        self.now = NOW
        self.limits = Limits(domains={"example.org": RATE}) if is_limited else Limits()
        self.view = View(self.now)
        self.went: list[datetime] = []
        self.workers = {name: Worker() for name in WORKERS}
        self.server: Counter[tuple[int, int]] = Counter()
        self.texts: dict[tuple[int, int], set[tuple[str, int]]] = {}
        self.left: dict[int, datetime] = {}
        self.doubts: Counter[tuple[int, int]] = Counter()
        with self.db.begin() as session:
            self.topic = a_topic(session)
            self.ids = readers(session, READERS, self.topic)
        self.alerts = [self._announce(0)]

    def teardown(self) -> None:
        if hasattr(self, "db"):
            self.settle()
            self.db.close()

    def _announce(self, number: int) -> int:
        with self.db.begin() as session:
            return an_alert(
                session,
                {self.topic: [Frequency.EVERY]},
                cause=f"entry:{number}",
                now=self.now,
                ttl=timedelta(minutes=10),
            )

    @precondition(lambda self: len(self.alerts) < 3)
    @rule()
    def announce(self) -> None:
        self.alerts.append(self._announce(len(self.alerts)))

    @rule(name=st.sampled_from(WORKERS))
    def claim(self, name: str) -> None:
        worker = self.workers[name]
        if worker.lease is None:
            with self.db.begin() as session:
                worker.lease = outbox.claim(session, name, size=4, length=LEASE, now=self.now)

    @rule(name=st.sampled_from(WORKERS), size=st.integers(1, 4))
    def open(self, name: str, size: int) -> None:
        worker = self.workers[name]
        if worker.lease is None or worker.opened or worker.begun or worker.unrecorded:
            return
        try:
            with self.db.begin() as session:
                worker.opened = self._open(session, worker.lease, size)
                if not worker.opened:
                    outbox.close(session, worker.lease, self.now, timedelta(seconds=5), timedelta(minutes=1))
        except LeaseLost:
            self._abandon(name)
            return
        for each in worker.opened:
            assert self.left.get(each.subscriber_id, self.now) >= self.now, "opened after they left"
        if not worker.opened:
            self.workers[name] = Worker()

    @rule(
        name=st.sampled_from(WORKERS),
        ending=st.sampled_from(["accepted", "lost", "taken, no reply", "deferred"]),
    )
    def send(self, name: str, ending: str) -> None:
        """One mail goes over the wire, unless the fence is down."""
        worker = self.workers[name]
        if worker.lease is None or not worker.opened or not self._is_fence_open(name):
            return
        opening = worker.opened.pop()
        key = (worker.lease.alert_id, opening.subscriber_id)
        worker.begun.add(opening.subscriber_id)
        if ending in {"accepted", "taken, no reply"}:
            self.server[key] += 1
            self.texts.setdefault(key, set()).add((opening.variant, opening.key_id))
        if ending in {"accepted", "deferred"}:
            settled = Settled.ACCEPTED if ending == "accepted" else Settled.DEFERRED
            receipt = Receipt(opening.subscriber_id, settled, "", 250, "", "example.org")
            worker.begun.discard(opening.subscriber_id)
            worker.journal.append(receipt)
        else:
            receipt = Receipt(opening.subscriber_id, Settled.UNKNOWN, "", 0, "", "")
            worker.begun.discard(opening.subscriber_id)
        worker.unrecorded.append(receipt)

    @rule(name=st.sampled_from(WORKERS))
    def record(self, name: str) -> None:
        worker = self.workers[name]
        if worker.lease is None or not worker.unrecorded:
            return
        try:
            with self.db.begin() as session:
                receipts.record(session, worker.lease, worker.unrecorded, KEYS, self.now)
            worker.unrecorded = []
        except LeaseLost:
            self._abandon(name)

    @rule(name=st.sampled_from(WORKERS), in_content=st.booleans(), is_taken=st.booleans())
    def die(self, name: str, in_content: bool, is_taken: bool) -> None:
        """SIGKILL; one mail may be on the wire. The journal is read before anything else is claimed."""
        worker = self.workers[name]
        if worker.lease is None:
            return
        if in_content and worker.opened and self._is_fence_open(name):
            opening = worker.opened.pop()
            worker.begun.add(opening.subscriber_id)
            if is_taken:
                key = (worker.lease.alert_id, opening.subscriber_id)
                self.server[key] += 1
                self.texts.setdefault(key, set()).add((opening.variant, opening.key_id))
        self._abandon(name)

    @rule(name=st.sampled_from(WORKERS))
    def lose_the_machine(self, name: str) -> None:
        """The journal is gone too; the lease has to run out."""
        self.workers[name] = Worker()

    @rule(index=st.integers(0, READERS - 1))
    def leave(self, index: int) -> None:
        reader = self.ids[index]
        with self.db.begin() as session:
            session.get_one(Subscription, (reader, self.topic)).until = self.now
        self.left.setdefault(reader, self.now)

    @rule(index=st.integers(0, READERS - 1))
    def suppress(self, index: int) -> None:
        reader = self.ids[index]
        with self.db.begin() as session:
            session.get_one(Subscriber, reader).suppressed = "complaint"
        self.left.setdefault(reader, self.now)

    def _open(self, session: Session, lease: Lease, size: int) -> list[Opening]:
        ways = Ways(self.limits, self.view, "main")
        if ways.is_open:
            opened = open_chunk(session, lease, Plan(size, 1, "main"), self.now)
        else:
            gate = gates.enter(session, ways, lease, size, self.now)
            assert not isinstance(gate, Later), "the transport has no limit"
            opened = open_chunk(session, lease, Plan(gate.size, 1, "main"), self.now, gate)
            gate.leave()
        self.went += [self.now] * len(opened)
        return list(opened)

    @rule()
    def look(self) -> None:
        with self.db.begin() as session:
            self.view, _ = gates.look(session, self.limits, ["main"], self.now)

    @rule(is_refused=st.booleans())
    def hear_of_the_destination(self, is_refused: bool) -> None:
        """What other mails to it were told: it stops, or goes on."""
        fault = Receipt(0, Settled.DEFERRED, "sender_fault: listed", 550, "", "example.org", "main")
        word = Receipt(0, Settled.ACCEPTED, "", 250, "", "example.org", "main")
        with self.db.begin() as session:
            heard = [fault] * 5 if is_refused else [word]
            breakers.note(session, heard, frozenset({("main", "example.org")}), self.now)

    @invariant()
    def the_rate_holds(self) -> None:
        went = getattr(self, "went", []) if getattr(self, "limits", Limits()).domains else []
        for count, at in enumerate(went[-20:]):
            assert count < 1 + RATE.a_second * ((at - went[-20:][0]).total_seconds() + 1 / RATE.a_second)

    @rule(seconds=st.sampled_from([1, 6, 31, 400]))
    def wait(self, seconds: int) -> None:
        self.now += timedelta(seconds=seconds)

    @invariant()
    def nobody_gets_a_third_copy_and_copies_are_alike(self) -> None:
        for key, copies in getattr(self, "server", {}).items():
            assert copies <= 2
            assert len(self.texts[key]) == 1

    def settle(self) -> None:
        """All workers die, the journals are folded, and one more works everything off."""
        for name in WORKERS:
            self._abandon(name)
        for _ in range(40):
            self.now += LEASE + timedelta(seconds=1)
            self.look()
            while self._work_one_batch():
                pass
        with self.db.begin() as session:
            assert set(session.exec(select(Alert.state)).all()) == {AlertState.DONE}
            self._check_ledger(session)

    def _work_one_batch(self) -> bool:
        with self.db.begin() as session:
            lease = outbox.claim(session, "last", size=4, length=LEASE, now=self.now)
            if lease is None:
                return False
            while opened := self._open(session, lease, 4):
                group = []
                for each in opened:
                    key = (lease.alert_id, each.subscriber_id)
                    self.server[key] += 1
                    self.texts.setdefault(key, set()).add((each.variant, each.key_id))
                    group.append(Receipt(each.subscriber_id, Settled.ACCEPTED, "", 250, "", ""))
                receipts.record(session, lease, group, KEYS, self.now)
            outbox.close(session, lease, self.now, timedelta(seconds=5), timedelta(minutes=1))
        self.nobody_gets_a_third_copy_and_copies_are_alike()
        return True

    def _check_ledger(self, session: Session) -> None:
        for row in session.exec(select(Delivery).order_by(col(Delivery.subscriber_id))):
            copies = self.server[row.alert_id, row.subscriber_id]
            match row.state:
                case DeliveryState.ACCEPTED:
                    assert 1 <= copies <= 1 + row.doubts
                case DeliveryState.UNKNOWN:
                    assert row.reason
                    assert copies <= row.doubts
                case DeliveryState.SKIPPED | DeliveryState.EXPIRED:
                    assert copies == 0
                case _:
                    raise AssertionError(f"not a final state: {row.state}")
        rows = {(row.alert_id, row.subscriber_id) for row in session.exec(select(Delivery))}
        assert set(self.server) <= rows

    def _is_fence_open(self, name: str) -> bool:
        """The model's clock stands in for the boot clock: the lease as the row has it."""
        lease = self.workers[name].lease
        assert lease is not None
        with self.db.begin() as session:
            try:
                outbox.renew(session, lease, self.now)
            except LeaseLost:
                return False
        return True

    def _abandon(self, name: str) -> None:
        worker = self.workers[name]
        if worker.lease is not None:
            in_doubt = worker.begun | {
                each.subscriber_id for each in worker.unrecorded if each.settled is Settled.UNKNOWN
            }
            lease = worker.lease
            with self.db.begin() as session:
                receipts.fold(
                    session,
                    (lease.alert_id, lease.first_id, lease.epoch),
                    name,
                    worker.journal,
                    frozenset(in_doubt),
                    KEYS,
                    self.now,
                )
        self.workers[name] = Worker()


def run(make: Callable[[], Database], examples: int) -> None:
    machine: Any = type("Line", (Line,), {"make": staticmethod(make)})
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=examples,
            stateful_step_count=30,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )


def test_any_order_keeps_the_promises_on_sqlite(sqlite_template: Path) -> None:
    with tempfile.TemporaryDirectory() as folder:
        made: list[int] = []

        def make() -> Database:
            made.append(1)
            path = Path(folder) / f"{len(made)}.db"
            path.write_bytes(sqlite_template.read_bytes())
            return Database(f"sqlite:///{path}")

        run(make, 40)


def test_any_order_keeps_the_promises_on_postgres(request: pytest.FixtureRequest) -> None:
    from fakes import postgres  # noqa: PLC0415 - only where it can be started

    try:
        server: postgres.Server = request.getfixturevalue("postgres_server")
    except postgres.CannotStart as error:
        pytest.skip(f"PostgreSQL cannot be started here: {error}")
    with server.database() as url:

        def make() -> Database:
            database = Database(url)
            with database.begin() as session:
                tables = (
                    "delivery, batch, alert, subscription, subscriber, topic, destination, suppression, "
                    "rate, waiting, breaker"
                )
                session.connection().exec_driver_sql(f"TRUNCATE {tables} RESTART IDENTITY CASCADE")
            return database

        run(make, 15)
