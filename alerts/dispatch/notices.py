"""The life of a notice in the ledger: claimed, opened, renewed, settled. Each function is one transaction's part.

    waiting ──claim──> leased ──open──> sending ──settle──> accepted, refused; or waiting again, until it expires

`sending` is committed before the first byte, with the bytes themselves. Whoever finds a notice so after its lease
does not know what became of it: it is sent once more, byte-identical, by the same transport. A second doubt is
final.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import structlog
from sqlmodel import Session, col, select

from alerts import db
from alerts.audience.tokens import Keys
from alerts.dispatch import breakers, spent
from alerts.dispatch.gates import Limits
from alerts.dispatch.opening import domain_of
from alerts.dispatch.outbox import backoff
from alerts.dispatch.receipts import Receipt, Settled, hold_dead, suppress_dead
from alerts.errors import LeaseLost
from alerts.models import Notice, NoticeKind, NoticeState, SignUp, Subscriber, Suppression, Topic

log = structlog.get_logger()

_SECOND_DOUBT = "in doubt a second time"


@dataclass(frozen=True, slots=True)
class Claimed:
    """A notice that one worker has on lease; `segments` is set once it was opened, and then never changes."""

    id: int
    attempt: int
    kind: NoticeKind
    address: str
    subject_id: int
    topics: tuple[tuple[str, str], ...]  # of a sign-up: title and frequency
    language: str
    key_id: int
    segments: bytes | None
    pinned: str  # the transport of a mail in doubt; "" where any will do
    made_at: datetime
    expires_at: datetime

    @property
    def domain(self) -> str:
        return domain_of(self.address)


@dataclass(frozen=True, slots=True)
class Way:
    """What a notice is opened with: the bytes that are not the reader's own, and the transport."""

    segments: bytes
    transport: str


def claim(session: Session, worker: str, limit: int, length: timedelta, now: datetime) -> list[Claimed]:
    """Takes the notices that are due on lease, the longest due first; what cannot be sent any more is settled."""
    due = session.exec(
        select(Notice)
        .where(col(Notice.due_at) <= now)
        .order_by(col(Notice.due_at), col(Notice.id))
        .limit(limit)
        .with_for_update(skip_locked=True)
    ).all()
    claimed: list[Claimed] = []
    for notice in due:
        if notice.state == NoticeState.SENDING:
            notice.doubts += 1
            notice.state = NoticeState.WAITING
        ended = _ended(session, notice, now)
        if ended is not None:
            _end(notice, *ended)
            continue
        notice.worker, notice.due_at, notice.attempts = worker, now + length, notice.attempts + 1
        claimed.append(_claimed(session, notice))
    return claimed


def stops(session: Session, now: datetime) -> Mapping[str, frozenset[str]]:
    """Gives the transports that are stopped now, each with the domains it is stopped for; "" is all of them."""
    found: dict[str, set[str]] = {}
    for (transport, domain), retry_at in breakers.stops(session)[0].items():
        if retry_at > now:
            found.setdefault(transport, set()).add(domain)
    return {transport: frozenset(domains) for transport, domains in found.items()}


def open_notice(
    session: Session, claimed: Claimed, way: Way, limits: Limits, length: timedelta, now: datetime
) -> bool:
    """Commits that a notice is being sent, and its bytes; says whether it may be.

    It is counted towards the rates and waits for none: one person awaits it. Raises LeaseLost.
    """
    notice = _held(session, claimed)
    if session.get(Suppression, notice.address_hash) is not None:
        _end(notice, NoticeState.REFUSED, "suppressed")
        return False
    _spend(session, claimed, way.transport, limits, now)
    notice.state, notice.segments, notice.transport = NoticeState.SENDING, way.segments, way.transport
    notice.due_at = now + length
    return True


def renew(session: Session, claimed: Claimed, length: timedelta, now: datetime) -> None:
    """Moves the end of the lease; raises LeaseLost when it is another's."""
    _held(session, claimed).due_at = now + length


def put_off(session: Session, claimed: Claimed, reason: str, until: datetime, code: int = 0) -> None:
    """Gives a notice back that certainly did not go out; it expires where its time is over by then."""
    notice = _held(session, claimed)
    notice.state, notice.reason, notice.code = NoticeState.WAITING, reason, code
    notice.worker, notice.due_at = "", min(until, notice.expires_at)


def give_up(session: Session, claimed: Claimed, reason: str) -> None:
    """Ends a notice in doubt that cannot be sent again."""
    _end(_held(session, claimed), NoticeState.UNKNOWN, reason)


