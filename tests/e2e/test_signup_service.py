"""A reader's way in, as a person takes it: the page, the mail, the button, the first alert. Processes, HTTP, SMTP."""

import json
import re
import signal
from collections.abc import AsyncIterator
from contextlib import suppress
from email import message_from_bytes, policy
from pathlib import Path

import aiohttp
import pytest

from fakes.blog import Post
from fakes.site import site
from fakes.smtp import Mail, StartSmtp
from installation import CONFIG, Installation

POSTS = [Post(f"post-{number}", f"Ferry news, part {number}", minute=number) for number in range(1, 6)]
ANN = "ann@reader.example.org"


@pytest.fixture
async def installation(
    sqlite_url: str, tmp_path: Path, smtp_server: StartSmtp
) -> AsyncIterator[Installation]:
    relay = await smtp_server()
    async with site() as feed:
        made = Installation(tmp_path, feed, relay)
        made.shows(*POSTS[:2])
        text = CONFIG.format(database=sqlite_url, smtp=relay.port, feed=feed.url("/live"))
        (tmp_path / "config.toml").write_text(text)
        await made.command("config", "apply")
        yield made


def link_in(mail: Mail) -> str:
    """Gives the path of the one link in a notice."""
    part = message_from_bytes(mail.content, policy=policy.default).get_body(("plain",))
    assert part is not None
    (token,) = set(re.findall(r"/n/([A-Za-z0-9_-]{43})", part.get_content()))
    return f"/n/{token}"


async def signs_up(client: aiohttp.ClientSession, pages: str, frequency: str = "every") -> None:
    form = {"address": ANN, "frequency.harbour": frequency, "zone": "Europe/Berlin"}
    async with client.post(f"{pages}/signup", data=form) as answer:
        assert answer.status == 200


async def confirms(client: aiohttp.ClientSession, link: str) -> None:
    async with client.get(link) as page:
        text = await page.text()
    async with client.post(link, data=dict(re.findall(r'name="(version)" value="(.*?)"', text))) as done:
        assert done.status == 200
        assert "You are signed up" in await done.text()


async def test_a_reader_signs_up_confirms_and_gets_the_next_alert(installation: Installation) -> None:
    relay = installation.relay
    async with installation.daemon(), aiohttp.ClientSession() as client:
        pages = installation.pages()
        await signs_up(client, pages)
        await relay.wait_until(lambda: len(relay.accepted) == 1)
        (mail,) = relay.accepted
        assert mail.rcpt == ANN
        headers = message_from_bytes(mail.content, policy=policy.default)
        assert headers["List-Unsubscribe"] is None, "there is no list to leave yet"
        link = pages + link_in(mail)
        for method in ("GET", "HEAD", "GET"):
            async with client.request(method, link) as page:
                assert page.status == 200
        await installation.command("subscribers", "show", ANN, code=3)
        await confirms(client, link)
        await installation.polls()  # the feed is followed from now on
        installation.shows(*POSTS[:3])
        await relay.wait_until(lambda: len(relay.accepted) == 2)
    assert relay.accepted[1].rcpt == ANN
    reader = json.loads(await installation.command("subscribers", "show", ANN, "--json"))
    assert [each["frequency"] for each in reader["following"]] == ["every"]
    (proof,) = (await installation.command("subscribers", "consents", ANN)).splitlines()
    told = json.loads(proof)
    assert (told["choices"], told["source"]) == ({"harbour": "every"}, "sign-up page")
    assert told["words"].startswith("I want Harbour Alerts to write to my address")
    assert (await installation.command("subscribers", "consents", "--all")).splitlines() == [proof]
    heading, row = (await installation.command("subscribers", "consents", "--all", "--csv")).splitlines()
    assert heading.startswith("id,subscriber,address,choices")
    assert ANN in row
    words = (installation.folder / "log").read_text()
    assert ANN not in words
    assert link.rpartition("/")[2] not in words


async def test_a_daemon_killed_while_it_sends_a_notice_sends_it_after_all(
    installation: Installation,
) -> None:
    config = installation.folder / "config.toml"
    config.write_text(config.read_text() + '[sending]\nlease = "5s"\n')
    relay = installation.relay
    async with aiohttp.ClientSession() as client:
        async with installation.dying("smtp.content") as process:
            with suppress(aiohttp.ClientError):  # it may die before it answers
                await signs_up(client, installation.pages("dying"))
            assert await process.wait() == -signal.SIGKILL
        async with installation.daemon():
            await relay.wait_until(lambda: relay.accepted != [])
            await confirms(client, installation.pages() + link_in(relay.accepted[-1]))
    assert len({mail.content for mail in relay.accepted}) == 1
    assert len(relay.accepted) <= 2


async def test_web_sending_and_polling_run_apart_on_postgres(
    postgres_url: str, tmp_path: Path, smtp_server: StartSmtp
) -> None:
    relay = await smtp_server()
    async with site() as feed:
        made = Installation(tmp_path, feed, relay)
        made.shows(*POSTS[:2])
        text = CONFIG.format(database=postgres_url, smtp=relay.port, feed=feed.url("/live"))
        (tmp_path / "config.toml").write_text(text)
        await made.command("config", "apply")
        async with (
            made.daemon("web", "--only", "web"),
            made.daemon("send", "--only", "send"),
            made.daemon("poll", "--only", "poll"),
            aiohttp.ClientSession() as client,
        ):
            await signs_up(client, made.pages("web"))
            await relay.wait_until(lambda: len(relay.accepted) == 1)
            await confirms(client, made.pages("web") + link_in(relay.accepted[0]))
            await made.polls()
            made.shows(*POSTS[:3])
            await relay.wait_until(lambda: len(relay.accepted) == 2)
        events = {name: {line["event"] for line in made.log(name)} for name in ("web", "send", "poll")}
    assert "pages_served" in events["web"]
    assert not events["web"] & {"mails_recorded", "notice_settled", "alert_announced"}
    assert {"mails_recorded", "notice_settled"} <= events["send"]
    assert "alert_announced" in events["poll"]
    assert "pages_served" not in events["send"] | events["poll"]


async def test_sqlite_serves_no_part_alone(sqlite_url: str, tmp_path: Path, smtp_server: StartSmtp) -> None:
    relay = await smtp_server()
    async with site() as feed:
        made = Installation(tmp_path, feed, relay)
        text = CONFIG.format(database=sqlite_url, smtp=relay.port, feed=feed.url("/live"))
        (tmp_path / "config.toml").write_text(text)
        assert "run without --only" in await made.command("run", "--only", "web", code=2)
