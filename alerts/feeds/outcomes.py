"""The values of a poll: the feed on lease, what the fetch came to, and what was done about it."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from alerts.errors import FetchFailed, NotAFeed
from alerts.feeds.fetch import Validators
from alerts.feeds.formats import ParsedFeed
from alerts.models import FeedState

POLLED_STATES = (FeedState.ACTIVE, FeedState.HELD)


@dataclass(frozen=True, slots=True)
class DueFeed:
    """A feed that this process may poll; `lease` is the token of the claim that says so."""

    id: int
    name: str
    url: str
    validators: Validators
    body_hash: str
    lease: str


@dataclass(frozen=True, slots=True)
class Window:
    """The feed was fetched and read."""

    parsed: ParsedFeed
    validators: Validators
    body_hash: str


@dataclass(frozen=True, slots=True)
class Unchanged:
    """The server, or the body's hash, says that nothing changed."""

    validators: Validators


@dataclass(frozen=True, slots=True)
class Failed:
    error: FetchFailed | NotAFeed


Outcome = Window | Unchanged | Failed


class Kind(StrEnum):
    """What became of an entry in a poll."""

    BASELINE = "baseline"  # was there when we first looked: nobody is mailed
    NEW = "new"
    HELD = "held"  # new, and waits for a person
    EDITED = "edited"
    KEY_EVENT = "key_event"  # known, and marked as a key event now
    RELINKED = "relinked"  # known, under another key now
    WITHDRAWN = "withdrawn"  # taken back by its publisher
    RESTORED = "restored"  # taken back, and shown again
    IGNORED = "ignored"


class Verdict(StrEnum):
    """What a poll came to."""

    POLLED = "polled"
    UNCHANGED = "unchanged"
    FAILED = "failed"
    GONE = "gone"
    LOST = "lost"  # another process polls the feed, or a person stopped it meanwhile


@dataclass(frozen=True, slots=True)
class PollItem:
    """One entry of a poll as a terminal would tell it; `entry_id` is None for what is not stored."""

    kind: Kind
    title: str
    entry_id: int | None = None
    is_key_event: bool | None = None
    alert_id: int | None = None
    why: str = ""


@dataclass(frozen=True, slots=True)
class PollResult:
    feed: str
    verdict: Verdict
    items: tuple[PollItem, ...] = ()
    reason: str = ""
    held: str = ""  # why this poll held the feed
    next_poll_at: datetime | None = None

    def count(self, kind: Kind) -> int:
        return sum(item.kind == kind for item in self.items)
