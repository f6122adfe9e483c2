"""Another address for a reader, when both ends have said yes. The life of one wish is this.

    asked for ──the old end says yes──┐
              ──the new end says yes──┴──> changed, or in use: another reader has that address
              ──either end, or the reader's page, says no──> kept
              ──two days pass──> forgotten

The answer to who asks is the same whatever is known of the address. A link is worth something to the end that it was
mailed to alone: the notice's address must be the reader's own still, or the one that is wished for.

Whatever writes both locks the reader first and the wish then.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

import structlog
from sqlmodel import Session, col, delete, select

from alerts.audience import notices, subscribers, suppressions
from alerts.audience.addresses import Address, inbox_of, masked
from alerts.audience.notices import Withheld
from alerts.audience.tokens import Claim, Keys, Purpose, address_hash
from alerts.models import (
    AddressChange,
    ChangeOutcome,
    Notice,
    NoticeKind,
    Subscriber,
    SubscriptionEvent,
)

log = structlog.get_logger()

LIFETIME = timedelta(days=2)
_DAY_LIMIT = 3  # wishes of one reader in 24 hours: each may mail a stranger
_DAY = timedelta(days=1)
_BY = "reader"
_ASKED = "ask-address"


class NotAsked(StrEnum):
    """Why a wish was not written."""

    TOO_OFTEN = "too-often"
    NO_ROOM = "no-room"  # the reader's own inbox has had enough mail for a day
    SUPPRESSED = "suppressed"  # nothing is sent to the address they have


class Standing(StrEnum):
    """How a wish stands, as one end sees it."""

    OPEN = "open"  # this end has not answered
    HALFWAY = "halfway"  # it has, and the other has not
    CHANGED = ChangeOutcome.CHANGED
    KEPT = ChangeOutcome.KEPT
    IN_USE = ChangeOutcome.IN_USE
    ANOTHER = "another"  # another address is wished for than the one that this end was shown


@dataclass(frozen=True, slots=True)
class EndView:
    """What one end is shown of a wish: the old address masked at the new end, and none once it is settled."""

    is_new: bool
    standing: Standing
    language: str
    old: str
    new: str
    stamp: str  # of the wish: a yes comes back with it


def ask(session: Session, keys: Keys, subscriber_id: int, address: Address, now: datetime) -> NotAsked | None:
    """Writes a reader's wish and mails both ends, or says why not; of the new end nothing is ever said."""
    reader = _locked(session, subscriber_id)
    if reader is None or reader.address is None or reader.address_key is None:
        return None
    if _asked_lately(session, subscriber_id, now) >= _DAY_LIMIT:
        return NotAsked.TOO_OFTEN
    old = Address(reader.address, reader.address_key)
    wish = _wish_of(session, subscriber_id) or AddressChange(
        subscriber_id=subscriber_id, asked_at=now, expires_at=now
    )
    # Without the mail to the old end the wish could never come true.
    mails = 2 if inbox_of(old.key) == inbox_of(address.key) else 1
    match notices.withheld(session, keys, NoticeKind.OLD_ADDRESS, old, wish.id, now, needed=mails):
        case Withheld.ENOUGH:
            return NotAsked.NO_ROOM
        case Withheld.SUPPRESSED:
            return NotAsked.SUPPRESSED
    if not _is_open(wish, now) or wish.address_key != address.key:
        wish.old_confirmed_at = wish.new_confirmed_at = wish.ended_at = None
        wish.address, wish.address_key, wish.asked_at, wish.outcome = address.address, address.key, now, ""
    wish.expires_at = now + LIFETIME
    session.add(wish)
    session.flush()
    assert wish.id is not None
    subscribers.note(session, subscriber_id, _ASKED, by=_BY, now=now)
    new = address if address.key == old.key else subscribers.as_known(session, address)
    for kind, end in ((NoticeKind.OLD_ADDRESS, old), (NoticeKind.NEW_ADDRESS, new)):
        notices.ask(session, keys, kind, end, wish.id, language=reader.language, lifetime=LIFETIME, now=now)
    return None


def pending(session: Session, subscriber_id: int, now: datetime) -> str | None:
    """Gives the address that a reader wishes to be mailed at, while that is open."""
    wish = _wish_of(session, subscriber_id)
    return wish.address if wish is not None and _is_open(wish, now) else None


def keep(session: Session, subscriber_id: int, now: datetime) -> bool:
    """Ends a reader's open wish, from their own page; says whether there was one."""
    _locked(session, subscriber_id)
    wish = _wish_of(session, subscriber_id)
    if wish is None or not _is_open(wish, now):
        return False
    _end(session, wish, ChangeOutcome.KEPT, now)
    subscribers.note(session, subscriber_id, "keep-address", by=_BY, now=now)
    return True


def look(session: Session, keys: Keys, claim: Claim, now: datetime) -> EndView | None:
    """Gives what an end's link shows; None when the link is too old, or its reader gone."""
    found = _found(session, keys, claim, now)
    return found.view if found else None


