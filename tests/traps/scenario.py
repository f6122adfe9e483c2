"""A trap as it is written: what a site shows at each poll, and which mails that may cause."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from sqlmodel import Session

from fakes.site import Reply

SITE = "https://site.test"  # stands in a document for where a scenario's pages are
MINUTE = timedelta(minutes=1)
HELD = "(held: a person is told)"

Act = Callable[[Session, int, datetime], object]


@dataclass(frozen=True, slots=True)
class Step:
    """One poll: the replies by page, the mails expected after it, and what happened in the newsroom before.

    A feed's own page is "live". `flash` are the mails of the reader who follows key events only; `is_held`
    says that this very poll holds the feed.
    """

    pages: Mapping[str, Reply]
    mails: tuple[str, ...] = ()
    flash: tuple[str, ...] = ()
    is_held: bool = False
    after: timedelta = MINUTE
    act: Act | None = None

    @property
    def again(self) -> "Step":
        """The same pages at a later poll: they have caused what they may."""
        return Step(self.pages)

    @property
    def expected(self) -> list[str]:
        return told(self.mails, self.flash, is_held=self.is_held)


@dataclass(frozen=True, slots=True)
class Scenario:
    """A feed over a few polls; `policy` are fields of its row."""

    name: str
    steps: tuple[Step, ...]
    policy: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Trap:
    number: int
    what: str
    scenarios: tuple[Scenario, ...]


def told(mails: tuple[str, ...], flash: tuple[str, ...], *, is_held: bool) -> list[str]:
    """Gives what a poll came to as lines that read well where an expectation fails."""
    return [
        *sorted(mails),
        *(f"flash: {subject}" for subject in sorted(flash)),
        *([HELD] if is_held else []),
    ]


def shows(page: Reply, *mails: str, **more: Any) -> Step:
    """A poll of a page that may cause these mails, by their headlines; of none it must cause none."""
    return Step({"live": page}, mails, **more)


def scenario(name: str, *steps: Step, **policy: Any) -> Scenario:
    return Scenario(name, steps, policy)


Write = Callable[[], Iterator[Scenario]]

_WRITTEN: dict[int, tuple[str, Write]] = {}


def trap(number: int, what: str) -> Callable[[Write], Write]:
    """Enters a function that gives a trap's scenarios into the list of all."""

    def enter(write: Write) -> Write:
        assert number not in _WRITTEN, f"trap {number} is written already"
        _WRITTEN[number] = (what, write)
        return write

    return enter


def traps() -> list[Trap]:
    """Gives the traps entered so far, by number."""
    return [Trap(number, what, tuple(write())) for number, (what, write) in sorted(_WRITTEN.items())]
