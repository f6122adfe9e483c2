"""Every word that a reader sees can be translated, is in German, and may be longer or run from right to left.

A new page or mail needs its sample in SAMPLES: what it shows when its data is digits.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from jinja2 import Environment
from selectolax.lexbor import LexborHTMLParser

import pseudo
import words
from alerts.audience.address_changes import EndView, Standing
from alerts.audience.offers import Amount, Offer, Sample
from alerts.audience.signups import ChosenTopic, Pending
from alerts.dispatch.archive import ArchivedAlert, ArchivedEntry, ArchivedTopic, ArchivePage, Change
from alerts.mail.render import (
    AlertView,
    DigestEntry,
    DigestView,
    EntryView,
    NoticeView,
    Rendered,
    Renderer,
    SiteView,
)
from alerts.mail.templates import builtin_templates
from alerts.models import Frequency
from alerts.web.deeds import Deed, Done, Now
from alerts.web.pages import Pages
from alerts.web.reader import Coming, ReaderView, ShownTopic
from alerts.web.signup_form import Fault, Filled
from alerts.web.signup_pages import SignUpPages, Welcome

TEMPLATES = builtin_templates()
AT = datetime(2026, 11, 22, 8, tzinfo=UTC)
SITE = SiteView("8008", "https://8008.example", "8008", "a@8008.example", "c@8008.example", "1234")
ENTRY = EntryView(
    title="11",
    text="22",
    html="<p>33 <a href='https://3.example'>44</a></p><blockquote>55</blockquote>",
    author="66",
    url="https://7.example",
    published_at=AT,
    is_key_event=True,
    source="88",
    also_by=("77",),
)
LONG = replace(ENTRY, html="<p>33</p>" * 9000)
ENTRIES = (
    ENTRY,
    LONG,
    replace(ENTRY, title="", text="", html="", url=""),
    replace(LONG, url="", is_key_event=False),
    replace(ENTRY, author="", also_by=(), published_at=None),
)
NAMED = DigestEntry(ENTRY, ("99",))
TOPIC = ArchivedTopic("1", "99", "98")
FOLLOWED = ShownTopic(
    "1",
    "99",
    "98",
    "every",
    "every",
    is_active=True,
    is_key_events_only=False,
    changed_at=None,
    brought_the_mail=True,
)
READER = ReaderView(
    1,
    "1@1.example",
    is_owner=False,
    is_former=False,
    language="en",
    is_suppressed=False,
    zone="Europe/Paris",
    hour=7,
    weekday=0,
    paused_until=None,
    wished_address="",
    mail_frequency="",
    following=(FOLLOWED,),
    more=(),
    coming=tuple(Coming(each, AT) for each in ("hourly", "daily", "weekly")),
)


@dataclass(frozen=True)
class Speaking:
    """A site in one language."""

    renderer: Renderer
    pages: Pages
    language: str

    def page(self, name: str) -> str:
        """Gives a page that knows nothing; the site shows it in English."""
        return self.pages._render(name, self.pages._templates.locale(self.language))


def shown(mails: Iterator[Rendered]) -> Iterator[str]:
    for mail in mails:
        yield from (mail.subject, mail.text.replace(mail.hole, "0"), mail.html.replace(mail.hole, "0"))


def alerts(site: Speaking) -> Iterator[str]:
    for entry in ENTRIES:
        for frequency in ("flash", "every"):
            view = AlertView((entry,), ("99",) * 12, frequency, site.language, AT)
            yield from shown(iter([site.renderer.render(view)]))


def digests(site: Speaking) -> Iterator[str]:
    marked = [replace(NAMED, mark=mark) for mark in ("updated", "corrected")]
    many = [
        DigestEntry(replace(ENTRY, title=str(number), is_key_event=None), ("99",)) for number in range(400)
    ]
    for entries in ([NAMED], [*map(partial_of, ENTRIES), *marked], many):
        for frequency in ("hourly", "daily", "weekly"):
            view = DigestView(
                tuple(entries), ("99",), frequency, site.language, AT, "Europe/Paris", is_late=True
            )
            yield from shown(iter([site.renderer.render_digest(view)]))


def partial_of(entry: EntryView) -> DigestEntry:
    return DigestEntry(entry, ("99", "98"))


def notice(kind: str) -> Callable[[Speaking], Iterator[str]]:
    topics = tuple((str(number), frequency) for number in range(3) for frequency in FREQUENCIES)
    return lambda site: shown(
        iter([site.renderer.render_notice(NoticeView(kind, site.language, topics, AT))])
    )


def without_cities(page: str) -> str:
    """Leaves out the names of cities, which no catalog of ours has."""
    without_options = re.sub(r'(<option value="[A-Z][^":]*"(?: selected)?>)[^<]*', r"\1", page)
    return re.sub(r"\bParis\b|باريس|パリ", "", without_options)


def manage(site: Speaking) -> Iterator[str]:
    yield from map(without_cities, _managed(site))


def _managed(site: Speaking) -> Iterator[str]:
    reader = replace(READER, language=site.language)
    quiet = [
        replace(FOLLOWED, frequency="flash", brought_the_mail=False),
        replace(FOLLOWED, is_active=False, frequency="weekly"),
        replace(FOLLOWED, is_key_events_only=True),
    ]
    views = [
        replace(reader, following=(FOLLOWED, *quiet), more=(replace(FOLLOWED, frequency=""),)),
        replace(reader, following=(replace(FOLLOWED, frequency="daily"),), mail_frequency="daily"),
        replace(reader, following=(), coming=(), is_suppressed=True, is_owner=True),
        replace(reader, following=(quiet[0],), paused_until=AT, wished_address="2@2.example"),
    ]
    for view in views:
        yield site.pages.manage(view, AT)
    changes = tuple(Now(each, ("99", "98")) for each in (*FREQUENCIES, ""))
    for deed in Deed:
        done = Done(deed, changes, (("1", "2"),), left=(("1", "2"),))
        yield site.pages.manage(replace(reader, paused_until=AT), AT, done)


def former(site: Speaking) -> Iterator[str]:
    reader = replace(READER, language=site.language, is_former=True)
    for deed in Deed:
        yield site.pages.manage(reader, AT, Done(deed, (Now("", ("99", "98")),)))
    yield site.pages.manage(reader, AT)


def erase(site: Speaking) -> Iterator[str]:
    yield site.pages.erase(replace(READER, language=site.language))


def erased(site: Speaking) -> Iterator[str]:
    for is_news in (True, False):
        yield site.pages.erased(site.language, is_news=is_news)


def address(site: Speaking) -> Iterator[str]:
    for is_new in (True, False):
        for standing in Standing:
            yield site.pages.address(
                EndView(is_new, standing, site.language, "1@1.example", "2@2.example", "3")
            )


def zone(site: Speaking) -> Iterator[str]:
    yield without_cities(site.pages.zone(replace(READER, language=site.language), 7, 0))


def zones(site: Speaking) -> Iterator[str]:
    locale = site.pages._templates.locale(site.language)
    head = f'<!doctype html><html lang="{locale}" dir="{locale.text_direction}">'
    yield without_cities(f"{head}<select>{site.pages._zones(locale)}</select>")


def archive(site: Speaking) -> Iterator[str]:
    yield site.pages.archive([], site.language)
    yield site.pages.archive([TOPIC], site.language)


def archive_of_topic(site: Speaking) -> Iterator[str]:
    changes = (Change(AT, is_correction=True), Change(AT, is_correction=False))
    entries = (
        *(ArchivedEntry(entry, None, (), None) for entry in ENTRIES),
        ArchivedEntry(ENTRY, LONG, changes, None),
        ArchivedEntry(None, None, changes, AT),
    )
    yield site.pages.archive_of(ArchivePage(TOPIC, (ArchivedAlert(1, AT, entries),), 1), site.language)
    yield site.pages.archive_of(ArchivePage(TOPIC, (), None), site.language)


OFFER = Offer(
    "1", "99", "98", tuple(Frequency), 30, Amount(0, 0, None), Amount(4, 9, AT), Sample("11", "22", "", AT)
)
OFFERS = (
    OFFER,
    replace(OFFER, updates=Amount(0, 5, AT), key_events=Amount(2, 2, AT), frequencies=(Frequency.FLASH,)),
    replace(OFFER, updates=None, key_events=None, sample=None),
)
FILLED = Filled(typed="1@1.example", choices={"1": "daily"})


def signing_up(show: Callable[[SignUpPages, str], Iterator[str]]) -> Callable[[Speaking], Iterator[str]]:
    return lambda site: show(SignUpPages(site.pages), site.language)


def sign_up(pages: SignUpPages, language: str) -> Iterator[str]:
    yield pages.form(language, (), FILLED)
    for fault in (*Fault, None):
        yield pages.form(language, OFFERS, FILLED, {fault} if fault else ())


def link(pages: SignUpPages, language: str) -> Iterator[str]:
    for fault in (*Fault, None):
        yield pages.link_form(language, "1@1.example", fault)


def confirm(pages: SignUpPages, language: str) -> Iterator[str]:
    topics = tuple(ChosenTopic("1", "99", each) for each in FREQUENCIES)
    words_shown = pages.words(language).text
    for is_changed in (True, False):
        pending = Pending("1@1.example", language, "UTC", topics, words_shown, "2")
        yield pages.confirm(pending, is_changed=is_changed)


def welcome(pages: SignUpPages, language: str) -> Iterator[str]:
    topics = tuple(ChosenTopic("1", "99", each) for each in FREQUENCIES)
    digests = tuple((each, AT) for each in FREQUENCIES[2:])
    for some in (topics, ()):
        welcome = Welcome(1, language, "Europe/Paris", some, digests, is_paused=True, has_moved=not some)
        yield without_cities(pages.welcome(welcome, "3" if some else ""))


def plain(name: str) -> Callable[[Speaking], Iterator[str]]:
    return lambda site: iter([site.page(name)])


FREQUENCIES = ("flash", "every", "hourly", "daily", "weekly")
SAMPLES: dict[str, Callable[[Speaking], Iterator[str]]] = {
    "mail/alert": alerts,
    "mail/digest": digests,
    "mail/notice/confirm": notice("confirm"),
    "mail/notice/link": notice("link"),
    "mail/notice/new-address": notice("new-address"),
    "mail/notice/old-address": notice("old-address"),
    "web/address.html": address,
    "web/archive.html": archive,
    "web/archive-topic.html": archive_of_topic,
    "web/confirm.html": signing_up(confirm),
    "web/elsewhere.html": plain("elsewhere.html"),
    "web/erase.html": erase,
    "web/erased.html": erased,
    "web/expired.html": plain("expired.html"),
    "web/failed.html": plain("failed.html"),
    "web/forgotten.html": plain("forgotten.html"),
    "web/former.html": former,
    "web/gone.html": plain("gone.html"),
    "web/link.html": signing_up(link),
    "web/link-sent.html": signing_up(
        lambda pages, language: iter([pages.link_sent(language, "1@1.example")])
    ),
    "web/manage.html": manage,
    "web/missing.html": lambda site: iter([site.pages.missing(site.language, can_sign_up=True)]),
    "web/over.html": plain("over.html"),
    "web/question.html": signing_up(
        lambda pages, language: iter([pages.question(language, FILLED, "2@2.example")])
    ),
    "web/refused.html": lambda site: (
        site.pages.refused(each, site.language) for each in (400, 405, 413, 503)
    ),
    "web/sent.html": signing_up(lambda pages, language: iter([pages.sent(language, "1@1.example")])),
    "web/signup.html": signing_up(sign_up),
    "web/suppressed.html": plain("suppressed.html"),
    "web/topics-gone.html": plain("topics-gone.html"),
    "web/too-many.html": plain("too-many.html"),
    "web/welcome.html": signing_up(welcome),
    "web/zone.html": zone,
    "web/zones.html": zones,
}
NEVER_ALONE = {"mail", "mail/notice", "web/base.html", "web/signup-parts.html"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return pseudo.folder(tmp_path_factory.mktemp("pseudo"))


@pytest.fixture(scope="module", params=[pseudo.LONG, pseudo.RTL])
def speaking(request: pytest.FixtureRequest, folder: Path) -> Speaking:
    return Speaking(Renderer(SITE, [folder]), Pages(SITE, [folder]), request.param)


def test_every_mail_and_page_has_a_sample() -> None:
    mails = {str(path.parent.relative_to(TEMPLATES)) for path in (TEMPLATES / "mail").rglob("*.html")}
    pages = {str(path.relative_to(TEMPLATES)) for path in (TEMPLATES / "web").glob("*.html")}
    assert (mails | pages) - NEVER_ALONE == set(SAMPLES)


@pytest.mark.parametrize("name", SAMPLES)
def test_no_word_of_ours_escapes_translation(name: str, speaking: Speaking) -> None:
    direction = "rtl" if speaking.language == pseudo.RTL else "ltr"
    for sample in SAMPLES[name](speaking):
        escaped = pseudo.escaped(sample)
        if speaking.language == pseudo.RTL:  # its dates are written with the letters of its words
            escaped = {word for word in escaped if word.isascii()}
        assert not escaped
        if sample.startswith("<!doctype"):
            assert f'<html lang="{speaking.language}" dir="{direction}">' in sample


def test_a_word_that_escapes_is_seen() -> None:
    page = "<!doctype html><html><body><p title='⟦à⟧'>⟦ƀ %s⟧</p>{}</body></html>"
    assert pseudo.escaped(page.format("")) == set()
    assert pseudo.escaped(page.format("<p>11 left</p>")) == {"left"}
    assert pseudo.escaped(page.format("<a aria-label='Back' href=#>⟦ƀ⟧</a>")) == {"Back"}
    assert pseudo.escaped("⟦ƀ ⟦à⟧ 1⟧ and") == {"and"}


@pytest.mark.parametrize(
    "path", sorted(TEMPLATES.rglob("*.html")), ids=lambda path: str(path.relative_to(TEMPLATES))
)
def test_no_branch_of_a_page_holds_words(path: Path) -> None:
    source = "".join(_data(path))
    page = LexborHTMLParser(f"<!doctype html><html><body>{source}" if "<html" not in source else source)
    page.strip_tags(["style"])
    assert not re.findall(r"[^\W\d_]+", page.root.text(separator=" ") if page.root else "")
    for name in ("aria-label", "aria-roledescription", "title", "alt", "placeholder"):
        assert not [
            node for node in page.css(f"[{name}]") if re.search("[A-Za-z]", node.attributes[name] or "")
        ]


@pytest.mark.parametrize(
    "path", sorted(TEMPLATES.rglob("*.txt")), ids=lambda path: str(path.relative_to(TEMPLATES))
)
def test_no_branch_of_a_text_holds_words(path: Path) -> None:
    assert not re.findall(r"[^\W\d_]+", "".join(_data(path)))


def _data(path: Path) -> Iterator[str]:
    """What stands in a template as it is shown; an expression counts as a digit."""
    lexed = Environment(autoescape=True).lex(path.read_text(encoding="utf-8"))
    for _, kind, value in lexed:
        if kind == "data":
            yield value
        elif kind == "variable_begin":
            yield "0"


@pytest.mark.parametrize("path", [words.TEMPLATE, *words.catalogs()], ids=lambda path: path.parts[-3])
def test_the_catalogs_have_the_words_of_today(path: Path) -> None:
    assert path.read_text(encoding="utf-8") == words.updated(path), (
        "run: PYTHONPATH=tests:. .venv/bin/python tests/words.py"
    )


@pytest.mark.parametrize("path", words.catalogs(), ids=lambda path: path.parts[-3])
def test_each_language_is_complete(path: Path) -> None:
    found = words.catalog(path)
    assert words.untranslated(found) == []
    assert [each.id for each in words.messages(found) if each.fuzzy or list(each.check())] == []
