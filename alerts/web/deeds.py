"""What a reader's own page does: each button is one transaction, and sent twice it changes nothing more.

Following more topics needs no other consent than this: the reader confirmed the address once, and the history says
that they themselves chose the topic, and when.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta
from enum import StrEnum
from zoneinfo import ZoneInfo

import sqlalchemy as sa
from sqlmodel import Session, col, select

from alerts.audience import address_changes, disclosure, farewells, notices, subscribers
from alerts.audience.address_changes import NotAsked
from alerts.audience.addresses import Address, normalise
from alerts.audience.notices import Withheld
from alerts.audience.stops import acknowledge_after_openings
from alerts.audience.tokens import Claim, Keys
from alerts.audience.zones import is_zone
from alerts.errors import Refused
from alerts.mail.words import clean
from alerts.models import Frequency, NoticeKind, Subscriber, SubscriptionEvent
from alerts.web.forms import (
    AskErase,
    AskZone,
    Choice,
    Download,
    Erase,
    Fields,
    KeepAddress,
    NewAddress,
    PauseFor,
    PauseUntil,
    Place,
    Resume,
    Save,
    SayWhy,
    SendLink,
    StopAll,
    save_fields,
)
from alerts.web.reader import ReaderView, Right, ShownTopic, look, what_brought

LINK_LIFETIME = timedelta(hours=24)
_BY = "reader"
LONGEST_PAUSE = 366  # days
CHANGES_LIMIT = 100  # forms of one reader in a day that change something; nobody who chooses needs so many
_DAY = timedelta(days=1)


class Deed(StrEnum):
    """What became of a form."""

    SAVED = "saved"
    STOPPED_ALL = "stopped-all"
    PLACED = "placed"
    PAUSED = "paused"
    RESUMED = "resumed"
    ADDRESS_ASKED = "address-asked"
    ADDRESS_KEPT = "address-kept"
    LINK_SENT = "link-sent"
    THANKED = "thanked"
    UNCHANGED = "unchanged"  # it was so already
    OUTDATED = "outdated"  # it was changed since
    # Nothing is done yet, or nothing is left to show:
    ASKED = "asked"
    ERASED = "erased"
    TOLD = "told"
    # Nothing was done:
    NO_ADDRESS = "no-address"
    NO_DAY = "no-day"
    TOO_OFTEN = "too-often"
    TOO_MANY = "too-many"  # changes in a day
    NO_ROOM = "no-room"  # for more mail to the reader's own inbox today
    NO_MAIL = "no-mail"  # goes to the reader's address at all
    FORMER = "former"  # the link is of the time before a change of address
    UNCLEAR = "unclear"

    @property
    def is_refusal(self) -> bool:
        """Whether the form was wrong."""
        return self in _REFUSALS


_REFUSALS = frozenset(
    {
        Deed.NO_ADDRESS,
        Deed.NO_DAY,
        Deed.TOO_OFTEN,
        Deed.TOO_MANY,
        Deed.NO_ROOM,
        Deed.NO_MAIL,
        Deed.FORMER,
        Deed.UNCLEAR,
    }
)


@dataclass(frozen=True, slots=True)
class Now:
    """Topics, by title, that come at one frequency from now on; "" for not at all."""

    frequency: str
    topics: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Done:
    """What became of a form, and the fields of the form that undoes it."""

    deed: Deed
    changes: tuple[Now, ...] = ()
    undo: Fields = ()
    left: Fields | None = None  # what a word about the reason has with it; None when nothing was left
    typed: str = ""
    data: bytes = b""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a form, and how things stood before and stand now; None once there is no such reader."""

    done: Done
    before: ReaderView
    after: ReaderView | None


def act(session: Session, keys: Keys, right: Right, choice: Choice, now: datetime) -> Outcome | None:
    """Does the whole of a person's request; None when there is no such reader any more."""
    before = look(session, right, now, to_change=True)
    if before is None:
        return None
    if before.is_former:
        done = _carry_out_for_former(session, keys, before, choice, now)
    else:
        is_beyond = _is_limited(choice) and _changed_lately(session, before.id, now) >= CHANGES_LIMIT
        allowed = _stops_of(choice) if is_beyond else choice
        done = _carry_out(session, keys, before, allowed, now) if allowed else Done(Deed.TOO_MANY)
    session.flush()
    return Outcome(done, before, look(session, right, now))


def stop_what_brought(session: Session, claim: Claim, now: datetime) -> None:
    """Ends the topics that brought the mail a one-click request came from, and all when that is not known.

    The ledger forgets old alerts. Who then asks to be left alone is better served by too much than nothing. Of a
    digest it ends what comes in such digests: who moved a topic elsewhere meant to have it there.
    """
    reader = claim.subscriber_id
    acknowledge_after_openings(session, reader)  # also who asks again while the first answer is kept back
    topics = what_brought(session, Right(reader, claim.alert_id))
    if topics is None and session.get(Subscriber, reader) is not None:
        subscribers.unsubscribe(session, reader, None, by=_BY, now=now)
    for slug in topics or ():
        subscribers.unsubscribe(session, reader, slug, by=_BY, now=now)


