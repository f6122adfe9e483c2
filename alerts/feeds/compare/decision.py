"""What a comparison comes to, as values: what is to be written, and what is to be announced. Pure."""

from dataclasses import dataclass

from alerts.feeds.compare.identity import Identity, Name
from alerts.feeds.compare.matching import Ignored
from alerts.feeds.formats.values import FeedEntry


@dataclass(frozen=True, slots=True)
class Policy:
    flood_limit: int = 20
    key_words: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Insert:
    """An entry that is new to us; `history` says why it is no news all the same, empty when it is news."""

    key: str
    fingerprint: str
    entry: FeedEntry
    is_key_event: bool | None
    key_event_by: str
    history: str = ""


@dataclass(frozen=True, slots=True)
class Revision:
    """The text of a known entry changed; `number` is the revision it becomes."""

    key: str
    fingerprint: str
    entry: FeedEntry
    number: int


@dataclass(frozen=True, slots=True)
class KeyMark:
    """A known entry turned out to be a key event: news, or only to be remembered."""

    key: str
    by: str
    is_news: bool = True


@dataclass(frozen=True, slots=True)
class Relink:
    """A known entry goes by another key now; to be done before anything that names the new key."""

    old_key: str
    new_key: str


@dataclass(frozen=True, slots=True)
class Decision:
    """What is to be done; `inserts` are oldest first, `window` are the keys of this window in its order.

    `names` are what entries go by from now on. `hold` says why nothing new may be announced before a person
    has looked, `degraded` why the feed's identity rule was given up at this window; both empty when all is well.
    """

    identity: Identity
    is_baseline: bool = False
    relinks: tuple[Relink, ...] = ()
    inserts: tuple[Insert, ...] = ()
    revisions: tuple[Revision, ...] = ()
    key_marks: tuple[KeyMark, ...] = ()
    withdrawn: tuple[str, ...] = ()
    restored: tuple[str, ...] = ()
    names: tuple[tuple[Name, str], ...] = ()
    ignored: tuple[Ignored, ...] = ()
    window: tuple[str, ...] = ()
    hold: str = ""
    degraded: str = ""

    @property
    def changes(self) -> bool:
        """Whether anything is new or different."""
        return bool(
            self.is_baseline
            or self.relinks
            or self.inserts
            or self.revisions
            or self.key_marks
            or self.withdrawn
            or self.restored
            or self.hold
            or self.degraded
        )
