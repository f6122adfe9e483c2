"""Mails in, outcomes out, over real sockets: whatever the server does, each mail is told what is certain of it."""

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from alerts.errors import LeaseLost
from alerts.mail.smtp import InDoubt, Outcome, Replied, Unsent
from alerts.mail.transports import Transport, Transports
from fakes.script import Action, Manners
from fakes.smtp import PIPELINING, SIZE, Drop, Point, Reply, ScriptedServer, StartSmtp
from sending import CONTENT, AMail, hand_over, hand_over_once, server_at


def codes(outcomes: list[Outcome]) -> list[tuple[str, int]]:
    return [
        (each.stage, each.code) if isinstance(each, Replied) else (type(each).__name__, 0)
        for each in outcomes
    ]


class Strict:
    """A server that talks as it is told: each of its steps waits for bytes, then answers."""

    def __init__(
        self,
        talk: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]],
        offered: bytes = b"250-strict\r\n250 PIPELINING\r\n",
    ) -> None:
        self.port = 0
        self.connections = 0
        self.open = 0
        self._talk = talk
        self._offered = offered

    @asynccontextmanager
    async def serving(self) -> Any:
        async def converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            self.connections += 1
            self.open += 1
            writer.write(b"220 strict ESMTP\r\n")
            await reader.readuntil(b"\r\n")
            writer.write(self._offered)
            try:
                await self._talk(reader, writer)
            except (asyncio.IncompleteReadError, ConnectionError):
                pass
            finally:
                self.open -= 1
                writer.close()

        async with await asyncio.start_server(converse, "127.0.0.1", 0) as server:
            self.port = server.sockets[0].getsockname()[1]
            yield self


async def test_a_content_and_the_next_envelope_are_one_round_trip() -> None:
    """The server answers nothing before it has the whole group: who does not pipeline waits for ever."""

    async def hoard(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"DATA\r\n")
        writer.write(b"250 ok\r\n250 ok\r\n354 go\r\n")
        for _ in range(4):
            group = await reader.readuntil(b"DATA\r\n")
            assert b"\r\n.\r\nMAIL FROM:<" in group
            writer.write(b"250 taken\r\n250 ok\r\n250 ok\r\n354 go\r\n")
        await reader.readuntil(b"\r\n.\r\n")
        writer.write(b"250 taken\r\n")
        await reader.readuntil(b"QUIT\r\n")
        writer.write(b"221 bye\r\n")

    async with Strict(hoard).serving() as server:
        outcomes = await hand_over_once(server_at(server), *[AMail() for _ in range(5)])
    assert codes(outcomes) == [("content", 250)] * 5


