"""The demo: a newsroom, three readers and the daemon between them, in one process, told on the terminal."""

import asyncio
import logging
import shutil
import tempfile
from collections.abc import Callable, Coroutine, Iterator, MutableMapping
from contextlib import AsyncExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import structlog
from rich.console import Console

from alerts import daemon, logs
from alerts.config import Config
from alerts.demo import inbox_pages
from alerts.demo.inbox import Inbox
from alerts.demo.loopback import HOST, WebServer, bind, free_port, port_of
from alerts.demo.newsroom import POLLER, configuration, furnish
from alerts.demo.screen import Addresses, Screen
from alerts.demo.script import READERS, STORY
from alerts.demo.signals import stop_on_signals
from alerts.demo.site import PATH, LivePage
from alerts.demo.teller import Teller

_LOST_MAIL = 7  # the one that --break drops
_DOES_NOT_ADD_UP = 1
_INTERRUPTED = 130  # what shells say of a command that ended by Ctrl-C


@dataclass(frozen=True, slots=True)
class Ports:
    page: int
    web: int
    inbox: int
    smtp: int


_PORTS = Ports(page=8024, web=8025, inbox=8026, smtp=8027)
_ANY_PORTS = Ports(page=0, web=0, inbox=0, smtp=0)


@dataclass(frozen=True, slots=True)
class Options:
    """`pace` 6 tells the minute in ten seconds; `picture` is a file to draw the terminal into."""

    once: bool = False
    break_: bool = False
    pace: float = 1.0
    picture: Path | None = None


@dataclass(frozen=True, slots=True)
class Stage:
    """Everything that stands while the demo runs."""

    config: Config
    page: LivePage
    inbox: Inbox
    addresses: Addresses


def run(options: Options, console: Console | None = None) -> int:
    """Runs the demo and gives its exit code: 0 when the account adds up."""
    return asyncio.run(_run(options, console or Console(highlight=False)))


async def _run(options: Options, console: Console) -> int:
    stop = stop_on_signals()
    folder = Path(tempfile.mkdtemp(prefix="alerts-demo-"))
    async with AsyncExitStack() as stack:
        stage = await _set_up(stack, options, folder)
        screen = Screen(console, READERS)
        teller = Teller(STORY, READERS, stage.page, stage.inbox, screen)
        stack.enter_context(_daemon_log(folder / "daemon.log", teller.heard))
        furnish(stage.config)
        screen.open(stage.addresses, READERS, STORY.headline)
        code = await _with_daemon(stage.config, _tell(stage, options, screen, teller, stop))
    if options.picture:
        screen.picture(options.picture, "make demo ARGS=--once")
    if options.once and code != _DOES_NOT_ADD_UP:
        shutil.rmtree(folder)
    else:
        screen.note(f"The database and the logs of this run are in {folder}")
    return code


async def _set_up(stack: AsyncExitStack, options: Options, folder: Path) -> Stage:
    pages = bind(_PORTS.page)
    # The daemon binds its own port, later. Whoever holds the first of the row may count on the others.
    row = _PORTS if port_of(pages) == _PORTS.page else _ANY_PORTS
    smtp, web = bind(row.smtp), bind(row.inbox)
    inbox = Inbox(lose=_LOST_MAIL if options.break_ else None, log=folder / "smtp.log")
    await stack.enter_async_context(inbox.serve(smtp))
    names = {reader.address: reader.name for reader in READERS}
    inbox_server = WebServer(inbox_pages.application(inbox, names, title="The readers' inbox"), web)
    await stack.enter_async_context(inbox_server)
    page = LivePage(STORY, f"http://{HOST}:{port_of(pages)}{PATH}", pace=options.pace, poller=POLLER)
    await stack.enter_async_context(WebServer(page.application(), pages))
    config = configuration(
        folder=folder, page_url=page.url, smtp_port=port_of(smtp), web_port=free_port(row.web)
    )
    addresses = Addresses(page.url, inbox_server.url, f"{HOST}:{port_of(smtp)}", f"{config.site.base_url}/")
    return Stage(config, page, inbox, addresses)


async def _with_daemon(config: Config, telling: Coroutine[None, None, int]) -> int:
    """Runs the daemon for as long as the telling takes; a daemon that fails ends it."""
    leave = asyncio.Event()
    serving = asyncio.create_task(daemon.serve(config, leave))
    told = asyncio.create_task(telling)
    await asyncio.wait((serving, told), return_when=asyncio.FIRST_COMPLETED)
    leave.set()
    if not told.done():
        told.cancel()
    await serving
    return await told


async def _tell(stage: Stage, options: Options, screen: Screen, teller: Teller, stop: asyncio.Event) -> int:
    """Tells the story from the daemon's first look at the page to the verdict, and gives the exit code."""
    await _either(stage.page.first_polled, stop)
    stage.page.start()
    with screen.footer(teller.progress, stage.addresses):
        await teller.tell(stop)
    if stop.is_set():
        screen.note("Stopped before the end of the story.")
        return _INTERRUPTED
    account = teller.account()
    screen.verdict(account, teller.lost(), *teller.speeds())
    if not options.once:
        screen.note(
            f"Look around: the live blog at {stage.addresses.page}, the inbox at {stage.addresses.inbox}; "
            f"sign up at {stage.addresses.signup}. Ctrl-C ends the demo."
        )
        await stop.wait()
    return 0 if account.adds_up else _DOES_NOT_ADD_UP


async def _either(*events: asyncio.Event) -> None:
    waiting = [asyncio.create_task(event.wait()) for event in events]
    await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
    for task in waiting:
        task.cancel()


@contextmanager
def _daemon_log(path: Path, hear: Callable[[dict[str, Any]], None]) -> Iterator[None]:
    """Sends the daemon's log to a file, as it would be in production, and each event to `hear` as well."""
    loop = asyncio.get_running_loop()

    def overhear(_logger: object, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        with suppress(RuntimeError):  # a thread's last words after the loop has closed
            loop.call_soon_threadsafe(hear, dict(event))
        return event

    with path.open("w", encoding="utf-8") as file:
        logs.configure(is_json=True, stream=file)
        *processors, renderer = structlog.get_config()["processors"]
        structlog.configure(processors=[*processors, overhear, renderer])
        yield
        structlog.reset_defaults()
        logging.basicConfig(level=logging.WARNING, force=True)
