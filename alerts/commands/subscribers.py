"""alerts subscribers: who reads what."""

import csv
import json
import sys
from collections.abc import Callable
from dataclasses import fields
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from alerts.commands import lists
from alerts.commands.context import AsJson, by, front, now, say, say_facts, say_json, say_json_line, say_table
from alerts.errors import Refused

if TYPE_CHECKING:
    from alerts.audience.subscribers import SubscriberView

app = typer.Typer(no_args_is_help=True, help="Who reads what.")
app.command("import")(lists.import_)
app.command()(lists.imports)
app.command()(lists.export)
app.command()(lists.data)

Address = Annotated[str, typer.Argument(metavar="ADDRESS", help="The reader's address.")]
TopicName = Annotated[str, typer.Argument(help="The topic's short name.")]
Frequency = Annotated[
    Literal["flash", "every", "hourly", "daily", "weekly"],
    typer.Option(help="flash: key events only; every: each entry; the others: digests."),
]


@app.command()
def add(
    context: typer.Context,
    address: Annotated[str | None, typer.Argument(help="The reader's address.")] = None,
    topic: Annotated[list[str] | None, typer.Option(help="Follow this topic; may be repeated.")] = None,
    frequency: Frequency = "every",
    language: Annotated[str, typer.Option(help="The language of new readers, when not the site's.")] = "",
    stdin: Annotated[
        bool, typer.Option("--stdin", help="Read one address a line from standard input.")
    ] = False,
) -> None:
    """Sign a reader up, or many at once; who is known already only follows what is new."""
    from alerts import models
    from alerts.audience import imports
    from alerts.audience.addresses import normalise

    if (address is not None) is stdin:
        raise Refused("Write one address, or --stdin and one address a line on standard input.")
    given = (
        imports.blocks(sys.stdin.buffer) if address is None else [imports.Block((normalise(address),), ())]
    )
    site = front(context)
    pepper, language = site.pepper(), language or site.config().site.language
    total, new, suppressed, bad = 0, 0, 0, 0
    with site.database() as database:
        for block in given:
            with database.begin() as session:
                signed = imports.sign_up(
                    session,
                    pepper,
                    block.addresses,
                    tuple(topic or ()),
                    models.Frequency(frequency),
                    language=language,
                    by=by(),
                    now=now(),
                )
            total, new, suppressed = total + len(signed.ids), new + signed.new, suppressed + signed.suppressed
            bad += len(block.bad)
            for each in block.bad:
                sys.stderr.write(f"alerts: line {each.line}: {each.why}\n")
    stopped = f"; {suppressed} suppressed, who get no mail" if suppressed else ""
    say(f"{new} new of {total} readers{stopped}.")
    if bad:
        raise Refused(f"{bad} lines were left out; all others are signed up.")


@app.command("list")
def list_(
    context: typer.Context,
    topic: Annotated[str | None, typer.Option(help="Only those who follow this topic.")] = None,
    after: Annotated[int, typer.Option(help="Start after this subscriber id.")] = 0,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="How many at most.")] = 100,
    as_json: AsJson = False,
) -> None:
    """List subscribers, a page at a time."""
    from alerts.audience import subscribers

    with front(context).transaction() as session:
        found = subscribers.list_page(session, after=after, limit=limit, topic=topic)
    if as_json:
        say_json(found)
        return
    rows = [(each.id, each.address, _standing(each), _follows(each)) for each in found]
    say_table(("id", "address", "state", "follows"), rows, empty="No subscribers here.")
    if len(found) == limit:
        say(f"More with: --after {found[-1].id}")


@app.command()
def show(context: typer.Context, address: Address, as_json: AsJson = False) -> None:
    """Show one subscriber and all they follow or followed."""
    from alerts.audience import subscribers

    with front(context).transaction() as session:
        found = subscribers.show(session, subscribers.find(session, address))
    if as_json:
        say_json(found)
        return
    say_facts(
        [
            ("subscriber", found.id),
            ("address", found.address),
            ("language", found.language),
            ("state", _standing(found)),
            ("signed up", found.created_at),
        ]
    )
    rows = [(each.topic, each.frequency, each.since, each.until) for each in found.following]
    say_table(("topic", "frequency", "since", "until"), rows, empty="Follows nothing.")


