"""Every page in every state: for all readers, on every screen, with nothing fetched but itself."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa

import pseudo
from alerts.models import Frequency
from browser import looks
from browser.conftest import OpenWindow, StartSite
from browser.house import House
from browser.nu import Checker
from browser.states import PAGE_BYTES, STATES, State
from browser.window import Window

pytestmark = pytest.mark.asyncio(loop_scope="session")

FLAWED = """<!doctype html><title>A page</title>
<style>
  p { font-size: 14px; color: #bbb } div { width: 400px; height: 20px; overflow: hidden }
  button { border: 0; outline: 0 !important; transition: color 1s } u { display: block; order: 1 } body { display: flex; flex-direction: column }
</style>
<h1>One</h1><h1>Two</h1><div>Some words that go on and on, and are cut, as the box is small and they are not.</div>
<p>Pale. <u><button>Late</button></u></p><u><a href="/">Later</a></u><p><a href="/">A link</a></p><img src="data:,">"""
FLAWS = (
    "the page has no lang",
    "the page has no dir",
    "2 h1",
    'a title that is not "page · site"',
    "no main",
    "scrolls sideways",
    "is cut below",
    "moves",
    "less than 44",
    "less than 24",
    "has no edge in forced colours",
    "stays as small as it is",
    "color-contrast",
    "image-alt",
    "one cannot see that it has the focus",
    "and stands before it",
)


@pytest.mark.parametrize("state", STATES, ids=lambda state: state.name)
async def test_a_page_hinders_no_reader(
    state: State, site: House, open_window: OpenWindow, checker: Checker | None
) -> None:
    window = await open_window()
    await state.come(site, window)
    assert window.status == state.status
    await _hinders_nobody(window, checker, is_variant=state.is_variant, most_bytes=state.most_bytes)


async def test_a_site_without_topics_hinders_no_reader(
    start_site: StartSite, open_window: OpenWindow, checker: Checker | None
) -> None:
    house = await start_site(is_open=False)
    window = await open_window()
    await window.goto(f"{house.url}/")
    assert "nothing to follow" in await window.page.locator("main").inner_text()
    await _hinders_nobody(window, checker)


async def test_a_site_that_takes_no_more_hinders_no_reader(
    start_site: StartSite, open_window: OpenWindow, checker: Checker | None
) -> None:
    house = await start_site(limit=1)
    window = await open_window()
    for _ in range(2):
        await window.goto(f"{house.url}/link")
        await window.type("Your e-mail address", house.address())
        await window.press("Send me the link")
    assert window.status == 429
    await _hinders_nobody(window, checker)


async def test_a_site_that_fails_hinders_no_reader(
    start_site: StartSite, open_window: OpenWindow, checker: Checker | None
) -> None:
    house = await start_site()
    window = await open_window()
    link = house.link(house.reader())
    with house.database.begin() as session:
        session.execute(sa.text("ALTER TABLE subscription RENAME TO elsewhere"))
    await window.goto(link)
    assert window.status == 503
    await _hinders_nobody(window, checker)


async def test_words_that_are_long_or_run_from_right_to_left_hinder_no_reader(
    start_site: StartSite, open_window: OpenWindow, checker: Checker | None, tmp_path: Path
) -> None:
    house = await start_site(templates=pseudo.folder(tmp_path / "templates"))
    digests = {"storm": Frequency.WEEKLY, "trains": Frequency.EVERY}
    end_of_pause = datetime.now(UTC) + timedelta(days=3)
    for language in (pseudo.LONG, pseudo.RTL):
        window = await open_window(locale=language)
        reader = house.reader(digests, language=language, paused_until=end_of_pause)
        for page in (
            house.link(reader),
            *(f"{house.url}{path}" for path in ("/", "/link", "/archive/storm")),
        ):
            await window.goto(page)
            assert await window.page.locator("html").get_attribute("lang") == language
            await _hinders_nobody(window, checker)


async def test_each_flaw_is_seen(open_window: OpenWindow) -> None:
    page = (await open_window()).page
    await page.set_content(FLAWED)
    found = await looks.faults(page)
    assert [flaw for flaw in FLAWS if not any(flaw in each for each in found)] == []


async def _hinders_nobody(
    window: Window, checker: Checker | None, *, is_variant: bool = False, most_bytes: int = PAGE_BYTES
) -> None:
    assert window.words == []
    assert all(request.is_navigation_request() for request in window.requests)
    source = await window.source()
    assert len(source) < most_bytes
    if checker:
        assert await checker.remarks(source) == []
    assert await looks.faults(window.page, is_variant=is_variant) == []
