"""One browser and one site for all tests of a process; each test has a window and readers of its own."""

import shutil
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import Browser

from browser import nu
from browser.chromium import CannotStart, chromium
from browser.house import House, house
from browser.window import Window

OpenWindow = Callable[..., Awaitable[Window]]
StartSite = Callable[..., Awaitable[House]]


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def running_browser() -> AsyncIterator[Browser]:
    async with AsyncExitStack() as stack:
        try:
            running = await stack.enter_async_context(chromium())
        except CannotStart as error:
            pytest.skip(f"No browser can be started here: {error}")
        yield running


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def checker() -> AsyncIterator[nu.Checker | None]:
    """The HTML checker; None where there is no Java: `test_html.py` tells, and other checks of pages go on."""
    async with AsyncExitStack() as stack:
        try:
            running = await stack.enter_async_context(nu.checker())
        except nu.CannotStart:
            running = None
        yield running


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def site(sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[House]:
    """A site that tests share: none may change what is not its own reader's."""
    folder = tmp_path_factory.mktemp("house")
    async with house(folder, _copy(sqlite_template, folder)) as made:
        yield made


@pytest_asyncio.fixture(loop_scope="session")
async def start_site(sqlite_template: Path, tmp_path: Path) -> AsyncIterator[StartSite]:
    """Starts sites of this test alone: arguments are those of `house`."""
    async with AsyncExitStack() as stack:

        async def start(**wishes: Any) -> House:
            folder = tmp_path / "site"
            folder.mkdir()
            return await stack.enter_async_context(house(folder, _copy(sqlite_template, folder), **wishes))

        yield start


@pytest_asyncio.fixture(loop_scope="session")
async def open_window(running_browser: Browser) -> AsyncIterator[OpenWindow]:
    """Opens windows, `await open_window(width=320, scripts=False)`: each a visitor without a past."""
    async with AsyncExitStack() as stack:

        async def open_window(*, width: int = 1280, scripts: bool = True, **wishes: Any) -> Window:
            context = await running_browser.new_context(
                viewport={"width": width, "height": 800},
                java_script_enabled=scripts,
                service_workers="block",
                **wishes,
            )
            stack.push_async_callback(context.close)
            return Window(await context.new_page())

        yield open_window


def _copy(template: Path, folder: Path) -> str:
    shutil.copyfile(template, folder / "alerts.db")
    return f"sqlite:///{folder}/alerts.db"
