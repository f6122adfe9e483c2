"""A sealed import, applied slice by slice; whoever comes by may go on with it."""

from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlmodel import Session, col, select

from alerts.audience import history, spans, subscribers, suppressions
from alerts.audience.lists.judging import Judged, Outcome, judge
from alerts.audience.lists.shapes import Step
from alerts.audience.lists.staging import SLICE, StagedLine, audit, count, drop_lines, locked, next_lines
from alerts.db import among, insert_or_ignore, prefer_indexes
from alerts.models import (
    Consent,
    Frequency,
    ImportBatch,
    ImportChange,
    ImportState,
    Subscriber,
    SubscriberState,
    Subscription,
    SubscriptionEvent,
    table_of,
)

SOURCE = "import: "  # before what a file says of a consent's source

_SUBSCRIBER = table_of(Subscriber)
_SUBSCRIPTION = table_of(Subscription)
_EVENT = table_of(SubscriptionEvent)
_CONSENT = table_of(Consent)
_CHANGE = table_of(ImportChange)
_ONE_BY_ONE = 25  # lines whose readers are stopped one by one, each with a wait for openings under way


def apply_slice(session: Session, pepper: bytes, import_id: int, now: datetime) -> int:
    """Applies the next lines of a sealed import and gives how many; 0 when that was all. Several may call it at once."""
    batch = locked(session, import_id)
    if batch.state != ImportState.APPLYING:
        return 0
    lines = next_lines(session, batch, SLICE if batch.step >= Step.FOLLOW else _ONE_BY_ONE)
    if not lines:
        batch.state, batch.ended_at, batch.touched_at = ImportState.APPLIED, now, now
        session.add(batch)
        audit(session, "imported", import_id, dict(batch.counts), batch.by, now)
        return 0
    if lines[0].step != Step.FOLLOW:
        lines = lines[:_ONE_BY_ONE]
    judged = judge(session, pepper, _held(session, batch, lines))
    if lines[0].step == Step.FOLLOW:
        _follow(session, pepper, batch, judged, now)
    else:
        for each in judged:
            if each.outcome is not Outcome.OUT_ALREADY or each.line.step == Step.SUPPRESS:
                _opt_out(session, pepper, batch, each, now)
    _name(session, batch, judged, now)
    count(batch, [each.outcome for each in judged])
    batch.step, batch.line, batch.touched_at = lines[-1].step, lines[-1].line, now
    session.add(batch)
    drop_lines(session, lines)
    return len(lines)


def _held(session: Session, batch: ImportBatch, lines: Sequence[StagedLine]) -> Sequence[StagedLine]:
    """Holds these lines' addresses; gives the lines without those that an erasure took away meanwhile."""
    prefer_indexes(session)
    suppressions.hold(session, [each.address_key for each in lines])
    still = {each.line for each in next_lines(session, batch, len(lines))}
    return [each for each in lines if each.line in still]


def actor(batch: ImportBatch) -> str:
    """Names an import in readers' histories."""
    return f"{suppressions.IMPORT}{batch.id}"


# --- readers -------------------------------------------------------------------------------------------


def _follow(
    session: Session, pepper: bytes, batch: ImportBatch, judged: Sequence[Judged], now: datetime
) -> None:
    new = [each for each in judged if each.outcome is Outcome.NEW]
    ids = _add_readers(session, pepper, batch, new, now)
    ids |= {each.line.address_key: each.reader.id for each in judged if each.reader is not None}
    begun = [each for each in judged if each.outcome in {Outcome.NEW, Outcome.FOLLOWS} and not each.is_back]
    changed = [each for each in judged if each.outcome is Outcome.CHANGED]
    again = [each for each in judged if each.outcome is Outcome.FOLLOWS and each.is_back]
    _begin(session, begun, ids, now)
    _change(session, changed, now)
    for each in again:
        reader, topic = ids[each.line.address_key], each.line.topic
        subscribers.follow(session, reader, topic, Frequency(each.line.frequency), by=actor(batch), now=now)
    _write_down(session, batch, begun, "follow", ids, now)
    _write_down(session, batch, changed, "change", ids, now)
    _agree(session, [*begun, *changed, *again], ids, now)
    kinds = {Outcome.NEW: "new", Outcome.FOLLOWS: "follow", Outcome.CHANGED: "change"}
    remember(
        session,
        batch,
        [
            (kinds[each.outcome], each.line.line, ids[each.line.address_key], each.topic_id, each.before)
            for each in [*begun, *changed, *again]
        ],
        now,
    )