async def test_a_server_that_takes_nothing_behind_a_content_gets_each_envelope_by_itself() -> None:
    """Haraka answers each such command with 503, in fear of smuggled mail: that is no word on the mail."""
    taken: list[bytes] = []
    ridden: list[bytes] = []

    async def fear(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            group = await reader.readuntil(b"DATA\r\n")
            writer.write(b"250 ok\r\n" * (group.count(b"\r\n") - 1) + b"354 go\r\n")
            await reader.readuntil(b"\r\n.\r\n")
            taken.append(group)
            writer.write(b"250 taken\r\n")
            if reader._buffer:  # type: ignore[attr-defined] # what came with the content, and nothing else says so
                ridden.append(await reader.readuntil(b"DATA\r\n"))
                writer.write(b"503 Bad sequence of commands\r\n" * 3)

    async with Strict(fear).serving() as server:
        outcomes = await hand_over_once(server_at(server), *[AMail(f"r{n}@example.org") for n in range(6)])
    assert codes(outcomes) == [("content", 250)] * 6
    assert len(taken) == len(set(taken)) == 6
    assert len(ridden) == 1, "once is enough to know it"


async def test_what_was_in_doubt_is_named_and_the_next_is_given_to_another_connection(
    smtp_server: StartSmtp,
) -> None:
    server = await smtp_server()
    server.script.on(Point.CONTENT, Drop(is_accepted=True), recipient="r1@*", times=1)
    mails = [AMail(f"r{n}@example.org") for n in range(4)]
    outcomes = await hand_over_once(server_at(server), *mails)
    assert codes(outcomes) == [("content", 250), ("InDoubt", 0), ("content", 250), ("content", 250)]
    assert [mail.began for mail in mails] == [1, 1, 1, 1]
    assert Counter(mail.rcpt for mail in server.accepted).most_common(1)[0][1] == 1


@pytest.mark.parametrize("extensions", [(PIPELINING,), ()])
@pytest.mark.parametrize("point", [Point.MAIL, Point.RCPT, Point.DATA])
async def test_a_word_in_the_middle_that_the_service_closes_ends_the_connection_and_no_mail(
    smtp_server: StartSmtp, point: Point, extensions: tuple[str, ...]
) -> None:
    server = await smtp_server(extensions=extensions)
    outcomes = await hand_over_once(server_at(server), AMail("r0@example.org"))
    server.script.on(point, Reply.of(421, "4.3.2 shutting down"), times=1)
    outcomes = await hand_over_once(server_at(server), *[AMail(f"r{n}@example.org") for n in range(1, 4)])
    told = codes(outcomes)
    assert told[1:] == [("content", 250)] * 2
    assert told[0][1] in {250, 421}
    assert len(server.accepted) == 1 + sum(code == 250 for _, code in told)


async def test_a_server_that_waits_for_content_though_it_refused_the_reader_gets_an_empty_mail(
    smtp_server: StartSmtp,
) -> None:
    server = await smtp_server()
    server.script.on(Point.RCPT, Reply.of(550, "5.1.1 no such user"), recipient="r1@*")
    server.script.on(Point.DATA, Reply.of(354, "all the same"), recipient=None, times=None)
    outcomes = await hand_over_once(server_at(server), *[AMail(f"r{n}@example.org") for n in range(3)])
    assert codes(outcomes) == [("content", 250), ("RCPT", 550), ("content", 250)]
    assert [mail.rcpt for mail in server.accepted] == ["r0@example.org", "r2@example.org"]
    assert server.connections == 1
    assert server.violations == []


async def test_a_server_that_takes_a_reader_of_a_refused_sender_gets_no_empty_mail() -> None:
    heard = bytearray()

    async def contradict(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard.extend(await reader.readuntil(b"DATA\r\n"))
        writer.write(b"550 5.7.1 not you\r\n250 ok\r\n354 go\r\n")
        heard.extend(await reader.read())

    async with Strict(contradict).serving() as server:
        (outcome,) = await hand_over_once(server_at(server), AMail())
    assert outcome == Replied("MAIL", 550, "5.7.1 not you")
    assert heard.endswith(b"DATA\r\n")


@pytest.mark.parametrize(
    "nonsense", [b"hello\r\n", b"\r\n", b"25\r\n", b"2x0 ok\r\n", b"\xff\xff\xff\xff\r\n"]
)
async def test_a_reply_that_is_none_leaves_the_mail_in_doubt(nonsense: bytes) -> None:
    async def babble(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"DATA\r\n")
        writer.write(b"250 ok\r\n250 ok\r\n354 go\r\n")
        await reader.readuntil(b"\r\n.\r\n")
        writer.write(nonsense)
        await reader.read()

    async with Strict(babble).serving() as server:
        (outcome,) = await hand_over_once(server_at(server), AMail())
    assert isinstance(outcome, InDoubt)


@pytest.mark.parametrize(
    "replies",
    [
        b"250 ok\r\n250 ok\r\n250 what\r\n",
        b"250 ok\r\n250 one too many\r\n250 ok\r\n354 go\r\n",
        b"354 go\r\n250 ok\r\n250 ok\r\n",
        b"250 ok\r\n354 go\r\n250 ok\r\n",
        b"250 ok\r\n250 ok\r\n334 go\r\n",
        b"150 wait\r\n250 ok\r\n354 go\r\n",
        b"650 ok\r\n250 ok\r\n354 go\r\n",
    ],
)
async def test_a_yes_that_answers_no_question_is_no_acceptance(replies: bytes) -> None:
    """Taken for one, a mail that was never sent would count as accepted, and its reader would never get it."""

    async def mistake(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"DATA\r\n")
        writer.write(replies)
        await reader.read()

    async with Strict(mistake).serving() as server:
        (outcome,) = await hand_over_once(server_at(server), mail := AMail())
    assert isinstance(outcome, Unsent)
    assert mail.began == 0


@pytest.mark.parametrize("text", [CONTENT, b"x" * 30_000_000])
async def test_a_second_go_ahead_in_place_of_the_last_reply_leaves_the_mail_in_doubt(text: bytes) -> None:
    async def insist(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"DATA\r\n")
        writer.write(b"250 ok\r\n250 ok\r\n354 go\r\n")
        await reader.readexactly(10)
        writer.write(b"354 go\r\n")
        while await reader.read(65536):
            pass

    async with Strict(insist).serving() as server:
        (outcome,) = await hand_over_once(server_at(server), AMail(text=text))
    assert isinstance(outcome, InDoubt)


@pytest.mark.parametrize("behind", [b"", b"354 all the same\r\n", b"nonsense\r\n"])
async def test_a_refusal_counts_though_the_connection_ends_behind_it(behind: bytes) -> None:
    """Some servers refuse and close: asked again over three connections, each mail would cost them three."""

    async def slam(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"DATA\r\n")
        writer.write(b"250 ok\r\n550-5.1.1 no such user,\r\n550 5.1.1 and no more from you\r\n" + behind)

    async with Strict(slam).serving() as server:
        (outcome,) = await hand_over_once(server_at(server), AMail())
    assert outcome == Replied("RCPT", 550, "5.1.1 no such user,\n5.1.1 and no more from you")
    assert server.connections == 1


@pytest.mark.parametrize("is_reset", [True, False])
async def test_a_server_that_leaves_right_behind_its_greeting_is_down_and_every_mail_is_told(
    is_reset: bool,
) -> None:
    async def leave(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if is_reset:
            writer.transport.abort()

    async with Strict(leave).serving() as server, asyncio.timeout(5):
        outcomes = await hand_over_once(server_at(server, connections=3), *[AMail() for _ in range(3)])
    assert all(isinstance(each, Unsent) for each in outcomes)


async def test_a_server_that_drops_what_rides_behind_a_content_gets_each_envelope_by_itself() -> None:
    async def flush(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            await reader.readuntil(b"DATA\r\n")
            writer.write(b"250 ok\r\n250 ok\r\n354 go\r\n")
            await reader.readuntil(b"\r\n.\r\n")
            reader._buffer.clear()  # type: ignore[attr-defined] # nothing else drops what has come
            writer.write(b"250 taken\r\n")

    short = timedelta(milliseconds=200)
    async with Strict(flush).serving() as server:
        mails = [AMail(f"r{n}@example.org") for n in range(8)]
        outcomes = await hand_over_once(server_at(server, reply_timeout=short), *mails)
    assert codes(outcomes) == [("content", 250)] * 8
    assert server.connections == 2, "one time-out is enough to know it"


async def test_a_server_that_takes_one_command_at_a_time_though_it_offers_more_is_fed_so() -> None:
    async def flush(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            for reply in (b"250 ok\r\n", b"250 ok\r\n", b"354 go\r\n"):
                await reader.readuntil(b"\r\n")
                reader._buffer.clear()  # type: ignore[attr-defined] # nothing else drops what has come
                writer.write(reply)
            await reader.readuntil(b"\r\n.\r\n")
            writer.write(b"250 taken\r\n")

    short = timedelta(milliseconds=200)
    async with Strict(flush).serving() as server:
        mails = [AMail(f"r{n}@example.org") for n in range(4)]
        outcomes = await hand_over_once(server_at(server, reply_timeout=short), *mails)
    assert codes(outcomes) == [("content", 250)] * 4
    assert server.connections == 2, "one time-out is enough to know it"


async def test_a_fence_that_shuts_between_two_looks_ends_the_connection_and_tells_the_mail() -> None:
    async def silent(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
        await reader.read()

    looks = 0

    def fence() -> None:
        nonlocal looks
        looks += 1
        if looks % 2 == 0:
            raise LeaseLost("past the deadline")

    async with Strict(silent, b"250 strict\r\n").serving() as server, asyncio.timeout(3):
        (outcome,) = await hand_over_once(server_at(server), AMail(fence=fence))
    assert outcome == Unsent("LeaseLost")


@pytest.mark.parametrize("word", [b"", b"421 4.3.2 not now\r\n"])
async def test_a_server_that_leaves_at_each_first_mail_is_let_alone(word: bytes) -> None:
    """Who offers it each of many mails over a connection of its own does not help it up again."""

    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"DATA\r\n")
        writer.write(word)

    async with Strict(refuse).serving() as server:
        transport = Transport(server_at(server, connections=2))
        outcomes = await hand_over(transport, *[AMail() for _ in range(200)])
        assert transport.down_for() > 0
        await transport.close()
    assert not any(isinstance(each, InDoubt) for each in outcomes)
    assert server.connections <= 5


async def test_a_server_that_loses_every_reply_is_not_given_all_the_mails() -> None:
    """Each may be lost this way twice, and then it is for good: better they wait for a server that is well."""

    async def lose(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"DATA\r\n")
        writer.write(b"250 ok\r\n250 ok\r\n354 go\r\n")
        await reader.readuntil(b"\r\n.\r\n")

    async with Strict(lose).serving() as server:
        outcomes = await hand_over_once(server_at(server, connections=2), *[AMail() for _ in range(200)])
    assert Counter(type(each) for each in outcomes)[InDoubt] <= 5


async def test_a_server_that_says_nothing_is_waited_for_once_not_by_each_mail_in_turn() -> None:
    async def silent(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
        await reader.read()

    half = timedelta(milliseconds=500)
    async with Strict(silent).serving() as server:
        mails = [AMail() for _ in range(20)]
        began = time.monotonic()
        outcomes = await hand_over_once(server_at(server, reply_timeout=half, connections=4), *mails)
    assert all(isinstance(each, Unsent) for each in outcomes)
    assert time.monotonic() - began < 0.95
    assert server.connections == 4


async def test_a_server_that_said_nothing_is_given_no_more_while_it_is_tried_again() -> None:
    async def silent(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
        await reader.read()

    async with Strict(silent).serving() as server:
        transport = Transport(server_at(server, reply_timeout=timedelta(milliseconds=200)))
        transports = Transports({transport: 1})
        await hand_over(transport, AMail())
        assert not transports.is_any_up()
        await asyncio.sleep(transport.down_for())
        assert transports.up() == ["main"]
        transport.submit(mail := AMail())
        assert transports.up() == []
        assert isinstance(await mail.outcome, Unsent)
        await transports.close()


async def test_a_doubted_server_is_tried_over_one_connection_and_then_believed() -> None:
    """Its last tries were in vain; once it answers for a mail, all connections are opened again."""
    is_well = asyncio.Event()
    at_once: list[int] = []

    async def recover(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        at_once.append(server.open)
        await reader.readuntil(b"DATA\r\n")
        while is_well.is_set():
            writer.write(b"250 ok\r\n250 ok\r\n354 go\r\n")
            await reader.readuntil(b"\r\n.\r\n")
            await asyncio.sleep(0.05)
            writer.write(b"250 taken\r\n")
            await reader.readuntil(b"DATA\r\n")

    async with Strict(recover).serving() as server:
        transport = Transport(server_at(server, connections=3))
        await hand_over(transport, *[AMail() for _ in range(9)])
        before = server.connections
        is_well.set()
        await asyncio.sleep(transport.down_for())
        outcomes = await hand_over(transport, *[AMail() for _ in range(30)])
        await transport.close()
    assert codes(outcomes) == [("content", 250)] * 30
    assert at_once[before] == 1
    assert max(at_once[before:]) == 3


@pytest.mark.parametrize("endless", [b"250-more\r\n", b"x"])
async def test_a_reply_without_end_is_given_up_before_it_fills_the_memory(endless: bytes) -> None:
    async def drone(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"DATA\r\n")
        while True:
            writer.write(endless * 1000)
            await writer.drain()

    async with Strict(drone).serving() as server:
        (outcome,) = await hand_over_once(server_at(server), AMail())
    assert isinstance(outcome, Unsent)


async def test_a_server_that_speaks_unasked_is_left_and_costs_no_mail() -> None:
    async def hurry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"DATA\r\n")
        writer.write(b"250 ok\r\n250 ok\r\n354 go\r\n")
        await reader.readuntil(b"\r\n.\r\n")
        writer.write(b"250 taken\r\n421 4.4.2 idle for too long\r\n")
        await reader.read()

    async with Strict(hurry).serving() as server:
        outcomes = await hand_over_once(server_at(server), AMail())
    assert codes(outcomes) == [("content", 250)]


async def test_a_large_mail_arrives_whole_behind_a_slow_reader(smtp_server: StartSmtp) -> None:
    text = b"Subject: x\r\n\r\n" + b"".join(b"line %d\r\n" % number for number in range(150_000))
    server = await smtp_server(is_byte_by_byte=True)
    outcomes = await hand_over_once(server_at(server), AMail(text=text), AMail())
    assert codes(outcomes) == [("content", 250)] * 2
    assert server.accepted[0].content == text
    assert server.violations == []


async def test_no_more_of_a_large_mail_is_written_once_the_fence_is_shut() -> None:
    read = asyncio.Event()

    async def stall(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"DATA\r\n")
        writer.write(b"250 ok\r\n250 ok\r\n354 go\r\n")
        await reader.readexactly(1000)
        read.set()
        heard = 1000
        while piece := await reader.read(65536):
            heard += len(piece)
        assert heard < len(text)

    def fence() -> None:
        if read.is_set():
            raise LeaseLost("past the deadline")

    text = b"x" * 30_000_000
    async with Strict(stall).serving() as server:
        (outcome,) = await hand_over_once(server_at(server), AMail(text=text, fence=fence))
    assert outcome == InDoubt("LeaseLost")


@pytest.mark.parametrize(("code", "told"), [(b"552", ("content", 552)), (b"250", ("InDoubt", 0))])
async def test_a_reply_before_the_end_of_a_content_lets_nothing_follow_into_it(
    code: bytes, told: tuple[str, int]
) -> None:
    """Some servers refuse a large mail while it comes: the next envelope would stand in the middle of it."""
    heard = bytearray()

    async def interrupt(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"DATA\r\n")
        writer.write(b"250 ok\r\n250 ok\r\n354 go\r\n")
        heard.extend(await reader.readexactly(1000))
        writer.write(code + b" 5.3.4 that is enough\r\n")
        while piece := await reader.read(65536):
            heard.extend(piece)

    async with Strict(interrupt).serving() as server:
        large = [AMail(text=b"x" * 30_000_000) for _ in range(2)]
        outcomes = await hand_over_once(server_at(server), *large)
    assert codes(outcomes) == [told] * 2
    assert b"MAIL FROM" not in heard


async def test_every_wait_has_its_time_out() -> None:
    short = timedelta(milliseconds=150)

    async def silent(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
        await reader.read()

    async with Strict(silent).serving() as server:
        (outcome,) = await hand_over_once(server_at(server, reply_timeout=short), AMail())
    assert outcome == Unsent("transport is down: it answers no mail")


async def test_a_server_that_takes_one_mail_a_connection_is_fed_one_a_connection(
    smtp_server: StartSmtp,
) -> None:
    server = await smtp_server(close_after=1)
    mails = [AMail(f"r{n}@example.org") for n in range(12)]
    outcomes = await hand_over_once(server_at(server, connections=3), *mails)
    assert codes(outcomes) == [("content", 250)] * 12
    assert Counter(mail.rcpt for mail in server.accepted) == {f"r{n}@example.org": 1 for n in range(12)}


CLOSING = Reply.of(421, "4.3.2 closing")
ANSWERS: list[Action] = [
    Reply.of(450, "4.2.0 later"),
    Reply.of(550, "5.1.1 no", "5.1.1 really"),
    Reply.of(354, "go on"),  # nobody is to take it for a yes where it answers nothing
    CLOSING,
    Drop(),
]
# Where something goes wrong, and how; in the middle of a content a server that answers can only be leaving.
TROUBLE = st.tuples(
    st.sampled_from([Point.MAIL, Point.RCPT, Point.DATA, Point.CONTENT, Point.RSET]), st.sampled_from(ANSWERS)
) | st.tuples(st.just(Point.MIDDLE), st.sampled_from([CLOSING, Drop()]))


@settings(max_examples=60, deadline=None)
@given(
    troubles=st.lists(st.tuples(st.integers(0, 7), TROUBLE), max_size=12),
    is_pipelined=st.booleans(),
    is_byte_by_byte=st.booleans(),
    close_after=st.sampled_from([None, None, 1, 2]),
    connections=st.integers(1, 3),
)
@example(
    troubles=[(0, (Point.CONTENT, Drop())), (0, (Point.MAIL, CLOSING))],
    is_pipelined=True,
    is_byte_by_byte=True,
    close_after=2,
    connections=2,
)
def test_whatever_a_server_does_each_mail_is_told_once_and_the_truth(
    troubles: list[tuple[int, tuple[Point, Action]]],
    is_pipelined: bool,
    is_byte_by_byte: bool,
    close_after: int | None,
    connections: int,
) -> None:
    async def play() -> None:
        extensions = (PIPELINING, SIZE) if is_pipelined else (SIZE,)
        server = ScriptedServer(
            Manners(extensions=extensions, is_byte_by_byte=is_byte_by_byte, close_after=close_after)
        )
        for number, (point, action) in troubles:
            is_about_a_reader = point not in {Point.MAIL, Point.RSET}
            reader = f"r{number}@example.org" if is_about_a_reader else None
            server.script.on(point, action, recipient=reader, times=1)
        await server.start()
        mails = [AMail(f"r{n}@example.org") for n in range(8)]
        try:
            async with asyncio.timeout(10):
                outcomes = await hand_over_once(server_at(server, connections=connections), *mails)
        finally:
            await server.stop()
        taken = Counter(mail.rcpt for mail in server.accepted)
        for mail, outcome in zip(mails, outcomes, strict=True):
            copies = taken[mail.recipient.decode()]
            match outcome:
                case Replied(code=250):
                    assert copies == 1
                case InDoubt():
                    assert copies <= 1
                    assert mail.began == 1
                case Unsent():
                    assert copies == 0
                    assert mail.began == 0
                case _:
                    assert copies == 0

    asyncio.run(play())
