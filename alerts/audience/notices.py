"""Mail that one person asked for, written to be sent at once: within limits, whoever asks and however often.

The limits are on the inbox, however its address is spelled, so that the service is no tool to fill a stranger's. Nobody
is told that a limit was reached: the answer to who asks is the same.
"""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import structlog
from sqlmodel import Session, col, select

from alerts import db
from alerts.audience import suppressions
from alerts.audience.addresses import Address, inbox_of
from alerts.audience.tokens import Keys, address_hash
from alerts.models import Notice, NoticeKind

log = structlog.get_logger()

DAY_LIMIT = 3  # notices to one inbox in any 24 hours, and on one day of UTC
_DAY = timedelta(days=1)
_REPEAT = timedelta(minutes=2)  # who asks for the same again so soon clicked twice


def ask(
    session: Session,
    keys: Keys,
    kind: NoticeKind,
    address: Address,
    subject_id: int,
    *,
    language: str,
    lifetime: timedelta,
    now: datetime,
) -> int | None:
    """Writes a notice and gives its id; None when the address may get no mail, or has had enough."""
    hashed = address_hash(keys.pepper, address.key)
    inbox = address_hash(keys.pepper, inbox_of(address.key))
    db.lock_name(session, f"notice:{inbox}")
    if suppressions.is_suppressed(session, keys.pepper, address.key):
        log.info("notice_withheld", kind=kind, reason="suppressed")
        return None
    recent = _recent(session, inbox, now)
    same = [each for each in recent if each.address_hash == hashed]
    same = [each for each in same if (each.kind, each.subject_id) == (kind, subject_id)]
    if any(each.made_at > now - _REPEAT for each in same):
        log.info("notice_withheld", kind=kind, reason="asked for just now")
        return None
    if len(recent) >= DAY_LIMIT:
        log.warning("notice_withheld", kind=kind, reason="enough for a day")
        return None
    day = f"{now.astimezone(UTC):%Y-%m-%d}"
    notice = Notice(
        kind=kind,
        address_hash=hashed,
        inbox_hash=inbox,
        day=day,
        number=1 + sum(each.day == day for each in recent),
        address=address.address,
        subject_id=subject_id,
        language=language,
        key_id=keys.current,
        due_at=now,
        made_at=now,
        expires_at=now + lifetime,
    )
    session.add(notice)
    session.flush()
    db.wake(session)
    log.info("notice_written", kind=kind, notice=notice.id)
    return notice.id


def _recent(session: Session, inbox: str, now: datetime) -> Sequence[Notice]:
    days = [f"{(now - back).astimezone(UTC):%Y-%m-%d}" for back in (timedelta(0), _DAY)]
    query = select(Notice).where(Notice.inbox_hash == inbox, col(Notice.day).in_(days))
    today = days[0]
    return [each for each in session.exec(query) if each.day == today or each.made_at > now - _DAY]
