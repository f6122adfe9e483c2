"""Which destinations are stopped or waited for, and a person's word that one may be tried again."""

from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa
from sqlmodel import Session, col, delete, select

from alerts import db
from alerts.errors import NotFound
from alerts.models import Audit, Breaker, Waiting

EVERYWHERE = "(all)"  # the domain of a transport that refuses our own sender


@dataclass(frozen=True, slots=True)
class DestinationStatus:
    """One destination that not everybody can be mailed at now."""

    domain: str
    state: str  # stopped; in turns
    transport: str  # by which it is stopped
    since: datetime | None
    retry_at: datetime | None  # one mail tries then
    reason: str
    code: int
    reply: str  # the server's words, scrubbed
    owed: int  # readers who wait for it, of batches that nobody has in hand


def waiting(session: Session) -> list[DestinationStatus]:
    """Gives what is stopped, then what is waited for."""
    owed = dict(
        session.exec(select(Waiting.domain, sa.func.sum(Waiting.readers)).group_by(col(Waiting.domain))).all()
    )
    query = select(Breaker).where(col(Breaker.opened_at).is_not(None))
    stopped = [
        DestinationStatus(
            domain=row.domain or EVERYWHERE,
            state="stopped",
            transport=row.transport,
            since=row.opened_at,
            retry_at=row.retry_at,
            reason=row.reason,
            code=row.code,
            reply=row.reply,
            owed=int(owed.get(row.domain, 0)),
        )
        for row in session.exec(query.order_by(col(Breaker.domain), col(Breaker.transport)))
    ]
    known = {each.domain for each in stopped}
    slow = [
        DestinationStatus(domain, "in turns", "", None, None, "", 0, "", int(readers))
        for domain, readers in sorted(owed.items())
        if domain not in known
    ]
    return stopped + slow


def resume(session: Session, domain: str, transport: str, by: str, now: datetime) -> int:
    """Lets mail go to a stopped destination again, by all transports or one; gives how many stops that ended.

    With no domain it is about the transport as a whole. NotFound when nothing of it is stopped.
    """
    query = delete(Breaker).where(col(Breaker.domain) == domain, col(Breaker.opened_at).is_not(None))
    if transport:
        query = query.where(col(Breaker.transport) == transport)
    ended: int = session.connection().execute(query).rowcount
    if not ended:
        raise NotFound("It is not stopped; `alerts destinations list` shows what is.")
    subject = domain or EVERYWHERE
    session.add(
        Audit(at=now, by=by, action="destination resumed", subject=subject, detail={"transport": transport})
    )
    db.wake(session)
    return ended
