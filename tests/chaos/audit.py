"""From the sink's log to a verdict: pure, so that it can be shown to turn red."""

import json
from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

_ACCEPTED, _UNKNOWN = "accepted", "unknown"  # as in `NoticeState`
_DYING_SECONDS = 1.0  # the sink sees all of a dead process's connections close within this


@dataclass(frozen=True, slots=True)
class Kill:
    """One death of the daemon; `at` is monotonic time, before the next daemon was started."""

    at: float
    how: str


@dataclass(frozen=True, slots=True)
class Opened:
    connection: int
    at: float
    door: int = 0


@dataclass(frozen=True, slots=True)
class Closed:
    connection: int
    at: float
    is_in_flight: bool  # a mail stood between its 354 and its reply


@dataclass(frozen=True, slots=True)
class Accepted:
    connection: int
    at: float
    rcpt: str
    sha256: str
    message_id: str
    mark: int


Line = Opened | Closed | Accepted


@dataclass(frozen=True, slots=True)
class Asked:
    """A confirmation mail that somebody asked for, and what the ledger says of it in the end."""

    address: str
    state: str
    doubts: int


def parse(text: str) -> Line:
    """Reads one line of the sink's log."""
    facts: dict[str, Any] = json.loads(text)
    kinds: dict[str, type[Line]] = {"open": Opened, "close": Closed, "mail": Accepted}
    return kinds[facts.pop("kind")](**facts)


@dataclass(frozen=True, slots=True)
class Report:
    """What became of every mail owed; `problems` is empty when all promises were kept."""

    readers: int
    owed: int
    accepted: int
    kills: int
    counted: int  # kills with a mail in flight
    lost: int
    repeated: int
    worst_repeated: int  # by one kill
    connections: int  # open at that kill
    is_byte_identical: bool
    unexpected: int
    by_point: Mapping[str, int] = field(default_factory=dict)
    notices: int = 0
    notices_repeated: int = 0
    notices_unknown: int = 0
    problems: tuple[str, ...] = ()


def audit(
    lines: Iterable[Line],
    kills: Sequence[Kill],
    owed: Mapping[int, frozenset[str]],
    problems: Sequence[str] = (),
    *,
    is_resent: bool = True,
    asked: Sequence[Asked] = (),
) -> Report:
    """Compares the log with what was owed, `{mark: addresses}`, and lays each repeat at its kill's door.

    Notices have no journal: theirs are held against the doubts that the ledger admits.
    `problems` are those known already; the report has them too. `is_resent` is the feed's policy for what
    is in doubt: where it is held instead, nothing may be repeated, and what was in doubt may be missing.
    """
    opened: dict[int, float] = {}
    closed: list[Closed] = []
    copies: dict[tuple[int, str], list[Accepted]] = defaultdict(list)
    of_visitors: dict[str, list[Accepted]] = {each.address: [] for each in asked}
    for line in lines:
        match line:
            case Opened():
                opened[line.connection] = line.at
            case Closed():
                closed.append(line)
            case Accepted() if line.rcpt in of_visitors:
                of_visitors[line.rcpt].append(line)
            case Accepted():
                copies[line.mark, line.rcpt].append(line)
    times = [kill.at for kill in kills]
    life = {connection: bisect_right(times, at) for connection, at in opened.items()}

    deaths = _deaths(closed, life, len(kills))
    repeats, causeless = _repeats(copies.values(), life)
    counted = [number for number, death in enumerate(deaths) if any(each.is_in_flight for each in death)]
    expected = {(mark, address) for mark, addresses in owed.items() for address in addresses}
    worst = max(range(len(kills)), key=lambda number: repeats[number], default=None)
    differing = sum(map(_differ, copies.values()))
    notices_differing = sum(map(_differ, of_visitors.values()))
    lost, unexpected = len(expected - copies.keys()), len(copies.keys() - expected)

    allowed = [len(death) for death in deaths]
    found = [
        f"kill {number + 1} ({kill.how}): {repeats[number]} repeated, {allowed[number]} connections were open"
        for number, kill in enumerate(kills)
        if repeats[number] > (allowed[number] if is_resent else 0)
    ]
    if lost > (0 if is_resent else sum(allowed)):
        found.append(f"{lost} mails lost")
    found += [
        f"{count} {what}"
        for count, what in (
            (causeless, "mails repeated though no kill stood between"),
            (differing, "mails whose copies differ"),
            (unexpected, "mails to somebody who was owed none"),
        )
        if count
    ]
    found += _broken_by_notices(of_visitors, asked)
    return Report(
        readers=len(set().union(*owed.values())),
        owed=len(expected),
        accepted=sum(map(len, copies.values())),
        kills=len(kills),
        counted=len(counted),
        lost=lost,
        repeated=repeats.total() + causeless,
        worst_repeated=0 if worst is None else repeats[worst],
        connections=0 if worst is None else allowed[worst],
        is_byte_identical=not (differing or notices_differing),
        unexpected=unexpected,
        by_point=dict(Counter(kills[number].how for number in counted)),
        notices=len(asked),
        notices_repeated=sum(len(same) - 1 for same in of_visitors.values() if same),
        notices_unknown=sum(each.state == _UNKNOWN for each in asked),
        problems=(*problems, *found),
    )


def _differ(same: Sequence[Accepted]) -> bool:
    return len({(each.sha256, each.message_id) for each in same}) > 1


def _broken_by_notices(copies: Mapping[str, Sequence[Accepted]], asked: Sequence[Asked]) -> list[str]:
    """A first doubt is resent and a second is final: that one may be missing, and none comes a third time."""
    lost = [
        each
        for each in asked
        if each.state not in {_ACCEPTED, _UNKNOWN} or (each.state == _ACCEPTED and not copies[each.address])
    ]
    often = [each for each in asked if len(copies[each.address]) > 1 + min(each.doubts, 1)]
    differing = [each for each in asked if _differ(copies[each.address])]
    return [
        f"{len(broken)} confirmation mails {what}"
        for broken, what in (
            (lost, "lost"),
            (often, "repeated that were in no doubt"),
            (differing, "whose copies differ"),
        )
        if broken
    ]


def _deaths(closed: Sequence[Closed], life: Mapping[int, int], kills: int) -> list[list[Closed]]:
    """The connections that each kill cut: those of its daemon that closed together, last."""
    by_life: dict[int, list[Closed]] = defaultdict(list)
    for each in closed:
        by_life[life[each.connection]].append(each)
    deaths = []
    for number in range(kills):
        of_life = by_life[number]
        last = max((each.at for each in of_life), default=0.0)
        deaths.append([each for each in of_life if last - each.at <= _DYING_SECONDS])
    return deaths


def _repeats(copies: Iterable[Sequence[Accepted]], life: Mapping[int, int]) -> tuple[Counter[int], int]:
    """Counts repeats by the kill that ended the life of the copy before; and those with no kill between."""
    repeats: Counter[int] = Counter()
    causeless = 0
    for same in copies:
        lives = sorted(life[each.connection] for each in same)
        for before, after in pairwise(lives):
            if before == after:
                causeless += 1
            else:
                repeats[before] += 1
    return repeats, causeless
