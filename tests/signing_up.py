"""A visitor of the sign-up pages, over real HTTP, and the mails that were written for them."""

import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from html import unescape
from typing import Any

import aiohttp
from multidict import CIMultiDictProxy
from sqlmodel import col, select

from alerts.audience import subscribers
from alerts.audience.tokens import derive, make
from alerts.db import Database
from alerts.dispatch.letters import PURPOSES
from alerts.mail.views import SiteView
from alerts.models import Notice, NoticeKind
from alerts.web.app import create
from alerts.web.server import WebServer
from alerts.web.signup import Terms
from alerts.web.websub import Callbacks
from build import NOW

KEYS = derive(b"a secret of thirty-two characters", [])
SITE = SiteView(
    name="The Harbour Post",
    base_url="https://alerts.example",
    sender_name="Harbour Post",
    sender="alerts@harbour.example",
    contact="desk@harbour.example",
    postal_address="1 Quay Street, Seahaven",
)
ANN = "ann@reader.example.org"


@dataclass(frozen=True)
class Answer:
    status: int
    headers: CIMultiDictProxy[str]
    text: str

    @property
    def heading(self) -> str:
        return unescape(re.findall(r"<h1[^>]*>(.*?)</h1>", self.text, re.DOTALL)[0].strip())

    def field(self, name: str) -> str:
        return unescape(re.findall(rf'name="{name}" value="(.*?)"', self.text)[0])

    def choices(self, name: str) -> list[str]:
        """Gives the values that a list has, in their order."""
        return re.findall(r'<option value="(.*?)"', self._list(name))

    def chosen(self, name: str) -> str:
        """Gives the one value of a list that is chosen beforehand."""
        (value,) = re.findall(r'<option value="(.*?)" selected', self._list(name))
        return str(value)

    def _list(self, name: str) -> str:
        (found,) = re.findall(rf'<select [^>]*name="{re.escape(name)}".*?</select>', self.text, re.DOTALL)
        return str(found)


class Visitor:
    """Asks a running server; without cookies, redirects or scripts."""

    def __init__(self, url: str, client: aiohttp.ClientSession) -> None:
        self.url = url
        self._client = client

    async def ask(self, method: str, path: str, **given: Any) -> Answer:
        async with self._client.request(
            method, f"{self.url}{path}", allow_redirects=False, **given
        ) as answer:
            return Answer(answer.status, answer.headers, await answer.text())

    async def get(self, path: str, **headers: str) -> Answer:
        return await self.ask("GET", path, headers=headers)

    async def sign_up(
        self,
        address: str = ANN,
        choices: Mapping[str, str] | None = None,
        *,
        headers: Mapping[str, str] | None = None,
        **fields: str,
    ) -> Answer:
        wanted = {"storm": "every"} if choices is None else choices
        form = {f"frequency.{slug}": frequency for slug, frequency in wanted.items()}
        data = form | {"address": address} | {name.rstrip("_"): value for name, value in fields.items()}
        return await self.ask("POST", "/signup", data=data, headers=headers)

    async def confirm(self, link: str) -> Answer:
        """Opens the link in a mail, and presses the button."""
        page = await self.get(link)
        return await self.ask("POST", link, data={"version": page.field("version")})


@asynccontextmanager
async def visiting(
    database: Database, terms: Terms | None = None, *, proxies: tuple[str, ...] = (), language: str = "en"
) -> AsyncIterator[Visitor]:
    """The pages of a site, on a free port, for the length of the block."""
    callbacks = Callbacks(database, lambda: None, lambda: NOW)
    app = create(database, KEYS, SITE, [], "0.0", callbacks, language=language, terms=terms or Terms())
    server = WebServer(app, "127.0.0.1", 0, proxies)
    await server.start()
    try:
        connector = aiohttp.TCPConnector(limit=0)
        async with aiohttp.ClientSession(connector=connector) as client:
            yield Visitor(f"http://127.0.0.1:{server.port}", client)
    finally:
        await server.stop()


def notices(database: Database) -> list[Notice]:
    with database.begin() as session:
        return list(session.exec(select(Notice).order_by(col(Notice.id))))


def link_of(notice: Notice, kind: NoticeKind | None = None) -> str:
    """Gives the path of the link in a notice's mail; of another `kind`, for who tries."""
    assert notice.id is not None
    purpose = PURPOSES[kind or NoticeKind(notice.kind)]
    return f"/n/{make(KEYS, purpose, notice.id, 0, notice.key_id)}"


def following(database: Database, address: str = ANN) -> dict[str, str]:
    with database.begin() as session:
        view = subscribers.show(session, subscribers.find(session, address))
    return {each.topic: each.frequency for each in view.following if each.until is None}
