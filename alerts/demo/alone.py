"""The built-in inbox by itself, for trying a site out before there is a relay."""

import asyncio
from contextlib import AsyncExitStack

from rich.console import Console

from alerts.demo import inbox_pages
from alerts.demo.inbox import Inbox
from alerts.demo.loopback import HOST, WebServer, bind, port_of
from alerts.demo.signals import stop_on_signals


def run(smtp_port: int, web_port: int, console: Console | None = None) -> None:
    """Takes mail and shows it until Ctrl-C; a port that is taken gives way to a free one, and is said."""
    asyncio.run(_run(smtp_port, web_port, console or Console(highlight=False)))


async def _run(smtp_port: int, web_port: int, console: Console) -> None:
    stop = stop_on_signals()
    inbox = Inbox()
    async with AsyncExitStack() as stack:
        smtp, web = bind(smtp_port), bind(web_port)
        await stack.enter_async_context(inbox.serve(smtp))
        server = await stack.enter_async_context(WebServer(inbox_pages.application(inbox, {}), web))
        console.print(
            f"Taking mail for any address at {HOST}:{port_of(smtp)}; nothing is sent on.", soft_wrap=True
        )
        console.print(
            f"Read it at {server.url}; Ctrl-C ends the inbox, and its mails are forgotten.", soft_wrap=True
        )
        await stop.wait()
