"""The line's second half, whole: from a released alert to receipts in the ledger, over real SMTP."""

import email
import errno
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from sqlmodel import Session, col, select
from structlog.testing import capture_logs

from alerts.audience.tokens import read_tag
from alerts.db import Database
from alerts.dispatch import deliver, outbox, pace, receipts
from alerts.dispatch.announce import announce_key_event
from alerts.dispatch.compose import Composer, Sealed
from alerts.dispatch.explain import explain
from alerts.dispatch.journal import Journal
from alerts.dispatch.opening import Opening, Plan, open_chunk
from alerts.dispatch.outbox import Lease
from alerts.dispatch.receipts import Receipt
from alerts.errors import LeaseLost
from alerts.mail.dkim import Signable
from alerts.mail.render import Renderer
from alerts.models import (
    Batch,
    Delivery,
    DeliveryState,
    Entry,
    Frequency,
    Subscriber,
    Subscription,
)
from build import a_reader
from delivering import KEYS, all_done, announce, delivering, until
from fakes.smtp import Drop, Point, Reply, StartSmtp


def rows(db: Database) -> Sequence[Delivery]:
    with db.begin() as session:
        return session.exec(select(Delivery).order_by(col(Delivery.subscriber_id))).all()


async def test_each_follower_gets_the_entry_once(
    db: Database, smtp_server: StartSmtp, tmp_path: Path
) -> None:
    server = await smtp_server()
    _, _, ids = announce(db, 130, title="The ferry is in", text="It came in at noon.")
    async with delivering(db, server, tmp_path):
        await until(db, all_done)
    assert sorted(mail.rcpt for mail in server.accepted) == sorted(
        f"reader{n}@example.org" for n in range(1, 131)
    )
    assert [row.state for row in rows(db)] == [DeliveryState.ACCEPTED] * len(ids)
    assert server.violations == []
    assert list((tmp_path / "journal").iterdir()) == [], "a clean end leaves no journal"
    mail = email.message_from_bytes(server.accepted[0].content)
    assert mail["To"] == server.accepted[0].rcpt
    assert "The ferry is in" in str(mail["Subject"])


async def test_an_announcement_is_mailed_at_once_not_at_the_next_poll(
    db: Database, smtp_server: StartSmtp, tmp_path: Path
) -> None:
    server = await smtp_server()
    async with delivering(db, server, tmp_path):
        announce(db, 1)
        await server.wait_until(lambda: len(server.accepted) == 1)


async def test_what_is_refused_deferred_or_dead_ends_in_its_own_state(
    db: Database, smtp_server: StartSmtp, tmp_path: Path
) -> None:
    server = await smtp_server()
    script = server.script
    script.on(Point.RCPT, Reply.of(550, "5.1.1 no such user here"), recipient="reader1@*")
    script.on(Point.RCPT, Reply.of(451, "4.3.0 try again later"), recipient="reader2@*", times=2)
    script.on(Point.CONTENT, Reply.of(552, "5.3.4 message too big"), recipient="reader3@*")
    announce(db, 4)
    async with delivering(db, server, tmp_path):
        await until(db, all_done)
    one, two, three, four = rows(db)
    assert (one.state, one.code) == (DeliveryState.REFUSED, 550)
    assert (two.state, two.attempts) == (DeliveryState.ACCEPTED, 3)
    assert three.state == DeliveryState.REFUSED
    assert four.state == DeliveryState.ACCEPTED
    with db.begin() as session:
        suppressed = session.exec(select(Subscriber.id).where(Subscriber.suppressed != "")).all()
    assert list(suppressed) == [one.subscriber_id]


async def test_a_mail_in_doubt_is_sent_once_more_with_the_same_bytes(
    db: Database, smtp_server: StartSmtp, tmp_path: Path
) -> None:
    server = await smtp_server()
    server.script.on(Point.CONTENT, Drop(is_accepted=True), recipient="reader2@*", times=1)
    announce(db, 3)
    async with delivering(db, server, tmp_path):
        await until(db, all_done)
    twice = [mail.content for mail in server.accepted if mail.rcpt == "reader2@example.org"]
    assert len(twice) == 2
    assert len(set(twice)) == 1
    assert len(server.accepted) == 4
    assert [row.doubts for row in rows(db)] == [0, 1, 0]


