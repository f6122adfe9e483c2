"""alerts destinations: what is stopped or waited for, and a person's word that it may be tried again."""

from typing import Annotated

import typer

from alerts.commands.context import AsJson, by, front, now, say, say_json, say_table
from alerts.errors import Refused

app = typer.Typer(no_args_is_help=True, help="Domains that refuse us, or that take their mail slowly.")


@app.command("list")
def list_(context: typer.Context, as_json: AsJson = False) -> None:
    """List the destinations that are stopped, and those whose readers wait for their turn."""
    from alerts.ops import destinations

    with front(context).transaction() as session:
        found = destinations.waiting(session)
    if as_json:
        say_json(found)
        return
    rows = [
        (
            each.domain,
            each.state,
            each.transport,
            each.since,
            each.retry_at,
            each.owed,
            " ".join(filter(None, [each.reason, str(each.code or ""), each.reply])),
        )
        for each in found
    ]
    columns = ("domain", "state", "transport", "since", "tries again", "wait", "why")
    say_table(columns, rows, empty="Nothing is stopped, and nobody waits.")


@app.command()
def resume(
    context: typer.Context,
    domain: Annotated[str, typer.Argument(help="The domain; none with --transport: all of its mail.")] = "",
    transport: Annotated[str, typer.Option(help="By this transport alone.")] = "",
) -> None:
    """Let mail go to a stopped destination again, at once; five faults in a row stop it again."""
    from alerts.ops import destinations

    if not domain and not transport:
        raise Refused("Write the domain, as in: alerts destinations resume mail.example")
    with front(context).transaction() as session:
        destinations.resume(session, domain.lower(), transport, by(), now())
    say(f"Mail goes to {domain or 'all domains'} again.")
