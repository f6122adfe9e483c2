"""The telling: mails from the SMTP log, deeds from the script, decisions from the daemon's log."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from email.message import EmailMessage
from io import StringIO

import aiohttp
import aiosmtplib
import pytest
from rich.console import Console

from alerts.demo.inbox import Inbox
from alerts.demo.loopback import HOST, WebServer, bind, port_of
from alerts.demo.screen import Screen
from alerts.demo.site import PATH, LivePage
from alerts.demo.story import EVERYTHING, End, Follow, MarkKey, Post, Reader, Story
from alerts.demo.teller import Teller

ADA = Reader("Ada", "ada@readers.example", "all", (Follow(EVERYTHING),))
BO = Reader("Bo", "bo@readers.example", "key events", (Follow(EVERYTHING, key_events_only=True),))
STORY = Story(
    publisher="The Paper",
    headline="A story",
    standfirst="It goes on.",
    posts=(
        Post("old", -60, "Old news", ("Words.",), "A"),
        Post("key", 0.1, "Big news", ("Words.",), "A", True, note="A remark"),
        Post("plain", 0.2, "Small news", ("Words.",), "A"),
    ),
    changes=(MarkKey(0.3, "plain"), End(0.4)),
)


@dataclass
class Play:
    """A page, an inbox and a teller, with the daemon's part played by the test."""

    page: LivePage
    inbox: Inbox
    teller: Teller
    output: StringIO
    smtp_port: int

    async def poll(self) -> None:
        async with (
            aiohttp.ClientSession(headers={"User-Agent": "poller"}) as session,
            session.get(self.page.url) as response,
        ):
            assert response.status == 200

    async def mail(self, reader: Reader, post_id: str) -> None:
        await self.hand_over(reader, STORY.post(post_id).title, f"{self.page.url}#{post_id}\n")

    async def hand_over(self, reader: Reader, subject: str, text: str) -> None:
        message = EmailMessage()
        message["Subject"] = subject
        message.set_content(text)
        await aiosmtplib.send(
            message,
            sender="d@paper.example",
            recipients=[reader.address],
            hostname=HOST,
            port=self.smtp_port,
        )


@pytest.fixture
async def play() -> AsyncIterator[Play]:
    async with AsyncExitStack() as stack:
        pages, smtp = bind(0), bind(0)
        page = LivePage(STORY, f"http://{HOST}:{port_of(pages)}{PATH}", pace=1, poller="poller")
        await stack.enter_async_context(WebServer(page.application(), pages))
        inbox, output = Inbox(), StringIO()
        await stack.enter_async_context(inbox.serve(smtp))
        screen = Screen(Console(file=output, width=100), (ADA, BO))
        yield Play(page, inbox, Teller(STORY, (ADA, BO), page, inbox, screen), output, port_of(smtp))


async def told(play: Play, *mails: tuple[Reader, str]) -> str:
    """Lets the story pass, then the mails come, then it is told to its end."""
    play.page.start()
    await asyncio.sleep(0.45)
    await play.poll()
    for reader, post_id in mails:
        await play.mail(reader, post_id)
    await play.teller.tell(asyncio.Event())
    return play.output.getvalue()


ALL = ((BO, "key"), (ADA, "key"), (ADA, "plain"), (BO, "plain"))


async def test_each_post_is_told_once_with_its_readers_in_order(play: Play) -> None:
    text = await told(play, *ALL)
    assert text.count("→ Ada, Bo ") == 2
    assert text.count("Big news") == 1
    assert "A remark" in text
    assert "adds to the key points: Small news" in text
    assert play.teller.account().adds_up
    assert play.teller.lost() == []


async def test_speed_counts_from_the_page_and_from_the_poll(play: Play) -> None:
    await told(play, *ALL)
    from_page, from_poll = play.teller.speeds()
    assert from_page is not None
    assert from_poll is not None
    assert from_page.slowest - from_poll.slowest > 0.05
    assert 0 <= from_poll.fastest <= from_poll.median <= from_poll.slowest


async def test_daemon_is_heard(play: Play) -> None:
    play.teller.heard({"event": "feed_polled", "level": "info", "baseline": 1})
    play.teller.heard({"event": "alert_announced", "level": "info", "alert": 1, "lane": "flash"})
    play.teller.heard({"event": "entry_new", "level": "info", "alert": 1, "title": "Big news"})
    play.teller.heard({"event": "entry_edited", "level": "info", "alert": None, "title": "Old news"})
    play.teller.heard({"event": "transport_down", "level": "warning", "retry_in": 3})
    text = await told(play, *ALL)
    assert "1 entries were there before us" in text
    assert "an edit, kept as a revision: Old news" in text
    assert "FLASH  Big news" in text
    assert "NEW    Small news" in text
    assert "transport_down retry_in=3" in text


async def test_stop_ends_the_telling_at_once(play: Play) -> None:
    stop = asyncio.Event()
    stop.set()
    async with asyncio.timeout(1):
        await play.teller.tell(stop)
    assert play.teller.lost() == [
        "Ada, Big news",
        "Ada, Small news",
        "Bo, Big news",
        "Bo, Small news",
    ]


async def test_who_looks_around_and_signs_up_is_no_part_of_the_story(play: Play) -> None:
    visitor = Reader("Vi", "vi@elsewhere.example", "looks around", ())
    for each in (visitor, ADA):
        await play.hand_over(each, "Confirm", f"http://127.0.0.1:1/n/{'A' * 43}\n")
    output = await told(play, *ALL, (visitor, "plain"))
    assert play.teller.account().adds_up
    assert "vi@elsewhere" not in output
