"""What every test may ask for: a database of each kind, and the rule that nothing is skipped in CI."""

import gc
import os
import shutil
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, ExitStack
from pathlib import Path
from typing import Any

import hypothesis
import pytest
import structlog

from alerts.db import Database
from alerts.schema import upgrade
from fakes import postfix, postgres
from fakes.smtp import ConformingServer, Manners, ScriptedServer, StartSmtp
from fakes.tls import Certificates

# Nothing absolute is asserted of time: a machine that is busy for a moment is no failure. A suite that is run at each
# change finds what is likely; `make fuzz` looks longer.
hypothesis.settings.register_profile("alerts", deadline=None, max_examples=50)
hypothesis.settings.load_profile("alerts")

# What five thousand tests are made of is no garbage: looking through it takes a seventh of a run.
gc.set_threshold(50_000, 20, 50)

PRACTICE_DATA = Path(__file__).resolve().parents[1] / "../shared/corpora"


def pytest_collection_finish() -> None:
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session", autouse=True)
def plain_tracebacks() -> None:
    """structlog draws tracebacks that take half a second each, in the event loop under test."""
    renderer = structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)
    before = structlog.get_config()["processors"]
    structlog.configure(processors=[*before[:-1], renderer])


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[postgres.Server]:
    """A server for the session; who asks for it is skipped, with the reason, where it cannot be started."""
    with ExitStack() as stack:
        try:
            running = stack.enter_context(postgres.server())
        except postgres.CannotStart as error:
            pytest.skip(f"PostgreSQL cannot be started here: {error}")
        yield running


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated SQLite file: tests copy it, so that migrations run once a session."""
    path = tmp_path_factory.mktemp("sqlite") / "template.db"
    database = Database(f"sqlite:///{path}")
    upgrade(database)
    database.close()
    return path


@pytest.fixture
def sqlite_url(sqlite_template: Path, tmp_path: Path) -> str:
    path = tmp_path / "alerts.db"
    shutil.copyfile(sqlite_template, path)
    return f"sqlite:///{path}"


@pytest.fixture
def postgres_url(postgres_server: postgres.Server) -> Iterator[str]:
    with postgres_server.database() as url:
        yield url


@pytest.fixture
def sqlite_db(sqlite_url: str) -> Iterator[Database]:
    database = Database(sqlite_url)
    yield database
    database.close()


@pytest.fixture
def postgres_db(postgres_url: str) -> Iterator[Database]:
    database = Database(postgres_url)
    yield database
    database.close()


@pytest.fixture(params=["sqlite", "postgres"])
def db_url(request: pytest.FixtureRequest) -> str:
    """The URL of a database with this version's schema, once of each kind."""
    url: str = request.getfixturevalue(f"{request.param}_url")
    return url


@pytest.fixture
def db(db_url: str) -> Iterator[Database]:
    """A database with this version's schema, once of each kind."""
    database = Database(db_url)
    yield database
    database.close()


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return Certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture
async def smtp_server() -> AsyncIterator[StartSmtp]:
    """Starts scripted servers, `await smtp_server(delay=0.1)`: arguments are those of `Manners`."""
    async with AsyncExitStack() as stack:

        async def start(**manners: Any) -> ScriptedServer:
            server = ScriptedServer(Manners(**manners))
            await server.start()
            stack.push_async_callback(server.stop)
            return server

        yield start


@pytest.fixture
async def conforming_smtp_server() -> AsyncIterator[ConformingServer]:
    server = ConformingServer()
    await server.start()
    yield server
    await server.stop()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leaves out what reads the practice data where that is not: a clone has the repository alone.

    Such tests are no skipped ones, which CI forbids: they measure on other people's texts, which we may
    not commit, what tests on our own texts promise.
    """
    if PRACTICE_DATA.is_dir():
        return
    without = [item for item in items if item.get_closest_marker("practice_data")]
    items[:] = [item for item in items if item not in without]
    config.hook.pytest_deselected(items=without)


@pytest.fixture
def relay() -> Iterator[postfix.Postfix]:
    """A real Postfix that delivers to nowhere."""
    with ExitStack() as stack:
        try:
            running = stack.enter_context(postfix.postfix())
        except postfix.CannotStart as error:
            pytest.skip(f"Postfix cannot be started here: {error}")
        yield running


@pytest.hookimpl(tryfirst=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Fails a run in CI that skipped a test: what is not tested there is tested nowhere."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if reporter is None or not os.environ.get("CI") or session.exitstatus != pytest.ExitCode.OK:
        return
    if skipped := len(reporter.stats.get("skipped", ())):
        reporter.write_line(f"\n{skipped} skipped: with CI set, a skipped test is a failure.", red=True)
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
