"""Mails that wait for their turn: those that go first, and behind them all others, each in the order they came."""

from collections import deque

from alerts.mail.smtp import Mail


class Line:
    """A line of two ranks; whoever serves it serves the first rank to its end before the second."""

    __slots__ = ("ranks",)

    def __init__(self) -> None:
        self.ranks: tuple[deque[Mail], deque[Mail]] = deque(), deque()

    def __len__(self) -> int:
        return len(self.ranks[0]) + len(self.ranks[1])

    def add(self, mail: Mail) -> None:
        """Puts a mail behind those of its rank."""
        self.ranks[not mail.goes_first].append(mail)

    def put_back(self, mail: Mail) -> None:
        """Puts a mail that had its turn before those of its rank."""
        self.ranks[not mail.goes_first].appendleft(mail)

    def put_back_all(self, other: "Line") -> None:
        """Puts another line's mails before those of their rank."""
        for rank, of_other in zip(self.ranks, other.ranks, strict=True):
            rank.extendleft(reversed(of_other))

    def next(self) -> Mail | None:
        """Gives the mail whose turn it is."""
        first, others = self.ranks
        if first:
            return first.popleft()
        return others.popleft() if others else None

    def drain(self) -> list[Mail]:
        """Gives all that wait, who wait no more."""
        drained = [mail for rank in self.ranks for mail in rank]
        for rank in self.ranks:
            rank.clear()
        return drained
