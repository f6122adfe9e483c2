"""What each reader of a chunk finds in their digest: what is owed to them, less what they hold.

Readers whose windows and topics are alike are worked out once. Who may hold some of it already is looked up: those
who were mailed at once lately, or have digests of more than one kind.
"""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from operator import itemgetter
from typing import Any, TypeAlias

import sqlalchemy as sa
from sqlmodel import Session

from alerts import db
from alerts.dispatch.digests import released
from alerts.dispatch.digests.carried import HOLDING, PAIRS, by_digests
from alerts.dispatch.digests.released import Text
from alerts.dispatch.digests.window import Span, Told, Window
from alerts.dispatch.eligible import IMMEDIATE, AlertRule, Slot, as_it_stands, was_owed
from alerts.models import (
    Alert,
    AlertEntry,
    AlertState,
    Delivery,
    DigestMark,
    DigestSpan,
    Diversion,
    Selection,
    Subscriber,
    Subscription,
    table_of,
)

ALERT = table_of(Alert)
ALERT_ENTRY = table_of(AlertEntry)
DELIVERY = table_of(Delivery)
DIVERSION = table_of(Diversion)
MARK = table_of(DigestMark)
SELECTION = table_of(Selection)
SPAN = table_of(DigestSpan)
SUBSCRIBER = table_of(Subscriber)
SUBSCRIPTION = table_of(Subscription)

Entries: TypeAlias = tuple[tuple[int, int, str], ...]  # as in Selection


@dataclass(frozen=True, slots=True)
class Content:
    """What a digest carries for some of its readers."""

    topics: tuple[int, ...]
    entries: Entries


@dataclass(frozen=True, slots=True)
class Selected:
    """What a chunk's readers find; who is in neither finds nothing new, and gets no mail."""

    contents: Mapping[int, Content]
    left: frozenset[int]  # who left since the digest was announced
    ids: Sequence[int]  # whose windows end with it
    ended: Sequence[int]  # who has a span that ended
    consumed: Sequence[tuple[int, int]]  # diversions: subscriber and alert


def select(session: Session, digest_id: int, slot: Slot, ids: Sequence[int], now: datetime) -> Selected:
    """Works out what a digest carries for each of these readers (their ids must ascend), and locks their marks.

    Who pauses finds nothing, and their windows go on: what came before the pause is owed after it.
    """
    readers = _readers(session, slot, ids, now)
    if not readers.through:
        return Selected({}, frozenset(), (), (), ())
    diverted = _diverted(session, slot, sorted(readers.through))
    also = {alert_id for alerts in diverted.values() for alert_id, _ in alerts}
    window = released.window(session, digest_id, min(readers.through.values()), slot.window_end, also)
    texts = released.texts(session, window.told)
    owed = _owed(window, readers, diverted)
    held = _Held(session, digest_id, window, min(readers.through.values())).of(
        owed, readers.with_others | diverted.keys()
    )
    return Selected(
        dict(_contents(window, texts, owed, held)),
        readers.left,
        sorted(readers.through),
        sorted(readers.ended),
        [(reader, alert_id) for reader, alerts in diverted.items() for alert_id, _ in alerts],
    )


def settle(
    session: Session, digest_id: int, slot: Slot, selected: Selected, told: Mapping[str, tuple[str, Content]]
) -> None:
    """Writes what these readers' digest took: their windows end with it, and what it tells is kept by variant.

    `told` has the language and the content of each variant that somebody is sent.
    """
    connection = session.connection()
    of_slot = {"of_frequency": slot.frequency, "end": slot.window_end}
    if selected.ids:
        connection.execute(_MOVE, of_slot | {"ids": selected.ids})
    if selected.ended:
        connection.execute(_FORGET_SPANS, of_slot | {"ids": selected.ended})
        connection.execute(_END_MARKS, of_slot | {"ids": selected.ended})
    if selected.consumed:
        pairs = [{"reader": reader, "of_alert": alert_id} for reader, alert_id in selected.consumed]
        connection.execute(_FORGET_DIVERSIONS, pairs)
    if not told:
        return
    rows = [
        {
            "alert_id": digest_id,
            "variant": variant,
            "language": language,
            "topics": [*content.topics],
            "entries": [[*each] for each in content.entries],
        }
        for variant, (language, content) in told.items()
    ]
    connection.execute(db.insert_or_ignore(session, SELECTION), rows)
    carried = {each[:2] for _, content in told.values() for each in content.entries}
    texts = [{"alert_id": digest_id, "entry_id": id_, "revision": number} for id_, number in sorted(carried)]
    connection.execute(db.insert_or_ignore(session, ALERT_ENTRY), texts)


