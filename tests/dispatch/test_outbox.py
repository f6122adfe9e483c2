"""The conformance suite of the outbox: every promise of its keys, on SQLite and on PostgreSQL."""

from collections.abc import Sequence
from datetime import datetime, timedelta

import pytest
import sqlalchemy as sa
from sqlmodel import Session, col, select

from alerts.audience import subscribers
from alerts.audience.addresses import normalise
from alerts.audience.tokens import derive
from alerts.db import Database
from alerts.dispatch import outbox, receipts
from alerts.dispatch.opening import ENDED_DOUBT, Opening, Plan, open_chunk
from alerts.dispatch.outbox import Lease
from alerts.dispatch.receipts import Receipt, Settled
from alerts.errors import LeaseLost
from alerts.models import (
    Alert,
    AlertState,
    Batch,
    Delivery,
    DeliveryState,
    Destination,
    Frequency,
    InDoubt,
    Lane,
    Subscriber,
    Subscription,
    Suppression,
)
from build import NOW, a_reader, a_topic, an_alert, follows, readers

LEASE = timedelta(seconds=30)
FIRST, MOST = timedelta(seconds=10), timedelta(minutes=10)
KEYS = derive(b"s" * 32, [])
EVERY = [Frequency.EVERY]
PLAN = Plan(size=100, key_id=1, transport="main")


def claim(
    session: Session, worker: str = "a", *, size: int = 500, now: datetime = NOW, prefer: Lane | None = None
) -> Lease | None:
    return outbox.claim(session, worker, size=size, length=LEASE, now=now, prefer=prefer)


def must_claim(session: Session, worker: str = "a", *, size: int = 500, now: datetime = NOW) -> Lease:
    lease = claim(session, worker, size=size, now=now)
    assert lease is not None
    return lease


def receipt(opening: Opening, settled: Settled = Settled.ACCEPTED, reason: str = "") -> Receipt:
    code = {Settled.ACCEPTED: 250, Settled.UNKNOWN: 0}.get(settled, 550)
    return Receipt(opening.subscriber_id, settled, reason, code, "", opening.address.partition("@")[2])


def record(
    session: Session,
    lease: Lease,
    openings: Sequence[Opening],
    settled: Settled = Settled.ACCEPTED,
    *,
    now: datetime = NOW,
) -> None:
    group = [receipt(each, settled, "why" if settled is not Settled.ACCEPTED else "") for each in openings]
    receipts.record(session, lease, group, KEYS, now)


def close(session: Session, lease: Lease, now: datetime = NOW) -> bool:
    return outbox.close(session, lease, now, FIRST, MOST)


def deliver_all(session: Session, *, size: int = 500, now: datetime = NOW) -> list[Opening]:
    """Plays a worker whose server takes everything; gives what it opened, in order."""
    sent: list[Opening] = []
    while (lease := claim(session, size=size, now=now)) is not None:
        while openings := open_chunk(session, lease, PLAN, now):
            sent += openings
            record(session, lease, openings, now=now)
        assert close(session, lease, now)
    return sent


def states(session: Session, alert_id: int) -> dict[int, str]:
    rows = session.exec(select(Delivery).where(Delivery.alert_id == alert_id))
    return {row.subscriber_id: row.state for row in rows}


def test_every_reader_owed_is_opened_once_and_the_alert_is_done(db: Database) -> None:
    with db.begin() as session:
        topic = a_topic(session)
        ids = readers(session, 25, topic)
        alert = an_alert(session, {topic: EVERY})
    with db.begin() as session:
        sent = deliver_all(session, size=10)
        assert [each.subscriber_id for each in sent] == ids
        assert set(states(session, alert).values()) == {DeliveryState.ACCEPTED}
        row = session.get_one(Alert, alert)
        assert (row.state, row.done_at, row.first_accepted_at) == (AlertState.DONE, NOW, NOW)
        assert [batch.owed for batch in session.exec(select(Batch).order_by(col(Batch.first_id)))] == [
            10,
            10,
            5,
        ]
        assert claim(session) is None


