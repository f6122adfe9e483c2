"""Mail that one person asked for, written to be sent at once: within limits, whoever asks and however often.

The limits are on the inbox, however its address is spelled, so that the service is no tool to fill a stranger's. No
stranger is told that a limit was reached: the answer to who asks is the same. A reader on their own page is.
"""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from enum import StrEnum

import structlog
from sqlmodel import Session, col, select

from alerts import db
from alerts.audience import suppressions
from alerts.audience.addresses import Address, inbox_of
from alerts.audience.tokens import Keys, address_hash
from alerts.models import Notice, NoticeKind

log = structlog.get_logger()

DAY_LIMIT = 3  # notices to one inbox in any 24 hours, and on one day of UTC
_CONFIRM_LIMIT = 2  # of them, so that strangers' sign-ups leave one for what a reader asks for
_DAY = timedelta(days=1)
_REPEAT = timedelta(minutes=2)  # who asks for the same again so soon clicked twice


class Withheld(StrEnum):
    """Why a notice is not written."""

    SUPPRESSED = "suppressed"
    REPEATED = "asked for just now"  # so that it is on its way already
    ENOUGH = "enough for a day"


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
) -> int | Withheld:
    """Writes a notice and gives its id, or why the address gets none."""
    reason = withheld(session, keys, kind, address, subject_id, now)
    if reason is Withheld.ENOUGH:
        log.warning("notice_withheld", kind=kind, reason=str(reason))
    elif reason is not None:
        log.info("notice_withheld", kind=kind, reason=str(reason))
    if reason is not None:
        return reason
    inbox = _hash_of_inbox(keys, address)
    recent = _recent(session, inbox, now)
    day = f"{now.astimezone(UTC):%Y-%m-%d}"
    notice = Notice(
        kind=kind,
        address_hash=address_hash(keys.pepper, address.key),
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
    assert notice.id is not None, "it was written"
    log.info("notice_written", kind=kind, notice=notice.id)
    return notice.id


def withheld(
    session: Session,
    keys: Keys,
    kind: NoticeKind,
    address: Address,
    subject_id: int | None,
    now: datetime,
    *,
    needed: int = 1,
) -> Withheld | None:
    """Gives why the address gets no such notice now, or not as many as needed; it stays so until the transaction ends."""
    inbox = _hash_of_inbox(keys, address)
    db.lock_name(session, f"notice:{inbox}")
    if suppressions.is_suppressed(session, keys.pepper, address.key):
        return Withheld.SUPPRESSED
    recent = _recent(session, inbox, now)
    same = (address_hash(keys.pepper, address.key), kind, subject_id)
    just_now = [each for each in recent if each.made_at > now - _REPEAT]
    if any((each.address_hash, each.kind, each.subject_id) == same for each in just_now):
        return Withheld.REPEATED
    confirming = sum(each.kind == NoticeKind.CONFIRM for each in recent)
    if len(recent) + needed > DAY_LIMIT or (kind == NoticeKind.CONFIRM and confirming >= _CONFIRM_LIMIT):
        return Withheld.ENOUGH
    return None


def _hash_of_inbox(keys: Keys, address: Address) -> str:
    return address_hash(keys.pepper, inbox_of(address.key))


def _recent(session: Session, inbox: str, now: datetime) -> Sequence[Notice]:
    days = [f"{(now - back).astimezone(UTC):%Y-%m-%d}" for back in (timedelta(0), _DAY)]
    query = select(Notice).where(Notice.inbox_hash == inbox, col(Notice.day).in_(days))
    today = days[0]
    return [each for each in session.exec(query) if each.day == today or each.made_at > now - _DAY]