_THESE = (MARK.c.frequency == sa.bindparam("of_frequency"), db.among(MARK.c.subscriber_id, "ids"))
_MOVE = (
    sa.update(MARK).where(*_THESE, MARK.c.through < sa.bindparam("end")).values(through=sa.bindparam("end"))
)
_FORGET_SPANS = sa.delete(SPAN).where(
    SPAN.c.frequency == sa.bindparam("of_frequency"),
    db.among(SPAN.c.subscriber_id, "ids"),
    SPAN.c.until <= sa.bindparam("end"),
)
_END_MARKS = (
    sa.update(MARK)
    .where(
        *_THESE,
        MARK.c.until.is_(None),
        ~sa.exists().where(
            SPAN.c.subscriber_id == MARK.c.subscriber_id, SPAN.c.frequency == MARK.c.frequency
        ),
    )
    .values(until=sa.bindparam("end"))
)
_FORGET_DIVERSIONS = sa.delete(DIVERSION).where(
    DIVERSION.c.subscriber_id == sa.bindparam("reader"), DIVERSION.c.alert_id == sa.bindparam("of_alert")
)


# --- what is owed ----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Readers:
    """The readers of a chunk: where their windows begin, what they follow, and what is special about them."""

    through: Mapping[int, datetime]
    spans: Mapping[int, tuple[Span, ...]]
    with_others: frozenset[int]  # who has, or had, digests of another frequency
    ended: frozenset[int]
    left: frozenset[int]


def _readers(session: Session, slot: Slot, ids: Sequence[int], now: datetime) -> _Readers:
    connection = session.connection()
    values = {"ids": ids, "first": ids[0], "last": ids[-1], "now": now}
    marks = connection.execute(_MARKS, values).all()
    of_slot = {
        row.subscriber_id: row
        for row in marks
        if row.frequency == slot.frequency
        and row.slot == slot.name
        and row.through < slot.window_end
        and not row.is_paused
    }
    through = {reader: row.through for reader, row in of_slot.items()}
    spans = _spans(session, slot, through)
    return _Readers(
        through=through,
        spans=spans,
        with_others=frozenset(row.subscriber_id for row in marks if row.frequency != slot.frequency),
        ended=frozenset(
            reader for reader, own in spans.items() if any(until is not None for _, _, until in own)
        ),
        left=frozenset(reader for reader, row in of_slot.items() if row.until is not None),
    )


_Diverted: TypeAlias = tuple[int, datetime]  # an alert, and when


def _spans(session: Session, slot: Slot, through: Mapping[int, datetime]) -> Mapping[int, tuple[Span, ...]]:
    """Gives what readers followed, with times only where they may cut a window.

    So readers who signed up at different times are alike, and cost less. Most windows begin at one instant.
    """
    if not through:
        return {}
    usual = Counter(through.values()).most_common(1)[0][0]
    groups = (
        (usual, [reader for reader, at in through.items() if at >= usual]),
        (min(through.values()), [reader for reader, at in through.items() if at < usual]),
    )
    spans: dict[int, tuple[Span, ...]] = {}
    for since, ids in groups:
        if ids:
            values = {
                "of_frequency": slot.frequency,
                "end": slot.window_end,
                "since": since,
                "ids": ids,
                "first": ids[0],
                "last": ids[-1],
            }
            rows = session.connection().execute(_SPANS, values)
            spans |= {
                reader: tuple(tuple(row[1:]) for row in own) for reader, own in groupby(rows, itemgetter(0))
            }
    return spans


@dataclass(frozen=True, slots=True)
class _Owed:
    """What a reader is owed: alerts by topic, and all of them; some may have come from elsewhere."""

    by_topic: Mapping[int, int]
    all: int


def _owed(window: Window, readers: _Readers, diverted: Mapping[int, Sequence[_Diverted]]) -> dict[int, _Owed]:
    shapes: dict[tuple[datetime, tuple[Span, ...]], _Owed] = {}
    owed: dict[int, _Owed] = {}
    for reader, through in readers.through.items():
        spans = readers.spans.get(reader, ())
        shape = through, spans
        if (found := shapes.get(shape)) is None:
            found = shapes[shape] = _whole(window.owed(through, spans))
        if alerts := diverted.get(reader):
            begun = [(alert_id, at) for alert_id, at in alerts if at >= through]
            found = _whole(_with_diverted(window, found.by_topic, spans, begun))
        if found.all:
            owed[reader] = found
    return owed