def test_workers_who_record_do_not_take_turns_at_their_alert(postgres_db: Database) -> None:
    """An alert's mails are recorded hundreds of times a second by all machines together, each time with a flush."""
    with postgres_db.begin() as session:
        topic = a_topic(session)
        readers(session, 20, topic)
        an_alert(session, {topic: EVERY})
    with postgres_db.begin() as session:
        leases = [must_claim(session, worker, size=10) for worker in "ab"]
        (first, *others), more = (open_chunk(session, lease, PLAN, NOW) for lease in leases)
        record(session, leases[0], [first])
    soon = NOW + timedelta(milliseconds=200)
    with postgres_db.begin() as one, postgres_db.begin() as other:
        record(one, leases[0], others, now=soon)
        other.execute(sa.text("SET LOCAL lock_timeout = '1s'"))
        record(other, leases[1], more, now=soon)


def test_an_alert_tells_when_its_first_and_its_last_mail_were_accepted(db: Database) -> None:
    with db.begin() as session:
        topic = a_topic(session)
        readers(session, 8, topic)
        alert = an_alert(session, {topic: EVERY})
    with db.begin() as session:
        lease = must_claim(session)
        openings = open_chunk(session, lease, PLAN, NOW)
        told = []
        for number, seconds in enumerate((0, 3, 3.3)):
            at = NOW + timedelta(seconds=seconds)
            record(session, lease, openings[number : number + 1], now=at)
            row = session.get_one(Alert, alert, populate_existing=True)
            told.append((row.first_accepted_at, row.last_accepted_at))
        record(session, lease, openings[3:], Settled.REFUSED, now=at + timedelta(seconds=5))
        assert close(session, lease, at + timedelta(seconds=6))
        row = session.get_one(Alert, alert, populate_existing=True)
        told.append((row.first_accepted_at, row.last_accepted_at))
    lasts = [timedelta(0), timedelta(seconds=3), timedelta(seconds=3), timedelta(seconds=3.3)]
    assert told == [(NOW, NOW + last) for last in lasts]


def test_a_reader_of_two_topics_gets_one_mail_that_names_both(db: Database) -> None:
    with db.begin() as session:
        one, two = a_topic(session, "one"), a_topic(session, "two")
        reader = a_reader(session, topic_id=one)
        follows(session, reader, two)
        an_alert(session, {one: EVERY, two: EVERY})
        (opening,) = deliver_all(session)
        assert opening.choice.topics == (one, two)


def test_batches_are_even_however_the_ids_cluster(db: Database) -> None:
    with db.begin() as session:
        other, topic = a_topic(session, "other"), a_topic(session)
        readers(session, 3, topic)
        readers(session, 500, other, prefix="far")
        readers(session, 17, topic, prefix="late")
        an_alert(session, {topic: EVERY})
        deliver_all(session, size=5)
        assert [batch.owed for batch in session.exec(select(Batch))] == [5, 5, 5, 5]


def test_who_signs_up_after_the_announcement_is_outside(db: Database) -> None:
    with db.begin() as session:
        topic = a_topic(session)
        reader = a_reader(session, topic_id=topic)
        an_alert(session, {topic: EVERY})
        a_reader(session, "late@example.org", topic, now=NOW)
        assert [each.subscriber_id for each in deliver_all(session)] == [reader]


def test_who_follows_again_after_the_announcement_is_not_owed(db: Database) -> None:
    later = NOW + timedelta(seconds=5)
    with db.begin() as session:
        topic = a_topic(session)
        reader = a_reader(session, topic_id=topic, now=later)
        alert = an_alert(session, {topic: EVERY}, now=NOW)
        assert deliver_all(session, now=later) == []
        row = session.get_one(Delivery, (alert, reader))
        assert (row.state, row.reason) == (DeliveryState.SKIPPED, "followed later")


def test_nothing_is_opened_after_an_unsubscribe_and_the_ledger_says_so(db: Database) -> None:
    with db.begin() as session:
        topic = a_topic(session)
        ids = readers(session, 4, topic)
        alert = an_alert(session, {topic: EVERY})
        lease = must_claim(session)
        first = open_chunk(session, lease, Plan(2, 1, "main"), NOW)
        session.get_one(Subscription, (ids[2], topic)).until = NOW + timedelta(seconds=1)
        session.get_one(Subscriber, ids[3]).suppressed = "complaint"
        session.flush()
        assert open_chunk(session, lease, PLAN, NOW + timedelta(seconds=2)) == ()
        assert [each.subscriber_id for each in first] == ids[:2]
        reasons = {row.subscriber_id: row.reason for row in session.exec(select(Delivery))}
        assert reasons[ids[2]] == "unsubscribed"
        assert reasons[ids[3]] == "suppressed: complaint"
        assert states(session, alert)[ids[2]] == DeliveryState.SKIPPED


