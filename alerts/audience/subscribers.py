"""Subscribers: one address each, what they follow, and the record of every choice.

Leaving deletes no subscription but sets `until`, so that a reader who left in the middle of an alert still ends in a
recorded state. Undoing an import deletes those alone that it wrote as left and that nobody ever had. Each change writes
the reader's history (`subscription_event`) and the audit; neither holds an address.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import sqlalchemy as sa
import structlog
from sqlmodel import Session, col, select

from alerts.audience import erasure, history, spans, suppressions
from alerts.audience.addresses import Address, normalise
from alerts.audience.stops import acknowledge_after_openings
from alerts.db import insert_or_ignore
from alerts.dispatch import diversions
from alerts.errors import NotFound
from alerts.models import (
    Audit,
    Frequency,
    Subscriber,
    SubscriberState,
    Subscription,
    SubscriptionEvent,
    Topic,
    table_of,
)

log = structlog.get_logger()

_SUBSCRIBER = table_of(Subscriber)
_SUBSCRIPTION = table_of(Subscription)
_EVENT = table_of(SubscriptionEvent)


@dataclass(frozen=True, slots=True)
class Followed:
    """One subscription: the topic's slug, and from when to when."""

    topic: str
    frequency: str
    since: datetime
    until: datetime | None


@dataclass(frozen=True, slots=True)
class SubscriberView:
    """A subscriber as they stand; `following` has what they left, too."""

    id: int
    address: str | None
    language: str
    state: str
    suppressed: str
    created_at: datetime
    following: tuple[Followed, ...]


@dataclass(frozen=True, slots=True)
class Signed:
    """What became of addresses that signed up: subscriber ids in the order given, and how many are new."""

    ids: tuple[int, ...]
    new: int
    suppressed: int


def add(
    session: Session,
    pepper: bytes,
    address: Address,
    *,
    language: str = "en",
    zone: str = "UTC",
    by: str,
    now: datetime,
) -> int:
    """Signs an address up and gives the subscriber's id, the same one when it is known already.

    An address that is suppressed stays so; one that left stays away until it follows something. Language and zone
    are those of a new reader; whoever is known keeps their own.
    """
    return add_many(session, pepper, [address], language=language, zone=zone, by=by, now=now).ids[0]


def add_many(
    session: Session,
    pepper: bytes,
    addresses: Sequence[Address],
    *,
    language: str = "en",
    zone: str = "UTC",
    by: str,
    now: datetime,
) -> Signed:
    """Signs addresses up, at most some thousands at once, as `add` does one."""
    by_key = {each.key: each.address for each in addresses}
    suppressions.hold(session, by_key)
    known = set(session.exec(select(Subscriber.address_key).where(col(Subscriber.address_key).in_(by_key))))
    new = [key for key in by_key if key not in known]
    causes = suppressions.causes(session, pepper, new)
    rows = [
        {
            "address": by_key[key],
            "address_key": key,
            "language": language,
            "zone": zone,
            "state": SubscriberState.ACTIVE,
            "suppressed": causes.get(key, ""),
            "created_at": now,
        }
        for key in new
    ]
    if rows:
        session.connection().execute(insert_or_ignore(session, _SUBSCRIBER), rows)
        _audit(session, "subscriber.add", "subscribers", {"count": len(rows)}, by, now)
    found = session.exec(
        select(Subscriber.address_key, Subscriber.id, Subscriber.suppressed).where(
            col(Subscriber.address_key).in_(by_key)
        )
    ).all()
    ids = {key: _known(id_) for key, id_, _ in found}
    return Signed(
        ids=tuple(ids[each.key] for each in addresses),
        new=len(rows),
        suppressed=sum(bool(cause) for _, _, cause in found),
    )


def find(session: Session, address: str) -> int:
    """Gives the id of the subscriber with this address; Refused when it is none, NotFound when unknown."""
    key = normalise(address).key
    found = session.exec(select(Subscriber.id).where(Subscriber.address_key == key)).first()
    if found is None:
        raise NotFound("No subscriber has this address (or it was erased).")
    return found


def show(session: Session, subscriber_id: int) -> SubscriberView:
    """Gives one subscriber with all they follow or ever followed."""
    reader = session.get(Subscriber, subscriber_id)
    if reader is None:
        raise _no_subscriber(subscriber_id)
    return _views(session, [reader])[0]


