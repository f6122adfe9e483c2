"""Sending: alerts and notices go out, digests are announced, and what has had its time is swept."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import structlog
from apscheduler.schedulers.asyncio import AsyncIOScheduler
from sqlmodel import Session

from alerts import config, db
from alerts.audience import address_changes, erasure, signups, spans
from alerts.audience.lists import run as run_imports
from alerts.audience.tokens import Keys
from alerts.config import Config, TransportConfig
from alerts.db import Database
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
from alerts.loops import usable_cores
from alerts.mail.render import Renderer
from alerts.mail.smtp import Server
from alerts.mail.transports import Transport, Transports
from alerts.ticks import often, utc_now

log = structlog.get_logger()


@asynccontextmanager
async def sending(
    settings: Config,
    database: Database,
    keys: Keys,
    scheduler: AsyncIOScheduler,
    worker: str,
    stop: asyncio.Event,
) -> AsyncIterator[None]:
    """Sends from the start to `stop`; at the end of the block the mails on the wire are settled."""
    _add_jobs(scheduler, database, settings, keys)
    site = config.site_view(settings)
    transports = _transports(settings)
    renderer = Renderer(site, config.template_folders(settings))
    await asyncio.to_thread(_warm_up, renderer, settings.site.language)
    signers = config.signers(settings)
    with Journals(settings.state_dir / "journal", worker) as journals:
        terms = _terms(settings, keys, journals.worker)
        sender = settings.site.bounce or settings.site.sender
        return_path = ReturnPath(sender, settings.site.bounce_tag, keys)
        composer = Composer(database, renderer, site, keys, return_path, signers)
        deliverer = Deliverer(database, transports, composer, journals, terms)
        notifier = Notifier(database, transports, Letters(renderer, site, keys, sender, signers), terms)

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


def limits(settings: Config) -> Limits:
    """Gives the rates that are set."""
    return Limits(
        {name: Rate(each.rate) for name, each in settings.transport.items() if each.rate is not None},
        {domain: Rate(each.rate) for domain, each in settings.destination.items() if each.rate is not None},
    )


# --- what is looked for now and then -------------------------------------------------------------------


def _add_jobs(scheduler: AsyncIOScheduler, database: Database, settings: Config, keys: Keys) -> None:
    late = Policy(settings.digests.late, settings.digests.late_after)
    scheduler.add_job(_release_held, args=[database], seconds=1, **often())
    scheduler.add_job(_announce_digests, args=[database, late], seconds=5, **often())
    scheduler.add_job(_sweep, args=[database], seconds=60, **often())
    scheduler.add_job(_finish_erasures, args=[database], seconds=15, **often())
    scheduler.add_job(_tend_imports, args=[database, keys.pepper], seconds=15, **often())


async def _release_held(database: Database) -> None:
    await database.run(_release_due)


async def _announce_digests(database: Database, policy: Policy) -> None:
    await database.run(_close_time)
    await database.run(_announce_due, policy)


async def _sweep(database: Database) -> None:
    await database.run(_swept)


async def _finish_erasures(database: Database) -> None:
    await asyncio.to_thread(erasure.finish, database)


async def _tend_imports(database: Database, pepper: bytes) -> None:
    await asyncio.to_thread(run_imports.tend, database, pepper, utc_now)


def _release_due(session: Session) -> int:
    return release_due(session, db.clock(session))


def _close_time(session: Session) -> None:
    close_time(session, db.clock(session))


def _announce_due(session: Session, policy: Policy) -> int:
    return announce_digests(session, policy, db.clock(session))


def _swept(session: Session) -> None:
    now = db.clock(session)
    signups.sweep(session, now)
    address_changes.forget_old(session, now)
    spans.sweep(session, now)


# --- how it begins, and what wakes it ----------------------------------------------------------------------


def _warm_up(renderer: Renderer, language: str) -> None:
    """Gets the first alert's mail on its way a fifth of a second sooner; a fault of a template is told, and awaits mending."""
    try:
        renderer.warm_up(language, utc_now())
    except ConfigError as error:
        log.exception("mail_template_fails", reason=str(error))


async def _listen(database: Database, wake: Callable[[], object]) -> None:
    """Wakes the senders when another process announces work; a poll stands behind it."""
    if database.is_sqlite:
        return
    import psycopg  # noqa: PLC0415 - one dialect at a time

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


# --- from settings to what is sent with ----------------------------------------------------------------------


def _terms(settings: Config, keys: Keys, worker: str) -> Settings:
    sending = settings.sending
    return Settings(
        worker=worker,
        keys=keys,
        lease=sending.lease,
        batch=sending.batch,
        parallel=sending.parallel,
        retry_first=sending.retry_first,
        retry_most=sending.retry_most,
        signing_threads=sending.signing_threads or usable_cores(),
        limits=limits(settings),
    )


def _transports(settings: Config) -> Transports:
    widths = {
        domain: each.connections
        for domain, each in settings.destination.items()
        if each.connections is not None
    }
    return Transports(
        {Transport(_server(name, each), widths): each.weight for name, each in settings.transport.items()}
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
