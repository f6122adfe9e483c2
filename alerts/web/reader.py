"""A reader's own choices, as the link in their mail shows and changes them: transactions on the ledger."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from sqlmodel import Session, col, select

from alerts.audience.stops import acknowledge_after_openings
from alerts.audience.subscribers import follow, unsubscribe
from alerts.audience.tokens import Claim
from alerts.models import Alert, Frequency, Subscriber, SubscriberState, Subscription, Topic
from alerts.web.forms import Change, Choice, FollowAgain, Stop, StopAll

_BY = "reader"


@dataclass(frozen=True, slots=True)
class FollowedTopic:
    """A topic the reader follows, or followed once."""

    slug: str
    title: str
    description: str
    frequency: str
    is_active: bool
    is_key_events_only: bool
    brought_the_mail: bool  # the link stands in a mail that came for this topic, among others


@dataclass(frozen=True, slots=True)
class ReaderView:
    """What one reader's page shows; the address is masked, as a mail and its link may be forwarded."""

    id: int
    address: str
    language: str
    is_suppressed: bool
    is_alert_known: bool  # the ledger forgets old alerts; the links in their mails live on
    following: tuple[FollowedTopic, ...]
    left: tuple[FollowedTopic, ...]


class Deed(StrEnum):
    """What became of a form."""

    STOPPED = "stopped"
    STOPPED_ALL = "stopped-all"
    KEY_EVENTS = Frequency.FLASH
    EVERY_UPDATE = Frequency.EVERY
    FOLLOWED = "followed"
    UNCHANGED = "unchanged"  # it was so already
    UNCLEAR = "unclear"


@dataclass(frozen=True, slots=True)
class Done:
    """What became of a form, for which topics (their titles), and the fields of the form that undoes it."""

    deed: Deed
    topics: tuple[str, ...] = ()
    undo: tuple[tuple[str, str], ...] = ()


def look(session: Session, claim: Claim, *, to_change: bool = False) -> ReaderView | None:
    """Gives what the reader of a link sees, or None when there is no such reader any more.

    `to_change` holds the reader's row, so that what is decided from the view is still so when it is done.
    """
    query = select(Subscriber.address, Subscriber.language, Subscriber.suppressed, Subscriber.state).where(
        Subscriber.id == claim.subscriber_id
    )
    reader = session.exec(query.with_for_update() if to_change else query).first()
    if reader is None:
        return None
    address, language, suppressed, state = reader
    if address is None or state == SubscriberState.ERASED:
        return None
    audience = session.exec(select(Alert.audience).where(Alert.id == claim.alert_id)).first()
    topics = _topics(session, claim.subscriber_id, audience or {})
    return ReaderView(
        id=claim.subscriber_id,
        address=masked(address),
        language=language,
        is_suppressed=bool(suppressed),
        is_alert_known=audience is not None,
        following=tuple(topic for topic, is_current in topics if is_current),
        left=tuple(topic for topic, is_current in topics if not is_current),
    )


def carry_out(session: Session, view: ReaderView, choice: Choice, now: datetime) -> Done:
    """Does what a button asks; asked again, or for a topic that is not this reader's, it changes nothing."""
    match choice:
        case StopAll():
            return _stop_all(session, view, now)
        case Stop(slug):
            return _stop(session, view, _named(view.following, [slug]), now)
        case Change(slug, frequency):
            return _change(session, view, _named(view.following, [slug]), frequency, now)
        case FollowAgain(slugs):
            return _follow_again(session, view, _named(view.left, slugs), now)
    return Done(Deed.UNCLEAR)


def stop_what_brought(session: Session, claim: Claim, now: datetime) -> None:
    """Ends the topics that brought the mail a one-click request came from, and all when that is not known.

    The ledger forgets old alerts. Who then asks to be left alone is better served by too much than nothing.
    """
    view = look(session, claim, to_change=True)
    if view is None:
        return
    if not view.is_alert_known:
        _stop_all(session, view, now)
        return
    _stop(session, view, [topic for topic in view.following if topic.brought_the_mail], now)


def masked(address: str) -> str:
    """Gives an address as its owner knows it again, and nobody else learns it: `r…@example.org`."""
    local, _, domain = address.rpartition("@")
    return f"{local[:1]}…@{domain}"


def _topics(
    session: Session, subscriber_id: int, audience: Mapping[str, list[str]]
) -> list[tuple[FollowedTopic, bool]]:
    """Gives all topics of a reader, those that brought the mail first, and whether each is followed now."""
    query = (
        select(Topic, Subscription.frequency, Subscription.until)
        .join(Subscription, col(Subscription.topic_id) == Topic.id)
        .where(Subscription.subscriber_id == subscriber_id)
    )
    found = [
        (_followed(topic, frequency, brought_the_mail=str(topic.id) in audience), until is None)
        for topic, frequency, until in session.exec(query)
    ]
    return sorted(found, key=lambda each: (not each[0].brought_the_mail, each[0].title.casefold()))


def _followed(topic: Topic, frequency: str, *, brought_the_mail: bool) -> FollowedTopic:
    return FollowedTopic(
        slug=topic.slug,
        title=topic.title,
        description=topic.description,
        frequency=frequency,
        is_active=topic.is_active,
        is_key_events_only=topic.key_events_only,
        brought_the_mail=brought_the_mail,
    )


def _named(topics: Iterable[FollowedTopic], slugs: Sequence[str]) -> list[FollowedTopic]:
    return [topic for topic in topics if topic.slug in slugs]


def _stop_all(session: Session, view: ReaderView, now: datetime) -> Done:
    unsubscribe(session, view.id, None, by=_BY, now=now)
    return Done(Deed.STOPPED_ALL, undo=_follow_form(view.following))


def _stop(session: Session, view: ReaderView, topics: Sequence[FollowedTopic], now: datetime) -> Done:
    acknowledge_after_openings(session, view.id)  # also who asks again while the first answer is kept back
    for topic in topics:
        unsubscribe(session, view.id, topic.slug, by=_BY, now=now)
    return Done(Deed.STOPPED, _titles(topics), _follow_form(topics)) if topics else Done(Deed.UNCHANGED)


def _change(
    session: Session, view: ReaderView, topics: Sequence[FollowedTopic], frequency: Frequency, now: datetime
) -> Done:
    changed = [topic for topic in topics if topic.frequency != frequency]
    if not changed:
        return Done(Deed.UNCHANGED)
    (topic,) = changed
    follow(session, view.id, topic.slug, frequency, by=_BY, now=now)
    undo = (("action", "frequency"), ("topic", topic.slug), ("frequency", topic.frequency))
    return Done(Deed(frequency), _titles(changed), undo)


def _follow_again(session: Session, view: ReaderView, topics: Sequence[FollowedTopic], now: datetime) -> Done:
    for topic in topics:
        follow(session, view.id, topic.slug, Frequency(topic.frequency), by=_BY, now=now)
    return Done(Deed.FOLLOWED, _titles(topics)) if topics else Done(Deed.UNCHANGED)


def _follow_form(topics: Sequence[FollowedTopic]) -> tuple[tuple[str, str], ...]:
    """Gives the fields that take topics up again, none for no topics."""
    return (("action", "follow"), *(("topic", topic.slug) for topic in topics)) if topics else ()


def _titles(topics: Sequence[FollowedTopic]) -> tuple[str, ...]:
    return tuple(topic.title for topic in topics)
