"""The scripted SMTP server does what other tests rely on: it misbehaves as told, and sees what is wrong."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiosmtplib
import pytest

from fakes.smtp import EIGHT_BIT, ConformingServer, Drop, Hang, Point, Reply, ScriptedServer, StartSmtp
from fakes.tls import Certificates

CONTENT = b"Subject: x\r\n\r\n.a line\r\nand another\r\n"
STUFFED = b"Subject: x\r\n\r\n..a line\r\nand another\r\n"
ENVELOPE = b"MAIL FROM:<a@example.org>\r\nRCPT TO:<b@example.org>\r\nDATA\r\n"


class Client:
    """Writes bytes and reads replies, so that a test can be as rude as it needs."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    async def reply(self) -> bytes:
        lines = b""
        while True:
            line = await self.reader.readline()
            lines += line
            if line[3:4] != b"-":
                return lines

    async def say(self, data: bytes, replies: int = 1) -> bytes:
        self.writer.write(data)
        return b"".join([await self.reply() for _ in range(replies)])


@asynccontextmanager
async def greeted(server: ScriptedServer) -> AsyncIterator[Client]:
    reader, writer = await asyncio.open_connection(server.host, server.port)
    client = Client(reader, writer)
    await client.reply()
    await client.say(b"EHLO client.test\r\n")
    yield client
    writer.close()


async def deliver(server: ScriptedServer, *recipients: str) -> None:
    async with aiosmtplib.SMTP(hostname=server.host, port=server.port, start_tls=False, timeout=5) as client:
        await client.sendmail("a@example.org", list(recipients or ["b@example.org"]), CONTENT)


async def test_a_mail_is_taken_with_its_dots_unstuffed(smtp_server: StartSmtp) -> None:
    server = await smtp_server()
    await deliver(server, "b@example.org", "c@example.org")
    assert [mail.rcpt for mail in server.accepted] == ["b@example.org", "c@example.org"]
    assert {mail.content for mail in server.accepted} == {CONTENT}
    assert server.violations == []
    assert server.in_flight == 0
    assert server.peak_in_flight == 1


async def test_message_and_next_envelope_may_go_out_in_one_write(smtp_server: StartSmtp) -> None:
    server = await smtp_server()
    async with greeted(server) as client:
        await client.say(ENVELOPE, 3)
        await client.say(STUFFED + b".\r\n" + ENVELOPE, 4)
        assert (await client.say(b".\r\n")).startswith(b"250")
    assert [mail.content for mail in server.accepted] == [CONTENT, b""]
    assert server.violations == []


@pytest.mark.parametrize(
    "point", [Point.BANNER, Point.HELO, Point.MAIL, Point.RCPT, Point.DATA, Point.CONTENT]
)
async def test_a_reply_is_scripted_at_each_point(smtp_server: StartSmtp, point: Point) -> None:
    server = await smtp_server()
    server.script.on(point, Reply.of(451, "4.3.0 not", "4.3.0 now"), times=1)
    if point is Point.HELO:  # the client falls back to it
        server.script.on(Point.EHLO, Reply.of(502, "5.5.1 what?"), times=1)
    with pytest.raises(aiosmtplib.SMTPException, match=r"4\.3\.0 now"):
        await deliver(server)
    assert server.accepted == []
    await deliver(server)
    assert len(server.accepted) == 1


async def test_a_recipient_can_be_singled_out(smtp_server: StartSmtp) -> None:
    server = await smtp_server()
    server.script.on(Point.RCPT, Reply.of(550, "5.1.1 no such user"), recipient="dead*")
    await deliver(server, "b@example.org", "dead@example.org")
    assert [mail.rcpt for mail in server.accepted] == ["b@example.org"]
    assert [attempt.rcpt for attempt in server.attempts] == ["b@example.org", "dead@example.org"]


@pytest.mark.parametrize("point", [Point.BANNER, Point.DATA, Point.MIDDLE, Point.CONTENT])
async def test_a_connection_is_dropped_as_told(smtp_server: StartSmtp, point: Point) -> None:
    server = await smtp_server()
    server.script.on(point, Drop())
    with pytest.raises((aiosmtplib.SMTPException, OSError)):
        await deliver(server)
    assert server.accepted == []
    assert len(server.received) == (point is Point.CONTENT)


async def test_a_mail_can_be_taken_without_a_word(smtp_server: StartSmtp) -> None:
    server = await smtp_server()
    server.script.on(Point.CONTENT, Drop(is_accepted=True))
    with pytest.raises(aiosmtplib.SMTPException):
        await deliver(server)
    assert len(server.accepted) == 1


async def test_a_hanging_server_answers_nothing(smtp_server: StartSmtp) -> None:
    server = await smtp_server()
    server.script.on(Point.CONTENT, Hang())
    async with greeted(server) as client:
        await client.say(ENVELOPE, 3)
        client.writer.write(STUFFED + b".\r\n")
        await server.wait_until(lambda: len(server.received) == 1)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(client.reply(), 0.05)


async def test_421_closes_the_connection(smtp_server: StartSmtp) -> None:
    server = await smtp_server(mails_per_connection=1)
    async with greeted(server) as client:
        await client.say(ENVELOPE, 3)
        await client.say(b".\r\n")
        assert (await client.say(ENVELOPE)).startswith(b"421")
        assert await client.reader.read() == b""


