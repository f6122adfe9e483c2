"""The one door to the database: transactions, the bridge to asyncio, the clock, and all that is dialect.

A transaction is a plain function with a `Session` first. It never commits and cannot await, so that no
transaction can span a network call; `Database.run` is the only bridge from asyncio.
"""

import asyncio
import fcntl
import json
import os
import sqlite3
from collections.abc import Callable, Collection, Iterator, Mapping, MutableMapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from types import ModuleType
from typing import Any, Concatenate, ParamSpec, TypeVar

import sqlalchemy as sa
import structlog
from sqlalchemy import event
from sqlalchemy.engine import URL, Connection, Dialect, Engine, make_url
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.pool import ConnectionPoolEntry
from sqlalchemy.sql.compiler import SQLCompiler
from sqlmodel import AutoString, Session

from alerts.errors import Unavailable
from alerts.models import Site, SiteFact, table_of

try:
    from pysqlite3 import dbapi2 as _sqlite  # a recent SQLite, where its wheels exist
except ImportError:  # Linux on arm64, Intel Macs
    _sqlite = sqlite3

P = ParamSpec("P")
T = TypeVar("T")

log = structlog.get_logger()

WAKE_CHANNEL = "alerts_work"
# The WAL-reset bug: two connections that checkpoint and commit at once can corrupt the file (fixed 3.51.3).
_WAL_IS_SAFE_FROM = (3, 51, 3)
_BUSY_SECONDS = 30
_MOVED = 1  # the user_version of a file whose site lives elsewhere; 0 in all others
_SITE = table_of(Site)
_BEGAN = "began"  # the server's clock at the BEGIN, beside a PostgreSQL connection
# A machine that sleeps, or is cut off, in the middle of a transaction holds locks that all others wait for.
_IDLE_SECONDS = 10


