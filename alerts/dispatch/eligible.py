"""May this reader be sent this alert now? One pure function, asked when a chunk is opened; digests have their own."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from alerts.models import DeliveryState, Frequency, SubscriberState

IMMEDIATE = frozenset({Frequency.FLASH, Frequency.EVERY})
_SOONEST_FIRST = (Frequency.HOURLY, Frequency.DAILY, Frequency.WEEKLY)


@dataclass(frozen=True, slots=True)
class Following:
    """One subscription as it stands, its times held against the release."""

    topic_id: int
    frequency: str
    is_in_time: bool  # follows the topic since before the release
    is_chosen_in_time: bool  # at this frequency since before it
    has_left: bool
    is_immediate_in_time: bool = True  # at this frequency or the other one at once since before it


@dataclass(frozen=True, slots=True)
class Reader:
    """What the decision needs to know of a subscriber: no more, so that it is made once for all who are alike."""

    has_address: bool
    state: str
    suppressed: str
    following: tuple[Following, ...]
    is_served: bool = False  # holds this entry already, or will, from its first alert or a digest
    is_paused: bool = False


@dataclass(frozen=True, slots=True)
class Slot:
    """Whom a digest is for: the readers of one frequency whose windows end at one instant."""

    frequency: str
    name: str
    window_end: datetime
    is_skipped: bool = False  # it is late, and late ones are not sent


@dataclass(frozen=True, slots=True)
class AlertRule:
    """Whom an alert is for: {topic id: frequencies} as it stood when announced, or a digest's slot."""

    audience: Mapping[int, frozenset[str]]
    released_at: datetime
    expires_at: datetime
    slot: Slot | None = None


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
    digest: str = ""  # the frequency of the digest that carries it instead


UNSUBSCRIBED = Skip(DeliveryState.SKIPPED, "unsubscribed")
_EXPIRED = "older than its time to live"


def eligible(reader: Reader, alert: AlertRule, now: datetime) -> Send | Skip:  # noqa: PLR0911 - a list of reasons
    """Decides for one reader; opt-outs come first, so that no other reason can hide them."""
    if (out := _opted_out(reader)) is not None:
        return out
    current = [each for each in reader.following if not each.has_left]
    if not current:
        return UNSUBSCRIBED
    if reader.is_paused:
        return Skip(DeliveryState.SKIPPED, "paused")
    owed = [each for each in current if was_owed(each, alert)]
    digest = _digest_of(current, alert)
    if not owed and not digest:
        return Skip(DeliveryState.SKIPPED, "followed later")
    if reader.is_served:
        return Skip(DeliveryState.SKIPPED, "served by an earlier alert")
    if not owed:
        return Skip(DeliveryState.DIVERTED, "digests were chosen meanwhile", digest)
    if now >= alert.expires_at:
        return Skip(DeliveryState.DIVERTED if digest else DeliveryState.EXPIRED, _EXPIRED, digest)
    frequency = max((each.frequency for each in owed), key=lambda word: word == Frequency.EVERY)
    return Send(tuple(sorted(each.topic_id for each in owed)), frequency)


def unfit_for_digest(
    reader: Reader, topics: Sequence[int] | None, digest: AlertRule, now: datetime
) -> Skip | None:
    """Says why a digest may not be sent to a reader; none when it may.

    `topics` are what it carries something of: who has left them all gets none of it. None when they are known to be
    followed.
    """
    if (out := _opted_out(reader)) is not None:
        return out
    if topics is not None and not any(
        each.topic_id in topics and not each.has_left for each in reader.following
    ):
        return UNSUBSCRIBED
    if reader.is_paused:
        return Skip(DeliveryState.SKIPPED, "paused")
    if digest.slot is not None and digest.slot.is_skipped:
        return Skip(DeliveryState.EXPIRED, "late, and late digests are skipped")
    if now >= digest.expires_at:
        return Skip(DeliveryState.EXPIRED, _EXPIRED)
    return None


def as_it_stands(subscription: Any, alert: AlertRule) -> Following:
    """Gives a subscription, or a row with its columns, with its times held against an alert's release."""
    return Following(
        subscription.topic_id,
        subscription.frequency,
        is_in_time=subscription.since <= alert.released_at,
        is_chosen_in_time=subscription.chosen_at <= alert.released_at,
        has_left=subscription.until is not None,
        is_immediate_in_time=(subscription.immediate_since or subscription.chosen_at) <= alert.released_at,
    )


def was_owed(following: Following, alert: AlertRule) -> bool:
    """Whether the release met this subscription.

    Where an alert is for flash and every readers alike, it does not matter when the reader chose between
    them; else the choice must be older than the alert, or a change of mind could be served twice.
    """
    wanted = alert.audience.get(following.topic_id, frozenset())
    if following.frequency not in wanted or not following.is_in_time:
        return False
    return following.is_chosen_in_time or (wanted >= IMMEDIATE and following.is_immediate_in_time)


def _opted_out(reader: Reader) -> Skip | None:
    if reader.state == SubscriberState.ERASED or not reader.has_address:
        return Skip(DeliveryState.SKIPPED, "erased")
    if reader.suppressed:
        return Skip(DeliveryState.SKIPPED, f"suppressed: {reader.suppressed}")
    if reader.state != SubscriberState.ACTIVE:
        return UNSUBSCRIBED
    return None


def _digest_of(current: Sequence[Following], alert: AlertRule) -> str:
    """The digest that a reader gets an alert's entries with, the soonest; none where they follow no topic so.

    Digests carry what `every` readers are mailed.
    """
    chosen = {
        each.frequency
        for each in current
        if each.is_in_time and Frequency.EVERY in alert.audience.get(each.topic_id, frozenset())
    }
    return next((frequency for frequency in _SOONEST_FIRST if frequency in chosen), "")
