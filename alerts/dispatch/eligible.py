"""May this reader be sent this alert now? One pure function, asked when a chunk is opened."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from alerts.models import DeliveryState, Frequency, SubscriberState

_IMMEDIATE = frozenset({Frequency.FLASH, Frequency.EVERY})


@dataclass(frozen=True, slots=True)
class Following:
    """One subscription as it stands, its times held against the announcement."""

    topic_id: int
    frequency: str
    is_in_time: bool  # follows the topic since before the announcement
    is_chosen_in_time: bool  # at this frequency since before it
    has_left: bool


@dataclass(frozen=True, slots=True)
class Reader:
    """What the decision needs to know of a subscriber: no more, so that it is made once for all who are alike."""

    has_address: bool
    state: str
    suppressed: str
    following: tuple[Following, ...]
    is_served: bool = False  # holds this entry already, or will, from its first alert


@dataclass(frozen=True, slots=True)
class AlertRule:
    """Whom an alert is for: {topic id: frequencies} as it stood when announced."""

    audience: Mapping[int, frozenset[str]]
    announced_at: datetime
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class Send:
    """Mail it; the topics and the frequency that brought it are named in the mail."""

    topics: tuple[int, ...]
    frequency: str


@dataclass(frozen=True, slots=True)
class Skip:
    """Do not mail it; the state and the reason go into the ledger."""

    state: DeliveryState
    reason: str


def eligible(reader: Reader, alert: AlertRule, now: datetime) -> Send | Skip:  # noqa: PLR0911 - a list of reasons
    """Decides for one reader; opt-outs come first, so that no other reason can hide them."""
    if reader.state == SubscriberState.ERASED or not reader.has_address:
        return Skip(DeliveryState.SKIPPED, "erased")
    if reader.suppressed:
        return Skip(DeliveryState.SKIPPED, f"suppressed: {reader.suppressed}")
    current = [each for each in reader.following if not each.has_left]
    if reader.state != SubscriberState.ACTIVE or not current:
        return Skip(DeliveryState.SKIPPED, "unsubscribed")
    owed = [each for each in current if _was_owed(each, alert)]
    if not owed:
        return Skip(DeliveryState.SKIPPED, "followed later")
    if reader.is_served:
        return Skip(DeliveryState.SKIPPED, "served by an earlier alert")
    if now >= alert.expires_at:
        return Skip(DeliveryState.EXPIRED, "older than its time to live")
    frequency = max((each.frequency for each in owed), key=lambda word: word == Frequency.EVERY)
    return Send(tuple(sorted(each.topic_id for each in owed)), frequency)


def _was_owed(following: Following, alert: AlertRule) -> bool:
    """Whether the announcement met this subscription.

    Where an alert is for flash and every readers alike, it does not matter when the reader chose between
    them; else the choice must be older than the alert, or a change of mind could be served twice.
    """
    wanted = alert.audience.get(following.topic_id, frozenset())
    if following.frequency not in wanted or not following.is_in_time:
        return False
    return following.is_chosen_in_time or wanted >= _IMMEDIATE
