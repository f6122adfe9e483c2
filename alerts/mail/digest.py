"""What a digest tells of its entries: all are named at the top while there is room, then told as long as there is.

Key events come first, then the rest; within both, what is newest comes first. Whoever reads a digest wants to know
how things stand, and what has to be left out at its end is then what later entries have overtaken.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from alerts.mail.pieces import EntryPieces, Piece
from alerts.mail.views import DigestEntry

# As much of mail as the text of one entry may take: all that are named get the largest that there is room for.
_TEXT_LIMITS = (8_000, 5_600, 4_000, 2_800, 2_000, 1_400, 1_000, 700, 500)
_CONTENTS_SHARE = 0.42
_BETWEEN = len("\r\n* * *\r\n\r\n")


@dataclass(frozen=True, slots=True)
class Layout:
    """The contents of a digest, none for a single entry, and its tellings; `unnamed` counts what is in neither."""

    lines: Sequence[Piece]
    tellings: Sequence[Piece]
    unnamed: int = 0

    @property
    def text(self) -> tuple[str, str]:
        """Contents and tellings as text."""
        return (
            "".join(piece.text for piece in self.lines).rstrip("\n"),
            "\n* * *\n\n".join(piece.text for piece in self.tellings).rstrip("\n"),
        )

    @property
    def html(self) -> tuple[str, str]:
        """Contents and tellings as HTML."""
        return (
            "".join(piece.html for piece in self.lines).rstrip("\n"),
            "".join(piece.html for piece in self.tellings).rstrip("\n"),
        )

    @property
    def size(self) -> int:
        """How many bytes of mail they take."""
        return sum(piece.size + _BETWEEN for piece in (*self.lines, *self.tellings))


def in_order(entries: Sequence[DigestEntry]) -> list[DigestEntry]:
    """Gives entries that came in the order of their release as a digest tells them, what looks the same once."""
    newest_first = dict.fromkeys(reversed(entries))
    return sorted(newest_first, key=lambda each: each.entry.is_key_event is not True)


def lay_out(told: Sequence[EntryPieces], room: int) -> Layout:
    """Gives a digest's pieces in about `room` bytes of mail; the first entry is always told."""
    if len(told) == 1:
        return Layout((), [told[0].telling(room)])
    below, elsewhere = (
        [*_fitting(room * _CONTENTS_SHARE, (each.line(is_told=is_told) for each in told))]
        for is_told in (True, False)
    )
    named = min(len(below), len(elsewhere))
    used = sum(max(pair.size for pair in pairs) for pairs in zip(below, elsewhere, strict=False))
    tellings = _tellings(told[:named], room - used)
    return Layout(below[: len(tellings)] + elsewhere[len(tellings) : named], tellings, len(told) - named)


def _tellings(told: Sequence[EntryPieces], room: float) -> Sequence[Piece]:
    """Tells all at the largest length that has room for all; as many as can be when none has."""
    tellings: Sequence[Piece] = ()
    for limit in _TEXT_LIMITS:
        tellings = [*_fitting(room, (each.telling(limit) for each in told))]
        if len(tellings) == len(told):
            break
    return tellings


def _fitting(room: float, pieces: Iterable[Piece]) -> Iterator[Piece]:
    """Gives the pieces that fit, but always the first."""
    used = 0
    for position, piece in enumerate(pieces):
        used += piece.size
        if position and used > room:
            return
        yield piece
