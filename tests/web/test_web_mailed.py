"""What was mailed, read again over real HTTP: a reader's own mail, and the archive that names no reader."""

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import replace
from datetime import timedelta
from threading import Event
from typing import Any

import aiohttp
import pytest
import sqlalchemy as sa
from selectolax.lexbor import LexborHTMLParser
from sqlmodel import Session, SQLModel

from alerts.audience.tokens import Purpose, derive, make
from alerts.db import Database
from alerts.dispatch import content
from alerts.dispatch.archive import PAGE_LENGTH
from alerts.dispatch.compose import site_headers
from alerts.mail.compose import pack, prepare
from alerts.mail.render import AlertView, EntryView, Rendered, Renderer, SiteView
from alerts.mail.views import Archive
from alerts.models import (
    AlertEntry,
    AlertState,
    Delivery,
    DeliveryState,
    Entry,
    EntryRevision,
    Frequency,
    Subscriber,
    SubscriberState,
)
from alerts.web.app import create
from alerts.web.server import WebServer
from alerts.web.websub import Callbacks
from build import NOW, a_feed, a_reader, a_topic, an_alert, an_entry

KEYS = derive(b"a secret of thirty-two characters", [])
SITE = SiteView(
    name="The Harbour Post",
    base_url="https://alerts.example",
    sender_name="Harbour Post",
    sender="alerts@harbour.example",
    contact="desk@harbour.example",
    postal_address="1 Quay Street, Seahaven",
)
ADDRESS = "rosalind.marsh@example.org"

Ask = Callable[..., Awaitable[aiohttp.ClientResponse]]
Start = Callable[..., Awaitable[Ask]]


@pytest.fixture
async def start() -> AsyncIterator[Start]:
    """Serves the pages of a database; gives what asks them."""
    async with AsyncExitStack() as stack:

        async def start(database: Database, site: SiteView = SITE) -> Ask:
            callbacks = Callbacks(database, lambda: None, lambda: NOW)
            server = WebServer(create(database, KEYS, site, (), "0.0", callbacks), "127.0.0.1", 0)
            await server.start()
            stack.push_async_callback(server.stop)
            client = await stack.enter_async_context(aiohttp.ClientSession(f"http://127.0.0.1:{server.port}"))

            async def ask(path: str, method: str = "GET", **given: Any) -> aiohttp.ClientResponse:
                answer = await client.request(method, path, allow_redirects=False, **given)
                await answer.read()
                return answer

            return ask

        yield start


def rows(database: Database) -> dict[str, list[Any]]:
    """Dumps every table."""
    with database.begin() as session:
        return {
            table.name: [tuple(row) for row in session.execute(sa.select(table).order_by(*table.primary_key))]
            for table in SQLModel.metadata.sorted_tables
        }


def token(reader: int, alert: int, purpose: Purpose = Purpose.MANAGE) -> str:
    return make(KEYS, purpose, reader, alert, KEYS.current)


class Mailed:
    """Two readers, one of whom was sent a mail."""

    def __init__(self, database: Database) -> None:
        with database.begin() as session:
            storm = a_topic(session, "storm", title="Storm on the coast")
            self.reader = a_reader(session, ADDRESS, storm)
            self.other = a_reader(session, "other@example.org", storm)
            self.alert = an_alert(session, {storm: [Frequency.EVERY]})
            self.rendered = _rendered()
            packed = pack(prepare(self.rendered, site_headers(SITE, NOW)))
            content.store(session, self.alert, {"v": packed}, NOW)
            for reader, state, variant in (
                (self.reader, DeliveryState.ACCEPTED, "v"),
                (self.other, DeliveryState.SKIPPED, ""),
            ):
                session.add(
                    Delivery(alert_id=self.alert, subscriber_id=reader, variant=variant, state=state, at=NOW)
                )
        self.token = token(self.reader, self.alert)
        self.path = f"/u/{self.token}/mail"


def _rendered() -> Rendered:
    entry = EntryView(
        "The ferry is late", "It is late.", "<p>It is <b>late</b>.\n.dot</p>", "", "", None, None, ""
    )
    return Renderer(SITE, ()).render(AlertView((entry,), ("Storm on the coast",), "every", "en", NOW))


