"""From a rendering to the bytes on the wire: everything is made once, and a reader's mail is one join.

A `Prepared` is constant bytes around holes: the address, the Message-ID and the token in the head, and the
token again in both parts of the body. In quoted-printable the token's hole stands alone between two soft
line breaks (RFC 2045, 6.7), so that filling it moves no other byte. Nothing here depends on chance or on the
time of day: the same arguments give the same bytes, today and in a resend.
"""

import hashlib
import re
import struct
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from email import message_from_bytes
from functools import reduce
from typing import NamedTuple

from alerts.errors import ConfigError, Refused
from alerts.mail.headers import (
    LINE_LIMIT,
    date_line,
    list_id_line,
    mailbox_line,
    reader_address,
    text_line,
    verbatim_line,
    wire_address,
)
from alerts.mail.render import Rendered
from alerts.mail.words import quoted_printable

_UNSIGNED, _SIGNED, _NOTICE = b"\x01", b"\x02", b"\x03"
_COMPRESSED, _QUICK = b"\x04", 1
_NOT_WHOLE = "A prepared mail is not whole."
_LENGTH = struct.Struct(">I")
_HEAD_SEGMENTS, _NOTICE_SEGMENTS = 4, 3
_TOKEN_LENGTH = 43
_TOKEN = re.compile(rf"[A-Za-z0-9_-]{{{_TOKEN_LENGTH}}}")
_MESSAGE_ID = re.compile(r"[A-Za-z0-9_-]{1,64}(?:\.[A-Za-z0-9_-]{1,64}){0,3}")
_BASE_URL = re.compile(r"https?://[A-Za-z0-9._~:/\[\]@!$&'*+;=%-]+[^/]")


@dataclass(frozen=True, slots=True)
class Headers:
    """What the head of every mail of one variant says; the subject comes with the rendering.

    Without a `list_id` it is no list's mail but a notice, which one person asked for: there is nothing to
    unsubscribe from.
    """

    sender_name: str
    sender: str
    date: datetime
    list_id: str
    list_name: str
    base_url: str
    feedback_id: str = ""


@dataclass(frozen=True, slots=True)
class Pinned:
    """One DKIM signature, as far as it is the same for all readers: its header up to the body's hash, and its key.

    `key` is a fingerprint of 32 bytes; `alerts.mail.dkim` writes and reads both.
    """

    head: bytes
    key: bytes


@dataclass(frozen=True, slots=True)
class Prepared:
    """Constant segments, dot-stuffed (RFC 5321, 4.5.2); between two of them belongs what is the reader's.

    `head` has four, around the address, the Message-ID's local part and the token, and ends with the empty
    line; a notice's has three, as no token stands in it. `body` has one more than there are tokens in both
    parts; `signatures` stand before the head.
    """

    head: tuple[bytes, ...]
    body: tuple[bytes, ...]
    signatures: tuple[Pinned, ...] = ()


class Fillings(NamedTuple):
    """What fills a prepared mail's holes for one reader; `fillings` makes it."""

    to: bytes
    message_id: bytes
    token: bytes


def prepare(rendered: Rendered, headers: Headers) -> Prepared:
    """Gives the segments that all readers of one variant share.

    Raises ConfigError when a setting of the site cannot stand in a header.
    """
    text = _part(rendered.text, rendered.hole)
    html = _part(rendered.html, rendered.hole)
    boundary = _boundary(text, html)
    body = _run_on(
        (_part_head(boundary, "plain"),),
        text,
        (b"\r\n" + _part_head(boundary, "html"),),
        html,
        (f"\r\n--{boundary}--\r\n".encode("ascii"),),
    )
    return Prepared(_head(rendered.subject, headers, boundary), tuple(map(_stuffed, body)))


