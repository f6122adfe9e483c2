"""The routes: the page behind the link in each mail, the callback of hubs, and health.

A GET changes nothing: mail programs and their scanners open every link. (Hubs confirm by GET, and their
protocol leaves no choice: see `web.websub`.) The token in the path is the whole
right to see and change one reader's choices; it is in no page, no log line and no header that we send. So a form
needs no other proof of where it comes from: a page elsewhere that could send one would have to know the token, and
there is no cookie that a browser would add for it. Where it comes from cannot be asked of one-click requests anyway.

Handlers are coroutines only to reach `Database.run`, where a transaction waits its turn. In threads of their
own, on SQLite, they would fight for the write lock with the daemon, and an unsubscribe waited for seconds
behind a busy mailing (5.1 s at worst against 36 ms; the lock of SQLite knows no queue).
"""

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path

import sqlalchemy.exc
from fastapi import FastAPI, Request
from sqlmodel import Session
from starlette.exceptions import HTTPException
from starlette.responses import HTMLResponse, PlainTextResponse, RedirectResponse, Response
from starlette.routing import Match

from alerts import db, schema
from alerts.audience import tokens
from alerts.audience.tokens import Claim, Keys, Purpose
from alerts.db import Database
from alerts.errors import Unavailable
from alerts.feeds.push.rules import CALLBACK
from alerts.mail.render import SiteView
from alerts.web.bodies import read_fields
from alerts.web.deeds import stop_what_brought
from alerts.web.forms import Fields, OneClick, read_choice
from alerts.web.guard import Guard, headers
from alerts.web.languages import languages_of
from alerts.web.linked import AddressPage, Linked, ReaderPage
from alerts.web.made_once import MadeOnce
from alerts.web.mailed import Mailed
from alerts.web.pages import Pages
from alerts.web.signup import ConfirmPage, Strangers, Terms
from alerts.web.websub import Callbacks

_READING = ["GET", "HEAD"]
_OF_PROGRAMS = ("/livez", "/readyz", CALLBACK)  # which are told in a line of text
_OF_LINKS = ("/u/", "/n/")
_READY_SECONDS = 5
_READY_KEPT_SECONDS = 1


def create(
    database: Database,
    keys: Keys,
    site: SiteView,
    templates: Sequence[Path],
    version: str,
    callbacks: Callbacks,
    *,
    language: str = "en",
    terms: Terms | None = None,
) -> FastAPI:
    """Gives the site's pages, those for signing up only with `terms`.

    Raises ConfigError when a template in `templates` or ours is wrong.
    """
    pages = Pages(site, templates, language)
    routes = _Routes(database, keys, pages, can_sign_up=terms is not None)
    app = FastAPI(
        title=site.name,
        version=version,
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        redirect_slashes=False,  # the redirect would repeat the token in a header
    )
    app.add_api_route("/livez", routes.livez, methods=_READING)
    app.add_api_route("/readyz", routes.readyz, methods=_READING)
    app.add_api_route("/u/{token}", routes.reader, methods=_READING)
    app.add_api_route("/u/{token}", routes.change_reader, methods=["POST"])
    app.add_api_route("/n/{token}", routes.noticed, methods=_READING)
    app.add_api_route("/n/{token}", routes.change_noticed, methods=["POST"])
    Mailed(database, keys, pages, site.archive).add_to(app)
    # Behind all routes below /u/: whatever stands there, a mail program's one click is answered.
    app.add_api_route("/u/{rest:path}", routes.no_reader, methods=[*_READING, "POST"])
    if terms is not None:
        strangers = Strangers(database, keys, pages, site.base_url, terms)
        for path in ("/", "/signup"):
            app.add_api_route(path, strangers.form, methods=_READING)
        app.add_api_route("/signup", strangers.sign_up, methods=["POST"])
        app.add_api_route("/link", strangers.link_form, methods=_READING)
        app.add_api_route("/link", strangers.send_link, methods=["POST"])
    app.add_api_route(CALLBACK + "{path}", callbacks.hear, methods=["GET"])
    app.add_api_route(CALLBACK + "{path}", callbacks.take, methods=["POST"])
    app.add_exception_handler(HTTPException, routes.refused)
    app.add_middleware(
        Guard,
        headers=headers(
            pages.style_source, pages.script_source, is_secure=site.base_url.startswith("https:")
        ),
        failed=routes.failed,
        limits_itself=(CALLBACK,),
    )
    return app