async def test_a_mail_is_shown_as_it_was_sent(db: Database, start: Start) -> None:
    mailed = Mailed(db)
    before = rows(db)
    ask = await start(db)
    answer = await ask(mailed.path)
    assert (answer.status, answer.content_type) == (200, "text/html")
    assert await answer.text() == mailed.rendered.html.replace(mailed.rendered.hole, mailed.token)
    links = [node.attributes["href"] for node in LexborHTMLParser(await answer.text()).css("a")]
    assert f"{SITE.base_url}/u/{mailed.token}" in links
    assert f"{SITE.base_url}{mailed.path}" in links
    head = await ask(mailed.path, "HEAD")
    assert (head.status, await head.read()) == (200, b"")
    assert head.headers["Content-Length"] == answer.headers["Content-Length"]
    assert rows(db) == before


async def test_the_page_of_a_mail_may_have_its_styles_and_nothing_else(
    sqlite_db: Database, start: Start
) -> None:
    mailed = Mailed(sqlite_db)
    ask = await start(sqlite_db)
    answer = await ask(mailed.path)
    policy = dict(
        each.strip().partition(" ")[::2] for each in answer.headers["Content-Security-Policy"].split(";")
    )
    assert policy == {
        "default-src": "'none'",
        "style-src": "'unsafe-inline'",
        "form-action": "'none'",
        "base-uri": "'none'",
        "frame-ancestors": "'none'",
        "sandbox": "allow-popups allow-popups-to-escape-sandbox",
    }
    assert answer.headers["Referrer-Policy"] == "no-referrer"
    assert answer.headers["Cache-Control"] == "no-store"
    assert "noindex" in answer.headers["X-Robots-Tag"]
    elsewhere = await ask(f"/u/{mailed.token}")
    assert "unsafe" not in elsewhere.headers["Content-Security-Policy"]


async def test_who_got_no_mail_is_shown_none(db: Database, start: Start) -> None:
    mailed = Mailed(db)
    ask = await start(db)
    wrong = mailed.token[:-2] + ("AA" if mailed.token[-2:] != "AA" else "BA")
    for each in (
        token(mailed.other, mailed.alert),
        token(mailed.reader, mailed.alert + 1),
        token(mailed.reader + 10, mailed.alert),
        token(mailed.reader, mailed.alert, Purpose.OWN),
        wrong,
        "x",
    ):
        answer = await ask(f"/u/{each}/mail")
        assert answer.status == 404
        assert "This mail is not kept any more" in await answer.text()
        assert "unsafe" not in answer.headers["Content-Security-Policy"]


async def test_what_is_kept_no_more_and_whose_is_erased_is_not_shown(
    sqlite_db: Database, start: Start
) -> None:
    mailed = Mailed(sqlite_db)
    ask = await start(sqlite_db)
    with sqlite_db.begin() as session:
        reader = session.get_one(Subscriber, mailed.reader)
        reader.state = SubscriberState.ERASED
    assert (await ask(mailed.path)).status == 404
    with sqlite_db.begin() as session:
        session.get_one(Subscriber, mailed.reader).state = SubscriberState.LEFT
    assert (await ask(mailed.path)).status == 200
    with sqlite_db.begin() as session:
        session.execute(sa.text("DELETE FROM body"))
    assert (await ask(mailed.path)).status == 404


async def test_a_digest_is_shown_as_well(sqlite_db: Database, start: Start) -> None:
    mailed = Mailed(sqlite_db)
    with sqlite_db.begin() as session:
        session.execute(sa.text("UPDATE alert SET frequency = 'daily'"))
    assert (await (await start(sqlite_db))(mailed.path)).status == 200


# The archive.


class Archived:
    """A topic with alerts in every state, of entries that were changed, corrected and withdrawn since."""

    def __init__(self, database: Database) -> None:
        with database.begin() as session:
            storm = a_topic(session, "storm", title="Storm on the coast", description="Wind & water")
            trains = a_topic(session, "trains", title="Trains")
            a_topic(session, "resting", title="Resting", is_active=False)
            feed = a_feed(session)
            self.alerts: dict[str, int] = {}
            for name, state, topics, fields in (
                ("plain", AlertState.RELEASED, [storm], {}),
                ("changed", AlertState.DONE, [storm, trains], {}),
                ("withdrawn", AlertState.DONE, [storm], {"withdrawn_at": NOW + timedelta(minutes=9)}),
                ("held", AlertState.HELD, [storm], {}),
                ("cancelled", AlertState.CANCELLED, [storm], {}),
                ("trains", AlertState.DONE, [trains], {}),
            ):
                entry = an_entry(
                    session, feed, name, title=f"Title {name}", text=f"Text of {name} <b>", **fields
                )
                alert = an_alert(
                    session,
                    {topic: [Frequency.EVERY] for topic in topics},
                    cause=f"entry:{entry}",
                    state=state,
                    released_at=None if state is AlertState.HELD else NOW,
                )
                session.add(AlertEntry(alert_id=alert, entry_id=entry, revision=1))
                self.alerts[name] = alert
                if name != "plain":
                    for number, is_correction in ((2, False), (3, True)):
                        session.add(_revision(entry, number, is_correction=is_correction))
                    session.get_one(Entry, entry).revision = 3
            a_reader(session, ADDRESS, storm)