def settle(
    session: Session,
    claimed: Claimed,
    receipt: Receipt,
    keys: Keys,
    waits: tuple[timedelta, timedelta],
    now: datetime,
) -> None:
    """Writes what became of a notice; `waits` are the first and the longest until it is tried again.

    An acceptance is a fact, and counts whoever has the lease by now.
    """
    if claimed.kind is NoticeKind.LINK:
        hold_dead(session, [receipt])
    if receipt.settled is Settled.ACCEPTED:
        notice = _locked(session, claimed.id)
        if notice is not None and notice.due_at is not None:
            _end(notice, NoticeState.ACCEPTED, "", receipt.code)
    elif receipt.settled is Settled.UNKNOWN:
        notice = _held(session, claimed)
        notice.worker, notice.due_at = "", now  # and is found `sending`
        db.wake(session)
    elif receipt.settled is Settled.DEFERRED:
        until = now + backoff(claimed.attempt, *waits)
        put_off(session, claimed, receipt.reason, until, receipt.code)
    else:
        _end(_held(session, claimed), NoticeState.REFUSED, receipt.reason, receipt.code)
    _learn(session, claimed, receipt, keys, now)


def _claimed(session: Session, notice: Notice) -> Claimed:
    assert notice.id is not None, "read from the table"
    assert notice.address is not None, "it is not settled"
    return Claimed(
        id=notice.id,
        attempt=notice.attempts,
        kind=NoticeKind(notice.kind),
        address=notice.address,
        subject_id=notice.subject_id,
        topics=_topics(session, notice),
        language=notice.language,
        key_id=notice.key_id,
        segments=notice.segments,
        pinned=notice.transport if notice.doubts else "",
        made_at=notice.made_at,
        expires_at=notice.expires_at,
    )


def _topics(session: Session, notice: Notice) -> tuple[tuple[str, str], ...]:
    """Gives the topics that a sign-up is for, by title."""
    wanted = session.get(SignUp, notice.subject_id) if notice.kind == NoticeKind.CONFIRM else None
    if wanted is None:
        return ()
    query = select(Topic.title, Topic.slug).where(col(Topic.slug).in_([*wanted.choices]))
    return tuple((title, wanted.choices[slug]) for title, slug in session.exec(query.order_by(Topic.title)))


def _ended(session: Session, notice: Notice, now: datetime) -> tuple[NoticeState, str] | None:
    """Says how a notice ends that is not to be sent any more."""
    if notice.doubts > 1:
        return NoticeState.UNKNOWN, _SECOND_DOUBT
    if notice.expires_at <= now:
        state = NoticeState.UNKNOWN if notice.doubts else NoticeState.EXPIRED
        return state, notice.reason or "its time was over"
    if notice.address is None or not _is_awaited(session, notice):
        return NoticeState.EXPIRED, "nobody waits for it any more"
    return None


def _is_awaited(session: Session, notice: Notice) -> bool:
    """Whether what a notice is about is still there."""
    match notice.kind:
        case NoticeKind.CONFIRM:
            wanted = session.get(SignUp, notice.subject_id)
            return wanted is not None and wanted.subscriber_id is None
        case NoticeKind.LINK:
            reader = session.get(Subscriber, notice.subject_id)
            return reader is not None and reader.address is not None
    return True


def _end(notice: Notice, state: NoticeState, reason: str, code: int = 0) -> None:
    notice.state, notice.reason, notice.code = state, reason, code
    notice.address = notice.segments = notice.due_at = None
    notice.worker = ""
    log.info("notice_settled", notice=notice.id, kind=notice.kind, state=str(state), code=code)


def _locked(session: Session, notice_id: int) -> Notice | None:
    return session.exec(select(Notice).where(Notice.id == notice_id).with_for_update()).first()


def _held(session: Session, claimed: Claimed) -> Notice:
    """Gives the row of a notice that is still on this lease; raises LeaseLost."""
    notice = _locked(session, claimed.id)
    if notice is None or not notice.worker or notice.attempts != claimed.attempt:
        raise LeaseLost("The notice is another worker's.")
    return notice


def _spend(session: Session, claimed: Claimed, transport: str, limits: Limits, now: datetime) -> None:
    rates = {
        scope: rate
        for scope, rate in (
            (spent.of_transport(transport), limits.transports.get(transport)),
            (spent.of_domain(claimed.domain), limits.domains.get(claimed.domain)),
        )
        if rate is not None
    }
    if rates:
        used = spent.lock(session, rates, now)
        spent.write(session, {scope: rate.spend(used[scope], 1, now) for scope, rate in rates.items()})


def _learn(session: Session, claimed: Claimed, receipt: Receipt, keys: Keys, now: datetime) -> None:
    """Lets destinations be known by what they say to notices, too; a subscriber's dead address is suppressed."""
    receipts: Sequence[Receipt] = [receipt]
    # Destinations before breakers, as for an alert's mails.
    if claimed.kind is NoticeKind.LINK:
        suppress_dead(session, receipts, keys, f"notice:{claimed.id}", now)
    breakers.note(session, receipts, breakers.stops(session)[1], now)
