"""alerts config: what is set, and what of it goes into the database."""

from typing import Any

import typer

from alerts.commands.context import AsJson, front, now, say, say_json

app = typer.Typer(no_args_is_help=True, help="What is set in config.toml and the environment.")


@app.command()
def check(context: typer.Context) -> None:
    """Read the configuration, and say what is wrong with it."""
    from alerts.config import doubts

    site = front(context)
    config = site.config()
    say(
        f"{site.path or 'The built-in defaults'}: right; "
        f"{len(config.feed)} feeds and {len(config.topic)} topics are declared."
    )
    for doubt in doubts(config):
        say(f"but {doubt}")


@app.command()
def show(context: typer.Context, as_json: AsJson = False) -> None:
    """Show each setting as it stands; secrets are (set) or (not set)."""
    from alerts.config import shown

    settings = shown(front(context).config())
    if as_json:
        say_json(settings)
        return
    for line in _lines("", settings):
        say(line)


@app.command("apply")
def apply_(context: typer.Context) -> None:
    """Put the declared feeds and topics into the database; pause those that vanished."""
    from alerts.declared import declare

    site = front(context)
    config = site.config()
    with site.transaction() as session:
        done = declare(session, config, now())
    for kind, names in done.changes():
        say(f"{kind}: {', '.join(names)}")
    if not done.changes():
        say("Nothing to change.")


def _lines(place: str, value: Any) -> list[str]:
    """Gives `place = value` for each setting below a place."""
    if isinstance(value, dict):
        return [
            line for key, each in value.items() for line in _lines(f"{place}.{key}" if place else key, each)
        ]
    if isinstance(value, list) and value and isinstance(value[0], dict):
        named = [(each.get("name") or each.get("slug"), each) for each in value]
        return [line for name, each in named for line in _lines(f"{place}.{name}", each)]
    return [f"{place} = {_written(value)}"]


def _written(value: Any) -> str:
    import json

    return value if value in ("(set)", "(not set)") else json.dumps(value, ensure_ascii=False)
