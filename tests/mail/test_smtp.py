"""One connection and one transport against real sockets: what is told of a mail, whatever the server does."""

import asyncio
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from alerts.errors import LeaseLost
from alerts.mail.smtp import InDoubt, Replied, Server, Unsent
from alerts.mail.transports import Transport
from fakes.smtp import ConformingServer, Drop, Hang, Point, Reply, StartSmtp
from fakes.tls import Certificates
from sending import AMail, hand_over, hand_over_once, server_at


async def test_a_mail_arrives_as_it_was_and_the_connection_is_kept(smtp_server: StartSmtp) -> None:
    server = await smtp_server()
    outcomes = await hand_over_once(server_at(server), *[AMail(f"r{n}@example.org") for n in range(20)])
    assert {(each.stage, each.code) for each in outcomes if isinstance(each, Replied)} == {("content", 250)}
    assert len(server.accepted) == 20
    assert {mail.content for mail in server.accepted} == {b"Subject: x\r\n\r\n.a dot\r\n"}
    assert server.connections == 1
    assert server.violations == []


async def test_a_server_that_offers_nothing_is_served_all_the_same(
    conforming_smtp_server: ConformingServer,
) -> None:
    (outcome,) = await hand_over_once(server_at(conforming_smtp_server), AMail())
    assert isinstance(outcome, Replied)
    assert len(conforming_smtp_server.accepted) == 1


@pytest.mark.parametrize("code", [500, 502, 504, 550])
async def test_a_server_that_knows_no_ehlo_is_greeted_as_of_old(smtp_server: StartSmtp, code: int) -> None:
    server = await smtp_server(extensions=())
    server.script.on(Point.EHLO, Reply.of(code, "what?"))
    outcomes = await hand_over_once(server_at(server), AMail(), AMail())
    assert [type(each) for each in outcomes] == [Replied] * 2
    assert server.commands[:3] == ["EHLO", "HELO", "MAIL"]
    assert len(server.accepted) == 2
    assert server.violations == []


async def test_what_keeps_a_relay_down_is_named_with_its_code(
    smtp_server: StartSmtp, certificates: Certificates
) -> None:
    server = await smtp_server(credentials=("user", "secret"))
    (outcome,) = await hand_over_once(server_at(server, username="user", password="wrong"), AMail())
    assert outcome == Unsent("transport is down: SMTPAuthenticationError 535")
    server = await smtp_server(tls=certificates.server, is_tls_from_start=True)
    (outcome,) = await hand_over_once(server_at(server, tls="tls"), AMail())
    assert outcome == Unsent("transport is down: SMTPConnectError, SSLCertVerificationError")


@pytest.mark.parametrize(
    ("point", "stage"),
    [(Point.MAIL, "MAIL"), (Point.RCPT, "RCPT"), (Point.DATA, "DATA"), (Point.CONTENT, "content")],
)
async def test_a_refusal_is_told_whole_and_hurts_nobody_else(
    smtp_server: StartSmtp, point: Point, stage: str
) -> None:
    server = await smtp_server()
    server.script.on(point, Reply.of(550, "5.1.1 no such", "5.1.1 reader"), times=1)
    first, second = await hand_over_once(server_at(server), AMail("a@example.org"), AMail("b@example.org"))
    assert first == Replied(stage, 550, "5.1.1 no such\n5.1.1 reader")  # type: ignore[arg-type] # the parameter is a plain str
    assert isinstance(second, Replied)
    assert second.code == 250
    assert [mail.rcpt for mail in server.accepted] == ["b@example.org"]
    assert server.violations == []


@pytest.mark.parametrize("action", [Drop(), Drop(is_accepted=True)])
async def test_a_lost_reply_leaves_the_mail_in_doubt(smtp_server: StartSmtp, action: Drop) -> None:
    server = await smtp_server()
    server.script.on(Point.CONTENT, action, times=1)
    (outcome,) = await hand_over_once(server_at(server), AMail())
    assert isinstance(outcome, InDoubt)
    assert len(server.received) == 1, "what is in doubt is not sent again by the transport"


