"""What was mailed, as pages: a reader's own mail in their browser, and the archive of each topic for everybody."""

import asyncio
import re
from collections.abc import Mapping

from fastapi import FastAPI, Request
from starlette.exceptions import HTTPException
from starlette.responses import HTMLResponse, Response

from alerts.audience import tokens
from alerts.audience.tokens import Keys, Purpose
from alerts.db import Database
from alerts.dispatch import archive
from alerts.mail.compose import html_part
from alerts.mail.views import Archive
from alerts.web.languages import languages_of
from alerts.web.made_once import MadeOnce
from alerts.web.pages import Pages

_READING = ["GET", "HEAD"]
_NOT_FOUND = 404
_NUMBER = re.compile("[1-9][0-9]{0,17}")  # as large as a row's id can be
# A mail's styles stand in its HTML. Nothing is loaded, sent or run, and a link opens as on any page.
_AS_SENT = {
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'unsafe-inline'; form-action 'none'; base-uri 'none'; "
        "frame-ancestors 'none'; sandbox allow-popups allow-popups-to-escape-sandbox"
    )
}
_PUBLIC = {"Cache-Control": "public, max-age=60", "Vary": "Accept-Language"}
_KEPT_SECONDS = 60
_KEPT_ROOM = 10_000_000  # characters of pages
_MADE_AT_ONCE = 8
_INDEXED = {"X-Robots-Tag": "all"}


class Mailed:
    """The pages of what was mailed; none of them changes anything."""

    def __init__(self, database: Database, keys: Keys, pages: Pages, kind: Archive) -> None:
        self._database = database
        self._keys = keys
        self._pages = pages
        self._headers: Mapping[str, str] = _PUBLIC | (_INDEXED if kind is Archive.INDEXED else {})
        self._has_archive = kind is not Archive.OFF
        # By topic ("" for the list of topics), where it begins, and language.
        self._archive = MadeOnce[tuple[str, int | None, str], str](
            seconds=_KEPT_SECONDS, room=_KEPT_ROOM, at_once=_MADE_AT_ONCE, weigh=len
        )

    def add_to(self, app: FastAPI) -> None:
        """Adds the routes."""
        app.add_api_route("/u/{token}/mail", self.as_sent, methods=_READING)
        if self._has_archive:
            app.add_api_route("/archive", self.archive, methods=_READING)
            app.add_api_route("/archive/{slug}", self.of_topic, methods=_READING)

    async def as_sent(self, token: str, request: Request) -> Response:
        """Shows the mail that the link stands in, as it was sent."""
        claim = tokens.read(self._keys, token)
        is_in_a_mail = claim is not None and claim.purpose is Purpose.MANAGE
        sent = await self._database.read(archive.as_sent, claim) if claim and is_in_a_mail else None
        if sent is None:
            return HTMLResponse(self._pages.fixed("forgotten.html", languages_of(request)), _NOT_FOUND)
        return HTMLResponse(html_part(sent, token), headers=_AS_SENT)

    async def archive(self, request: Request) -> Response:
        """Shows of which topics there is an archive."""
        language = self._language(request)

        async def make() -> str:
            topics = await self._database.read(archive.topics)
            return self._pages.archive(topics, language)

        return self._answer(await self._archive.get(("", None, language), make))

    async def of_topic(self, slug: str, request: Request) -> Response:
        """Shows what was mailed about a topic, the newest first."""
        before = request.query_params.get("before")
        is_number = before is None or _NUMBER.fullmatch(before)
        if not is_number or "\0" in slug:  # which PostgreSQL takes in no text
            raise HTTPException(_NOT_FOUND)
        start = int(before) if before else None
        language = self._language(request)

        async def make() -> str:
            page = await self._database.read(archive.page, slug, start)
            if page is None:  # nothing is kept of it: there is no end of names that are none
                raise HTTPException(_NOT_FOUND)
            return await asyncio.to_thread(self._pages.archive_of, page, language)

        return self._answer(await self._archive.get((slug, start, language), make))

    def _answer(self, page: str) -> Response:
        return HTMLResponse(page, headers=self._headers)

    def _language(self, request: Request) -> str:
        return self._pages.known(languages_of(request))
