"""Rates, turns and stops on the ledger, with the time as an argument: on SQLite and on PostgreSQL."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import pytest
from sqlmodel import Session, col, select

from alerts.audience.tokens import derive
from alerts.db import Database
from alerts.dispatch import breakers, gates, outbox, receipts
from alerts.dispatch.gates import Later, Limits, View, Ways
from alerts.dispatch.opening import Opening, Plan, open_chunk
from alerts.dispatch.outbox import Lease
from alerts.dispatch.rates import Rate
from alerts.dispatch.receipts import Receipt, Settled
from alerts.models import (
    Alert,
    AlertState,
    Batch,
    Breaker,
    Delivery,
    DeliveryState,
    Frequency,
    Lane,
    Subscriber,
    Waiting,
)
from build import NOW, a_topic, an_alert, readers

LEASE = timedelta(seconds=30)
FIRST, MOST = timedelta(seconds=10), timedelta(minutes=10)
KEYS = derive(b"s" * 32, [])
EVERY = [Frequency.EVERY]
SECOND = timedelta(seconds=1)
SLOW = "slow.example"


def limits(**rates: float) -> Limits:
    return Limits(domains={f"{name}.example": Rate(each) for name, each in rates.items()})


@dataclass
class Site:
    """Workers on one ledger; `sent` has what left, by whom and when."""

    db: Database
    limits: Limits = field(default_factory=Limits)
    transports: Sequence[str] = ("main",)
    chunk: int = 100
    now: datetime = NOW
    sent: list[tuple[datetime, Opening]] = field(default_factory=list)
    view: View = field(default_factory=lambda: View(NOW))
    claims: int = 0
    due: list[datetime] = field(default_factory=list)  # turns that were given and have not come

    def look(self) -> None:
        with self.db.begin() as session:
            self.view, due = gates.look(session, self.limits, self.transports, self.now)
        self.due += due

    def work(
        self,
        worker: str = "a",
        *,
        settled: Settled = Settled.ACCEPTED,
        reason: str = "",
        refuse: Sequence[str] = (),
        most: int = 1_000,
    ) -> list[Opening]:
        """Does all that is due now, as a courier would; those at `refuse` domains get the given end."""
        done: list[Opening] = []
        for _ in range(most):
            with self.db.begin() as session:
                lease = outbox.claim(session, worker, size=500, length=LEASE, now=self.now)
            if lease is None:
                break
            self.claims += 1
            while opened := self.open(lease):
                self.record(lease, opened, settled, reason, refuse)
                done += opened
            with self.db.begin() as session:
                outbox.close(session, lease, self.now, FIRST, MOST)
        return done

    def open(self, lease: Lease) -> Sequence[Opening]:
        up = [each for each in self.transports if each not in self.view.shut]
        ways = Ways(self.limits, self.view, up[0], tuple(up[1:]))
        plan = Plan(self.chunk, 1, up[0])
        with self.db.begin() as session:
            if ways.is_open:
                opened = open_chunk(session, lease, plan, self.now)
            else:
                gate = gates.enter(session, ways, lease, self.chunk, self.now)
                assert not isinstance(gate, Later)
                opened = open_chunk(session, lease, Plan(gate.size, 1, up[0]), self.now, gate)
                gate.leave()
        self.sent += [(self.now, each) for each in opened]
        return opened

    def record(
        self,
        lease: Lease,
        opened: Sequence[Opening],
        settled: Settled = Settled.ACCEPTED,
        reason: str = "",
        refuse: Sequence[str] = (),
    ) -> None:
        group = []
        for each in opened:
            domain = each.address.partition("@")[2]
            if domain in refuse:
                group.append(
                    Receipt(each.subscriber_id, settled, reason, 550, "5.7.1 no", domain, each.transport)
                )
            else:
                group.append(
                    Receipt(each.subscriber_id, Settled.ACCEPTED, "", 250, "", domain, each.transport)
                )
        with self.db.begin() as session:
            receipts.record(session, lease, group, KEYS, self.now)
            breakers.note(session, group, self.view.watched, self.now)

    def pass_time(self, until: datetime) -> None:
        """Lives second by second, and at each turn in between."""
        while self.now < until:
            at = self.now + SECOND
            for turn in sorted({each for each in self.due if self.now < each < at}):
                self.now = turn
                self.work("b")
            self.now = at
            self.due = [each for each in self.due if each >= at]
            self.look()
            self.work("a")

    def to(self, domain: str) -> list[datetime]:
        return [at for at, each in self.sent if each.address.endswith(domain)]


@pytest.fixture
def site(db: Database) -> Site:
    return Site(db)


def announce(
    site: Site,
    counts: dict[str, int],
    *,
    lane: Lane = Lane.UPDATE,
    ttl: timedelta = timedelta(hours=1),
    cause: str = "entry:1",
) -> int:
    with site.db.begin() as session:
        topic = a_topic(session, cause.replace(":", "-"))
        for domain, count in counts.items():
            readers(session, count, topic, domain=domain, prefix=f"{cause.replace(':', '')}-")
        return an_alert(session, {topic: EVERY}, cause=cause, lane=lane, now=site.now, ttl=ttl)


def states(session: Session) -> Counter[str]:
    return Counter(session.exec(select(Delivery.state)).all())


def must_fit(times: Sequence[datetime], rate: float) -> None:
    """No stretch of the ledger's time has more openings than fit it and one burst."""
    ordered = sorted(times)
    for index, start in enumerate(ordered):
        for count, end in enumerate(ordered[index:], start=1):
            assert count <= rate * ((end - start).total_seconds() + 1) + 1e-6


