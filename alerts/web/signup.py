"""The pages on which strangers ask: to sign up, or for the link to their own page.

The answer is the same, in text and in time, whether an address is known, new, suppressed, or had enough mail for a
day. The work is done before the answer, in one transaction; the answer then waits for the next beat, so that what
the transaction found takes no part in when it comes.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from math import ceil, inf
from time import monotonic
from typing import Concatenate, ParamSpec

import structlog
from sqlmodel import Session
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from alerts import db
from alerts.audience import signups
from alerts.audience.addresses import Address
from alerts.audience.hints import suggestion
from alerts.audience.offers import Offer, offers
from alerts.audience.signups import Asking, Full, HourlyLimits, NotConfirmed, Pending, Wanted
from alerts.audience.slots import coming, known_zone, slot_of
from alerts.audience.tokens import Claim, Keys, Purpose, make
from alerts.audience.zones import is_zone
from alerts.db import Database
from alerts.models import Frequency, Subscriber
from alerts.web import signup_form
from alerts.web.bodies import read_fields
from alerts.web.forms import Fields
from alerts.web.languages import languages_of
from alerts.web.made_once import MadeOnce
from alerts.web.pages import Pages
from alerts.web.signup_form import Fault, Filled, Rules, check_address
from alerts.web.signup_pages import SignUpPages, Welcome
from alerts.web.strangers import is_from_elsewhere, networks_of

P = ParamSpec("P")

log = structlog.get_logger()

_BEAT_SECONDS = 0.25
_OFFERS_SECONDS = 60.0
_HOUR_SECONDS = 3600.0
_SOURCE = "sign-up page"
_WRONG, _FORBIDDEN, _CONFLICT, _GONE, _TOO_MANY = 400, 403, 409, 410, 429
# Under the policy of other pages browsers call the origin of our own forms "null" (Fetch, section 3.2). No address
# of a page with these forms has a token in it.
_OWN_FORM = {"Referrer-Policy": "same-origin"}
_REMEMBERED = 10_000  # networks and domains


@dataclass(frozen=True, slots=True)
class Terms:
    """What an operator decides about signing up."""

    limits: HourlyLimits = field(default_factory=HourlyLimits)
    rules: Rules = field(default_factory=Rules)
    confirm_within: timedelta = timedelta(days=2)
    link_works_for: timedelta = timedelta(days=1)
    zone: str = "UTC"  # of readers whose browser does not say


class Strangers:
    """Answers who is not known yet, or does not show who they are."""

    def __init__(self, database: Database, keys: Keys, pages: Pages, base_url: str, terms: Terms) -> None:
        self._database = database
        self._keys = keys
        self._pages = SignUpPages(pages)
        self._base_url = base_url
        self._terms = terms
        self._kept = MadeOnce[None, tuple[Offer, ...]](
            seconds=_OFFERS_SECONDS, room=1, at_once=1, weigh=lambda _: 1
        )
        self._full = _Limited(database, keys, terms)

    async def form(self, request: Request) -> Response:
        """Shows what can be followed."""
        found = await self._offers()
        given = request.query_params
        filled = signup_form.preselected(given.getlist("topic"), given.get("from", ""), found)
        page = self._pages.form(languages_of(request), found, filled)
        return HTMLResponse(page, headers=_OWN_FORM | {"X-Robots-Tag": "all"})

    async def sign_up(self, request: Request) -> Response:
        """Has whoever reads mail to an address asked whether it was they; says the same whoever it is."""
        language = languages_of(request)
        if is_from_elsewhere(request.headers, self._base_url):
            return HTMLResponse(self._pages.elsewhere(language), _FORBIDDEN)
        began = monotonic()
        found = await self._offers()
        filled = signup_form.read(await read_fields(request), found)
        address = check_address(filled.typed, self._terms.rules)
        faults = {address} if isinstance(address, Fault) else set()
        if not filled.choices:
            faults.add(Fault.NO_TOPIC)
        if isinstance(address, Fault) or faults:
            return HTMLResponse(self._pages.form(language, found, filled, faults), _WRONG, headers=_OWN_FORM)
        meant = None if filled.is_meant else suggestion(address.address)
        if meant:
            return HTMLResponse(self._pages.question(language, filled, meant), headers=_OWN_FORM)
        if not filled.is_trapped:
            wanted = self._wanted(filled, address, language)
            if seconds := await self._full.seconds(request, Asking.SIGN_UP, address, _sign_up, wanted):
                return self._too_many(language, seconds)
        await _beat(began)
        return HTMLResponse(self._pages.sent(language, address.address))

    async def link_form(self, request: Request) -> Response:
        """Shows where to ask for the link to one's own page."""
        return HTMLResponse(self._pages.link_form(languages_of(request)), headers=_OWN_FORM)

    async def send_link(self, request: Request) -> Response:
        """Sends a reader the link to their own page; says the same to all."""
        language = languages_of(request)
        if is_from_elsewhere(request.headers, self._base_url):
            return HTMLResponse(self._pages.elsewhere(language), _FORBIDDEN)
        began = monotonic()
        filled = signup_form.read(await read_fields(request), ())
        address = check_address(filled.typed, Rules(takes_roles=True, disposable=frozenset()))
        if isinstance(address, Fault):
            return HTMLResponse(
                self._pages.link_form(language, filled.typed, address), _WRONG, headers=_OWN_FORM
            )
        if not filled.is_trapped:
            known = self._pages.known(language)
            if seconds := await self._full.seconds(request, Asking.LINK, address, _send_link, address, known):
                return self._too_many(language, seconds)
        await _beat(began)
        return HTMLResponse(self._pages.link_sent(language, address.address))

    async def _offers(self) -> tuple[Offer, ...]:
        return await self._kept.get(None, lambda: self._database.read(_offered))

    def _wanted(self, filled: Filled, address: Address, language: str) -> Wanted:
        return Wanted(
            address=address,
            language=self._pages.known(language),
            zone=filled.zone if is_zone(filled.zone) else self._terms.zone,
            choices=filled.choices,
            words=self._pages.words(language),
            source=f"{_SOURCE}: {filled.source}" if filled.source else _SOURCE,
        )

    def _too_many(self, language: str, seconds: int) -> Response:
        """It says nothing of an address: the limits are those of a network, a domain, and the site."""
        headers = {"Retry-After": str(seconds)}
        return HTMLResponse(self._pages.too_many(language), _TOO_MANY, headers=headers)


