"""Rates, breakers, narrow destinations, weights and failover, whole: counted by real SMTP servers."""

import asyncio
import re
import time
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from itertools import pairwise, product
from pathlib import Path

import pytest
from sqlalchemy import event
from sqlmodel import col, select

from alerts.db import Database
from alerts.dispatch.announce import announce_entry
from alerts.dispatch.gates import Limits
from alerts.dispatch.rates import Rate
from alerts.models import Breaker, Delivery, DeliveryState
from build import a_feed, a_topic, an_entry, readers
from delivering import all_done, delivering, until
from fakes.smtp import Drop, Hang, Mail, Point, Reply, StartSmtp

BLOCKED = Reply.of(550, "5.7.1 our list says that your host is blocked")


def announce(db: Database, counts: dict[str, int]) -> None:
    now = datetime.now(UTC)
    with db.begin() as session:
        topic = a_topic(session, title="The harbour")
        for number in range(0, max(counts.values()), 10):  # by tens, so that each chunk has of all
            for domain, count in counts.items():
                if (some := min(10, count - number)) > 0:
                    readers(session, some, topic, domain=domain, prefix=f"reader{number // 10}-")
        announce_entry(session, an_entry(session, a_feed(session), now=now), now)


def deliveries(db: Database) -> Sequence[Delivery]:
    with db.begin() as session:
        return session.exec(select(Delivery).order_by(col(Delivery.subscriber_id))).all()


def to(mails: Sequence[Mail], domain: str) -> list[Mail]:
    return [mail for mail in mails if mail.rcpt.endswith(f"@{domain}")]


def must_fit(mails: Sequence[Mail], rate: int, began: float) -> None:
    """By the time any mail came, no more had come than a burst and the rate since the beginning."""
    for count, mail in enumerate(sorted(mails, key=lambda mail: mail.at), start=1):
        assert count <= rate * (1 + mail.at - began) + 1


async def test_a_domains_rate_holds_over_two_deliverers_and_a_restart_and_others_are_not_delayed(
    db: Database, smtp_server: StartSmtp, tmp_path: Path
) -> None:
    server = await smtp_server()
    announce(db, {"slow.example": 70, "fast.example": 150})
    limits = Limits(domains={"slow.example": Rate(20)})
    began = time.monotonic()
    async with (
        delivering(db, server, tmp_path / "a", worker="a", limits=limits),
        delivering(db, server, tmp_path / "b", worker="b", limits=limits),
    ):
        await server.wait_until(lambda: len(to(server.accepted, "slow.example")) >= 30)
    assert len(to(server.accepted, "slow.example")) < 70
    async with delivering(db, server, tmp_path / "c", worker="c", limits=limits):
        await until(db, all_done)
    slow, fast = to(server.accepted, "slow.example"), to(server.accepted, "fast.example")
    must_fit(slow, 20, began)
    assert (len(slow), len(fast)) == (70, 150)
    assert max(mail.at for mail in fast) < sorted(mail.at for mail in slow)[45], "nobody else is delayed"
    assert {row.state for row in deliveries(db)} == {DeliveryState.ACCEPTED}


async def test_a_transports_rate_holds_over_two_deliverers(
    db: Database, smtp_server: StartSmtp, tmp_path: Path
) -> None:
    server = await smtp_server()
    announce(db, {"any.example": 130})
    limits = Limits(transports={"main": Rate(40)})
    began = time.monotonic()
    async with (
        delivering(db, server, tmp_path / "a", worker="a", limits=limits, batch=30),
        delivering(db, server, tmp_path / "b", worker="b", limits=limits, batch=30),
    ):
        await until(db, all_done)
    must_fit(server.accepted, 40, began)
    assert len(server.accepted) == 130


