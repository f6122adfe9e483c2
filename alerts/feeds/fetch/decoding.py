"""Unpacks a body piece by piece, within limits, so that a bomb costs no more than what it may grow to; pure.

Four content codings (RFC 9110 section 8.4, RFC 8878 for zstd), each over an engine that gives its output in
blocks. Every layer counts what it took and gave, so that an inner one cannot hide what an outer one did.
"""

import hashlib
import re
import sys
import zlib
from collections.abc import Callable, Iterator, Sequence
from typing import Protocol

import brotli

from alerts.errors import FetchFailed

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

ACCEPT = "gzip, br, zstd, deflate"

_BLOCK = 64 * 1024
_FREE = 1_000_000  # bytes a body may unpack to, however small it was
_RATIO = 200  # beyond them: text packs to a tenth, pages of copies to a fiftieth
_LAYERS = 2
_MOST_MEMBERS = 1_000  # of one gzip or zstd body
_HEAD = 24  # bytes that tell a coding
_TEXT = 16  # of them that are plain in a text
_LARGEST_WINDOW_LOG = 23  # 8 MB: RFC 9659, zstd's windows for HTTP

_CODINGS = frozenset({"gzip", "x-gzip", "br", "zstd", "deflate"})
_GZIP, _ZLIB, _RAW = 16 + zlib.MAX_WBITS, zlib.MAX_WBITS, -zlib.MAX_WBITS
_GZIP_MAGIC = b"\x1f\x8b"
_ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"
_PLAIN = re.compile(rb"[\t\r\n\x20-\x7e]*")
_BROKEN = (zlib.error, brotli.error, zstd.ZstdError, EOFError)


class Engine(Protocol):
    """Unpacks one coding; `is_done` once its end was seen, after which more input is left alone."""

    @property
    def is_done(self) -> bool: ...

    def blocks(self, data: bytes) -> Iterator[bytes]: ...


class Decoder:
    """Takes a body's bytes as they come, and gives it unpacked at the end; raises FetchFailed, nothing else."""

    def __init__(self, content_encoding: str, limit: int) -> None:
        self.body = bytearray()
        self._limit = limit
        self._hash = hashlib.sha256()
        self._layers = [_Layer(coding, limit) for coding in _codings(content_encoding)]

    def feed(self, piece: bytes) -> None:
        """Takes a piece of the body."""
        self._take(piece, self._layers)

    def finish(self) -> tuple[bytes, str]:
        """Gives the body unpacked, and its SHA-256 in hexadecimal."""
        for index, layer in enumerate(self._layers):
            for block in layer.end():
                self._take(block, self._layers[index + 1 :])
        return bytes(self.body), self._hash.hexdigest()

    def _take(self, data: bytes, layers: Sequence["_Layer"]) -> None:
        if layers:
            for block in layers[0].feed(data):
                self._take(block, layers[1:])
            return
        self.body += data
        self._hash.update(data)
        if len(self.body) > self._limit:
            raise _too_large(self._limit)


class _Layer:
    """One coding of a body, told by how the body begins: its header may lie."""

    def __init__(self, coding: str, limit: int) -> None:
        self._coding = coding
        self._limit = limit
        self._head = b""
        self._engine: Engine | None = None
        self._taken = self._given = 0

    def feed(self, data: bytes) -> Iterator[bytes]:
        self._taken += len(data)
        if self._taken > self._limit + _FREE:
            raise _too_large(self._limit)
        if self._engine is None:
            self._head += data
            if len(self._head) < _HEAD:
                return
            data = self._head
            self._engine = _engine(self._coding, data)
        yield from self._blocks(self._engine, data)

    def end(self) -> Iterator[bytes]:
        if self._engine is None:
            if not self._head:
                return
            self._engine = _engine(self._coding, self._head)
            yield from self._blocks(self._engine, self._head)
        if not self._engine.is_done:
            raise FetchFailed(
                f"The page breaks off in the middle of its {self._coding} packing: a later try may get it whole."
            )

    def _blocks(self, engine: Engine, data: bytes) -> Iterator[bytes]:
        try:
            for block in engine.blocks(data):
                self._given += len(block)
                if self._given > max(_FREE, _RATIO * self._taken):
                    raise FetchFailed(
                        f"The page unpacks to more than {_RATIO} times its size, as no honest page does."
                    )
                yield block
        except _BROKEN as error:
            raise FetchFailed(
                f"The page's {self._coding} packing is broken: tell its owner if it stays so."
            ) from error


class _Plain:
    is_done = True

    def blocks(self, data: bytes) -> Iterator[bytes]:
        yield data


