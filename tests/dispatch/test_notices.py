"""Notices over real SMTP: at once, before all other mail, and once; what is in doubt is repeated to the byte."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email import message_from_bytes, policy
from functools import partial
from typing import Any

import pytest
import sqlalchemy as sa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlmodel import Session, col, select

from alerts.audience import notices as asking
from alerts.audience import suppressions
from alerts.audience.addresses import normalise
from alerts.audience.tokens import Purpose, read
from alerts.db import Database
from alerts.dispatch import notices
from alerts.dispatch.gates import Limits
from alerts.dispatch.letters import Letters
from alerts.dispatch.notices import Way
from alerts.dispatch.notifier import Notifier
from alerts.dispatch.rates import Rate
from alerts.dispatch.receipts import Receipt, Settled
from alerts.errors import LeaseLost
from alerts.mail.dkim import Signer
from alerts.mail.render import Renderer
from alerts.mail.transports import Transport, Transports
from alerts.models import (
    Breaker,
    Notice,
    NoticeKind,
    NoticeState,
    RateState,
    SignUp,
    Subscriber,
    Suppression,
)
from build import a_reader, a_topic
from delivering import KEYS, SETTINGS, SITE, Relay, until
from fakes.smtp import Drop, Hang, Mail, Point, Reply, StartSmtp
from sending import AMail, server_at

FAST = replace(SETTINGS, retry_first=timedelta(milliseconds=50), retry_most=timedelta(milliseconds=50))
ADDRESS = "ann@example.org"
SIGNERS = [Signer("example.org", "ed", Ed25519PrivateKey.from_private_bytes(b"k" * 32))]


@asynccontextmanager
async def notifying(
    db: Database, *relays: Relay, signers: Sequence[Signer] = (), **changes: Any
) -> AsyncIterator[Transports]:
    """A notifier at work for the length of the block."""
    servers = [
        replace(server_at(relay, connect_timeout=timedelta(seconds=1)), name=name)
        for name, relay in zip(("main", "spare"), relays, strict=False)
    ]
    transports = Transports({Transport(each): 1 for each in servers})
    stop = asyncio.Event()
    letters = Letters(Renderer(SITE, []), SITE, KEYS, "bounce@example.org", signers)
    notifier = Notifier(db, transports, letters, replace(FAST, **changes))
    db.on_wake(partial(asyncio.get_running_loop().call_soon_threadsafe, notifier.wake))
    task = asyncio.create_task(notifier.run(stop))
    try:
        yield transports
    finally:
        stop.set()
        notifier.wake()
        await task
        await transports.close()


def ask(
    session: Session,
    address: str = ADDRESS,
    kind: NoticeKind = NoticeKind.CONFIRM,
    *,
    lifetime: timedelta = timedelta(days=2),
) -> int:
    """Writes a notice that is due, with what it is about."""
    now = datetime.now(UTC)
    valid = normalise(address)
    if kind is NoticeKind.CONFIRM:
        wanted = SignUp(
            address=valid.address,
            address_key=valid.key,
            language="en",
            zone="UTC",
            choices={"all": "every"},
            wording="",
            source="page",
            asked_at=now,
            expires_at=now + lifetime,
        )
        session.add(wanted)
        session.flush()
        subject = wanted.id or 0
    else:
        subject = a_reader(session, address)
    notice = asking.ask(session, KEYS, kind, valid, subject, language="en", lifetime=lifetime, now=now)
    assert isinstance(notice, int)
    return notice


def of(session: Session, notice: int) -> Notice:
    return session.exec(select(Notice).where(Notice.id == notice)).one()


def is_(state: NoticeState, notice: int) -> Any:
    return lambda session: of(session, notice).state == state


def header(mail: Mail, name: str) -> str:
    return str(message_from_bytes(mail.content, policy=policy.default)[name])


async def test_a_notice_leaves_at_once_and_its_row_forgets_the_address(
    db: Database, smtp_server: StartSmtp
) -> None:
    relay = await smtp_server()
    async with notifying(db, relay):
        await asyncio.sleep(0)
        with db.begin() as session:
            a_topic(session)
            notice = ask(session)
        began = asyncio.get_running_loop().time()
        await relay.wait_until(lambda: len(relay.accepted) == 1)
        assert asyncio.get_running_loop().time() - began < 1
        await until(db, is_(NoticeState.ACCEPTED, notice))
    (mail,) = relay.accepted
    assert mail.rcpt == ADDRESS
    with db.begin() as session:
        row = of(session, notice)
        assert (row.address, row.segments, row.due_at, row.worker) == (None, None, None, "")
        assert (row.transport, row.attempts, row.doubts) == ("main", 1, 0)
    text = mail.content.decode().replace("=\r\n", "")
    token = text.partition("/n/")[2][:43]
    claim = read(KEYS, token)
    assert claim is not None
    assert (claim.purpose, claim.subscriber_id) == (Purpose.CONFIRM, notice)


@pytest.mark.parametrize(
    ("point", "reply", "state"),
    [
        (Point.RCPT, Reply.of(550, "5.1.1 unknown user"), NoticeState.REFUSED),
        (Point.CONTENT, Reply.of(554, "5.6.0 no"), NoticeState.REFUSED),
    ],
)
async def test_a_refusal_is_final(
    sqlite_db: Database, smtp_server: StartSmtp, point: Point, reply: Reply, state: NoticeState
) -> None:
    relay = await smtp_server()
    relay.script.on(point, reply)
    with sqlite_db.begin() as session:
        notice = ask(session)
    async with notifying(sqlite_db, relay):
        await until(sqlite_db, is_(state, notice))
    with sqlite_db.begin() as session:
        row = of(session, notice)
        assert (row.code, row.address, row.attempts) == (reply.code, None, 1)
        assert session.exec(select(Suppression)).all() == [], "a visitor's address is nobody's"


async def test_a_subscribers_dead_address_is_suppressed(sqlite_db: Database, smtp_server: StartSmtp) -> None:
    relay = await smtp_server()
    relay.script.on(Point.RCPT, Reply.of(550, "5.1.1 unknown user"))
    with sqlite_db.begin() as session:
        notice = ask(session, kind=NoticeKind.LINK)
    async with notifying(sqlite_db, relay):
        await until(sqlite_db, is_(NoticeState.REFUSED, notice))
    with sqlite_db.begin() as session:
        assert session.exec(select(Subscriber.suppressed)).all() == ["dead address"]


async def test_a_notice_put_off_comes_again_until_it_is_taken(db: Database, smtp_server: StartSmtp) -> None:
    relay = await smtp_server()
    relay.script.on(Point.RCPT, Reply.of(450, "4.7.1 greylisted"), times=3)
    with db.begin() as session:
        notice = ask(session)
    async with notifying(db, relay):
        await until(db, is_(NoticeState.ACCEPTED, notice))
    assert len(relay.accepted) == 1
    with db.begin() as session:
        assert of(session, notice).attempts == 4


async def test_a_notice_expires_when_its_time_is_over(sqlite_db: Database, smtp_server: StartSmtp) -> None:
    relay = await smtp_server()
    relay.script.on(Point.RCPT, Reply.of(450, "4.2.0 later"))
    with sqlite_db.begin() as session:
        notice = ask(session, lifetime=timedelta(seconds=1))
    async with notifying(sqlite_db, relay):
        await until(sqlite_db, is_(NoticeState.EXPIRED, notice))
    assert relay.accepted == []
    with sqlite_db.begin() as session:
        assert of(session, notice).reason.startswith("retry")


@pytest.mark.parametrize("is_taken", [True, False])
async def test_a_mail_in_doubt_is_repeated_to_the_byte_by_the_same_transport(
    sqlite_db: Database, smtp_server: StartSmtp, is_taken: bool
) -> None:
    relays = [await smtp_server(), await smtp_server()]
    for relay in relays:
        relay.script.on(Point.CONTENT, Drop(is_accepted=is_taken), times=1)
    with sqlite_db.begin() as session:
        notice = ask(session)
    async with notifying(sqlite_db, *relays, signers=SIGNERS):
        await until(sqlite_db, is_(NoticeState.ACCEPTED, notice))
    first, second = (len(relay.accepted) for relay in relays)
    assert {first, second} == {0, 2 if is_taken else 1}
    with sqlite_db.begin() as session:
        assert (of(session, notice).doubts, of(session, notice).attempts) == (1, 2)
    got = relays[0].accepted or relays[1].accepted
    assert len({mail.content for mail in got}) == 1
    assert header(got[0], "DKIM-Signature").startswith("v=1")


async def test_a_second_doubt_is_final(sqlite_db: Database, smtp_server: StartSmtp) -> None:
    relay = await smtp_server()
    relay.script.on(Point.CONTENT, Drop(is_accepted=True))
    with sqlite_db.begin() as session:
        notice = ask(session)
    async with notifying(sqlite_db, relay):
        await until(sqlite_db, is_(NoticeState.UNKNOWN, notice))
    assert len(relay.accepted) == 2
    with sqlite_db.begin() as session:
        row = of(session, notice)
        assert (row.doubts, row.address, row.reason) == (2, None, "in doubt a second time")


async def test_a_resend_is_not_made_by_another_transport(sqlite_db: Database, smtp_server: StartSmtp) -> None:
    relay = await smtp_server()
    with sqlite_db.begin() as session:
        notice = ask(session)
        (claimed,) = notices.claim(session, "dead", 9, timedelta(0), datetime.now(UTC))
        letters = Letters(Renderer(SITE, []), SITE, KEYS, "bounce@example.org")
        way = Way(letters.write(claimed), "gone")
        assert notices.open_notice(session, claimed, way, Limits(), timedelta(0), datetime.now(UTC))
    async with notifying(sqlite_db, relay):
        await until(sqlite_db, is_(NoticeState.UNKNOWN, notice))
    assert relay.accepted == []


async def test_what_a_dead_process_left_sending_counts_as_in_doubt(
    db: Database, smtp_server: StartSmtp
) -> None:
    """It is sent once more, with the bytes that its row holds: new templates change nothing."""
    relay = await smtp_server()
    letters = Letters(Renderer(SITE, []), SITE, KEYS, "bounce@example.org")
    with db.begin() as session:
        a_topic(session, title="The harbour")
        notice = ask(session)
    with db.begin() as session:
        now = datetime.now(UTC)
        (claimed,) = notices.claim(session, "dead", 9, timedelta(0), now)
        segments = letters.write(claimed)
        assert notices.open_notice(session, claimed, Way(segments, "main"), Limits(), timedelta(0), now)
    with db.begin() as session:
        session.execute(sa.text("UPDATE topic SET title = 'Another'"))
    async with notifying(db, relay):
        await until(db, is_(NoticeState.ACCEPTED, notice))
    (mail,) = relay.accepted
    assert b"The harbour" in mail.content
    _, wire = letters.seal(claimed, segments)
    assert mail.content == wire.replace(b"\r\n..", b"\r\n.")
    with db.begin() as session:
        assert of(session, notice).doubts == 1


async def test_what_a_dead_process_only_claimed_is_in_no_doubt(
    sqlite_db: Database, smtp_server: StartSmtp
) -> None:
    relay = await smtp_server()
    with sqlite_db.begin() as session:
        notice = ask(session)
        notices.claim(session, "dead", 9, timedelta(0), datetime.now(UTC))
    async with notifying(sqlite_db, relay):
        await until(sqlite_db, is_(NoticeState.ACCEPTED, notice))
    with sqlite_db.begin() as session:
        assert of(session, notice).doubts == 0


async def test_a_lease_is_held_while_a_server_takes_its_time(db: Database, smtp_server: StartSmtp) -> None:
    relay = await smtp_server(delay=1.5)
    with db.begin() as session:
        notice = ask(session)
    async with notifying(db, relay, lease=timedelta(seconds=0.6)):
        await until(db, is_(NoticeState.ACCEPTED, notice))
    assert len(relay.accepted) == 1
    with db.begin() as session:
        assert of(session, notice).attempts == 1


def test_a_lost_lease_settles_nothing_but_an_acceptance(db: Database) -> None:
    waits = (timedelta(seconds=1), timedelta(seconds=1))
    with db.begin() as session:
        notice = ask(session)
    now = datetime.now(UTC)
    with db.begin() as session:
        (slow,) = notices.claim(session, "slow", 9, timedelta(0), now)
    with db.begin() as session:
        (_quick,) = notices.claim(session, "quick", 9, timedelta(minutes=1), now)
    refused = Receipt(1, Settled.REFUSED, "refused: no", 550, "", "example.org")
    with pytest.raises(LeaseLost), db.begin() as session:
        notices.settle(session, slow, refused, KEYS, waits, now)
    with pytest.raises(LeaseLost), db.begin() as session:
        notices.renew(session, slow, timedelta(minutes=1), now)
    accepted = Receipt(1, Settled.ACCEPTED, "", 250, "", "example.org")
    with db.begin() as session:
        notices.settle(session, slow, accepted, KEYS, waits, now)
    with db.begin() as session:
        assert of(session, notice).state == NoticeState.ACCEPTED


def test_two_workers_never_claim_one_notice(postgres_db: Database) -> None:
    with postgres_db.begin() as session:
        for number in range(6):
            ask(session, f"reader{number}@example.org")
    now = datetime.now(UTC)
    with postgres_db.begin() as one, postgres_db.begin() as other:
        mine = notices.claim(one, "one", 4, timedelta(minutes=1), now)
        theirs = notices.claim(other, "other", 4, timedelta(minutes=1), now)
    assert (len(mine), len(theirs)) == (4, 2)
    assert not {each.id for each in mine} & {each.id for each in theirs}


async def test_nobody_is_written_to_who_was_suppressed_meanwhile(
    sqlite_db: Database, smtp_server: StartSmtp
) -> None:
    relay = await smtp_server()
    with sqlite_db.begin() as session:
        notice = ask(session)
        suppressions.suppress(
            session,
            KEYS.pepper,
            ADDRESS,
            cause="complaint",
            evidence="",
            origin="test",
            now=datetime.now(UTC),
        )
    async with notifying(sqlite_db, relay):
        await until(sqlite_db, is_(NoticeState.REFUSED, notice))
    assert relay.attempts == []
    with sqlite_db.begin() as session:
        assert of(session, notice).reason == "suppressed"


async def test_a_notice_about_what_is_gone_is_not_sent(sqlite_db: Database, smtp_server: StartSmtp) -> None:
    relay = await smtp_server()
    with sqlite_db.begin() as session:
        one = ask(session)
        other = ask(session, "leaver@example.org", NoticeKind.LINK)
        session.execute(sa.delete(SignUp))
        session.execute(sa.update(Subscriber).values(address=None, address_key=None))
    async with notifying(sqlite_db, relay):
        await until(sqlite_db, is_(NoticeState.EXPIRED, one))
        await until(sqlite_db, is_(NoticeState.EXPIRED, other))
    assert relay.attempts == []


async def test_a_notice_passes_the_mails_that_wait_for_a_connection(
    sqlite_db: Database, smtp_server: StartSmtp
) -> None:
    relay = await smtp_server(delay=0.02)
    async with notifying(sqlite_db, relay) as transports:
        (transport,) = [transports.get("main")]
        assert transport is not None
        bulk = [AMail(f"reader{number}@example.org") for number in range(80)]
        for mail in bulk:
            transport.submit(mail)
        await relay.wait_until(lambda: len(relay.accepted) >= 3)
        with sqlite_db.begin() as session:
            notice = ask(session)
        await until(sqlite_db, is_(NoticeState.ACCEPTED, notice))
        assert len(relay.accepted) < 40
        await asyncio.gather(*[mail.outcome for mail in bulk])


async def test_a_relay_that_is_down_loses_no_notice(sqlite_db: Database, smtp_server: StartSmtp) -> None:
    relay = await smtp_server()
    await relay.stop()
    with sqlite_db.begin() as session:
        notice = ask(session)
    async with notifying(sqlite_db, relay):
        await until(sqlite_db, lambda session: of(session, notice).attempts > 1)
        await relay.start()
        await until(sqlite_db, is_(NoticeState.ACCEPTED, notice))
    assert len(relay.accepted) == 1


async def test_notices_count_towards_the_rates_and_wait_for_none(
    db: Database, smtp_server: StartSmtp
) -> None:
    relay = await smtp_server()
    limits = Limits({"main": Rate(0.01)}, {"example.org": Rate(0.01)})
    with db.begin() as session:
        written = [ask(session, f"reader{number}@example.org") for number in range(3)]
    async with notifying(db, relay, limits=limits):
        for notice in written:
            await until(db, is_(NoticeState.ACCEPTED, notice))
    with db.begin() as session:
        spent_to = dict(session.exec(select(RateState.scope, RateState.spent_to)).all())
    assert spent_to.keys() == {"transport:main", "domain:example.org"}
    assert min(spent_to.values()) > datetime.now(UTC) - timedelta(minutes=1)


async def test_a_destination_that_is_stopped_gets_no_notice_by_that_transport(
    sqlite_db: Database, smtp_server: StartSmtp
) -> None:
    relays = [await smtp_server(), await smtp_server()]
    now = datetime.now(UTC)
    with sqlite_db.begin() as session:
        session.add(
            Breaker(
                transport="main",
                domain="example.org",
                faults=5,
                fault_at=now,
                opened_at=now,
                retry_at=now + timedelta(hours=1),
            )
        )
        written = [ask(session, f"reader{number}@example.org") for number in range(4)]
    async with notifying(sqlite_db, *relays):
        for notice in written:
            await until(sqlite_db, is_(NoticeState.ACCEPTED, notice))
    assert [len(relay.accepted) for relay in relays] == [0, 4]


async def test_a_stop_leaves_what_was_not_begun_to_be_sent_later(
    sqlite_db: Database, smtp_server: StartSmtp
) -> None:
    relay = await smtp_server()
    relay.script.on(Point.BANNER, Hang(), times=1)
    with sqlite_db.begin() as session:
        notice = ask(session)
    async with notifying(sqlite_db, relay):
        await until(sqlite_db, is_(NoticeState.SENDING, notice))
    with sqlite_db.begin() as session:
        row = of(session, notice)
        assert (row.state, row.worker, row.address) == (NoticeState.WAITING, "", ADDRESS)
    async with notifying(sqlite_db, relay):
        await until(sqlite_db, is_(NoticeState.ACCEPTED, notice))
    assert len(relay.accepted) == 1


async def test_a_text_that_cannot_be_rendered_stops_no_other(
    sqlite_db: Database, smtp_server: StartSmtp, monkeypatch: pytest.MonkeyPatch
) -> None:
    relay = await smtp_server()
    write = Letters.write

    def fails(self: Letters, claimed: notices.Claimed) -> bytes:
        if claimed.address == ADDRESS:
            raise ZeroDivisionError
        return write(self, claimed)

    monkeypatch.setattr(Letters, "write", fails)
    with sqlite_db.begin() as session:
        bad, good = ask(session), ask(session, "good@example.org")
    async with notifying(sqlite_db, relay, retry_first=timedelta(hours=1), retry_most=timedelta(hours=1)):
        await until(sqlite_db, is_(NoticeState.ACCEPTED, good))
        await until(sqlite_db, lambda session: of(session, bad).reason != "")
    with sqlite_db.begin() as session:
        row = of(session, bad)
        assert (row.state, row.reason) == (NoticeState.WAITING, "could not be composed: ZeroDivisionError")
    assert [mail.rcpt for mail in relay.accepted] == ["good@example.org"]


def test_no_notice_is_due_twice_in_the_index(sqlite_db: Database) -> None:
    """What is settled is out of the index that claims read."""
    with sqlite_db.begin() as session:
        ask(session)
        session.execute(sa.update(Notice).values(due_at=None))
        assert notices.claim(session, "worker", 9, timedelta(minutes=1), datetime.now(UTC)) == []
        assert session.exec(select(col(Notice.id))).all() != []
