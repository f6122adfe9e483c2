"""The daemon: polls, announces, delivers and serves pages, until it is told to stop.

The parts know nothing of each other; the database says what is due. APScheduler only ticks, so that a tick
that runs twice, here or on another machine, is harmless.
"""

import asyncio
import gc
import os
import secrets
import signal
import socket
import sys
from collections.abc import AsyncIterator, Callable, Collection
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from typing import Any

import psycopg
import structlog
from apscheduler.events import (
    EVENT_JOB_ERROR,
    EVENT_JOB_EXECUTED,
    EVENT_JOB_SUBMITTED,
    JobExecutionEvent,
    JobSubmissionEvent,
)
from apscheduler.schedulers.asyncio import AsyncIOScheduler
from sqlmodel import Session
from starlette.types import ASGIApp

from alerts import __version__, config, db, logs, loops
from alerts.audience import address_changes, erasure, signups, spans
from alerts.audience.lists import run as run_imports
from alerts.audience.signups import HourlyLimits
from alerts.audience.tokens import Keys
from alerts.config import Config, TransportConfig
from alerts.db import Database
from alerts.declared import declare
from alerts.dispatch.announce import release_due
from alerts.dispatch.compose import Composer, ReturnPath
from alerts.dispatch.deliver import Deliverer, Settings
from alerts.dispatch.digests.announcing import Policy, announce_digests, close_time
from alerts.dispatch.gates import Limits
from alerts.dispatch.journal import Journals
from alerts.dispatch.letters import Letters
from alerts.dispatch.notifier import Notifier
from alerts.dispatch.rates import Rate
from alerts.errors import ConfigError
from alerts.feeds.fetch import Fetcher
from alerts.feeds.poll import Poller
from alerts.feeds.push.hubs import Hubs
from alerts.feeds.read.readers import Readers
from alerts.feeds.schedule import Rhythm
from alerts.fetching import fetcher, readers
from alerts.mail.render import Renderer, SiteView
from alerts.mail.smtp import Server
from alerts.mail.transports import Transport, Transports
from alerts.ops.secret import check_secret
from alerts.roles import ALL, Role
from alerts.web.app import create
from alerts.web.server import WebServer
from alerts.web.signup import Terms
from alerts.web.signup_form import Rules
from alerts.web.websub import Callbacks

log = structlog.get_logger()

