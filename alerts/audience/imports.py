"""Many sign-ups at once: lines to addresses, and a block of addresses to readers who follow."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import islice

from sqlmodel import Session

from alerts.audience import subscribers
from alerts.audience.addresses import Address, normalise
from alerts.audience.subscribers import Signed
from alerts.errors import Refused
from alerts.models import Frequency

BLOCK = 1_000  # lines: a transaction of some tens of milliseconds, so that a daemon beside it is not held up


@dataclass(frozen=True, slots=True)
class Bad:
    """A line that holds no address: its number from 1, and why; never its text."""

    line: int
    why: str


@dataclass(frozen=True, slots=True)
class Block:
    """Some lines as they were read."""

    addresses: tuple[Address, ...]
    bad: tuple[Bad, ...]


def blocks(lines: Iterable[bytes]) -> Iterator[Block]:
    """Reads one address a line, in UTF-8; blank lines are passed over."""
    numbered = enumerate(lines, start=1)
    while some := list(islice(numbered, BLOCK)):
        addresses, bad = [], []
        for number, line in some:
            text = line.decode("utf-8-sig", errors="replace").strip()
            try:
                if text:
                    addresses.append(normalise(text))
            except Refused as error:
                bad.append(Bad(number, str(error)))
        yield Block(tuple(addresses), tuple(bad))


def sign_up(
    session: Session,
    pepper: bytes,
    addresses: Sequence[Address],
    topics: Sequence[str],
    frequency: Frequency,
    *,
    language: str,
    by: str,
    now: datetime,
) -> Signed:
    """Signs a block of addresses up and makes them follow the topics; raises NotFound for an unknown one."""
    signed = subscribers.add_many(session, pepper, addresses, language=language, by=by, now=now)
    for topic in topics:
        subscribers.follow_many(session, signed.ids, topic, frequency, by=by, now=now)
    return signed
