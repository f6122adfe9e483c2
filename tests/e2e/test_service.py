"""The service as its users meet it: processes, HTTP, SMTP and the command line; the tables are not asked."""

import asyncio
import json
import re
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from email import message_from_bytes, policy
from pathlib import Path

import pytest

from fakes.blog import Post
from fakes.site import Reply, site
from fakes.smtp import Mail, ScriptedServer, StartSmtp
from installation import CONFIG, Installation

ADDRESS = re.compile(r"[\w.+-]+@example\.(?:org|net)")
TOKEN = re.compile(r"/u/([A-Za-z0-9_-]{43})")


@pytest.fixture
async def installation(
    request: pytest.FixtureRequest, tmp_path: Path, smtp_server: StartSmtp
) -> AsyncIterator[Installation]:
    """A site on SQLite, unless a test says that it is walked on each."""
    database = request.getfixturevalue(f"{getattr(request, 'param', 'sqlite')}_url")
    relay = await smtp_server()
    async with site() as feed:
        made = Installation(tmp_path, feed, relay)
        made.shows(*POSTS[:2])
        text = CONFIG.format(database=database, smtp=relay.port, feed=feed.url("/live"))
        (tmp_path / "config.toml").write_text(text)
        yield made


on_each_database = pytest.mark.parametrize("installation", ["sqlite", "postgres"], indirect=True)
POSTS = [Post(f"post-{number}", f"Ferry news, part {number}", minute=number) for number in range(1, 13)]
NEW = POSTS[2:]


def subject(mail: Mail) -> str:
    return str(message_from_bytes(mail.content, policy=policy.default)["Subject"])


def got(relay: ScriptedServer, reader: str) -> list[str]:
    return [subject(mail) for mail in relay.accepted if mail.rcpt == reader]


@on_each_database
async def test_a_live_blog_of_ten_entries_reaches_each_reader_once(
    installation: Installation,
) -> None:
    relay = installation.relay
    await installation.command("config", "apply")
    add = ("subscribers", "add")
    await installation.command(*add, "every@example.org", "--topic", "harbour", "--frequency", "every")
    await installation.command(*add, "flash@example.org", "--topic", "harbour", "--frequency", "flash")
    async with installation.daemon():
        await installation.polls()
        assert relay.accepted == [], "the first poll is a baseline"
        for shown in range(3, 13):
            posts = POSTS[:shown]
            installation.shows(*reversed(posts), key_points=("post-5",) if shown >= 5 else ())
            await relay.wait_until(lambda n=shown: len(got(relay, "every@example.org")) == n - 2)  # type: ignore[misc] # a loop's value, bound now
        edited = [Post(each.key, each.title + ", mended", minute=each.minute) for each in POSTS]
        installation.shows(*edited[3:], POSTS[0])  # edited, re-ordered, some gone
        await installation.polls()
    assert [each.count("part") for each in got(relay, "every@example.org")] == [1] * 10
    assert len(set(got(relay, "every@example.org"))) == 10
    assert len(got(relay, "flash@example.org")) == 1
    assert "part 5" in got(relay, "flash@example.org")[0]
    assert relay.violations == []


async def test_why_a_mail_was_sent_or_not_can_be_asked(installation: Installation) -> None:
    await installation.command("config", "apply")
    await installation.command(
        "subscribers", "add", "in@example.org", "--topic", "harbour", "--frequency", "every"
    )
    await installation.command(
        "subscribers", "add", "out@example.org", "--topic", "harbour", "--frequency", "flash"
    )
    async with installation.daemon():
        await installation.polls()
        installation.shows(*POSTS[:3])
        await installation.relay.wait_until(lambda: len(installation.relay.accepted) == 1)
    assert (await installation.command("explain", "in@example.org", "3")).startswith("Sent: accepted by main")
    told = json.loads(await installation.command("explain", "out@example.org", "3", "--json"))
    assert "does not include" in told["answer"]
    baseline = await installation.command("explain", "in@example.org", "1")
    assert "was there when the feed was first read" in baseline
    await installation.command("explain", "nobody@example.org", "3", code=3)


async def test_no_log_line_names_a_reader_or_holds_a_token(installation: Installation) -> None:
    await installation.command("config", "apply")
    await installation.command(
        "subscribers", "add", "secret-reader@example.org", "--topic", "harbour", "--frequency", "every"
    )
    async with installation.daemon():
        await installation.polls()
        installation.shows(*POSTS[:3])
        await installation.relay.wait_until(lambda: len(installation.relay.accepted) == 1)
    (token,) = set(TOKEN.findall(installation.relay.accepted[0].content.decode().replace("=\r\n", "")))
    words = (installation.folder / "log").read_text()
    assert not ADDRESS.search(words)
    assert "secret-reader" not in words
    assert token not in words


