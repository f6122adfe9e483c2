"""What a reader's own page shows, and to whom: read from the ledger, changed nowhere here."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlmodel import Session, col, select

from alerts.audience import address_changes, slots
from alerts.audience.addresses import masked
from alerts.audience.tokens import Claim, Keys, Purpose, address_hash
from alerts.models import (
    Alert,
    Delivery,
    Frequency,
    Notice,
    NoticeKind,
    Selection,
    Subscriber,
    SubscriberState,
    Subscription,
    Topic,
)
from alerts.web.forms import Fields, save_fields

_OFTENER_THAN_DAILY = frozenset({Frequency.EVERY, Frequency.HOURLY})
_NOT_WEEKLY = frozenset({Frequency.FLASH, Frequency.DAILY})


@dataclass(frozen=True, slots=True)
class Right:
    """Whose page a link opens, the alert that it stands in (0 for none), and whether they read the address's mail."""

    subscriber_id: int
    alert_id: int = 0
    is_owner: bool = False


@dataclass(frozen=True, slots=True)
class ShownTopic:
    """A topic as the page shows it; the frequency is "" when the reader does not follow it."""

    slug: str
    title: str
    description: str
    frequency: str
    last_frequency: str  # the one that it had, of topics the reader left
    is_active: bool
    is_key_events_only: bool
    changed_at: datetime | None  # when the reader last took, changed or left it
    brought_the_mail: bool  # the link stands in a mail that came for this topic, among others

    @property
    def choices(self) -> tuple[str, ...]:
        """The frequencies that make sense: a topic of key events alone has no updates besides them."""
        if not self.is_key_events_only:
            return tuple(Frequency)
        at_once = Frequency.EVERY if self.frequency == Frequency.EVERY else Frequency.FLASH
        return (at_once, *(each for each in Frequency if each.is_digest))


@dataclass(frozen=True, slots=True)
class Coming:
    """When the next digest of a frequency is due."""

    frequency: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Rarer:
    """A frequency at which the topics that brought a mail would come less often, and the form that asks for it."""

    frequency: str
    form: Fields


@dataclass(frozen=True, slots=True)
class ReaderView:
    """What one reader's page shows; addresses are masked but for the owner, as a mail and its link may be forwarded.

    A link of the time before a change of address shows the topics that brought its mail, and nothing else.
    """

    id: int
    address: str
    is_owner: bool
    is_former: bool
    language: str
    is_suppressed: bool
    zone: str
    hour: int
    weekday: int
    paused_until: datetime | None
    wished_address: str  # "" when none is
    mail_frequency: str  # of the digest that the link stands in; "" for an alert
    following: tuple[ShownTopic, ...]
    more: tuple[ShownTopic, ...]  # that the reader left, or never followed
    coming: tuple[Coming, ...]

    @property
    def seen(self) -> str:
        """Says up to which change of topics this is how things stand; a form sends it back."""
        changes = [each.changed_at for each in (*self.following, *self.more) if each.changed_at]
        return max(changes).isoformat() if changes else ""

    @property
    def brought(self) -> tuple[ShownTopic, ...]:
        """The topics that the link's mail came for, and which the reader still follows."""
        return tuple(topic for topic in self.following if topic.brought_the_mail)

    @property
    def offered(self) -> tuple[ShownTopic, ...]:
        """The topics that may be followed besides."""
        return tuple(topic for topic in self.more if topic.is_active)

    @property
    def rarer(self) -> Rarer | None:
        """Gives how the topics that brought the mail could come less often; None where they come once a week."""
        for frequency, among in ((Frequency.DAILY, _OFTENER_THAN_DAILY), (Frequency.WEEKLY, _NOT_WEEKLY)):
            if some := [each for each in self.brought if each.frequency in among]:
                return Rarer(frequency, save_fields((each.slug, each.frequency, frequency) for each in some))
        return None


def right_of(session: Session, keys: Keys, claim: Claim, now: datetime) -> Right | None:
    """Gives what a link that verified opens; None when it was for a time that is over, or for another address."""
    if claim.purpose is Purpose.MANAGE:
        return Right(claim.subscriber_id, claim.alert_id)
    notice = session.get(Notice, claim.subscriber_id)  # the subject, as the purpose says
    if claim.purpose is not Purpose.OWN or notice is None or notice.kind != NoticeKind.LINK:
        return None
    reader = session.get(Subscriber, notice.subject_id)
    if reader is None or reader.address_key is None or notice.expires_at <= now:
        return None
    if notice.address_hash != address_hash(keys.pepper, reader.address_key):
        return None
    return Right(notice.subject_id, is_owner=True)


