"""From a visitor's wish to a reader who agreed: asked for on a page, confirmed by the link in one mail.

Until then an address is nobody's. The same statements run whether it is known, new, suppressed, or has had
enough mail for a day: who asks learns nothing of it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import NamedTuple

import sqlalchemy as sa
import structlog
from sqlmodel import Session, col, select

from alerts import db
from alerts.audience import consents, notices, subscribers, suppressions, tally
from alerts.audience.addresses import Address
from alerts.audience.consents import Words
from alerts.audience.tokens import Keys, address_hash
from alerts.models import Consent, Frequency, Notice, NoticeKind, SignUp, Subscriber, Topic, table_of

log = structlog.get_logger()

_SIGN_UP = table_of(SignUp)
_BY = "reader"
_NOTICES_KEPT = timedelta(days=30)


class HourlyLimits(NamedTuple):
    """How many sign-ups an hour may bring, and how many requests for a link."""

    by_network: int = 60
    by_domain: int = 1000
    in_all: int = 5000


class Asking(StrEnum):
    """What is counted apart: a flood of sign-ups keeps no reader from the link to their page."""

    SIGN_UP = "sign-up"
    LINK = "link"


@dataclass(frozen=True, slots=True)
class Scope:
    """What an hour may have so many of; `kind` says of it what a log may say."""

    kind: str
    name: str
    limit: int


@dataclass(frozen=True, slots=True)
class Full:
    """A scope that may have no more, for how long."""

    scope: Scope
    lasts: timedelta


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a visitor asks for; `choices` are topics' slugs, each with its frequency."""

    address: Address
    language: str
    zone: str
    choices: Mapping[str, str]
    words: Words
    source: str


@dataclass(frozen=True, slots=True)
class ChosenTopic:
    """A topic that a visitor chose."""

    slug: str
    title: str
    frequency: str


@dataclass(frozen=True, slots=True)
class Pending:
    """A sign-up that waits to be confirmed; `version` changes with what was chosen."""

    address: str
    language: str
    zone: str
    topics: tuple[ChosenTopic, ...]
    words: str
    version: str


@dataclass(frozen=True, slots=True)
class Confirmed:
    """Whose a sign-up became; `topics` are those that it was for."""

    subscriber_id: int
    topics: tuple[ChosenTopic, ...] = ()


class NotConfirmed(StrEnum):
    """Why a sign-up could not be confirmed."""

    GONE = "gone"  # too old, or none of ours
    CHANGED = "changed"  # other choices were asked for since the page was shown
    SUPPRESSED = "suppressed"
    NO_TOPIC = "no-topic"  # what was chosen is there no more: nobody agreed to nothing


def count_in(session: Session, keys: Keys, scopes: Sequence[Scope], now: datetime) -> Full | None:
    """Counts a request; gives the first scope whose hour has had enough, and None while all have room.

    A network that has had enough takes nothing from the others: what it asks is not counted for the domain, and
    what a domain may not have is not counted for the site.
    """
    for scope in scopes:
        if lasts := tally.take(session, keys.pepper, scope.name, scope.limit, now):
            return Full(scope, lasts)
    return None


def scopes(
    asking: Asking, networks: Sequence[str], address: Address, limits: HourlyLimits
) -> tuple[Scope, ...]:
    """Gives what a request counts for, the narrowest first; each wider network may ask twice as often."""
    domain = address.key.rpartition("@")[2]
    named = (
        *(("network", each, limits.by_network << step) for step, each in enumerate(networks)),
        ("domain", domain, limits.by_domain),
        ("all", "", limits.in_all),
    )
    return tuple(Scope(kind, f"{asking} {kind} {name}", limit) for kind, name, limit in named)


def ask_to_confirm(session: Session, keys: Keys, wanted: Wanted, lifetime: timedelta, now: datetime) -> None:
    """Keeps what a visitor asks for, and has whoever reads mail to the address asked whether it was they.

    What was asked for before and not confirmed is replaced.
    """
    address = subscribers.as_known(session, wanted.address)
    values = {
        "address": address.address,
        "address_key": address.key,
        "language": wanted.language,
        "zone": wanted.zone,
        "choices": dict(wanted.choices),
        "wording": consents.keep(session, wanted.words, now),
        "source": wanted.source,
        "asked_at": now,
        "expires_at": now + lifetime,
    }
    # One statement: between two, an erasure could take the earlier row away.
    asked = db.upsert(session, _SIGN_UP, values, key=[_SIGN_UP.c.address_key]).values(values)
    subject: int = session.connection().execute(asked.returning(_SIGN_UP.c.id)).scalar_one()
    notices.ask(
        session,
        keys,
        NoticeKind.CONFIRM,
        address,
        subject,
        language=wanted.language,
        lifetime=lifetime,
        now=now,
    )


