"""Forgetting who a reader was, to the last byte that is ours to clear.

    forget, in the transaction that erases -> finish, once it is committed

What stays is counted and nobody's: their deliveries without the server's words, their history without a detail that
names somebody, the wordings they agreed to. A suppression stays, under a hash. Where what is kept, and for how long,
is told in docs/how-to/privacy.md.
"""

import subprocess
import sys
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from pathlib import Path

import sqlalchemy as sa
import structlog
from sqlalchemy.exc import DBAPIError
from sqlmodel import Session, col, select

from alerts import db, residue
from alerts.audience.addresses import key_of
from alerts.db import Database
from alerts.errors import Unavailable
from alerts.models import (
    ADDRESS_COLUMNS,
    AddressChange,
    Alert,
    ChangeOutcome,
    Consent,
    Delivery,
    Farewell,
    ImportLine,
    Notice,
    NoticeKind,
    NoticeState,
    SignUp,
    Site,
    SiteFact,
    SubscriptionEvent,
    table_of,
)

log = structlog.get_logger()

_DELIVERY = table_of(Delivery)
_SITE = table_of(Site)
_TABLES = tuple(dict.fromkeys(table for table, _ in ADDRESS_COLUMNS))
_OF_WISHES = frozenset({NoticeKind.OLD_ADDRESS, NoticeKind.NEW_ADDRESS})
_CLEARING_SECONDS = 3600  # a file of a terabyte would not take so long


def forget(session: Session, keys: Mapping[int, str], now: datetime) -> None:
    """Takes the addresses of readers, by their keys, out of every table but their own rows; `finish` is due afterwards."""
    session.exec(sa.delete(SignUp).where(col(SignUp.address_key).in_(keys.values())))
    session.exec(sa.delete(ImportLine).where(col(ImportLine.address_key).in_(keys.values())))
    session.exec(sa.delete(Farewell).where(col(Farewell.subscriber_id).in_(keys)))
    wishes = _end_wishes(session, keys, now)
    _drop_notices(session, frozenset(keys.values()), wishes)
    # Words of others: the server's to a mail, an import's about a consent.
    _clear_replies(session, [*keys])
    for model, column in ((Consent, col(Consent.source)), (SubscriptionEvent, col(SubscriptionEvent.detail))):
        own = table_of(model).c.subscriber_id.in_(keys)
        names_somebody = sa.or_(column.contains("@"), column.contains("%40", autoescape=True))
        session.exec(sa.update(model).where(own, names_somebody).values({column: ""}))
    _mark(session, now)


def finish(database: Database) -> bool:
    """Clears what erasures left in the database's files; True once nothing is left to do, False to ask again later.

    On SQLite that is every byte: of the file, its WAL, its free pages. On PostgreSQL the dead rows are cleared away,
    and their space is free to be overwritten; `rewrite` has it overwritten at once.
    """
    with database.begin() as session:
        mark = session.get(Site, SiteFact.ERASED)
        if mark is None:
            return True
        until = mark.value
    if database.is_sqlite:
        if not _clear_file(database):
            log.warning("erasure_unfinished")
            return False
    else:
        _vacuum(database, "")
    with database.begin() as session:
        session.exec(sa.delete(Site).where(col(Site.name) == SiteFact.ERASED, col(Site.value) == until))
    log.info("erasure_finished")
    return True


def rewrite(database: Database) -> None:
    """Leaves no byte of who was erased in the files of the database's tables; Unavailable when others are in the way.

    On PostgreSQL the tables that hold addresses are written anew, each locked meanwhile.
    """
    if not database.is_sqlite:
        _vacuum(database, "FULL")
        _checkpoint(database)
    elif not _clear_file(database):
        raise Unavailable("Others read or write the database all the time: try again, or stop the daemon.")
    with database.begin() as session:
        session.exec(sa.delete(Site).where(col(Site.name) == SiteFact.ERASED))


def _end_wishes(session: Session, keys: Mapping[int, str], now: datetime) -> frozenset[int]:
    """Takes these readers' wishes for another address away, and ends others' wishes for theirs; gives them all."""
    own = col(AddressChange.subscriber_id).in_(keys)
    theirs = col(AddressChange.address_key).in_(keys.values())
    found = session.exec(select(AddressChange.id).where(sa.or_(own, theirs))).all()
    session.exec(sa.delete(AddressChange).where(own))
    ended = {"address": None, "address_key": None, "outcome": ChangeOutcome.KEPT, "ended_at": now}
    session.exec(sa.update(AddressChange).where(theirs).values(ended))
    return frozenset(each for each in found if each is not None)


def _drop_notices(session: Session, keys: Collection[str], wishes: Collection[int]) -> None:
    """Ends what waits to be sent to these addresses, and about these wishes; what is settled has no address any more."""
    waiting = select(Notice).where(col(Notice.address).is_not(None)).with_for_update()
    for notice in session.exec(waiting):
        is_of_wish = notice.kind in _OF_WISHES and notice.subject_id in wishes
        if is_of_wish or key_of(notice.address or "") in keys:
            notice.address = notice.segments = notice.due_at = None
            notice.state, notice.reason, notice.worker = NoticeState.EXPIRED, "erased", ""
            session.add(notice)


def _clear_replies(session: Session, ids: Sequence[int]) -> None:
    """Clears the servers' words to readers' mails, by the ledger's key: nothing else finds a reader's rows."""
    alerts = session.exec(select(Alert.id)).all()
    values = [{"alerts": alerts, "subscriber": each} for each in ids]
    session.connection().execute(_CLEAR_REPLIES, values)


_CLEAR_REPLIES = (
    sa.update(_DELIVERY)
    .where(
        db.among(_DELIVERY.c.alert_id, "alerts"),
        _DELIVERY.c.subscriber_id == sa.bindparam("subscriber"),
        _DELIVERY.c.reply != "",
    )
    .values(reply="")
)


def _mark(session: Session, now: datetime) -> None:
    name = SiteFact.ERASED.value
    session.connection().execute(db.insert_or_ignore(session, _SITE), {"name": name, "value": ""})
    session.exec(sa.update(Site).where(col(Site.name) == name).values(value=now.isoformat()))


def _clear_file(database: Database) -> bool:
    if not database.url.database:
        return True
    # The child's own working folder is ours: the path may be relative.
    path = Path(database.url.database).absolute()
    cleared = subprocess.run(  # noqa: S603 - our own module
        [sys.executable, "-m", residue.__name__, str(path)], check=False, timeout=_CLEARING_SECONDS
    )
    return cleared.returncode == 0


def _vacuum(database: Database, how: str) -> None:
    _outside_a_transaction(
        database, (f"VACUUM ({how}) {table}" if how else f"VACUUM {table}" for table in _TABLES)
    )


def _checkpoint(database: Database) -> None:
    try:
        _outside_a_transaction(database, ["CHECKPOINT"])
    except DBAPIError:
        log.warning("checkpoint_not_allowed")  # the server makes one by itself, every five minutes by default


def _outside_a_transaction(database: Database, statements: Iterable[str]) -> None:
    """Runs what PostgreSQL takes in no transaction, however long it takes."""
    with database.engine.connect() as connection:
        connection.rollback()
        driver = connection.connection.dbapi_connection
        assert driver is not None, "just connected"
        cursor = driver.cursor()
        cursor.execute("ROLLBACK")
        cursor.execute("SET statement_timeout = 0")
        for statement in statements:
            cursor.execute(statement)
        connection.invalidate()  # its settings are no one else's
