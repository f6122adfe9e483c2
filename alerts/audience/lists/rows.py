"""From the bytes of a CSV file, in any common dialect, to its rows with their line numbers.

It streams: one row is in memory, and neither a line without an end nor a quote that is never closed changes that.
"""

import codecs
import csv
import io
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

from alerts.errors import Refused

# One process-wide number of the csv module, which nothing else here uses.
LONGEST_CELL = 65_536
csv.field_size_limit(LONGEST_CELL)
_LONGEST_LINE = 4 * LONGEST_CELL
_LONGEST_RECORD = 4 * _LONGEST_LINE  # over all the lines that its quotes span
_MOST_LINES = 100  # of a record: beyond, a quote is one too many and takes reader after reader along
_DELIMITERS = (",", ";", "\t")
_SEPARATOR_LINE = "sep="  # a spreadsheet's own: it names the delimiter
_ENOUGH_TO_TELL = 4_096  # bytes
_READ_AT_ONCE = 65_536


@dataclass(frozen=True, slots=True)
class Bad:
    """A line that is refused: its number from 1, and why; never its text."""

    line: int
    why: str


@dataclass(frozen=True, slots=True)
class Row:
    """The cells of one record, and the lines that it begins and ends in."""

    line: int
    last: int
    cells: tuple[str, ...]

    def refused(self, why: str) -> Bad:
        """Refuses the record with all the lines that it takes."""
        return _refused(self.line, self.last, why)


@dataclass(frozen=True, slots=True)
class Table:
    """A file as it reads: how it is written, its first row, and all others as they come."""

    encoding: str
    delimiter: str
    header: tuple[str, ...]
    rows: Iterator[Row | Bad]


def read(file: BinaryIO) -> Table:
    """Gives a file's header and rows; Refused when there is not even a header."""
    start = file.read(_ENOUGH_TO_TELL)
    encoding = _encoding(start)
    whole = io.BufferedReader(_Rejoined(start, file), _READ_AT_ONCE)
    lines = _Lines(io.TextIOWrapper(whole, encoding, errors="replace", newline=""))
    try:
        delimiter = _begin(lines)
        rows = _rows(lines, delimiter)
        header = next(rows, None)
    except csv.Error:
        header = None
    if not isinstance(header, Row):
        raise Refused("This is no CSV file: its line of column names cannot be read.")
    return Table(encoding, delimiter, header.cells, _whole(rows, len(header.cells)))


def _begin(lines: "_Lines") -> str:
    """Gives the delimiter, and leaves the lines at that of the column names."""
    first = ""
    while not first.strip() and (first := next(lines, "")):
        lines.begin_record()
    if "\0" in first or not first:
        raise Refused("This is no CSV file: it has no line of column names.")
    # A tab may be what it names, so only the line's end is no part of it.
    if first.lower().startswith(_SEPARATOR_LINE) and len(first.rstrip("\r\n")) == len(_SEPARATOR_LINE) + 1:
        return first[len(_SEPARATOR_LINE)]
    lines.put_back(first)
    return _delimiter(first)


class _Rejoined(io.RawIOBase):
    """What was read already, and the file behind it."""

    def __init__(self, start: bytes, file: BinaryIO) -> None:
        self._start, self._file = start, file

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override] # the stub says Buffer
        data = self._start[: len(buffer)] or self._file.read(len(buffer)) or b""
        self._start = self._start[len(buffer) :]
        buffer[: len(data)] = data
        return len(data)


class _Lines:
    """A text's lines with their ends; of one that is too long only the beginning, and that it was cut."""

    def __init__(self, text: io.TextIOWrapper) -> None:
        self._text = text
        self._again: list[str] = []
        self.number = 0  # of the line given last
        self.was_cut = False
        self._length = 0  # of the record so far
        self._first = 1  # its first line

    def begin_record(self) -> None:
        self.was_cut, self._length, self._first = False, 0, self.number + 1

    def put_back(self, line: str) -> None:
        self._again.append(line)
        self.number -= 1

    def __iter__(self) -> "_Lines":
        return self

    def __next__(self) -> str:
        line = self._again.pop() if self._again else self._text.readline(_LONGEST_LINE)
        if not line:
            raise StopIteration
        self.number += 1
        self._length += len(line)
        if self._length > _LONGEST_RECORD:
            raise csv.Error("The record is too long.")
        if self.number - self._first >= _MOST_LINES:
            self.put_back(line)
            raise csv.Error("The record has too many lines.")
        rest = line
        while len(rest) >= _LONGEST_LINE and not rest.endswith(("\n", "\r")):
            self.was_cut = True
            rest = self._text.readline(_LONGEST_LINE)
        return line


def _encoding(start: bytes) -> str:
    if start.startswith(codecs.BOM_UTF8):
        return "utf-8-sig"
    if start.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16"
    # Text in ASCII, as column names are, has every second byte zero in UTF-16.
    pairs = len(start) // 2
    if pairs and start[1::2].count(0) * 2 > pairs and not start[::2].count(0):
        return "utf-16-le"
    if pairs and start[::2].count(0) * 2 > pairs and not start[1::2].count(0):
        return "utf-16-be"
    return "utf-8"


def _delimiter(header: str) -> str:
    """Gives the delimiter that cuts the column names into the most; a comma when none does."""
    counts = {each: len(next(csv.reader([header], delimiter=each), ())) for each in _DELIMITERS}
    return max(_DELIMITERS, key=lambda each: counts[each])


def _rows(lines: _Lines, delimiter: str) -> Iterator[Row | Bad]:
    reader = csv.reader(lines, delimiter=delimiter)
    while True:
        first = lines.number + 1
        lines.begin_record()
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error:
            yield _refused(first, lines.number, _UNREADABLE)
            continue
        row = Row(first, lines.number, tuple(cells))
        if lines.was_cut:
            yield row.refused(f"The line is longer than {_LONGEST_LINE} characters.")
        elif any("\0" in cell for cell in cells):
            yield row.refused("There is a NUL in it.")
        elif any(cell.strip() for cell in cells):
            yield row


_UNREADABLE = (
    f"A cell is longer than {LONGEST_CELL} characters or {_MOST_LINES} lines, or a quote is never closed."
)


def _refused(first: int, last: int, why: str) -> Bad:
    return Bad(first, why if first == last else f"Up to line {last}: {why}")


def _whole(rows: Iterator[Row | Bad], columns: int) -> Iterator[Row | Bad]:
    for row in rows:
        if isinstance(row, Row) and len(row.cells) != columns:
            yield row.refused(f"It has {len(row.cells)} cells, and there are {columns} columns.")
        else:
            yield row
