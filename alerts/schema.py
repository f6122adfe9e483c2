"""The schema: brought to this version's, or refused with what to do."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import sqlalchemy as sa
from sqlalchemy.engine import Connection
from sqlmodel import Session

from alerts import db
from alerts.db import Database
from alerts.errors import Unavailable
from alerts.migrations import NEWEST
from alerts.models import ADDRESS_COLUMNS, Site, SiteFact

_MIGRATIONS = Path(__file__).parent / "migrations"


def prepare(database: Database) -> None:
    """Makes a SQLite site ready to use, its folder and schema included; checks the schema of PostgreSQL.

    Many processes share a PostgreSQL site, so there a person says when it is upgraded.
    """
    if database.is_sqlite:
        upgrade(database)
        return
    check(database)
    with database.begin() as session:
        _refuse_half_moved(session)


def upgrade(database: Database) -> None:
    """Brings the schema to this version's; safe to run again, and beside another that does the same."""
    with database.engine.connect() as connection, checking_references_last(connection), connection.begin():
        if database.is_sqlite:
            db.refuse_moved(connection)
        if _version(connection) != NEWEST:
            _migrate(connection)


def check(database: Database) -> None:
    """Refuses a database whose schema is not this version's, and says which command mends it."""
    with database.begin() as session:
        require(session)


def require(session: Session) -> None:
    """Refuses, from inside a transaction, what `check` refuses."""
    found = _version(session.connection())
    if found == NEWEST:
        return
    if found is None:
        raise Unavailable("The database is empty: run `alerts db upgrade` once.")
    raise Unavailable(
        f"The database has schema {found}, this version needs {NEWEST}: "
        "run `alerts db upgrade`, or start the version that made it."
    )


@contextmanager
def checking_references_last(connection: Connection) -> Iterator[None]:
    """Lets SQLite make a table anew that others' rows point to (https://www.sqlite.org/lang_altertable.html, section 7)."""
    if connection.dialect.name != "sqlite":
        yield
        return
    # Inside a transaction it says nothing to SQLite.
    cursor = connection.connection.cursor()
    cursor.execute("PRAGMA foreign_keys=OFF")
    try:
        yield
    finally:
        cursor.execute("PRAGMA foreign_keys=ON")
        cursor.close()


def _refuse_half_moved(session: Session) -> None:
    if session.get(Site, SiteFact.MOVING) is not None:
        raise Unavailable(
            "A move into this database is under way, or broke off, or was undone. The site is where it was: "
            "set database.url to the SQLite file, and run `alerts db move` from there to finish."
        )


def _version(connection: Connection) -> str | None:
    """Gives the version of a database's schema; none while it is empty."""
    if not sa.inspect(connection).has_table("alembic_version"):
        return None
    found: str | None = connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalar()
    return found


def _migrate(connection: Connection) -> None:
    # Read where it is needed: it takes ten megabytes and a tenth of a second, and mostly there is nothing to do.
    from alembic import command  # noqa: PLC0415 - see above
    from alembic.config import Config as AlembicConfig  # noqa: PLC0415 - same

    config = AlembicConfig()
    config.set_main_option("script_location", str(_MIGRATIONS))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
    if connection.dialect.name == "sqlite":
        broken = connection.exec_driver_sql("PRAGMA foreign_key_check").first()
        assert broken is None, f"a row of {broken[0]} points nowhere"
    if connection.dialect.name == "postgresql":
        _keep_out_of_statistics(connection)


def _keep_out_of_statistics(connection: Connection) -> None:
    """Has ANALYZE take no samples of addresses: those would outlive an erasure."""
    quote = connection.dialect.identifier_preparer.quote
    for table, column in ADDRESS_COLUMNS:
        connection.exec_driver_sql(
            f"ALTER TABLE {quote(table)} ALTER COLUMN {quote(column)} SET STATISTICS 0"
        )