def _whole(by_topic: Mapping[int, int]) -> _Owed:
    everything = 0
    for mask in by_topic.values():
        everything |= mask
    return _Owed(by_topic, everything)


def _with_diverted(
    window: Window, by_topic: Mapping[int, int], spans: Sequence[Span], alerts: Sequence[_Diverted]
) -> dict[int, int]:
    """Adds what a reader was owed at once and did not get, by the topics that they followed then and have not left."""
    more = dict(by_topic)
    diverted_at = dict(alerts)
    for each in window.told:
        if (at := diverted_at.get(each.alert_id)) is None:
            continue
        for topic in {topic for topic, since, _ in spans if since is None or since <= at} & each.topics:
            more[topic] = more.get(topic, 0) | window.of_alert(each.alert_id)
    return more


def _diverted(session: Session, slot: Slot, ids: Sequence[int]) -> Mapping[int, list[_Diverted]]:
    values = {
        "of_frequency": slot.frequency,
        "end": slot.window_end,
        "ids": ids,
        "first": ids[0],
        "last": ids[-1],
    }
    found: dict[int, list[_Diverted]] = defaultdict(list)
    for reader, alert_id, at in session.connection().execute(_DIVERTED, values):
        found[reader].append((alert_id, at))
    return found


# All marks of these readers, so that no other digest of theirs is opened at the same time.
_MARKS = (
    sa.select(MARK, (SUBSCRIBER.c.paused_until > sa.bindparam("now")).label("is_paused"))
    .join(SUBSCRIBER, SUBSCRIBER.c.id == MARK.c.subscriber_id)
    .where(
        # The bounds, of both, keep the join on index ranges whatever the statistics say.
        SUBSCRIBER.c.id.between(sa.bindparam("first"), sa.bindparam("last")),
        MARK.c.subscriber_id.between(sa.bindparam("first"), sa.bindparam("last")),
        db.among(MARK.c.subscriber_id, "ids"),
    )
    .order_by(MARK.c.subscriber_id, MARK.c.frequency)  # one order of locks for all
    .with_for_update(of=MARK)
)
_SPANS = (
    sa.select(
        SPAN.c.subscriber_id,
        SPAN.c.topic_id,
        sa.case((SPAN.c.since > sa.bindparam("since"), SPAN.c.since)),
        SPAN.c.until,
    )
    .where(
        SPAN.c.frequency == sa.bindparam("of_frequency"),
        SPAN.c.since < sa.bindparam("end"),
        SPAN.c.subscriber_id.between(sa.bindparam("first"), sa.bindparam("last")),
        db.among(SPAN.c.subscriber_id, "ids"),
    )
    .order_by(SPAN.c.subscriber_id, SPAN.c.topic_id, SPAN.c.since)
)
_DIVERTED = sa.select(DIVERSION.c.subscriber_id, DIVERSION.c.alert_id, DIVERSION.c.at).where(
    DIVERSION.c.frequency == sa.bindparam("of_frequency"),
    DIVERSION.c.at < sa.bindparam("end"),
    DIVERSION.c.subscriber_id.between(sa.bindparam("first"), sa.bindparam("last")),
    db.among(DIVERSION.c.subscriber_id, "ids"),
)


# --- what is held ----------------------------------------------------------------------------------------


