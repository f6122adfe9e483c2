"""What hubs say at the callback, as transactions: they verify what we asked, deny it, or push.

The path is the whole right to speak for a subscription. No hub's content is read: a push only makes the feed's
next poll come sooner, and what the feed then shows is compared as ever.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from random import Random

from sqlmodel import Session, select

from alerts.feeds.outcomes import POLLED_STATES
from alerts.feeds.push import hasten
from alerts.feeds.push import rules as push_rules
from alerts.models import Feed, Push, PushState

# Section 5.2 calls a denied subscription impossible from then on. Hubs have bad days: we ask again in a week.
_DENIED_FOR = timedelta(days=7)
_LONGEST_REASON = 200


class Deed(StrEnum):
    """What became of a hub's word."""

    VERIFIED = "verified"
    REPEATED = "repeated"  # verified before: said yes to again, and nothing changed
    ENDED = "ended"
    DENIED = "denied"


@dataclass(frozen=True, slots=True)
class HubWord:
    """The query of a hub's GET, as it came (sections 5.2 and 5.3)."""

    mode: str
    topic: str
    lease_seconds: str = ""
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Heard:
    feed: str  # empty when it is gone
    deed: Deed
    lease_until: datetime | None = None


@dataclass(frozen=True, slots=True)
class Callback:
    """A subscription that contents are taken for."""

    id: int
    feed_id: int
    feed: str
    secret: str


def hear(session: Session, path: str, word: HubWord, now: datetime, random: Random) -> Heard | None:
    """Takes a hub's word; None, and nothing changed, when it answers no request of ours.

    A hub may ask twice, its first answer lost. The second time it hears the same, and nothing changes.
    """
    row = session.exec(select(Push).where(Push.path == path).with_for_update()).one_or_none()
    if row is None or row.topic != word.topic or row.asked_at is None:
        return None
    is_leaving = row.state == PushState.LEAVING
    feed = _name(session, row)
    match word.mode:
        case "subscribe" if row.is_awaited and not is_leaving:
            _verify(row, push_rules.lease(word.lease_seconds), now, random)
            heard = Heard(feed, Deed.VERIFIED, row.lease_until)
        case "subscribe" if row.state == PushState.VERIFIED:
            heard = Heard(feed, Deed.REPEATED, row.lease_until)
        case "unsubscribe" if row.is_awaited and is_leaving:
            session.delete(row)
            heard = Heard(feed, Deed.ENDED)
        case "denied" if not is_leaving:
            _deny(row, word.reason, now)
            heard = Heard(feed, Deed.DENIED)
        case _:
            return None
    session.flush()
    return heard


def callback(session: Session, path: str) -> Callback | None:
    """Gives the subscription behind a path; None for one that has let go of its feed, and for none at all."""
    found = session.exec(
        select(Push.id, Push.feed_id, Feed.name, Push.secret)
        .join(Feed, Feed.id == Push.feed_id)  # type: ignore[arg-type]  # a column's comparison is no bool
        .where(Push.path == path)
    ).one_or_none()
    if found is None:
        return None
    push_id, feed_id, name, secret = found
    assert push_id is not None, "read from the table"
    assert feed_id is not None, "joined"
    return Callback(push_id, feed_id, name, secret)


def hasten_poll(session: Session, pushed: Callback, now: datetime) -> bool:
    """Makes a feed due whose hub has pushed; gives whether a poll comes sooner for it.

    A feed that fails is left to its backoff, as the server may have asked us to wait.
    """
    # The feed is locked before its subscription, as a poll's transaction does it.
    feed = session.exec(select(Feed).where(Feed.id == pushed.feed_id).with_for_update()).one_or_none()
    row = session.exec(select(Push).where(Push.id == pushed.id).with_for_update()).one_or_none()
    if feed is None or row is None or row.feed_id != feed.id:
        return False
    row.pushed_at = now
    if feed.state not in POLLED_STATES or feed.failures:
        return False
    feed.hastened_at, feed.hastened_polls = now, 0
    soonest = hasten.on_word(row.hastened_to, now)
    is_sooner = soonest < feed.next_poll_at
    if is_sooner:
        feed.next_poll_at = row.hastened_to = soonest
    session.flush()
    return is_sooner


def discard(session: Session, pushed: Callback) -> None:
    """Counts a content that the hub did not sign."""
    row = session.exec(select(Push).where(Push.id == pushed.id).with_for_update()).one_or_none()
    if row is not None:
        row.discarded += 1
        session.flush()


def _verify(row: Push, length: timedelta, now: datetime, random: Random) -> None:
    row.state, row.is_awaited = PushState.VERIFIED, False
    row.failures, row.last_error = 0, ""
    row.lease_until = now + length
    row.due_at = now + push_rules.renewal(length, random)


def _deny(row: Push, reason: str, now: datetime) -> None:
    said = "".join(letter if letter.isprintable() else " " for letter in reason)[:_LONGEST_REASON].strip()
    row.state, row.is_awaited, row.lease_until = PushState.DENIED, False, None
    row.last_error = f"The hub denied the subscription: {said or 'it gave no reason'}."
    row.failures, row.due_at = 0, now + _DENIED_FOR


def _name(session: Session, row: Push) -> str:
    feed = session.get(Feed, row.feed_id) if row.feed_id is not None else None
    return feed.name if feed is not None else ""
