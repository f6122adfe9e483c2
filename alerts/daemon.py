"""The daemon: polls, announces, delivers and serves pages, until it is told to stop.

The parts (`alerts.roles`) know nothing of each other; the database says what is due. A process loads only the
parts that it runs: one that serves no pages spares the memory of their framework.
"""

import asyncio
import gc
import os
import secrets
import signal
import socket
import sys
from collections.abc import AsyncIterator, Callable, Collection
from contextlib import asynccontextmanager

import structlog
from apscheduler.schedulers.asyncio import AsyncIOScheduler
from sqlmodel import Session

from alerts import __version__, config, db, logs, loops, schema
from alerts.audience.tokens import Keys
from alerts.config import Config
from alerts.db import Database
from alerts.declared import declare
from alerts.errors import ConfigError
from alerts.ops.secret import check_secret
from alerts.roles import ALL, Role
from alerts.ticks import often, ticking, utc_now

log = structlog.get_logger()

_CLOCKS_MAY_DIFFER_SECONDS = 10


def run(config: Config, roles: Collection[Role] = ALL) -> None:
    """Runs the daemon until SIGTERM or SIGINT; a second signal ends it at once."""
    logs.configure(is_json=not sys.stderr.isatty())
    loops.allow_all_descriptors()
    loops.run(_run_until_signal(config, roles))


async def serve(settings: Config, stop: asyncio.Event, roles: Collection[Role] = ALL) -> None:
    """Runs the daemon in this event loop until `stop` is set, then finishes what is in hand.

    Raises ConfigError for parts that cannot run by themselves here.
    """
    database = Database(settings.database.url.get_secret_value(), threads=settings.database.threads)
    worker = f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(4)}"
    try:
        _refuse_roles(settings, database, roles)
        with db.only_process(database):
            schema.prepare(database)
            keys = config.keys(settings)
            with database.begin() as session:
                check_secret(session, keys)
                if database.is_sqlite:
                    declare(session, settings, db.clock(session))
            await _Daemon(settings, database, keys, worker, frozenset(roles)).serve(stop)
    finally:
        database.close()


def _refuse_roles(settings: Config, database: Database, roles: Collection[Role]) -> None:
    if Role.WEB in roles and not settings.web.enabled and roles != ALL:
        raise ConfigError("web.enabled is false: there are no pages to serve.")
    if database.is_sqlite and roles != ALL:
        raise ConfigError(
            "SQLite serves one process, which does everything: run without --only, or move to PostgreSQL "
            "with `alerts db move`."
        )


async def _run_until_signal(settings: Config, roles: Collection[Role]) -> None:
    stop = asyncio.Event()

    def ask() -> None:
        if stop.is_set():
            os._exit(128 + signal.SIGTERM)  # the journal is made for this
        log.info("daemon_stops")
        stop.set()

    for each in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(each, ask)
    await serve(settings, stop, roles)


class _Daemon:
    """The parts of one process, as far as its roles ask for them."""

    def __init__(
        self, settings: Config, database: Database, keys: Keys, worker: str, roles: frozenset[Role]
    ) -> None:
        self._settings = settings
        self._database = database
        self._keys = keys
        self._worker = worker
        self._roles = roles
        self._scheduler = AsyncIOScheduler(timezone="UTC")

    async def serve(self, stop: asyncio.Event) -> None:
        """Runs until `stop` is set."""
        if not self._database.is_sqlite:
            self._scheduler.add_job(_compare_clocks, args=[self._database], seconds=60, **often())
        async with (
            self._polling() as poll_now,
            self._pages(poll_now),
            self._sending(stop),
            ticking(self._scheduler),
        ):
            gc.freeze()  # what is there now stays: no collection while mails go out has to look through it
            log.info("daemon_ready", version=__version__, worker=self._worker, roles=sorted(self._roles))
            await stop.wait()
        log.info("daemon_stopped")

    @asynccontextmanager
    async def _polling(self) -> AsyncIterator[Callable[[], object]]:
        """Polls, and gives a function that has what is due looked for at once, wherever that is done."""
        if Role.POLL not in self._roles:
            yield lambda: None  # whoever polls looks four times a second
            return
        from alerts.roles.poll import polling  # noqa: PLC0415 - see above

        async with polling(self._settings, self._database, self._scheduler) as poll_now:
            yield poll_now

    @asynccontextmanager
    async def _pages(self, poll_now: Callable[[], object]) -> AsyncIterator[None]:
        if Role.WEB not in self._roles or not self._settings.web.enabled:
            yield
            return
        from alerts.roles.web import pages  # noqa: PLC0415 - see above

        async with pages(self._settings, self._database, self._keys, poll_now):
            yield

    @asynccontextmanager
    async def _sending(self, stop: asyncio.Event) -> AsyncIterator[None]:
        if Role.SEND not in self._roles:
            yield
            return
        from alerts.roles.send import sending  # noqa: PLC0415 - see above

        async with sending(self._settings, self._database, self._keys, self._scheduler, self._worker, stop):
            yield


async def _compare_clocks(database: Database) -> None:
    """Tells of a wrong clock, here or at the database: what is first seen by one that is behind is old news by the other."""
    ahead = await database.run(_seconds_ahead)
    if abs(ahead) > _CLOCKS_MAY_DIFFER_SECONDS:
        log.error("clock_is_wrong", seconds_ahead_of_database=round(ahead))


def _seconds_ahead(session: Session) -> float:
    return (utc_now() - db.clock(session)).total_seconds()
