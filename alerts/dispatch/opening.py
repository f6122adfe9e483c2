"""Opening a chunk: who of a leased batch is sent their mail now, and the rows that say so.

A reader's row is committed before the first byte of their mail, and whoever may not be mailed gets a row
with the reason. What an earlier lease deferred, or left in doubt, comes first.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlmodel import Session, col, select

from alerts import db
from alerts.dispatch import audience
from alerts.dispatch.eligible import AlertRule, Reader, Send, Skip, eligible
from alerts.dispatch.outbox import (
    BATCH,
    DELIVERY,
    Lease,
    alert_rule,
    in_range,
    is_batch,
    is_unsettled,
    renew,
)
from alerts.failpoints import reach
from alerts.models import Alert, AlertEntry, Batch, DeliveryState

ENDED_DOUBT = "in doubt, and not to be sent again: "


@dataclass(frozen=True, slots=True)
class Choice:
    """What a mail's content depends on besides the alert: readers of equal choices share a rendering."""

    topics: tuple[int, ...]
    frequency: str
    language: str


@dataclass(frozen=True, slots=True)
class Opening:
    """One reader's delivery, opened: its row says `sending` and is committed."""

    subscriber_id: int
    address: str
    choice: Choice
    variant: str
    key_id: int
    transport: str
    is_resend: bool = False  # it was in doubt: the bytes must be those of the first time


@dataclass(frozen=True, slots=True)
class Plan:
    """What a chunk is opened with: how many at most, and what is pinned in new rows."""

    size: int
    key_id: int
    transport: str


def open_chunk(session: Session, lease: Lease, plan: Plan, now: datetime) -> tuple[Opening, ...]:
    """Opens the batch's next readers and renews the lease; none means that the batch has no more.

    Readers who may not be mailed get their row with its reason and are not among the openings, so a
    call goes on until it finds somebody or the batch's end.
    """
    renew(session, lease, now)
    alert = session.get(Alert, lease.alert_id)
    assert alert is not None, "a batch's alert is a foreign key"
    rule = alert_rule(alert)
    content = _content_key(session, lease.alert_id)
    openings = _reopen(session, lease, alert, rule, content, plan, now)
    while not openings:
        readers = _next_readers(session, lease, alert, rule, plan.size)
        if not readers:
            break
        openings = _open_fresh(session, lease, readers, rule, content, plan, now)
    reach("open.before_commit")
    return openings


def variant_key(content: str, choice: Choice) -> str:
    """Names what differs in content: entries and revisions, topics named, frequency, language."""
    topics = ",".join(map(str, choice.topics))
    parts = f"{content}|{topics}|{choice.frequency}|{choice.language}"
    return hashlib.blake2b(parts.encode(), digest_size=12).hexdigest()


def _reopen(
    session: Session,
    lease: Lease,
    alert: Alert,
    rule: AlertRule,
    content: str,
    plan: Plan,
    now: datetime,
) -> tuple[Opening, ...]:
    """Opens again what an earlier lease deferred or left in doubt; each row once per lease."""
    rows = (
        session.connection()
        .execute(
            sa.select(DELIVERY)
            .where(*in_range(lease.alert_id, lease.first_id, lease.last_id), is_unsettled())
            .where(DELIVERY.c.epoch < lease.epoch)
            .order_by(DELIVERY.c.subscriber_id)
            .limit(plan.size)
        )
        .all()
    )
    if not rows:
        return ()
    ids = [row.subscriber_id for row in rows]
    readers = {each.id: each for each in audience.readers(session, ids, rule, alert.after_alert_id)}
    openings = []
    for row in rows:
        reader = readers[row.subscriber_id]
        verdict = eligible(reader, rule, now)
        if isinstance(verdict, Skip):
            _update_row(session, row, _end(row, verdict), now)
        elif row.doubts:
            openings.append(_open_again(reader, verdict, row.variant, row.key_id, row.transport))
            _update_row(session, row, {"state": DeliveryState.SENDING, "epoch": lease.epoch}, now)
        else:
            opening = _opening(reader, verdict, content, plan)
            openings.append(opening)
            pinned = {"variant": opening.variant, "key_id": plan.key_id, "transport": plan.transport}
            opened = {"state": DeliveryState.SENDING, "reason": "", "epoch": lease.epoch}
            _update_row(session, row, opened | pinned, now)
    return tuple(openings)