def _add_readers(
    session: Session, pepper: bytes, batch: ImportBatch, judged: Sequence[Judged], now: datetime
) -> dict[str, int]:
    # Who has left may be suppressed, too.
    causes = suppressions.causes(session, pepper, [each.line.address_key for each in judged])
    rows = [
        {
            "address": each.line.address,
            "address_key": each.line.address_key,
            "language": each.line.settings.get("language", batch.language),
            "state": SubscriberState.ACTIVE if each.line.step == Step.FOLLOW else SubscriberState.LEFT,
            "suppressed": causes.get(each.line.address_key, ""),
            "zone": each.line.settings.get("zone", "UTC"),
            "digest_hour": each.line.settings.get("digest_hour", 7),
            "digest_weekday": each.line.settings.get("digest_weekday", 0),
            "paused_until": _time(each.line.settings.get("paused_until")),
            "created_at": now,
        }
        for each in judged
    ]
    if not rows:
        return {}
    session.connection().execute(insert_or_ignore(session, _SUBSCRIBER), rows)
    found = session.connection().execute(_IDS, {"keys": [each.line.address_key for each in judged]})
    return {each.address_key: each.id for each in found}


_IDS = sa.select(_SUBSCRIBER.c.address_key, _SUBSCRIBER.c.id).where(among(_SUBSCRIBER.c.address_key, "keys"))