def fillings(address: str, message_id: str, token: str) -> Fillings:
    """Gives what is one reader's, checked once, as it stands in the mail.

    Raises Refused for an address that cannot be mailed, or for what is no Message-ID or token.
    """
    if not _TOKEN.fullmatch(token):
        raise Refused("A link's token is 43 url-safe characters.")
    if not _MESSAGE_ID.fullmatch(message_id):
        raise Refused("A Message-ID's local part is letters, digits, hyphens and underscores.")
    return Fillings(reader_address(address).encode(), message_id.encode("ascii"), token.encode("ascii"))


def compose(prepared: Prepared, own: Fillings, *, signature: bytes = b"") -> bytes:
    """Gives one reader's mail as DATA wants it: CRLF, dot-stuffed, without the dot that ends it.

    `signature` are the header lines of all that are pinned.
    """
    assert bool(signature) is bool(prepared.signatures), "a resend would be other bytes"
    head = prepared.head
    return b"".join(
        (
            signature,
            head[0],
            own.to,
            head[1],
            own.message_id,
            own.token.join(head[2:]),
            own.token.join(prepared.body),
        )
    )


def eml(wire: bytes) -> bytes:
    """Gives the message as a file holds it: without the dots that were stuffed for the wire."""
    return wire.replace(b"\r\n..", b"\r\n.")


def html_part(prepared: Prepared, token: str) -> str:
    """Gives the HTML of the mail that the reader of this token got."""
    own = Fillings(b"", b"", token.encode("ascii"))
    message = message_from_bytes(eml(compose(replace(prepared, signatures=()), own)))
    (html,) = (part for part in message.walk() if part.get_content_type() == "text/html")
    decoded = html.get_payload(decode=True)
    assert isinstance(decoded, bytes), "a part that is not multipart"
    return decoded.decode().replace("\r\n", "\n")


def pack(prepared: Prepared) -> bytes:
    """Gives `prepared` as one value for a table: a version, then each segment after its length, compressed.

    The version is 2 where signatures are pinned, and 3 for a notice; their number and their segments then stand
    first. A digest may have a variant for nearly each reader, and a seventh of it is left.
    """
    return _COMPRESSED + zlib.compress(_written(prepared), _QUICK)


def _written(prepared: Prepared) -> bytes:
    segments = [*prepared.head, *prepared.body]
    is_notice = len(prepared.head) == _NOTICE_SEGMENTS
    if not prepared.signatures and not is_notice:
        return _UNSIGNED + _packed(segments)
    pinned = [part for each in prepared.signatures for part in (each.head, each.key)]
    version = _NOTICE if is_notice else _SIGNED
    return version + bytes([len(prepared.signatures)]) + _packed(pinned + segments)


def unpack(packed: bytes) -> Prepared:
    """Gives what `pack` was given; raises Refused for bytes that it did not write."""
    if packed[:1] == _COMPRESSED:  # it was not always
        packed = _unpressed(packed[1:])
    version, pinned, segments = packed[:1], 0, list[bytes]()
    if version == _UNSIGNED:
        segments = list(_segments(packed, 1))
    elif (version == _SIGNED and any(packed[1:2])) or (version == _NOTICE and len(packed) > 1):
        pinned, segments = 2 * packed[1], list(_segments(packed, 2))
    body = pinned + (_NOTICE_SEGMENTS if version == _NOTICE else _HEAD_SEGMENTS)
    if len(segments) <= body:
        raise Refused(
            "This mail was prepared by another version of alerts: run that one, or render it again."
        )
    signatures = map(Pinned, segments[:pinned:2], segments[1:pinned:2])
    return Prepared(tuple(segments[pinned:body]), tuple(segments[body:]), tuple(signatures))


def _unpressed(compressed: bytes) -> bytes:
    inflating = zlib.decompressobj()
    try:
        written = inflating.decompress(compressed)
    except zlib.error:
        raise Refused(_NOT_WHOLE) from None
    if inflating.unused_data or not inflating.eof:
        raise Refused(_NOT_WHOLE)
    return written


