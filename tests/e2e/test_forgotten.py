"""Erasure beside a running daemon: afterwards nobody finds the reader in any file of the site."""

import asyncio
import subprocess
from pathlib import Path

from fakes.blog import Post
from fakes.script import Point, Reply
from fakes.site import site
from fakes.smtp import StartSmtp
from installation import CONFIG, Installation

NAME = "quay-walker"
ADDRESS = f"{NAME}@example.org"
POSTS = [Post(f"post-{number}", f"Ferry news, part {number}", minute=number) for number in range(1, 9)]


def traces(folder: Path) -> list[str]:
    files = [each for each in folder.rglob("*") if each.is_file()]
    found = subprocess.run(["grep", "-lai", NAME, *files], check=False, capture_output=True, text=True).stdout
    return found.split()


async def test_who_is_erased_beside_the_daemon_is_in_no_file_of_the_site(
    sqlite_url: str, tmp_path: Path, smtp_server: StartSmtp
) -> None:
    relay = await smtp_server()
    async with site() as feed:
        installation = Installation(tmp_path, feed, relay)
        installation.shows(*POSTS[:2])
        text = CONFIG.format(database=sqlite_url, smtp=relay.port, feed=feed.url("/live"))
        (tmp_path / "config.toml").write_text(text)
        await installation.command("config", "apply")
        for address in (ADDRESS, "other@example.org"):
            await installation.command("subscribers", "add", address, "--topic", "harbour")
        async with installation.daemon():
            await installation.polls()
            relay.script.on(
                Point.RCPT, Reply.of(450, f"4.2.1 <{ADDRESS}>: {NAME} is away"), recipient=ADDRESS, times=1
            )
            installation.shows(*POSTS[:3])
            await relay.wait_until(lambda: len(relay.accepted) >= 1)
            installation.shows(*POSTS[:5])
            await relay.wait_until(lambda: sum(mail.rcpt == ADDRESS for mail in relay.accepted) >= 1)
            assert traces(tmp_path) != []
            said = await installation.command("subscribers", "erase", ADDRESS)
            if "busy" in said:  # the daemon finishes it then
                async with asyncio.timeout(60):
                    while traces(tmp_path):  # noqa: ASYNC110 - another process clears
                        await asyncio.sleep(1)
            assert traces(tmp_path) == []
            before = sum(mail.rcpt == "other@example.org" for mail in relay.accepted)
            installation.shows(*POSTS)
            await relay.wait_until(
                lambda: sum(mail.rcpt == "other@example.org" for mail in relay.accepted) > before
            )
            assert traces(tmp_path) == [], "what the daemon remembered did not come back"
        assert traces(tmp_path) == []
