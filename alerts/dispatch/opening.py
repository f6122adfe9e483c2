"""Opening a chunk: who of a leased batch is sent their mail now, and the rows that say so.

A reader's row is committed before the first byte of their mail, and whoever may not be mailed gets a row
with the reason. What an earlier lease deferred, or left in doubt, comes first.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from operator import attrgetter
from typing import Any, TypeAlias

import sqlalchemy as sa
from sqlmodel import Session

from alerts import db
from alerts.dispatch import audience, diversions
from alerts.dispatch.digests import opening as digests
from alerts.dispatch.digests.opening import Members
from alerts.dispatch.eligible import Skip, eligible
from alerts.dispatch.gates import Gate
from alerts.dispatch.outbox import BATCH, DELIVERY, IN_SPAN, IS_UNSETTLED, OF_BATCH, THESE, Lease, renew
from alerts.dispatch.waits import IS_WAITING
from alerts.dispatch.wording import Choice, Wording, variant_key
from alerts.failpoints import reach
from alerts.models import DeliveryState

ENDED_DOUBT = "in doubt, and not to be sent again: "


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


def open_chunk(
    session: Session, lease: Lease, plan: Plan, now: datetime, gate: Gate | None = None
) -> tuple[Opening, ...]:
    """Opens the batch's next readers and renews the lease; none means that the batch has no more.

    Readers who may not be mailed, or whom the gate has wait, get their row with its reason and are not among the
    openings, so a call goes on until it finds somebody or the batch's end.
    """
    opened_to = renew(session, lease, now)
    # In a batch's first lease nobody was opened before.
    openings = _reopen(session, lease, plan, now, gate) if lease.epoch > 1 else ()
    while not openings and opened_to < lease.last_id:
        openings, opened_to = _open_fresh(session, lease, opened_to, plan, now, gate)
    reach("open.before_commit")
    return openings


# --- fresh readers -------------------------------------------------------------------------------------


def _open_fresh(
    session: Session, lease: Lease, opened_to: int, plan: Plan, now: datetime, gate: Gate | None
) -> tuple[tuple[Opening, ...], int]:
    """Writes the rows of the next readers; gives the openings among them, and how far the batch is opened now.

    Who changed their choice since the release may have a row already. One that comes in this moment undoes it all, by
    its key.
    """
    rule = lease.terms.rule
    ids = audience.scan(session, rule, after=opened_to, upto=lease.last_id, limit=plan.size)
    if not ids:
        return (), lease.last_id
    known = _known(session, lease, ids)
    openings: list[Opening] = []
    rows: _Rows = defaultdict(list)
    for verdict, alike in _decisions(session, lease, ids, now):
        members = [each for each in alike if each[0] not in known] if known else alike
        if isinstance(verdict, Skip):
            skipped = [each for each, _ in members]
            rows["", "", verdict.state, verdict.reason] += skipped
            diversions.note(session, lease.alert_id, skipped, verdict.digest, now)
            continue
        choice, variant = verdict.choice, verdict.variant
        # A digest's readers have been told by their marks what theirs is: it stays that while they wait.
        kept = variant if rule.slot else ""
        for (transport, reason), some in _ways(gate, plan, members).items():
            if reason:
                rows[kept, "", DeliveryState.DEFERRED, reason] += [each for each, _ in some]
                continue
            rows[variant, transport, DeliveryState.SENDING, ""] += [each for each, _ in some]
            openings += [
                Opening(each, address, choice, variant, plan.key_id, transport) for each, address in some
            ]
    _insert(session, lease, rows, plan, now)
    session.connection().execute(_MOVE, lease.span.values | {"to": ids[-1]})
    return _in_order(openings), ids[-1]


# Ids by variant, transport, state and reason.
_Rows: TypeAlias = dict[tuple[str, str, str, str], list[int]]


def _ways(
    gate: Gate | None, plan: Plan, members: Sequence[tuple[int, str]]
) -> Mapping[tuple[str, str], Sequence[tuple[int, str]]]:
    """Puts readers together by the transport that takes them, or by the reason why they wait."""
    if gate is None:
        return {(plan.transport, ""): members}
    ways: dict[tuple[str, str], list[tuple[int, str]]] = defaultdict(list)
    for member in members:
        ways[gate.way(domain_of(member[1]))].append(member)
    return ways


def domain_of(address: str) -> str:
    """Gives the domain that a reader's mail goes to, as receipts and rates name it."""
    return address.rpartition("@")[2].lower()


