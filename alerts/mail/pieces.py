"""The pieces of digests: what each shows of one entry, written once and kept for the digests that tell it, too.

Tens of thousands of variants of one digest differ in which entries they have, and hardly in what an entry looks
like. Pieces are named by all that they are made from, so that none is ever stale.
"""

from dataclasses import dataclass
from hashlib import blake2b
from typing import Any, NamedTuple

from babel import Locale

from alerts.mail.kept import Kept
from alerts.mail.shown import NAME_LIMIT, ShownEntry, shown
from alerts.mail.story import Story, cut, read_story
from alerts.mail.templates import Templates
from alerts.mail.views import DigestEntry
from alerts.mail.words import clean, clip, quoted_printable, tidy_html, tidy_text

NAMES = ("digest/line.txt", "digest/line.html", "digest/entry.txt", "digest/entry.html")

_KEPT_STORIES = 16_000_000  # bytes
_KEPT_PIECES = 32_000_000
# A digest has room for less of an entry than a mail of its own, and there is much to read for the first variant.
_INPUT_LIMIT = 20_000


class Piece(NamedTuple):
    """The same words for both parts, and how many bytes of mail they take."""

    html: str
    text: str
    size: int


@dataclass(frozen=True, slots=True)
class Manner:
    """How entries are told: in which language, with which times."""

    locale: Locale
    zone: str
    frequency: str


class PieceWriter:
    """Writes pieces by the site's templates; threads may share it."""

    def __init__(self, templates: Templates) -> None:
        self._templates = templates
        self._stories = Kept[tuple[str, str], Story](_KEPT_STORIES)
        self._pieces = Kept[tuple[object, ...], Piece](_KEPT_PIECES)

    def headline(self, entry: DigestEntry) -> str:
        """Gives an entry's headline, or its first words."""
        return self._shown(entry, 0).headline

    def line(self, entry: DigestEntry, manner: Manner, *, is_told: bool) -> Piece:
        """Gives an entry's line in the contents: it leads to its text below, or to where the entry stands."""
        return self._piece("line", entry, manner, 0, is_told=is_told)

    def telling(self, entry: DigestEntry, manner: Manner, limit: int) -> Piece:
        """Gives an entry with as much of its text as fits into `limit` bytes of mail."""
        return self._piece("entry", entry, manner, limit)

    def _piece(self, kind: str, entry: DigestEntry, manner: Manner, limit: int, **values: Any) -> Piece:
        return self._pieces.get(
            (kind, entry, manner, limit, *values.values()),
            lambda: self._write(kind, entry, manner, limit, values),
            lambda piece: len(piece.html) + len(piece.text) + _weight(entry),
        )

    def _write(
        self, kind: str, entry: DigestEntry, manner: Manner, limit: int, values: dict[str, Any]
    ) -> Piece:
        templates = self._templates.of(manner.locale)
        context = {
            "entry": self._shown(entry, limit),
            "anchor": _anchor(entry),
            "topics": [clip(clean(topic), NAME_LIMIT) for topic in entry.topics],
            "mark": entry.mark,
            "zone": manner.zone,
            "frequency": manner.frequency,
            **values,
        }
        html = tidy_html(templates[f"digest/{kind}.html"].render(context))
        text = tidy_text(templates[f"digest/{kind}.txt"].render(context))
        return Piece(html, text, len(quoted_printable(html)) + len(quoted_printable(text)))

    def _shown(self, entry: DigestEntry, limit: int) -> ShownEntry:
        given = entry.entry
        story = self._stories.get(
            (given.html, given.text),
            lambda: read_story(given.html, given.text, _INPUT_LIMIT),
            lambda story: len(story.html) + len(story.text) + _weight(entry),
        )
        return shown(given, cut(story, limit), given.published_at)


def _anchor(entry: DigestEntry) -> str:
    """Gives the name of the place where an entry is told: the same in each digest, as its HTML is."""
    return f"e{blake2b(repr(entry).encode(errors='replace'), digest_size=6).hexdigest()}"


def _weight(entry: DigestEntry) -> int:
    return 1_000 + len(entry.entry.html) + len(entry.entry.text)