class _Zlib:
    """One stream of gzip, or of deflate with or without its wrapping."""

    def __init__(self, window: int) -> None:
        self._engine = zlib.decompressobj(window)

    @property
    def is_done(self) -> bool:
        return self._engine.eof

    @property
    def unused(self) -> bytes:
        return self._engine.unused_data

    def blocks(self, data: bytes) -> Iterator[bytes]:
        while not self.is_done:
            block = self._engine.decompress(data, _BLOCK)
            if block:
                yield block
            data = self._engine.unconsumed_tail
            if not data and len(block) < _BLOCK:
                return


class _Zstd:
    """One frame of zstd."""

    def __init__(self) -> None:
        self._engine = zstd.ZstdDecompressor(
            options={zstd.DecompressionParameter.window_log_max: _LARGEST_WINDOW_LOG}
        )

    @property
    def is_done(self) -> bool:
        return self._engine.eof

    @property
    def unused(self) -> bytes:
        return self._engine.unused_data

    def blocks(self, data: bytes) -> Iterator[bytes]:
        while not self.is_done:
            block = self._engine.decompress(data, _BLOCK)
            if block:
                yield block
            data = b""
            if self._engine.needs_input:
                return


class _Brotli:
    def __init__(self) -> None:
        self._engine = brotli.Decompressor()
        self.is_done = False

    def blocks(self, data: bytes) -> Iterator[bytes]:
        # `can_accept_more_data` speaks of input alone: output may wait though it says yes.
        while not self.is_done and (block := self._engine.process(data, output_buffer_limit=_BLOCK)):
            yield block
            data = b""
        self.is_done = self._engine.is_finished()


class _Members:
    """A body of several streams, each with its magic; padding behind the last is left alone, as everybody does."""

    def __init__(self, begin: Callable[[], _Zlib | _Zstd], magic: bytes) -> None:
        self._begin = begin
        self._magic = magic
        self._stream = begin()
        self._begun = 1
        self._rest = b""  # less than a magic: the next piece tells whether it is one

    @property
    def is_done(self) -> bool:
        return self._stream.is_done

    def blocks(self, data: bytes) -> Iterator[bytes]:
        data, self._rest = self._rest + data, b""
        while True:
            if self._stream.is_done:
                if len(data) < len(self._magic):
                    self._rest = data
                    return
                if not data.startswith(self._magic):
                    return
                self._begun += 1
                if self._begun > _MOST_MEMBERS:
                    raise zlib.error("too many members")
                self._stream = self._begin()
            yield from self._stream.blocks(data)
            if not self._stream.is_done:
                return
            data = self._stream.unused


def _engine(coding: str, head: bytes) -> Engine:
    """Chooses how to unpack a body; one that is plainly not packed, though its header says so, passes as it is."""
    match coding:
        case "gzip" | "x-gzip" if head.startswith(_GZIP_MAGIC):
            return _Members(lambda: _Zlib(_GZIP), _GZIP_MAGIC)
        case "zstd" if head.startswith(_ZSTD_MAGIC):
            return _Members(_Zstd, _ZSTD_MAGIC)
        case "br" if not _is_text(head):
            return _Brotli()
        case "deflate" if not _is_text(head):
            return _Zlib(_ZLIB if _is_wrapped(head) else _RAW)
    return _Plain()


def _is_wrapped(head: bytes) -> bool:
    """Tells zlib's wrapping by its two check bytes (RFC 1950); many servers leave it out."""
    return head[0] & 15 == zlib.DEFLATED and len(head) > 1 and (head[0] << 8 | head[1]) % 31 == 0


def _is_text(head: bytes) -> bool:
    """Whether a body begins like markup or JSON, as next to nothing does that is packed."""
    head = head.removeprefix(b"\xef\xbb\xbf")[:_TEXT]
    return head.lstrip()[:1] in (b"<", b"{", b"[") and _PLAIN.fullmatch(head) is not None


def _codings(content_encoding: str) -> list[str]:
    """Gives the codings to undo, outermost first; raises FetchFailed for those that we do not know."""
    found = [each.strip().lower() for each in content_encoding.split(",")]
    found = [each for each in found if each not in ("", "identity")]
    if len(found) > _LAYERS or not _CODINGS.issuperset(found):
        raise FetchFailed("The page is packed in a way that we did not ask for: its server must mend it.")
    return found[::-1]


def _too_large(limit: int) -> FetchFailed:
    return FetchFailed(f"The page is larger than {limit:,} bytes: raise polling.body_limit if it is meant.")
