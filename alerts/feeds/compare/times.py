"""What a page's times are worth: many are the page's own, or made anew at each build. Pure."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from alerts.feeds.compare.known import Keyed, Known, KnownEntry

# A story that takes over another's id comes later than an edit with a new date does.
_MOVED_ON = timedelta(minutes=10)


@dataclass(frozen=True, slots=True)
class Times:
    """Which of a window's times tell entries apart; none do when known entries were given other times."""

    are_steady: bool
    shared: frozenset[datetime]

    def telling(self, keyed: Keyed) -> datetime | None:
        """Gives an entry's time if it has one of its own that can be believed."""
        at = keyed.entry.published_at
        return at if self.are_steady and at not in self.shared else None

    def has_moved_on(self, old: KnownEntry, keyed: Keyed) -> bool:
        """Whether an entry was published, and updated where both say so, well after the known one."""
        at, updated_at = self.telling(keyed), keyed.entry.updated_at
        if at is None or old.published_at is None or at - old.published_at < _MOVED_ON:
            return False
        return updated_at is None or old.updated_at is None or updated_at > old.updated_at


def times_of(known: Known, window: Sequence[Keyed]) -> Times:
    """Judges a window's times by the entries that it shows unchanged."""
    moved = kept = 0
    for keyed in window:
        old = known.entries.get(known.named(keyed.name) or keyed.key)
        if old is not None and old.fingerprint == keyed.fingerprint and old.published_at is not None:
            is_kept = keyed.entry.published_at == old.published_at
            kept, moved = kept + is_kept, moved + (not is_kept)
    texts = {(keyed.entry.published_at, keyed.fingerprint) for keyed in window}
    counts = Counter(at for at, _ in texts if at is not None)
    return Times(moved <= kept, frozenset(at for at, count in counts.items() if count > 1))
