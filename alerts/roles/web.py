"""The pages: made, and listened for."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import structlog

from alerts import __version__, config
from alerts.audience.signups import HourlyLimits
from alerts.audience.tokens import Keys
from alerts.config import Config
from alerts.db import Database
from alerts.ticks import utc_now
from alerts.web.app import create
from alerts.web.server import WebServer
from alerts.web.signup import Terms
from alerts.web.signup_form import Rules
from alerts.web.websub import Callbacks

log = structlog.get_logger()


@asynccontextmanager
async def pages(
    settings: Config, database: Database, keys: Keys, poll_now: Callable[[], object]
) -> AsyncIterator[None]:
    """Serves the pages; what a hub tells has `poll_now` called."""
    app = create(
        database,
        keys,
        config.site_view(settings),
        config.template_folders(settings),
        __version__,
        Callbacks(database, poll_now, utc_now),
        language=settings.site.language,
        terms=_sign_up_terms(settings),
    )
    server = WebServer(app, settings.web.host, settings.web.port, settings.web.proxies)
    await server.start()
    log.info("pages_served", host=settings.web.host, port=server.port)
    try:
        yield
    finally:
        await server.stop()


def _sign_up_terms(settings: Config) -> Terms | None:
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
