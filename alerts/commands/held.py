"""alerts held: what waits for its hold time or for a person, and the person's word."""

from typing import Annotated

import typer

from alerts.commands.context import AsJson, by, front, now, say, say_json, say_table

app = typer.Typer(no_args_is_help=True, help="Alerts that wait for their hold time or for a person.")

AlertId = Annotated[int, typer.Argument(metavar="ALERT", help="The alert's number, from `alerts held list`.")]


@app.command("list")
def list_(context: typer.Context, as_json: AsJson = False) -> None:
    """List held alerts, the oldest first."""
    from alerts.ops import status

    with front(context).transaction() as session:
        found = status.held(session)
    if as_json:
        say_json(found)
        return
    rows = [(each.id, each.lane, each.state_reason, each.announced_at, each.title) for each in found]
    say_table(("alert", "lane", "why", "announced", "entry"), rows, empty="Nothing is held.")


@app.command()
def release(context: typer.Context, alert: AlertId) -> None:
    """Let a held alert go out now, with the newest text of its entry."""
    from alerts.dispatch.announce import release_alert

    with front(context).transaction() as session:
        release_alert(session, alert, by(), now())
    say(f"Alert {alert} goes out.")


@app.command()
def cancel(context: typer.Context, alert: AlertId) -> None:
    """End a held alert: nobody is mailed."""
    from alerts.dispatch.announce import cancel_alert

    with front(context).transaction() as session:
        cancel_alert(session, alert, by(), now())
    say(f"Alert {alert} is cancelled; nobody is mailed.")
