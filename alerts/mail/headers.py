"""Header lines, written by us to the last byte.

Python's email package is not used: on versions that people run it turns an encoded word in a title into a
header of its own (CVE-2024-6923), and folds a long List-Unsubscribe URL into encoded words, which ends
one-click. Here text is either plain ASCII words or encoded as a whole, so `=?` in it is never markup;
structured values are checked, and written as they are or not at all.
"""

import base64
import re
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import AnyStr

from email_validator import EmailNotValidError, validate_email

from alerts.errors import ConfigError, Refused
from alerts.mail.words import clean, clip

LINE_LIMIT = 998  # RFC 5322 section 2.1.1, without the CRLF
_FOLD_AT = 76  # RFC 2047 section 2: no line with an encoded word may be longer
_WORD_LIMIT = 60  # so that a first word and the name of its header share a line
_ENCODED_LIMIT = _WORD_LIMIT - len("=?utf-8?q??=")
_BYTES_LIMIT = _ENCODED_LIMIT // 4 * 3  # of which base64 makes that many characters
_NAME_LIMIT = 100
_ATOM = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+"
_DOT_ATOM = re.compile(rf"{_ATOM}(?:\.{_ATOM})*")
_PHRASE_WORD = re.compile(_ATOM)
# RFC 5321 section 4.5.3.1: 64 octets before the sign. An encoded word is legal there, and some readers decode it.
_ADDRESS = re.compile(
    rf"(?!.*=\?)(?=.{{1,254}}\Z)(?=[^@]{{1,64}}@){_ATOM}(?:\.{_ATOM})*@[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)*"
)
_PHRASE_SAFE = frozenset(
    b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789!*+-/"
)  # RFC 2047, 5 (3)
_NAME_OCTETS = 64  # RFC 5321, 4.5.3.1.1, in UTF-8 (RFC 6531, 3.3)
_NO_ADDRESS = "This is not an address that mail can be sent to: write it as name@example.org."
_VERBATIM = re.compile(r"[!-~]+(?: [!-~]+)*")


def wire_address(address: str) -> str:
    """Gives `address` as any SMTP server can be given it: ASCII, an international domain as A-labels.

    Raises Refused, without naming it, for a name beyond ASCII, or anything that is not one bare address.
    """
    written = reader_address(address)
    if not written.isascii():
        raise Refused("This address has a name beyond ASCII, which not every server can be given.")
    return written


def reader_address(address: str) -> str:
    """Gives `address` as To and RCPT write it: ASCII but for a name that is not (RFC 6531), domains as A-labels.

    Raises Refused, without naming it, for anything that is not one bare address.
    """
    if not address.isascii():
        return _international(address)
    if not _ADDRESS.fullmatch(address):
        raise Refused(_NO_ADDRESS)
    return address


def text_line(name: str, text: str) -> bytes:
    """Gives an unstructured header such as Subject: folded, decoding to exactly `clean(text)`."""
    return _folded(name, _words(clean(text)))


def mailbox_line(name: str, phrase: str, address: str) -> bytes:
    """Gives a header such as From: a display name, when there is one, and an address."""
    return _folded(name, [*_phrase(phrase), f"<{wire_address(address)}>"])


def list_id_line(phrase: str, list_id: str) -> bytes:
    """Gives the List-Id of RFC 2919; raises ConfigError unless `list_id` looks like a domain name."""
    if len(list_id) > 255 or "." not in list_id or not _DOT_ATOM.fullmatch(list_id):  # noqa: PLR2004 - RFC 2919, 2
        raise ConfigError(f"{list_id!r} is no List-Id: write a name like news.example.org.")
    return _folded("List-Id", [*_phrase(phrase), f"<{list_id}>"])


def date_line(at: datetime) -> bytes:
    """Gives the Date header in UTC; `at` is aware."""
    return verbatim_line("Date", format_datetime(at.astimezone(UTC)))


def verbatim_line(name: str, value: str) -> bytes:
    """Gives `name: value` on one line as it stands, or raises ConfigError: it is never folded or encoded."""
    line = f"{name}: {value}"
    if not _VERBATIM.fullmatch(value) or len(line) > LINE_LIMIT:
        raise ConfigError(f"The value for {name} is too long, or has characters that no header can carry.")
    return f"{line}\r\n".encode("ascii")


def _international(address: str) -> str:
    try:
        valid = validate_email(address, check_deliverability=False, strict=True, globally_deliverable=False)
    except EmailNotValidError:
        raise Refused(_NO_ADDRESS) from None
    written = f"{valid.local_part}@{valid.ascii_domain}"
    if "=?" in written or not written.isprintable() or len(valid.local_part.encode()) > _NAME_OCTETS:
        raise Refused(_NO_ADDRESS)
    return written


def _words(text: str) -> list[str]:
    words = text.split(" ")
    is_plain = text.isascii() and "=?" not in text and max(map(len, words)) <= _WORD_LIMIT
    return words if is_plain else _encoded_words(text)


def _phrase(text: str) -> list[str]:
    text = clip(clean(text), _NAME_LIMIT)
    words = _words(text)
    if not text or "".join(words).startswith("=?") or all(map(_PHRASE_WORD.fullmatch, words)):
        return [word for word in words if word]
    escaped = text.replace("\\", r"\\").replace('"', r"\"")
    return [f'"{escaped}"'] if len(escaped) < _WORD_LIMIT else _encoded_words(text)


def _encoded_words(text: str) -> list[str]:
    """Gives RFC 2047 encoded words of whole characters: in Q where half of it can be read, else in B."""
    characters = [character.encode() for character in text]
    quoted = [_quoted(character) for character in characters]
    if sum(len(each) == 1 for each in quoted) * 2 >= len(text):
        return [f"=?utf-8?q?{''.join(run)}?=" for run in _runs(quoted, _ENCODED_LIMIT)]
    runs = _runs(characters, _BYTES_LIMIT)
    return [f"=?utf-8?b?{base64.b64encode(b''.join(run)).decode('ascii')}?=" for run in runs]


def _quoted(character: bytes) -> str:
    if character == b" ":
        return "_"
    return "".join(chr(byte) if byte in _PHRASE_SAFE else f"={byte:02X}" for byte in character)


def _runs(pieces: Sequence[AnyStr], limit: int) -> Iterator[list[AnyStr]]:
    run: list[AnyStr] = []
    size = 0
    for piece in pieces:
        if run and size + len(piece) > limit:
            yield run
            run, size = [], 0
        run.append(piece)
        size += len(piece)
    if run:
        yield run


def _folded(name: str, words: Sequence[str]) -> bytes:
    lines = [f"{name}:"]
    for position, word in enumerate(words):
        # A line with the name alone is legal, but some programs take it for an empty header.
        if position and len(lines[-1]) + 1 + len(word) > _FOLD_AT:
            lines.append("")
        lines[-1] += f" {word}"
    return "".join(f"{line}\r\n" for line in lines).encode("ascii")
