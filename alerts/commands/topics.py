"""alerts topics: what readers can follow."""

from typing import Annotated

import typer

from alerts.commands.context import AsJson, by, front, now, say, say_facts, say_json, say_table

app = typer.Typer(no_args_is_help=True, help="What readers can follow.")

Slug = Annotated[str, typer.Argument(help="The topic's short name.")]


@app.command()
def add(
    context: typer.Context,
    slug: Slug,
    title: Annotated[str, typer.Option(help="The name readers see; the short name when not given.")] = "",
    description: Annotated[str, typer.Option(help="One sentence for readers.")] = "",
    feed: Annotated[
        list[str] | None, typer.Option(help="Only entries of this feed; may be repeated.")
    ] = None,
    key_events_only: Annotated[bool, typer.Option("--key-events-only", help="Key events only.")] = False,
    word: Annotated[
        list[str] | None,
        typer.Option(help="Only entries with one of these words or phrases; may be repeated."),
    ] = None,
    without: Annotated[
        list[str] | None, typer.Option(help="No entries with this word or phrase; may be repeated.")
    ] = None,
) -> None:
    """Add a topic: all entries, unless options narrow it."""
    from alerts.audience import topics

    rule = topics.Rule(tuple(feed or ()), key_events_only, tuple(word or ()), tuple(without or ()))
    with front(context).transaction() as session:
        topics.add(session, topics.TopicDraft(slug, title or slug, description, rule), by(), now())
    say(f"Added the topic {slug}.")


@app.command("list")
def list_(context: typer.Context, as_json: AsJson = False) -> None:
    """List the topics."""
    from alerts.audience import topics

    with front(context).transaction() as session:
        found = topics.list_topics(session)
    if as_json:
        say_json(found)
        return
    rows = [
        (each.slug, each.title, "active" if each.is_active else "paused", each.followers) for each in found
    ]
    say_table(("topic", "title", "state", "readers"), rows, empty="No topics yet: `alerts topics add SLUG`.")


@app.command()
def show(context: typer.Context, slug: Slug, as_json: AsJson = False) -> None:
    """Show one topic with its rule."""
    from alerts.audience import topics

    with front(context).transaction() as session:
        found = topics.show(session, slug)
    if as_json:
        say_json(found)
        return
    say_facts(
        [
            ("topic", found.slug),
            ("title", found.title),
            ("description", found.description),
            ("state", "active" if found.is_active else "paused"),
            ("declared in config.toml", found.from_config),
            ("feeds", found.rule.feeds or "every feed"),
            ("key events only", found.rule.key_events_only),
            ("with one of", found.rule.words_in),
            ("without", found.rule.words_out),
            ("readers", found.followers),
        ]
    )


@app.command()
def pause(context: typer.Context, slug: Slug) -> None:
    """Let no new entry belong to a topic; readers keep their choice."""
    from alerts.audience import topics

    with front(context).transaction() as session:
        topics.pause(session, slug, by(), now())
    say(f"Paused the topic {slug}.")


@app.command()
def resume(context: typer.Context, slug: Slug) -> None:
    """Take a paused topic up again."""
    from alerts.audience import topics

    with front(context).transaction() as session:
        topics.resume(session, slug, by(), now())
    say(f"Resumed the topic {slug}.")


@app.command()
def remove(context: typer.Context, slug: Slug) -> None:
    """Delete a topic that nobody ever followed."""
    from alerts.audience import topics

    with front(context).transaction() as session:
        topics.remove(session, slug, by(), now())
    say(f"Removed the topic {slug}.")
