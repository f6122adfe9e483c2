"""A whole site at work inside a test: the daemon on a database of its own, and the inbox of all its readers."""

import asyncio
import contextlib
import itertools
import re
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import aiohttp
import sqlalchemy as sa
from sqlmodel import Session, col, select

from alerts import config, daemon
from alerts.audience import slots, subscribers
from alerts.audience.suppressions import suppress
from alerts.audience.tokens import Keys, Purpose, make
from alerts.db import Database
from alerts.dispatch.announce import announce_entry
from alerts.dispatch.digests.announcing import GRACE
from alerts.models import (
    Alert,
    AlertState,
    Entry,
    EntryRevision,
    FeedState,
    Frequency,
    Notice,
    NoticeState,
    SignUp,
    Subscriber,
)
from build import a_feed, a_reader, a_topic, an_alert, an_entry, follows
from fakes.smtp import ScriptedServer

_CONFIG = """\
secret = "a secret of the tests, long enough to be taken"
[site]
name = "The Harbour Post"
sender = "alerts@harbour.example"
contact = "desk@harbour.example"
postal_address = "1 Quay Street, Seahaven"
base_url = "{base_url}"
{more}
[database]
url = "{database}"
[transport.main]
host = "127.0.0.1"
port = {smtp}
[web]
port = {port}
[signup]
hourly_by_network = {limit}
"""
_STORY = """<p>The harbour <b>gate</b> was closed at 06:40.</p><ul><li>Ferries <a href="https://f.example/">stay</a>
in port</li></ul><blockquote>Nobody said why.</blockquote><p>https://news.example/an-address-that-is-longer-than-a-phone-is-wide</p>"""
HOURLY = "hourly@example.org"  # a reader whose digest is due as the daemon starts
_TOPICS = {
    "storm": ("Storm on the coast", "What the wind does to the harbour, the ferries and the dyke."),
    "trains": ("Ferries & trains", "Cancelled, late, and running again."),
    "council": ("The town council", ""),
}


@dataclass
class House:
    """The site; `url` is where its pages are, and `relay` holds every mail that it sent."""

    url: str
    database: Database
    relay: ScriptedServer
    keys: Keys
    alert: int = 0
    topics: dict[str, int] = field(default_factory=dict)
    _numbers: "itertools.count[int]" = field(default_factory=lambda: itertools.count(1))

    def furnish(self) -> None:
        """Writes the topics, and what they have had to say."""
        now = datetime.now(UTC)
        with self.database.begin() as session:
            for slug, (title, description) in _TOPICS.items():
                self.topics[slug] = a_topic(
                    session, slug, title=title, description=description, now=now - timedelta(days=9)
                )
            both = {self.topics["storm"]: [Frequency.EVERY], self.topics["trains"]: [Frequency.FLASH]}
            self.alert = an_alert(session, both, cause="entry:0", now=now, state=AlertState.DONE)
        self._owe_a_digest()
        self.announce("The pier is closed", html=_STORY)
        corrected, withdrawn = self.announce("Two are hurt", html=_STORY), self.announce("A ship was seen")
        with self.database.begin() as session:
            _correct(session, corrected, "Nobody is hurt", now)
            session.execute(sa.update(Entry).where(col(Entry.id) == withdrawn).values(withdrawn_at=now))
        self.announce("The ferry is late", is_key_event=True)

    def _owe_a_digest(self) -> None:
        """Has the hour before the last full one bring news, and a reader who waits for them."""
        due = slots.latest(Frequency.HOURLY, "UTC", datetime.now(UTC) - GRACE)
        began = due - timedelta(minutes=50)
        with self.database.begin() as session:
            reader = a_reader(session, HOURLY, now=began)
            subscribers.follow(session, reader, "storm", Frequency.HOURLY, by="reader", now=began)
        self.announce("The wind turns", began + timedelta(minutes=10), html=_STORY)
        mended = self.announce("Eight metres at the dyke", began + timedelta(minutes=20))
        with self.database.begin() as session:
            _correct(session, mended, "Six metres at the dyke", began + timedelta(minutes=30))

    def reader(self, following: dict[str, Frequency] | None = None, **fields: Any) -> int:
        """Writes a reader with an address of their own; without a word they follow two topics."""
        given = {"storm": Frequency.EVERY, "trains": Frequency.FLASH} if following is None else following
        with self.database.begin() as session:
            reader = a_reader(session, self.address(), now=datetime.now(UTC), **fields)
            for slug, frequency in given.items():
                follows(session, reader, self.topics[slug], frequency, now=datetime.now(UTC))
        return reader

    def address(self) -> str:
        """Gives an address that nobody has yet."""
        return f"reader{next(self._numbers)}@example.org"

    def address_of(self, reader: int) -> str:
        with self.database.begin() as session:
            return session.exec(select(Subscriber.address).where(Subscriber.id == reader)).one() or ""

    def link(self, reader: int) -> str:
        """Gives the address of a reader's own page, as it stands in a mail that came for storm and trains."""
        return self.link_to(Purpose.MANAGE, reader, self.alert)

    def link_to(self, purpose: Purpose, subject: int, alert: int = 0) -> str:
        """Gives the address of a page that a link opens, whether there is such a subject or not."""
        folder = "u" if purpose is Purpose.MANAGE else "n"
        return f"{self.url}/{folder}/{make(self.keys, purpose, subject, alert, self.keys.current)}"

    def take_topics_from(self, address: str) -> None:
        """Has a sign-up name a topic that is there no more."""
        of_address = sa.update(SignUp).where(col(SignUp.address) == address)
        with self.database.begin() as session:
            session.execute(of_address.values(choices={"gone": "every"}))

    def suppress(self, address: str) -> None:
        with self.database.begin() as session:
            suppress(
                session,
                self.keys.pepper,
                address,
                cause="bounce",
                evidence="",
                origin="",
                now=datetime.now(UTC),
            )

    def announce(self, title: str, at: datetime | None = None, **fields: Any) -> int:
        """Has something happen that every topic is about, and gives the entry."""
        now = at or datetime.now(UTC)
        with self.database.begin() as session:
            feed = a_feed(session, f"feed-{next(self._numbers)}", now=now, state=FeedState.RESTING)
            entry = an_entry(session, feed, title=title, now=now, **fields)
            announce_entry(session, entry, now)
        return entry

    async def linked(self, address: str) -> str:
        """Waits for mail to an address, and gives the link to our pages in the newest."""
        mail = (await self.mails(1, to=address))[-1]
        return next(link for link in links_of(mail) if link.startswith(self.url))

    async def mails(self, count: int, to: str = "") -> list[EmailMessage]:
        """Waits for this many mails to an address, or to all, and gives them."""

        def came() -> list[EmailMessage]:
            return [
                message_from_bytes(mail.content, policy=policy.default)
                for mail in self.relay.accepted
                if not to or mail.rcpt == to
            ]

        await self.relay.wait_until(lambda: len(came()) >= count)
        return came()

    async def is_at_rest(self) -> None:
        """Returns once nothing is left to send."""
        async with asyncio.timeout(20):
            while not await self.database.run(_is_all_sent):  # noqa: ASYNC110 - the daemon has a database of its own
                await asyncio.sleep(0.02)

    def rows(self) -> dict[str, list[tuple[Any, ...]]]:
        """Dumps every table that the database has, whoever made it."""
        with self.database.begin() as session:
            connection = session.connection()
            tables = sa.inspect(connection).get_table_names()
            return {
                name: sorted(
                    (tuple(row) for row in connection.execute(sa.text(f'SELECT * FROM "{name}"'))), key=repr
                )
                for name in tables
            }


