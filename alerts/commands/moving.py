"""alerts db move: what its operator sees of a move, and is told to write down."""

import json
import secrets
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError

from alerts.commands.context import Front, say, say_table
from alerts.config import Config, keys
from alerts.db import Database
from alerts.dispatch.journal import Journals
from alerts.errors import Conflict, Refused
from alerts.ops import move as ops
from alerts.ops.tables import Advance


def move(site: Front, text: str) -> None:
    """Moves the site, shows how far it is, and says what is to be set from now on."""
    config, url = site.config(), _postgresql(text)
    with (
        _both(site, url) as (file, target),
        Journals(config.state_dir / "journal", f"move-{secrets.token_hex(8)}") as journals,
        _bars() as bars,
    ):
        moved = ops.move(file, target, journals, keys(config), partial(_watch, bars))
    if moved.tables:
        rows = [(each.table, each.rows, each.digest) for each in moved.tables]
        say_table(("table", "rows", "same on both sides"), rows, empty="")
        say("")
    say(f"The site is at {moved.place}; {file.url.database} is closed.")
    say("Write into config.toml, or the same into the environment:")
    say("")
    for line in _lines(config, url):
        say(line)


def undo(site: Front, text: str, *, by_force: bool) -> None:
    """Makes the file the site again."""
    url = _postgresql(text)
    with _both(site, url) as (file, target), _bars() as bars:
        if by_force:
            ops.undo_by_force(file, url)
        else:
            ops.undo(file, target, partial(_watch, bars))
    say(f"{file.url.database} is the site again.")


def _postgresql(text: str) -> URL:
    try:
        url = make_url(text)
    except ArgumentError:
        url = None
    if url is None or url.get_backend_name() != "postgresql" or not url.database:
        raise Refused('Write the database as "postgresql://user:password@host/database".')
    return url


@contextmanager
def _both(site: Front, url: URL) -> Iterator[tuple[Database, Database]]:
    with site.raw_database() as file:
        if not file.is_sqlite:
            raise Conflict(
                "The site is on PostgreSQL already. To finish or to undo a move, set database.url to the SQLite file."
            )
        target = Database(url.render_as_string(hide_password=False))
        try:
            yield file, target
        finally:
            target.close()


@contextmanager
def _bars() -> Iterator[Progress]:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    is_seen = sys.stderr.isatty()
    with Progress(*columns, console=Console(stderr=True), transient=True, disable=not is_seen) as bars:
        yield bars


def _watch(bars: Progress, what: str, table: str, rows: int) -> Advance:
    return partial(bars.advance, bars.add_task(f"{what} {table}", total=rows))


def _lines(config: Config, url: URL) -> Iterator[str]:
    """Gives the settings of the site from now on; of its password only that there is one."""
    if not config.secret.get_secret_value():
        secret = config.state_dir.absolute() / "secret.key"
        yield f"secret_file = {json.dumps(str(secret))}  # at the top; the same for all daemons"
        yield ""
    shown = make_url(ops.place_of(url))
    if url.password or "password" in url.query:
        shown = shown.set(password="PASSWORD")  # noqa: S106 - a word in its place
    yield "[database]"
    yield f"url = {json.dumps(shown.render_as_string(hide_password=False))}"
