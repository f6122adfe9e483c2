"""From a SQLite file to PostgreSQL, and back as long as nothing has worked there.

    held file ──drain──> ──claim──> an empty database, closed ──copy──> ──verify──> ──switch──> the site

Until the switch the file is the site, and whatever ended a move, the next starts over. The switch is two
commits: the file closes, then the database opens, and a move that ends between them needs only the second.
So at no moment two sites are open. `db` has the marks by which each side refuses to start.
"""

import secrets
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy.engine import URL, Connection
from sqlalchemy.exc import OperationalError

from alerts import db, schema
from alerts.audience.tokens import Keys
from alerts.db import Database
from alerts.dispatch import outbox, receipts
from alerts.dispatch.journal import Journals
from alerts.errors import Conflict, Refused, Unavailable
from alerts.failpoints import reach
from alerts.models import Site, SiteFact, table_of
from alerts.ops import tables
from alerts.ops.secret import check_secret
from alerts.ops.tables import Advance, Differs, Verified

# Is told what begins, `copy` or `verify`, of which table and how many rows; gives what to tell of each slice.
Watch = Callable[[str, str, int], Advance]

_SITE = table_of(Site)
_LOCK = 7238142  # of PostgreSQL's advisory locks: one move at a time into a database
_LOCK_TIMEOUT_STATE = "55P03"
# What of a URL's query says where a database is; the rest may be a password.
_OF_THE_PLACE = ("host", "hostaddr", "port", "dbname", "user")


@dataclass(frozen=True, slots=True)
class Moved:
    """A finished move; without tables when it was finished before and had only to open the database."""

    place: str
    tables: tuple[Verified, ...]


def place_of(url: URL) -> str:
    """Names a database without its password."""
    query = {key: value for key, value in url.query.items() if key in _OF_THE_PLACE}
    named = URL.create(
        "postgresql", url.username, host=url.host, port=url.port, database=url.database, query=query
    )
    return named.render_as_string()


def move(file: Database, target: Database, journals: Journals, keys: Keys, watch: Watch) -> Moved:
    """Takes the site from the SQLite file to the PostgreSQL database; safe to run again, however it ended.

    Unavailable while a daemon runs on the file or another move into the database; Conflict when the
    database is not empty; Differs when what arrived is not what was sent.
    """
    place = place_of(target.url)
    with _held(file), _alone(target) as there:
        if _place_moved_to(file) is not None:
            _open(there, _number(file))
            return Moved(place, ())
        _drain(file, journals, keys)
        number = _number(file)
        reach("move.drained")
        _claim(target, there, number)
        reach("move.marked")
        # Nobody can write to the file before it is closed.
        with file.engine.begin() as here:
            _copy(here, there, number, watch)
            reach("move.copied")
            verified = _verify(here, there, watch)
            reach("move.verified")
            db.close_file(here, place)
        reach("move.closed")
        _open(there, number)
        reach("move.opened")
    return Moved(place, verified)


def undo(file: Database, target: Database, watch: Watch) -> None:
    """Makes the file the site again; Conflict when anything has changed in the database since the move."""
    with _held(file):
        _require_moved(file)
        with _alone(target) as there:
            number = _number(file)
            _close(there, number)
            try:
                _require_quiet(there)
                with file.engine.begin() as here:
                    _verify(here, there, watch)
                    db.reopen_file(here)
            except Differs as error:
                _open(there, number)
                raise Conflict(
                    f"The site has worked in the database since the move. {error} The file does not know of it, "
                    "and would mail again what was mailed there. Nothing was changed. If the database is lost, "
                    "add --force."
                ) from error
            except Unavailable:
                _open(there, number)
                raise


def undo_by_force(file: Database, target: URL) -> None:
    """Makes the file the site again, whatever the database did since; it is not asked, as it may be lost."""
    with _held(file):
        place = _require_moved(file)
        if place != place_of(target):
            raise Refused(f"This site was not moved there: it is at {place}.")
        with file.engine.begin() as here:
            db.reopen_file(here)


# --- the file ------------------------------------------------------------------------------------------


@contextmanager
def _held(file: Database) -> Iterator[None]:
    """Holds the file for the move as a daemon would."""
    with ExitStack() as stack:
        try:
            stack.enter_context(db.only_process(file))
        except Unavailable as error:
            raise Unavailable(
                f"A daemon, or another move, runs on {file.url.database}: stop it, and run the same command again."
            ) from error
        yield


def _drain(file: Database, journals: Journals, keys: Keys) -> None:
    """Brings all that this host knows of the site's mails into the file, and ends the leases of the dead."""
    schema.prepare(file)
    with file.begin() as session:
        check_secret(session, keys)
    for left in journals.left():
        with file.begin() as session:
            key = (left.alert_id, left.first_id, left.epoch)
            receipts.fold(session, key, left.worker, left.receipts, left.in_doubt, keys, db.clock(session))
        reach("fold.committed")
        left.path.unlink()
    with file.begin() as session:
        outbox.end_leases(session, db.clock(session))