def _decisions(
    session: Session, lease: Lease, ids: Sequence[int], now: datetime
) -> Iterator[tuple[Skip | Wording, Members]]:
    """Decides for readers, put together where they are alike, what they are told or why they are not."""
    rule = lease.terms.rule
    if rule.slot:
        yield from digests.fresh(session, lease.alert_id, rule, ids, now)
        return
    for alike in audience.readers(session, ids, rule, lease.terms.after_alert_id, now):
        verdict = eligible(alike.reader, rule, now)
        if isinstance(verdict, Skip):
            yield verdict, alike.members
            continue
        choice = Choice(verdict.topics, verdict.frequency, alike.language)
        yield Wording(choice, variant_key(lease.terms.content, choice)), alike.members


def _known(session: Session, lease: Lease, ids: Sequence[int]) -> frozenset[int]:
    span = lease.span.values | {"first": ids[0], "last": ids[-1]}
    return frozenset(session.connection().execute(_KNOWN, span).scalars())


def _insert(
    session: Session,
    lease: Lease,
    rows: _Rows,
    plan: Plan,
    now: datetime,
) -> None:
    values = [
        {
            "of_alert": lease.alert_id,
            "ids": ids,
            "with_variant": variant,
            "by_transport": transport,
            "with_key": plan.key_id if variant else 0,
            "as_state": state,
            "because": reason,
            "in_epoch": lease.epoch,
            "now": now,
        }
        for (variant, transport, state, reason), ids in rows.items()
        if ids
    ]
    if values:
        session.connection().execute(_INSERT, values)


_KNOWN = sa.select(DELIVERY.c.subscriber_id).where(*IN_SPAN)
_INSERT = sa.insert(DELIVERY).from_select(
    [
        "alert_id",
        "subscriber_id",
        "variant",
        "transport",
        "key_id",
        "state",
        "reason",
        "code",
        "reply",
        "attempts",
        "doubts",
        "epoch",
        "at",
    ],
    sa.select(
        sa.bindparam("of_alert", type_=DELIVERY.c.alert_id.type),
        db.each_id("ids"),
        sa.bindparam("with_variant", type_=sa.Text),
        sa.bindparam("by_transport", type_=sa.Text),
        sa.bindparam("with_key", type_=sa.Integer),
        sa.bindparam("as_state", type_=sa.Text),
        sa.bindparam("because", type_=sa.Text),
        sa.literal_column("0"),
        sa.literal_column("''"),
        sa.literal_column("0"),
        sa.literal_column("0"),
        sa.bindparam("in_epoch", type_=sa.Integer),
        sa.bindparam("now", type_=DELIVERY.c.at.type),
    ),
)
_MOVE = sa.update(BATCH).where(*OF_BATCH).values(opened_to=sa.bindparam("to"))


# --- what comes again ----------------------------------------------------------------------------------


def _reopen(
    session: Session, lease: Lease, plan: Plan, now: datetime, gate: Gate | None
) -> tuple[Opening, ...]:
    """Opens again what an earlier lease deferred or left in doubt; each row once per lease."""
    openings: tuple[Opening, ...] = ()
    while not openings and (rows := _unsettled(session, lease, plan, now, gate)):
        openings = _open_again(session, lease, rows, plan, now, gate)
    return openings


def _unsettled(
    session: Session, lease: Lease, plan: Plan, now: datetime, gate: Gate | None
) -> dict[int, sa.Row[Any]]:
    """The next rows to try; before the batch's next retry those alone who only waited for their destination."""
    query, values = _UNSETTLED, lease.span.values | {"epoch": lease.epoch, "limit": plan.size}
    if lease.retry_at is not None and now < lease.retry_at:
        query = query.where(IS_WAITING)
    if gate is not None and (shut := gate.shut_reasons()):
        query = query.where(sa.not_(db.among(DELIVERY.c.reason, "shut")))
        values |= {"shut": shut}
    return {row.subscriber_id: row for row in session.connection().execute(query, values)}