def test_who_left_before_the_announcement_has_no_row(db: Database) -> None:
    with db.begin() as session:
        topic = a_topic(session)
        reader = a_reader(session, topic_id=topic)
        session.get_one(Subscription, (reader, topic)).until = NOW - timedelta(days=1)
        alert = an_alert(session, {topic: EVERY})
        assert deliver_all(session) == []
        assert states(session, alert) == {}
        assert session.get_one(Alert, alert).state == AlertState.DONE


def test_a_row_that_is_there_already_is_nobodys_right_to_send(db: Database) -> None:
    """A change of choice may have written it; nobody is mailed twice, and the others get theirs."""
    with db.begin() as session:
        topic = a_topic(session)
        ids = readers(session, 3, topic)
        alert = an_alert(session, {topic: EVERY})
        session.add(Delivery(alert_id=alert, subscriber_id=ids[1], state=DeliveryState.ACCEPTED, at=NOW))
    with db.begin() as session:
        lease = must_claim(session)
    with db.begin() as session:
        opened = open_chunk(session, lease, PLAN, NOW)
        assert [each.subscriber_id for each in opened] == [ids[0], ids[2]]
        assert states(session, alert)[ids[1]] == DeliveryState.ACCEPTED


def test_two_workers_never_hold_the_same_batch(db: Database) -> None:
    with db.begin() as session:
        topic = a_topic(session)
        readers(session, 4, topic)
        an_alert(session, {topic: EVERY})
        one, two = must_claim(session, "a", size=2), must_claim(session, "b", size=2)
        assert (one.first_id, one.last_id) != (two.first_id, two.last_id)
        assert claim(session, "c") is None


def test_a_lapsed_lease_is_taken_over_and_what_it_left_is_sent_once_more_byte_identical(db: Database) -> None:
    later = NOW + LEASE + timedelta(seconds=1)
    with db.begin() as session:
        topic = a_topic(session)
        readers(session, 3, topic)
        an_alert(session, {topic: EVERY})
        dead = must_claim(session, "dead")
        before = open_chunk(session, dead, PLAN, NOW)
        record(session, dead, before[:1])
    with db.begin() as session:
        heir = must_claim(session, "heir", now=later)
        again = open_chunk(session, heir, Plan(100, 2, "other"), later)
        assert [each.subscriber_id for each in again] == [each.subscriber_id for each in before[1:]]
        for was, now in zip(before[1:], again, strict=True):
            assert now.is_resend
            assert (now.variant, now.key_id, now.transport) == (was.variant, was.key_id, was.transport)
        with pytest.raises(LeaseLost):
            record(session, dead, before, now=later)


def test_a_second_doubt_is_final_and_counted(db: Database) -> None:
    with db.begin() as session:
        topic = a_topic(session)
        reader = a_reader(session, topic_id=topic)
        alert = an_alert(session, {topic: EVERY})
        now = NOW
        for worker in "abc":
            lease = must_claim(session, worker, now=now)
            opened = open_chunk(session, lease, PLAN, now)
            assert len(opened) == (0 if worker == "c" else 1)
            if worker == "c":
                assert close(session, lease, now)
            now += LEASE + timedelta(seconds=1)
        row = session.get_one(Delivery, (alert, reader))
        assert (row.state, row.doubts, row.reason) == (DeliveryState.UNKNOWN, 2, outbox.SECOND_DOUBT)
        assert session.get_one(Alert, alert).state == AlertState.DONE


def test_a_feed_may_hold_what_is_in_doubt(db: Database) -> None:
    with db.begin() as session:
        topic = a_topic(session)
        reader = a_reader(session, topic_id=topic)
        alert = an_alert(session, {topic: EVERY}, in_doubt=InDoubt.HOLD)
        lease = must_claim(session)
        record(session, lease, open_chunk(session, lease, PLAN, NOW), Settled.UNKNOWN)
        assert open_chunk(session, lease, PLAN, NOW) == ()
        assert close(session, lease)
        assert session.get_one(Delivery, (alert, reader)).reason == outbox.HELD_DOUBT