def list_page(
    session: Session, *, after: int = 0, limit: int = 100, topic: str | None = None
) -> list[SubscriberView]:
    """Gives a page of subscribers by id, who are after the given one; of one topic, who follow it now."""
    query = select(Subscriber).where(col(Subscriber.id) > after).order_by(col(Subscriber.id)).limit(limit)
    if topic is not None:
        followers = select(Subscription.subscriber_id).where(
            Subscription.topic_id == _topic(session, topic), col(Subscription.until).is_(None)
        )
        query = query.where(col(Subscriber.id).in_(followers))
    return _views(session, session.exec(query).all())


def follow(
    session: Session, subscriber_id: int, slug: str, frequency: Frequency, *, by: str, now: datetime
) -> bool:
    """Makes a reader follow a topic at a frequency, or changes the frequency; says whether that is news.

    A change of frequency keeps `since`. Who comes back after leaving starts anew; within an hour, and to the same
    frequency, their next digest has what it would have had, less what was released meanwhile.
    """
    reader = _locked(session, subscriber_id)
    if reader.state == SubscriberState.ERASED:
        raise NotFound(f"Subscriber {subscriber_id} was erased.")
    topic_id = _topic(session, slug)
    held = session.get(Subscription, (subscriber_id, topic_id))
    if held is None:
        held = Subscription(
            subscriber_id=subscriber_id, topic_id=topic_id, frequency=frequency, since=now, chosen_at=now
        )
        kind = "follow"
        spans.begin(session, [subscriber_id], topic_id, frequency, now)
    elif held.until is not None:
        if held.frequency == frequency and now - held.until < spans.SLIP:
            since = max(held.chosen_at, _last_end_of_pause(session, reader))
            spans.take_up(session, subscriber_id, topic_id, frequency, since, held.until)
        held.frequency, held.since, held.chosen_at, held.until = frequency, now, now, None
        held.immediate_since = None
        kind = "follow"
        spans.begin(session, [subscriber_id], topic_id, frequency, now)
    elif held.frequency != frequency:
        change_frequency(session, [held], frequency, now)
        kind = "change"
    else:
        return False
    reader.state = SubscriberState.ACTIVE
    session.add_all([held, reader])
    _record(session, subscriber_id, kind, topic_id, frequency, by, now)
    return True


def change_frequency(
    session: Session, held: Sequence[Subscription], frequency: Frequency, now: datetime
) -> None:
    """Has a topic come to readers at another frequency, who have had it at the same one; their rows are locked."""
    before = [each.model_copy() for each in held]
    topic_id, old = held[0].topic_id, Frequency(held[0].frequency)
    spans.change(session, [each.subscriber_id for each in held], topic_id, old, frequency, now)
    is_immediate = not frequency.is_digest and not old.is_digest
    for each in held:
        each.immediate_since = (each.immediate_since or each.chosen_at) if is_immediate else None
        each.frequency, each.chosen_at = frequency, now
    session.add_all(held)
    session.flush()
    for each in before:
        diversions.settle_change(session, each, now)


def follow_many(
    session: Session, ids: Sequence[int], slug: str, frequency: Frequency, *, by: str, now: datetime
) -> int:
    """Makes readers follow a topic, at most some thousands at once, as `follow` does one; counts the news."""
    topic_id = _topic(session, slug)
    asked = set(ids)
    held = set(
        session.exec(
            select(Subscription.subscriber_id).where(
                Subscription.topic_id == topic_id, col(Subscription.subscriber_id).in_(asked)
            )
        )
    )
    fresh = sorted(asked - held)
    if fresh:
        _take_back(session, fresh)
        subscription = {"topic_id": topic_id, "frequency": frequency, "since": now, "chosen_at": now}
        event = {"topic_id": topic_id, "kind": "follow", "detail": frequency, "by": by, "at": now}
        rows = [{"subscriber_id": id_, **subscription} for id_ in fresh]
        session.connection().execute(insert_or_ignore(session, _SUBSCRIPTION), rows)
        session.connection().execute(sa.insert(_EVENT), [{"subscriber_id": id_, **event} for id_ in fresh])
        spans.begin(session, fresh, topic_id, frequency, now)
        detail = {"topic": slug, "frequency": frequency, "count": len(fresh)}
        _audit(session, "subscriber.follow", "subscribers", detail, by, now)
    changed = [follow(session, id_, slug, frequency, by=by, now=now) for id_ in sorted(held)]
    return len(fresh) + sum(changed)


