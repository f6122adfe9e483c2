"""Mail scanners open every link and run what they find: nothing changes by it."""

from collections.abc import Mapping
from email.message import EmailMessage
from typing import Any

import aiohttp
import pytest

from alerts.models import Frequency, SiteFact
from browser.conftest import OpenWindow, StartSite
from browser.crawler import Crawler
from browser.house import HOURLY, House, links_of
from browser.states import ask_for_change, ask_for_link, sign_up
from browser.window import Window

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.slow]


async def test_a_scanner_that_opens_every_link_changes_no_row(
    start_site: StartSite, open_window: OpenWindow
) -> None:
    house = await start_site()
    window = await open_window()
    mails = await _have_every_mail_sent(house, window)
    before = _but_for_the_clock(house)
    async with aiohttp.ClientSession() as client:
        crawler = Crawler(house.url, window, client)
        for links in ([f"{house.url}/", f"{house.url}/archive"], *map(links_of, mails)):
            await crawler.follow(links)
    assert _but_for_the_clock(house) == before
    assert {each: status for each, status in crawler.opened.items() if status != 200} == {}
    assert crawler.kinds() >= {"/", "/link", "/archive", "/archive/storm", "/u/*", "/u/*/mail", "/n/*"}
    assert len(house.relay.accepted) == len(mails)
    assert window.words == []


def _but_for_the_clock(house: House) -> Mapping[str, Any]:
    """Gives all rows, without what moves at a full hour whoever opens what: the digests' next instants and horizon."""
    rows = house.rows()
    slots = [each[:-1] for each in rows["digest_slot"]]
    return rows | {
        "digest_slot": slots,
        "site": [each for each in rows["site"] if each[0] != SiteFact.HORIZON],
    }


async def _have_every_mail_sent(house: House, window: Window) -> list[EmailMessage]:
    """Gives a mail of each kind, with whatever links it has."""
    house.reader({"storm": Frequency.EVERY, "trains": Frequency.FLASH})
    house.announce("The ferry is late", is_key_event=True)
    await sign_up(house, window)
    await ask_for_link(house, window)
    await ask_for_change(house, window)
    await house.mails(1, to=HOURLY)
    mails = await house.mails(6)
    await house.is_at_rest()
    return mails