def _carry_out(  # noqa: C901, PLR0911, PLR0912 - a list of buttons
    session: Session, keys: Keys, view: ReaderView, choice: Choice, now: datetime
) -> Done:
    match choice:
        case StopAll():
            return _stop_all(session, view, now)
        case Save():
            return _save(session, view, choice, now)
        case Place():
            return _place(session, view, choice, now)
        case PauseFor(days):
            return _pause(session, view, _today(view, now) + timedelta(days=days), now)
        case PauseUntil(day):
            return _pause(session, view, day, now)
        case Resume():
            return _resume(session, view, now)
        case NewAddress(typed):
            return _ask_address(session, keys, view, typed, now)
        case KeepAddress():
            is_news = address_changes.keep(session, view.id, now)
            return Done(Deed.ADDRESS_KEPT if is_news else Deed.UNCHANGED)
        case Download() if view.is_owner:
            told = disclosure.of_reader(session, keys.pepper, view.id, now)
            return Done(Deed.TOLD, data=json.dumps(told, ensure_ascii=False, indent=2).encode())
        case Download() | SendLink():
            return _send_link(session, keys, view, now)
        case AskErase() | AskZone():
            return Done(Deed.ASKED)
        case Erase():
            subscribers.erase(session, view.id, by=_BY, now=now)
            return Done(Deed.ERASED)
        case SayWhy():
            return _say_why(session, view, choice, now)
    return Done(Deed.UNCLEAR)


def _is_limited(choice: Choice) -> bool:
    """Whether a form may come too often: all that adds to the history without end, and no stop."""
    if isinstance(choice, Save):
        return any(each.frequency is not None for each in choice.wanted)
    return isinstance(choice, Place | PauseFor | PauseUntil | Resume)


def _stops_of(choice: Choice) -> StopAll | Save | None:
    """Gives what of a form stops alerts, which is never refused; None when it only asks for something else."""
    match choice:
        case StopAll():
            return choice
        case Save(wanted):
            stops = tuple(each for each in wanted if each.frequency is None)
            return replace(choice, wanted=stops) if stops or not wanted else None
    return None


def _changed_lately(session: Session, subscriber_id: int, now: datetime) -> int:
    """Gives how many forms of a reader have changed something in the last day."""
    times = sa.func.count(sa.distinct(col(SubscriptionEvent.at)))
    query = select(times).where(
        SubscriptionEvent.subscriber_id == subscriber_id,
        SubscriptionEvent.by == _BY,
        SubscriptionEvent.at > now - _DAY,
    )
    return session.exec(query).one()


def _carry_out_for_former(
    session: Session, keys: Keys, view: ReaderView, choice: Choice, now: datetime
) -> Done:
    """Does what a mailbox may ask that the reader has left: no more of this, and a link for the present one."""
    allowed = choice if isinstance(choice, SendLink) else _stops_of(choice)
    if allowed is None:
        return Done(Deed.FORMER)
    done = _carry_out(session, keys, view, allowed, now)
    return Done(done.deed, done.changes)  # to undo it is not theirs


# --- topics --------------------------------------------------------------------------------------------


def _stop_all(session: Session, view: ReaderView, now: datetime) -> Done:
    subscribers.unsubscribe(session, view.id, None, by=_BY, now=now)
    undo = save_fields((topic.slug, "", topic.frequency) for topic in view.following)
    return Done(Deed.STOPPED_ALL, undo=undo, left=())


def _save(session: Session, view: ReaderView, choice: Save, now: datetime) -> Done:
    """Does what differs from how things stand; what is no topic that the reader has or may have is passed over.

    A browser sends a form again when it opens its tabs again: what was changed since brings nothing back.
    """
    known = {topic.slug: topic for topic in (*view.following, *view.more)}
    wanted = [(known[each.topic], each.frequency) for each in choice.wanted if each.topic in known]
    if any(frequency is None for _, frequency in wanted):
        acknowledge_after_openings(
            session, view.id
        )  # also who asks again while the first answer is kept back
    changed = [
        (topic, frequency or "") for topic, frequency in wanted if topic.frequency != (frequency or "")
    ]
    if not changed:
        return Done(Deed.UNCHANGED)
    changed = [
        (topic, frequency) for topic, frequency in changed if not _is_outdated(topic, frequency, choice)
    ]
    if not changed:
        return Done(Deed.OUTDATED)
    for topic, frequency in changed:
        if frequency:
            subscribers.follow(session, view.id, topic.slug, Frequency(frequency), by=_BY, now=now)
        else:
            subscribers.unsubscribe(session, view.id, topic.slug, by=_BY, now=now)
    left = tuple(("topic", topic.slug) for topic, frequency in changed if not frequency)
    undo = save_fields((topic.slug, frequency, topic.frequency) for topic, frequency in changed)
    return Done(Deed.SAVED, _by_frequency(changed), undo, left or None)


