"""Every kind of mail as a browser shows it: for all readers, on every screen, with nothing fetched."""

import pytest

from alerts.mail.views import Rendered
from browser import looks
from browser.conftest import OpenWindow
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