class ConfirmPage:
    """The page behind the link in a mail that asks whether it was you: one button, which makes you a reader."""

    def __init__(self, database: Database, keys: Keys, pages: Pages) -> None:
        self._database = database
        self._keys = keys
        self._pages = SignUpPages(pages)

    async def show(self, claim: Claim, accepted: str) -> Response:
        """Shows what would be followed."""
        found = await self._database.run(_looked, self._keys, claim)
        match found:
            case Pending(topics=()):
                return HTMLResponse(self._pages.topics_gone(found.language), _GONE)
            case Pending():
                return HTMLResponse(self._pages.confirm(found))
            case Welcome():
                return HTMLResponse(self._pages.welcome(found, self._link(found)))
        return HTMLResponse(self._pages.expired(accepted), _GONE)

    async def change(self, claim: Claim, fields: Fields, accepted: str) -> Response:
        """Makes a reader of them; done again, it says that it is done."""
        version = dict(fields).get("version", "")
        found = await self._database.run(_confirmed, self._keys, claim, version)
        match found:
            case Welcome():
                return HTMLResponse(self._pages.welcome(found, self._link(found)))
            case Pending(topics=()):
                return HTMLResponse(self._pages.topics_gone(found.language), _GONE)
            case Pending():
                return HTMLResponse(self._pages.confirm(found, is_changed=True), _CONFLICT)
            case NotConfirmed.SUPPRESSED:
                return HTMLResponse(self._pages.suppressed(accepted), _CONFLICT)
        return HTMLResponse(self._pages.expired(accepted), _GONE)

    def _link(self, welcome: Welcome) -> str:
        """Gives the token of their page; "" where it would count as one of a mail to the address they left."""
        if welcome.has_moved:
            return ""
        return make(self._keys, Purpose.MANAGE, welcome.subscriber_id, 0, self._keys.current)