def test_a_domains_rate_holds_over_batches_and_workers_and_is_used_in_full(site: Site) -> None:
    site.limits = limits(slow=20)
    announce(site, {SLOW: 90, "fast.example": 700})
    site.look()
    site.work()
    assert len(site.to("fast.example")) == 700, "nobody else is delayed"
    assert len(site.to(SLOW)) == 20
    with site.db.begin() as session:
        reasons = session.exec(select(Delivery.reason).where(Delivery.state == DeliveryState.DEFERRED)).all()
        assert set(reasons) == {f"waits for its destination's rate: {SLOW}"}
    site.pass_time(NOW + timedelta(seconds=5))
    must_fit(site.to(SLOW), 20)
    assert len(site.to(SLOW)) == 90
    assert max(site.to(SLOW)) <= NOW + timedelta(seconds=4.5)
    with site.db.begin() as session:
        assert states(session) == {DeliveryState.ACCEPTED: 790}
        assert set(session.exec(select(Delivery.attempts))) == {1}, "to wait is no attempt"
        assert session.exec(select(Alert.state)).one() == AlertState.DONE
        assert session.exec(select(Waiting)).all() == []


def test_many_batches_that_wait_for_one_domain_cost_a_claim_a_second_not_one_each(site: Site) -> None:
    site.limits = limits(slow=10)
    for number in range(40):
        announce(site, {SLOW: 30}, cause=f"entry:{number}")
    site.look()
    site.work()
    first = site.claims
    assert first == 40
    site.pass_time(NOW + timedelta(seconds=20))
    assert len(site.to(SLOW)) == 10 + 200
    must_fit(site.to(SLOW), 10)
    assert site.claims - first <= 25


def test_what_is_urgent_and_came_later_goes_first(site: Site) -> None:
    site.limits = limits(slow=10)
    announce(site, {SLOW: 200})
    site.look()
    site.work()
    site.pass_time(NOW + timedelta(seconds=3))
    flash = announce(site, {SLOW: 25}, lane=Lane.FLASH, cause="flash:2")
    site.work()
    site.pass_time(NOW + timedelta(seconds=9))
    with site.db.begin() as session:
        rows = session.exec(select(Delivery.state).where(Delivery.alert_id == flash)).all()
    assert set(rows) == {DeliveryState.ACCEPTED}
    must_fit(site.to(SLOW), 10)
    late = [at for at, each in site.sent if each.address.startswith("flash2")]
    assert max(late) <= NOW + timedelta(seconds=7.5), "two seconds were given away before it came"


def test_what_is_less_urgent_takes_nothing_from_those_who_wait(site: Site) -> None:
    site.limits = limits(slow=10)
    announce(site, {SLOW: 40})
    site.look()
    site.work()
    site.now += SECOND * 0.7  # seven mails would fit, and nobody was woken for them
    announce(site, {SLOW: 5}, lane=Lane.DIGEST, cause="digest:2")
    site.work()
    assert len(site.to(SLOW)) == 10
    site.pass_time(NOW + timedelta(seconds=7))
    assert [each.address.partition("-")[0] for _, each in site.sent] == ["entry1"] * 40 + ["digest2"] * 5


def test_what_waits_too_long_expires_and_says_so(site: Site) -> None:
    site.limits = limits(slow=1)
    announce(site, {SLOW: 30}, ttl=timedelta(seconds=10))
    site.look()
    site.work()
    site.pass_time(NOW + timedelta(seconds=12))
    with site.db.begin() as session:
        found = states(session)
        assert found[DeliveryState.ACCEPTED] + found[DeliveryState.EXPIRED] == 30
        assert 9 <= found[DeliveryState.ACCEPTED] <= 11
        assert session.exec(select(Alert.state)).one() == AlertState.DONE
        assert session.exec(select(Waiting)).all() == []


