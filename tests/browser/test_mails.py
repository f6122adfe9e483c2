"""Every kind of mail as a browser shows it: for all readers, on every screen, with nothing fetched."""

import pytest

from alerts.mail.views import Rendered
from browser import looks, test_html
from browser.conftest import OpenWindow
from browser.house import HOURLY, House, in_browser
from browser.nu import Checker
from browser.sample_mails import sample_mails

pytestmark = pytest.mark.asyncio(loop_scope="session")

MAILS = sample_mails()
# What a mail does otherwise than a page, each with its reason.
DIALECT = (
    # Mail programs show the subject beside it, and the site's name is who it is from.
    'a title that is not "page · site"',
    # A mail is an article in the page of a mail program, whose landmarks are around it.
    "no main",
    "landmark-one-main",
    "region",
    # Pixels are what all mail programs read; a phone enlarges a mail by a setting of its own.
    "stays as small as it is",
)


@pytest.mark.parametrize("mail", MAILS.values(), ids=MAILS.keys())
async def test_a_mail_hinders_no_reader(mail: Rendered, open_window: OpenWindow) -> None:
    window = await open_window()
    await window.page.set_content(mail.html)
    found = await looks.faults(window.page)
    assert [each for each in found if not any(words in each for words in DIALECT)] == []
    assert window.requests == []


async def test_a_digest_that_was_sent_hinders_nobody_in_the_browser(
    site: House, open_window: OpenWindow, checker: Checker | None
) -> None:
    (mail,) = await site.mails(1, to=HOURLY)
    window = await open_window()
    await window.goto(in_browser(mail))
    assert window.status == 200
    text = await window.page.locator("body").inner_text()
    assert [each for each in ("The wind turns", "Six metres at the dyke") if each not in text] == []
    assert window.words == []
    assert all(request.is_navigation_request() for request in window.requests)
    source = await window.source()
    if checker:
        found = await checker.remarks(source)
        assert [each for each in found if each.partition(" | ")[0] not in test_html.DIALECT] == []
    # The page is in a sandbox, where no script runs: not axe-core's, either.
    await window.goto("about:blank")
    await window.page.set_content(source.decode())
    found = await looks.faults(window.page, is_variant=True)  # of the samples' digest, in all their looks
    assert [each for each in found if not any(words in each for words in DIALECT)] == []