async def test_the_connection_ends_after_so_many_mails(smtp_server: StartSmtp) -> None:
    server = await smtp_server(close_after=1)
    async with greeted(server) as client:
        await client.say(ENVELOPE, 3)
        assert (await client.say(b".\r\n")).startswith(b"250")
        assert await client.reader.read() == b""


async def test_replies_byte_by_byte_are_replies(smtp_server: StartSmtp) -> None:
    server = await smtp_server(is_byte_by_byte=True)
    await deliver(server)
    assert len(server.accepted) == 1


@pytest.mark.parametrize("is_tls_from_start", [True, False])
async def test_tls_and_credentials(
    smtp_server: StartSmtp, certificates: Certificates, is_tls_from_start: bool
) -> None:
    server = await smtp_server(
        tls=certificates.server, is_tls_from_start=is_tls_from_start, credentials=("user", "secret")
    )
    client = aiosmtplib.SMTP(
        hostname="localhost",
        port=server.port,
        use_tls=is_tls_from_start,
        start_tls=not is_tls_from_start,
        tls_context=ssl.create_default_context(cafile=certificates.ca_file),
    )
    async with client:
        with pytest.raises(aiosmtplib.SMTPSenderRefused):
            await client.sendmail("a@example.org", ["b@example.org"], CONTENT)
        with pytest.raises(aiosmtplib.SMTPAuthenticationError):
            await client.login("user", "wrong")
        await client.auth_plain("user", "secret")
        await client.sendmail("a@example.org", ["b@example.org"], CONTENT)
    assert len(server.accepted) == 1
    assert server.violations == []


async def test_login_is_a_second_way_in(smtp_server: StartSmtp) -> None:
    server = await smtp_server(credentials=("user", "secret"))
    async with aiosmtplib.SMTP(hostname=server.host, port=server.port, start_tls=False) as client:
        await client.auth_login("user", "secret")
        await client.sendmail("a@example.org", ["b@example.org"], CONTENT)
    assert len(server.accepted) == 1


@pytest.mark.parametrize(
    ("content", "violation"),
    [
        (b"a\nb\r\n", "a bare CR or LF in the content"),
        (b"a\rb\r\n", "a bare CR or LF in the content"),
        (b"a\n.\nb\r\n", "a bare CR or LF in the content"),
        (b"x" * 999 + b"\r\n", "a line of more than 1000 octets"),
        (b".a\r\n", "a line that begins with one dot: it was not stuffed"),
        (b"a\0b\r\n", "a NUL in the content"),
        ("é\r\n".encode(), "8-bit content without BODY=8BITMIME"),
    ],
)
async def test_wrong_content_is_seen(smtp_server: StartSmtp, content: bytes, violation: str) -> None:
    server = await smtp_server()
    async with greeted(server) as client:
        await client.say(ENVELOPE, 3)
        await client.say(content + b".\r\n")
    assert violation in server.violations


@pytest.mark.parametrize(
    ("extensions", "sent", "replies", "violation"),
    [
        ((EIGHT_BIT,), ENVELOPE, 3, "MAIL was pipelined, which was not offered"),
        (("PIPELINING",), ENVELOPE + STUFFED + b".\r\n", 4, "DATA was not the last of its group"),
        ((), b"MAIL FROM:<a@example.org> SIZE=10\r\n", 1, "MAIL with SIZE, which was not offered"),
        ((), b"MAIL FROM:a@example.org\r\n", 1, "MAIL with a wrong argument"),
        ((), b"NOOP\n", 1, "a command with a bare CR or LF"),
        ((), "MAIL FROM:<é@example.org>\r\n".encode(), 1, "a command that is not ASCII, without SMTPUTF8"),
        (
            ("PIPELINING",),
            b"MAIL FROM:<a@example.org>\r\nMAIL FROM:<a@example.org>\r\n",
            2,
            "MAIL out of order",
        ),
    ],
)
async def test_a_rude_client_is_seen(
    smtp_server: StartSmtp, extensions: tuple[str, ...], sent: bytes, replies: int, violation: str
) -> None:
    server = await smtp_server(extensions=extensions)
    async with greeted(server) as client:
        await client.say(sent, replies)
    assert violation in server.violations


async def test_a_client_that_leaves_in_the_middle_is_counted(smtp_server: StartSmtp) -> None:
    server = await smtp_server()
    async with greeted(server) as client:
        await client.say(ENVELOPE, 3)
        client.writer.write(b"half a mail")
    await server.wait_until(lambda: server.cut_off == 1 and server.open == 0)
    assert server.accepted == []


async def test_a_server_comes_back_on_its_port(smtp_server: StartSmtp) -> None:
    server = await smtp_server()
    port = server.port
    await server.stop()
    with pytest.raises(aiosmtplib.SMTPConnectError):
        await deliver(server)
    await server.start()
    await deliver(server)
    assert server.port == port


async def test_the_conforming_server_takes_a_mail(conforming_smtp_server: ConformingServer) -> None:
    server = conforming_smtp_server
    async with aiosmtplib.SMTP(hostname=server.host, port=server.port, start_tls=False) as client:
        await client.sendmail("a@example.org", ["b@example.org"], CONTENT)
    assert [(mail.rcpt, mail.content) for mail in server.accepted] == [("b@example.org", CONTENT)]