async def test_each_mail_s_sender_has_its_tag_the_same_in_a_resend(
    db: Database, smtp_server: StartSmtp, tmp_path: Path
) -> None:
    server = await smtp_server()
    server.script.on(Point.CONTENT, Drop(is_accepted=True), recipient="reader2@*", times=1)
    announce(db, 3)
    async with delivering(db, server, tmp_path, bounce_tag="+"):
        await until(db, all_done)
    tags = [
        (mail.rcpt, mail.mail_from.removesuffix("@example.org").partition("+")) for mail in server.accepted
    ]
    assert {name for _, (name, _, _) in tags} == {"bounce"}
    claims = {rcpt: read_tag(KEYS, tag) for rcpt, (_, _, tag) in tags}
    named = {f"reader{n}@example.org": row.subscriber_id for n, row in enumerate(rows(db), start=1)}
    assert {rcpt: claim and claim.subscriber_id for rcpt, claim in claims.items()} == named
    assert len(server.accepted) == 4
    assert len({mail.mail_from for mail in server.accepted}) == 3


async def test_a_second_doubt_is_final(db: Database, smtp_server: StartSmtp, tmp_path: Path) -> None:
    server = await smtp_server()
    server.script.on(Point.CONTENT, Drop(), recipient="reader1@*")
    announce(db, 1)
    async with delivering(db, server, tmp_path):
        await until(db, all_done)
    (row,) = rows(db)
    assert (row.state, row.doubts, len(server.received)) == (DeliveryState.UNKNOWN, 2, 2)


async def test_a_relay_that_comes_back_gets_what_is_owed(
    db: Database, smtp_server: StartSmtp, tmp_path: Path
) -> None:
    server = await smtp_server()
    await server.stop()
    announce(db, 20)
    async with delivering(db, server, tmp_path):
        await until(db, lambda session: len(session.exec(select(Delivery)).all()) > 0)
        await server.start()
        await until(db, all_done)
    assert len(server.accepted) == 20
    assert {row.doubts for row in rows(db)} == {0}


async def test_nobody_is_sent_anything_after_their_unsubscribe(
    db: Database, smtp_server: StartSmtp, tmp_path: Path
) -> None:
    server = await smtp_server(delay=0.01)
    _, topic, ids = announce(db, 60)
    async with delivering(db, server, tmp_path, batch=10):
        await server.wait_until(lambda: len(server.accepted) >= 5)
        with db.begin() as session:
            session.get_one(Subscription, (ids[-1], topic)).until = datetime.now(UTC)
        await until(db, all_done)
    assert "reader60@example.org" not in {mail.rcpt for mail in server.accepted}
    assert rows(db)[-1].reason == "unsubscribed"


