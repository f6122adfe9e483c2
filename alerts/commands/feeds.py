"""alerts feeds: the live blogs that are watched."""

import asyncio
import mimetypes
import re
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated
from urllib.parse import urlsplit

import typer

from alerts.commands.context import AsJson, by, front, now, say, say_facts, say_json, say_table
from alerts.errors import FetchFailed, NotAFeed

if TYPE_CHECKING:
    from alerts.config import PollingConfig
    from alerts.feeds.check import CheckReport
    from alerts.feeds.formats import ParsedFeed
    from alerts.feeds.push.store import PushView

app = typer.Typer(no_args_is_help=True, help="The live blogs that are watched.")

Name = Annotated[str, typer.Argument(help="The feed's short name.")]

_SHOWN_LETTERS = 60  # of an entry's words, in the list of a check
_LONGEST_NAME = 63


@app.command()
def check(
    context: typer.Context,
    place: Annotated[str, typer.Argument(metavar="URL|FILE", help="The page or feed, or a file with one.")],
    as_json: AsJson = False,
) -> None:
    """Show what would be read from a page or feed; needs no configuration, and uses the polling section of one that is there."""
    from alerts.feeds.check import report as report_of

    try:
        report = report_of(asyncio.run(_read(context, place)))
    except (NotAFeed, FetchFailed) as error:
        if as_json:
            say_json({"error": str(error)})
            raise typer.Exit(error.exit_code) from None
        raise
    if as_json:
        say_json(report.as_json())
    else:
        _print(report)


@app.command()
def add(
    context: typer.Context,
    url: Annotated[str, typer.Argument(help="The live blog's page, or its RSS, Atom or JSON feed.")],
    name: Annotated[str, typer.Option(help="Its short name; made from the URL when not given.")] = "",
    interval: Annotated[float, typer.Option(min=1, help="Look for news every so many seconds.")] = 20,
    ttl: Annotated[float, typer.Option(min=1, help="Mail no entry first seen more seconds ago.")] = 3600,
    hold: Annotated[float, typer.Option(min=0, help="Wait so many seconds before an entry goes out.")] = 0,
    approval: Annotated[bool, typer.Option("--approval", help="A person releases each alert.")] = False,
    flood_limit: Annotated[int, typer.Option(min=1, help="Hold more new entries than this at once.")] = 20,
    key_word: Annotated[
        list[str] | None, typer.Option(help="An entry with this word is a key event; may be repeated.")
    ] = None,
    ignore_robots: Annotated[
        bool, typer.Option("--ignore-robots", help="Fetch the page though its site's robots.txt says no.")
    ] = False,
    no_push: Annotated[
        bool, typer.Option("--no-push", help="Only poll, whatever hub the feed names.")
    ] = False,
    no_follow: Annotated[
        bool,
        typer.Option("--no-follow", help="Stay on this page, also when it says that it goes on elsewhere."),
    ] = False,
) -> None:
    """Add a feed. What it holds already is known, not news: mail begins with the next entry."""
    from alerts.feeds import catalog

    draft = catalog.FeedDraft(
        name=name or _name_from(url),
        url=url,
        interval=timedelta(seconds=interval),
        ttl=timedelta(seconds=ttl),
        hold=timedelta(seconds=hold),
        approval=approval,
        flood_limit=flood_limit,
        key_words=tuple(key_word or ()),
        obey_robots=not ignore_robots,
        use_push=not no_push,
        follow_moves=not no_follow,
    )
    with front(context).transaction() as session:
        catalog.add(session, draft, by(), now())
    say(f"Added the feed {draft.name}.")


@app.command("list")
def list_(context: typer.Context, as_json: AsJson = False) -> None:
    """List the feeds: how each fares, when it is polled next, and why then."""
    from alerts.feeds import catalog
    from alerts.feeds.schedule import words

    with front(context).transaction() as session:
        found = catalog.list_feeds(session)
    if as_json:
        say_json(found)
        return
    at = now()
    rows = [
        (
            each.draft.name,
            each.state,
            each.health,
            each.changed_at and f"{words(at - each.changed_at)} ago",
            each.next_poll_at
            and (f"in {words(each.next_poll_at - at)}" if each.next_poll_at > at else "now"),
            each.needs or each.last_error or each.poll_reason,
        )
        for each in found
    ]
    say_table(
        ("feed", "state", "health", "changed", "next poll", "why"),
        rows,
        empty="No feeds yet: `alerts feeds add URL`, or declare them in config.toml.",
    )


@app.command()
def show(context: typer.Context, name: Name, as_json: AsJson = False) -> None:
    """Show one feed: its policy, and how it fares."""
    from alerts.feeds import catalog

    with front(context).transaction() as session:
        found = catalog.show(session, name)
    if as_json:
        say_json(found)
        return
    policy = found.draft
    say_facts(
        [
            ("feed", policy.name),
            ("title", found.title),
            ("url", policy.url),
            ("polled at", found.url if found.url != policy.url else ""),
            ("state", f"{found.state} ({found.state_reason})" if found.state_reason else found.state),
            ("declared in config.toml", found.from_config),
            ("format", found.format),
            ("entries", found.entries),
            ("entries held", found.held_entries),
            ("told apart by", found.identity and f"{found.identity} ({found.identity_health})"),
            ("health", found.health),
            ("look at", found.needs),
            ("followed", found.is_followed),
            ("polled", found.polled_at),
            ("read whole", found.read_whole_at),
            ("changed", found.changed_at),
            ("next poll", found.next_poll_at),
            ("because", found.poll_reason),
            ("failures in a row", found.failures),
            ("failing since", found.failing_since),
            ("last error", found.last_error),
            *_push_facts(found.push),
            ("coverage to", found.coverage_end),
            ("ended", found.ended_at),
            ("continues at", found.continues_at),
            ("moves to", found.moved_to and f"{found.moved_to} (seen {found.moved_seen} times in a row)"),
            ("publisher asks for", found.refresh),
            ("interval", policy.interval),
            ("time to live", policy.ttl),
            ("hold", policy.hold),
            ("approval", policy.approval),
            ("in doubt", policy.in_doubt),
            ("flood limit", policy.flood_limit),
            ("key words", policy.key_words),
            ("obeys robots.txt", policy.obey_robots),
            ("takes pushes", policy.use_push),
            ("follows moves", policy.follow_moves),
        ]
    )


