"""Text that comes from outside, made fit for a mail: cleaned, clipped on a word, wrapped."""

import re
import textwrap
from functools import lru_cache

WIDTH = 72

# C0 and C1 controls, the byte order mark, lone surrogates (no bytes stand for them), and what turns the
# direction of the text after it (UAX 9, section 2): it could make a link show another address.
_UNWANTED = re.compile("[\x00-\x08\x0e-\x1f\x7f-\x84\x86-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff\ufeff]")
_LINE_ENDS = re.compile("\r\n|[\n\r\x0b\x0c\x85\u2028\u2029]")
_SPACES = re.compile("[ \t\n\r\x0b\x0c\x85\u2028\u2029]+")

_ENCODED_WIDTH = 76
_KNOWN_LENGTH = 1_000  # characters: what is remembered stays below 8 MB
_NOT_LITERAL = re.compile(rb"[^ -~]+| \Z")
# As much of a line as leaves a column for the soft break, and does not end within a "=XX".
_ENCODED_PIECE = re.compile(rb".{1,75}(?<!=)(?<!=.)")


def clean(text: str) -> str:
    """Gives `text` on one line, with single spaces, and nothing in it that is not to be seen."""
    return _SPACES.sub(" ", _UNWANTED.sub("", text)).strip(" ")


def clean_lines(text: str) -> str:
    """Gives `text` with plain newlines as its only controls."""
    return _UNWANTED.sub("", _LINE_ENDS.sub("\n", text)).replace("\t", " ")


def clip(text: str, limit: int) -> str:
    """Gives `text`, or as many whole words of it as fit into `limit` characters, one or more, with an ellipsis."""
    if len(text) <= limit:
        return text
    kept = text[: limit - 1]
    space = kept.rfind(" ")
    # A single endless word, or a script without spaces, is cut where it is.
    if not text[limit - 1].isspace() and space > limit // 2:
        kept = kept[:space]
    return kept.rstrip(" ,;:–—-\u200d") + "…"  # noqa: RUF001 - the en dash is meant


def wrap(text: str, first: str = "", rest: str = "") -> str:
    """Gives each line of `text` wrapped at 72 columns, indented; a longer word or URL stays whole."""
    lines: list[str] = []
    for line in text.split("\n"):
        lines += textwrap.wrap(
            line,
            WIDTH,
            initial_indent=rest if lines else first,
            subsequent_indent=rest,
            break_long_words=False,
            break_on_hyphens=False,
        )
    return "\n".join(lines)


def tidy_text(text: str) -> str:
    """Gives what a template wrote as text: no spaces at ends of lines, one empty line between paragraphs."""
    lines = (line.rstrip() for line in clean_lines(text).split("\n"))
    paragraphs = "\n".join(lines).strip("\n").split("\n\n")
    return "\n\n".join(stripped for each in paragraphs if (stripped := each.strip("\n"))) + "\n"


def tidy_html(html: str) -> str:
    """Gives what a template wrote as HTML without its indents and empty lines."""
    lines = (line.strip(" ") for line in clean_lines(html).split("\n"))
    return "\n".join(filter(None, lines)) + "\n"


def quoted_printable(text: str) -> bytes:
    r"""Gives `text` in RFC 2045 quoted-printable with CRLF for \n; no line is longer than 76.

    Python's own encoder lets a line grow to 78 when it ends with a space. Lines are remembered: the variants of a
    digest share nearly all of theirs.
    """
    return b"\r\n".join(
        [_known_line(line) if len(line) <= _KNOWN_LENGTH else _line(line) for line in text.split("\n")]
    )


def _line(line: str) -> bytes:
    encoded = _NOT_LITERAL.sub(
        lambda run: b"=" + run[0].hex("=").upper().encode("ascii"), line.encode().replace(b"=", b"=3D")
    )
    return encoded if len(encoded) <= _ENCODED_WIDTH else b"=\r\n".join(_ENCODED_PIECE.findall(encoded))


_known_line = lru_cache(maxsize=4_096)(_line)
