"""A real browser: the system's Chromium, driven by Playwright, which brings none of its own here."""

import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from playwright.async_api import Browser, async_playwright

_NAMES = ("chromium", "chromium-browser", "google-chrome-stable", "google-chrome")
_FLAGS = (
    "--no-sandbox",  # tests run as root, in a container
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    # What a browser asks of its maker's servers by itself is no part of what is tested.
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


class CannotStart(Exception):
    """There is no browser here; the text says why."""


@asynccontextmanager
async def chromium() -> AsyncIterator[Browser]:
    """Runs a browser, with a new profile, until the block ends; raises CannotStart where there is none."""
    path = next((found for name in _NAMES if (found := shutil.which(name))), None)
    if path is None:
        raise CannotStart("Chromium is not installed")
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=path, args=list(_FLAGS))
        try:
            yield browser
        finally:
            await browser.close()
