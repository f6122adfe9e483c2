"""alerts subscribers import, imports, export and data: readers as lists that come and go."""

import csv
import io
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, BinaryIO, Literal, TextIO

import typer

from alerts.commands.context import (
    AsJson,
    Front,
    by,
    front,
    now,
    say,
    say_facts,
    say_json,
    say_json_line,
    say_table,
)
from alerts.errors import NotFound, Refused

if TYPE_CHECKING:
    from rich.progress import Progress

    from alerts.audience.lists.export import Page
    from alerts.audience.lists.rows import Bad, Table
    from alerts.audience.lists.run import Read
    from alerts.audience.lists.shapes import Given
    from alerts.db import Database

Address = Annotated[str, typer.Argument(metavar="ADDRESS", help="The reader's address.")]
_SHOWN = 20  # refused lines, of which a file has all
_SAID_EVERY = 100_000  # lines, where nobody watches


def import_(
    context: typer.Context,
    file: Annotated[
        Path | None, typer.Argument(metavar="FILE", help="A CSV file, or - for standard input.")
    ] = None,
    shape: Annotated[
        Literal["csv", "listmonk", "mailchimp"] | None,
        typer.Option("--format", help="Whose columns it has; guessed from their names when not given."),
    ] = None,
    topic: Annotated[str, typer.Option(help="What those follow whose line names no topic.")] = "",
    frequency: Annotated[
        Literal["flash", "every", "hourly", "daily", "weekly"],
        typer.Option(help="How often, where a line does not say."),
    ] = "every",
    consent_source: Annotated[
        str, typer.Option(help="How these readers agreed, such as 'paper form at the fair'.")
    ] = "",
    consent_date: Annotated[
        str, typer.Option(help="When they agreed: a date such as 2026-11-22, or the name of a column.")
    ] = "",
    status: Annotated[
        Literal["subscribed", "unsubscribed", "cleaned", ""],
        typer.Option(help="What the whole file is of, where neither its lines nor its name say."),
    ] = "",
    opt_outs: Annotated[
        bool,
        typer.Option(help="Take over who has left or must not be mailed; else such lines are left out."),
    ] = True,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would change, and change nothing.")
    ] = False,
    skip_refused: Annotated[
        bool, typer.Option("--skip-refused", help="Import the other lines when some are refused.")
    ] = False,
    refused: Annotated[
        Path | None, typer.Option(help="Write each refused line's number and reason into this CSV file.")
    ] = None,
    resume: Annotated[int | None, typer.Option(help="Go on with this import, or its undoing.")] = None,
    undo: Annotated[int | None, typer.Option(help="Take this import back.")] = None,
    as_json: AsJson = False,
) -> None:
    """Import readers from a CSV file, all lines or none; who left or is suppressed is never brought back.

    With a daemon beside it, which goes on sending. Names and attributes are not kept.
    """
    if sum(each is not None for each in (file, resume, undo)) != 1:
        raise Refused("Name a file, or an import with --resume or --undo.")
    site = front(context)
    if resume is not None:
        _go_on(site, resume, as_json=as_json)
    elif undo is not None:
        _undo(site, undo, as_json=as_json)
    else:
        from alerts.audience.lists.shapes import Given, Shape

        assert file is not None, "one of three"
        given = Given(
            now(),
            Shape(shape) if shape else None,
            topic,
            frequency,
            consent_source.strip(),
            consent_date.strip(),
            status,
            file.name,
        )
        wishes = _Wishes(
            file, refused, dry_run=dry_run, skip_refused=skip_refused, opt_outs=opt_outs, as_json=as_json
        )
        _import(site, given, wishes)