_LAST_TICKS_SECONDS = 2
_LAST_POLLS_SECONDS = 2  # at a stop: whoever runs us may kill what takes ten


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
            db.prepare(database)
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
        self._site = site_view(settings)
        self._folders = [settings.site.templates] if settings.site.templates else []
        self._scheduler = AsyncIOScheduler(timezone="UTC")

    async def serve(self, stop: asyncio.Event) -> None:
        """Runs until `stop` is set."""
        async with (
            self._polling() as poll_now,
            self._pages(poll_now),
            self._sending(stop),
            _ticking(self._scheduler),
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
        settings, database, scheduler = self._settings, self._database, self._scheduler
        async with fetcher(settings.polling) as fetches, readers(settings.polling) as reads:
            hubs = Hubs(database, fetches, self._site.base_url, _utc_now)
            poller = _poller(settings, database, fetches, reads)
            async with _polling(scheduler, poller) as poll_now, _subscribing(scheduler, settings, hubs):
                yield poll_now

    @asynccontextmanager
    async def _pages(self, poll_now: Callable[[], object]) -> AsyncIterator[None]:
        if Role.WEB not in self._roles or not self._settings.web.enabled:
            yield
            return
        callbacks = Callbacks(self._database, poll_now, _utc_now)
        app = create(
            self._database,
            self._keys,
            self._site,
            self._folders,
            __version__,
            callbacks,
            language=self._settings.site.language,
            terms=sign_up_terms(self._settings),
        )
        async with _listening(app, self._settings):
            yield

    @asynccontextmanager
    async def _sending(self, stop: asyncio.Event) -> AsyncIterator[None]:
        """Sends from the start to `stop`; at the end of the block the mails on the wire are settled."""
        if Role.SEND not in self._roles:
            yield
            return
        settings, database, keys = self._settings, self._database, self._keys
        self._scheduler.add_job(_release_held, args=[database], seconds=1, **_often())
        late = Policy(settings.digests.late, settings.digests.late_after)
        self._scheduler.add_job(_announce_digests, args=[database, late], seconds=5, **_often())
        self._scheduler.add_job(_sweep, args=[database], seconds=60, **_often())
        self._scheduler.add_job(_finish_erasures, args=[database], seconds=15, **_often())
        self._scheduler.add_job(_tend_imports, args=[database, keys.pepper], seconds=15, **_often())
        transports = _transports(settings)
        renderer = Renderer(self._site, self._folders)
        await asyncio.to_thread(_warm_up, renderer, settings.site.language)
        signers = config.signers(settings)
        with Journals(settings.state_dir / "journal", self._worker) as journals:
            terms = _sending(settings, keys, journals.worker)
            sender = settings.site.bounce or settings.site.sender
            return_path = ReturnPath(sender, settings.site.bounce_tag, keys)
            composer = Composer(database, renderer, self._site, keys, return_path, signers)
            deliverer = Deliverer(database, transports, composer, journals, terms)
            notifier = Notifier(
                database, transports, Letters(renderer, self._site, keys, sender, signers), terms
            )

            def wake() -> None:
                deliverer.wake()
                notifier.wake()

            loop = asyncio.get_running_loop()
            database.on_wake(lambda: loop.call_soon_threadsafe(wake))
            async with asyncio.TaskGroup() as tasks:
                listening = tasks.create_task(_listen(database, wake))
                working = [tasks.create_task(each.run(stop)) for each in (deliverer, notifier)]
                yield
                wake()
                await asyncio.gather(*working)
                listening.cancel()
                await transports.close()


@asynccontextmanager
async def _ticking(scheduler: AsyncIOScheduler) -> AsyncIterator[None]:
    """Runs the scheduler, whose jobs ask often what is due; a tick that comes late is not made up for."""
    none_under_way = _none_under_way(scheduler)
    scheduler.start()
    try:
        yield
    finally:
        # Shut down at once it would cancel the ticks under way, each with an error in the log.
        scheduler.pause()
        with suppress(TimeoutError):
            async with asyncio.timeout(_LAST_TICKS_SECONDS):
                await none_under_way.wait()
        scheduler.shutdown(wait=False)


def _none_under_way(scheduler: AsyncIOScheduler) -> asyncio.Event:
    """Gives an event that is set while no job runs."""
    running: set[str] = set()
    none_running = asyncio.Event()
    none_running.set()

    def note(event: JobExecutionEvent | JobSubmissionEvent) -> None:
        if event.code == EVENT_JOB_SUBMITTED:
            running.add(event.job_id)
        else:
            running.discard(event.job_id)
        none_running.clear() if running else none_running.set()

    scheduler.add_listener(note, EVENT_JOB_SUBMITTED | EVENT_JOB_EXECUTED | EVENT_JOB_ERROR)
    return none_running


@asynccontextmanager
async def _polling(scheduler: AsyncIOScheduler, poller: Poller) -> AsyncIterator[Callable[[], object]]:
    """Polls what is due; gives a function that has it looked for at once, instead of at the next tick."""
    scheduler.add_job(poller.tick, seconds=0.25, **_often())
    try:
        yield lambda: scheduler.add_job(poller.tick, id="poll now", replace_existing=True, max_instances=3)
    finally:
        # A poll that is broken off loses nothing: its lease ends, and the feed is polled again.
        with suppress(TimeoutError):
            async with asyncio.timeout(_LAST_POLLS_SECONDS):
                await poller.drain()


@asynccontextmanager
async def _subscribing(scheduler: AsyncIOScheduler, settings: Config, hubs: Hubs) -> AsyncIterator[None]:
    """Keeps the subscriptions at hubs, where there are pages for the hubs to call."""
    if settings.web.enabled:
        scheduler.add_job(hubs.tick, seconds=1, **_often())
    try:
        yield
    finally:
        await hubs.drain()


def _often() -> dict[str, Any]:
    return {"trigger": "interval", "coalesce": True, "max_instances": 1, "next_run_time": _utc_now()}


async def _sweep(database: Database) -> None:
    await database.run(_swept)


def _swept(session: Session) -> None:
    now = db.clock(session)
    signups.sweep(session, now)
    address_changes.forget_old(session, now)
    spans.sweep(session, now)


async def _release_held(database: Database) -> None:
    await database.run(_release_due)


async def _finish_erasures(database: Database) -> None:
    await asyncio.to_thread(erasure.finish, database)


async def _tend_imports(database: Database, pepper: bytes) -> None:
    await asyncio.to_thread(run_imports.tend, database, pepper, _utc_now)


async def _announce_digests(database: Database, policy: Policy) -> None:
    await database.run(_close_time)
    await database.run(_announce_due, policy)


def _close_time(session: Session) -> None:
    close_time(session, db.clock(session))


def _announce_due(session: Session, policy: Policy) -> int:
    return announce_digests(session, policy, db.clock(session))


def _release_due(session: Session) -> int:
    return release_due(session, db.clock(session))


@asynccontextmanager
async def _listening(app: ASGIApp, settings: Config) -> AsyncIterator[None]:
    server = WebServer(app, settings.web.host, settings.web.port, settings.web.proxies)
    await server.start()
    log.info("pages_served", host=settings.web.host, port=server.port)
    try:
        yield
    finally:
        await server.stop()


async def _listen(database: Database, wake: Callable[[], object]) -> None:
    """Wakes the senders when another process announces work; a poll stands behind it."""
    if database.is_sqlite:
        return
    address = database.url.set(drivername="postgresql").render_as_string(hide_password=False)
    while True:
        try:
            async with await psycopg.AsyncConnection.connect(
                address, autocommit=True, **db.connection_settings()
            ) as connection:
                await connection.execute(f"LISTEN {db.WAKE_CHANNEL}")
                async for _ in connection.notifies():
                    wake()
        except psycopg.OperationalError:
            log.warning("listen_interrupted")
            await asyncio.sleep(1)


def _warm_up(renderer: Renderer, language: str) -> None:
    """Gets the first alert's mail on its way a fifth of a second sooner; a fault of a template is told, and awaits mending."""
    try:
        renderer.warm_up(language, _utc_now())
    except ConfigError as error:
        log.exception("mail_template_fails", reason=str(error))


def site_view(settings: Config) -> SiteView:
    """Gives what mails and pages say of the site."""
    site = settings.site
    return SiteView(
        name=site.name,
        base_url=site.base_url,
        sender_name=site.sender_name,
        sender=site.sender,
        contact=site.contact,
        postal_address=site.postal_address,
        archive=settings.web.archive,
    )


def sign_up_terms(settings: Config) -> Terms | None:
    """Gives what is decided about signing up; None where nobody can."""
    signup = settings.signup
    if not signup.enabled:
        return None
    return Terms(
        limits=HourlyLimits(signup.hourly_by_network, signup.hourly_by_domain, signup.hourly_in_all),
        rules=Rules(takes_roles=not signup.refuse_roles, disposable=config.disposable(settings)),
        confirm_within=signup.confirm_within,
        link_works_for=signup.link_works_for,
        zone=signup.zone,
    )


def _poller(settings: Config, database: Database, fetches: Fetcher, reads: Readers) -> Poller:
    polling = settings.polling
    return Poller(
        database,
        fetches,
        _utc_now,
        polling.parallel,
        rhythm=Rhythm(polling.quiet_interval, polling.ended_interval, polling.rest_after),
        read=reads.read,
        work=reads.seconds,
    )


def _utc_now() -> datetime:
    return datetime.now(UTC)


def _transports(settings: Config) -> Transports:
    widths = {
        domain: each.connections
        for domain, each in settings.destination.items()
        if each.connections is not None
    }
    return Transports(
        {Transport(_server(name, each), widths): each.weight for name, each in settings.transport.items()}
    )


def limits(settings: Config) -> Limits:
    """Gives the rates that are set."""
    return Limits(
        {name: Rate(each.rate) for name, each in settings.transport.items() if each.rate is not None},
        {domain: Rate(each.rate) for domain, each in settings.destination.items() if each.rate is not None},
    )


def _server(name: str, transport: TransportConfig) -> Server:
    return Server(
        name=name,
        host=transport.host,
        port=transport.port,
        tls=transport.tls,
        username=transport.username,
        password=transport.password.get_secret_value(),
        connections=transport.connections,
        connect_timeout=transport.connect_timeout,
        reply_timeout=transport.reply_timeout,
        final_timeout=transport.final_timeout,
        ca_file=transport.ca_file,
        hello=transport.hello,
    )


def _sending(settings: Config, keys: Keys, worker: str) -> Settings:
    sending = settings.sending
    return Settings(
        worker=worker,
        keys=keys,
        lease=sending.lease,
        batch=sending.batch,
        parallel=sending.parallel,
        retry_first=sending.retry_first,
        retry_most=sending.retry_most,
        signing_threads=sending.signing_threads,
        limits=limits(settings),
    )