class _Held:
    """Finds what readers hold of a window already, or are about to be mailed at once."""

    def __init__(self, session: Session, digest_id: int, window: Window, since: datetime) -> None:
        self._session = session
        self._digest_id = digest_id
        self._window = window
        self._since = since

    def of(self, owed: Mapping[int, _Owed], suspects: Collection[int]) -> Mapping[int, int]:
        """Gives the alerts, whose entries a reader need not be told, for those for whom there are any."""
        if not owed:
            return {}
        choices = self._choices(owed)
        suspected = {
            reader
            for reader, each in owed.items()
            if reader in suspects or reader in choices or each.all & self._window.late_marks
        }
        if not suspected:
            return {}
        ids = sorted(suspected)
        everything = 0
        for reader in ids:
            everything |= owed[reader].all
        entries = sorted(each.entry_id for each in self._window.entries(everything))
        held: dict[int, int] = defaultdict(int)
        for reader, found in by_digests(self._session, ids, entries, self._digest_id).items():
            for entry in found:
                held[reader] |= self._window.of_entry(entry)
        for reader, entry in self._mailed(ids, entries, choices):
            held[reader] |= self._window.of_entry(entry)
        return held

    def _choices(self, owed: Mapping[int, _Owed]) -> Mapping[int, list[sa.Row[Any]]]:
        """The subscriptions by which readers may have been mailed at once since the window began."""
        ids = sorted(owed)
        values = {"ids": ids, "first": ids[0], "last": ids[-1], "since": self._since}
        found: dict[int, list[sa.Row[Any]]] = defaultdict(list)
        for row in self._session.connection().execute(_CHOICES, values):
            found[row.subscriber_id].append(row)
        return found

    def _mailed(
        self,
        ids: Sequence[int],
        entries: Sequence[int],
        choices: Mapping[int, Sequence[sa.Row[Any]]],
    ) -> Iterator[tuple[int, int]]:
        """Gives the readers and entries of alerts that were opened for them, or will be."""
        alerts = self._session.connection().execute(_ALERTS_OF, {"entries": entries}).all()
        entry_of = {row.id: row.entry_id for row in alerts}
        values = {"alerts": sorted(entry_of), "ids": ids}
        opened: set[tuple[int, int]] = set()
        for alert_id, reader, state in self._session.connection().execute(_OPENED, values):
            opened.add((alert_id, reader))
            if state in HOLDING:
                yield reader, entry_of[alert_id]
        for alert in alerts:
            if alert.state == AlertState.RELEASED:
                rule = _rule(alert)
                for reader, own in choices.items():
                    if (
                        (alert.id, reader) not in opened
                        and reader <= alert.last_subscriber_id
                        and any(_is_owed_at_once(row, rule) for row in own)
                    ):
                        yield reader, alert.entry_id


def _rule(alert: Any) -> AlertRule:
    audience = {int(topic): frozenset(words) for topic, words in alert.audience.items()}
    return AlertRule(audience, alert.released_at, alert.released_at)


def _is_owed_at_once(row: Any, rule: AlertRule) -> bool:
    if row.frequency not in IMMEDIATE or row.until is not None:
        return False
    return was_owed(as_it_stands(row, rule), rule)


_CHOICES = sa.select(SUBSCRIPTION).where(
    SUBSCRIPTION.c.subscriber_id.between(sa.bindparam("first"), sa.bindparam("last")),
    db.among(SUBSCRIPTION.c.subscriber_id, "ids"),
    # At a digest's frequency since before, a topic has brought nothing at once in this time.
    sa.or_(SUBSCRIPTION.c.frequency.in_(sorted(IMMEDIATE)), SUBSCRIPTION.c.chosen_at > sa.bindparam("since")),
    sa.or_(SUBSCRIPTION.c.until.is_(None), SUBSCRIPTION.c.until >= sa.bindparam("since")),
)
_ALERTS_OF = (
    sa.select(
        ALERT.c.id,
        ALERT.c.state,
        ALERT.c.audience,
        ALERT.c.released_at,
        ALERT.c.last_subscriber_id,
        ALERT_ENTRY.c.entry_id,
    )
    .join(ALERT_ENTRY, ALERT_ENTRY.c.alert_id == ALERT.c.id)
    .where(
        db.among(ALERT_ENTRY.c.entry_id, "entries"), ALERT.c.state.in_(released.OUT), released.IS_OF_AN_ENTRY
    )
)
_OPENED = sa.select(DELIVERY.c.alert_id, DELIVERY.c.subscriber_id, DELIVERY.c.state).where(*PAIRS)


# --- what is told ----------------------------------------------------------------------------------------


def _contents(
    window: Window, texts: Mapping[int, Text], owed: Mapping[int, _Owed], held: Mapping[int, int]
) -> Iterator[tuple[int, Content]]:
    standing = sum(window.of_alert(each.alert_id) for each in window.told if each.entry_id in texts)
    made: dict[tuple[int, tuple[int, ...]], Content] = {}
    for reader, each in owed.items():
        told = each.all & standing & ~held.get(reader, 0)
        if not told:
            continue
        topics = tuple(sorted(topic for topic, mask in each.by_topic.items() if mask & told))
        if (content := made.get((told, topics))) is None:
            content = made[told, topics] = Content(topics, _entries(window.entries(told), texts))
        yield reader, content


def _entries(told: Iterator[Told], texts: Mapping[int, Text]) -> Entries:
    return tuple((each.entry_id, texts[each.entry_id].revision, texts[each.entry_id].mark) for each in told)