def test_a_change_of_heart_ends_a_doubt_without_a_resend(db: Database) -> None:
    with db.begin() as session:
        topic = a_topic(session)
        reader = a_reader(session, topic_id=topic)
        alert = an_alert(session, {topic: EVERY})
        lease = must_claim(session)
        record(session, lease, open_chunk(session, lease, PLAN, NOW), Settled.UNKNOWN)
        assert not close(session, lease)
        session.get_one(Subscription, (reader, topic)).until = NOW + timedelta(seconds=1)
        session.flush()
        later = NOW + FIRST
        lease = must_claim(session, now=later)
        assert open_chunk(session, lease, PLAN, later) == ()
        assert close(session, lease, later)
        row = session.get_one(Delivery, (alert, reader))
        assert (row.state, row.reason) == (DeliveryState.UNKNOWN, ENDED_DOUBT + "unsubscribed")


@pytest.mark.parametrize("settled", [Settled.UNKNOWN, Settled.DEFERRED])
def test_a_change_of_address_ends_a_doubt_and_nothing_else(db: Database, settled: Settled) -> None:
    with db.begin() as session:
        topic = a_topic(session)
        reader = a_reader(session, topic_id=topic)
        alert = an_alert(session, {topic: EVERY})
        lease = must_claim(session)
        record(session, lease, open_chunk(session, lease, PLAN, NOW), settled)
        assert not close(session, lease)
        later = NOW + FIRST
        elsewhere = normalise("elsewhere@example.net")
        assert subscribers.readdress(session, KEYS.pepper, reader, elsewhere, by="reader", now=later)
        session.flush()
        lease = must_claim(session, now=later)
        openings = open_chunk(session, lease, PLAN, later)
        row = session.get_one(Delivery, (alert, reader))
        if settled is Settled.DEFERRED:
            assert [(each.address, each.is_resend) for each in openings] == [("elsewhere@example.net", False)]
            return
        assert openings == ()
        assert close(session, lease, later)
        session.refresh(row)
        assert (row.state, row.reason) == (DeliveryState.UNKNOWN, ENDED_DOUBT + "the address was changed")


def test_what_was_deferred_comes_again_after_a_growing_wait(db: Database) -> None:
    with db.begin() as session:
        topic = a_topic(session)
        ids = readers(session, 3, topic)
        alert = an_alert(session, {topic: EVERY})
        lease = must_claim(session)
        openings = open_chunk(session, lease, PLAN, NOW)
        record(session, lease, openings[:2])
        record(session, lease, openings[2:], Settled.DEFERRED)
        assert open_chunk(session, lease, PLAN, NOW) == ()
        assert not close(session, lease)
        assert claim(session, now=NOW + FIRST - timedelta(seconds=1)) is None
        lease = must_claim(session, now=NOW + FIRST)
        (again,) = open_chunk(session, lease, PLAN, NOW + FIRST)
        assert (again.subscriber_id, again.is_resend) == (ids[2], False)
        record(session, lease, [again], now=NOW + FIRST)
        assert close(session, lease, NOW + FIRST)
        assert session.get_one(Delivery, (alert, ids[2])).attempts == 2


def test_who_left_meanwhile_does_not_end_what_comes_again_for_the_others(db: Database) -> None:
    with db.begin() as session:
        topic = a_topic(session)
        ids = readers(session, 5, topic)
        an_alert(session, {topic: EVERY})
        lease = must_claim(session)
        record(session, lease, open_chunk(session, lease, PLAN, NOW), Settled.DEFERRED)
        close(session, lease)
        for reader in ids[:4]:
            session.get_one(Subscription, (reader, topic)).until = NOW + timedelta(seconds=1)
        session.flush()
        lease = must_claim(session, now=NOW + FIRST)
        (again,) = open_chunk(session, lease, Plan(2, 1, "main"), NOW + FIRST)
        assert again.subscriber_id == ids[4]