def look(session: Session, right: Right, now: datetime, *, to_change: bool = False) -> ReaderView | None:
    """Gives what the reader of a link sees, or None when there is no such reader any more.

    `to_change` holds the reader's row, so that what is decided from the view is still so when it is done.
    """
    query = select(Subscriber).where(Subscriber.id == right.subscriber_id)
    if to_change:
        query = query.with_for_update(key_share=True)
    reader = session.exec(query.execution_options(populate_existing=True)).first()
    if reader is None or reader.address is None or reader.state == SubscriberState.ERASED:
        return None
    mail = _mail(session, right)
    following, more = _topics(session, right.subscriber_id, mail)
    is_former = not right.is_owner and _is_former(session, reader, right.alert_id)
    if is_former:
        following, more = tuple(each for each in following if each.brought_the_mail), ()
    wished = address_changes.pending(session, right.subscriber_id, now) or ""
    paused_until = reader.paused_until if reader.paused_until and reader.paused_until > now else None
    return ReaderView(
        id=right.subscriber_id,
        address=reader.address if right.is_owner else masked(reader.address),
        is_owner=right.is_owner,
        is_former=is_former,
        language=reader.language,
        is_suppressed=bool(reader.suppressed),
        zone=slots.known_zone(reader.zone),
        hour=reader.digest_hour,
        weekday=reader.digest_weekday,
        paused_until=paused_until,
        wished_address=masked(wished) if wished else "",
        mail_frequency=mail.frequency if mail else "",
        following=following,
        more=more,
        coming=_coming(reader, following, now, paused_until),
    )


def _is_former(session: Session, reader: Subscriber, alert_id: int) -> bool:
    """Whether a mail may have gone to an address that its reader has left; one that is forgotten may.

    Whatever was released since goes to the present one.
    """
    if reader.address_since is None:
        return False
    released_at = session.exec(select(Alert.released_at).where(Alert.id == alert_id)).first()
    return released_at is None or released_at <= reader.address_since


def what_brought(session: Session, right: Right) -> tuple[str, ...] | None:
    """Gives the topics, by slug, that a link's mail came for and the reader follows or has left; None for a mail forgotten."""
    mail = _mail(session, right)
    if mail is None:
        return None
    followed = session.exec(
        select(Topic.id, Topic.slug, Subscription.frequency)
        .join(Subscription, col(Subscription.topic_id) == Topic.id)
        .where(Subscription.subscriber_id == right.subscriber_id)
        .order_by(Topic.slug)
    )
    return tuple(slug for id_, slug, frequency in followed if mail.came_for(id_, frequency))


@dataclass(frozen=True, slots=True)
class _Mail:
    """What a mail came for: some topics, or all that the reader gets at a digest's frequency (None)."""

    topics: Collection[int] | None
    frequency: str = ""

    def came_for(self, topic_id: int | None, frequency: str) -> bool:
        is_meant = self.topics is None or topic_id in self.topics
        return is_meant and (not self.frequency or frequency == self.frequency)


def _mail(session: Session, right: Right) -> _Mail | None:
    found = session.exec(select(Alert.audience, Alert.frequency).where(Alert.id == right.alert_id)).first()
    if found is None:
        return None
    audience, frequency = found
    if not frequency:
        return _Mail(frozenset(map(int, audience)))
    topics = session.exec(
        select(Selection.topics)
        .join(Delivery, col(Delivery.alert_id) == Selection.alert_id)
        .where(
            Delivery.alert_id == right.alert_id,
            Delivery.subscriber_id == right.subscriber_id,
            Delivery.variant == Selection.variant,
        )
    ).first()
    return _Mail(topics, frequency)


def _topics(
    session: Session, subscriber_id: int, mail: _Mail | None
) -> tuple[tuple[ShownTopic, ...], tuple[ShownTopic, ...]]:
    """Gives the topics that a reader follows, those that brought the mail first, and all others."""
    query = select(Topic, Subscription).outerjoin(
        Subscription,
        (col(Subscription.topic_id) == Topic.id) & (col(Subscription.subscriber_id) == subscriber_id),
    )
    # Loaded anew: this may be asked before and after a change, in one session.
    rows: Sequence[Any] = session.exec(query.execution_options(populate_existing=True)).all()
    shown = [_shown(topic, held, mail) for topic, held in rows if topic.is_active or held is not None]
    shown.sort(key=lambda each: (not each.brought_the_mail, each.title.casefold(), each.slug))
    return (
        tuple(each for each in shown if each.frequency),
        tuple(each for each in shown if not each.frequency),
    )


def _shown(topic: Topic, held: Subscription | None, mail: _Mail | None) -> ShownTopic:
    is_followed = held is not None and held.until is None
    frequency = held.frequency if held is not None else ""
    return ShownTopic(
        slug=topic.slug,
        title=topic.title,
        description=topic.description,
        frequency=frequency if is_followed else "",
        last_frequency=frequency,
        is_active=topic.is_active,
        is_key_events_only=topic.key_events_only,
        changed_at=(held.until or held.chosen_at) if held is not None else None,
        brought_the_mail=is_followed and mail is not None and mail.came_for(topic.id, frequency),
    )


def _coming(
    reader: Subscriber, following: Sequence[ShownTopic], now: datetime, paused_until: datetime | None
) -> tuple[Coming, ...]:
    """Gives the next digests that the reader gets; the one that is due as a pause ends comes."""
    after = now if paused_until is None else paused_until - timedelta(microseconds=1)
    frequencies: Mapping[str, None] = dict.fromkeys(each.frequency for each in following)
    return tuple(
        Coming(
            each,
            slots.coming(
                each,
                slots.slot_of(each, reader.zone, reader.digest_hour, reader.digest_weekday),
                after,
            ),
        )
        for each in Frequency
        if each.is_digest and each in frequencies
    )