def imports(
    context: typer.Context,
    number: Annotated[
        int | None, typer.Argument(metavar="IMPORT", help="Only this one, and what its undoing left.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """List what was imported, the newest first."""
    from alerts.audience.lists import staging

    with front(context).transaction() as session:
        found = [each for each in staging.list_batches(session) if number in (None, each.id)]
        kept = staging.list_kept(session, number, _SHOWN * 50) if number is not None else []
    if number is not None and not found:
        raise NotFound(f"There is no import {number}.")
    if as_json:
        say_json({"imports": found, "left_alone": kept})
        return
    rows = [
        (each.id, each.state, each.made_at, each.by, each.lines, each.waiting, _told(each.counts))
        for each in found
    ]
    say_table(
        ("import", "state", "at", "by", "lines", "waiting", "what became of them"), rows, empty="No imports."
    )
    if kept:
        say("")
        say_table(
            ("line", "subscriber", "left alone"),
            [(each.line, each.subscriber_id, each.why) for each in kept],
            empty="",
        )


def export(
    context: typer.Context,
    topic: Annotated[str | None, typer.Option(help="Only those who follow this topic.")] = None,
    form: Annotated[
        Literal["csv", "json"], typer.Option("--format", help="CSV, or one JSON object a line.")
    ] = "csv",
    include_left: Annotated[
        bool, typer.Option("--include-left", help="Also who has left, and who must not be mailed.")
    ] = False,
    out: Annotated[
        Path | None,
        typer.Option(help="Write into this file, readable by you alone; else to standard output."),
    ] = None,
) -> None:
    """Export readers and what they follow, one line for each subscription."""
    from alerts.audience.lists import export as lists

    written = 0
    with front(context).database() as database, ExitStack() as stack:
        # Written down before: a list that broke off was taken along, too.
        with database.begin() as session:
            page = lists.page(session, after=0, topic=topic, with_left=include_left)
            lists.write_down(session, {"topic": topic or "", "left": include_left}, by=by(), now=now())
        stream = _unchanged(sys.stdout) if out is None else stack.enter_context(_private(out))
        write: Callable[[Page], None] = partial(_write_json if form == "json" else _write_csv, stream)
        if form == "csv":
            stream.write(lists.header())
        write(page)
        while page.after is not None:
            written += len(page.lines)
            with database.begin() as session:
                page = lists.page(session, after=page.after, topic=topic, with_left=include_left)
            write(page)
    if out is not None:
        say(f"{written + len(page.lines)} lines.")


def data(context: typer.Context, address: Address) -> None:
    """Print all that is kept of one reader, as JSON."""
    from alerts.audience import disclosure, subscribers

    site = front(context)
    pepper = site.pepper()
    with site.transaction() as session:
        found = disclosure.of_reader(session, pepper, subscribers.find(session, address), now())
    say_json(found)


def _write_csv(stream: TextIO, page: "Page") -> None:
    from alerts.audience.lists import export as lists

    stream.writelines(lists.csv_lines(page.lines))


def _write_json(stream: TextIO, page: "Page") -> None:
    for each in page.lines:
        say_json_line(each, stream)


@contextmanager
def _private(path: Path) -> Iterator[TextIO]:
    """Opens a file for addresses: nobody else may read it, also where it was there before."""
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    os.fchmod(handle, 0o600)
    with os.fdopen(handle, "w", encoding="utf-8", newline="") as stream:
        yield stream


def _unchanged(stream: TextIO) -> TextIO:
    """Gives standard output in UTF-8 with the ends of lines as they are, whatever the terminal's settings."""
    if isinstance(stream, io.TextIOWrapper):
        stream.reconfigure(encoding="utf-8", newline="")
    return stream


# --- import --------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Wishes:
    """What the operator wants done with a file."""

    file: Path
    refused: Path | None
    dry_run: bool = field(kw_only=True)
    skip_refused: bool = field(kw_only=True)
    opt_outs: bool = field(kw_only=True)
    as_json: bool = field(kw_only=True)


def _import(site: Front, given: "Given", wishes: _Wishes) -> None:
    from alerts.audience.lists import rows, run, shapes, staging

    pepper, language = site.pepper(), site.config().site.language
    with site.database() as database, ExitStack() as stack:
        table = rows.read(stack.enter_context(_opened(wishes.file)))
        meaning = shapes.reader_of(table, given)
        refusals = stack.enter_context(_refusals(wishes.refused))
        bars = stack.enter_context(_bars())
        with database.begin() as session:
            number = staging.begin(session, by=by(), language=language, now=now())
        is_sealed = False
        try:
            with bars.task("reading", None) as advance:
                read = run.stage_file(
                    database,
                    number,
                    table,
                    meaning,
                    with_opt_outs=wishes.opt_outs,
                    refuse=refusals.take,
                    advance=advance,
                    clock=now,
                )
            facts = _facts(table, given, read)
            if read.refused and not wishes.skip_refused and not wishes.dry_run:
                raise Refused(
                    f"{read.refused} lines are refused, so nothing was imported: mend them, or add --skip-refused."
                )
            if wishes.dry_run:
                with bars.task("comparing", read.staged) as advance:
                    counts = dict(run.preview(database, pepper, number, advance))
            else:
                with database.begin() as session:
                    staging.seal(session, number, by=by(), now=now())
                is_sealed = True
        finally:
            if not is_sealed:
                run.discard(database, number)
        if is_sealed:
            with bars.task("applying", read.staged) as advance, _resumable(number):
                run.finish(database, pepper, number, now, advance)
            counts = _counts(database, number)
    _report(facts, counts, number=number if is_sealed else None, as_json=wishes.as_json)


def _go_on(site: Front, number: int, *, as_json: bool) -> None:
    from alerts.audience.lists import run

    pepper = site.pepper()
    with site.database() as database, _bars() as bars:
        with bars.task("going on", None) as advance, _resumable(number):
            run.finish(database, pepper, number, now, advance)
        counts = _counts(database, number)
    _report({}, counts, number=number, as_json=as_json)


def _undo(site: Front, number: int, *, as_json: bool) -> None:
    from alerts.audience import erasure
    from alerts.audience.lists import run, staging, undoing

    pepper = site.pepper()
    with site.database() as database, _bars() as bars:
        with database.begin() as session:
            undoing.begin(session, number, by=by(), now=now())
        with bars.task("taking back", None) as advance, _resumable(number):
            run.finish(database, pepper, number, now, advance)
        erasure.finish(database)
        counts = _counts(database, number)
        with database.begin() as session:
            kept = staging.list_kept(session, number, _SHOWN)
    if as_json:
        say_json({"import": number, "counts": counts, "left_alone": kept})
        return
    taken, alone = counts.get(undoing.TAKEN_BACK, 0), counts.get(undoing.KEPT, 0)
    say(f"Import {number} is undone: {taken} changes taken back, {alone} left alone.")
    for each in kept:
        say(f"  line {each.line}: subscriber {each.subscriber_id} {each.why}")
    if alone > len(kept):
        say(f"  and {alone - len(kept)} more: alerts subscribers imports {number}")


@contextmanager
def _resumable(number: int) -> Iterator[None]:
    """Says what becomes of an import that is broken off from here on."""
    try:
        yield
    except (Exception, KeyboardInterrupt):
        sys.stderr.write(
            f"alerts: import {number} is not finished. The daemon goes on with it within a minute, or do so with "
            f"`alerts subscribers import --resume {number}`; --undo {number} takes it back.\n"
        )
        raise


def _counts(database: "Database", number: int) -> dict[str, int]:
    from alerts.audience.lists import staging

    with database.begin() as session:
        return next(each.counts for each in staging.list_batches(session) if each.id == number)


def _facts(table: "Table", given: "Given", read: "Read") -> dict[str, int | str]:
    from alerts.audience.lists.shapes import guess

    names = {",": "comma", ";": "semicolon", "\t": "tab"}
    return {
        "format": given.shape or guess(table.header),
        "encoding": table.encoding,
        "delimiter": names[table.delimiter],
        "refused": read.refused,
        "said twice": read.repeated,
        "opt-outs left out": read.left_out,
    }


def _report(
    facts: Mapping[str, int | str], counts: Mapping[str, int], *, number: int | None, as_json: bool
) -> None:
    if as_json:
        say_json({"import": number, "file": facts, "counts": counts})
        return
    say_facts([*((name, value or "") for name, value in facts.items()), *counts.items()])
    if number is None:
        say("A dry run: nothing was changed.")
    else:
        say(f"Import {number} is done; names and attributes were not kept.")
        say(f"Take it back with: alerts subscribers import --undo {number}")


def _told(counts: Mapping[str, int]) -> str:
    return "; ".join(f"{count} {what}" for what, count in counts.items())


@contextmanager
def _opened(path: Path) -> Iterator[BinaryIO]:
    if str(path) == "-":
        yield sys.stdin.buffer
        return
    try:
        file = path.open("rb")
    except OSError as error:
        raise Refused(f"{path} cannot be read: {error.strerror}.") from None
    with file:
        yield file


class _Refusals:
    """The refused lines: the first ones are shown, all are written down where that is asked for."""

    def __init__(self, stream: TextIO | None) -> None:
        self._writer = csv.writer(stream) if stream is not None else None
        self._count = 0
        if self._writer is not None:
            self._writer.writerow(["line", "reason"])

    def take(self, bad: "Bad") -> None:
        self._count += 1
        if self._count <= _SHOWN:
            sys.stderr.write(f"alerts: line {bad.line}: {bad.why}\n")
        if self._writer is not None:
            self._writer.writerow([bad.line, bad.why])

    def end(self) -> None:
        if self._count > _SHOWN:
            sys.stderr.write(f"alerts: and {self._count - _SHOWN} lines more; --refused FILE has them all\n")


@contextmanager
def _refusals(path: Path | None) -> Iterator[_Refusals]:
    with ExitStack() as stack:
        refusals = _Refusals(None if path is None else stack.enter_context(_private(path)))
        yield refusals
        refusals.end()


class _Bars:
    """How far it is: bars on a terminal, else a line now and then."""

    def __init__(self, progress: "Progress") -> None:
        self._progress = progress

    @contextmanager
    def task(self, what: str, total: int | None) -> Iterator[Callable[[int], object]]:
        task = self._progress.add_task(what, total=total)
        done = 0

        def advance(lines: int) -> None:
            nonlocal done
            self._progress.advance(task, lines)
            if self._progress.disable and done // _SAID_EVERY < (done + lines) // _SAID_EVERY:
                sys.stderr.write(f"alerts: {what}: {done + lines} lines\n")
            done += lines

        yield advance
        self._progress.update(task, total=done, completed=done)


@contextmanager
def _bars() -> Iterator[_Bars]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    is_seen = sys.stderr.isatty()
    with Progress(*columns, console=Console(stderr=True), transient=True, disable=not is_seen) as progress:
        yield _Bars(progress)