async def test_a_destination_that_blocks_us_is_stopped_probed_and_then_served(
    db: Database,
    smtp_server: StartSmtp,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr("alerts.dispatch.breakers._WAIT_FIRST", timedelta(seconds=2))
    server = await smtp_server()
    server.script.on(Point.RCPT, BLOCKED, recipient="*@ill.example")
    announce(db, {"ill.example": 60, "well.example": 60})
    async with delivering(db, server, tmp_path):
        await until(db, lambda session: session.exec(select(Breaker.opened_at)).first() is not None)
        await server.wait_until(lambda: len(to(server.accepted, "well.example")) == 60)
        tried = len([each for each in server.attempts if each.rcpt.endswith("ill.example")])
        assert tried < 60, "the others were not tried"
        await server.wait_until(lambda: len(server.attempts) > 60 + tried)
        server.script.rules.clear()
        probed = len(server.attempts) - 60 - tried
        assert probed == 1
        await until(db, all_done)
    told = capsys.readouterr().out
    assert told.count("destination_stopped") == told.count("destination_resumed") == 1
    assert len(to(server.accepted, "ill.example")) == 60
    assert {row.state for row in deliveries(db)} == {DeliveryState.ACCEPTED}


async def test_a_relay_that_refuses_our_sender_is_stopped_as_a_whole(
    sqlite_db: Database, smtp_server: StartSmtp, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("alerts.dispatch.breakers._WAIT_FIRST", timedelta(seconds=1))
    server = await smtp_server()
    server.script.on(Point.MAIL, Reply.of(550, "5.7.1 sender refused: not allowed"))
    announce(sqlite_db, {"one.example": 30, "two.example": 30})
    async with delivering(sqlite_db, server, tmp_path):
        await until(sqlite_db, lambda session: session.exec(select(Breaker.opened_at)).first() is not None)
        with sqlite_db.begin() as session:
            row = session.exec(select(Breaker)).one()
            assert (row.transport, row.domain) == ("main", "")
        server.script.rules.clear()
        await until(sqlite_db, all_done)
    assert len(server.accepted) == 60
    assert server.commands.count("MAIL") < 60 + 40, "most were not tried while it refused"


async def test_a_definite_no_lets_another_transport_bring_the_mail(
    db: Database, smtp_server: StartSmtp, tmp_path: Path
) -> None:
    main, spare = await smtp_server(), await smtp_server()
    main.script.on(Point.RCPT, Reply.of(451, "4.3.0 try again later"))
    announce(db, {"any.example": 30})
    async with delivering(db, main, tmp_path, also={"spare": spare}):
        await until(db, all_done)
    assert (len(main.accepted), len(spare.accepted)) == (0, 30)
    assert {row.transport for row in deliveries(db)} == {"spare"}


async def test_what_is_in_doubt_goes_again_by_its_own_transport_and_no_other(
    db: Database, smtp_server: StartSmtp, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("alerts.mail.transports._WAIT_MOST", 0.05)  # who loses every reply is let alone
    main, spare = await smtp_server(), await smtp_server()
    for ten, number, server in product(
        range(2), range(1, 11), (main, spare)
    ):  # each reply is lost once, at either
        reader = f"reader{ten}-{number}@any.example"
        server.script.on(Point.CONTENT, Drop(is_accepted=True), recipient=reader, times=1)
    announce(db, {"any.example": 20})
    async with delivering(db, main, tmp_path, also={"spare": spare}):
        await until(db, all_done)
    at_main = Counter(mail.rcpt for mail in main.accepted)
    at_spare = Counter(mail.rcpt for mail in spare.accepted)
    assert at_main.keys() & at_spare.keys() == set(), "nobody's mail went by both"
    assert {*at_main.values(), *at_spare.values()} == {2}
    assert len(at_main) + len(at_spare) == 20
    assert at_main
    assert at_spare
    contents = {(mail.rcpt, mail.content) for mail in (*main.accepted, *spare.accepted)}
    assert len(contents) == 20, "the bytes of the first time"


async def test_transports_share_the_mail_by_their_weights(
    sqlite_db: Database, smtp_server: StartSmtp, tmp_path: Path
) -> None:
    main, spare = await smtp_server(), await smtp_server()
    announce(sqlite_db, {"any.example": 240})
    async with delivering(
        sqlite_db, main, tmp_path, also={"spare": spare}, weights={"main": 3}, batch=10, parallel=1
    ):
        await until(sqlite_db, all_done)
    assert (len(main.accepted), len(spare.accepted)) == (180, 60)


async def test_a_relay_that_is_away_leaves_all_to_the_other(
    sqlite_db: Database, smtp_server: StartSmtp, tmp_path: Path
) -> None:
    main, spare = await smtp_server(), await smtp_server()
    await main.stop()
    announce(sqlite_db, {"any.example": 60})
    async with delivering(sqlite_db, main, tmp_path, also={"spare": spare}, weights={"main": 9}):
        await until(sqlite_db, all_done)
    assert len(spare.accepted) == 60
    assert {row.doubts for row in deliveries(sqlite_db)} == {0}


async def test_a_relay_that_falls_silent_keeps_nobody_waiting_but_the_batches_it_has_mails_of(
    db: Database, smtp_server: StartSmtp, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may be waited for ten minutes: not by all couriers."""
    monkeypatch.setattr("alerts.dispatch.deliver._SILENT_SECONDS", 0.5)
    silent, other = await smtp_server(), await smtp_server()
    announce(db, {"any.example": 300})
    async with delivering(db, silent, tmp_path, also={"other": other}, patience=timedelta(seconds=60)):
        await silent.wait_until(lambda: len(silent.accepted) >= 10)
        for point in (Point.CONTENT, Point.MAIL):
            silent.script.on(point, Hang())
        stuck = 2 * 50  # the batches that two couriers have in hand
        await other.wait_until(lambda: len(silent.accepted) + len(other.accepted) >= 300 - stuck)
        await silent.stop()


async def test_a_destination_that_asks_us_to_slow_down_does_not_keep_others_from_the_wire(
    sqlite_db: Database, smtp_server: StartSmtp, tmp_path: Path
) -> None:
    """Its mails go one at a time; others pass, chunk after chunk."""
    server = await smtp_server(delay=0.05)
    announce(sqlite_db, {"slow.example": 60, "fast.example": 60})
    async with delivering(sqlite_db, server, tmp_path, widths={"slow.example": 1}, batch=500):
        await server.wait_until(lambda: len(to(server.accepted, "fast.example")) == 60)
        behind = len(to(server.accepted, "slow.example"))
        await until(sqlite_db, all_done)
    assert len(server.accepted) == 120
    assert behind < 50
    slow = sorted(mail.at for mail in to(server.accepted, "slow.example"))
    assert all(later - earlier > 0.03 for earlier, later in pairwise(slow)), "one at a time"


async def test_where_nothing_is_limited_nothing_is_asked_but_once_a_second(
    sqlite_db: Database, smtp_server: StartSmtp, tmp_path: Path
) -> None:
    server = await smtp_server()
    announce(sqlite_db, {"any.example": 300})
    asked: list[str] = []

    def note(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        asked.append(statement)

    event.listen(sqlite_db.engine, "before_cursor_execute", note)
    began = time.monotonic()
    async with delivering(sqlite_db, server, tmp_path, batch=10):
        await until(sqlite_db, all_done)
    looks = time.monotonic() - began + 2
    assert sum("delivery.state" in each for each in asked) >= 30, "thirty batches were closed"
    assert not [each for each in asked if re.search(r"\b(FROM|UPDATE|INTO) rate\b", each)]
    assert len([each for each in asked if re.search(r"\b(breaker|waiting)\b", each)]) <= 2 * looks


async def test_a_stop_while_a_transport_waits_for_its_rate_is_quick(
    sqlite_db: Database, smtp_server: StartSmtp, tmp_path: Path
) -> None:
    server = await smtp_server()
    announce(sqlite_db, {"any.example": 50})
    limits = Limits(transports={"main": Rate(0.05)})
    async with asyncio.timeout(10):
        async with delivering(sqlite_db, server, tmp_path, limits=limits):
            await server.wait_until(lambda: len(server.accepted) == 1)
    assert len(server.accepted) == 1
