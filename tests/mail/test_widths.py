"""How many mails of a destination are on the wire: fewer when it says so, more again, and others pass meanwhile."""

import asyncio
from collections import Counter, deque

from alerts.mail.smtp import Mail, Replied
from alerts.mail.transports import Transport
from alerts.mail.widths import Widths
from fakes.smtp import Point, Reply, ScriptedServer, StartSmtp
from sending import AMail, hand_over, server_at

SLOWER = Reply.of(451, "4.7.0 too many connections, slow down")


def mails(count: int, domain: str = "slow.example") -> list[AMail]:
    return [AMail(f"reader{number}@{domain}") for number in range(count)]


async def test_a_destination_gets_no_more_at_once_than_is_set_and_others_pass_it(
    smtp_server: StartSmtp,
) -> None:
    server = await smtp_server(delay=0.01)
    transport = Transport(server_at(server, connections=6), {"slow.example": 2})
    slow, fast = mails(12), mails(40, "fast.example")
    await hand_over(transport, *slow, *fast)
    await transport.close()
    assert peak(server, "slow.example") == 2
    assert peak(server, "fast.example") > 2
    order = [mail.rcpt.partition("@")[2] for mail in server.accepted]
    assert order.index("fast.example") < 8, "who may go does not wait behind who may not"
    assert server.violations == []
    assert len(server.accepted) == 52


async def test_a_destination_that_says_slow_down_gets_half_and_then_step_by_step_more(
    smtp_server: StartSmtp,
) -> None:
    server = await smtp_server(delay=0.01)
    transport = Transport(server_at(server, connections=8))
    await hand_over(transport, *mails(60), *mails(20, "fast.example"))
    assert peak(server, "slow.example") >= 8
    server.script.on(Point.RCPT, SLOWER, recipient="*@slow.example", times=1)
    before = len(server.received)
    outcomes = await hand_over(transport, *mails(40))
    assert Counter(type(each) is Replied and each.code for each in outcomes) == {250: 39, 451: 1}
    narrowed = peak(server, "slow.example", since=before + 16, upto=before + 24)
    assert narrowed <= 10
    assert transport.paces().keys() == {"slow.example"}, "what got through is known"
    # It grows by one for each full width that is accepted, until it is no limit any more.
    await hand_over(transport, *mails(200))
    assert not transport.paces() or peak(server, "slow.example", since=before + 180) >= 8
    await hand_over(transport, *mails(60))
    await transport.close()
    assert server.violations == []


async def test_a_destination_that_says_so_each_time_comes_down_to_one_at_a_time(
    smtp_server: StartSmtp,
) -> None:
    server = await smtp_server(delay=0.005)
    server.script.on(Point.CONTENT, SLOWER, recipient="*@slow.example")
    transport = Transport(server_at(server, connections=8))
    await hand_over(transport, *mails(120), *mails(30, "fast.example"))
    assert peak(server, "slow.example", since=110) == 1
    assert sum(mail.rcpt.endswith("fast.example") for mail in server.accepted) == 30
    await transport.close()


async def test_mails_that_wait_aside_are_told_when_the_transport_closes_or_the_relay_goes(
    smtp_server: StartSmtp,
) -> None:
    server = await smtp_server(delay=5)
    transport = Transport(server_at(server, connections=3), {"slow.example": 1})
    waiting = mails(5)
    for mail in waiting:
        transport.submit(mail)
    await server.wait_until(lambda: len(server.received) == 1)
    await transport.close()
    told = await asyncio.gather(*[mail.outcome for mail in waiting])
    assert Counter(type(each).__name__ for each in told) == {"InDoubt": 1, "Unsent": 4}


async def test_a_connection_that_dies_leaves_the_room_it_had(smtp_server: StartSmtp) -> None:
    server = await smtp_server(close_after=2)
    transport = Transport(server_at(server, connections=3), {"slow.example": 1})
    outcomes = await hand_over(transport, *mails(15))
    assert [type(each) for each in outcomes] == [Replied] * 15
    await transport.close()


async def test_one_wave_of_complaints_narrows_once() -> None:
    widths = Widths({}, most=20)
    wave: list[Mail] = [*mails(8)]
    for number, mail in enumerate(wave):
        widths.narrow(mail, wave[number + 1 :])
    waiting: deque[Mail] = deque(mails(10))
    out: list[Mail] = []
    while (mail_or_none := widths.next_mail(waiting)) is not None:
        out.append(mail_or_none)
    assert len(out) == 4
    for mail in out:
        widths.leaves(mail, waiting, is_accepted=True)
    assert widths.ready == 5, "a full width was accepted: one more"


async def test_a_width_that_is_no_limit_any_more_is_forgotten() -> None:
    widths = Widths({}, most=4)
    first = mails(1)[0]
    widths.narrow(first, [])
    waiting: deque[Mail] = deque()
    while widths.by_domain:
        waiting.append(mails(1)[0])
        mail = widths.next_mail(waiting)
        assert mail is not None
        widths.leaves(mail, waiting, is_accepted=True)
    assert widths.next_mail(deque([first])) is first


def peak(server: ScriptedServer, domain: str, since: int = 0, upto: int | None = None) -> int:
    """The most mails of a domain at once, over those received from `since` on, by connections that had one then."""
    found = [mail for mail in server.received[since:upto] if mail.rcpt.endswith(domain)]
    gap = server.manners.delay * 0.9
    return max(sum(start.at <= each.at < start.at + gap for each in found) for start in found)
