"""Unpacks a body piece by piece, within limits, so that a bomb costs no more than what it may grow to; pure.

Four content codings (RFC 9110 section 8.4, RFC 8878 for zstd), each over an engine that gives its output in
blocks. Every layer counts what it took and gave, so that an inner one cannot hide what an outer one did.
"""

import hashlib
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
_MAGIC = 4  # bytes that tell a coding
_LARGEST_WINDOW_LOG = 23  # 8 MB: RFC 9659, zstd's windows for HTTP

_GZIP, _ZLIB, _RAW = 16 + zlib.MAX_WBITS, zlib.MAX_WBITS, -zlib.MAX_WBITS
_GZIP_MAGIC = b"\x1f\x8b"
_ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"
_BROKEN = (zlib.error, brotli.error, zstd.ZstdError, EOFError)


class Engine(Protocol):
    """Unpacks one coding; `is_done` once its end was seen, after which more input is left alone."""

    is_done: bool

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
    """One coding of a body. What is plainly not packed, though its header says so, passes as it is."""

    def __init__(self, coding: str, limit: int) -> None:
        self._coding = coding
        self._limit = limit
        self._engine: Engine | None = None
        self._kept = b""  # what came before the first block: if it cannot be unpacked, it may be plain
        self._is_open = False
        self._taken = self._given = 0

    def feed(self, data: bytes) -> Iterator[bytes]:
        self._taken += len(data)
        if self._taken > self._limit + _FREE:
            raise _too_large(self._limit)
        if not self._is_open:
            self._kept += data
        if self._engine is None:
            if len(self._kept) < _MAGIC:
                return
            data = self._begin()
        yield from self._blocks(data)

    def end(self) -> Iterator[bytes]:
        if self._engine is None:
            if not self._kept:
                return
            yield from self._blocks(self._begin())
        assert self._engine is not None, "begun"
        if not self._engine.is_done:
            raise FetchFailed(
                f"The page breaks off in the middle of its {self._coding} packing: a later try may get it whole."
            )

    def _begin(self) -> bytes:
        self._engine = _ENGINES[self._coding](self._kept)
        return self._kept

    def _blocks(self, data: bytes) -> Iterator[bytes]:
        assert self._engine is not None, "begun"
        try:
            for block in self._engine.blocks(data):
                self._is_open, self._kept = True, b""
                self._given += len(block)
                if self._given > max(_FREE, _RATIO * self._taken):
                    raise FetchFailed(
                        f"The page unpacks to more than {_RATIO} times its size, as no honest page does."
                    )
                yield block
        except _BROKEN as error:
            if self._is_open or not _looks_plain(self._kept):
                raise FetchFailed(
                    f"The page's {self._coding} packing is broken: tell its owner if it stays so."
                ) from error
            self._engine, self._is_open = _Plain(), True
            yield self._kept


class _Plain:
    is_done = True

    def blocks(self, data: bytes) -> Iterator[bytes]:
        yield data


class _Zlib:
    """gzip with its members, and deflate with or without its wrapping."""

    def __init__(self, window: int) -> None:
        self._window = window
        self._engine = zlib.decompressobj(window)
        self._members = 1
        self.is_done = False

    def blocks(self, data: bytes) -> Iterator[bytes]:
        while not self.is_done:
            block = self._engine.decompress(data, _BLOCK)
            if block:
                yield block
            data = self._engine.unconsumed_tail
            if self._engine.eof:
                data = self._next_member(self._engine.unused_data)
            elif not data and len(block) < _BLOCK:
                return

    def _next_member(self, rest: bytes) -> bytes:
        """Begins the next member; padding behind the last one is left alone, as everybody does."""
        if self._window != _GZIP or not rest.startswith(_GZIP_MAGIC):
            self.is_done = True
            return b""
        self._members += 1
        if self._members > _MOST_MEMBERS:
            raise zlib.error("too many members")
        self._engine = zlib.decompressobj(self._window)
        return rest


class _Brotli:
    def __init__(self) -> None:
        self._engine = brotli.Decompressor()
        self.is_done = False

    def blocks(self, data: bytes) -> Iterator[bytes]:
        while not self.is_done:
            block = self._engine.process(data, output_buffer_limit=_BLOCK)
            if block:
                yield block
            data = b""
            self.is_done = self._engine.is_finished()
            if self._engine.can_accept_more_data():
                return


class _Zstd:
    """zstd with its frames."""

    def __init__(self) -> None:
        self._engine = self._frame()
        self._frames = 1
        self.is_done = False

    def blocks(self, data: bytes) -> Iterator[bytes]:
        while not self.is_done:
            block = self._engine.decompress(data, _BLOCK)
            if block:
                yield block
            data = b""
            if self._engine.eof:
                data = self._next_frame(self._engine.unused_data)
            elif self._engine.needs_input:
                return

    def _next_frame(self, rest: bytes) -> bytes:
        if not rest.startswith(_ZSTD_MAGIC):
            self.is_done = True
            return b""
        self._frames += 1
        if self._frames > _MOST_MEMBERS:
            raise zstd.ZstdError("too many frames")
        self._engine = self._frame()
        return rest

    @staticmethod
    def _frame() -> zstd.ZstdDecompressor:
        return zstd.ZstdDecompressor(
            options={zstd.DecompressionParameter.window_log_max: _LARGEST_WINDOW_LOG}
        )


def _gzip(head: bytes) -> Engine:
    return _Zlib(_GZIP) if head.startswith(_GZIP_MAGIC) else _Plain()


def _deflate(head: bytes) -> Engine:
    """Tells zlib's wrapping by its two check bytes (RFC 1950); many servers leave it out."""
    is_wrapped = head[0] & 15 == zlib.DEFLATED and len(head) > 1 and (head[0] << 8 | head[1]) % 31 == 0
    return _Zlib(_ZLIB if is_wrapped else _RAW)


def _zstd(head: bytes) -> Engine:
    return _Zstd() if head.startswith(_ZSTD_MAGIC) else _Plain()


_ENGINES: dict[str, Callable[[bytes], Engine]] = {
    "gzip": _gzip,
    "x-gzip": _gzip,
    "deflate": _deflate,
    "br": lambda _: _Brotli(),
    "zstd": _zstd,
}


def _codings(content_encoding: str) -> list[str]:
    """Gives the codings to undo, outermost first; raises FetchFailed for those that we do not know."""
    found = [each.strip().lower() for each in content_encoding.split(",")]
    found = [each for each in found if each not in ("", "identity")]
    if len(found) > _LAYERS or any(each not in _ENGINES for each in found):
        raise FetchFailed("The page is packed in a way that we did not ask for: its server must mend it.")
    return found[::-1]


def _looks_plain(head: bytes) -> bool:
    return head.removeprefix(b"\xef\xbb\xbf").lstrip()[:1] in (b"<", b"{", b"[")


def _too_large(limit: int) -> FetchFailed:
    return FetchFailed(f"The page is larger than {limit:,} bytes: raise polling.body_limit if it is meant.")