async def test_a_reply_that_never_comes_is_waited_for_and_then_in_doubt(smtp_server: StartSmtp) -> None:
    server = await smtp_server()
    server.script.on(Point.CONTENT, Hang(is_accepted=True))
    (outcome,) = await hand_over_once(server_at(server, final_timeout=timedelta(milliseconds=200)), AMail())
    assert isinstance(outcome, InDoubt)


@pytest.mark.parametrize("point", [Point.MAIL, Point.RCPT, Point.DATA])
async def test_a_mail_that_certainly_did_not_go_out_is_given_to_another_connection(
    smtp_server: StartSmtp, point: Point
) -> None:
    server = await smtp_server()
    server.script.on(point, Drop(), times=1)
    (outcome,) = await hand_over_once(server_at(server), AMail())
    assert isinstance(outcome, Replied)
    assert outcome.code == 250
    assert len(server.accepted) == 1


async def test_a_connection_stands_before_the_first_mail_is_made(smtp_server: StartSmtp) -> None:
    server = await smtp_server()
    transport = Transport(server_at(server, hello="news.test"))
    try:
        for _ in range(2):
            transport.expect_mail()
        await server.wait_until(lambda: server.connections == 1)
        (outcome,) = await hand_over(transport, AMail())
        transport.expect_mail()
    finally:
        await transport.close()
    assert isinstance(outcome, Replied)
    assert server.connections == 1
    assert server.greetings == ["news.test"]


async def test_a_relay_that_is_away_is_asked_once_and_then_left_alone(smtp_server: StartSmtp) -> None:
    server = await smtp_server()
    server.script.on(Point.BANNER, Reply.of(421, "4.3.2 not now"))
    transport = Transport(server_at(server, connections=3))
    outcomes = await hand_over(transport, *[AMail() for _ in range(9)])
    assert all(isinstance(each, Unsent) for each in outcomes)
    assert server.connections <= 3
    assert transport.down_for() > 0
    await transport.close()


async def test_a_host_name_that_cannot_be_one_is_a_relay_that_is_away() -> None:
    five = timedelta(seconds=5)
    at = Server("main", "mail..example", 25, "none", "", "", 1, five, five, five)
    async with asyncio.timeout(5):
        (outcome,) = await hand_over_once(at, AMail())
    assert isinstance(outcome, Unsent)


async def test_one_outage_is_one_however_many_connections_met_it(smtp_server: StartSmtp) -> None:
    server = await smtp_server()
    await server.stop()
    transport = Transport(server_at(server, connections=10))
    await hand_over(transport, *[AMail() for _ in range(10)])
    assert 0 < transport.down_for() < 1
    await transport.close()


async def test_a_relay_that_allows_fewer_connections_is_served_over_those(smtp_server: StartSmtp) -> None:
    server = await smtp_server(delay=0.02)
    transport = Transport(server_at(server, connections=4))
    first = asyncio.create_task(hand_over(transport, AMail("first@example.org")))
    await server.wait_until(lambda: server.in_flight == 1)
    server.script.on(Point.BANNER, Reply.of(421, "4.7.0 too many connections"))
    outcomes = await hand_over(transport, *[AMail(f"r{n}@example.org") for n in range(20)])
    outcomes += await first
    assert [each.code for each in outcomes if isinstance(each, Replied)] == [250] * 21
    assert transport.down_for() == 0
    assert server.connections <= 4, "no new attempt for each mail"
    await transport.close()


async def test_a_server_that_sends_a_kept_connection_away_gets_the_mail_over_a_new_one(
    smtp_server: StartSmtp,
) -> None:
    server = await smtp_server(mails_per_connection=2)
    outcomes = await hand_over_once(server_at(server), *[AMail(f"r{n}@example.org") for n in range(9)])
    assert [each.code for each in outcomes if isinstance(each, Replied)] == [250] * 9


async def test_a_close_in_the_middle_of_connecting_tells_every_mail(smtp_server: StartSmtp) -> None:
    server = await smtp_server()
    server.script.on(Point.BANNER, Hang())
    transport = Transport(server_at(server))
    handed = asyncio.create_task(hand_over(transport, AMail(), AMail()))
    await server.wait_until(lambda: server.open == 1)
    async with asyncio.timeout(2):
        await transport.close()
        outcomes = await handed
    assert all(isinstance(each, Unsent) for each in outcomes)