@on_each_database
async def test_the_unsubscribe_link_of_a_mail_works_as_a_mail_client_uses_it(
    installation: Installation,
) -> None:
    import aiohttp  # noqa: PLC0415 - this test alone is a mail client

    await installation.command("config", "apply")
    await installation.command(
        "subscribers", "add", "leaver@example.org", "--topic", "harbour", "--frequency", "every"
    )
    # A feed that nobody follows is hardly polled.
    await installation.command(
        "subscribers", "add", "flash@example.org", "--topic", "harbour", "--frequency", "flash"
    )
    relay = installation.relay
    async with installation.daemon():
        await installation.polls()
        installation.shows(*POSTS[:3])
        await relay.wait_until(lambda: len(relay.accepted) == 1)
        headers = message_from_bytes(relay.accepted[0].content, policy=policy.compat32)
        assert headers["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
        path = headers["List-Unsubscribe"].strip("<>").partition("8025")[2]
        (port,) = [line["port"] for line in installation.log() if line["event"] == "pages_served"]
        async with aiohttp.ClientSession() as client:
            link = f"http://127.0.0.1:{port}{path}"
            async with client.get(link) as page_of_reader:
                assert page_of_reader.status == 200
            installation.shows(*POSTS[:4])
            await relay.wait_until(lambda: len(relay.accepted) == 2)
            async with client.post(link, data={"List-Unsubscribe": "One-Click"}) as answer:
                assert answer.status == 200
        installation.shows(*POSTS[:5])
        await installation.polls(3)
    assert len(relay.accepted) == 2


async def test_a_flood_is_held_until_a_person_releases_it(installation: Installation) -> None:
    await installation.command("config", "apply")
    await installation.command(
        "subscribers", "add", "calm@example.org", "--topic", "harbour", "--frequency", "every"
    )
    relay = installation.relay
    flood = [Post(f"flood-{number}", f"Flood, part {number}", minute=20 + number) for number in range(30)]
    async with installation.daemon():
        await installation.polls()
        installation.shows(*flood, *POSTS[:2])
        await installation.polls(3)
        assert relay.accepted == []
        assert "held" in await installation.command("feeds", "list")
        await installation.command("feeds", "release", "harbour")
        await relay.wait_until(lambda: len(relay.accepted) == 30)


async def test_a_server_that_never_finishes_keeps_no_daemon_from_stopping(installation: Installation) -> None:
    """A fetch may take half a minute; whoever stops a service kills it sooner."""
    installation.feed.replies["/live"] = Reply(never_ends=True)
    await installation.command("config", "apply")
    async with installation.daemon() as process:
        await installation.asked(1)  # and no second time: the first is not answered to its end
        process.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(process.wait(), 15) == 0


async def test_approval_waits_for_a_person(installation: Installation) -> None:
    config = installation.folder / "config.toml"
    config.write_text(config.read_text().replace("interval = 1\n", "interval = 1\napproval = true\n"))
    await installation.command("config", "apply")
    await installation.command(
        "subscribers", "add", "calm@example.org", "--topic", "harbour", "--frequency", "every"
    )
    relay = installation.relay
    async with installation.daemon():
        await installation.polls()
        installation.shows(*POSTS[:4])
        await installation.polls(3)
        waiting = json.loads(await installation.command("held", "list", "--json"))
        assert [each["state_reason"] for each in waiting] == ["waits for approval"] * 2
        await installation.command("held", "cancel", str(waiting[0]["id"]))
        await installation.command("held", "release", str(waiting[1]["id"]))
        await relay.wait_until(lambda: len(relay.accepted) == 1)
    assert waiting[1]["title"] in subject(relay.accepted[0])


async def test_a_second_daemon_on_one_sqlite_file_refuses(
    sqlite_url: str, tmp_path: Path, smtp_server: StartSmtp
) -> None:
    relay = await smtp_server()
    async with site() as feed:
        one = Installation(tmp_path, feed, relay)
        one.shows(*POSTS[:2])
        text = CONFIG.format(database=sqlite_url, smtp=relay.port, feed=feed.url("/live"))
        (tmp_path / "config.toml").write_text(text)
        async with one.daemon():
            assert "Another daemon runs" in await one.command("run", code=6)


async def test_daemons_side_by_side_on_postgres_repeat_nothing(
    postgres_url: str, tmp_path: Path, smtp_server: StartSmtp
) -> None:
    relay = await smtp_server(delay=0.005)
    async with site() as feed:
        both = Installation(tmp_path, feed, relay)
        both.shows(*POSTS[:2])
        text = CONFIG.format(database=postgres_url, smtp=relay.port, feed=feed.url("/live"))
        (tmp_path / "config.toml").write_text(text)
        await both.command("config", "apply")
        addresses = "\n".join(f"reader{number}@example.org" for number in range(300))
        (tmp_path / "addresses").write_text(addresses)
        add = [
            sys.executable,
            "-m",
            "alerts.cli",
            "--config",
            str(tmp_path / "config.toml"),
            "subscribers",
            "add",
        ]
        with (tmp_path / "addresses").open("rb") as lines:
            await asyncio.to_thread(
                subprocess.run,
                [*add, "--stdin", "--topic", "harbour", "--frequency", "every"],
                stdin=lines,
                check=True,
                capture_output=True,
            )
        async with both.daemon("a"), both.daemon("b"):
            await both.polls(4)
            both.shows(*POSTS[:4])
            await relay.wait_until(lambda: len(relay.accepted) == 600)
    assert len({(mail.rcpt, subject(mail)) for mail in relay.accepted}) == 600
    workers = {
        line["event"] for name in ("a", "b") for line in both.log(name) if line["event"] == "mails_recorded"
    }
    assert workers == {"mails_recorded"}