def unsubscribe(session: Session, subscriber_id: int, slug: str | None, *, by: str, now: datetime) -> int:
    """Ends one subscription, or all of them (None); gives how many it ended, none the second time.

    The wish is written down also where an import has ended them before: its undoing must not bring them back.
    """
    acknowledge_after_openings(session, subscriber_id)
    topic_id = None if slug is None else _topic(session, slug)
    reader = _locked(session, subscriber_id)
    held = session.exec(select(Subscription).where(Subscription.subscriber_id == subscriber_id)).all()
    current = [each for each in held if each.until is None]
    leaving = [each for each in current if topic_id in {None, each.topic_id}]
    for each in leaving:
        each.until = now
        session.add(each)
        spans.leave(session, subscriber_id, each.topic_id, now)
        _record(session, subscriber_id, history.LEFT, each.topic_id, "", by, now)
    if not leaving or (topic_id is None and len(leaving) < len(held)):
        _leave_again(session, subscriber_id, topic_id, by, now)
    if len(leaving) == len(current) and reader.state == SubscriberState.ACTIVE:
        reader.state = SubscriberState.LEFT
        session.add(reader)
    return len(leaving)


def place(
    session: Session, subscriber_id: int, *, zone: str, hour: int, weekday: int, by: str, now: datetime
) -> bool:
    """Has a reader's digests come at an hour of their zone's day; says whether that is news."""
    reader = _locked(session, subscriber_id)
    if (reader.zone, reader.digest_hour, reader.digest_weekday) == (zone, hour, weekday):
        return False
    reader.zone, reader.digest_hour, reader.digest_weekday = zone, hour, weekday
    session.add(reader)
    spans.place(session, reader, now)
    _record(session, subscriber_id, "place", None, f"{zone} {weekday} {hour:02d}", by, now)
    return True


def pause(session: Session, subscriber_id: int, until: datetime | None, *, by: str, now: datetime) -> bool:
    """Has a reader get nothing until then, or something again (None); says whether that is news."""
    acknowledge_after_openings(session, subscriber_id)
    reader = _locked(session, subscriber_id)
    before = reader.paused_until if reader.paused_until is not None and reader.paused_until > now else None
    if before == until:
        return False
    reader.paused_until = until
    session.add(reader)
    spans.pause(session, subscriber_id, until or now, now)
    if until is None:
        _record(session, subscriber_id, "resume", None, "", by, now)
    else:
        _record(session, subscriber_id, "pause", None, until.isoformat(), by, now)
    return True


def note(
    session: Session, subscriber_id: int, kind: str, *, slug: str | None = None, by: str, now: datetime
) -> None:
    """Writes a reader's history where what they did changes nothing here."""
    topic_id = None if slug is None else _topic(session, slug)
    _record(session, subscriber_id, kind, topic_id, "", by, now)


def as_known(session: Session, address: Address) -> Address:
    """Gives an address as its reader is mailed: what somebody else typed may be another spelling of it."""
    query = select(Subscriber.address).where(Subscriber.address_key == address.key)
    return Address(session.exec(query).first() or address.address, address.key)


def readdress(
    session: Session, pepper: bytes, subscriber_id: int, address: Address, *, by: str, now: datetime
) -> bool:
    """Has a reader mailed at another address from now on; says no when that is another reader's."""
    acknowledge_after_openings(session, subscriber_id)
    suppressions.hold(session, [address.key])
    reader = _locked(session, subscriber_id)
    others = select(Subscriber.id).where(
        Subscriber.address_key == address.key, Subscriber.id != subscriber_id
    )
    if session.exec(others).first() is not None:
        return False
    reader.address, reader.address_key, reader.address_since = address.address, address.key, now
    reader.suppressed = suppressions.causes(session, pepper, [address.key]).get(address.key, "")
    session.add(reader)
    _record(session, subscriber_id, "change-address", None, "", by, now)
    return True


def erase(session: Session, subscriber_id: int, *, by: str, now: datetime) -> None:
    """Forgets who a subscriber was; what was sent stays counted, a suppression stays known by its hash.

    `erasure.finish` then clears the database's files, as the daemon and the command do.
    """
    acknowledge_after_openings(session, subscriber_id)
    reader = _locked(session, subscriber_id)
    if reader.state == SubscriberState.ERASED:
        return
    if reader.address_key is not None:
        erasure.forget(session, {subscriber_id: reader.address_key}, now)
    _end_all(session, [subscriber_id], now)
    reader.address = reader.address_key = None
    reader.state = SubscriberState.ERASED
    session.add(reader)
    _record(session, subscriber_id, "erase", None, "", by, now)