class _Routes:
    def __init__(self, database: Database, keys: Keys, pages: Pages, *, can_sign_up: bool) -> None:
        self._database = database
        self._keys = keys
        self._pages = pages
        self._can_sign_up = can_sign_up
        self._ready = MadeOnce[None, str](seconds=_READY_KEPT_SECONDS, room=1, at_once=1, weigh=lambda _: 1)
        reader = ReaderPage(database, keys, pages)
        self._in_mails: Mapping[Purpose, Linked] = {Purpose.MANAGE: reader}
        self._in_notices: Mapping[Purpose, Linked] = {
            Purpose.CONFIRM: ConfirmPage(database, keys, pages),
            Purpose.OWN: reader,
            Purpose.OLD_ADDRESS: AddressPage(database, keys, pages),
            Purpose.NEW_ADDRESS: AddressPage(database, keys, pages),
        }

    async def livez(self) -> Response:
        """Says that the process answers."""
        return PlainTextResponse("ok\n")

    async def readyz(self) -> Response:
        """Says whether the database answers and has this version's schema."""
        why_not = await self._ready.get(None, self._why_not_ready)
        return PlainTextResponse(f"{why_not}\n", 503) if why_not else PlainTextResponse("ok\n")

    async def _why_not_ready(self) -> str:
        try:
            async with asyncio.timeout(_READY_SECONDS):
                await self._database.run(schema.require)
        except Unavailable as error:
            return str(error)
        except (TimeoutError, sqlalchemy.exc.SQLAlchemyError):
            return "The database does not answer."
        return ""

    async def reader(self, token: str, request: Request) -> Response:
        """Shows what a reader follows."""
        return await self._show(token, request, self._in_mails)

    async def change_reader(self, token: str, request: Request) -> Response:
        """Does what a form asks, answers when it is committed."""
        fields = await read_fields(request)
        if isinstance(read_choice(fields), OneClick):
            return await self._one_click(tokens.read(self._keys, token))
        return await self._change(token, request, fields, self._in_mails)

    async def no_reader(self, request: Request) -> Response:
        """Answers what cannot be a token."""
        if request.method == "POST" and isinstance(read_choice(await read_fields(request)), OneClick):
            return await self._one_click(None)
        return self._gone(request)

    async def noticed(self, token: str, request: Request) -> Response:
        """Shows what a notice's link is about."""
        return await self._show(token, request, self._in_notices)

    async def change_noticed(self, token: str, request: Request) -> Response:
        """Does what the button behind a notice's link says."""
        return await self._change(token, request, await read_fields(request), self._in_notices)

    async def _show(self, token: str, request: Request, pages: Mapping[Purpose, Linked]) -> Response:
        claim = tokens.read(self._keys, token)
        page = pages.get(claim.purpose) if claim else None
        return await page.show(claim, languages_of(request)) if claim and page else self._gone(request)

    async def _change(
        self, token: str, request: Request, fields: Fields, pages: Mapping[Purpose, Linked]
    ) -> Response:
        claim = tokens.read(self._keys, token)
        page = pages.get(claim.purpose) if claim else None
        return (
            await page.change(claim, fields, languages_of(request)) if claim and page else self._gone(request)
        )

    async def _one_click(self, claim: Claim | None) -> Response:
        """Answers a mail program the same whether it knew the reader or not: RFC 8058 wants no redirect."""
        if claim is not None and claim.purpose is Purpose.MANAGE:
            await self._database.run(_stopped, claim)
        return PlainTextResponse("This link brings no more alerts.\n")

    async def refused(self, request: Request, error: Exception) -> Response:
        """Answers what has no route, the wrong method or an unreadable body."""
        assert isinstance(error, HTTPException), "registered for it"
        status, headers = error.status_code, dict(error.headers or {})
        if status == 405:  # noqa: PLR2004 - Method Not Allowed
            headers["Allow"] = _allowed(request)
        if request.url.path.startswith(_OF_PROGRAMS):
            return PlainTextResponse(f"{error.detail}\n", status, headers=headers)
        if status == 404:  # noqa: PLR2004 - Not Found
            return self._nothing(request)
        return HTMLResponse(self._pages.refused(status, languages_of(request)), status, headers=headers)

    def failed(self, request: Request, error: Exception) -> Response:
        """Answers when we are at fault, such that a mail program tries its one click again."""
        is_database = isinstance(error, sqlalchemy.exc.SQLAlchemyError)
        page = self._pages.fixed("failed.html", languages_of(request))
        return HTMLResponse(page, 503 if is_database else 500, headers={"Retry-After": "60"})

    def _nothing(self, request: Request) -> Response:
        """Answers who follows a link that was ours, or who typed an address: with a slash at its end, perhaps."""
        if request.url.path.startswith(_OF_LINKS):
            return self._gone(request)
        if place := _without_slash(request):
            return RedirectResponse(self._pages.root + place, 308)
        page = self._pages.missing(languages_of(request), can_sign_up=self._can_sign_up)
        return HTMLResponse(page, 404)

    def _gone(self, request: Request) -> Response:
        return HTMLResponse(self._pages.fixed("gone.html", languages_of(request)), 404)


def _allowed(request: Request) -> str:
    """Gives the methods that any route answers at this path: that which refused knows only its own."""
    routes = [each for each in request.app.routes if each.matches(request.scope)[0] is not Match.NONE]
    return ", ".join(sorted({method for route in routes for method in route.methods}))


def _without_slash(request: Request) -> str:
    """Gives the path, and the query, of the page that is meant by one with a slash; "" for none.

    A link's never reaches this: the redirect would repeat the token in a header.
    """
    path, _, rest = request.url.path.rpartition("/")
    if request.method not in _READING or not path or rest:
        return ""
    scope = dict(request.scope) | {"path": path}
    if all(each.matches(scope)[0] is not Match.FULL for each in request.app.routes):
        return ""
    raw: bytes = request.scope["raw_path"]
    query: bytes = request.scope["query_string"]
    return (raw.removesuffix(b"/") + (b"?" + query if query else b"")).decode("ascii")


def _stopped(session: Session, claim: Claim) -> None:
    stop_what_brought(session, claim, db.clock(session))