async def test_a_defect_in_what_hears_of_one_mail_does_not_stop_the_others(smtp_server: StartSmtp) -> None:
    server = await smtp_server()
    transport = Transport(server_at(server))

    defective = AMail("first@example.org")
    defective.outcome.cancel()  # so that it cannot be told
    transport.submit(defective)
    async with asyncio.timeout(5):
        (outcome,) = await hand_over(transport, AMail("second@example.org"))
    assert isinstance(outcome, Replied)
    await transport.close()


async def test_a_lost_lease_costs_the_relay_no_connection(smtp_server: StartSmtp) -> None:
    server = await smtp_server()
    is_shut: list[int] = []

    def fence() -> None:
        if is_shut:
            raise LeaseLost("past the deadline")

    transport = Transport(server_at(server))
    await hand_over(transport, AMail(fence=fence))
    is_shut.append(1)
    outcomes = await hand_over(transport, *[AMail(fence=fence) for _ in range(30)])
    assert set(outcomes) == {Unsent("LeaseLost")}
    await hand_over(transport, AMail())
    assert server.connections == 1
    await transport.close()


async def test_no_more_connections_than_allowed(smtp_server: StartSmtp) -> None:
    server = await smtp_server(delay=0.01)
    await hand_over_once(server_at(server, connections=4), *[AMail() for _ in range(40)])
    assert server.connections == 4
    assert server.peak_in_flight == 4


async def test_a_server_that_limits_mails_per_connection_is_obeyed(smtp_server: StartSmtp) -> None:
    server = await smtp_server(close_after=3)
    outcomes = await hand_over_once(server_at(server), *[AMail(f"r{n}@example.org") for n in range(10)])
    assert all(isinstance(each, Replied) and each.code == 250 for each in outcomes)
    assert len(server.accepted) == 10


async def test_replies_byte_by_byte_are_read_whole(smtp_server: StartSmtp) -> None:
    server = await smtp_server(is_byte_by_byte=True)
    outcomes = await hand_over_once(server_at(server), AMail(), AMail())
    assert [each.code for each in outcomes if isinstance(each, Replied)] == [250, 250]


async def test_nothing_is_written_once_the_fence_is_shut(smtp_server: StartSmtp) -> None:
    server = await smtp_server()

    def shut() -> None:
        raise LeaseLost("past the deadline")

    begun: list[int] = []
    (outcome,) = await hand_over_once(server_at(server), AMail(fence=shut, begin=lambda: begun.append(1)))
    assert outcome == Unsent("LeaseLost")
    assert begun == []
    assert "MAIL" not in [verb.upper() for verb in server.commands]


async def test_a_mail_that_cannot_be_written_down_is_not_sent(smtp_server: StartSmtp) -> None:
    server = await smtp_server()

    def full() -> None:
        raise OSError("no space left")

    (outcome,) = await hand_over_once(server_at(server), AMail(begin=full))
    assert isinstance(outcome, Unsent)
    assert server.received == []


@pytest.mark.parametrize("mode", ["starttls", "tls"])
async def test_the_connection_is_secured_and_logged_in(
    smtp_server: StartSmtp, certificates: Certificates, mode: Any
) -> None:
    server = await smtp_server(
        tls=certificates.server, is_tls_from_start=mode == "tls", credentials=("user", "secret")
    )
    at = server_at(server, tls=mode, ca_file=certificates.ca_file, username="user", password="secret")
    (outcome,) = await hand_over_once(replace(at, host="localhost"), AMail())
    assert isinstance(outcome, Replied)
    assert outcome.code == 250


async def test_a_certificate_that_nobody_vouches_for_is_refused(
    smtp_server: StartSmtp, certificates: Certificates
) -> None:
    server = await smtp_server(tls=certificates.server)
    (outcome,) = await hand_over_once(server_at(server, tls="starttls"), AMail())
    assert isinstance(outcome, Unsent)
    assert server.attempts == []
