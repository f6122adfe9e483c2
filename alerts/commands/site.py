"""alerts run, demo, inbox, status and db: the site as a whole."""

from pathlib import Path
from typing import Annotated

import typer

from alerts.commands.context import AsJson, Front, front, plain_errors, say, say_json, say_table
from alerts.roles import ALL, Role

database = typer.Typer(no_args_is_help=True, help="The database: its schema, and the move to PostgreSQL.")


def run(
    context: typer.Context,
    only: Annotated[
        list[Role] | None,
        typer.Option(help="Do this part alone (web, send or poll), on PostgreSQL; may be repeated."),
    ] = None,
) -> None:
    """Run the daemon: poll, announce, send, and serve the pages, until SIGTERM."""
    from alerts import daemon

    with plain_errors():
        daemon.run(front(context).config(), frozenset(only) if only else ALL)


def demo(
    once: Annotated[bool, typer.Option("--once", help="End by itself, and say whether it adds up.")] = False,
    break_: Annotated[
        bool, typer.Option("--break", help="Lose one mail on the way: the account must not add up.")
    ] = False,
    pace: Annotated[
        float, typer.Option(min=0.1, max=100, help="Tell the story this many times faster.")
    ] = 1.0,
    picture: Annotated[Path | None, typer.Option(help="Draw the terminal into this SVG file.")] = None,
) -> None:
    """Run everything on a sample live blog, with an inbox to look into."""
    from alerts.demo.run import Options
    from alerts.demo.run import run as run_demo

    raise typer.Exit(run_demo(Options(once=once, break_=break_, pace=pace, picture=picture)))


def inbox(
    port: Annotated[int, typer.Option(min=0, max=65_535, help="Take mail at this port.")] = 1025,
    web_port: Annotated[int, typer.Option(min=0, max=65_535, help="Show it at this port.")] = 8026,
) -> None:
    """Take mail for anybody, send none on, and show it in a browser: for trying a site out."""
    from alerts.demo import alone

    alone.run(port, web_port)


def status(
    context: typer.Context,
    limit: Annotated[int, typer.Option(min=1, max=1_000, help="How many alerts.")] = 20,
    as_json: AsJson = False,
) -> None:
    """Show how feeds and destinations stand, and the newest alerts with how many mails of each are in which state.

    JSON has the alerts alone: `alerts feeds list --json` has the feeds.
    """
    from alerts.ops import destinations
    from alerts.ops import status as ops

    with front(context).transaction() as session:
        found, feeds = ops.newest(session, limit), ops.feeds(session)
        waiting = destinations.waiting(session)
    if as_json:
        say_json(found)
        return
    counts = ", ".join(f"{count} {state}" for state, count in feeds.states.items())
    say(f"Feeds: {counts or 'none yet'}.")
    for name, need in feeds.needs.items():
        say(f"  look at {name}: {need}")
    for each in waiting:
        if each.retry_at is None:
            say(f"  {each.domain} is served in turns: {each.owed} wait")
        else:
            say(
                f"  look at {each.domain}: stopped by {each.transport} since {each.since:%Y-%m-%d %H:%M:%S}Z, "
                f"{each.owed} wait; tried again at {each.retry_at:%H:%M:%S}Z ({each.code} {each.reason})"
            )
    say("")
    rows = [
        (
            each.id,
            each.lane,
            f"{each.state} ({each.state_reason})" if each.state_reason else each.state,
            each.announced_at,
            ", ".join(f"{count} {state}" for state, count in each.deliveries.items()),
            each.title,
        )
        for each in found
    ]
    say_table(("alert", "lane", "state", "announced", "mails", "entry"), rows, empty="No alerts yet.")


@database.command()
def upgrade(context: typer.Context) -> None:
    """Bring the schema to this version's; needed on PostgreSQL, SQLite does it by itself."""
    from alerts import schema

    site: Front = front(context)
    with site.raw_database() as opened:
        schema.upgrade(opened)
    say("The schema is this version's.")


@database.command()
def rewrite(context: typer.Context) -> None:
    """Clear the database's files of every byte of who was erased; on PostgreSQL its tables are locked meanwhile."""
    from alerts.audience import erasure

    with front(context).database() as opened:
        erasure.rewrite(opened)
    say("The database's tables hold no byte of who was erased.")


@database.command()
def move(
    context: typer.Context,
    url: Annotated[
        str,
        typer.Argument(
            metavar="POSTGRESQL_URL",
            help="An empty database; its password may come from PGPASSWORD or ~/.pgpass.",
        ),
    ],
    undo: Annotated[
        bool, typer.Option("--undo", help="Go back to the file, while nothing has worked in the database.")
    ] = False,
    force: Annotated[
        bool,
        typer.Option(
            "--force", help="With --undo: also if something has; what it mailed may be mailed again."
        ),
    ] = False,
) -> None:
    """Move the site from its SQLite file to PostgreSQL: copy, compare row by row, close the file.

    Stop the daemon first. A move that broke off is run again. Until it ends, the file is the site.
    """
    from alerts.commands import moving

    if force and not undo:
        raise typer.BadParameter("--force belongs to --undo.")
    moving.undo(front(context), url, by_force=force) if undo else moving.move(front(context), url)