def _time(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None


def _begin(session: Session, judged: Sequence[Judged], ids: dict[str, int], now: datetime) -> None:
    if not judged:
        return
    rows = [
        {
            "subscriber_id": ids[each.line.address_key],
            "topic_id": each.topic_id,
            "frequency": each.line.frequency,
            "since": now,
            "chosen_at": now,
        }
        for each in judged
    ]
    session.connection().execute(insert_or_ignore(session, _SUBSCRIPTION), rows)
    groups: dict[tuple[int, str], list[int]] = defaultdict(list)
    for each in judged:
        groups[each.topic_id or 0, each.line.frequency].append(ids[each.line.address_key])
    for (topic_id, frequency), members in groups.items():
        spans.begin(session, members, topic_id, Frequency(frequency), now)


def _change(session: Session, judged: Sequence[Judged], now: datetime) -> None:
    groups: dict[tuple[int, str, str], list[int]] = defaultdict(list)
    for each in judged:
        assert each.reader is not None, "only a known reader's frequency changes"
        groups[each.topic_id or 0, each.before, each.line.frequency].append(each.reader.id)
    for (topic_id, _, new), members in groups.items():
        query = select(Subscription).where(
            col(Subscription.topic_id) == topic_id, col(Subscription.subscriber_id).in_(members)
        )
        held = session.exec(query.order_by(col(Subscription.subscriber_id))).all()
        subscribers.change_frequency(session, held, Frequency(new), now)


def _write_down(
    session: Session,
    batch: ImportBatch,
    judged: Sequence[Judged],
    kind: str,
    ids: dict[str, int],
    now: datetime,
) -> None:
    if judged:
        rows = [
            {
                "subscriber_id": ids[each.line.address_key],
                "topic_id": each.topic_id,
                "kind": kind,
                "detail": each.line.frequency,
                "by": actor(batch),
                "at": now,
            }
            for each in judged
        ]
        session.connection().execute(sa.insert(_EVENT), rows)


def _agree(session: Session, judged: Sequence[Judged], ids: dict[str, int], now: datetime) -> None:
    """Writes down what the file says of each consent, as it says it."""
    if judged:
        rows = [
            {
                "subscriber_id": ids[each.line.address_key],
                "wording": "",
                "source": SOURCE + each.line.consent_source,
                "choices": {each.line.topic: each.line.frequency},
                "asked_at": each.line.consent_at or now,
                "confirmed_at": each.line.consent_at or now,
            }
            for each in judged
        ]
        session.connection().execute(sa.insert(_CONSENT), rows)


def remember(
    session: Session,
    batch: ImportBatch,
    changes: Sequence[tuple[str, int, int, int | None, str]],
    now: datetime,
) -> None:
    """Writes down what was changed: kind, line, reader, topic and the frequency before."""
    if changes:
        names = ("kind", "line", "subscriber_id", "topic_id", "before")
        rows: list[dict[str, Any]] = [
            dict(zip(names, each, strict=True), import_id=batch.id, kept="", at=now) for each in changes
        ]
        session.connection().execute(sa.insert(_CHANGE), rows)


def _name(session: Session, batch: ImportBatch, judged: Sequence[Judged], now: datetime) -> None:
    """Writes down of whom this import says what another said before it, once: undoing that one leaves them alone."""
    stands = {Outcome.UNCHANGED, Outcome.OUT_ALREADY}
    named = {
        each.line.line: (
            each.reader.id,
            each.topic_id,
            each.line.frequency if each.outcome is Outcome.UNCHANGED else "",
        )
        for each in judged
        if each.outcome in stands and each.reader is not None and each.line.step != Step.SUPPRESS
    }
    last = history.last_words(session, {reader for reader, _, _ in named.values()})
    rows = []
    for reader, topic, detail in named.values():
        if any(_is_anothers(each, batch) for each in history.words_about(last[reader], topic)):
            rows.append(
                {
                    "subscriber_id": reader,
                    "topic_id": topic,
                    "kind": history.NAMED,
                    "detail": detail,
                    "by": actor(batch),
                    "at": now,
                }
            )
    if rows:
        session.connection().execute(sa.insert(_EVENT), rows)


def _is_anothers(event: SubscriptionEvent, batch: ImportBatch) -> bool:
    """Whether another import did this, and none has named it since."""
    is_imports = event.by.startswith(suppressions.IMPORT) and event.by != actor(batch)
    return is_imports and event.kind != history.NAMED


# --- opt-outs ------------------------------------------------------------------------------------------


def _opt_out(session: Session, pepper: bytes, batch: ImportBatch, judged: Judged, now: datetime) -> None:
    line = judged.line
    if line.step == Step.SUPPRESS:
        is_new = judged.outcome is not Outcome.OUT_ALREADY
        if is_new and judged.reader is not None and not judged.reader.suppressed:
            remember(session, batch, [("suppress", line.line, judged.reader.id, None, "")], now)
        suppressions.suppress(
            session,
            pepper,
            line.address_key,
            cause=line.cause,
            evidence=actor(batch),
            origin=actor(batch),
            now=now,
        )
        return
    if judged.reader is None:
        reader = _add_readers(session, pepper, batch, [judged], now)[line.address_key]
        changes = [("new", line.line, reader, judged.topic_id, "")]
    else:
        reader = judged.reader.id
        left = session.exec(
            select(Subscription.topic_id, Subscription.frequency).where(
                Subscription.subscriber_id == reader, col(Subscription.until).is_(None)
            )
        )
        changes = [
            ("leave", line.line, reader, topic, frequency)
            for topic, frequency in left
            if line.step == Step.LEAVE_ALL or topic == judged.topic_id
        ]
        if line.step == Step.LEAVE_ALL:
            changes.append(("leave", line.line, reader, None, ""))
        elif not judged.before:
            changes.append(("away", line.line, reader, judged.topic_id, ""))
    remember(session, batch, changes, now)
    if line.step == Step.LEAVE and not judged.before:
        # Never followed here: the row is what tells that this reader had left it.
        row = {"topic_id": judged.topic_id, "frequency": line.frequency, "since": now, "chosen_at": now}
        session.connection().execute(
            insert_or_ignore(session, _SUBSCRIPTION), {"subscriber_id": reader, "until": now, **row}
        )
    if judged.reader is None:
        _write_down(session, batch, [judged], history.LEFT, {line.address_key: reader}, now)
    else:
        subscribers.unsubscribe(session, reader, line.topic or None, by=actor(batch), now=now)