def test_who_leaves_while_they_wait_is_not_mailed(site: Site) -> None:
    site.limits = limits(slow=1)
    announce(site, {SLOW: 3})
    site.look()
    site.work()
    with site.db.begin() as session:
        for reader in session.exec(select(Subscriber)):
            reader.suppressed = "complaint"
    site.pass_time(NOW + timedelta(seconds=3))
    with site.db.begin() as session:
        assert states(session) == {DeliveryState.ACCEPTED: 1, DeliveryState.SKIPPED: 2}


def test_a_turn_does_not_bring_forward_what_was_told_to_come_later(site: Site) -> None:
    """A batch comes for its domain's turn; its other readers keep to their own wait, which does not grow by it."""
    site.limits = limits(slow=1)
    announce(site, {SLOW: 5, "later.example": 2})
    site.look()
    site.work(settled=Settled.DEFERRED, reason="retry: not now", refuse=["later.example"])
    site.pass_time(NOW + timedelta(seconds=4))
    assert (len(site.to(SLOW)), len(site.to("later.example"))) == (5, 2)
    with site.db.begin() as session:
        batch = session.exec(select(Batch)).one()
        assert (batch.due_at, batch.tries) == (NOW + FIRST, 1)
    site.pass_time(NOW + FIRST)
    assert len(site.to("later.example")) == 4
    with site.db.begin() as session:
        assert states(session) == {DeliveryState.ACCEPTED: 7}


def test_a_limit_that_is_taken_away_lets_all_go(site: Site) -> None:
    site.limits = limits(slow=1)
    announce(site, {SLOW: 50})
    site.look()
    site.work()
    site.limits = Limits()
    site.look()
    site.work()
    assert len(site.to(SLOW)) == 50


def test_a_worker_that_dies_with_a_turn_holds_up_nobody_for_long(site: Site) -> None:
    site.limits = limits(slow=10)
    announce(site, {SLOW: 10 + 100}, cause="entry:1")
    announce(site, {SLOW: 100}, cause="entry:2")
    site.look()
    site.work()
    site.now += SECOND
    site.look()
    with site.db.begin() as session:
        dead = outbox.claim(session, "dead", size=500, length=LEASE, now=site.now)
    assert dead is not None
    site.pass_time(site.now + timedelta(seconds=12))
    assert len(site.to(SLOW)) >= 10 + 10 * 8
    must_fit(site.to(SLOW), 10)


def test_a_transports_rate_holds_over_workers(site: Site) -> None:
    site.limits = Limits(transports={"main": Rate(50)})
    announce(site, {"any.example": 400})
    leases = []
    with site.db.begin() as session:
        for worker in ("a", "b"):
            lease = outbox.claim(session, worker, size=200, length=LEASE, now=NOW)
            assert lease is not None
            leases.append(lease)
    opened: list[datetime] = []
    for step in range(60):
        site.now = NOW + step * SECOND / 10
        lease = leases[step % 2]
        with site.db.begin() as session:
            gate = gates.enter(session, Ways(site.limits, site.view, "main"), lease, 100, site.now)
            if isinstance(gate, Later):
                assert 0 < gate.seconds <= 0.25
                continue
            found = open_chunk(session, lease, Plan(gate.size, 1, "main"), site.now, gate)
            gate.leave()
        opened += [site.now] * len(found)
    must_fit(opened, 50)
    assert len(opened) >= 50 * 6


FAULT = "sender_fault: blocked or listed"