def test_each_reader_is_recorded_with_their_own_reply(db: Database) -> None:
    with db.begin() as session:
        topic = a_topic(session)
        ids = readers(session, 4, topic)
        alert = an_alert(session, {topic: EVERY})
        lease = must_claim(session)
        open_chunk(session, lease, PLAN, NOW)
        said = [
            Receipt(ids[0], Settled.ACCEPTED, "", 250, "", "example.org"),
            Receipt(ids[1], Settled.DEFERRED, "retry: greylisted", 451, "come again, A1", "example.org"),
            Receipt(ids[2], Settled.DEFERRED, "retry: greylisted", 451, "come again, B2", "example.org"),
            Receipt(ids[3], Settled.UNKNOWN, "", 0, "", ""),
        ]
        receipts.record(session, lease, said, KEYS, NOW)
        rows = [session.get_one(Delivery, (alert, each)) for each in ids]
        assert [(row.state, row.reason, row.code, row.reply, row.doubts) for row in rows] == [
            (DeliveryState.ACCEPTED, "", 250, "", 0),
            (DeliveryState.DEFERRED, "retry: greylisted", 451, "come again, A1", 0),
            (DeliveryState.DEFERRED, "retry: greylisted", 451, "come again, B2", 0),
            (DeliveryState.UNKNOWN, "", 0, "", 1),
        ]
        assert {row.attempts for row in rows} == {1}


def test_waits_double_up_to_their_ceiling() -> None:
    waits = [outbox.backoff(tries, FIRST, MOST).total_seconds() for tries in (1, 2, 3, 7, 99)]
    assert waits == [10, 20, 40, 600, 600]


def test_stale_news_expires_and_says_so(db: Database) -> None:
    late = NOW + timedelta(hours=1)
    with db.begin() as session:
        topic = a_topic(session)
        ids = readers(session, 2, topic)
        alert = an_alert(session, {topic: EVERY}, ttl=timedelta(minutes=30))
        lease = must_claim(session, size=1)
        record(session, lease, open_chunk(session, lease, PLAN, NOW), Settled.DEFERRED)
        assert not close(session, lease)
        assert deliver_all(session, now=late) == []
        assert states(session, alert) == dict.fromkeys(ids, DeliveryState.EXPIRED)
        assert session.get_one(Alert, alert).state == AlertState.DONE


def test_a_wait_never_reaches_past_the_time_to_live(db: Database) -> None:
    with db.begin() as session:
        topic = a_topic(session)
        a_reader(session, topic_id=topic)
        an_alert(session, {topic: EVERY}, ttl=timedelta(seconds=3))
        lease = must_claim(session)
        record(session, lease, open_chunk(session, lease, PLAN, NOW), Settled.DEFERRED)
        close(session, lease)
        (batch,) = session.exec(select(Batch))
        assert batch.due_at == NOW + timedelta(seconds=3)


def test_lanes_are_served_in_order_and_digests_keep_their_share(db: Database) -> None:
    with db.begin() as session:
        topic = a_topic(session)
        readers(session, 4, topic)
        ids = {
            lane: an_alert(session, {topic: EVERY}, cause=f"x:{lane}", lane=lane)
            for lane in (Lane.DIGEST, Lane.UPDATE, Lane.FLASH)
        }
        order = [must_claim(session, size=2).alert_id for _ in range(3)]
        preferred = claim(session, size=2, prefer=Lane.DIGEST)
        assert order == [ids[Lane.FLASH], ids[Lane.FLASH], ids[Lane.UPDATE]]
        assert preferred is not None
        assert preferred.alert_id == ids[Lane.DIGEST]


def test_fresh_news_of_a_lane_may_go_before_what_comes_again_and_no_lane_before_another(db: Database) -> None:
    later = NOW + FIRST
    with db.begin() as session:
        topic = a_topic(session)
        readers(session, 4, topic)
        old = an_alert(session, {topic: EVERY}, cause="entry:1")
        for _ in range(2):
            lease = must_claim(session, size=2)
            record(session, lease, open_chunk(session, lease, PLAN, NOW), Settled.DEFERRED)
            close(session, lease)
        fresh = an_alert(session, {topic: EVERY}, cause="entry:2", now=later)
        an_alert(session, {topic: EVERY}, cause="digest", lane=Lane.DIGEST, now=later)

        def next_alert(*, fresh_first: bool) -> int:
            lease = outbox.claim(session, "a", size=2, length=LEASE, now=later, fresh_first=fresh_first)
            assert lease is not None
            return lease.alert_id

        order = [next_alert(fresh_first=each) for each in (True, False, True, True)]
        assert order == [fresh, old, fresh, old], "and the digest last"


