"""The command line: what commands there are, and how an error ends one."""

import gc
import io
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from alerts import __version__
from alerts.commands import (
    configuration,
    destinations,
    dkim,
    entries,
    feeds,
    held,
    mail,
    site,
    subscribers,
    topics,
)
from alerts.commands.context import Front
from alerts.errors import AlertsError

_OBJECTS_BETWEEN_COLLECTIONS = 10_000

app = typer.Typer(
    name="alerts",
    no_args_is_help=True,
    help="Breaking-news email alerts from live blogs.",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command()(site.run)
app.command()(site.demo)
app.command()(site.inbox)
app.command()(site.status)
app.add_typer(configuration.app, name="config")
app.add_typer(site.database, name="db")
app.add_typer(feeds.app, name="feeds")
app.add_typer(entries.app, name="entries")
app.add_typer(held.app, name="held")
app.add_typer(destinations.app, name="destinations")
app.add_typer(topics.app, name="topics")
app.add_typer(subscribers.app, name="subscribers")
app.command()(entries.preview)
app.command()(entries.explain)
app.add_typer(mail.app, name="smtp")
app.add_typer(dkim.app, name="dkim")


def _print_version(is_asked: bool) -> None:
    if is_asked:
        sys.stdout.write(f"alerts {__version__}\n")
        raise typer.Exit


@app.callback()
def _options(
    context: typer.Context,
    config: Annotated[
        Path | None,
        typer.Option(
            envvar="ALERTS_CONFIG", help="The configuration file; ./config.toml, else the built-in defaults."
        ),
    ] = None,
    _version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    context.obj = Front(config)


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs one command and exits: 0, or the error's code with one clear line on standard error."""
    # Modules are made of what lives for ever: Python would look through it for garbage a thousand times at the start.
    gc.set_threshold(_OBJECTS_BETWEEN_COLLECTIONS)
    if isinstance(sys.stdout, io.TextIOWrapper):  # a feed may hold what the terminal's encoding does not
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        app(args=None if arguments is None else list(arguments))
    except AlertsError as error:
        for line in str(error).splitlines():
            sys.stderr.write(f"alerts: {line}\n")
        sys.exit(error.exit_code)
    except BrokenPipeError:  # the reader of our output left; Python would complain again at exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)


if __name__ == "__main__":
    main()
