"""What was released in a digest's time, as bits of whole numbers: the sets of a reader's entries are then free to make.

Pure: bit `n` is the alert that was released `n`-th. A topic's alerts, a time's alerts and what a reader holds are
numbers whose bits are set for them.
"""

from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import TypeAlias

# A topic that is followed, and from when and until when where that cuts the reader's window.
Span: TypeAlias = tuple[int, datetime | None, datetime | None]


@dataclass(frozen=True, slots=True)
class Told:
    """One alert about one entry, and the topics whose `every` readers it is for: digests carry it for them."""

    alert_id: int
    entry_id: int
    revision: int  # as it was announced
    released_at: datetime
    topics: frozenset[int]
    is_late_mark: bool  # a key-event mark that came after the entry had been announced


@dataclass(frozen=True)
class Window:
    """Alerts in the order of their release."""

    told: Sequence[Told]

    @cached_property
    def _times(self) -> list[datetime]:
        return [each.released_at for each in self.told]

    @cached_property
    def _of_topic(self) -> Mapping[int, int]:
        masks: dict[int, int] = {}
        for number, each in enumerate(self.told):
            for topic in each.topics:
                masks[topic] = masks.get(topic, 0) | 1 << number
        return masks

    @cached_property
    def _of_entry(self) -> Mapping[int, int]:
        masks: dict[int, int] = {}
        for number, each in enumerate(self.told):
            masks[each.entry_id] = masks.get(each.entry_id, 0) | 1 << number
        return masks

    @cached_property
    def _of_alert(self) -> Mapping[int, int]:
        return {each.alert_id: 1 << number for number, each in enumerate(self.told)}

    @cached_property
    def late_marks(self) -> int:
        return sum(1 << number for number, each in enumerate(self.told) if each.is_late_mark)

    def since(self, at: datetime) -> int:
        """The alerts that were released at this instant or later."""
        first = bisect_left(self._times, at)
        return (1 << len(self.told)) - (1 << first)

    def before(self, at: datetime) -> int:
        """The alerts that were released before it."""
        return (1 << bisect_left(self._times, at)) - 1

    def owed(self, through: datetime, spans: Sequence[Span]) -> dict[int, int]:
        """The alerts that a digest owes a reader whose window begins at `through`, by the topic that brings them."""
        window = self.since(through)
        owed: dict[int, int] = {}
        for topic, since, until in spans:
            mask = self._of_topic.get(topic, 0) & window
            if since is not None:
                mask &= self.since(since)
            if until is not None:
                mask &= self.before(until)
            if mask:
                owed[topic] = owed.get(topic, 0) | mask
        return owed

    def of_alert(self, alert_id: int) -> int:
        return self._of_alert.get(alert_id, 0)

    def of_entry(self, entry_id: int) -> int:
        return self._of_entry.get(entry_id, 0)

    def entries(self, owed: int) -> Iterator[Told]:
        """Gives the alerts of these bits, one for each entry, the first."""
        seen: set[int] = set()
        while owed:
            each = self.told[(owed & -owed).bit_length() - 1]
            if each.entry_id not in seen:
                seen.add(each.entry_id)
                yield each
            owed &= owed - 1