def test_preferring_an_empty_lane_serves_the_others(db: Database) -> None:
    with db.begin() as session:
        topic = a_topic(session)
        a_reader(session, topic_id=topic)
        an_alert(session, {topic: EVERY})
        assert claim(session, prefer=Lane.DIGEST) is not None


def test_an_alert_with_no_reader_is_done_and_does_not_hide_the_next(db: Database) -> None:
    with db.begin() as session:
        empty, topic = a_topic(session, "empty"), a_topic(session)
        reader = a_reader(session, topic_id=topic)
        nobody = an_alert(session, {empty: EVERY}, cause="entry:1")
        an_alert(session, {topic: EVERY}, cause="entry:2")
        assert [each.subscriber_id for each in deliver_all(session)] == [reader]
        assert session.get_one(Alert, nobody).state == AlertState.DONE


def test_a_batch_given_back_is_claimed_at_once(db: Database) -> None:
    with db.begin() as session:
        topic = a_topic(session)
        ids = readers(session, 3, topic)
        an_alert(session, {topic: EVERY})
        lease = must_claim(session, "a")
        record(session, lease, open_chunk(session, lease, Plan(1, 1, "main"), NOW))
        outbox.release(session, lease, NOW)
        assert [each.subscriber_id for each in deliver_all(session)] == ids[1:]


def test_a_dead_address_is_suppressed_with_its_evidence(db: Database) -> None:
    with db.begin() as session:
        topic = a_topic(session)
        reader = a_reader(session, topic_id=topic)
        alert = an_alert(session, {topic: EVERY})
        lease = must_claim(session)
        record(session, lease, open_chunk(session, lease, PLAN, NOW), Settled.DEAD)
        assert states(session, alert)[reader] == DeliveryState.REFUSED
        assert session.get_one(Subscriber, reader).suppressed == "dead address"
        (row,) = session.exec(select(Suppression))
        assert (row.cause, row.evidence, row.origin) == ("dead address", "550", f"alert:{alert}")


def test_too_many_dead_at_one_destination_are_not_believed(db: Database) -> None:
    with db.begin() as session:
        topic = a_topic(session)
        readers(session, 15, topic, domain="ill.example")
        well = readers(session, 1, topic, domain="well.example")
        an_alert(session, {topic: EVERY})
        lease = must_claim(session)
        record(session, lease, open_chunk(session, lease, PLAN, NOW), Settled.DEAD)
        suppressed = session.exec(select(Subscriber.id).where(Subscriber.suppressed != "")).all()
        assert list(suppressed) == well
        assert session.get_one(Destination, "ill.example").is_distrusted
        assert not session.get_one(Destination, "well.example").is_distrusted


def test_a_late_key_event_reaches_only_who_was_not_served(db: Database) -> None:
    with db.begin() as session:
        topic, other = a_topic(session), a_topic(session, "other")
        a_reader(session, "every@example.org", topic)
        flash = a_reader(session, "flash@example.org", topic, Frequency.FLASH)
        both = a_reader(session, "both@example.org", topic)
        follows(session, both, other, Frequency.FLASH)
        first = an_alert(session, {topic: EVERY, other: EVERY})
        later = an_alert(
            session,
            {topic: [Frequency.FLASH], other: [Frequency.FLASH]},
            cause="flash:1",
            lane=Lane.FLASH,
            after_alert_id=first,
        )
        sent = deliver_all(session)
        assert [each.subscriber_id for each in sent][:1] == [flash]
        assert len({each.subscriber_id for each in sent}) == len(sent) == 3
        assert states(session, later)[both] == DeliveryState.SKIPPED


def test_a_late_key_event_reaches_a_flash_reader_whom_the_first_alert_left_out(db: Database) -> None:
    """Who followed a second topic after the first alert has a row there, but no mail."""
    with db.begin() as session:
        topic, other = a_topic(session), a_topic(session, "other")
        reader = a_reader(session, "flash@example.org", topic, Frequency.FLASH)
        follows(session, reader, other, now=NOW + timedelta(seconds=1))
        first = an_alert(session, {topic: EVERY, other: EVERY})
        assert deliver_all(session) == []
        assert states(session, first) == {reader: DeliveryState.SKIPPED}
        later = NOW + timedelta(seconds=9)
        flash = [Frequency.FLASH]
        an_alert(session, {topic: flash, other: flash}, cause="flash:1", now=later, after_alert_id=first)
        assert [each.subscriber_id for each in deliver_all(session, now=later)] == [reader]