def _is_outdated(topic: ShownTopic, frequency: str, choice: Save) -> bool:
    """Whether a topic was changed behind the page's back; to stop it is never too late."""
    if not frequency or choice.seen is None or topic.changed_at is None:
        return False
    return topic.changed_at > choice.seen


def _by_frequency(changed: Sequence[tuple[ShownTopic, str]]) -> tuple[Now, ...]:
    titles = {
        frequency: tuple(topic.title for topic, chosen in changed if chosen == frequency)
        for frequency in (*Frequency, "")
    }
    return tuple(Now(frequency, topics) for frequency, topics in titles.items() if topics)


def _say_why(session: Session, view: ReaderView, choice: SayWhy, now: datetime) -> Done:
    """Keeps a reason for what the reader did leave."""
    left = [topic.slug for topic in view.more if topic.last_frequency and topic.slug in choice.topics]
    if not left if choice.topics else view.following:
        return Done(Deed.UNCHANGED)
    farewells.note(session, view.id, left, choice.reason, clean(choice.words), now)
    return Done(Deed.THANKED)


# --- when ----------------------------------------------------------------------------------------------


def _place(session: Session, view: ReaderView, choice: Place, now: datetime) -> Done:
    if choice.zone != view.zone and not is_zone(choice.zone):
        return Done(Deed.UNCLEAR)
    is_news = subscribers.place(
        session,
        view.id,
        zone=choice.zone,
        hour=choice.hour,
        weekday=choice.weekday,
        by=_BY,
        now=now,
    )
    undo = (
        ("action", "place"),
        ("zone", view.zone),
        ("hour", str(view.hour)),
        ("weekday", str(view.weekday)),
    )
    if not is_news:
        return Done(Deed.UNCHANGED)
    # Of the zones that none may choose there is no way back.
    can_undo = choice.zone == view.zone or is_zone(view.zone)
    return Done(Deed.PLACED, undo=undo if can_undo else ())


def _pause(session: Session, view: ReaderView, day: date | None, now: datetime) -> Done:
    """Pauses until a day begins where the reader lives: from tomorrow on, and for a year at most."""
    today = _today(view, now)
    if day is None or not today < day <= today + timedelta(days=LONGEST_PAUSE):
        return Done(Deed.NO_DAY)
    until = datetime.combine(day, time(), ZoneInfo(view.zone)).astimezone(UTC)
    is_news = subscribers.pause(session, view.id, until, by=_BY, now=now)
    return Done(Deed.PAUSED, undo=_pause_form(view, now)) if is_news else Done(Deed.UNCHANGED)


def _resume(session: Session, view: ReaderView, now: datetime) -> Done:
    is_news = subscribers.pause(session, view.id, None, by=_BY, now=now)
    return Done(Deed.RESUMED, undo=_pause_form(view, now)) if is_news else Done(Deed.UNCHANGED)


def _pause_form(view: ReaderView, now: datetime) -> Fields:
    """Gives the fields that bring back the pause of before, or that there was none."""
    if view.paused_until is None:
        return (("action", "resume"),)
    day = view.paused_until.astimezone(ZoneInfo(view.zone)).date()
    is_allowed = day > _today(view, now)
    return (("action", "pause"), ("until", day.isoformat())) if is_allowed else ()


def _today(view: ReaderView, now: datetime) -> date:
    return now.astimezone(ZoneInfo(view.zone)).date()


# --- the address, and its owner ------------------------------------------------------------------------


def _ask_address(session: Session, keys: Keys, view: ReaderView, typed: str, now: datetime) -> Done:
    try:
        address = normalise(typed)
    except Refused:
        return Done(Deed.NO_ADDRESS, typed=typed)
    match address_changes.ask(session, keys, view.id, address, now):
        case NotAsked.TOO_OFTEN:
            return Done(Deed.TOO_OFTEN, typed=typed)
        case NotAsked.NO_ROOM:
            return Done(Deed.NO_ROOM, typed=typed)
        case NotAsked.SUPPRESSED:
            return Done(Deed.NO_MAIL, typed=typed)
    return Done(Deed.ADDRESS_ASKED, undo=(("action", "keep-address"),))


def _send_link(session: Session, keys: Keys, view: ReaderView, now: datetime) -> Done:
    reader = session.get_one(Subscriber, view.id)
    assert reader.address is not None, "the page shows it"
    assert reader.address_key is not None, "as above"
    sent = notices.ask(
        session,
        keys,
        NoticeKind.LINK,
        Address(reader.address, reader.address_key),
        view.id,
        language=reader.language,
        lifetime=LINK_LIFETIME,
        now=now,
    )
    match sent:
        case Withheld.ENOUGH:
            return Done(Deed.NO_ROOM)
        case Withheld.SUPPRESSED:
            return Done(Deed.NO_MAIL)
    return Done(Deed.LINK_SENT)
