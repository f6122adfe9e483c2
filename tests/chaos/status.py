"""How far the sink is, in memory that two processes share: a supervisor may look at any moment."""

import mmap
import struct
from pathlib import Path
from typing import Self

_NUMBERS = struct.Struct("<QQQ")


class Status:
    """Three counters; the sink alone writes them."""

    def __init__(self, path: Path) -> None:
        with path.open("r+b") as file:
            self._memory = mmap.mmap(file.fileno(), _NUMBERS.size)

    @classmethod
    def create(cls, path: Path) -> Self:
        path.write_bytes(bytes(_NUMBERS.size))
        return cls(path)

    def write(self, begun: int, ended: int, connections: int) -> None:
        _NUMBERS.pack_into(self._memory, 0, begun, ended, connections)

    @property
    def begun(self) -> int:
        """How often content was asked for with 354."""
        return self._read()[0]

    @property
    def is_in_flight(self) -> bool:
        """Whether a mail is between its 354 and its reply."""
        begun, ended, _ = self._read()
        return begun > ended

    @property
    def connections(self) -> int:
        return self._read()[2]

    def close(self) -> None:
        self._memory.close()

    def _read(self) -> tuple[int, int, int]:
        begun, ended, connections = _NUMBERS.unpack_from(self._memory, 0)
        return begun, ended, connections