def _end(row: sa.Row[Any], verdict: Skip) -> Mapping[str, object]:
    """The final state of a row that may not be tried again: what may have been sent stays in doubt."""
    if row.doubts:
        return {"state": DeliveryState.UNKNOWN, "reason": ENDED_DOUBT + verdict.reason}
    return {"state": verdict.state, "reason": verdict.reason}


def _next_readers(
    session: Session, lease: Lease, alert: Alert, rule: AlertRule, limit: int
) -> Sequence[Reader]:
    opened_to = session.exec(
        select(Batch.opened_to).where(Batch.alert_id == lease.alert_id, Batch.first_id == lease.first_id)
    ).one()
    ids = audience.scan(session, rule, after=opened_to, upto=lease.last_id, limit=limit)
    return audience.readers(session, ids, rule, alert.after_alert_id) if ids else ()


def _open_fresh(
    session: Session,
    lease: Lease,
    readers: Sequence[Reader],
    rule: AlertRule,
    content: str,
    plan: Plan,
    now: datetime,
) -> tuple[Opening, ...]:
    rows: list[dict[str, object]] = []
    openings: dict[int, Opening] = {}
    for reader in readers:
        row: dict[str, object] = {
            "alert_id": lease.alert_id,
            "subscriber_id": reader.id,
            "variant": "",
            "transport": "",
            "key_id": 0,
            "state": DeliveryState.SENDING,
            "reason": "",
            "code": 0,
            "reply": "",
            "attempts": 0,
            "doubts": 0,
            "epoch": lease.epoch,
            "at": now,
        }
        verdict = eligible(reader, rule, now)
        if isinstance(verdict, Skip):
            row |= {"state": verdict.state, "reason": verdict.reason}
        else:
            opening = _opening(reader, verdict, content, plan)
            openings[reader.id] = opening
            row |= {"variant": opening.variant, "transport": plan.transport, "key_id": plan.key_id}
        rows.append(row)
    inserted = session.connection().execute(
        db.insert_or_ignore(session, DELIVERY).returning(DELIVERY.c.subscriber_id), rows
    )
    mine = {row.subscriber_id for row in inserted}
    session.connection().execute(sa.update(BATCH).where(*is_batch(lease)).values(opened_to=readers[-1].id))
    return tuple(opening for subscriber_id, opening in openings.items() if subscriber_id in mine)


def _opening(reader: Reader, verdict: Send, content: str, plan: Plan) -> Opening:
    choice = Choice(verdict.topics, verdict.frequency, reader.language)
    assert reader.address is not None, "eligible skips who has none"
    return Opening(
        reader.id, reader.address, choice, variant_key(content, choice), plan.key_id, plan.transport
    )


def _open_again(reader: Reader, verdict: Send, variant: str, key_id: int, transport: str) -> Opening:
    choice = Choice(verdict.topics, verdict.frequency, reader.language)
    assert reader.address is not None, "eligible skips who has none"
    return Opening(reader.id, reader.address, choice, variant, key_id, transport, is_resend=True)


def _content_key(session: Session, alert_id: int) -> str:
    carried = session.exec(
        select(AlertEntry.entry_id, AlertEntry.revision)
        .where(AlertEntry.alert_id == alert_id)
        .order_by(col(AlertEntry.entry_id))
    ).all()
    return ",".join(f"{entry_id}.{revision}" for entry_id, revision in carried)


def _update_row(session: Session, row: sa.Row[Any], values: Mapping[str, object], now: datetime) -> None:
    session.connection().execute(
        sa.update(DELIVERY)
        .where(DELIVERY.c.alert_id == row.alert_id, DELIVERY.c.subscriber_id == row.subscriber_id)
        .values(at=now, **values)
    )
