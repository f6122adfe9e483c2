"""What is left of deleted rows in a SQLite file, overwritten with zeros: `python -m alerts.residue FILE`.

`secure_delete` overwrites a row where it stood. It does not reach the copies that stay behind where a page was laid
out anew, as when a full one is split: about one erased address in a thousand can still be read there. They lie in
bytes that the file format calls unallocated (https://www.sqlite.org/fileformat2.html, section 1.6): between a page's
list of cells and its first cell, in its free blocks, in the pages of the freelist. SQLite never reads those, and
clears them by nothing short of a VACUUM, which would stop the site for as long as it takes to write all of it, and
write it into a temporary file besides. So they are cleared here, beside the daemon, some milliseconds at a time:

    empty the WAL -> hold the right to write -> overwrite some pages -> commit a change, so that every
    connection forgets the pages that it remembers

While nobody else may write, and nothing is in the WAL, nobody has anything to write into the file.

It is a process of its own, and has to be: to close a file lets go of all locks that a process has on it (POSIX), and
the daemon's connections live by theirs.
"""

import os
import sqlite3
import struct
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

try:
    from pysqlite3 import dbapi2 as _sqlite
except ImportError:
    _sqlite = sqlite3

_LEAVES, _INTERIOR = frozenset({10, 13}), frozenset({2, 5})
_SLICE = 200  # pages
_PAUSE_SECONDS = 0.02  # between slices: whoever waits for the right to write has their turn
_PATIENCE_SECONDS = 2
_TRIES = 50
_AT_ONCE = 256  # pages
# Below, the first byte of an overflow page, which is that of a page's number, is none of a tree's.
_MOST_PAGES = 2 << 24

Span = tuple[int, int]


@dataclass(frozen=True, slots=True)
class _Layout:
    """How the file is cut, by its header."""

    page: int
    usable: int
    pages: int

    def offset(self, number: int) -> int:
        return (number - 1) * self.page


def clear(path: Path) -> int:
    """Overwrites what is unallocated and not zero; gives how many pages had such bytes. Safe to break off, and to repeat.

    Raises TimeoutError when others write too much for it to come between, or a reader holds on to an old state.
    """
    file = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    try:
        # Closed before the file is, which lets go of this process's locks.
        with closing(_sqlite.connect(path, timeout=_PATIENCE_SECONDS, isolation_level=None)) as connection:
            _empty_wal(connection)
            layout = _layout(file)
            # Looked for without holding anybody up; what is found is looked at again when nobody writes.
            found = [number for number, _ in _unclean(file, layout)]
            for start in range(0, len(found), _SLICE):
                _clear_slice(connection, file, path, found[start : start + _SLICE])
                time.sleep(_PAUSE_SECONDS)
            _empty_wal(connection)
        return len(found)
    finally:
        os.close(file)


def empty_wal(path: Path) -> bool:
    """Brings all that is in the WAL into the file, and cuts it to nothing; says whether it could."""
    with closing(_sqlite.connect(path, timeout=_PATIENCE_SECONDS, isolation_level=None)) as connection:
        try:
            _empty_wal(connection)
        except TimeoutError:
            return False
    return True


def _empty_wal(connection: Any) -> None:
    busy, *_ = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    if busy:
        raise TimeoutError("A reader holds on to an old state of the database.")


def _clear_slice(connection: Any, file: int, path: Path, numbers: Sequence[int]) -> None:
    wal = path.with_name(f"{path.name}-wal")
    for _ in range(_TRIES):
        _empty_wal(connection)
        connection.execute("BEGIN IMMEDIATE")
        if not (wal.exists() and wal.stat().st_size):
            break
        connection.execute("ROLLBACK")  # another was quicker
    else:
        raise TimeoutError("Others write all the time.")
    layout = _layout(file)
    free = _freelist(file, layout)
    for number in numbers:
        if number <= layout.pages:
            data = os.pread(file, layout.page, layout.offset(number))
            for start, end in _dirt(data, number, layout, free):
                os.pwrite(file, bytes(end - start), layout.offset(number) + start)
    os.fsync(file)
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    connection.execute(f"PRAGMA user_version = {int(version)}")
    connection.execute("COMMIT")


def _layout(file: int) -> _Layout:
    header = os.pread(file, 100, 0)
    (size,) = struct.unpack_from(">H", header, 16)
    page = 65536 if size == 1 else size
    pages = os.fstat(file).st_size // page
    # A file that vacuums itself has pages of pointers, which begin like a tree's.
    if pages >= _MOST_PAGES or any(header[52:56]):
        raise ValueError("The kinds of this file's pages cannot be told apart.")
    return _Layout(page, page - header[20], pages)


def _unclean(file: int, layout: _Layout) -> Iterator[tuple[int, list[Span]]]:
    """Gives the pages with unallocated bytes that are not zero; not the first, which holds the schema."""
    free = _freelist(file, layout)
    for first in range(2, layout.pages + 1, _AT_ONCE):
        block = memoryview(os.pread(file, layout.page * _AT_ONCE, layout.offset(first)))
        for index in range(len(block) // layout.page):
            data = bytes(block[index * layout.page : (index + 1) * layout.page])
            if spans := _dirt(data, first + index, layout, free):
                yield first + index, spans


def _dirt(data: bytes, number: int, layout: _Layout, free: Mapping[int, int]) -> list[Span]:
    spans = [(free[number], layout.page)] if number in free else _unallocated(data, layout)
    return [(start, end) for start, end in spans if data.count(0, start, end) != end - start]


def _unallocated(data: bytes, layout: _Layout) -> list[Span]:
    """Gives the spans of a tree's page that hold no cell; none for a page that is no tree's, or in the middle of a change."""
    kind, block, cells, content = struct.unpack_from(">BHHH", data)
    if kind not in _LEAVES and kind not in _INTERIOR:
        return []
    gap = (12 if kind in _INTERIOR else 8) + 2 * cells, content or 65536
    if not gap[0] <= gap[1] <= layout.usable:
        return []
    spans = [gap]
    while block:
        if not gap[1] <= block <= layout.usable - 4:
            return []
        following, size = struct.unpack_from(">HH", data, block)
        if block + size > layout.usable or 0 < following <= block:
            return []
        spans.append((block + 4, block + size))
        block = following
    return spans


def _freelist(file: int, layout: _Layout) -> Mapping[int, int]:
    """Gives the free pages, and where in each what is unused begins: in a trunk behind its list of others."""
    free: dict[int, int] = {}
    trunks: dict[int, int] = {}
    (trunk,) = struct.unpack(">I", os.pread(file, 4, 32))
    while 0 < trunk <= layout.pages and trunk not in trunks:
        data = os.pread(file, layout.page, layout.offset(trunk))
        following, count = struct.unpack_from(">II", data)
        count = min(count, layout.usable // 4 - 2)
        free |= dict.fromkeys(struct.unpack_from(f">{count}I", data, 8), 0)
        trunks[trunk] = 8 + 4 * count
        trunk = following
    return free | trunks


if __name__ == "__main__":
    os.nice(10)
    try:
        clear(Path(sys.argv[1]))
    except (TimeoutError, _sqlite.OperationalError):  # it is busy
        sys.exit(75)  # EX_TEMPFAIL of sysexits.h: later