def test_faults_in_a_row_stop_a_destination_for_everybody_and_an_acceptance_wakes_what_is_owed(
    site: Site, capsys: pytest.CaptureFixture[str]
) -> None:
    site.chunk = 8
    announce(site, {"ill.example": 40, "well.example": 10})
    site.look()
    site.work(settled=Settled.DEFERRED, reason=FAULT, refuse=["ill.example"], most=1)
    assert "destination_stopped" in capsys.readouterr().out
    site.look()
    other = announce(site, {"ill.example": 20, "well.example": 5}, cause="entry:2")
    site.work("b", settled=Settled.DEFERRED, reason=FAULT, refuse=["ill.example"])
    assert len(site.to("well.example")) == 15, "nobody else is delayed"
    with site.db.begin() as session:
        second = session.exec(select(Delivery.reason).where(Delivery.alert_id == other)).all()
        assert Counter(second) == {"destination stopped: ill.example": 20, "": 5}
        row = session.exec(select(Breaker)).one()
        assert (row.transport, row.domain, row.retry_at) == (
            "main",
            "ill.example",
            NOW + timedelta(minutes=1),
        )
    tried = len(site.to("ill.example"))

    # A minute later one mail tries, and is refused; two minutes later another, and so on. Those who were refused
    # before the stop come again when they would have, and are held like the rest.
    for after, probes in ((59, 0), (61, 1), (175, 1), (182, 2)):
        site.now = NOW + timedelta(seconds=after)
        site.look()
        site.work(settled=Settled.DEFERRED, reason=FAULT, refuse=["ill.example"])
        assert len(site.to("ill.example")) - tried == probes

    site.now = NOW + timedelta(seconds=182 + 4 * 60 + 1)
    site.look()
    site.work()
    with site.db.begin() as session:
        assert session.exec(select(Breaker)).all() == []
    assert "destination_resumed" in capsys.readouterr().out
    site.pass_time(site.now + timedelta(seconds=2))
    site.now += MOST
    site.work()
    with site.db.begin() as session:
        assert states(session) == {DeliveryState.ACCEPTED: 75}


def test_a_few_faults_or_one_acceptance_between_them_stop_nothing(site: Site) -> None:
    with site.db.begin() as session:
        for number in range(12):
            group = [fault(number), fault(number), fault(number), fault(number), accepted(number)]
            breakers.note(session, group, frozenset({("main", "x.example")}), NOW)
            assert session.exec(select(Breaker)).all() == []
        for number in range(4):
            breakers.note(session, [fault(number)], frozenset(), NOW + number * timedelta(minutes=59))
        assert session.exec(select(Breaker.opened_at)).one() is None
        late = NOW + timedelta(hours=9)
        breakers.note(session, [fault(9)], frozenset(), late)
        row = session.exec(select(Breaker)).one()
        assert (row.opened_at, row.faults) == (None, 1), "what is an hour old is forgotten"


def fault(reader: int, domain: str = "x.example") -> Receipt:
    return Receipt(reader, Settled.DEFERRED, FAULT, 550, "5.7.1 blocked", domain, "main")


def accepted(reader: int, domain: str = "x.example") -> Receipt:
    return Receipt(reader, Settled.ACCEPTED, "", 250, "", domain, "main")


def test_waits_for_a_stopped_destination_double_up_to_an_hour() -> None:
    waits = [breakers.wait(probes).total_seconds() for probes in (0, 1, 2, 5, 6, 99)]
    assert waits == [60, 120, 240, 1920, 3600, 3600]


def test_a_transport_whose_sender_is_refused_is_left_alone_and_probed(site: Site) -> None:
    announce(site, {"any.example": 20})
    with site.db.begin() as session:
        breakers.note(session, [fault(number, "") for number in range(5)], frozenset(), NOW)
        lease = outbox.claim(session, "a", size=500, length=LEASE, now=NOW)
    assert lease is not None
    site.look()
    assert site.view.shut == {"main"}
    site.now = NOW + timedelta(seconds=20)
    ways = Ways(site.limits, site.view, "main")
    with site.db.begin() as session:
        assert isinstance(gates.enter(session, ways, lease, 100, site.now), Later)
        outbox.renew(session, lease, site.now)
    site.now = NOW + timedelta(seconds=45)
    with site.db.begin() as session:
        outbox.renew(session, lease, site.now)
    site.now = NOW + timedelta(seconds=60)
    site.look()
    assert site.view.shut == frozenset()
    assert len(site.open(lease)) == 1
    site.look()
    assert site.view.shut == {"main"}


def test_a_stopped_destination_is_served_by_another_transport(site: Site) -> None:
    """A sender's fault is a definite no: nobody has the mail, so another may bring it."""
    site.transports = ("main", "spare")
    announce(site, {"ill.example": 20, "well.example": 5})
    with site.db.begin() as session:
        faults = [fault(number, "ill.example") for number in range(5)]
        breakers.note(session, faults, frozenset(), NOW)
    site.look()
    site.work()
    by = Counter((each.transport, each.address.partition("@")[2]) for _, each in site.sent)
    assert by == {("spare", "ill.example"): 20, ("main", "well.example"): 5}
    with site.db.begin() as session:
        kept = session.exec(select(Delivery.transport, col(Delivery.subscriber_id))).all()
    assert Counter(transport for transport, _ in kept) == {"spare": 20, "main": 5}


def test_without_limits_and_stops_there_is_no_gate(site: Site) -> None:
    site.look()
    assert Ways(site.limits, site.view, "main").is_open