@app.command()
def follow(
    context: typer.Context,
    address: Address,
    topic: TopicName,
    frequency: Frequency = "every",
) -> None:
    """Make a reader follow a topic, or change how often."""
    from alerts import models
    from alerts.audience import subscribers

    with front(context).transaction() as session:
        reader = subscribers.find(session, address)
        subscribers.follow(session, reader, topic, models.Frequency(frequency), by=by(), now=now())
    say(f"Subscriber {reader} follows {topic} ({frequency}).")


@app.command()
def unsubscribe(
    context: typer.Context,
    address: Address,
    topic: Annotated[str | None, typer.Option(help="Leave this topic only; all when not given.")] = None,
) -> None:
    """End one subscription of a reader, or all."""
    from alerts.audience import subscribers

    with front(context).transaction() as session:
        reader = subscribers.find(session, address)
        ended = subscribers.unsubscribe(session, reader, topic, by=by(), now=now())
    say(f"Subscriber {reader}: {ended} subscriptions ended.")


@app.command()
def suppress(
    context: typer.Context,
    address: Address,
    cause: Annotated[str, typer.Option(help="Why, in a word or two.")] = "operator",
    evidence: Annotated[str, typer.Option(help="Where that is written down; no personal data.")] = "",
    undo: Annotated[bool, typer.Option("--undo", help="Let the address be mailed again.")] = False,
) -> None:
    """Stop all mail to an address, known or not, whatever it signs up for."""
    from alerts.audience import suppressions
    from alerts.audience.addresses import normalise

    site = front(context)
    key, pepper = normalise(address).key, site.pepper()
    with site.transaction() as session:
        if undo:
            was = suppressions.release(session, pepper, key, by=by(), now=now())
            answer = "The address may be mailed again." if was else "The address was not suppressed."
        else:
            is_new = suppressions.suppress(
                session, pepper, key, cause=cause, evidence=evidence, origin=by(), now=now()
            )
            answer = "The address gets no mail any more." if is_new else "The address was suppressed already."
    say(answer)


@app.command()
def consents(
    context: typer.Context,
    address: Annotated[
        str | None, typer.Argument(metavar="ADDRESS", help="The reader's address, if not --all.")
    ] = None,
    all_: Annotated[bool, typer.Option("--all", help="Those of all readers.")] = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print CSV instead of JSON, a line each.")] = False,
) -> None:
    """Print what readers agreed to, when and where, with the words they saw: a line of JSON each."""
    from alerts.audience import consents as proofs
    from alerts.audience import subscribers

    if (address is not None) is all_:
        raise Refused("Write one address, or --all.")
    say = _csv_lines(proofs.ConsentView) if as_csv else say_json_line
    with front(context).database() as database:
        if address is not None:
            with database.begin() as session:
                found = proofs.of_reader(session, subscribers.find(session, address))
            for each in found:
                say(each)
            return
        after = 0
        while True:
            with database.begin() as session:  # short ones, beside a daemon that works
                found = proofs.page(session, after)
            if not found:
                return
            for each in found:
                say(each)
            after = found[-1].id


@app.command()
def erase(context: typer.Context, address: Address) -> None:
    """Forget who a reader was; a suppression stays known by its hash."""
    from alerts.audience import erasure, subscribers

    with front(context).database() as database:
        with database.begin() as session:
            reader = subscribers.find(session, address)
            subscribers.erase(session, reader, by=by(), now=now())
        is_finished = erasure.finish(database)
    say(f"Subscriber {reader} is erased.")
    if not is_finished:
        say(
            "The database is busy: the daemon clears its files as soon as it can, or `alerts db rewrite` does."
        )


def _csv_lines(kind: type) -> Callable[[Any], object]:
    """Gives a function that prints a value as a line of CSV, below a heading that is printed now."""
    from alerts.audience.lists.cells import guarded

    writer = csv.writer(sys.stdout)
    writer.writerow(each.name for each in fields(kind))

    def write(value: Any) -> None:
        cells = (getattr(value, each.name) for each in fields(kind))
        writer.writerow(
            guarded(json.dumps(cell) if isinstance(cell, dict) else str("" if cell is None else cell))
            for cell in cells
        )

    return write


def _standing(reader: "SubscriberView") -> str:
    return f"suppressed: {reader.suppressed}" if reader.suppressed else reader.state


def _follows(reader: "SubscriberView") -> str:
    return ", ".join(f"{each.topic} ({each.frequency})" for each in reader.following if each.until is None)
