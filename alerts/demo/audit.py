"""The demo's verdict: what the SMTP server received against what the script owes. Pure.

The daemon's tables are not asked: a service that lost a mail and believes it sent it would pass that test.
"""

import statistics
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from alerts.demo.story import Reader


@dataclass(frozen=True, slots=True)
class Receipt:
    """One mail in the SMTP server's log: to whom, and which post its links name, if just one."""

    address: str
    post_id: str | None


@dataclass(frozen=True, slots=True)
class Row:
    """One reader's account; `stray` counts mails that nobody owed."""

    name: str
    choice: str
    owed: int
    received: int
    missing_ids: tuple[str, ...]
    repeated: int
    stray: int

    @property
    def missing(self) -> int:
        return len(self.missing_ids)


@dataclass(frozen=True, slots=True)
class Account:
    entries: int
    rows: tuple[Row, ...]
    strangers: int = 0  # mails to addresses that are no reader's

    @property
    def owed(self) -> int:
        return sum(row.owed for row in self.rows)

    @property
    def received(self) -> int:
        return sum(row.received for row in self.rows) + self.strangers

    @property
    def missing(self) -> int:
        return sum(row.missing for row in self.rows)

    @property
    def repeated(self) -> int:
        return sum(row.repeated for row in self.rows)

    @property
    def stray(self) -> int:
        return sum(row.stray for row in self.rows) + self.strangers

    @property
    def adds_up(self) -> bool:
        """Whether every mail owed came exactly once, and no other."""
        return self.missing == self.repeated == self.stray == 0


@dataclass(frozen=True, slots=True)
class Speed:
    """Seconds, over the mails owed."""

    fastest: float
    median: float
    slowest: float


def settle(
    entries: int,
    debts: Iterable[tuple[str, str]],
    readers: Iterable[Reader],
    receipts: Iterable[Receipt],
) -> Account:
    """Settles what is owed, as (address, post id), against the receipts."""
    wanted = set(debts)
    readers, receipts = tuple(readers), tuple(receipts)
    known = {reader.address for reader in readers}
    return Account(
        entries=entries,
        rows=tuple(_row(reader, wanted, receipts) for reader in readers),
        strangers=sum(receipt.address not in known for receipt in receipts),
    )


def _row(reader: Reader, debts: set[tuple[str, str]], receipts: tuple[Receipt, ...]) -> Row:
    wanted = {post_id for address, post_id in debts if address == reader.address}
    got = Counter(receipt.post_id for receipt in receipts if receipt.address == reader.address)
    return Row(
        name=reader.name,
        choice=reader.choice,
        owed=len(wanted),
        received=got.total(),
        missing_ids=tuple(sorted(wanted - got.keys())),
        repeated=sum(count - 1 for post_id, count in got.items() if post_id in wanted),
        stray=sum(count for post_id, count in got.items() if post_id not in wanted),
    )


def speed(seconds: Iterable[float]) -> Speed | None:
    """Gives the fastest, median and slowest; None when there is nothing to measure."""
    measured = sorted(seconds)
    if not measured:
        return None
    return Speed(measured[0], statistics.median(measured), measured[-1])
