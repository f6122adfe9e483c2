"""Unpacking: every coding in any pieces, and no more of a bomb than its limit."""

import gzip
import hashlib
import tracemalloc
import zlib
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import suppress

import brotli
import pytest
from backports import zstd
from hypothesis import given
from hypothesis import strategies as st

from alerts.errors import FetchFailed
from alerts.feeds.fetch.decoding import Decoder

LIMIT = 5_000_000


def raw_deflate(data: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-15)
    return packer.compress(data) + packer.flush()


PACK: dict[str, Callable[[bytes], bytes]] = {
    "": bytes,
    "identity": bytes,
    "gzip": gzip.compress,
    "x-gzip": gzip.compress,
    "GZIP": gzip.compress,
    "deflate": zlib.compress,
    "Deflate": raw_deflate,
    "br": brotli.compress,
    "zstd": zstd.compress,
    "gzip, gzip": lambda data: gzip.compress(gzip.compress(data)),
    "br, gzip": lambda data: gzip.compress(brotli.compress(data)),
    "gzip, zstd": lambda data: zstd.compress(gzip.compress(data)),
}
PACKED = [each for each in PACK if each not in ("", "identity")]
TEXT = b"<p>The harbour bridge is closed.</p>\n" * 50


def unpack(data: bytes, coding: str, *, limit: int = LIMIT, piece: int = 1 << 16) -> bytes:
    decoder = Decoder(coding, limit)
    for each in range(0, len(data), piece):
        decoder.feed(data[each : each + piece])
    return decoder.finish()[0]


@given(data=st.binary(max_size=3000), coding=st.sampled_from(list(PACK)), piece=st.integers(1, 4000))
def test_gives_back_what_was_packed_whatever_the_pieces(data: bytes, coding: str, piece: int) -> None:
    assert unpack(PACK[coding](data), coding, piece=piece) == data


@given(data=st.binary(max_size=300), coding=st.sampled_from(PACKED), limit=st.integers(0, 10_000))
def test_rubbish_is_refused_or_read_and_nothing_else(data: bytes, coding: str, limit: int) -> None:
    with suppress(FetchFailed):
        assert len(unpack(data, coding, limit=limit)) <= limit


def test_gives_the_hash_of_what_was_unpacked() -> None:
    decoder = Decoder("gzip", LIMIT)
    decoder.feed(gzip.compress(TEXT))
    assert decoder.finish() == (TEXT, hashlib.sha256(TEXT).hexdigest())


def zeros(gigabytes: int, coding: str) -> Iterator[bytes]:
    """Packs zeros as it goes; nothing of their size is ever in memory."""
    block = bytes(1_000_000)
    packer = zlib.compressobj(wbits=31) if coding == "gzip" else zstd.ZstdCompressor()
    for _ in range(gigabytes * 1000):
        yield packer.compress(block)
    yield packer.flush()


@pytest.mark.parametrize("coding", ["gzip", "zstd"])
def test_a_bomb_costs_no_more_than_its_limit(coding: str) -> None:
    decoder = Decoder(coding, LIMIT)
    tracemalloc.start()
    try:
        with pytest.raises(FetchFailed, match=r"more than 200 times|larger than"):
            deque(map(decoder.feed, zeros(10, coding)), maxlen=0)
        assert tracemalloc.get_traced_memory()[1] < 4 * LIMIT
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("coding", [each for each in PACKED if each != "x-gzip"])
def test_refuses_what_unpacks_to_far_more_than_it_was(coding: str) -> None:
    with pytest.raises(FetchFailed, match=r"more than 200 times"):
        unpack(PACK[coding](bytes(4_000_000)), coding)


@pytest.mark.parametrize("coding", PACKED)
def test_refuses_what_is_larger_than_the_limit(coding: str) -> None:
    with pytest.raises(FetchFailed, match="larger than 1,000 bytes"):
        unpack(PACK[coding](TEXT), coding, limit=1_000)


def test_a_bomb_between_two_layers_is_seen() -> None:
    empty_members = gzip.compress(gzip.compress(b"") * 900_000)
    with pytest.raises(FetchFailed):
        unpack(empty_members, "gzip, gzip")


@pytest.mark.parametrize("coding", PACKED)
@pytest.mark.parametrize(
    "plain", [TEXT, b'{"version": "https://jsonfeed.org/version/1.1"}', b"\xef\xbb\xbf\n<rss/>"]
)
def test_takes_what_is_plainly_not_packed_as_it_is(coding: str, plain: bytes) -> None:
    assert unpack(plain, coding) == plain
    assert unpack(plain, coding, piece=1) == plain


@pytest.mark.parametrize("coding", ["gzip", "deflate", "br", "zstd", "gzip, gzip"])
def test_refuses_what_breaks_off(coding: str) -> None:
    with pytest.raises(FetchFailed, match=r"breaks off|broken"):
        unpack(PACK[coding](TEXT)[:-9], coding)


@pytest.mark.parametrize("coding", ["gzip", "deflate", "zstd"])
def test_refuses_what_is_damaged(coding: str) -> None:
    packed = bytearray(PACK[coding](TEXT))
    packed[8:16] = b"\xff" * 8
    with pytest.raises(FetchFailed, match="broken"):
        unpack(bytes(packed), coding)


def test_reads_members_and_leaves_padding_alone() -> None:
    for coding in ("gzip", "zstd"):
        packed = PACK[coding](b"one ") + PACK[coding](b"two") + b"\0" * 50
        assert {unpack(packed, coding, piece=piece) for piece in range(1, len(packed))} == {b"one two"}
    with pytest.raises(FetchFailed, match="broken"):
        unpack(gzip.compress(b"x") * 1_001, "gzip")


@pytest.mark.parametrize("coding", ["compress", "gzip, compress", "gzip, gzip, gzip", "gzip;q=1"])
def test_refuses_codings_that_nobody_asked_for(coding: str) -> None:
    with pytest.raises(FetchFailed, match="did not ask for"):
        Decoder(coding, LIMIT)


def test_refuses_a_window_that_is_too_large_for_a_page() -> None:
    def packed(window_log: int) -> bytes:
        packer = zstd.ZstdCompressor(options={zstd.CompressionParameter.window_log: window_log})
        return packer.compress(TEXT) + packer.flush()

    assert unpack(packed(23), "zstd") == TEXT
    with pytest.raises(FetchFailed, match="broken"):
        unpack(packed(24), "zstd")


@pytest.mark.parametrize("coding", PACKED)
def test_an_empty_body_is_empty(coding: str) -> None:
    assert unpack(b"", coding) == b""
