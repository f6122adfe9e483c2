"""alerts entries, preview and explain: what was seen, what its mail looks like, who got it and why."""

from pathlib import Path
from typing import Annotated

import typer

from alerts.commands.context import AsJson, by, front, now, say, say_facts, say_json, say_table

app = typer.Typer(no_args_is_help=True, help="What was seen in the feeds.")

EntryId = Annotated[
    int, typer.Argument(metavar="ENTRY", help="The entry's number, from `alerts entries list`.")
]


@app.command("list")
def list_(
    context: typer.Context,
    feed: Annotated[str | None, typer.Option(help="Only entries of this feed.")] = None,
    before: Annotated[int | None, typer.Option(help="Start before this entry.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="How many at most.")] = 50,
    as_json: AsJson = False,
) -> None:
    """List entries, the newest first."""
    from alerts.ops import entries

    with front(context).transaction() as session:
        found = entries.list_page(session, feed=feed, before=before, limit=limit)
    if as_json:
        say_json(found)
        return
    rows = [(each.id, each.feed, each.first_seen_at, _kind(each.is_key_event), each.title) for each in found]
    say_table(("entry", "feed", "first seen", "key event", "title"), rows, empty="No entries yet.")
    if len(found) == limit:
        say(f"More with: --before {found[-1].id}")


@app.command()
def show(context: typer.Context, entry: EntryId, as_json: AsJson = False) -> None:
    """Show one entry with its texts."""
    from alerts.ops import entries

    with front(context).transaction() as session:
        found = entries.show(session, entry)
    if as_json:
        say_json(found)
        return
    summary = found.summary
    say_facts(
        [
            ("entry", summary.id),
            ("feed", summary.feed),
            ("key", found.key),
            ("first seen", summary.first_seen_at),
            (
                "key event",
                f"{_kind(summary.is_key_event)} {found.key_event_by and f'({found.key_event_by})'}",
            ),
            ("baseline", summary.is_baseline),
            ("alert", summary.first_alert_id),
            *[
                ("also reported by", f"{each.source}, entry {each.entry_id}: {each.title}")
                for each in found.also_reported
            ],
        ]
    )
    for each in found.revisions:
        say("")
        say_facts(
            [
                (f"revision {each.number}", each.seen_at),
                ("title", each.title),
                ("author", each.author),
                ("published", each.published_at),
                ("url", each.url),
                ("text", each.text),
            ]
        )


@app.command()
def flash(context: typer.Context, entry: EntryId) -> None:
    """Mark an entry as a key event: flash readers get it who were not served yet."""
    from alerts.ops import entries

    with front(context).transaction() as session:
        alert = entries.flash(session, entry, by(), now())
    say(f"Entry {entry} is a key event; " + (f"alert {alert} carries it." if alert else "no topic wants it."))


def preview(
    context: typer.Context,
    entry: EntryId,
    out: Annotated[Path, typer.Option(help="The folder for the files.")] = Path(),
) -> None:
    """Write an entry's mail as .eml and .html, sending nothing."""
    from alerts.config import signers, site_view, template_folders
    from alerts.dispatch.preview import preview as made
    from alerts.errors import Unavailable
    from alerts.mail.render import Renderer

    site = front(context)
    config = site.config()
    view = site_view(config)
    renderer = Renderer(view, template_folders(config))
    with site.transaction() as session:
        mail = made(session, entry, renderer, view, now(), signers(config))
    files = (out / f"entry-{entry}.eml", out / f"entry-{entry}.html")
    try:
        out.mkdir(parents=True, exist_ok=True)
        files[0].write_bytes(mail.eml)
        files[1].write_text(mail.html, encoding="utf-8")
    except OSError as error:
        raise Unavailable(
            f"{out} cannot be written ({error.strerror}): name another folder with --out."
        ) from None
    say(f"Wrote {files[0]} and {files[1].name}.")


def explain(
    context: typer.Context,
    address: Annotated[str, typer.Argument(help="The reader's address.")],
    entry: EntryId,
    as_json: AsJson = False,
) -> None:
    """Tell from the ledger what became of an entry for a reader, and why."""
    from alerts.audience.addresses import normalise
    from alerts.db import clock
    from alerts.dispatch.explain import explain as explained

    key = normalise(address).key
    with front(context).transaction() as session:
        found = explained(session, key, entry, clock(session))
    if as_json:
        say_json(found.as_json())
        return
    for line in found.lines():
        say(line)


def _kind(is_key_event: bool | None) -> str:
    return {True: "yes", False: "no", None: "unknown"}[is_key_event]