def test_a_worker_takes_no_batch_over_whose_journal_it_has_not_read(db: Database) -> None:
    later = NOW + LEASE + timedelta(seconds=1)
    with db.begin() as session:
        topic = a_topic(session)
        readers(session, 4, topic)
        an_alert(session, {topic: EVERY})
        one, two = must_claim(session, size=2), must_claim(session, size=2)
        in_hand = {(each.alert_id, each.first_id) for each in (one, two)}
        assert outbox.claim(session, "a", size=2, length=LEASE, now=later, but_not=in_hand) is None
        in_hand.remove((two.alert_id, two.first_id))
        again = outbox.claim(session, "a", size=2, length=LEASE, now=later, but_not=in_hand)
        assert again is not None
        assert again.first_id == two.first_id


def test_a_batch_that_is_never_finished_comes_again_ever_later(db: Database) -> None:
    with db.begin() as session:
        topic = a_topic(session)
        a_reader(session, topic_id=topic)
        an_alert(session, {topic: EVERY}, ttl=timedelta(seconds=30))
        now, waits = NOW, []
        for _ in range(5):
            lease = must_claim(session, now=now)
            key = (lease.alert_id, lease.first_id, lease.epoch)
            receipts.fold(session, key, "a", [], frozenset(), KEYS, now)
            due = session.get_one(Batch, key[:2]).due_at
            assert due is not None
            waits.append((due - now).total_seconds())
            now = due
    assert waits == [0, 0, 5, 10, 15], "the last ends with the time to live"


def test_the_receipt_of_a_lost_lease_saves_the_reader_a_resend(db: Database) -> None:
    later = NOW + LEASE + timedelta(seconds=1)
    with db.begin() as session:
        topic = a_topic(session)
        reader = a_reader(session, topic_id=topic)
        alert = an_alert(session, {topic: EVERY})
        old = must_claim(session, "slow")
        openings = open_chunk(session, old, PLAN, NOW)
        heir = must_claim(session, "heir", now=later)
        key = (old.alert_id, old.first_id, old.epoch)
        receipts.fold(session, key, "slow", [receipt(openings[0])], frozenset(), KEYS, later)
        assert open_chunk(session, heir, PLAN, later) == ()
        assert states(session, alert) == {reader: DeliveryState.ACCEPTED}


def test_a_journal_tells_sent_from_unsent_from_in_doubt(db: Database) -> None:
    with db.begin() as session:
        topic = a_topic(session)
        ids = readers(session, 3, topic)
        alert = an_alert(session, {topic: EVERY})
        lease = must_claim(session, "dead")
        openings = open_chunk(session, lease, PLAN, NOW)
        key = (lease.alert_id, lease.first_id, lease.epoch)
        receipts.fold(session, key, "dead", [receipt(openings[0])], frozenset({ids[1]}), KEYS, NOW)
        assert states(session, alert) == {
            ids[0]: DeliveryState.ACCEPTED,
            ids[1]: DeliveryState.UNKNOWN,
            ids[2]: DeliveryState.DEFERRED,
        }
        lease = must_claim(session, "heir")
        again = open_chunk(session, lease, PLAN, NOW)
        assert [(each.subscriber_id, each.is_resend) for each in again] == [(ids[1], True), (ids[2], False)]
        assert session.get_one(Delivery, (alert, ids[2])).doubts == 0


def test_a_lost_lease_opens_closes_and_prolongs_nothing(db: Database) -> None:
    later = NOW + LEASE + timedelta(seconds=1)
    with db.begin() as session:
        topic = a_topic(session)
        readers(session, 3, topic)
        an_alert(session, {topic: EVERY})
        old = must_claim(session, "slow")
        must_claim(session, "heir", now=later)
    for attempt in (
        lambda session: open_chunk(session, old, PLAN, later),
        lambda session: close(session, old, later),
        lambda session: outbox.renew(session, old, later),
    ):
        with pytest.raises(LeaseLost), db.begin() as session:
            attempt(session)
