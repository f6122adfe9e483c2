"""The demo's terminal: one line for what the desk does, one for what readers get of it, then the verdict."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from io import StringIO
from pathlib import Path

from rich import box
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from alerts.demo.audit import Account, Speed
from alerts.demo.story import Change, Delete, End, MarkKey, Mend, Pin, Reader, Redate, Silent

_INK = ("cyan", "magenta", "yellow")
_PICTURE_WIDTH = 100
# The picture in the README: how many events from the start of the story and from its end it shows.
_PICTURE_HEAD, _PICTURE_TAIL = 15, 3

_NOT_SHOWN = {"event", "level", "timestamp", "exception"}

_DEEDS: dict[type[Change], str] = {
    Mend: "mends a slip in",
    Pin: "pins a copy on top:",
    Redate: "gives an old post a new date:",
    MarkKey: "adds to the key points:",
    Delete: "takes down:",
    End: "ends the coverage",
}
_SILENCES: dict[type[Silent], str] = {
    Mend: "the mended slip mailed nobody: an edit is kept, not sent",
    Pin: "the pinned copy mailed nobody: the post is known already",
    Redate: "the new date mailed nobody: the words are known already",
    Delete: "the deletion mailed nobody, and what was sent stays sent",
}


@dataclass(frozen=True, slots=True)
class Addresses:
    page: str
    inbox: str
    smtp: str
    signup: str


@dataclass(frozen=True, slots=True)
class Progress:
    """Where the demo stands, for the line at the bottom of a terminal."""

    second: float
    ends_at: float
    entries: int
    mails: int


@dataclass(frozen=True, slots=True)
class Mailed:
    """One post and who got it; the times are seconds, for the slowest of its mails."""

    title: str
    note: str
    names: tuple[str, ...]
    is_flash: bool
    wait: float
    ours: float


class Screen:
    """Prints the story as it happens; it keeps what it printed, for a picture."""

    def __init__(self, console: Console, readers: Sequence[Reader]) -> None:
        self._console = console
        self._ink = dict(zip((reader.name for reader in readers), _INK, strict=False))
        self._events: list[RenderableType] = []
        self._frame: list[RenderableType] = []
        self._verdict: list[RenderableType] = []

    def open(self, addresses: Addresses, readers: Sequence[Reader], headline: str) -> None:
        """Says what will happen and where to look."""
        grid = Table.grid(padding=(0, 2))
        grid.add_row(Text("Live blog", style="bold"), _link(addresses.page))
        grid.add_row(Text("Inbox", style="bold"), _link(addresses.inbox))
        grid.add_row(Text("Sign up", style="bold"), _link(addresses.signup))
        grid.add_row(Text("SMTP", style="bold"), Text(f"{addresses.smtp}  built in; it sends nothing on"))
        for number, reader in enumerate(readers):
            grid.add_row(
                Text("" if number else "Readers", style="bold"),
                Text.assemble(self._name(reader.name), (f"  {reader.choice}", "dim")),
            )
        about = Text(
            f"“{headline}”: a made-up live blog, told in about a minute. "
            "The daemon looks at it every second or so, and mails what is new. “Ours” is the time from its look to the inbox.",
        )
        panel = Panel(Group(about, "", grid), title="alerts demo", box=box.ROUNDED, border_style="blue")
        self._show(panel, self._frame)

    def footer(self, progress: Callable[[], Progress], addresses: Addresses) -> Live:
        """Gives the line at the bottom, to be entered; it shows only on a real terminal."""
        return Live(
            get_renderable=lambda: _footer(progress(), addresses),
            console=self._console,
            refresh_per_second=4,
            transient=True,
            auto_refresh=self._console.is_terminal,
        )

    def desk(self, second: float, change: Change, title: str) -> None:
        """Says what the newsroom did to its page."""
        self._event(
            second, "desk", "blue", Text.assemble(_DEEDS[type(change)], " " * bool(title), (title, "italic"))
        )

    def mailed(self, second: float, post: Mailed) -> None:
        """Says who was mailed what, how long after it was posted, and how much of that was ours."""
        tag, style = ("FLASH", "bold red") if post.is_flash else ("NEW", "bold green")
        names = Text(", ").join([self._name(name) for name in post.names])
        pace = f"   {post.wait:.2f} s after it was posted, {post.ours * 1000:.0f} ms of it ours"
        below = [Text.assemble("→ ", names, (pace, "dim"))]
        if post.note:
            below.append(Text(post.note, style="dim italic"))
        self._event(second, tag, style, Text(post.title, style="bold"), below)

    def quiet(self, second: float, change: Silent, mails: int) -> None:
        """Says what readers got of a change of the page: nothing, as it should be."""
        if mails:
            self._event(second, "MAILED", "bold red", Text(f"{mails} mails too many went out", style="red"))
        else:
            self._event(second, "quiet", "dim", Text(_SILENCES[type(change)], style="dim"))

    def seen(self, second: float, text: str, title: str = "") -> None:
        """Says what the daemon made of the page."""
        self._event(second, "seen", "cyan", Text.assemble(text, (title, "italic")))

    def said(self, second: float, event: Mapping[str, object]) -> None:
        """Passes on a warning of the daemon."""
        rest = " ".join(f"{key}={value}" for key, value in event.items() if key not in _NOT_SHOWN)
        self._event(second, "daemon", "yellow", Text(f"{event.get('event')} {rest}", style="yellow"))

    def verdict(
        self, account: Account, lost: Sequence[str], to_inbox: Speed | None, ours: Speed | None
    ) -> None:
        """Prints the account and says whether it adds up; `lost` names the mails that are missing."""
        self._show(Text(), self._verdict)
        self._show(self._table(account), self._verdict)
        self._show(_speeds(to_inbox, ours), self._verdict)
        for each in lost:
            self._show(Text(f"Missing: {each}", style="red"), self._verdict)
        self._show(_sentence(account), self._verdict)

    def note(self, text: str) -> None:
        self._console.print(Text(text), soft_wrap=True)

    def picture(self, path: Path, title: str) -> None:
        """Writes what was printed as an SVG: the opening, the start and the end of the story, the verdict."""
        canvas = Console(record=True, file=StringIO(), width=_PICTURE_WIDTH, force_terminal=True)
        cut = len(self._events) > _PICTURE_HEAD + _PICTURE_TAIL
        middle = (
            [*self._events[:_PICTURE_HEAD], Text("    ⋮"), *self._events[-_PICTURE_TAIL:]]
            if cut
            else self._events
        )
        for each in [*self._frame, *middle, *self._verdict]:
            canvas.print(each)
        path.write_text(canvas.export_svg(title=title, code_format=_SVG), encoding="utf-8")

    def _event(self, second: float, tag: str, style: str, text: Text, below: Sequence[Text] = ()) -> None:
        line = Text.assemble((f"{_clock(second):>7}  ", "dim"), (f"{tag:<7}", style), text)
        self._show(Text(f"\n{' ' * 16}").join([line, *below]), self._events)

    def _show(self, each: RenderableType, kept: list[RenderableType]) -> None:
        kept.append(each)
        self._console.print(each, soft_wrap=isinstance(each, Text) and not self._console.is_terminal)

    def _name(self, name: str) -> Text:
        return Text(name, style=f"bold {self._ink.get(name, 'white')}")

    def _table(self, account: Account) -> Table:
        table = Table(
            title="Counted from the SMTP server's log against the story's script",
            caption="The daemon's own tables were not asked.",
            box=box.SIMPLE_HEAD,
            show_footer=True,
        )
        table.add_column("Reader", "Together")
        table.add_column("Choice", f"{account.entries} entries")
        for heading, total in (
            ("Owed", account.owed),
            ("Received", account.received),
            ("Missing", account.missing),
            ("Repeated", account.repeated),
            ("Extra", account.stray),
        ):
            table.add_column(heading, str(total), justify="right")
        for row in account.rows:
            counts = (row.owed, row.received, row.missing, row.repeated, row.stray)
            table.add_row(self._name(row.name), row.choice, *map(str, counts))
        return table


def _clock(second: float) -> str:
    minutes, tenths = divmod(round(second * 10), 600)
    return f"{minutes}:{tenths / 10:04.1f}"


def _footer(progress: Progress, addresses: Addresses) -> Table:
    grid = Table.grid(padding=(0, 2), expand=False)
    grid.add_row(
        ProgressBar(total=progress.ends_at, completed=min(progress.second, progress.ends_at), width=18),
        Text(f"{progress.entries} entries, {progress.mails} mails"),
        Text(f"{addresses.page}  {addresses.inbox}", style="blue", no_wrap=True, overflow="ellipsis"),
    )
    return grid


def _speeds(to_inbox: Speed | None, ours: Speed | None) -> Text:
    if to_inbox is None or ours is None:
        return Text("No mail came, so there is no speed to tell.")
    return Text.assemble(
        ("From the page to the inbox  ", "bold"),
        f"fastest {to_inbox.fastest:.2f} s, median {to_inbox.median:.2f} s, slowest {to_inbox.slowest:.2f} s\n",
        ("From our look to the inbox  ", "bold"),
        f"fastest {ours.fastest * 1000:.0f} ms, median {ours.median * 1000:.0f} ms, slowest {ours.slowest * 1000:.0f} ms\n",
    )


def _sentence(account: Account) -> Text:
    counts = (
        f"{account.entries} entries, mails owed {account.owed}, mails received {account.received}, "
        f"missing {account.missing}, repeated {account.repeated}, extra {account.stray}"
    )
    if account.adds_up:
        return Text.assemble(("✓ It adds up: ", "bold green"), counts)
    return Text.assemble(("✗ It does not add up: ", "bold red"), counts)


def _link(url: str) -> Text:
    return Text(url, style=f"bold blue link {url}")


# rich's own format loads a font from another site; ours takes what the reader's machine has.
_SVG = """\
<svg class="rich-terminal" viewBox="0 0 {width} {height}" xmlns="http://www.w3.org/2000/svg" role="img">
<title>The demo in a terminal</title>
<style>
.{unique_id}-matrix {{ font-family: ui-monospace, "DejaVu Sans Mono", Menlo, Consolas, monospace; \
font-size: {char_height}px; line-height: {line_height}px; font-variant-east-asian: full-width; }}
.{unique_id}-title {{ font-size: 18px; font-weight: bold; font-family: system-ui, sans-serif; }}
{styles}
</style>
<defs>
<clipPath id="{unique_id}-clip-terminal"><rect x="0" y="0" width="{terminal_width}" height="{terminal_height}"/></clipPath>
{lines}
</defs>
{chrome}
<g transform="translate({terminal_x}, {terminal_y})" clip-path="url(#{unique_id}-clip-terminal)">
{backgrounds}
<g class="{unique_id}-matrix">
{matrix}
</g>
</g>
</svg>
"""
