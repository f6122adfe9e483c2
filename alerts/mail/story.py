"""An entry's own words as they stand in a mail: the same blocks as HTML and as text, cut at a paragraph."""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from alerts.mail.plain import PlainWriter
from alerts.mail.tidy import as_html, tidy
from alerts.mail.words import clean, clean_lines, clip, quoted_printable, wrap

# More would not fit into a mail, and the time it takes to parse can grow with the square.
INPUT_LIMIT = 60_000
# In both parts a character costs up to 12 bytes, four of UTF-8 in quoted-printable, and a share of the line ends.
_BYTES_PER_CHARACTER = 26


@dataclass(frozen=True, slots=True)
class Block:
    """A paragraph, list or quotation: the same words twice."""

    html: str
    text: str

    @property
    def size(self) -> int:
        """How many bytes of mail it takes."""
        return len(quoted_printable(self.html)) + len(quoted_printable(self.text))


@dataclass(frozen=True, slots=True)
class Story:
    """Blocks of an entry; `is_cut` when they are not all of it."""

    blocks: tuple[Block, ...]
    is_cut: bool = False

    @property
    def html(self) -> str:
        return "\n".join(block.html for block in self.blocks)

    @property
    def text(self) -> str:
        return "\n\n".join(block.text for block in self.blocks)

    @property
    def size(self) -> int:
        """How many bytes of mail it takes."""
        return sum(block.size for block in self.blocks)


def read_story(html: str, text: str, limit: int = INPUT_LIMIT) -> Story:
    """Gives an entry's HTML, or its plain text when the HTML holds no words; of either `limit` characters at most."""
    story = _read(html, limit)
    return story if story.blocks else _read(as_html(text), limit)


def cut(story: Story, budget: int) -> Story:
    """Gives as many whole blocks as fit into `budget` bytes of mail; of a first that is larger, its first words."""
    kept = _fitting(story.blocks, budget)
    if story.blocks and not kept:
        words = clip(clean(story.blocks[0].text), max(1, budget // _BYTES_PER_CHARACTER))
        kept = (Block(f"<p>{escape(words, quote=False)}</p>", wrap(words)),)
    return Story(kept, is_cut=story.is_cut or kept != story.blocks)


def _read(html: str, limit: int) -> Story:
    is_cut = len(html) > limit
    writer = PlainWriter()
    blocks = [Block(block, writer.write(block)) for block in tidy(clean_lines(html[:limit]))]
    # Where the input was cut its last block may end in the middle of a word.
    return Story(tuple(blocks[:-1] if is_cut and len(blocks) > 1 else blocks), is_cut=is_cut)


def _fitting(blocks: Sequence[Block], budget: int) -> tuple[Block, ...]:
    count, used = 0, 0
    for block in blocks:
        used += block.size
        if used > budget:
            break
        count += 1
    return tuple(blocks[:count])
