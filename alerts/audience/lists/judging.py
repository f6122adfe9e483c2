"""What a staged line would change, or why nothing: asked for a dry run, and again in the transaction that applies it."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

import sqlalchemy as sa
from sqlmodel import Session, select

from alerts import db
from alerts.audience import history, suppressions
from alerts.audience.lists.shapes import Step
from alerts.audience.lists.staging import StagedLine
from alerts.models import (
    ImportLine,
    Subscriber,
    SubscriberState,
    Subscription,
    Topic,
    table_of,
)

_SUBSCRIBER = table_of(Subscriber)
_SUBSCRIPTION = table_of(Subscription)
_LINE = table_of(ImportLine)


class Outcome(StrEnum):
    """What becomes of a line."""

    NEW = "new readers"
    FOLLOWS = "known readers who follow a topic more"
    CHANGED = "changed frequencies"
    UNCHANGED = "unchanged"
    LEFT = "left before, not brought back"
    SUPPRESSED = "suppressed, not brought back"
    OPTED_OUT = "opted out"
    STOPPED = "newly suppressed"
    OUT_ALREADY = "out already"


@dataclass(frozen=True, slots=True)
class Held:
    """A reader whom a line is about, as they stand."""

    id: int
    state: str
    suppressed: str


@dataclass(frozen=True, slots=True)
class Judged:
    """A line's outcome, and what it was judged by."""

    line: StagedLine
    outcome: Outcome
    reader: Held | None
    topic_id: int | None
    before: str = ""  # the frequency so far
    is_back: bool = False  # an undoing ended the subscription, which begins again


def judge(session: Session, pepper: bytes, lines: Sequence[StagedLine]) -> list[Judged]:
    """Gives the outcome of each of some staged lines of one import and one step; changes nothing.

    It stays true for the rest of the transaction if the addresses are held.
    """
    if not lines:
        return []
    db.prefer_indexes(session)
    keys = [each.address_key for each in lines]
    known = _Known(session, pepper, lines, keys)
    return [known.judged(each) for each in lines]


class _Known:
    """All that the outcomes of some lines depend on, read in a few queries."""

    def __init__(
        self, session: Session, pepper: bytes, lines: Sequence[StagedLine], keys: Sequence[str]
    ) -> None:
        self.topics = dict(session.exec(select(Topic.slug, Topic.id)).all())
        rows = session.connection().execute(_READERS, {"keys": keys})
        self.readers = {key: Held(id_, state, cause) for key, id_, state, cause in rows}
        self.causes = suppressions.causes(session, pepper, keys)
        self.subscriptions = _subscriptions(session, [each.id for each in self.readers.values()])
        self.undone = _undone(
            session, [pair for pair, (_, has_left) in self.subscriptions.items() if has_left]
        )
        # What else of the same import is about these addresses, and not applied yet.
        self.first, self.opted_out = _ahead(session, lines[0].import_id, keys)

    def judged(self, line: StagedLine) -> Judged:
        reader = self.readers.get(line.address_key)
        topic_id = self.topics.get(line.topic)
        frequency, has_left = self.subscriptions.get((reader.id if reader else 0, topic_id or 0), ("", False))
        pair = (reader.id if reader else 0, topic_id or 0)
        is_back = has_left and pair in self.undone
        outcome = self._outcome(line, reader, frequency, has_left=has_left and not is_back, is_back=is_back)
        return Judged(line, outcome, reader, topic_id, frequency, is_back)

    def _outcome(  # noqa: PLR0911 - a list of outcomes
        self, line: StagedLine, reader: Held | None, frequency: str, *, has_left: bool, is_back: bool
    ) -> Outcome:
        has_left_all = reader is not None and reader.state == SubscriberState.LEFT
        match line.step:
            case Step.SUPPRESS:
                return Outcome.OUT_ALREADY if line.address_key in self.causes else Outcome.STOPPED
            case Step.LEAVE_ALL:
                return Outcome.OUT_ALREADY if has_left_all else Outcome.OPTED_OUT
            case Step.LEAVE:
                # A line that opts out of all is applied before it.
                is_next = frequency != "" and self.opted_out.get(line.address_key) == Step.LEAVE_ALL
                return Outcome.OUT_ALREADY if has_left or is_next else Outcome.OPTED_OUT
        if line.address_key in self.causes or self.opted_out.get(line.address_key) == Step.SUPPRESS:
            return Outcome.SUPPRESSED
        if has_left_all or has_left or line.address_key in self.opted_out:
            return Outcome.LEFT
        if reader is None and self.first.get(line.address_key) == line.line:
            return Outcome.NEW
        if reader is None or not frequency or is_back:
            return Outcome.FOLLOWS
        return Outcome.UNCHANGED if frequency == line.frequency else Outcome.CHANGED


def _subscriptions(session: Session, ids: Sequence[int]) -> Mapping[tuple[int, int], tuple[str, bool]]:
    rows = session.connection().execute(_SUBSCRIPTIONS, {"ids": ids}) if ids else ()
    return {(reader, topic): (frequency, left) for reader, topic, frequency, left in rows}


_READERS = sa.select(
    _SUBSCRIBER.c.address_key, _SUBSCRIBER.c.id, _SUBSCRIBER.c.state, _SUBSCRIBER.c.suppressed
).where(db.among(_SUBSCRIBER.c.address_key, "keys"))
_SUBSCRIPTIONS = sa.select(
    _SUBSCRIPTION.c.subscriber_id,
    _SUBSCRIPTION.c.topic_id,
    _SUBSCRIPTION.c.frequency,
    _SUBSCRIPTION.c.until.is_not(None),
).where(db.among(_SUBSCRIPTION.c.subscriber_id, "ids"))


def _undone(session: Session, pairs: Collection[tuple[int, int]]) -> frozenset[tuple[int, int]]:
    """Of subscriptions that ended, those that an undoing ended and nobody since."""
    last = history.last_words(session, {reader for reader, _ in pairs})
    return frozenset(
        (reader, topic)
        for reader, topic in pairs
        if (word := last[reader].get(topic)) is not None and word.kind == history.UNDONE
    )


def _ahead(
    session: Session, import_id: int, keys: Sequence[str]
) -> tuple[Mapping[str, int], Mapping[str, int]]:
    """Gives each address's first line that follows, and the first step that opts it out of all."""
    rows = session.connection().execute(_AHEAD, {"keys": keys, "of_import": import_id})
    first: dict[str, int] = {}
    out: dict[str, int] = {}
    for key, step, line in rows:
        if step == Step.FOLLOW:
            first[key] = line
        elif step != Step.LEAVE:
            out[key] = step  # the lowest comes last
    return first, out


_AHEAD = (
    sa.select(_LINE.c.address_key, _LINE.c.step, sa.func.min(_LINE.c.line))
    .where(db.among(_LINE.c.address_key, "keys"), _LINE.c.import_id == sa.bindparam("of_import"))
    .group_by(_LINE.c.address_key, _LINE.c.step)
    .order_by(_LINE.c.step.desc())
)