def ask_for_link(
    session: Session, keys: Keys, address: Address, language: str, lifetime: timedelta, now: datetime
) -> None:
    """Has a reader sent the link to their own page; an address that is no reader's gets nothing."""
    reader = session.exec(select(Subscriber).where(Subscriber.address_key == address.key)).first()
    if reader is None or reader.id is None or reader.address is None:
        return
    notices.ask(
        session,
        keys,
        NoticeKind.LINK,
        Address(reader.address, address.key),
        reader.id,
        language=reader.language or language,
        lifetime=lifetime,
        now=now,
    )


def look(session: Session, keys: Keys, notice_id: int, now: datetime) -> Pending | Confirmed | None:
    """Gives how the sign-up stands that a notice is about; None when it is too old."""
    wanted = _wanted(session, keys, notice_id, now)
    if wanted is None:
        return None
    if wanted.subscriber_id is not None:
        return Confirmed(wanted.subscriber_id)
    return Pending(
        address=wanted.address or "",
        language=wanted.language,
        zone=wanted.zone,
        topics=_chosen(session, wanted.choices),
        words=consents.words_of(session, wanted.wording),
        version=_version(wanted),
    )


def confirm(
    session: Session, keys: Keys, notice_id: int, version: str, now: datetime
) -> Confirmed | NotConfirmed:
    """Makes the visitor a reader who follows what they chose, with the proof that they agreed.

    `version` is of what they were shown. Done again, it changes nothing and says whose it is.
    """
    seen = _wanted(session, keys, notice_id, now)
    if seen is not None and seen.address_key is not None:
        suppressions.hold(session, [seen.address_key])  # an erasure locks the reader before the sign-up
    wanted = _wanted(session, keys, notice_id, now, to_change=True)
    if wanted is None:
        return NotConfirmed.GONE
    if wanted.subscriber_id is not None:
        return Confirmed(wanted.subscriber_id)
    if version != _version(wanted):
        return NotConfirmed.CHANGED
    assert wanted.address is not None, "it was not confirmed"
    assert wanted.address_key is not None, "it was not confirmed"
    if suppressions.is_suppressed(session, keys.pepper, wanted.address_key):
        return NotConfirmed.SUPPRESSED
    topics = _chosen(session, wanted.choices)
    if not topics:
        return NotConfirmed.NO_TOPIC
    address = Address(wanted.address, wanted.address_key)
    reader = subscribers.add(
        session, keys.pepper, address, language=wanted.language, zone=wanted.zone, by=_BY, now=now
    )
    for each in topics:
        if not subscribers.follow(session, reader, each.slug, Frequency(each.frequency), by=_BY, now=now):
            subscribers.note(session, reader, "confirm", slug=each.slug, by=_BY, now=now)
    consent = Consent(
        subscriber_id=reader,
        wording=wanted.wording,
        source=wanted.source,
        choices={each.slug: each.frequency for each in topics},
        asked_at=wanted.asked_at,
        confirmed_at=now,
    )
    consents.record(session, consent, _BY)
    wanted.address = wanted.address_key = None
    wanted.subscriber_id = reader
    session.add(wanted)
    return Confirmed(reader, topics)


def sweep(session: Session, now: datetime) -> None:
    """Forgets what was not confirmed in time, and notices that no limit asks for any more."""
    session.connection().execute(sa.delete(_SIGN_UP).where(_SIGN_UP.c.expires_at <= now))
    old = sa.delete(Notice).where(col(Notice.made_at) <= now - _NOTICES_KEPT, col(Notice.due_at).is_(None))
    session.exec(old)
    tally.sweep(session, now)


def _wanted(
    session: Session, keys: Keys, notice_id: int, now: datetime, *, to_change: bool = False
) -> SignUp | None:
    """Gives the sign-up that a notice is about, while its time lasts and its address is the one that was mailed."""
    found = session.get(Notice, notice_id)
    if found is None or found.kind != NoticeKind.CONFIRM or found.expires_at <= now:
        return None
    query = select(SignUp).where(SignUp.id == found.subject_id).execution_options(populate_existing=True)
    wanted = session.exec(query.with_for_update() if to_change else query).first()
    key = _key_of(session, wanted) if wanted else None
    is_meant = key is not None and found.address_hash == address_hash(keys.pepper, key)
    return wanted if is_meant else None


def _key_of(session: Session, wanted: SignUp) -> str | None:
    """Gives the key of whom a sign-up is for, or of the reader it became."""
    if wanted.subscriber_id is None:
        return wanted.address_key
    reader = session.get(Subscriber, wanted.subscriber_id)
    return reader.address_key if reader else None


def _version(wanted: SignUp) -> str:
    return f"{wanted.asked_at.timestamp():.6f}"


def _chosen(session: Session, choices: Mapping[str, str]) -> tuple[ChosenTopic, ...]:
    """Gives the topics of these choices that are still there, by title."""
    query = select(Topic.slug, Topic.title).where(col(Topic.slug).in_([*choices]))
    return tuple(
        ChosenTopic(slug, title, choices[slug]) for slug, title in session.exec(query.order_by(Topic.title))
    )