def _revision(entry: int, number: int, *, is_correction: bool) -> EntryRevision:
    return EntryRevision(
        entry_id=entry,
        number=number,
        fingerprint=f"{entry}:{number}",
        title=f"Title since {number}",
        text=f"Text since {number}",
        url="javascript:alert(1)",
        is_correction=is_correction,
        seen_at=NOW + timedelta(minutes=number),
    )


def texts(html: str, selector: str) -> list[str]:
    nodes = LexborHTMLParser(html).css(selector)
    return [re.sub(r"[ \n]+", " ", node.text(separator=" ")).strip() for node in nodes]


async def test_the_archive_has_the_topics_that_can_be_followed(db: Database, start: Start) -> None:
    Archived(db)
    before = rows(db)
    ask = await start(db)
    answer = await ask("/archive")
    html = await answer.text()
    assert answer.status == 200
    assert texts(html, "h2") == ["Storm on the coast", "Trains"]
    for link in LexborHTMLParser(html).css("ul a"):
        assert (await ask(f"/{link.attributes['href']}")).status == 200
    assert rows(db) == before


async def test_a_topics_archive_has_what_was_mailed_and_what_became_of_it(db: Database, start: Start) -> None:
    Archived(db)
    answer = await (await start(db))("/archive/storm")
    html = await answer.text()
    assert texts(html, "h1") == ["Storm on the coast"]
    assert texts(html, "article h2") == ["Withdrawn", "Title changed", "Title plain"]
    withdrawn, changed, plain = texts(html, "article")
    assert withdrawn == (
        "Withdrawn Mailed: November 22, 2026, 7:00\u00a0AM UTC "
        "Withdrawn by its publisher: November 22, 2026, 7:09\u00a0AM UTC"
    )
    assert (
        "Updated: November 22, 2026, 7:02\u00a0AM UTC Corrected: November 22, 2026, 7:03\u00a0AM UTC"
        in changed
    )
    assert "It reads now: Title since 3 Text since 3" in changed
    assert changed.endswith("As it was mailed Text of changed Read on")
    assert "since 2" not in html
    assert plain.endswith("Harbour Text of plain Read on")
    assert "javascript" not in html
    for secret in ("rosalind", "Text of withdrawn", "Title held", "Title cancelled", "Title trains"):
        assert secret not in html


async def test_an_archive_is_paged_by_the_last_that_was_shown(db: Database, start: Start) -> None:
    with db.begin() as session:
        storm = a_topic(session, "storm")
        other = a_topic(session, "other")
        feed = a_feed(session)
        for number in range(2 * PAGE_LENGTH):
            entry = an_entry(session, feed, f"{number}", title=f"Entry {number}")
            topic = storm if number % 3 else other
            alert = an_alert(session, {topic: [Frequency.EVERY]}, cause=f"entry:{entry}")
            session.add(AlertEntry(alert_id=alert, entry_id=entry, revision=1))
        an_alert(session, {storm: [Frequency.DAILY]}, cause="digest:daily", frequency="daily")
    ask = await start(db)
    seen, path = list[str](), "/archive/storm"
    while path:
        html = await (await ask(path)).text()
        page = LexborHTMLParser(html)
        seen += texts(html, "article h2")
        further = page.css_first("a[rel=next]")
        path = f"/archive/storm{further.attributes['href']}" if further else ""
    assert seen == [f"Entry {number}" for number in reversed(range(2 * PAGE_LENGTH)) if number % 3]


