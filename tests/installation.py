"""A site as its operator has it: a folder with its settings, a daemon that is a process, and its commands."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from fakes.blog import Post, page
from fakes.process import dying_with_parent
from fakes.site import Site
from fakes.smtp import ScriptedServer

CONFIG = """\
secret = "a secret of the tests, long enough to be taken"
[site]
sender = "alerts@example.org"
name = "Harbour Alerts"
[database]
url = "{database}"
[transport.main]
host = "127.0.0.1"
port = {smtp}
[web]
port = 0
[[feed]]
name = "harbour"
url = "{feed}"
interval = 1
[[topic]]
slug = "harbour"
title = "The harbour"
feeds = ["harbour"]
"""


@dataclass
class Installation:
    """A site's folder, its feed and its relay."""

    folder: Path
    feed: Site
    relay: ScriptedServer

    def shows(self, *posts: Post, key_points: tuple[str, ...] = ()) -> None:
        self.feed.shows("/live", page(posts, key_points=key_points))

    async def command(self, *words: str, code: int = 0) -> str:
        process = await self._start(*words)
        out, err = await process.communicate()
        assert process.returncode == code, err.decode()
        return out.decode() if code == 0 else err.decode()

    @asynccontextmanager
    async def daemon(self, log: str = "log", *options: str) -> AsyncIterator[Process]:
        """A daemon that is ready; it is asked to stop at the end, and must."""
        with (self.folder / log).open("wb") as output:
            process = await self._start("run", *options, output=output.fileno())
        try:
            await self._is_ready(process, log)
            yield process
            if process.returncode is None:
                process.send_signal(signal.SIGTERM)
                assert await asyncio.wait_for(process.wait(), 20) == 0
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()

    @asynccontextmanager
    async def dying(self, point: str, log: str = "dying") -> AsyncIterator[Process]:
        """A daemon that is ready, and kills itself when it comes to a failpoint."""
        with (self.folder / log).open("wb") as output:
            process = await self._start("run", output=output.fileno(), ALERTS_FAILPOINT=point)
        try:
            await self._is_ready(process, log)
            yield process
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()

    async def dies(self, point: str, log: str = "log") -> None:
        """Runs a daemon until it kills itself at a point of its code (see alerts/failpoints.py)."""
        with (self.folder / log).open("wb") as output:
            process = await self._start("run", output=output.fileno(), ALERTS_FAILPOINT=point)
        try:
            assert await asyncio.wait_for(process.wait(), 60) == -signal.SIGKILL
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()

    async def polls(self, count: int = 2) -> None:
        """Returns once the feed was asked `count` times more: what it showed then is read."""
        await self.asked(len(self.feed.requests) + count)

    async def asked(self, count: int) -> None:
        """Returns once the feed was asked `count` times in all, by whoever and before this or after."""
        async with asyncio.timeout(30):
            while len(self.feed.requests) < count:  # noqa: ASYNC110 - another process asks
                await asyncio.sleep(0.05)

    def pages(self, log: str = "log") -> str:
        """Gives where a daemon serves its pages."""
        (port,) = [line["port"] for line in self.log(log) if line["event"] == "pages_served"]
        return f"http://127.0.0.1:{port}"

    def log(self, name: str = "log") -> list[dict[str, object]]:
        return [json.loads(line) for line in (self.folder / name).read_text().splitlines()]

    async def _start(self, *words: str, output: int = PIPE, **environment: str) -> Process:
        environment |= {key: value for key, value in os.environ.items() if not key.startswith("ALERTS_")}
        return await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "alerts.cli", "--config", str(self.folder / "config.toml"), *words),
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            preexec_fn=dying_with_parent(signal.SIGKILL),
        )

    async def _is_ready(self, process: Process, log: str) -> None:
        async with asyncio.timeout(30):
            while "daemon_ready" not in (self.folder / log).read_text():
                assert process.returncode is None, (self.folder / log).read_text()
                await asyncio.sleep(0.05)
