"""Push as an operator meets it: a site, its hub, the daemon and a mail server, each a process or a socket apart."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from email import message_from_bytes, policy
from pathlib import Path

import pytest

from fakes.blog import Post, page
from fakes.hub import Hub, hub
from fakes.site import Reply, Site, site
from fakes.smtp import ScriptedServer, StartSmtp
from installation import CONFIG, Installation

POSTS = [Post(f"post-{number}", f"Ferry news, part {number}", minute=number) for number in range(1, 8)]


def a_free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port: int = taken.getsockname()[1]
        return port


@dataclass
class Newsroom:
    """A live blog that is polled once an hour, and a hub that speaks for it."""

    installation: Installation
    feed: Site
    hub: Hub
    relay: ScriptedServer

    def shows(self, count: int) -> None:
        links = f'<{self.hub.url}>; rel="hub", <{self.feed.url("/live")}>; rel="self"'
        self.feed.replies["/live"] = Reply(page(POSTS[:count]).encode(), headers={"Link": links})

    def polls(self) -> int:
        return sum(request.path == "/live" for request in self.feed.requests)

    async def is_polled(self, times: int) -> None:
        """Returns once the page was asked for so often."""
        async with asyncio.timeout(30):
            while self.polls() < times:  # noqa: ASYNC110 - another process asks
                await asyncio.sleep(0.01)

    async def is_subscribed(self) -> str:
        """Returns the callback once the hub holds a subscription."""
        await self.hub.wait_until(lambda: bool(self.hub.held))
        return next(iter(self.hub.held))

    async def mails(self, count: int) -> list[str]:
        """Returns the subjects once so many mails are there."""
        await self.relay.wait_until(lambda: len(self.relay.accepted) == count)
        mails = [message_from_bytes(each.content, policy=policy.default) for each in self.relay.accepted]
        return [str(each["Subject"]) for each in mails]

    async def shown(self) -> dict[str, object]:
        feed = json.loads(await self.installation.command("feeds", "show", "harbour", "--json"))
        push: dict[str, object] = feed["push"]
        return push


@asynccontextmanager
async def in_newsroom(database: str, folder: Path, relay: ScriptedServer) -> AsyncIterator[Newsroom]:
    port = a_free_port()
    async with site() as feed, hub() as served:
        text = CONFIG.format(database=database, smtp=relay.port, feed=feed.url("/live"))
        text = text.replace("[site]\n", f'[site]\nbase_url = "http://127.0.0.1:{port}"\n')
        text = text.replace("[web]\nport = 0\n", f"[web]\nport = {port}\n")
        text = text.replace("interval = 1\n", "interval = 3600\n")
        (folder / "config.toml").write_text(text + '[polling]\nallow = ["127.0.0.0/8"]\n')
        made = Newsroom(Installation(folder, feed, relay), feed, served, relay)
        made.shows(2)
        await made.installation.command("config", "apply")
        add = ("subscribers", "add", "reader@example.org", "--topic", "harbour", "--frequency", "every")
        await made.installation.command(*add)
        yield made


@pytest.fixture
async def newsroom(sqlite_url: str, tmp_path: Path, smtp_server: StartSmtp) -> AsyncIterator[Newsroom]:
    async with in_newsroom(sqlite_url, tmp_path, await smtp_server()) as made:
        yield made


async def test_what_a_hub_pushes_is_mailed_though_the_next_poll_is_an_hour_away(
    db_url: str, tmp_path: Path, smtp_server: StartSmtp
) -> None:
    async with in_newsroom(db_url, tmp_path, await smtp_server()) as newsroom, newsroom.installation.daemon():
        callback = await newsroom.is_subscribed()
        assert (newsroom.polls(), newsroom.relay.accepted) == (1, [])
        newsroom.shows(3)
        assert (await newsroom.hub.push(callback)).status == 202
        (subject,) = await newsroom.mails(1)
        assert "part 3" in subject
        assert newsroom.polls() == 2, "the baseline, and the one that the push brought"
        shown = await newsroom.shown()
        assert shown["state"] == "verified"
        assert shown["pushed_at"]
        assert "verified" in await newsroom.installation.command("feeds", "show", "harbour")


async def test_a_push_that_is_faster_than_its_page_still_brings_the_news(newsroom: Newsroom) -> None:
    async with newsroom.installation.daemon():
        callback = await newsroom.is_subscribed()
        await newsroom.hub.push(callback)
        await newsroom.is_polled(2)
        newsroom.shows(3)
        assert "part 3" in (await newsroom.mails(1))[0]


async def test_a_restart_keeps_the_subscription_and_a_forged_push_brings_no_poll(newsroom: Newsroom) -> None:
    async with newsroom.installation.daemon():
        callback = await newsroom.is_subscribed()
    async with newsroom.installation.daemon("second log"):
        assert (await newsroom.hub.push(callback, secret="forged")).status == 202
        newsroom.shows(3)
        await newsroom.hub.push(callback)
        await newsroom.mails(1)
        assert newsroom.polls() == 2
        assert (await newsroom.shown())["discarded"] == 1
    assert len(newsroom.hub.requests) == 1
    held = newsroom.hub.held[callback]
    path = callback.rpartition("/")[2]
    for name in ("log", "second log"):
        words = (newsroom.installation.folder / name).read_text()
        assert "push_" in words
        assert path not in words
        assert held.secret not in words
