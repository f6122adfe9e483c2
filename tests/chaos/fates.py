"""What became of the mails of one site on many machines, from the sink's log: pure, so that it can turn red.

A fate is what befell one machine. It says how many repeats may be laid at its door, and of whom.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from chaos.audit import Accepted, Closed, Line, Opened

Mail: TypeAlias = tuple[int, str]  # the entry's mark, the address


@dataclass(frozen=True, slots=True)
class Fate:
    """At `at`, a moment of the monotonic clock, something befell the machine that comes in by this door.

    It may cause repeats of mails `in_doubt`: those that it had opened and not recorded. Where its journal was
    read in time, there is at most one a connection that was open.
    """

    door: int
    at: float
    how: str
    in_doubt: frozenset[Mail]
    is_journal_read: bool = False
    is_awake_again_at: float | None = None  # from then on it may bring nothing more of them


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the log proves; `problems` is empty when all promises were kept."""

    owed: int
    accepted: int
    repeated: int
    allowed: int
    after_leaving: float  # seconds after the acknowledgement at which a reader who left was last mailed
    problems: tuple[str, ...]


def judge(
    lines: Iterable[Line],
    owed: frozenset[Mail],
    fates: Sequence[Fate],
    left: Mapping[str, float],
) -> Verdict:
    """Compares the log with what was owed; `left` says when each reader's unsubscribe was acknowledged.

    They may be missing.
    """
    opened: dict[int, Opened] = {}
    closed: dict[int, float] = {}
    copies: dict[Mail, list[Accepted]] = defaultdict(list)
    for line in lines:
        match line:
            case Opened():
                opened[line.connection] = line
            case Closed():
                closed[line.connection] = line.at
            case Accepted():
                copies[line.mark, line.rcpt].append(line)

    allowances = [_allowance(fate, opened, closed) for fate in fates]
    laid = [0] * len(fates)
    problems: list[str] = []
    for mail, same in copies.items():
        if len(same) == 1:
            continue
        number = _whose(mail, {opened[each.connection].door for each in same}, fates)
        if number is None:
            problems.append(f"{len(same) - 1} repeats of one mail though nothing befell its machine")
        else:
            laid[number] += len(same) - 1
    problems += [
        f"{fate.how}: {count} repeated, {allowed} allowed"
        for fate, count, allowed in zip(fates, laid, allowances, strict=True)
        if count > allowed
    ]
    late = [
        each
        for fate in fates
        if fate.is_awake_again_at is not None
        for mail in fate.in_doubt
        for each in copies.get(mail, ())
        if opened[each.connection].door == fate.door and each.at > fate.is_awake_again_at
    ]
    stayed = {mail for mail in owed if mail[1] not in left}
    after = [each.at - left[each.rcpt] for same in copies.values() for each in same if each.rcpt in left]
    problems += [
        f"{count} {what}"
        for count, what in (
            (len(stayed - copies.keys()), "mails lost"),
            (len(copies.keys() - owed), "mails to somebody who was owed none"),
            (sum(len(same) > 2 for same in copies.values()), "mails that came more than twice"),
            (
                sum(len({(each.sha256, each.message_id) for each in same}) > 1 for same in copies.values()),
                "mails whose copies differ",
            ),
            (len(late), "mails from a machine that woke, under a lease that it had lost"),
        )
        if count
    ]
    return Verdict(
        owed=len(stayed),
        accepted=sum(map(len, copies.values())),
        repeated=sum(len(same) - 1 for same in copies.values()),
        allowed=sum(allowances),
        after_leaving=max(0.0, *after) if after else 0.0,
        problems=tuple(problems),
    )


def _allowance(fate: Fate, opened: Mapping[int, Opened], closed: Mapping[int, float]) -> int:
    if not fate.is_journal_read:
        return len(fate.in_doubt)
    return sum(
        _is_of_before(each, fate) and closed.get(each.connection, fate.at) >= fate.at
        for each in opened.values()
    )


def _is_of_before(connection: Opened, fate: Fate) -> bool:
    return connection.door == fate.door and connection.at < fate.at


def _whose(mail: Mail, doors: set[int], fates: Sequence[Fate]) -> int | None:
    """The fate that a repeat is laid at the door of."""
    for number, fate in enumerate(fates):
        if fate.door in doors and mail in fate.in_doubt:
            return number
    return None