@app.command()
def pause(context: typer.Context, name: Name) -> None:
    """Stop polling a feed; what it has announced goes on."""
    from alerts.feeds import catalog

    with front(context).transaction() as session:
        catalog.pause(session, name, by(), now())
    say(f"Paused the feed {name}.")


@app.command()
def poll(context: typer.Context, name: Name) -> None:
    """Have a feed polled at once by the daemon, and its page read whole."""
    from alerts.feeds import catalog

    with front(context).transaction() as session:
        catalog.poll_now(session, name, by(), now())
    say(f"The feed {name} is due now.")


@app.command()
def resume(context: typer.Context, name: Name) -> None:
    """Poll a feed again that was paused, gone or resting."""
    from alerts.feeds import catalog

    with front(context).transaction() as session:
        catalog.resume(session, name, by(), now())
    say(f"Resumed the feed {name}.")


@app.command()
def release(
    context: typer.Context,
    name: Name,
    skip: Annotated[bool, typer.Option("--skip", help="Mail nobody what has waited.")] = False,
) -> None:
    """End the hold of the flood guard, and announce what has waited."""
    from alerts.feeds import catalog

    with front(context).transaction() as session:
        waited = catalog.release(session, name, by(), now(), skip=skip)
    say(f"Released the feed {name}; {waited} entries had waited{', and are skipped' if skip else ''}.")


@app.command()
def remove(context: typer.Context, name: Name) -> None:
    """Take a feed and its entries away; one whose entries were mailed is kept, and only paused."""
    from alerts.feeds import catalog

    with front(context).transaction() as session:
        is_gone = catalog.remove(session, name, by(), now())
    say(
        f"Removed the feed {name}."
        if is_gone
        else f"The feed {name} is paused; its rows stay, because mails carried its entries."
    )


def _push_facts(push: "PushView | None") -> "list[tuple[str, object]]":
    if push is None:
        return []
    return [
        ("push", push.state),
        ("hub", push.hub),
        ("topic", push.topic),
        ("pushes until", push.lease_until),
        ("last push", push.pushed_at),
        ("pushes discarded", push.discarded or ""),
        ("push error", push.last_error),
        ("hub is asked again", push.next_request_at),
    ]


def _name_from(url: str) -> str:
    """Makes a short name of a URL: its host and the end of its path."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return "feed"
    words = [parts.hostname or "", *parts.path.split("/")[-1:]]
    name = re.sub(r"[^a-z0-9]+", "-", " ".join(words).lower().removeprefix("www."))
    return name.strip("-")[:_LONGEST_NAME].strip("-") or "feed"


async def _read(context: typer.Context, place: str) -> "ParsedFeed":
    """Reads a document from the web or from a file as the daemon would: apart, and not for ever."""
    from alerts.config import PollingConfig
    from alerts.fetching import readers

    if place.lower().startswith(("http://", "https://")):
        polling = front(context).config().polling
        document = await _fetched(place, polling)
    else:
        polling = PollingConfig()
        document = _from_file(Path(place), polling.body_limit)
    async with readers(polling) as reads:
        return await reads.read(*document)


def _from_file(path: Path, limit: int) -> tuple[bytes, str, str]:
    """Gives a document's bytes, its address, which is unknown, and its content type."""
    try:
        with path.open("rb") as file:
            body = file.read(limit + 1)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "no file name"
        raise NotAFeed(
            f"The file cannot be read ({reason}): write its path, or an http or https URL."
        ) from None
    if len(body) > limit:
        raise NotAFeed(f"The file is larger than {limit:,} bytes.")
    return body, "", mimetypes.guess_type(path.name)[0] or ""


async def _fetched(url: str, polling: "PollingConfig") -> tuple[bytes, str, str]:
    from alerts.feeds.fetch import Page
    from alerts.fetching import fetcher

    async with fetcher(polling) as fetches:
        page = await fetches.get(url, now=now())
    assert isinstance(page, Page), "asked for without validators"
    return page.body, page.url, page.content_type


def _print(report: "CheckReport") -> None:
    feed = report.feed
    say_facts(
        [
            ("format", feed.format),
            ("live blog", feed.is_live_blog),
            ("title", feed.title),
            ("url", feed.url),
            ("coverage from", feed.coverage_start),
            ("coverage to", feed.coverage_end),
            ("entries are told apart by", f"{report.identity.rule} ({report.identity.health})"),
            ("because", report.identity.why),
        ]
    )
    for warning in report.warnings:
        say(f"warning: {warning}")
    rows = []
    for each in report.entries:
        words = each.entry.title or each.entry.text
        shown = words if len(words) <= _SHOWN_LETTERS else f"{words[:_SHOWN_LETTERS].rstrip()}..."
        rows.append((each.entry.published_at, each.entry.is_key_event, shown))
    say_table(("published", "key event", "entry"), rows, empty="No entries.")