def _number(file: Database) -> str:
    """Gives what tells this file's moves from any other's; made once, before anything is marked with it."""
    with file.engine.begin() as here:
        number = _fact(here, SiteFact.MOVE)
        if number is None:
            number = secrets.token_hex(16)
            _set_fact(here, SiteFact.MOVE, number)
        return number


def _place_moved_to(file: Database) -> str | None:
    with file.engine.begin() as here:
        return db.moved_to(here)


def _require_moved(file: Database) -> str:
    place = _place_moved_to(file)
    if place is None:
        raise Conflict(f"{file.url.database} was not moved: there is nothing to undo.")
    return place


# --- the database --------------------------------------------------------------------------------------


@contextmanager
def _alone(target: Database) -> Iterator[Connection]:
    """Gives a connection to the target that no other move has one beside; the lock ends with it."""
    with target.engine.connect() as there:
        there.detach()
        try:
            there.exec_driver_sql("SET lock_timeout = '10s'")  # a killed move's session ends soon
            there.exec_driver_sql(f"SELECT pg_advisory_lock({_LOCK})")
        except OperationalError as error:
            if getattr(error.orig, "sqlstate", "") != _LOCK_TIMEOUT_STATE:
                raise
            raise Unavailable("Another move fills this database: wait for its end.") from error
        # A large table takes its time; and what the file is closed for must be on the disk.
        there.exec_driver_sql("SET statement_timeout = 0")
        there.exec_driver_sql("SET idle_in_transaction_session_timeout = 0")
        there.exec_driver_sql("SET synchronous_commit = on")
        there.commit()
        yield there


def _claim(target: Database, there: Connection, number: str) -> None:
    """Gives the target this version's schema, and closes it until the move has ended; Conflict if it is not ours to fill."""
    with there.begin():
        _require_free(there, number)
    schema.upgrade(target)
    with there.begin():
        if _fact(there, SiteFact.MOVING) is None:
            _set_fact(there, SiteFact.MOVING, number)


def _require_free(there: Connection, number: str) -> None:
    if there.exec_driver_sql("SHOW server_encoding").scalar_one() != "UTF8":
        raise Refused("The database's encoding is not UTF8: make one with ENCODING 'UTF8'.")
    found = set(sa.inspect(there).get_table_names())
    if _SITE.name in found and _fact(there, SiteFact.MOVING) == number:
        return
    own = [table for table in tables.all_tables() if table.name in found]
    strange = found - {table.name for table in own} - {"alembic_version"}
    full = [table.name for table in own if there.execute(sa.select(sa.exists().select_from(table))).scalar()]
    if strange or full:
        names = ", ".join(sorted(strange) + full)
        raise Conflict(f"The database is not empty, it holds {names}: make an empty one for the site.")


def _copy(here: Connection, there: Connection, number: str, watch: Watch) -> None:
    """Fills the target in one transaction: what breaks it off leaves the target as it was, marked and closed."""
    with there.begin():
        tables.empty(there)
        for table in tables.all_tables():
            tables.copy(here, there, table, watch("copy", table.name, tables.count(here, table)))
        for table in tables.all_tables():
            tables.number(here, there, table)
            tables.analyze(there, table)
        _set_fact(there, SiteFact.MOVING, number)


def _verify(here: Connection, there: Connection, watch: Watch) -> tuple[Verified, ...]:
    with there.begin():
        return tuple(
            tables.verify(here, there, table, watch("verify", table.name, tables.count(here, table)))
            for table in tables.all_tables()
        )


def _require_quiet(there: Connection) -> None:
    """Refuses while a daemon or a command is connected: it would not see the database close."""
    with there.begin():
        others = there.exec_driver_sql(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
            " AND application_name = 'alerts' AND pid <> pg_backend_pid()"
        ).scalar_one()
    if others:
        raise Unavailable("A daemon or a command is connected to the database: stop it, and run this again.")


def _open(there: Connection, number: str) -> None:
    _rename(there, SiteFact.MOVING, SiteFact.MOVED_FROM, number)


def _close(there: Connection, number: str) -> None:
    _rename(there, SiteFact.MOVED_FROM, SiteFact.MOVING, number)


def _rename(there: Connection, before: SiteFact, after: SiteFact, number: str) -> None:
    """Opens or closes the database, if it is not so already; Refused when another move filled it."""
    with there.begin():
        if not sa.inspect(there).has_table(_SITE.name) or number not in {
            _fact(there, before),
            _fact(there, after),
        }:
            raise Refused("This is not the database that the site was moved to; `alerts status` names that.")
        there.execute(
            sa.update(_SITE)
            .where(_SITE.c.name == before.value, _SITE.c.value == number)
            .values(name=after.value)
        )


# --- facts ---------------------------------------------------------------------------------------------


def _fact(connection: Connection, name: SiteFact) -> str | None:
    return connection.execute(sa.select(_SITE.c.value).where(_SITE.c.name == name.value)).scalar()


def _set_fact(connection: Connection, name: SiteFact, value: str) -> None:
    connection.execute(sa.insert(_SITE).values(name=name.value, value=value))
