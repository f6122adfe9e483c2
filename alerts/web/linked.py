"""The pages behind signed links, by what the link allows: a reader's own page, and the ends of a change of address."""

from datetime import datetime
from typing import Protocol

from sqlmodel import Session
from starlette.responses import HTMLResponse, Response

from alerts import db
from alerts.audience import address_changes
from alerts.audience.address_changes import EndView, Standing
from alerts.audience.tokens import Claim, Keys, Purpose
from alerts.db import Database
from alerts.web.deeds import Deed, Outcome, act
from alerts.web.forms import AskErase, AskZone, Choice, Download, Fields, read_choice
from alerts.web.pages import Pages
from alerts.web.reader import ReaderView, look, right_of

_GONE = 410
_WRONG = 400


class Linked(Protocol):
    """What a link opens; `accepted` says which languages its reader knows, where we do not know the reader."""

    async def show(self, claim: Claim, accepted: str) -> Response:
        """Shows it, and changes nothing."""

    async def change(self, claim: Claim, fields: Fields, accepted: str) -> Response:
        """Does what a form asks, and answers when it is committed."""


class ReaderPage:
    """A reader's own page, behind the link in each mail or the one that they asked for by address."""

    def __init__(self, database: Database, keys: Keys, pages: Pages) -> None:
        self._database = database
        self._keys = keys
        self._pages = pages

    async def show(self, claim: Claim, accepted: str) -> Response:
        """Shows what a reader follows, and all that they can do."""
        view, now = await self._database.run(_looked, self._keys, claim)
        return HTMLResponse(self._pages.manage(view, now)) if view else self._nobody(claim, accepted)

    async def change(self, claim: Claim, fields: Fields, accepted: str) -> Response:
        """Does what a button asks."""
        choice = read_choice(fields)
        outcome, now = await self._database.run(_acted, self._keys, claim, choice)
        if outcome is None:
            return self._nobody(claim, accepted)
        done, before = outcome.done, outcome.before
        if outcome.after is None:
            return HTMLResponse(self._pages.erased(before.language, is_news=True))
        match choice:
            case AskErase() if done.deed is Deed.ASKED:
                return HTMLResponse(self._pages.erase(before))
            case AskZone(hour, weekday) if done.deed is Deed.ASKED:
                return HTMLResponse(self._pages.zone(before, hour, weekday))
            case Download() if done.deed is Deed.TOLD:
                name = f"attachment; filename=alerts-{now:%Y-%m-%d}.json"
                return Response(
                    done.data, media_type="application/json", headers={"Content-Disposition": name}
                )
        status = _WRONG if done.deed.is_refusal else 200
        return HTMLResponse(self._pages.manage(outcome.after, now, done), status)

    def _nobody(self, claim: Claim, accepted: str) -> Response:
        """Answers a link that is ours and opens nothing: only the one in mails works for good."""
        if claim.purpose is Purpose.MANAGE:
            return HTMLResponse(self._pages.erased(self._pages.known(accepted)), _GONE)
        return HTMLResponse(self._pages.fixed("over.html", accepted), _GONE)


class AddressPage:
    """The page of one end of a change of address."""

    def __init__(self, database: Database, keys: Keys, pages: Pages) -> None:
        self._database = database
        self._keys = keys
        self._pages = pages

    async def show(self, claim: Claim, accepted: str) -> Response:
        """Shows what this end is asked, or what became of it."""
        return self._answer(await self._database.run(_end, self._keys, claim), accepted)

    async def change(self, claim: Claim, fields: Fields, accepted: str) -> Response:
        """Takes this end's yes or no."""
        values = dict(fields)
        match values.get("action"):
            case "confirm":
                stamp = values.get("stamp", "")
                return self._answer(await self._database.run(_confirmed, self._keys, claim, stamp), accepted)
            case "refuse":
                return self._answer(await self._database.run(_refused, self._keys, claim), accepted)
        return await self.show(claim, accepted)

    def _answer(self, view: EndView | None, accepted: str) -> Response:
        if view is None:
            return HTMLResponse(self._pages.fixed("over.html", accepted), _GONE)
        is_wrong = view.standing in (Standing.IN_USE, Standing.ANOTHER)
        return HTMLResponse(self._pages.address(view), 409 if is_wrong else 200)


def _looked(session: Session, keys: Keys, claim: Claim) -> tuple[ReaderView | None, datetime]:
    now = db.clock(session)
    right = right_of(session, keys, claim, now)
    return (look(session, right, now) if right else None), now


def _acted(session: Session, keys: Keys, claim: Claim, choice: Choice) -> tuple[Outcome | None, datetime]:
    now = db.clock(session)
    right = right_of(session, keys, claim, now)
    return (act(session, keys, right, choice, now) if right else None), now


def _end(session: Session, keys: Keys, claim: Claim) -> EndView | None:
    return address_changes.look(session, keys, claim, db.clock(session))


def _confirmed(session: Session, keys: Keys, claim: Claim, stamp: str) -> EndView | None:
    return address_changes.confirm(session, keys, claim, stamp, db.clock(session))


def _refused(session: Session, keys: Keys, claim: Claim) -> EndView | None:
    return address_changes.refuse(session, keys, claim, db.clock(session))