class _Limited:
    """Does what strangers ask within the limits; who is beyond one costs the database nothing until it ends."""

    def __init__(self, database: Database, keys: Keys, terms: Terms) -> None:
        self._database = database
        self._keys = keys
        self._terms = terms
        self._until: dict[str, float] = {}

    async def seconds(
        self,
        request: Request,
        asking: Asking,
        address: Address,
        deed: Callable[Concatenate[Session, Keys, Terms, P], None],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> int:
        """Does it in one transaction and gives 0, or how many seconds the limit lasts that it is beyond."""
        networks = networks_of(request.client.host if request.client else "")
        scopes = signups.scopes(asking, networks, address, self._terms.limits)
        known = max(self._until.get(each.name, 0.0) for each in scopes)
        if known > monotonic():
            return ceil(known - monotonic())

        def within(session: Session) -> Full | None:
            now = db.clock(session)
            full = signups.count_in(session, self._keys, scopes, now)
            if full is None:
                deed(session, self._keys, self._terms, *args, **kwargs)
            return full

        full = await self._database.run(within)
        if full is None:
            return 0
        self._note(full)
        return ceil(full.lasts.total_seconds())

    def _note(self, full: Full) -> None:
        """Remembers how long a scope has had enough; says so when it had room in the last hour."""
        if self._until.get(full.scope.name, -inf) < monotonic() - _HOUR_SECONDS:
            log.warning("sign_ups_limited", scope=full.scope.kind, limit=full.scope.limit)
        if len(self._until) >= _REMEMBERED:
            self._until.clear()
        self._until[full.scope.name] = monotonic() + full.lasts.total_seconds()


async def _beat(began: float) -> None:
    """Waits until a whole number of beats have passed, so that small differences of the work show nowhere."""
    passed = monotonic() - began
    await asyncio.sleep(ceil(passed / _BEAT_SECONDS) * _BEAT_SECONDS - passed)


# Each of these is one transaction, with the database's clock.


def _offered(session: Session) -> tuple[Offer, ...]:
    return offers(session, db.clock(session))


def _sign_up(session: Session, keys: Keys, terms: Terms, wanted: Wanted) -> None:
    signups.ask_to_confirm(session, keys, wanted, terms.confirm_within, db.clock(session))


def _send_link(session: Session, keys: Keys, terms: Terms, address: Address, language: str) -> None:
    signups.ask_for_link(session, keys, address, language, terms.link_works_for, db.clock(session))


def _looked(session: Session, keys: Keys, claim: Claim) -> Pending | Welcome | None:
    now = db.clock(session)
    found = signups.look(session, keys, claim.subscriber_id, now)
    return _welcome(session, found, now) if isinstance(found, signups.Confirmed) else found


def _confirmed(
    session: Session, keys: Keys, claim: Claim, version: str
) -> Pending | Welcome | NotConfirmed | None:
    now = db.clock(session)
    done = signups.confirm(session, keys, claim.subscriber_id, version, now)
    if isinstance(done, signups.Confirmed):
        return _welcome(session, done, now)
    return _looked(session, keys, claim) if done in (NotConfirmed.CHANGED, NotConfirmed.NO_TOPIC) else done


def _welcome(session: Session, confirmed: signups.Confirmed, now: datetime) -> Welcome | None:
    reader = session.get(Subscriber, confirmed.subscriber_id)
    if reader is None or reader.address is None:
        return None
    chosen = {each.frequency for each in confirmed.topics}
    digests = [each for each in Frequency if each.is_digest and each in chosen]
    slots = {each: slot_of(each, reader.zone, reader.digest_hour, reader.digest_weekday) for each in digests}
    return Welcome(
        subscriber_id=confirmed.subscriber_id,
        language=reader.language,
        zone=known_zone(reader.zone),
        topics=confirmed.topics,
        digests=tuple((each, coming(each, slot, now)) for each, slot in slots.items()),
        is_paused=reader.paused_until is not None and reader.paused_until > now,
        has_moved=reader.address_since is not None,
    )
