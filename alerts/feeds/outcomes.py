"""The values of a poll: the feed on lease, what the fetch came to, and what was done about it."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from alerts.errors import FetchFailed, NotAFeed
from alerts.feeds.fetch import Validators
from alerts.feeds.formats import ParsedFeed
from alerts.models import FeedState

POLLED_STATES = (FeedState.ACTIVE, FeedState.HELD)
PAGE_FORMATS = ("live-blog", "amp-live-list")  # those that are read from HTML pages


@dataclass(frozen=True, slots=True)
class DueFeed:
    """A feed that this process may poll since `claimed_at`; `lease` is the token of the claim that says so.

    Without validators and body hash it is to be read whole. `continues_at` is what its page last named as its
    successor, and `looks_ahead` says that this is the time to look whether that has begun.
    """

    id: int
    name: str
    url: str
    validators: Validators
    body_hash: str
    lease: str
    claimed_at: datetime
    format: str = ""
    obey_robots: bool = True
    follow_moves: bool = True
    continues_at: str = ""
    looks_ahead: bool = False
    is_hastened: bool = False  # its hub spoke of news: caches in between may not have it yet

    @property
    def is_page(self) -> bool | None:
        """Whether the URL holds an HTML page, which robots.txt speaks for; None before the first poll."""
        return self.format in PAGE_FORMATS if self.format else None


@dataclass(frozen=True, slots=True)
class Window:
    """The feed was fetched and read; `successor` is the page that it is to be followed to, if any.

    `work` is how long a processor took to read it.
    """

    parsed: ParsedFeed
    validators: Validators
    body_hash: str
    moved_to: str = ""  # as in Page
    hub: str = ""
    topic_url: str = ""
    successor: str = ""
    work: timedelta = timedelta(0)


@dataclass(frozen=True, slots=True)
class Unchanged:
    """The server, or the body's hash, says that nothing changed."""

    validators: Validators
    moved_to: str = ""


@dataclass(frozen=True, slots=True)
class Failed:
    error: FetchFailed | NotAFeed
    work: timedelta = timedelta(0)


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


class TurnKind(StrEnum):
    """What a poll may find out about a feed as a whole."""

    ENDED = "ended"
    REVIVED = "revived"  # had ended, and goes on
    RESTS = "rests"
    MOVED = "moved"
    CONTINUES = "continues"  # on another page of its site, which is polled from now on
    POINTS_ON = "points_on"  # names a successor that is not followed
    IS_TAKEN = "is_taken"  # leads to what another feed polls
    DOWN = "down"  # has failed for long
    DEGRADED = "degraded"  # broke the rule that told its entries apart


@dataclass(frozen=True, slots=True)
class Turn:
    """A turn in a feed's life, with its reason in words for the operator."""

    kind: TurnKind
    why: str


@dataclass(frozen=True, slots=True)
class PollResult:
    feed: str
    verdict: Verdict
    items: tuple[PollItem, ...] = ()
    reason: str = ""
    held: str = ""  # why this poll held the feed
    turns: tuple[Turn, ...] = ()
    next_poll_at: datetime | None = None

    def count(self, kind: Kind) -> int:
        return sum(item.kind == kind for item in self.items)