def erase_many(session: Session, ids: Sequence[int], *, by: str, now: datetime) -> None:
    """Forgets readers, at most some hundreds at once, as `erase` does one; whoever is erased already is left out."""
    query = (
        select(Subscriber.id, Subscriber.address_key)
        .where(col(Subscriber.id).in_(ids), col(Subscriber.state) != SubscriberState.ERASED)
        .order_by(col(Subscriber.id))
        .with_for_update()
    )
    keys = {_known(id_): key or "" for id_, key in session.exec(query)}
    if not keys:
        return
    for each in keys:
        acknowledge_after_openings(session, each)
    erasure.forget(session, keys, now)
    _end_all(session, [*keys], now)
    gone = {"address": None, "address_key": None, "state": SubscriberState.ERASED}
    session.exec(sa.update(Subscriber).where(col(Subscriber.id).in_(keys)).values(gone))
    event = {"topic_id": None, "kind": "erase", "detail": "", "by": by, "at": now}
    session.connection().execute(sa.insert(_EVENT), [{"subscriber_id": each, **event} for each in keys])
    _audit(session, "subscriber.erase", "subscribers", {"count": len(keys)}, by, now)


def _end_all(session: Session, ids: Sequence[int], now: datetime) -> None:
    current = sa.update(Subscription).where(
        col(Subscription.subscriber_id).in_(ids), col(Subscription.until).is_(None)
    )
    session.exec(current.values(until=now))
    spans.leave_all(session, ids, now)


def _locked(session: Session, subscriber_id: int) -> Subscriber:
    query = select(Subscriber).where(Subscriber.id == subscriber_id).with_for_update(key_share=True)
    reader = session.exec(query).first()
    if reader is None:
        raise _no_subscriber(subscriber_id)
    return reader


def _last_end_of_pause(session: Session, reader: Subscriber) -> datetime:
    resumed = session.exec(
        select(sa.func.max(SubscriptionEvent.at)).where(
            SubscriptionEvent.subscriber_id == reader.id, SubscriptionEvent.kind == "resume"
        )
    ).one()
    ends = [each for each in (reader.paused_until, resumed) if each is not None]
    return max(ends, default=datetime.min.replace(tzinfo=UTC))


def _no_subscriber(subscriber_id: int) -> NotFound:
    return NotFound(f"There is no subscriber {subscriber_id}.")


def _topic(session: Session, slug: str) -> int:
    found = session.exec(select(Topic.id).where(Topic.slug == slug)).first()
    if found is None:
        raise NotFound(f"There is no topic {slug}: `alerts topics list` names those there are.")
    return found


def _take_back(session: Session, ids: Sequence[int]) -> None:
    """Makes readers active who had left everything."""
    query = sa.update(Subscriber).where(
        col(Subscriber.id).in_(ids), col(Subscriber.state) == SubscriberState.LEFT
    )
    session.exec(query.values(state=SubscriberState.ACTIVE))


def _views(session: Session, readers: Sequence[Subscriber]) -> list[SubscriberView]:
    query = (
        select(Subscription, Topic.slug)
        .join(Topic, col(Topic.id) == Subscription.topic_id)
        .where(col(Subscription.subscriber_id).in_([reader.id for reader in readers]))
        .order_by(Topic.slug)
    )
    following: dict[int, list[Followed]] = {}
    for row, slug in session.exec(query):
        followed = Followed(slug, row.frequency, row.since, row.until)
        following.setdefault(row.subscriber_id, []).append(followed)
    return [
        SubscriberView(
            id=_known(reader.id),
            address=reader.address,
            language=reader.language,
            state=reader.state,
            suppressed=reader.suppressed,
            created_at=reader.created_at,
            following=tuple(following.get(_known(reader.id), ())),
        )
        for reader in readers
    ]


def _known(subscriber_id: int | None) -> int:
    assert subscriber_id is not None, "read from the table"
    return subscriber_id


def _leave_again(session: Session, subscriber_id: int, topic_id: int | None, by: str, now: datetime) -> None:
    """Writes down that a reader leaves, unless that is their last word: a link can be followed any number of times."""
    words = history.words_about(history.last_words(session, [subscriber_id])[subscriber_id], topic_id)
    if not words or any((each.kind, each.by) != (history.LEFT, by) for each in words):
        _record(session, subscriber_id, history.LEFT, topic_id, "", by, now)


def _record(
    session: Session, subscriber_id: int, kind: str, topic_id: int | None, detail: str, by: str, now: datetime
) -> None:
    session.add(
        SubscriptionEvent(
            subscriber_id=subscriber_id, topic_id=topic_id, kind=kind, detail=detail, by=by, at=now
        )
    )
    about = {"topic": topic_id, "detail": detail} if topic_id is not None else {}
    _audit(session, f"subscriber.{kind}", f"subscriber:{subscriber_id}", about, by, now)


def _audit(
    session: Session, action: str, subject: str, detail: dict[str, object], by: str, now: datetime
) -> None:
    session.add(Audit(at=now, by=by, action=action, subject=subject, detail=detail))
    log.info(action.replace(".", "_"), subject=subject, by=by, **detail)