async def test_who_leaves_while_a_chunk_waits_for_a_relay_that_became_slow_is_sent_nothing(
    sqlite_db: Database, smtp_server: StartSmtp, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A chunk is sized to a second at the rate of before, and may then be on its way for an hour."""
    monkeypatch.setattr("alerts.dispatch.pace.FIRST_CHUNK", 60)
    monkeypatch.setattr("alerts.dispatch.fence._FRESH_SECONDS", 0.5)
    server = await smtp_server(delay=0.2)
    _, topic, ids = announce(sqlite_db, 60)
    async with delivering(sqlite_db, server, tmp_path, batch=60):
        await server.wait_until(lambda: len(server.accepted) >= 1)
        with sqlite_db.begin() as session:
            session.get_one(Subscription, (ids[-1], topic)).until = datetime.now(UTC)
        await until(sqlite_db, all_done)
    got = Counter(mail.rcpt for mail in server.accepted)
    assert got == Counter({f"reader{number}@example.org": 1 for number in range(1, 60)})
    assert rows(sqlite_db)[-1].reason == "unsubscribed"


async def test_a_text_that_cannot_be_rendered_does_not_stop_the_others(
    db: Database, smtp_server: StartSmtp, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = await smtp_server()
    announce(db, 3)
    bad = Renderer.render
    failed: list[int] = []

    def fail_once(self: Renderer, view: Any) -> Any:
        if not failed:
            failed.append(1)
            raise ValueError("a defect")
        return bad(self, view)

    monkeypatch.setattr(Renderer, "render", fail_once)
    async with delivering(db, server, tmp_path):
        await until(db, all_done)
    assert len(server.accepted) == 3


async def test_a_stop_gives_the_rest_back(db: Database, smtp_server: StartSmtp, tmp_path: Path) -> None:
    server = await smtp_server(delay=0.02)
    announce(db, 100)
    async with delivering(db, server, tmp_path):
        await server.wait_until(lambda: len(server.accepted) >= 10)
    assert len(server.accepted) < 100
    async with delivering(db, server, tmp_path, worker="next"):
        await until(db, all_done)
    assert len(server.accepted) == len({mail.rcpt for mail in server.accepted}) == 100


async def test_a_stop_waits_for_the_mails_on_the_wire_not_for_the_chunk(
    sqlite_db: Database, smtp_server: StartSmtp, tmp_path: Path
) -> None:
    server = await smtp_server(delay=0.5)
    announce(sqlite_db, 20)
    async with delivering(sqlite_db, server, tmp_path):
        await server.wait_until(lambda: len(server.accepted) >= 4)
    states = Counter(row.state for row in rows(sqlite_db))
    assert states[DeliveryState.ACCEPTED] == len(server.accepted) <= 8
    assert states[DeliveryState.SENDING] == states[DeliveryState.UNKNOWN] == 0


async def test_two_workers_share_the_work_and_repeat_nothing(
    postgres_url: str, smtp_server: StartSmtp, tmp_path: Path
) -> None:
    server = await smtp_server(delay=0.002)
    one, two = Database(postgres_url), Database(postgres_url)
    announce(one, 400)
    async with delivering(one, server, tmp_path, worker="a"), delivering(two, server, tmp_path, worker="b"):
        await until(one, all_done)
    assert len(server.accepted) == len({mail.rcpt for mail in server.accepted}) == 400
    one.close()
    two.close()


async def test_a_late_key_event_reaches_flash_readers_only_once(
    db: Database, smtp_server: StartSmtp, tmp_path: Path
) -> None:
    server = await smtp_server()
    entry_id, topic, _ = announce(db, 2)
    with db.begin() as session:
        flash = a_reader(session, "flash@example.org", topic, Frequency.FLASH)
    async with delivering(db, server, tmp_path):
        await until(db, all_done)
        with db.begin() as session:
            session.get_one(Entry, entry_id).is_key_event = True
            session.flush()
            assert announce_key_event(session, entry_id, datetime.now(UTC)) is not None
        await until(db, all_done)
        await server.wait_until(lambda: len(server.accepted) == 3)
    assert [mail.rcpt for mail in server.accepted][-1] == "flash@example.org"
    with db.begin() as session:
        assert explain(session, "flash@example.org", entry_id, datetime.now(UTC)).answer.startswith(
            "Sent: accepted by main"
        )
        assert session.get_one(Delivery, (2, flash)).state == DeliveryState.ACCEPTED


async def test_a_database_that_fails_in_the_middle_costs_no_reader_anything(
    sqlite_db: Database, smtp_server: StartSmtp, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The receipts that could not be recorded are in the journal, and are folded once the database is back."""
    server = await smtp_server()
    announce(sqlite_db, 30)
    real, fails = receipts.record, [3]

    def record(*args: Any) -> None:
        if fails[0]:
            fails[0] -= 1
            raise OSError("disk full")
        real(*args)

    monkeypatch.setattr(receipts, "record", record)
    with suppress(TimeoutError):
        async with delivering(sqlite_db, server, tmp_path):
            await until(sqlite_db, all_done)
    assert len(server.accepted) == len({mail.rcpt for mail in server.accepted}) == 30
    assert {row.doubts for row in rows(sqlite_db)} == {0}


async def test_a_reply_that_cannot_be_written_down_is_recorded_all_the_same(
    sqlite_db: Database, smtp_server: StartSmtp, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_journal: Journal, _receipt: Receipt) -> None:
        raise OSError(errno.ENOSPC, "no space left")

    server = await smtp_server()
    announce(sqlite_db, 5)
    monkeypatch.setattr(Journal, "receive", full)
    async with delivering(sqlite_db, server, tmp_path):
        await until(sqlite_db, all_done)
    assert len(server.accepted) == 5


async def test_a_chunk_of_more_variants_than_are_kept_is_delivered(
    sqlite_db: Database, smtp_server: StartSmtp, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("alerts.dispatch.compose._CACHED_VARIANTS", 2)
    server = await smtp_server()
    _, _, ids = announce(sqlite_db, 4)
    with sqlite_db.begin() as session:
        for number, reader in enumerate(ids):
            session.get_one(Subscriber, reader).language = ("en", "fr", "de", "nl")[number]
    async with delivering(sqlite_db, server, tmp_path):
        await until(sqlite_db, all_done)
    assert {row.attempts for row in rows(sqlite_db)} == {1}


async def test_mails_that_cannot_be_stamped_do_not_stop_the_others_and_are_told_of_together(
    sqlite_db: Database, smtp_server: StartSmtp, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = await smtp_server()
    _, _, ids = announce(sqlite_db, 4)
    seal = Composer.seal

    def fail_for_two(self: Composer, alert_id: int, prepared: Signable, opening: Opening) -> Sealed:
        if opening.subscriber_id in ids[:2]:
            raise KeyError("a token key that was thrown away")
        return seal(self, alert_id, prepared, opening)

    monkeypatch.setattr(Composer, "seal", fail_for_two)
    with capture_logs() as logs:
        async with delivering(sqlite_db, server, tmp_path):
            await server.wait_until(lambda: len(server.accepted) == 2)
            await until(sqlite_db, lambda session: session.get_one(Delivery, (1, ids[0])).attempts > 0)
    told = [each for each in logs if each["event"] == "cannot_compose"]
    assert told[0]["mails"] == 2, "not a line for each of a million readers"
    assert rows(sqlite_db)[0].reason == "not sent: could not be composed: KeyError"


async def test_a_lease_that_ran_out_under_a_living_worker_repeats_nothing(
    db: Database, smtp_server: StartSmtp, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever holds the journal of a batch takes the batch over only once it was read."""
    server = await smtp_server()
    announce(db, 8)
    real, is_lost = receipts.record, [True]

    def record(session: Session, lease: Lease, *rest: Any) -> None:
        if is_lost:
            is_lost.clear()
            session.get_one(Batch, (lease.alert_id, lease.first_id)).due_at = datetime.now(UTC)
            session.commit()  # it is seen by others before the record fails
            raise LeaseLost("the machine slept")
        real(session, lease, *rest)

    monkeypatch.setattr(receipts, "record", record)
    async with delivering(db, server, tmp_path):
        await until(db, all_done)
    assert len(server.accepted) == 8
    assert {row.doubts for row in rows(db)} == {0}


async def test_a_relay_that_was_away_does_not_make_chunks_large(
    sqlite_db: Database, smtp_server: StartSmtp, tmp_path: Path
) -> None:
    """What never went out says nothing of the rate, and a chunk is what an unsubscribe cannot stop."""
    server = await smtp_server(delay=0.05)
    await server.stop()
    announce(sqlite_db, 400)
    async with delivering(sqlite_db, server, tmp_path, batch=400):
        await until(sqlite_db, lambda session: session.exec(select(Delivery)).first() is not None)
        await server.start()
        await server.wait_until(lambda: len(server.accepted) >= 10)
        sending = [row for row in rows(sqlite_db) if row.state == DeliveryState.SENDING]
    assert len(sending) <= 100


async def test_a_fast_relay_makes_no_large_chunks_for_a_slow_one_beside_it(
    sqlite_db: Database, smtp_server: StartSmtp, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A chunk is what an unsubscribe cannot stop: about a second of sending, of the relay that it goes to."""
    fast, slow = await smtp_server(), await smtp_server(delay=0.2)
    at_most = int(4 / 0.2)  # its connections, by the time it takes
    announce(sqlite_db, 300)
    sizes: dict[str, list[int]] = {"main": [], "beside": []}

    def note(session: Session, lease: Lease, plan: Plan, now: datetime) -> Sequence[Opening]:
        sizes[plan.transport].append(plan.size)
        return open_chunk(session, lease, plan, now)

    monkeypatch.setattr(deliver, "open_chunk", note)
    async with delivering(sqlite_db, fast, tmp_path, also={"beside": slow}):
        await until(sqlite_db, all_done)
    assert len(fast.accepted) + len(slow.accepted) == 300
    assert max(sizes["main"]) > at_most
    assert max(sizes["beside"]) <= at_most


async def test_a_slow_relays_daemon_takes_no_readers_in_hand_that_others_could_mail(
    sqlite_db: Database, smtp_server: StartSmtp, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The last of an alert would wait for it while other machines have nothing to do."""
    monkeypatch.setattr(pace, "_FIRST_BATCH", 40)
    monkeypatch.setattr(pace, "_LEAST_BATCH", 5)
    server = await smtp_server(delay=0.1)
    in_a_second = int(4 / 0.1)  # its connections, by the time it takes
    announce(sqlite_db, 200)
    async with delivering(sqlite_db, server, tmp_path, batch=2000):
        await until(sqlite_db, all_done)
    with sqlite_db.begin() as session:
        owed = session.exec(select(Batch.owed)).all()
    assert sum(owed) == 200
    assert max(owed) <= 2 * in_a_second, "and not all of them; what it takes is only guessed at"


@pytest.mark.parametrize(("rate", "readers"), [(0, 500), (3.7, 100), (474.2, 474), (30_000, 2000)])
def test_a_batch_is_about_a_second_of_sending(rate: float, readers: int) -> None:
    assert pace.batch_for(rate, 2000) == readers
    assert pace.batch_for(rate, 50) == 50


async def test_a_relay_that_puts_off_every_sender_is_asked_with_few_until_it_takes_mail_again(
    sqlite_db: Database, smtp_server: StartSmtp, tmp_path: Path
) -> None:
    """Its disk is full, say: who is not opened yet has the mail at once when there is room, and no backoff of their own."""
    server = await smtp_server()
    server.script.on(Point.MAIL, Reply.of(452, "4.3.1 insufficient system storage"))
    announce(sqlite_db, 400)
    with capture_logs() as logs:
        async with delivering(sqlite_db, server, tmp_path, batch=400):
            await server.wait_until(
                lambda: sum(each["event"] == "transport_down" for each in logs) == 3, seconds=10
            )
            opened = len(rows(sqlite_db))
            server.script.rules.clear()
            await until(sqlite_db, all_done)
    assert len(server.accepted) == 400
    assert opened <= 100, "ten at a time, by each courier"
    assert [each["event"] for each in logs].count("transport_up") == 1


async def test_a_silence_ends_with_a_relays_word_or_the_chunk_and_not_with_what_was_never_sent() -> None:
    accepted = Receipt(1, receipts.Settled.ACCEPTED, "", 250, "", "example.org")
    unsent = Receipt(2, receipts.Settled.DEFERRED, "not sent", 0, "", "")
    silent = Counter[str]()
    silence = pace.Silence(silent, {"main"})
    assert [silence.heard(group) for group in ([accepted], [], [], [unsent])] == [False, True, False, False]
    assert silent["main"] == 1
    assert [silence.heard(group) for group in ([accepted], [])] == [False, True]
    silence.end()
    assert silent["main"] == 0
    assert silence.ended.is_set()


async def test_nothing_is_opened_while_no_relay_can_be_reached(
    sqlite_db: Database, smtp_server: StartSmtp, tmp_path: Path
) -> None:
    server = await smtp_server()
    await server.stop()
    announce(sqlite_db, 400)
    async with delivering(sqlite_db, server, tmp_path, batch=400, parallel=1) as deliverer:
        await until(
            sqlite_db, lambda session: len(session.exec(select(Batch).where(Batch.tries > 1)).all()) > 0
        )
        deliverer.wake()
    assert len(rows(sqlite_db)) <= 20, "the first chunk found out, one more may have asked again"


async def test_an_announcement_made_while_a_courier_looks_is_not_missed(
    sqlite_db: Database, smtp_server: StartSmtp, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("alerts.dispatch.deliver._POLL_SECONDS", 60.0)
    server = await smtp_server()
    claim, is_first = outbox.claim, [True]

    def announce_after_looking(session: Session, *args: Any, **kwargs: Any) -> Lease | None:
        lease = claim(session, *args, **kwargs)
        if is_first and lease is None:
            is_first.clear()
            session.commit()
            announce(sqlite_db, 1)
        return lease

    monkeypatch.setattr(outbox, "claim", announce_after_looking)
    async with delivering(sqlite_db, server, tmp_path, parallel=1):
        await server.wait_until(lambda: len(server.accepted) == 1, seconds=5)


async def test_a_batch_that_always_fails_leaves_room_for_the_others(
    sqlite_db: Database, smtp_server: StartSmtp, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("alerts.dispatch.deliver._POLL_SECONDS", 0.05)
    server = await smtp_server()
    announce(sqlite_db, 6)

    def fail_first(session: Session, lease: Lease, plan: Plan, now: datetime) -> Sequence[Opening]:
        if lease.first_id < 5:
            raise ValueError("a defect")
        return open_chunk(session, lease, plan, now)

    monkeypatch.setattr("alerts.dispatch.deliver.open_chunk", fail_first)
    async with delivering(sqlite_db, server, tmp_path, batch=1):
        await server.wait_until(lambda: len(server.accepted) == 2)


async def test_a_relay_that_takes_its_time_with_each_mail_gets_one_over_every_connection(
    sqlite_db: Database, smtp_server: StartSmtp, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Sized by the rate alone, chunks shrink and the rate with them, down to one mail at a time."""
    server = await smtp_server(delay=0.7)
    announce(sqlite_db, 30)
    sizes: list[int] = []

    def note(session: Session, lease: Lease, plan: Plan, now: datetime) -> Sequence[Opening]:
        sizes.append(plan.size)
        return open_chunk(session, lease, plan, now)

    monkeypatch.setattr(deliver, "open_chunk", note)
    async with delivering(sqlite_db, server, tmp_path):
        await until(sqlite_db, all_done)
    assert len(server.accepted) == 30
    assert min(sizes) >= 2, "two couriers share four connections"
    assert max(sizes) <= 10, "about a second of sending"
