"""What was measured against what is wanted: judges each goal, and prints one page."""

import os
import platform
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from statistics import median

REACHED, SHORT, BLANK = "reached", "SHORT", "blank"


@dataclass(frozen=True, slots=True)
class Goal:
    """A figure that is wanted to be at least, or at most, so large; one value for each round.

    Without values it stays blank, and `missing` says what it would have needed.
    """

    what: str
    wanted: float
    values: Sequence[float]
    unit: str = ""
    at_most: bool = False
    missing: str = ""

    @property
    def verdict(self) -> str:
        if not self.values:
            return BLANK
        value = median(self.values)
        is_reached = value <= self.wanted if self.at_most else value >= self.wanted
        return REACHED if is_reached else SHORT


@dataclass(frozen=True, slots=True)
class Figures:
    """A line of plain figures, one for each heading of its section; each is all rounds' values."""

    what: str
    columns: Sequence[Sequence[float]]


@dataclass(slots=True)
class Section:
    """One comparison: what was done, the command that does it, its goals and its figures."""

    title: str
    command: str
    goals: list[Goal] = field(default_factory=list)
    headings: Sequence[str] = ()
    figures: list[Figures] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def summary(sections: Sequence[Section], about: str) -> str:
    """Gives the goals of all sections under each other, and what they were measured on."""
    goals = [goal for section in sections for goal in section.goals]
    counts = [f"{sum(each.verdict == word for each in goals)} {word}" for word in (REACHED, SHORT, BLANK)]
    lines = [f"Goals: {', '.join(counts)}. Medians (least-most) of all rounds.", about]
    for section in sections:
        lines += ["", section.title, *_goals(section)] if section.goals else []
    return "\n".join(lines)


def show(section: Section) -> str:
    """Gives a section as text: what it did, then goals, figures and notes."""
    return "\n".join([*_lines(section), ""])


def machine() -> str:
    """Says on what the figures were made, and what else ran there."""
    load = os.getloadavg()[0]
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return (
        f"{cores} cores, {platform.system()} {platform.release()}, Python {platform.python_version()}; "
        f"load average before: {load:.1f}"
    )


def number(value: float) -> str:
    """Writes a figure with three digits that count."""
    size = abs(value)
    digits = 0 if size >= 100 else 1 if size >= 10 else 2 if size >= 1 else 3  # noqa: PLR2004 - three digits
    return f"{value:,.{digits}f}"


def _lines(section: Section) -> Iterator[str]:
    yield section.title
    yield f"$ {section.command}"
    yield from _goals(section)
    yield from _table(section)
    for note in section.notes:
        yield f"  {note}"


def _table(section: Section) -> Iterator[str]:
    """Gives the figures under their headings, each column as wide as it must be."""
    if not section.figures:
        return
    rows = [[line.what, *map(_spread, line.columns)] for line in section.figures]
    lines = [["", *section.headings], *rows]
    widths = [max(len(line[at]) for line in lines if at < len(line)) for at in range(len(lines[0]))]
    for name, *cells in lines:
        padded = [f"{cell:>{width}}" for cell, width in zip(cells, widths[1:], strict=False)]
        yield "  ".join([f"  {name:{widths[0]}}", *padded])


def _goals(section: Section) -> Iterator[str]:
    if section.goals:
        yield f"  {'goal':58}{'wanted':>12}  {'measured':26}"
    for goal in section.goals:
        sign = "<=" if goal.at_most else ">="
        wanted = f"{sign} {number(goal.wanted)}{goal.unit}"
        found = f"{_spread(goal.values)}{goal.unit}" if goal.values else f"({goal.missing})"
        yield f"  {goal.what:58}{wanted:>12}  {found:26}  {goal.verdict}"


def _spread(values: Sequence[float]) -> str:
    if not values:
        return "-"
    middle = number(median(values))
    return middle if len(values) == 1 else f"{middle} ({number(min(values))}-{number(max(values))})"
