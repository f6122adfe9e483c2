"""alerts smtp: what a mail server's replies mean."""

import sys
from typing import Annotated

import typer

from alerts.commands.context import AsJson, say, say_json_line
from alerts.errors import Refused

app = typer.Typer(no_args_is_help=True, help="What a mail server's replies mean.")


@app.command()
def classify(
    reply: Annotated[str | None, typer.Argument(help='One reply, as in "550 5.1.1 unknown user".')] = None,
    as_json: AsJson = False,
) -> None:
    """Judge a reply, or one a line from standard input; needs no configuration."""
    from alerts.mail import replies

    if reply is None and sys.stdin.isatty():
        raise Refused('Write a reply, as in: alerts smtp classify "550 5.1.1 unknown user"')
    lines = [reply] if reply is not None else (line.decode("utf-8", "replace") for line in sys.stdin.buffer)
    for line in lines:
        found = replies.classify(line.rstrip("\r\n"))
        if as_json:
            say_json_line({"verdict": str(found.verdict), "why": found.why})
        else:
            say(f"{found.verdict}: {found.why}")
