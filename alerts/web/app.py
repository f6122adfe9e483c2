"""The routes: the page behind the link in each mail, the callback of hubs, and health.

A GET changes nothing: mail programs and their scanners open every link. (Hubs confirm by GET, and their
protocol leaves no choice: see `web.websub`.) The token in the path is the whole
right to see and change one reader's choices; it is in no page, no log line and no header that we send.

Handlers are coroutines only to reach `Database.run`, where a transaction waits its turn. In threads of their
own, on SQLite, they would fight for the write lock with the daemon, and an unsubscribe waited for seconds
behind a busy mailing (5.1 s at worst against 36 ms; the lock of SQLite knows no queue).
"""

import asyncio
from collections.abc import Sequence
from pathlib import Path

import sqlalchemy.exc
from fastapi import FastAPI, Request
from sqlmodel import Session
from starlette.exceptions import HTTPException
from starlette.responses import HTMLResponse, PlainTextResponse, Response

from alerts import db
from alerts.audience import tokens
from alerts.audience.tokens import Claim, Keys
from alerts.db import Database
from alerts.errors import Unavailable
from alerts.feeds.push.rules import CALLBACK
from alerts.mail.render import SiteView
from alerts.web.forms import Choice, OneClick, read_choice
from alerts.web.guard import Guard, headers
from alerts.web.mailed import Mailed
from alerts.web.pages import Pages
from alerts.web.reader import Deed, Done, ReaderView, carry_out, look, stop_what_brought
from alerts.web.websub import Callbacks

_READING = ["GET", "HEAD"]
_FIELD_LIMIT = 500  # a reader who follows that many topics can still undo in one form
_READY_SECONDS = 5


def create(
    database: Database,
    keys: Keys,
    site: SiteView,
    templates: Sequence[Path],
    version: str,
    callbacks: Callbacks,
) -> FastAPI:
    """Gives the site's pages; raises ConfigError when a template in `templates` or ours is wrong."""
    pages = Pages(site, templates)
    routes = _Routes(database, keys, pages)
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
    app.add_api_route("/u/{token}", routes.manage, methods=_READING)
    app.add_api_route("/u/{token}", routes.change, methods=["POST"])
    Mailed(database, keys, pages, site.archive).add_to(app)
    app.add_api_route(CALLBACK + "{path}", callbacks.hear, methods=["GET"])
    app.add_api_route(CALLBACK + "{path}", callbacks.take, methods=["POST"])
    app.add_exception_handler(HTTPException, routes.refused)
    app.add_middleware(
        Guard, headers=headers(pages.style_source), failed=routes.failed, limits_itself=(CALLBACK,)
    )
    return app


class _Routes:
    def __init__(self, database: Database, keys: Keys, pages: Pages) -> None:
        self._database = database
        self._keys = keys
        self._pages = pages

    async def livez(self) -> Response:
        """Says that the process answers."""
        return PlainTextResponse("ok\n")

    async def readyz(self) -> Response:
        """Says whether the database answers and has this version's schema."""
        try:
            async with asyncio.timeout(_READY_SECONDS):
                await self._database.run(db.require_schema)
        except Unavailable as error:
            return PlainTextResponse(f"{error}\n", 503)
        except (TimeoutError, sqlalchemy.exc.SQLAlchemyError):
            return PlainTextResponse("The database does not answer.\n", 503)
        return PlainTextResponse("ok\n")

    async def manage(self, token: str) -> Response:
        """Shows what a reader follows."""
        claim = tokens.read(self._keys, token)
        view = await self._database.run(look, claim) if claim else None
        return HTMLResponse(self._pages.manage(view)) if view else self._gone()

    async def change(self, token: str, request: Request) -> Response:
        """Does what a form asks, answers when it is committed."""
        claim = tokens.read(self._keys, token)
        choice = await _choice(request)
        if isinstance(choice, OneClick):
            return await self._one_click(claim)
        if claim is None:
            return self._gone()
        view, done = await self._database.run(_changed, claim, choice)
        if view is None or done is None:
            return self._gone()
        status = 400 if done.deed is Deed.UNCLEAR else 200
        return HTMLResponse(self._pages.manage(view, done), status)

    async def _one_click(self, claim: Claim | None) -> Response:
        """Answers a mail program the same whether it knew the reader or not: RFC 8058 wants no redirect."""
        if claim is not None:
            await self._database.run(_stopped, claim)
        return PlainTextResponse("This link brings no more alerts.\n")

    async def refused(self, _request: Request, error: Exception) -> Response:
        """Answers what has no route, the wrong method or an unreadable body."""
        assert isinstance(error, HTTPException), "registered for it"
        if error.status_code == 404:  # noqa: PLR2004 - Not Found
            return self._gone()
        return PlainTextResponse(f"{error.detail}\n", error.status_code, headers=error.headers)

    def failed(self, error: Exception) -> Response:
        """Answers when we are at fault, such that a mail program tries its one click again."""
        is_database = isinstance(error, sqlalchemy.exc.SQLAlchemyError)
        return HTMLResponse(self._pages.failed, 503 if is_database else 500, headers={"Retry-After": "60"})

    def _gone(self) -> Response:
        return HTMLResponse(self._pages.gone, 404)


async def _choice(request: Request) -> Choice:
    async with request.form(max_files=0, max_fields=_FIELD_LIMIT) as form:
        return read_choice((name, value) for name, value in form.multi_items() if isinstance(value, str))


def _changed(session: Session, claim: Claim, choice: Choice) -> tuple[ReaderView | None, Done | None]:
    """The whole of a person's request: what is asked, done, and how things stand then."""
    view = look(session, claim, to_change=True)
    if view is None:
        return None, None
    done = carry_out(session, view, choice, db.clock(session))
    return look(session, claim), done


def _stopped(session: Session, claim: Claim) -> None:
    stop_what_brought(session, claim, db.clock(session))
