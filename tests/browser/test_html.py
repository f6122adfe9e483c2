"""The HTML checker itself, and mails, which have a dialect of their own; pages are checked in each of their states."""

import pytest

from browser.nu import Checker
from browser.sample_mails import sample_mails

pytestmark = pytest.mark.asyncio(loop_scope="session")

# What mail programs need beyond the standard, to the word of the checker, each with its reason.
DIALECT = {
    # Outlook draws with Word, and knows the lay of a table from its attributes alone.
    'The "width" attribute on the "table" element is obsolete. Use CSS instead.',
    'The "cellpadding" attribute on the "table" element is obsolete. Use CSS instead.',
    'The "cellspacing" attribute on the "table" element is obsolete. Use CSS instead.',
    'The "border" attribute on the "table" element is obsolete. Use CSS instead.',
    'The "align" attribute on the "td" element is obsolete. Use CSS instead.',
    # Outlook goes to an anchor by its name, and to no id.
    'The "name" attribute is obsolete. Consider putting an "id" attribute on the nearest container instead.',
    # Apple Mail asked for a dark scheme by this property before the standard had one.
    'CSS: "supported-color-schemes": Property "supported-color-schemes" doesn\'t exist.',
    # Outlook shows what `display: none` hides.
    'CSS: "mso-hide": Property "mso-hide" doesn\'t exist.',
}


async def test_every_mail_is_html_in_the_dialect_of_mail(checker: Checker | None) -> None:
    if checker is None:
        pytest.skip("There is no Java here: no page's and no mail's HTML is checked.")
    found = [
        (name, each)
        for name, mail in sample_mails().items()
        for each in await checker.remarks(mail.html.encode())
    ]
    assert [(name, each) for name, each in found if _words(each) not in DIALECT] == []
    assert {_words(each) for _, each in found} == DIALECT, "an exemption that no mail needs any more"


async def test_the_checker_knows_the_standard(checker: Checker | None) -> None:
    if checker is None:
        pytest.skip("There is no Java here: no page's and no mail's HTML is checked.")
    page = b'<!doctype html><html lang="en"><title>x</title><ul><p>No item.</p></ul><button><a href="/">x</a></button>'
    assert len(await checker.remarks(page)) == 2


def _words(remark: str) -> str:
    return remark.partition(" | ")[0]