def _open_again(
    session: Session,
    lease: Lease,
    rows: Mapping[int, sa.Row[Any]],
    plan: Plan,
    now: datetime,
    gate: Gate | None,
) -> tuple[Opening, ...]:
    openings: list[Opening] = []
    ends: dict[tuple[str, str], list[int]] = defaultdict(list)  # by state and reason
    fresh: dict[tuple[str, str], list[int]] = defaultdict(list)  # by variant and transport
    waiting: dict[str, list[int]] = defaultdict(list)  # by reason
    resends: list[int] = []
    moved = _moved(session, lease, rows)
    for verdict, members in _decisions_again(session, lease, rows, now):
        if isinstance(verdict, Skip):
            for each, _ in members:
                ends[_end(verdict, rows[each].doubts)].append(each)
            diverted = [each for each, _ in members if not rows[each].doubts]
            diversions.note(session, lease.alert_id, diverted, verdict.digest, now)
            continue
        choice, variant = verdict.choice, verdict.variant
        for each, address in members:
            row = rows[each]
            if each in moved:
                ends[DeliveryState.UNKNOWN, ENDED_DOUBT + "the address was changed"].append(each)
                continue
            transport, reason = row.transport if row.doubts else plan.transport, ""
            if gate is not None:
                transport, reason = gate.way(domain_of(address), row.transport if row.doubts else "")
            if reason:
                waiting[reason].append(each)
                continue
            if row.doubts:
                resends.append(each)
                pinned = row.variant, row.key_id, row.transport
            else:
                fresh[variant, transport].append(each)
                pinned = variant, plan.key_id, transport
            openings.append(Opening(each, address, choice, *pinned, is_resend=bool(row.doubts)))
    span = lease.span.values | {"now": now}
    opened = span | {"in_epoch": lease.epoch}
    pins = opened | {"with_key": plan.key_id}
    _update(session, _END, [span | {"ids": i, "as_state": s, "because": r} for (s, r), i in ends.items()])
    _update(
        session,
        _PIN,
        [pins | {"ids": ids, "with_variant": v, "by_transport": by} for (v, by), ids in fresh.items()],
    )
    _update(session, _HOLD, [opened | {"ids": ids, "because": why} for why, ids in waiting.items()])
    _update(session, _RESEND, [opened | {"ids": resends}] if resends else [])
    return _in_order(openings)


def _moved(session: Session, lease: Lease, rows: Mapping[int, sa.Row[Any]]) -> frozenset[int]:
    """Gives the readers in doubt who are mailed elsewhere since the release.

    The first try may have gone to the old address; a second to the new one would be no repeat that anybody can
    collapse. Which it went to is not recorded, so that a change before the first try counts, too.
    """
    doubtful = [reader for reader, row in rows.items() if row.doubts]
    if not doubtful:
        return frozenset()
    values = {"ids": doubtful, "released_at": lease.terms.rule.released_at}
    return frozenset(session.connection().execute(_MOVED, values).scalars())


def _decisions_again(
    session: Session, lease: Lease, rows: Mapping[int, sa.Row[Any]], now: datetime
) -> Iterator[tuple[Skip | Wording, Members]]:
    """Decides anew for readers who were opened before; what a digest tells them stays what it was."""
    if lease.terms.rule.slot is None:
        return _decisions(session, lease, [*rows], now)
    variants = {reader: row.variant for reader, row in rows.items()}
    return digests.again(session, lease.alert_id, lease.terms.rule, variants, now)


def _end(verdict: Skip, doubts: int) -> tuple[str, str]:
    """The final state of a row that may not be tried again: what may have been sent stays in doubt."""
    if doubts:
        return DeliveryState.UNKNOWN, ENDED_DOUBT + verdict.reason
    return verdict.state, verdict.reason


def _update(session: Session, statement: sa.Update, values: Sequence[Mapping[str, object]]) -> None:
    if values:
        session.connection().execute(statement, values)


_UNSETTLED = (
    sa.select(DELIVERY)
    .where(*IN_SPAN, IS_UNSETTLED, DELIVERY.c.epoch < sa.bindparam("epoch"))
    .order_by(DELIVERY.c.subscriber_id)
    .limit(sa.bindparam("limit", type_=sa.Integer))
)
_MOVED = sa.select(audience.SUBSCRIBER.c.id).where(
    db.among(audience.SUBSCRIBER.c.id, "ids"),
    audience.SUBSCRIBER.c.address_since > sa.bindparam("released_at"),
)
_END = (
    sa.update(DELIVERY)
    .where(*THESE)
    .values(state=sa.bindparam("as_state"), reason=sa.bindparam("because"), at=sa.bindparam("now"))
)
_RESEND = (
    sa.update(DELIVERY)
    .where(*THESE)
    .values(state=DeliveryState.SENDING, epoch=sa.bindparam("in_epoch"), at=sa.bindparam("now"))
)
# What is in doubt stays so while it waits: its reason is empty as long as it will be sent again.
_HOLD = (
    sa.update(DELIVERY)
    .where(*THESE)
    .values(
        reason=sa.case(
            (DELIVERY.c.state == DeliveryState.DEFERRED, sa.bindparam("because", type_=sa.Text)),
            else_=DELIVERY.c.reason,
        ),
        epoch=sa.bindparam("in_epoch"),
        at=sa.bindparam("now"),
    )
)
_PIN = _RESEND.values(
    reason="",
    variant=sa.bindparam("with_variant"),
    key_id=sa.bindparam("with_key"),
    transport=sa.bindparam("by_transport"),
)


def _in_order(openings: Sequence[Opening]) -> tuple[Opening, ...]:
    return tuple(sorted(openings, key=attrgetter("subscriber_id")))
