"""How many mails of a destination are on the wire: fewer when it says so, more again, and others pass meanwhile."""

import asyncio
from collections import Counter
from typing import Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alerts.mail.line import Line
from alerts.mail.smtp import Mail, Replied
from alerts.mail.transports import Transport
from alerts.mail.widths import Widths
from fakes.smtp import Point, Reply, ScriptedServer, StartSmtp
from sending import AMail, hand_over, server_at

SLOWER = Reply.of(451, "4.7.0 too many connections, slow down")


def notice(domain: str = "slow.example", name: str = "notice") -> AMail:
    return AMail(f"{name}@{domain}", goes_first=True)


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
    waiting = line(*mails(10))
    out = going(widths, waiting)
    assert len(out) == 4
    for mail in out:
        widths.leaves(mail, waiting, is_accepted=True)
    assert widths.ready == 5, "a full width was accepted: one more"


async def test_a_width_that_is_no_limit_any_more_is_forgotten() -> None:
    widths = Widths({}, most=4)
    first = mails(1)[0]
    widths.narrow(first, [])
    waiting = Line()
    while widths.by_domain:
        waiting.add(mails(1)[0])
        mail = widths.next_mail(waiting)
        assert mail is not None
        widths.leaves(mail, waiting, is_accepted=True)
    assert widths.next_mail(line(first)) is first


async def test_a_notice_takes_the_next_place_of_a_destination_that_gets_one_mail_at_a_time(
    smtp_server: StartSmtp,
) -> None:
    server = await smtp_server(delay=0.05)
    transport = Transport(server_at(server, connections=2), {"slow.example": 1})
    bulk = mails(6)
    for mail in bulk:
        transport.submit(mail)
    await server.wait_until(lambda: len(server.received) == 1)
    asked = [notice(name="first"), notice(name="second")]
    for mail in asked:
        transport.submit(mail)
    await asyncio.gather(*[mail.outcome for mail in (*bulk, *asked)])
    await transport.close()
    order = [mail.rcpt.partition("@")[0] for mail in server.accepted]
    assert order[1:3] == ["first", "second"]


async def test_a_mail_that_comes_back_stands_behind_a_notice(smtp_server: StartSmtp) -> None:
    server = await smtp_server(delay=0.05, close_after=1)
    transport = Transport(server_at(server))
    bulk, asked = mails(3), notice()
    for mail in bulk:
        transport.submit(mail)
    await server.wait_until(lambda: len(server.received) == 1)
    transport.submit(asked)
    await asyncio.gather(*[mail.outcome for mail in (*bulk, asked)])
    await transport.close()
    assert server.accepted[1].rcpt == asked.recipient.decode()


async def test_no_mail_that_steps_aside_or_comes_back_from_there_passes_a_notice() -> None:
    widths = Widths({"slow.example": 1, "narrow.example": 2}, most=2)
    waiting = line(*mails(3), *mails(3, "narrow.example"), *mails(2, "fast.example"))
    out = going(widths, waiting)
    assert [mail.domain.partition(".")[0] for mail in out] == ["slow", "narrow", "narrow", "fast", "fast"]
    narrow, slow, fast = [notice(domain) for domain in ("narrow.example", "slow.example", "fast.example")]
    for each in (narrow, slow, fast):
        waiting.add(each)
    assert going(widths, waiting) == [fast]
    for mail in out[:3]:
        widths.leaves(mail, waiting)
    first, second, *others = going(widths, waiting)
    assert {first, second} == {narrow, slow}
    assert len(others) == 1, "the other place of the wider one"


def going(widths: Widths, waiting: Line) -> list[Mail]:
    """All mails that may go now."""
    return list(iter(lambda: widths.next_mail(waiting), None))


def line(*waiting: Mail) -> Line:
    made = Line()
    for mail in waiting:
        made.add(mail)
    return made


def peak(server: ScriptedServer, domain: str, since: int = 0, upto: int | None = None) -> int:
    """The most mails of a domain at once, over those received from `since` on, by connections that had one then."""
    found = [mail for mail in server.received[since:upto] if mail.rcpt.endswith(domain)]
    gap = server.manners.delay * 0.9
    return max(sum(start.at <= each.at < start.at + gap for each in found) for start in found)


def test_destinations_without_mail_cost_nothing_and_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    """A relay that says so of everybody leaves thousands of narrow domains, of which most have one reader."""
    now = 0.0
    monkeypatch.setattr("alerts.mail.widths.monotonic", lambda: now)
    widths, waiting = Widths({"set.example": 3}, most=8), Line()
    for number in range(5_000):
        widths.narrow(as_mail(f"one{number}.example"), [])
    asked = CountingDict(widths.by_domain)
    widths.by_domain = asked
    for number in range(100):
        waiting.add(mail := as_mail(f"one{number}.example"))
        assert widths.next_mail(waiting) is mail
        widths.leaves(mail, waiting, is_accepted=True)
    assert asked.walks == 0, "each mail would ask all of them"
    now = 601.0
    assert widths.next_mail(waiting) is None
    assert widths.by_domain.keys() == {"set.example"}


class CountingDict(dict[str, Any]):
    """Counts how often all of it is walked through."""

    walks = 0

    def values(self) -> Any:
        self.walks += 1
        return super().values()


@settings(max_examples=200, deadline=None)
@given(steps=st.lists(st.tuples(st.sampled_from("wnalr"), st.integers(0, 3), st.booleans()), max_size=120))
def test_what_may_go_is_counted_as_if_it_were_counted_anew(steps: list[tuple[str, int, bool]]) -> None:
    widths, waiting, out = Widths({"d0": 2}, most=4), Line(), list[Mail]()
    known = 0
    for step, number, goes_first in steps:
        match step:
            case "w":
                waiting.add(as_mail(f"d{number}", goes_first=goes_first))
                known += 1
            case "n" if (mail := widths.next_mail(waiting)) is not None:
                out.append(mail)
            case "a" | "l" if out:
                widths.leaves(out.pop(number % len(out)), waiting, is_accepted=step == "a")
                known -= 1
            case "r" if out:
                widths.narrow(out.pop(number % len(out)), out)
                known -= 1
        aside = sum(len(each.aside) for each in widths.by_domain.values())
        assert len(waiting) + aside + len(out) == known, "none is lost"
        assert widths.ready == sum(
            min(len(each.aside), max(0, each.room - len(each.out))) for each in widths.by_domain.values()
        )
    may_go = widths.ready
    waiting.drain()
    assert sum(widths.next_mail(waiting) is not None for _ in range(may_go)) == may_go
    assert widths.next_mail(waiting) is None
    widths.drain()
    assert widths.ready == 0


def as_mail(domain: str, *, goes_first: bool = False) -> Mail:
    return cast("Mail", OfDomain(domain, goes_first=goes_first))


class OfDomain:
    """What a width asks of a mail."""

    def __init__(self, domain: str, *, goes_first: bool) -> None:
        self.domain = domain
        self.goes_first = goes_first
