"""The daemon: polls, announces, delivers and serves pages, until it is told to stop.

The parts know nothing of each other; the database says what is due. APScheduler only ticks, so that a tick
that runs twice, here or on another machine, is harmless.
"""

import asyncio
import os
import secrets
import signal
import socket
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
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

from alerts import __version__, config, db, logs, loops
from alerts.audience.tokens import Keys
from alerts.config import Config, TransportConfig
from alerts.db import Database
from alerts.declared import declare
from alerts.dispatch.announce import release_due
from alerts.dispatch.compose import Composer, ReturnPath
from alerts.dispatch.deliver import Deliverer, Settings
from alerts.dispatch.digests.announcing import Policy, announce_digests
from alerts.dispatch.gates import Limits
from alerts.dispatch.journal import Journals
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
from alerts.web.app import create
from alerts.web.server import WebServer
from alerts.web.websub import Callbacks

log = structlog.get_logger()

_LAST_TICKS_SECONDS = 2
_LAST_POLLS_SECONDS = 2  # at a stop: whoever runs us may kill what takes ten


def run(config: Config) -> None:
    """Runs the daemon until SIGTERM or SIGINT; a second signal ends it at once."""
    logs.configure(is_json=not sys.stderr.isatty())
    loops.run(_run_until_signal(config))


async def serve(settings: Config, stop: asyncio.Event) -> None:
    """Runs the daemon in this event loop until `stop` is set, then finishes what is in hand."""
    database = Database(settings.database.url.get_secret_value(), threads=settings.database.threads)
    worker = f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(4)}"
    try:
        with db.only_process(database):
            db.prepare(database)
            keys = config.keys(settings)
            with database.begin() as session:
                check_secret(session, keys)
                if database.is_sqlite:
                    declare(session, settings, db.clock(session))
            with Journals(settings.state_dir / "journal", worker) as journals:
                await _serve(settings, database, keys, journals, stop)
    finally:
        database.close()


async def _run_until_signal(settings: Config) -> None:
    stop = asyncio.Event()

    def ask() -> None:
        if stop.is_set():
            os._exit(128 + signal.SIGTERM)  # the journal is made for this
        log.info("daemon_stops")
        stop.set()

    for each in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(each, ask)
    await serve(settings, stop)


async def _serve(
    settings: Config, database: Database, keys: Keys, journals: Journals, stop: asyncio.Event
) -> None:
    site = site_view(settings)
    folders = [settings.site.templates] if settings.site.templates else []
    transports = _transports(settings)
    renderer = Renderer(site, folders)
    await asyncio.to_thread(_warm_up, renderer, settings.site.language)
    return_path = ReturnPath(settings.site.bounce or settings.site.sender, settings.site.bounce_tag, keys)
    composer = Composer(database, renderer, site, keys, return_path, config.signers(settings))
    deliverer = Deliverer(database, transports, composer, journals, _sending(settings, keys, journals.worker))
    loop = asyncio.get_running_loop()
    database.on_wake(lambda: loop.call_soon_threadsafe(deliverer.wake))
    scheduler = AsyncIOScheduler(timezone="UTC")
    async with (
        fetcher(settings.polling) as fetches,
        readers(settings.polling) as reads,
        _polling(scheduler, _poller(settings, database, fetches, reads)) as poll_now,
        _pages(settings, database, keys, site, folders, Callbacks(database, poll_now, _utc_now)),
        _subscribing(scheduler, settings, Hubs(database, fetches, site.base_url, _utc_now)),
        _ticking(scheduler, database, Policy(settings.digests.late, settings.digests.late_after)),
        asyncio.TaskGroup() as tasks,
    ):
        listening = tasks.create_task(_listen(database, deliverer))
        delivering = tasks.create_task(deliverer.run(stop))
        log.info("daemon_ready", version=__version__, worker=journals.worker)
        await stop.wait()
        deliverer.wake()
        await delivering
        listening.cancel()
        await transports.close()
    log.info("daemon_stopped")


@asynccontextmanager
async def _ticking(scheduler: AsyncIOScheduler, database: Database, policy: Policy) -> AsyncIterator[None]:
    """Runs the scheduler, whose jobs ask often what is due; a tick that comes late is not made up for."""
    scheduler.add_job(_release_held, args=[database], seconds=1, **_often())
    scheduler.add_job(_announce_digests, args=[database, policy], seconds=5, **_often())
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


async def _release_held(database: Database) -> None:
    await database.run(_release_due)


async def _announce_digests(database: Database, policy: Policy) -> None:
    await database.run(_announce_due, policy)


def _announce_due(session: Session, policy: Policy) -> int:
    return announce_digests(session, policy, db.clock(session))


def _release_due(session: Session) -> int:
    return release_due(session, db.clock(session))


@asynccontextmanager
async def _pages(
    settings: Config,
    database: Database,
    keys: Keys,
    site: SiteView,
    folders: list[Path],
    callbacks: Callbacks,
) -> AsyncIterator[None]:
    if not settings.web.enabled:
        yield
        return
    app = create(database, keys, site, folders, __version__, callbacks)
    server = WebServer(app, settings.web.host, settings.web.port)
    await server.start()
    log.info("pages_served", host=settings.web.host, port=server.port)
    try:
        yield
    finally:
        await server.stop()


async def _listen(database: Database, deliverer: Deliverer) -> None:
    """Wakes the deliverer when another process announces work; a poll stands behind it."""
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
                    deliverer.wake()
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