def _head(subject: str, headers: Headers, boundary: str) -> tuple[bytes, ...]:
    domain = wire_address(headers.sender).rpartition("@")[2]
    _require_base_url(headers.base_url)
    feedback = verbatim_line("Feedback-ID", headers.feedback_id) if headers.feedback_id else b""
    return _run_on(
        (
            mailbox_line("From", headers.sender_name, headers.sender) + b"To: ",
            b"\r\n" + text_line("Subject", subject) + date_line(headers.date) + b"Message-ID: <",
            f"@{domain}>\r\n".encode("ascii"),
        ),
        _list_lines(headers) if headers.list_id else (b"",),
        (
            verbatim_line("Auto-Submitted", "auto-generated")  # RFC 3834
            + (verbatim_line("Precedence", "bulk") if headers.list_id else b"")
            + verbatim_line("X-Auto-Response-Suppress", "All")  # for Exchange
            + feedback
            + verbatim_line("MIME-Version", "1.0")
            + verbatim_line("Content-Type", f'multipart/alternative; boundary="{boundary}"')
            + b"\r\n",
        ),
    )


def _list_lines(headers: Headers) -> tuple[bytes, bytes]:
    """Gives the headers that only a list's mail has, around the token."""
    return (
        list_id_line(headers.list_name, headers.list_id)
        + f"List-Unsubscribe: <{headers.base_url}/u/".encode("ascii"),
        b">\r\n" + verbatim_line("List-Unsubscribe-Post", "List-Unsubscribe=One-Click"),  # RFC 8058
    )


def _require_base_url(base_url: str) -> None:
    room = LINE_LIMIT - len("List-Unsubscribe: </u/>") - _TOKEN_LENGTH
    if not _BASE_URL.fullmatch(base_url) or len(base_url) > room:
        raise ConfigError(
            "site.base_url must be a plain http or https address without a slash at its end; "
            "write an international domain as xn--..."
        )


def _part(content: str, hole: str) -> tuple[bytes, ...]:
    *before, last = content.split(hole)
    # A character more, taken off again, keeps the column free that the soft break needs.
    pieces = [quoted_printable(f"{piece}~")[:-1] for piece in before] + [quoted_printable(last)]
    return tuple(b"=\r\n\0=\r\n".join(pieces).split(b"\0"))  # quoted-printable holds no NUL


def _boundary(*parts: tuple[bytes, ...]) -> str:
    """Gives a boundary from the content's hash; in quoted-printable no "=" is ever followed by "_"."""
    digest = hashlib.sha256(b"\0".join(b"\1".join(part) for part in parts))
    return f"=_{digest.hexdigest()[:24]}"


def _part_head(boundary: str, kind: str) -> bytes:
    return (
        f"--{boundary}\r\n"
        f"Content-Type: text/{kind}; charset=utf-8\r\n"
        "Content-Transfer-Encoding: quoted-printable\r\n"
        "\r\n"
    ).encode("ascii")


def _run_on(*runs: tuple[bytes, ...]) -> tuple[bytes, ...]:
    """Gives runs of segments as one: between the end of one and the start of the next is no hole."""
    return reduce(lambda run, more: (*run[:-1], run[-1] + more[0], *more[1:]), runs)


def _stuffed(segment: bytes) -> bytes:
    # No segment starts a line with a dot itself: each follows a header's CRLF with a dash, or a hole with "=".
    return segment.replace(b"\r\n.", b"\r\n..")


def _packed(segments: Sequence[bytes]) -> bytes:
    return b"".join(_LENGTH.pack(len(segment)) + segment for segment in segments)


def _segments(packed: bytes, position: int) -> Iterator[bytes]:
    while position < len(packed):
        start = position + _LENGTH.size
        position = start + int.from_bytes(packed[start - _LENGTH.size : start], "big")
        if position > len(packed):
            raise Refused(_NOT_WHOLE)
        yield packed[start:position]
