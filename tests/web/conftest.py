"""The site's pages, served."""

from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from alerts.audience.tokens import Keys
from alerts.db import Database
from alerts.web.server import WebServer
from visiting import KEYS, Site, Start, pages_of


@pytest.fixture
async def start() -> AsyncIterator[Start]:
    """Starts the pages of a database, on a free port."""
    async with AsyncExitStack() as stack:

        async def start(
            database: Database, templates: Sequence[Path] = (), keys: Keys = KEYS, **more: Any
        ) -> Site:
            server = WebServer(pages_of(database, templates, keys, **more), "127.0.0.1", 0)
            await server.start()
            stack.push_async_callback(server.stop)
            client = await stack.enter_async_context(aiohttp.ClientSession())
            return Site(server.port, client)

        yield start
