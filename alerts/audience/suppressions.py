"""Addresses that must not be mailed, kept by hash, so that they stay known after an erasure.

Whatever writes both locks the reader first and the suppression then, or two could wait for one another. An address
that is nobody's has no row to lock: who makes a reader of one, and who suppresses or releases one, take turns. The order
of all locks is in docs/explanation/outbox.md.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import sqlalchemy as sa
import structlog
from sqlmodel import Session, col, select

from alerts.audience.stops import acknowledge_after_openings
from alerts.audience.tokens import address_hash
from alerts.db import among, insert_or_ignore, lock_name
from alerts.models import Audit, Subscriber, SubscriptionEvent, Suppression, table_of

log = structlog.get_logger()

_TABLE = table_of(Suppression)
_SUBSCRIBER = table_of(Subscriber)
IMPORT = "import:"  # the beginning of an import's name as an origin
NOBODYS = "imports"  # the origin of what was imported and no undoing takes back
_STRANGERS = "addresses that are nobody's"
_LONGEST_WAIT = timedelta(minutes=5)  # for one's turn: rows bear the time before it
_REPLIES_COME_WITHIN = timedelta(hours=1)  # of the opening of their mail


@dataclass(frozen=True, slots=True)
class Counted:
    """How many addresses are suppressed for one cause, by one origin."""

    cause: str
    origin: str
    count: int


def take_turns(session: Session) -> None:
    """Has whoever makes readers, suppresses or releases addresses go on one at a time; before any lock on a reader."""
    lock_name(session, _STRANGERS)


def hold(session: Session, address_keys: Collection[str]) -> None:
    """Keeps addresses as they are until the transaction ends: whether they are readers', and whether suppressed.

    It comes before any other lock on a reader.
    """
    take_turns(session)
    session.connection().execute(_HOLD, {"keys": address_keys})


def hold_readers(session: Session, ids: Collection[int]) -> None:
    """Keeps readers as they are until the transaction ends; before any lock on a batch, and with no turn to take."""
    session.connection().execute(_HOLD_READERS, {"ids": ids})


# Not against who only points to a reader: an opening has its batch locked when it writes a diversion.
_LOCK = sa.select(_SUBSCRIBER.c.id).order_by(_SUBSCRIBER.c.id).with_for_update(key_share=True)
_HOLD = _LOCK.where(among(_SUBSCRIBER.c.address_key, "keys"))
_HOLD_READERS = _LOCK.where(among(_SUBSCRIBER.c.id, "ids"))


def suppress(
    session: Session,
    pepper: bytes,
    address_key: str,
    *,
    cause: str,
    evidence: str,
    origin: str,
    now: datetime,
) -> bool:
    """Stops all mail to an address, known or not; the first cause stays. Says whether it is new.

    An import's cause gives way, as that import may be undone. Where two imports name an address, neither's undoing
    releases it.
    """
    take_turns(session)
    reader = _reader(session, address_key)
    found = session.get(Suppression, address_hash(pepper, address_key), with_for_update=True)
    is_news = found is None or _is_imports(found.origin) > _is_imports(origin)
    if found is None:
        _insert(session, [_row(pepper, address_key, cause, evidence, origin, now)])
    elif is_news:
        found.cause, found.evidence, found.origin, found.at = cause, evidence, origin, now
    elif _is_imports(found.origin) and found.origin != origin:
        found.evidence, found.origin = f"{found.origin} {origin}", NOBODYS
    if reader is not None:
        acknowledge_after_openings(session, _id(reader))
        if is_news or not reader.suppressed:
            _mark(session, [_id(reader)], cause, origin, now)
    if is_news:
        _audit(session, "address.suppress", {"cause": cause, "origin": origin, "count": 1}, origin, now)
    return found is None


def suppress_many(
    session: Session,
    pepper: bytes,
    found: Sequence[tuple[int, str]],
    *,
    cause: str,
    origin: str,
    now: datetime,
) -> int:
    """Suppresses readers by id, each with its evidence, as the sender does with dead addresses.

    Readers who were erased meanwhile or are suppressed already are left out; so are those whose address is new, as
    the evidence may be about the one before. Gives how many it stopped. It takes no turn, as all are readers: whoever
    locks batches, too, calls `hold_readers` before that.
    """
    evidence = dict(found)
    rows = session.exec(
        select(Subscriber.id, Subscriber.address_key)
        .where(col(Subscriber.id).in_(evidence), col(Subscriber.address_key).is_not(None))
        .where(Subscriber.suppressed == "")
        .where(
            sa.or_(
                col(Subscriber.address_since).is_(None),
                col(Subscriber.address_since) < now - _REPLIES_COME_WITHIN,
            )
        )
        .order_by(col(Subscriber.id))
        .with_for_update(key_share=True)
    ).all()
    if not rows:
        return 0
    keyed = {id_: key for id_, key in rows if id_ is not None and key is not None}
    _insert(session, [_row(pepper, key, cause, evidence[id_], origin, now) for id_, key in keyed.items()])
    _mark(session, [*keyed], cause, origin, now)
    _audit(session, "address.suppress", {"cause": cause, "count": len(keyed)}, origin, now)
    return len(keyed)


def release(session: Session, pepper: bytes, address_key: str, *, by: str, now: datetime) -> bool:
    """Lets an address be mailed again; says whether it was suppressed."""
    take_turns(session)
    reader = _reader(session, address_key)
    found = session.get(Suppression, address_hash(pepper, address_key))
    # A reader may bear the cause alone: older versions folded keys beyond ASCII otherwise, and hashed them so.
    borne = reader.suppressed if reader is not None else ""
    if found is None and not borne:
        return False
    if found is not None:
        session.delete(found)
    if reader is not None:
        reader.suppressed = ""
        session.add(SubscriptionEvent(subscriber_id=_id(reader), kind="release", by=by, at=now))
    _audit(session, "address.release", {"cause": found.cause if found is not None else borne}, by, now)
    return True


def release_origin(
    session: Session, pepper: bytes, origin: str, *, since: datetime, limit: int, by: str, now: datetime
) -> int:
    """Undoes what one origin suppressed since then, some at a time; gives how many, none once all are released."""
    take_turns(session)
    found = session.exec(select(Suppression).where(Suppression.origin == origin).limit(limit)).all()
    if not found:
        return 0
    # Who was known is told by the reader's own row; who has the address only since then bears the cause.
    since -= _LONGEST_WAIT
    bearing = select(Subscriber).where(
        col(Subscriber.suppressed).in_({each.cause for each in found}),
        sa.or_(col(Subscriber.created_at) >= since, col(Subscriber.address_since) >= since),
        col(Subscriber.address_key).is_not(None),
    )
    readers = session.exec(bearing.order_by(col(Subscriber.id)).with_for_update(key_share=True)).all()
    of_origin = select(Suppression.address_hash).where(
        col(Suppression.address_hash).in_([each.address_hash for each in found]), Suppression.origin == origin
    )
    hashes = {*session.exec(of_origin)}  # behind the locks: another cause may have taken over
    for reader in readers:
        if address_hash(pepper, reader.address_key or "") in hashes:
            reader.suppressed = ""
            session.add(reader)
            session.add(SubscriptionEvent(subscriber_id=_id(reader), kind="release", by=by, at=now))
    session.exec(
        sa.delete(Suppression).where(
            col(Suppression.address_hash).in_(hashes), col(Suppression.origin) == origin
        )
    )
    _audit(session, "address.release", {"origin": origin, "count": len(found)}, by, now)
    return len(found)


def origin_of(session: Session, pepper: bytes, address_key: str) -> str | None:
    """Gives what suppressed an address, None when nothing did."""
    found = session.get(Suppression, address_hash(pepper, address_key))
    return None if found is None else found.origin


def disown(session: Session, pepper: bytes, address_key: str, origin: str) -> None:
    """Keeps a suppression of this origin from being undone with the others."""
    found = session.get(Suppression, address_hash(pepper, address_key), with_for_update=True)
    if found is not None and found.origin == origin:
        found.evidence, found.origin = origin, NOBODYS


def is_suppressed(session: Session, pepper: bytes, address_key: str) -> bool:
    """Whether an address must not be mailed."""
    return bool(causes(session, pepper, [address_key]))


def causes(session: Session, pepper: bytes, address_keys: Sequence[str]) -> Mapping[str, str]:
    """Gives the cause for each of the addresses that is suppressed."""
    hashes = {address_hash(pepper, key): key for key in address_keys}
    found = session.connection().execute(_CAUSES, {"hashes": hashes})
    return {hashes[name]: cause for name, cause in found}


_CAUSES = sa.select(_TABLE.c.address_hash, _TABLE.c.cause).where(among(_TABLE.c.address_hash, "hashes"))


def count(session: Session) -> list[Counted]:
    """Counts what is suppressed, by cause and origin: a wrong wave stands out here."""
    rows = session.exec(
        select(Suppression.cause, Suppression.origin, sa.func.count())
        .group_by(col(Suppression.cause), col(Suppression.origin))
        .order_by(col(Suppression.cause), col(Suppression.origin))
    ).all()
    return [Counted(*row) for row in rows]


def _is_imports(origin: str) -> bool:
    return origin.startswith(IMPORT)


def _row(
    pepper: bytes, address_key: str, cause: str, evidence: str, origin: str, now: datetime
) -> dict[str, object]:
    return {
        "address_hash": address_hash(pepper, address_key),
        "cause": cause,
        "evidence": evidence,
        "origin": origin,
        "at": now,
    }


def _insert(session: Session, rows: Sequence[dict[str, object]]) -> None:
    in_order = sorted(rows, key=lambda row: str(row["address_hash"]))
    session.connection().execute(insert_or_ignore(session, _TABLE), in_order)


def _mark(session: Session, ids: Sequence[int], cause: str, by: str, now: datetime) -> None:
    """Keeps `Subscriber.suppressed` in step, and writes the readers' histories."""
    session.exec(sa.update(Subscriber).where(col(Subscriber.id).in_(ids)).values(suppressed=cause))
    session.add_all(
        SubscriptionEvent(subscriber_id=id_, kind="suppress", detail=cause, by=by, at=now) for id_ in ids
    )


def _reader(session: Session, address_key: str) -> Subscriber | None:
    query = select(Subscriber).where(Subscriber.address_key == address_key).with_for_update(key_share=True)
    return session.exec(query).first()


def _id(reader: Subscriber) -> int:
    assert reader.id is not None, "read from the table"
    return reader.id


def _audit(session: Session, action: str, detail: dict[str, object], by: str, now: datetime) -> None:
    session.add(Audit(at=now, by=by, action=action, subject="suppressions", detail=detail))
    log.info(action.replace(".", "_"), by=by, **detail)
