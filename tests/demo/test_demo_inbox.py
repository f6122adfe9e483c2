"""The built-in SMTP server and its inbox pages, over real SMTP and real HTTP."""

import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from email.message import EmailMessage
from pathlib import Path

import aiohttp
import aiosmtplib

from alerts.demo import inbox_pages
from alerts.demo.inbox import Inbox
from alerts.demo.loopback import HOST, WebServer, bind, port_of

PAGE = "http://127.0.0.1:9/live"


def letter(
    number: int = 1, *, text: str = "", html: str = "<html><head></head><body>Hello</body></html>"
) -> bytes:
    message = EmailMessage()
    message["From"] = "desk@paper.example"
    message["To"] = "ada@readers.example"
    message["Subject"] = f"Number {number} <b>bold</b>"
    message["Message-ID"] = f"<{number}@paper.example>"
    message.set_content(text or f"Read it here: {PAGE}#p{number}.\n.\n..dots\n")
    message.add_alternative(html, subtype="html")
    message.set_boundary("=-=-=")
    return message.as_bytes().replace(b"\n", b"\r\n")


@asynccontextmanager
async def standing(inbox: Inbox) -> AsyncIterator[tuple[aiosmtplib.SMTP, aiohttp.ClientSession]]:
    async with AsyncExitStack() as stack:
        smtp, web = bind(0), bind(0)
        await stack.enter_async_context(inbox.serve(smtp))
        app = inbox_pages.application(inbox, {"ada@readers.example": "Ada"})
        server = await stack.enter_async_context(WebServer(app, web))
        client = await stack.enter_async_context(aiosmtplib.SMTP(hostname=HOST, port=port_of(smtp)))
        yield client, await stack.enter_async_context(aiohttp.ClientSession(server.url))


async def read(session: aiohttp.ClientSession, path: str) -> str:
    async with session.get(path) as response:
        assert response.status == 200
        return await response.text()


async def test_mail_is_kept_byte_for_byte() -> None:
    inbox = Inbox()
    async with standing(inbox) as (smtp, _):
        await smtp.sendmail("desk@paper.example", ["ada@readers.example"], letter())
    (mail,) = inbox.mails
    assert mail.raw == letter()
    assert (mail.recipient, mail.message_id) == ("ada@readers.example", "<1@paper.example>")


async def test_mail_is_about_the_one_post_its_text_links_to() -> None:
    inbox = Inbox()
    texts = [
        f"{PAGE}#p7\n",
        f"({PAGE}#p7) and again {PAGE}#p7, full stop: {PAGE}#p7.\n",
        f"{PAGE}#p7 {PAGE}#p8\n",
        f"{PAGE}\nhttp://other.example/live#p7\n",
    ]
    async with standing(inbox) as (smtp, _):
        for text in texts:
            await smtp.sendmail("desk@paper.example", ["ada@readers.example"], letter(text=text))
    assert [mail.marker(PAGE) for mail in inbox.mails] == ["p7", "p7", None, None]


async def test_lost_mail_is_answered_250_and_not_kept(tmp_path: Path) -> None:
    inbox = Inbox(lose=2, log=tmp_path / "smtp.log")
    async with standing(inbox) as (smtp, _):
        for number in (1, 2, 3):
            errors, answer = await smtp.sendmail(
                "desk@paper.example", ["ada@readers.example"], letter(number)
            )
            assert (errors, answer[:3]) == ({}, "2.0")
    assert [mail.marker(PAGE) for mail in inbox.mails] == ["p1", "p3"]
    logged = [json.loads(line) for line in (tmp_path / "smtp.log").read_text().splitlines()]
    assert [line["message_id"] for line in logged] == ["<1@paper.example>", "<3@paper.example>"]


async def test_listener_hears_of_each_mail() -> None:
    inbox, heard = Inbox(), []
    inbox.on_mail(lambda mail: heard.append(mail.number))
    async with standing(inbox) as (smtp, _):
        await smtp.sendmail("d@paper.example", ["ada@readers.example", "bo@readers.example"], letter())
    assert heard == [1, 2]


async def test_inbox_lists_by_reader_and_escapes() -> None:
    inbox = Inbox()
    async with standing(inbox) as (smtp, web):
        assert "No mail yet" in await read(web, "/")
        await smtp.sendmail("d@paper.example", ["ada@readers.example"], letter(1))
        await smtp.sendmail("d@paper.example", ["bo@readers.example"], letter(2))
        everybody, ada = await read(web, "/"), await read(web, "/?reader=ada@readers.example")
    assert "Number 2 &lt;b&gt;bold&lt;/b&gt;" in everybody
    assert "<b>bold" not in everybody
    assert "Number 1" in ada
    assert "Number 2" not in ada


async def test_mail_reads_as_html_text_and_source() -> None:
    inbox = Inbox()
    html = "<html><head></head><body><script>steal()</script><p>The news</p></body></html>"
    async with standing(inbox) as (smtp, web):
        await smtp.sendmail("d@paper.example", ["ada@readers.example"], letter(html=html))
        framed = await read(web, "/mail/1")
        text = await read(web, "/mail/1?view=text")
        source = await read(web, "/mail/1?view=source")
        async with web.get("/mail/1/body") as body:
            policy, inside = body.headers["Content-Security-Policy"], await body.text()
        async with web.get("/mail/1/raw") as raw:
            assert await raw.read() == letter(html=html)
    assert 'sandbox="allow-popups' in framed
    assert "steal()" not in framed
    assert "<p>The news</p>" in inside
    assert "default-src 'none'" in policy
    assert "allow-scripts" not in policy
    assert "Read it here" in text
    assert "..dots" in text
    assert "Message-ID: &lt;1@paper.example&gt;" in source


async def test_unknown_mail_and_view_are_not_found() -> None:
    async with standing(Inbox()) as (smtp, web):
        await smtp.sendmail("d@paper.example", ["ada@readers.example"], letter())
        for path in ("/mail/0", "/mail/2", "/mail/1?view=pdf", "/mail/99/body"):
            async with web.get(path) as response:
                assert response.status == 404