@pytest.mark.parametrize(
    "path",
    [
        "/archive/nothing",
        "/archive/resting",
        "/archive/storm/more",
        "/archive/storm?before=x",
        "/archive/storm?before=-1",
        "/archive/storm?before=99999999999999999999",
        "/archive/storm?before=",
        "/archive/%00",
        "/archive/%27%20OR%201=1",
    ],
)
async def test_what_is_not_there_is_not_found(db: Database, start: Start, path: str) -> None:
    Archived(db)
    assert (await (await start(db))(path)).status == 404


async def test_a_page_beyond_the_end_is_empty(sqlite_db: Database, start: Start) -> None:
    Archived(sqlite_db)
    html = await (await (await start(sqlite_db))("/archive/storm?before=1")).text()
    assert "There is nothing here yet." in html


async def test_the_archive_waits_for_no_writer_and_keeps_none_waiting(db: Database, start: Start) -> None:
    Archived(db)
    ask = await start(db)
    began, may_end = Event(), Event()

    def write(session: Session) -> None:
        session.execute(sa.update(Subscriber).values(language="de"))
        began.set()
        may_end.wait()

    writing = asyncio.create_task(db.run(write))
    try:
        await asyncio.to_thread(began.wait)
        for path in ("/archive", "/archive/storm"):
            assert (await ask(path)).status == 200
    finally:
        may_end.set()
        await writing


async def test_what_reads_cannot_write(sqlite_db: Database) -> None:
    def write(session: Session) -> None:
        session.execute(sa.update(Subscriber).values(language="de"))

    with pytest.raises(sa.exc.OperationalError, match="readonly"):
        await sqlite_db.read(write)


async def test_a_page_of_the_archive_is_made_once_a_minute(sqlite_db: Database, start: Start) -> None:
    Archived(sqlite_db)
    ask = await start(sqlite_db)
    english, german = {"Accept-Language": "en"}, {"Accept-Language": "de"}
    first = await (await ask("/archive/storm", headers=english)).text()
    with sqlite_db.begin() as session:
        session.execute(sa.text("UPDATE topic SET title = 'Another title'"))
    assert await (await ask("/archive/storm", headers=english)).text() == first
    for other, headers in (("/archive/storm", german), ("/archive/trains", english)):
        assert "Another title" in await (await ask(other, headers=headers)).text()


@pytest.mark.parametrize("path", ["/archive", "/archive/storm"])
async def test_the_archive_may_be_cached_and_is_listed_only_where_that_is_wanted(
    sqlite_db: Database, start: Start, path: str
) -> None:
    Archived(sqlite_db)
    unlisted = await (await start(sqlite_db))(path)
    assert unlisted.headers["Cache-Control"] == "public, max-age=60"
    assert unlisted.headers["Vary"] == "Accept-Language"
    assert "noindex" in unlisted.headers["X-Robots-Tag"]
    assert "noindex" in await unlisted.text()
    indexed = await (await start(sqlite_db, replace(SITE, archive=Archive.INDEXED)))(path)
    assert "noindex" not in indexed.headers["X-Robots-Tag"] + await indexed.text()
    assert (await (await start(sqlite_db, replace(SITE, archive=Archive.OFF)))(path)).status == 404
    for answer in (unlisted, indexed):
        assert "style-src 'sha256-" in answer.headers["Content-Security-Policy"]
        assert "unsafe" not in answer.headers["Content-Security-Policy"]


@pytest.mark.parametrize(
    ("accepted", "language"),
    [
        ("de", "de"),
        ("de-AT,de;q=0.9,en;q=0.8", "de-AT"),
        ("fr, de;q=0.5, en;q=0.4", "de"),
        ("en-GB, de", "en-GB"),
        ("de;q=0", "en"),
        ("fr", "en"),
        ("*", "en"),
        ("; nonsense,,q=1", "en"),
        ("de;q=0.1, en;q=0.7", "en"),
        ("x" * 4000, "en"),
        (None, "en"),
    ],
)
async def test_a_visitor_is_spoken_to_in_a_language_they_read(
    sqlite_db: Database, start: Start, accepted: str | None, language: str
) -> None:
    Archived(sqlite_db)
    given = {"Accept-Language": accepted} if accepted is not None else {}
    answer = await (await start(sqlite_db))("/archive/storm", headers=given)
    html = await answer.text()
    assert f'<html lang="{language}" dir="ltr">' in html
    assert ("Ältere" in html or "Verschickt:" in html) == language.startswith("de")
