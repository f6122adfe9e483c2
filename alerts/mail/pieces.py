"""The pieces of digests: what each shows of one entry, written once and kept for the digests that tell it, too.

Tens of thousands of variants of one digest differ in which entries they have, and hardly in what an entry looks
like. Pieces are named by all that they are made from, so that none is ever stale.
"""

from collections.abc import Mapping
from hashlib import blake2b
from typing import NamedTuple

from jinja2 import Template

from alerts.mail.kept import Kept
from alerts.mail.shown import NAME_LIMIT, TOPICS_LIMIT, ShownEntry, shown
from alerts.mail.story import Story, cut, read_story
from alerts.mail.templates import Templates
from alerts.mail.views import DigestEntry
from alerts.mail.words import clean, clip, quoted_printable, tidy_html, tidy_text

NAMES = ("digest/line.txt", "digest/line.html", "digest/entry.txt", "digest/entry.html")

_KEPT_STORIES = 16_000_000  # bytes
_KEPT_PIECES = 32_000_000
# A digest has room for less of an entry than a mail of its own, and there is much to read for the first variant.
_INPUT_LIMIT = 20_000
_PIECES_WEIGHT = 6_000


class Piece(NamedTuple):
    """The same words for both parts, and how many bytes of mail they take."""

    html: str
    text: str
    size: int


class Manner(NamedTuple):
    """How entries are told: in which language, with which times. Its locale is named, as a key has to be quick."""

    locale: str
    zone: str
    frequency: str


class EntryPieces:
    """One entry in one manner; each piece is written when it is first asked for."""

    def __init__(
        self, templates: Mapping[str, Template], entry: DigestEntry, story: Story, manner: Manner
    ) -> None:
        self._templates = templates
        self._entry = entry
        self._story = story
        self._manner = manner
        self._written: dict[tuple[object, ...], Piece] = {}
        self._anchor = f"e{blake2b(repr(entry).encode(errors='replace'), digest_size=6).hexdigest()}"
        self.headline = self._shown(0).headline

    def line(self, *, is_told: bool) -> Piece:
        """Gives the entry's line in the contents: it leads to its text below, or to where the entry stands."""
        return self._piece("line", 0, is_told=is_told)

    def telling(self, limit: int) -> Piece:
        """Gives the entry with as much of its text as fits into `limit` bytes of mail."""
        return self._piece("entry", limit)

    def _piece(self, kind: str, limit: int, **values: bool) -> Piece:
        key = (kind, limit, *values.values())
        if (known := self._written.get(key)) is None:
            known = self._written[key] = self._write(kind, limit, values)
        return known

    def _write(self, kind: str, limit: int, values: Mapping[str, bool]) -> Piece:
        context = {
            "entry": self._shown(limit),
            "anchor": self._anchor,
            "topics": [clip(clean(topic), NAME_LIMIT) for topic in self._entry.topics[:TOPICS_LIMIT]],
            "more_topics": max(0, len(self._entry.topics) - TOPICS_LIMIT),
            "mark": self._entry.mark,
            "zone": self._manner.zone,
            "frequency": self._manner.frequency,
            **values,
        }
        html = tidy_html(self._templates[f"digest/{kind}.html"].render(context))
        text = tidy_text(self._templates[f"digest/{kind}.txt"].render(context))
        return Piece(html, text, len(quoted_printable(html)) + len(quoted_printable(text)))

    def _shown(self, limit: int) -> ShownEntry:
        return shown(self._entry.entry, cut(self._story, limit), self._entry.entry.published_at)


class PieceWriter:
    """Gives the pieces of entries by a site's templates; threads may share it."""

    def __init__(self, templates: Templates) -> None:
        self._templates = templates
        self._stories = Kept[tuple[str, str], Story](_KEPT_STORIES)
        self._pieces = Kept[tuple[DigestEntry, Manner], EntryPieces](_KEPT_PIECES)

    def of(self, entry: DigestEntry, manner: Manner) -> EntryPieces:
        """Gives the pieces of an entry, those that are kept when it was told before."""
        # Of the pieces that will be written, only what they can become at most is known.
        weight = 2 * _weight(entry) + _PIECES_WEIGHT
        return self._pieces.get((entry, manner), weight, lambda: self._new(entry, manner))

    def _new(self, entry: DigestEntry, manner: Manner) -> EntryPieces:
        templates = self._templates.of(self._templates.locale(manner.locale))
        html, text = entry.entry.html, entry.entry.text
        story = self._stories.get(
            (html, text), 3 * _weight(entry), lambda: read_story(html, text, _INPUT_LIMIT)
        )
        return EntryPieces(templates, entry, story, manner)


def _weight(entry: DigestEntry) -> int:
    return len(entry.entry.html) + len(entry.entry.text)