def _correct(session: Session, entry: int, title: str, now: datetime) -> None:
    """Has an entry say something else from now on."""
    revision = EntryRevision(
        entry_id=entry,
        number=2,
        fingerprint="corrected",
        title=title,
        text=title,
        is_correction=True,
        seen_at=now,
    )
    session.add(revision)
    session.execute(sa.update(Entry).where(col(Entry.id) == entry).values(revision=2))


def _is_all_sent(session: Session) -> bool:
    open_notices = col(Notice.state).in_([NoticeState.WAITING, NoticeState.SENDING])
    is_settled = session.exec(select(Notice.id).where(open_notices)).first() is None
    return is_settled and set(session.exec(select(Alert.state)).all()) <= {AlertState.DONE}


@asynccontextmanager
async def house(
    folder: Path, database_url: str, *, limit: int = 1000, is_open: bool = True, templates: Path | None = None
) -> AsyncIterator[House]:
    """Runs a site until the block ends, that takes `limit` sign-ups an hour; one that is not open has no topics.

    The database has this version's schema and is otherwise empty.
    """
    relay = ScriptedServer()
    await relay.start()
    port = _free_port()
    base_url = f"http://127.0.0.1:{port}"
    path = folder / "config.toml"
    more = f'templates = "{templates}"' if templates else ""
    path.write_text(
        _CONFIG.format(
            base_url=base_url, database=database_url, smtp=relay.port, port=port, limit=limit, more=more
        )
    )
    settings = config.load(path, {})
    database = Database(database_url)
    made = House(base_url, database, relay, config.keys(settings))
    if is_open:
        made.furnish()
    stop = asyncio.Event()
    serving = asyncio.create_task(daemon.serve(settings, stop))
    try:
        await _answers(base_url, serving)
        yield made
    finally:
        stop.set()
        await serving
        database.close()
        await relay.stop()


async def _answers(base_url: str, serving: "asyncio.Task[None]") -> None:
    async with asyncio.timeout(20), aiohttp.ClientSession() as client:
        while True:
            if serving.done():
                await serving
            with contextlib.suppress(aiohttp.ClientConnectionError):
                async with client.get(f"{base_url}/readyz") as answer:
                    if answer.status == 200:
                        return
            await asyncio.sleep(0.02)


def links_of(mail: EmailMessage) -> list[str]:
    """Gives every web address in a mail: in its headers, its text, and its HTML's attributes."""
    headers = " ".join(str(value) for value in mail.values())
    text, html = (part_of(mail, kind) for kind in ("plain", "html"))
    quoted = re.findall(r'(?:href|src|action|background)="([^"]+)"', html)
    bare = re.findall(r"https?://[^\s<>\"]+", f"{headers}\n{text}")
    return sorted({link for link in (*quoted, *bare) if link.startswith("http")})


def in_browser(mail: EmailMessage) -> str:
    """Gives the address at which a mail can be read in a browser."""
    (link,) = {each for each in links_of(mail) if each.endswith("/mail")}
    return link


def part_of(mail: EmailMessage, kind: str) -> str:
    """Gives the text of one part, `plain` or `html`."""
    part = mail.get_body((kind,))
    assert part is not None
    return str(part.get_content())


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
