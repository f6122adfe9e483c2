"""What was costly to make, kept while there is room: bounded by its size, not by how many there are."""

from collections import OrderedDict
from collections.abc import Callable, Hashable
from threading import Lock
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class Kept(Generic[K, V]):
    """Values by what they were made from, the least used forgotten first; threads may share it."""

    def __init__(self, room: int) -> None:
        self._room = room
        self._used = 0
        self._lock = Lock()
        self._values: OrderedDict[K, tuple[V, int]] = OrderedDict()

    def get(self, key: K, weight: int, make: Callable[[], V]) -> V:
        """Gives the value kept for `key`, else makes it; two threads that ask at once may both make it."""
        with self._lock:
            if (found := self._values.get(key)) is not None:
                self._values.move_to_end(key)
                return found[0]
        value = make()
        with self._lock:
            if key not in self._values:
                self._values[key] = value, weight
                self._used += weight
            while self._used > self._room:
                _, (_, freed) = self._values.popitem(last=False)
                self._used -= freed
        return value
