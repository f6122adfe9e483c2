"""The tutorial, run as it is written: its commands in order, on a live blog that grows meanwhile."""

import asyncio
import os
import re
import shlex
import signal
import sys
import time
import urllib.request
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from alerts.demo.loopback import HOST, WebServer, bind, free_port, port_of
from alerts.demo.script import STORY
from alerts.demo.site import PATH, LivePage

ROOT = Path(__file__).resolve().parents[2]
TUTORIAL = (ROOT / "docs" / "tutorial.md").read_text(encoding="utf-8")
EXAMPLE = "https://news.example.org/live"
PATIENCE = 20


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", TUTORIAL, re.MULTILINE | re.DOTALL)


def commands() -> list[str]:
    return [line for block in blocks("sh") for line in block.splitlines()]


@dataclass
class Shell:
    """Runs `alerts` as a newcomer would, in a folder of its own."""

    folder: Path
    url: str
    running: list[asyncio.subprocess.Process] = field(default_factory=list)

    async def start(self, command: str) -> asyncio.subprocess.Process:
        program, *arguments = shlex.split(command.replace(EXAMPLE, self.url))
        assert program == "alerts"
        return await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "alerts.cli",
            *arguments,
            cwd=self.folder,
            env={
                **os.environ,
                "COLUMNS": "200",
                "PYTHONUNBUFFERED": "1",
                "ALERTS_WEB__PORT": str(free_port(0)),
            },
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )

    async def run(self, command: str) -> str:
        process = await self.start(command)
        output, _ = await process.communicate()
        assert process.returncode == 0, f"{command}: {output.decode()}"
        return output.decode()

    async def leave_running(self, command: str, until: str) -> str:
        """Starts a command that does not end by itself; gives what it said until it said `until`."""
        process = await self.start(command)
        self.running.append(process)
        assert process.stdout is not None
        said = ""
        async with asyncio.timeout(PATIENCE):
            while until not in said:
                line = await process.stdout.readline()
                assert line, f"{command} ended: {said}"
                said += line.decode()
        return said

    async def end(self) -> list[int | None]:
        for process in self.running:
            process.send_signal(signal.SIGINT)
        for process in self.running:
            await process.communicate()
        return [process.returncode for process in self.running]


@asynccontextmanager
async def growing_page() -> AsyncIterator[LivePage]:
    bound = bind(0)
    page = LivePage(STORY, f"http://{HOST}:{port_of(bound)}{PATH}", pace=4, poller="alerts/")
    async with WebServer(page.application(), bound):
        yield page


def wait_until_shown(url: str, words: str) -> None:
    """Looks at a page again and again, as a newcomer would."""
    for _ in range(PATIENCE * 10):
        with urllib.request.urlopen(url, timeout=5) as page:
            if words in page.read().decode():
                return
        time.sleep(0.1)
    pytest.fail(f"{words!r} never came")


def test_what_the_tutorial_makes_is_in_the_makefile() -> None:
    made = {shlex.split(line)[1] for line in commands() if line.startswith("make ")}
    rules = set(re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    assert made == {"demo"} <= rules


def test_what_the_tutorial_links_to_is_there() -> None:
    linked = re.findall(r"\]\((?!https?:)([^)#]+)", TUTORIAL)
    assert linked
    assert [each for each in linked if not (ROOT / "docs" / each).exists()] == []


def test_what_the_tutorial_changes_stands_in_config_toml() -> None:
    (changes,) = blocks("toml")
    given = (ROOT / "config.toml").read_text(encoding="utf-8")
    names = [line.split(" = ")[0] for line in changes.splitlines() if line]
    assert [
        name for name in names if not re.search(rf"^(# )?{re.escape(name)}( |$)", given, re.MULTILINE)
    ] == []


@pytest.mark.slow
async def test_tutorial_does_what_it_says(tmp_path: Path) -> None:
    (config,) = blocks("toml")
    lines = [line for line in commands() if line.startswith("alerts ")]
    said = {}
    async with growing_page() as page:
        shell = Shell(tmp_path, page.url)
        for line in lines:
            if line == "alerts inbox":
                found = await shell.leave_running(f"{line} --port 0 --web-port 0", "Read it at")
                smtp, inbox = re.findall(rf"{HOST}:(\d+)", found)
                ours = config.replace("1025", smtp).replace(EXAMPLE, f'{page.url}"\ninterval = "1s')
                (tmp_path / "config.toml").write_text(ours, encoding="utf-8")
            elif line == "alerts run":
                await shell.leave_running(line, '"baseline"')
                page.start()
                await asyncio.to_thread(wait_until_shown, f"http://{HOST}:{inbox}", STORY.fresh()[0].title)
            else:
                said[line] = await shell.run(line)
        ended = await shell.end()
    assert STORY.posts[0].title in said[lines[0]]
    assert "1 feeds and 1 topics" in said["alerts config check"]
    assert STORY.fresh()[0].title in said["alerts entries list"]
    assert "1 accepted" in said["alerts status"]
    assert "there before we watched" in said["alerts explain you@example.org 1"]
    assert (tmp_path / "entry-1.eml").exists()
    assert ended == [0, 0]