def confirm(session: Session, keys: Keys, claim: Claim, stamp: str, now: datetime) -> EndView | None:
    """Takes an end's yes to the wish that it was shown; the second end's yes changes the address.

    Said again it changes nothing more.
    """
    found = _found(session, keys, claim, now, to_change=True)
    if found is None or found.view.standing is not Standing.OPEN:
        return found.view if found else None
    if found.view.stamp != stamp:
        return found.seen_as(Standing.ANOTHER)
    wish = found.wish
    if found.view.is_new:
        wish.new_confirmed_at = now
    else:
        wish.old_confirmed_at = now
    session.add(wish)
    if wish.new_confirmed_at is None or wish.old_confirmed_at is None:
        return found.seen_as(Standing.HALFWAY)
    assert wish.address is not None, "it is open"
    assert wish.address_key is not None, "it is open"
    address = Address(wish.address, wish.address_key)
    is_changed = subscribers.readdress(session, keys.pepper, wish.subscriber_id, address, by=_BY, now=now)
    _end(session, wish, ChangeOutcome.CHANGED if is_changed else ChangeOutcome.IN_USE, now)
    return found.seen_as(Standing.CHANGED if is_changed else Standing.IN_USE)


def refuse(session: Session, keys: Keys, claim: Claim, now: datetime) -> EndView | None:
    """Takes an end's no, before the address is changed; said again it changes nothing more."""
    found = _found(session, keys, claim, now, to_change=True)
    if found is None or found.view.standing not in (Standing.OPEN, Standing.HALFWAY):
        return found.view if found else None
    _end(session, found.wish, ChangeOutcome.KEPT, now)
    subscribers.note(session, found.wish.subscriber_id, "keep-address", by=_BY, now=now)
    return found.seen_as(Standing.KEPT)


def forget_old(session: Session, now: datetime) -> int:
    """Takes away the wishes that nobody answered in time; gives how many."""
    return session.exec(delete(AddressChange).where(col(AddressChange.expires_at) <= now)).rowcount


@dataclass(frozen=True, slots=True)
class _Found:
    wish: AddressChange
    view: EndView

    def seen_as(self, standing: Standing) -> EndView:
        view = self.view
        return EndView(view.is_new, standing, view.language, view.old, view.new, view.stamp)


def _found(
    session: Session, keys: Keys, claim: Claim, now: datetime, *, to_change: bool = False
) -> _Found | None:
    is_new = claim.purpose is Purpose.NEW_ADDRESS
    notice = session.get(Notice, claim.subscriber_id)  # the subject, as the purpose says
    kind = NoticeKind.NEW_ADDRESS if is_new else NoticeKind.OLD_ADDRESS
    if notice is None or notice.kind != kind or notice.expires_at <= now:
        return None
    wish = session.get(AddressChange, notice.subject_id)
    if wish is None or wish.expires_at <= now:
        return None
    if to_change:
        suppressions.hold(session, [wish.address_key or ""])
    reader = (
        _locked(session, wish.subscriber_id) if to_change else session.get(Subscriber, wish.subscriber_id)
    )
    if to_change:
        session.refresh(wish)  # as it stands behind the lock
    if reader is None or reader.address_key is None:
        return None
    if not _is_meant(keys, notice, wish, wish.address_key if is_new else reader.address_key):
        return None
    standing = _standing(wish, is_new=is_new)
    is_shown = standing in (Standing.OPEN, Standing.HALFWAY)
    view = EndView(
        is_new=is_new,
        standing=standing,
        language=notice.language,
        old=_old(reader, is_new=is_new) if is_shown else "",
        new=(wish.address or "") if is_shown else "",
        stamp=wish.asked_at.isoformat(),
    )
    return _Found(wish, view)


def _old(reader: Subscriber, *, is_new: bool) -> str:
    """Gives the old address as an end may see it: the new one may be a slip, and a stranger's."""
    address = reader.address or ""
    return masked(address) if is_new else address


def _is_meant(keys: Keys, notice: Notice, wish: AddressChange, end: str | None) -> bool:
    """Whether a notice is about the wish as it stands: the address it went to is an end of it, or was at its end."""
    if wish.ended_at is not None:
        return notice.made_at <= wish.ended_at
    return end is not None and notice.address_hash == address_hash(keys.pepper, end)


def _standing(wish: AddressChange, *, is_new: bool) -> Standing:
    if wish.outcome:
        return Standing(wish.outcome)
    mine = wish.new_confirmed_at if is_new else wish.old_confirmed_at
    return Standing.OPEN if mine is None else Standing.HALFWAY


def _is_open(wish: AddressChange, now: datetime) -> bool:
    return not wish.outcome and wish.expires_at > now


def _end(session: Session, wish: AddressChange, outcome: ChangeOutcome, now: datetime) -> None:
    wish.outcome, wish.ended_at = outcome, now
    wish.address = wish.address_key = None
    session.add(wish)
    log.info("address_change_ended", subject=f"subscriber:{wish.subscriber_id}", outcome=outcome)


def _wish_of(session: Session, subscriber_id: int) -> AddressChange | None:
    return session.exec(select(AddressChange).where(AddressChange.subscriber_id == subscriber_id)).first()


def _locked(session: Session, subscriber_id: int) -> Subscriber | None:
    query = select(Subscriber).where(Subscriber.id == subscriber_id).with_for_update()
    return session.exec(query.execution_options(populate_existing=True)).first()


def _asked_lately(session: Session, subscriber_id: int, now: datetime) -> int:
    query = select(SubscriptionEvent.id).where(
        SubscriptionEvent.subscriber_id == subscriber_id,
        SubscriptionEvent.kind == _ASKED,
        SubscriptionEvent.at > now - _DAY,
    )
    return len(session.exec(query).all())
