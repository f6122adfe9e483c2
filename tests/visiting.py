"""A running web server, a visitor without cookies, scripts or redirects, and what stands on a page."""

import re
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import sqlalchemy as sa
from fastapi import FastAPI
from multidict import CIMultiDictProxy
from selectolax.lexbor import LexborHTMLParser, LexborNode
from sqlmodel import SQLModel

from alerts.audience import subscribers
from alerts.audience.tokens import Keys, Purpose, derive, make
from alerts.db import Database
from alerts.mail.render import SiteView
from alerts.models import Frequency, Lane
from alerts.web.app import create
from alerts.web.signup import Terms
from alerts.web.websub import Callbacks
from build import NOW, a_reader, a_topic, an_alert, follows

SECRET = b"a secret of thirty-two characters"
KEYS = derive(SECRET, [])
SITE = SiteView(
    name="The Harbour Post",
    base_url="https://alerts.example",
    sender_name="Harbour Post",
    sender="alerts@harbour.example",
    contact="desk@harbour.example",
    postal_address="1 Quay Street, Seahaven",
)
ADDRESS = "rosalind.marsh@example.org"
ONE_CLICK = {"List-Unsubscribe": "One-Click"}
UNKNOWN_ALERT = 999

Start = Callable[..., Awaitable["Site"]]


@dataclass(frozen=True)
class Answer:
    """What came back, to the byte."""

    status: int
    headers: CIMultiDictProxy[str]
    text: str


class Site:
    """A running server and one client without cookies or redirects."""

    def __init__(self, port: int, client: aiohttp.ClientSession) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self._client = client

    async def ask(self, method: str, path: str, **given: Any) -> Answer:
        url = f"{self.url}{path}"
        async with self._client.request(method, url, allow_redirects=False, **given) as answer:
            return Answer(answer.status, answer.headers, await answer.text())

    async def get(self, path: str, **given: Any) -> Answer:
        return await self.ask("GET", path, **given)

    async def post(self, path: str, *fields: tuple[str, str]) -> Answer:
        return await self.ask("POST", path, data=aiohttp.FormData(fields))


def pages_of(
    database: Database,
    templates: Sequence[Path] = (),
    keys: Keys = KEYS,
    terms: Terms | None = None,
    language: str = "en",
    site: SiteView = SITE,
) -> FastAPI:
    callbacks = Callbacks(database, lambda: None, lambda: NOW)
    return create(database, keys, site, templates, "0.0", callbacks, language=language, terms=terms)


@dataclass(frozen=True)
class Story:
    """A reader of four topics, and the link in a mail that two of them brought."""

    reader: int
    alert: int
    link: str


def a_story(database: Database, **of_reader: Any) -> Story:
    with database.begin() as session:
        storm = a_topic(session, "storm", title="Storm on the coast")
        trains = a_topic(session, "trains", title="Ferries & trains")
        a_topic(session, "weather")
        reader = a_reader(session, ADDRESS, storm, **of_reader)
        follows(session, reader, trains, Frequency.FLASH)
        follows(session, reader, a_topic(session, "sport"))
        follows(session, reader, a_topic(session, "arts"), Frequency.FLASH)
        audience = {storm: [Frequency.FLASH, Frequency.EVERY], trains: [Frequency.FLASH]}
        alert = an_alert(session, audience, lane=Lane.FLASH)
    return Story(reader, alert, link_of(reader, alert))


def link_of(reader: int, alert: int, keys: Keys = KEYS) -> str:
    return f"/u/{make(keys, Purpose.MANAGE, reader, alert, keys.current)}"


def rows(database: Database) -> dict[str, list[Any]]:
    """Dumps every table."""
    with database.begin() as session:
        return {
            table.name: [tuple(row) for row in session.execute(sa.select(table).order_by(*table.primary_key))]
            for table in SQLModel.metadata.sorted_tables
        }


def following(database: Database, reader: int) -> dict[str, str]:
    with database.begin() as session:
        view = subscribers.show(session, reader)
    return {each.topic: each.frequency for each in view.following if each.until is None}


Fields = list[tuple[str, str]]


def forms(page: str) -> list[tuple[str, Fields]]:
    """Reads a page's forms: the label of each button, and what it sends when nothing is filled in."""
    return [
        (_text(button), _sent(form, button))
        for form in LexborHTMLParser(page).css("form")
        for button in form.css("button")
    ]


def buttons(page: str) -> list[str]:
    return [label for label, _ in forms(page)]


def fields_of(page: str, label: str, **filled: str) -> Fields:
    """Gives what the first form with such a button sends, some of its fields filled in."""
    fields = next(fields for each, fields in forms(page) if each == label)
    assert filled.keys() <= dict(fields).keys(), "such fields are on the form"
    return [(name, filled.get(name, value)) for name, value in fields]


def choosing(page: str, **frequencies: str) -> Fields:
    """Gives what the form of topics sends with these chosen, as a browser does."""
    fields = dict(next(fields for _, fields in forms(page) if "storm" in str(fields) and len(fields) > 4))
    for topic, frequency in frequencies.items():
        name = f"frequency.{topic}"
        shown = fields[name].partition(":")[0]
        option = f'select[name="{name}"] option[value="{shown}:{frequency}"]'
        assert LexborHTMLParser(page).css_first(option), "it can be chosen"
        fields[name] = f"{shown}:{frequency}"
    return [*fields.items()]


def said(page: str) -> str:
    """Reads what the page says about the form that was sent."""
    return _text(LexborHTMLParser(page).css_first("[role=status]"))


def text_of(page: str) -> str:
    return _text(LexborHTMLParser(page).css_first("main"))


def _sent(form: LexborNode, button: LexborNode) -> Fields:
    sent: Fields = []
    for each in form.css("input, select, textarea"):
        kind, name = each.attributes.get("type"), each.attributes.get("name") or ""
        if each.tag == "select":
            chosen = each.css_first("option[selected]")
            assert chosen, f"{name} shows how things stand"
            sent.append((name, chosen.attributes["value"] or ""))
        elif kind != "radio":
            sent.append((name, each.attributes.get("value") or ""))
    if pressed := button.attributes.get("name"):
        sent.append((pressed, button.attributes.get("value") or ""))
    return sent


def _text(node: LexborNode | None) -> str:
    assert node is not None, "it is on the page"
    return re.sub(r"\s+", " ", node.text()).strip()