class Database:
    """The engine; `begin` is its transaction, `run` the same from asyncio, and `read` one that takes nobody's place."""

    def __init__(self, url: str, *, threads: int = 4) -> None:
        self.url = make_url(url)
        self.is_sqlite = self.url.get_backend_name() == "sqlite"
        if self.is_sqlite and self.url.database:
            Path(self.url.database).parent.mkdir(
                parents=True, exist_ok=True, mode=0o700
            )  # it holds addresses
        self.engine = _sqlite_engine(self.url) if self.is_sqlite else _postgres_engine(self.url, threads)
        # SQLite has one writer at a time anyway: a single thread queues instead of spinning on the lock.
        self._threads = ThreadPoolExecutor(1 if self.is_sqlite else threads, thread_name_prefix="db")
        self._readers = _readers(self.engine)
        self._reading = ThreadPoolExecutor(1, thread_name_prefix="db-read")
        self._listeners: list[Callable[[], object]] = []

    @contextmanager
    def begin(self) -> Iterator[Session]:
        """Gives a session whose work is committed at the end, or undone on any error."""
        with Session(self.engine, expire_on_commit=False) as session:
            with session.begin():
                if self.is_sqlite:
                    refuse_moved(session.connection())
                yield session
            for function in session.info.pop("afterwards", ()):
                with session.begin():
                    function(session)
            if session.info.get("wake"):
                for listener in self._listeners:
                    listener()

    async def run(
        self, function: Callable[Concatenate[Session, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """Runs `function(session, ...)` in one transaction, in a thread of the database's own."""

        def transaction() -> T:
            with self.begin() as session:
                return function(session, *args, **kwargs)

        return await asyncio.get_running_loop().run_in_executor(self._threads, transaction)

    async def read(
        self, function: Callable[Concatenate[Session, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """Runs `function(session, ...)`, which only reads, in a thread apart from that of all other work.

        On SQLite with WAL it sees the last commit, and neither waits for a writer nor keeps one waiting.
        """

        def transaction() -> T:
            with Session(self._readers) as session, session.begin():
                if self.is_sqlite:
                    refuse_moved(session.connection())
                return function(session, *args, **kwargs)

        return await asyncio.get_running_loop().run_in_executor(self._reading, transaction)

    def on_wake(self, listener: Callable[[], object]) -> None:
        """Calls `listener`, from any thread, after each commit in this process that announced work."""
        self._listeners.append(listener)

    def close(self) -> None:
        self._reading.shutdown(wait=True)
        self._threads.shutdown(wait=True)
        self._readers.dispose()
        self.engine.dispose()


def wake(session: Session) -> None:
    """Tells workers, once this transaction commits, that there is work; a 1 s poll stands behind it."""
    session.info["wake"] = True
    if _dialect(session) == "postgresql":
        session.connection().exec_driver_sql(f"NOTIFY {WAKE_CHANNEL}")


def once_committed(session: Session, function: Callable[[Session], object]) -> None:
    """Has `Database.begin` run `function` in a transaction of its own, once this one is committed, before it ends.

    It is for what has to wait for others, and so finds nothing to wait for on SQLite, where writers take turns.
    """
    if _dialect(session) == "postgresql":
        session.info.setdefault("afterwards", []).append(function)


def clock(session: Session) -> datetime:
    """Gives the time that leases are measured by: PostgreSQL's at the BEGIN, so that machines agree; else ours."""
    if _dialect(session) == "postgresql":
        began: datetime = session.connection().info[_BEGAN]
        return began
    return datetime.now(UTC)


def lock_name(session: Session, name: str) -> None:
    """Has transactions that name the same take turns until they end; on SQLite all do."""
    if _dialect(session) == "postgresql":
        session.connection().execute(_LOCK_NAME, {"name": name})


_LOCK_NAME = sa.text("SELECT pg_advisory_xact_lock(hashtextextended(:name, 0))")


def prefer_indexes(session: Session) -> None:
    """Has PostgreSQL look rows up by index until the transaction ends, whatever it believes of their number.

    It is for tables of which it knows little: they grow by a million rows in minutes, or hold addresses.
    """
    if _dialect(session) == "postgresql":
        session.connection().exec_driver_sql("SET LOCAL enable_seqscan = off")


def insert_or_ignore(session: Session, table: sa.Table) -> Any:
    """Gives an INSERT that leaves out rows whose key is taken, in the session's dialect."""
    if _dialect(session) == "postgresql":
        from sqlalchemy.dialects.postgresql import insert as postgres_insert  # noqa: PLC0415 - one dialect at a time

        return postgres_insert(table).on_conflict_do_nothing()
    from sqlalchemy.dialects.sqlite import insert as sqlite_insert  # noqa: PLC0415 - one dialect at a time

    return sqlite_insert(table).on_conflict_do_nothing()


def upsert(
    session: Session, table: sa.Table, changes: Mapping[str, Any], *, key: Sequence[sa.Column[Any]] = ()
) -> Any:
    """Gives an INSERT that makes these changes to the row whose key, the primary one, is taken; in the session's dialect."""
    key = key or [*table.primary_key]
    if _dialect(session) == "postgresql":
        from sqlalchemy.dialects.postgresql import insert as postgres_insert  # noqa: PLC0415 - one dialect at a time

        return postgres_insert(table).on_conflict_do_update(index_elements=key, set_=changes)
    from sqlalchemy.dialects.sqlite import insert as sqlite_insert  # noqa: PLC0415 - one dialect at a time

    return sqlite_insert(table).on_conflict_do_update(index_elements=key, set_=changes)


class among(sa.sql.functions.FunctionElement[bool]):  # noqa: N801 - it stands in statements, like sa.func's
    """The condition that a column's value is one of those bound to `name`, a collection of ids or of texts.

    They are one value (`= ANY` of an array on PostgreSQL, JSON on SQLite), where IN has a parameter for each.
    So a statement made once has one text for any number of them, which is compiled and prepared once.
    """

    inherit_cache = True
    type = sa.Boolean()

    def __init__(self, column: sa.ColumnElement[Any], name: str) -> None:
        is_text = isinstance(column.type, sa.String | AutoString)
        super().__init__(column, sa.bindparam(name, type_=_Texts() if is_text else _Ids()))

    def self_group(self, against: object = None) -> "among":  # noqa: ARG002 - SQLAlchemy's signature
        """Stands for itself: SQLite would be told `IN (...) = 1`, and look through a table for that."""
        return self


class _each_id(sa.sql.functions.FunctionElement[int]):  # noqa: N801 - as above
    inherit_cache = True

    def __init__(self, name: str) -> None:
        super().__init__(sa.bindparam(name, type_=_Ids()))


def each_id(name: str) -> sa.ColumnElement[int]:
    """Gives the column `value` of a table with a row for each of the ids bound to `name`."""
    column: sa.ColumnElement[int] = (
        # The alias has the column's name: PostgreSQL calls the one column of a function by the alias.
        _each_id(name).table_valued(sa.column("value", sa.BigInteger)).alias("value").c.value
    )
    return column


class _Ids(sa.types.TypeDecorator[Collection[int]]):
    """Whole numbers as one value: their text as an array of PostgreSQL's, or as JSON. Drivers take far longer."""

    impl = sa.Text
    cache_ok = True

    def process_bind_param(self, value: Collection[int] | None, dialect: Dialect) -> str:
        text = str([*(value or ())])
        return f"{{{text[1:-1]}}}" if dialect.name == "postgresql" else text


class _Texts(sa.types.TypeDecorator[Collection[str]]):
    """Texts as one value, likewise; section 8.15.6 of PostgreSQL's manual has its quoting."""

    impl = sa.Text
    cache_ok = True

    def process_bind_param(self, value: Collection[str] | None, dialect: Dialect) -> str:
        if dialect.name != "postgresql":
            return json.dumps([*(value or ())])
        escaped = (each.replace("\\", "\\\\").replace('"', '\\"') for each in value or ())
        return "{" + ",".join(f'"{each}"' for each in escaped) + "}"


@compiles(among, "postgresql")
def _any_of(element: among, compiler: SQLCompiler, **options: Any) -> str:
    column, values = element.clauses
    array = f"CAST({compiler.process(values, **options)} AS {column.type.compile(compiler.dialect)}[])"
    return f"{compiler.process(column, **options)} = ANY ({array})"


@compiles(among, "sqlite")
def _in_json(element: among, compiler: SQLCompiler, **options: Any) -> str:
    column, values = (compiler.process(each, **options) for each in element.clauses)
    return f"{column} IN (SELECT value FROM json_each({values}))"  # noqa: S608 - a column and a placeholder


@compiles(_each_id, "postgresql")
def _unnest(element: _each_id, compiler: SQLCompiler, **options: Any) -> str:
    return f"unnest(CAST({compiler.process(element.clauses, **options)} AS BIGINT[]))"


@compiles(_each_id, "sqlite")
def _json_each(element: _each_id, compiler: SQLCompiler, **options: Any) -> str:
    return f"json_each({compiler.process(element.clauses, **options)})"


def close_file(connection: Connection, place: str) -> None:
    """Closes a SQLite file, with the transaction that this is part of: the site is at `place` from now on."""
    values = {"name": SiteFact.MOVED_TO.value, "value": place}
    connection.execute(sa.delete(_SITE).where(_SITE.c.name == values["name"]))
    connection.execute(sa.insert(_SITE).values(values))
    connection.exec_driver_sql(f"PRAGMA user_version = {_MOVED}")


def reopen_file(connection: Connection) -> None:
    """Opens a closed SQLite file again."""
    connection.execute(sa.delete(_SITE).where(_SITE.c.name == SiteFact.MOVED_TO.value))
    connection.exec_driver_sql("PRAGMA user_version = 0")


def moved_to(connection: Connection) -> str | None:
    """Gives where the site of a SQLite file was moved to; none while the file is the site."""
    # Asked in each transaction, so that a process that was at work during the move ends too; and it is
    # there in a file of any schema.
    if connection.exec_driver_sql("PRAGMA user_version").scalar_one() != _MOVED:
        return None
    query = sa.select(_SITE.c.value).where(_SITE.c.name == SiteFact.MOVED_TO.value)
    place: str = connection.execute(query).scalar_one()
    return place


def refuse_moved(connection: Connection) -> None:
    """Raises Unavailable for a SQLite file whose site lives elsewhere."""
    place = moved_to(connection)
    if place is not None:
        raise Unavailable(
            f"This site was moved: it is at {place} now, and {connection.engine.url.database} is closed. "
            f"Set database.url to the new place, or go back with `alerts db move --undo {place}`."
        )


@contextmanager
def only_process(database: Database) -> Iterator[None]:
    """Holds a SQLite site for one daemon; the kernel lets go when the process dies, however it dies."""
    if not database.is_sqlite or not database.url.database:
        yield
        return
    # By its real name: through a link beside it a second daemon would find another lock, or none.
    path = Path(f"{Path(database.url.database).resolve()}.lock")
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise Unavailable(
                f"Another daemon runs on {database.url.database}. SQLite serves one at a time: stop it first, "
                "or move to PostgreSQL to run several."
            ) from error
        os.ftruncate(handle, 0)
        os.write(handle, f"{os.getpid()}\n".encode())
        yield
    finally:
        os.close(handle)


def _dialect(session: Session) -> str:
    return session.get_bind().dialect.name


def _sqlite_engine(url: URL) -> Engine:
    journal = "WAL" if _sqlite.sqlite_version_info >= _WAL_IS_SAFE_FROM else "TRUNCATE"
    if journal != "WAL":
        log.warning("sqlite_is_old", version=_sqlite.sqlite_version, journal_mode=journal)
    return _sqlite_connections(
        url,
        "BEGIN IMMEDIATE",
        f"journal_mode={journal}",
        # FULL for all: it costs one fsync per commit, and our commits carry hundreds of readers each.
        "synchronous=FULL",
        "foreign_keys=ON",
        "secure_delete=ON",  # of who is erased, no byte stays where it was
    )


def _readers(engine: Engine) -> Engine:
    """Gives SQLite's readers connections of their own, which can write nothing; a database in memory has only one."""
    is_file = engine.dialect.name == "sqlite" and engine.url.database
    return _sqlite_connections(engine.url, "BEGIN", "query_only=ON") if is_file else engine


def _sqlite_connections(url: URL, begin: str, *pragmas: str) -> Engine:
    module: ModuleType = _sqlite
    engine = sa.create_engine(
        url.set(drivername="sqlite+pysqlite"),
        module=module,
        hide_parameters=True,  # or SQLAlchemy prints addresses in errors
        connect_args={"timeout": _BUSY_SECONDS, "check_same_thread": False},
    )

    @event.listens_for(engine, "connect")
    def _prepare(connection: Any, _record: ConnectionPoolEntry) -> None:
        connection.isolation_level = None  # the driver's own BEGIN is deferred: read-then-write would clash
        cursor = connection.cursor()
        for pragma in pragmas:
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        connection.exec_driver_sql(begin)

    return engine


def _postgres_engine(url: URL, threads: int) -> Engine:
    import psycopg  # noqa: PLC0415 - one dialect at a time

    engine = sa.create_engine(
        url.set(drivername="postgresql+psycopg"),
        hide_parameters=True,
        pool_size=threads + 4,  # the daemon's threads, and the web handlers' beside them
        max_overflow=16,
        pool_use_lifo=True,  # the fewer connections work, the sooner each has its statements prepared
        # The driver's own BEGIN is a round trip that asks nothing else.
        connect_args=connection_settings() | {"autocommit": True},
    )

    @event.listens_for(engine, "checkout")
    def _check_out(connection: Any, record: ConnectionPoolEntry, _: object) -> None:
        """Begins at once: this also finds out whether the server is still there, and else another is taken."""
        try:
            _begin_and_ask_the_time(connection, record.info)
        except psycopg.OperationalError as error:
            raise sa.exc.DisconnectionError from error

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        held: Any = connection.connection.dbapi_connection
        if held.info.transaction_status == psycopg.pq.TransactionStatus.IDLE:  # not the first since
            _begin_and_ask_the_time(held, connection.info)

    return engine


def _begin_and_ask_the_time(connection: Any, info: MutableMapping[Any, Any]) -> None:
    cursor = connection.cursor()
    cursor.execute("BEGIN; SELECT clock_timestamp()", prepare=False)
    cursor.nextset()
    info[_BEGAN] = cursor.fetchall()[0][0]


def connection_settings() -> dict[str, Any]:
    """Gives what each connection to PostgreSQL is opened with: either end gives the other up in half a minute.

    Left to TCP, one that vanished without a word is there for a quarter of an hour, or for hours.
    """
    settings = {
        "timezone": "UTC",
        "statement_timeout": "60s",
        "idle_in_transaction_session_timeout": f"{_IDLE_SECONDS}s",
        "tcp_keepalives_idle": "10s",
        "tcp_keepalives_interval": "5s",
        "tcp_keepalives_count": "4",
        "tcp_user_timeout": "30s",
    }
    return {
        "options": " ".join(f"-c {name}={value}" for name, value in settings.items()),
        "application_name": "alerts",
        "connect_timeout": 10,
        "keepalives_idle": 10,
        "keepalives_interval": 5,
        "keepalives_count": 4,
        "tcp_user_timeout": 30_000,
    }
