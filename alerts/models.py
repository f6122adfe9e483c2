"""Every table and the words for its states; DESIGN section 5 says which promise each key keeps.

Rows do not leave the transaction that read them: functions return small frozen values instead. All times
are aware UTC (SQLModel refuses naive ones). States are stored as their text, and the constants are
`StrEnum`, so that a row's value and a constant compare equal on both databases.
"""

from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    UniqueConstraint,
)
from sqlmodel import Field, SQLModel

# SQLite numbers rows by itself only in a column that is exactly INTEGER.
Id = BigInteger().with_variant(Integer, "sqlite")

# Left to itself, SQLite gives the number of a deleted row to the next: a link, a cause or an audience that names the
# one would then mean the other. PostgreSQL gives no number twice.
_NUMBERED_ONCE = {"sqlite_autoincrement": True}

SQLModel.metadata.naming_convention = MetaData(
    naming_convention={
        "ix": "ix_%(column_0_N_label)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
        "pk": "pk_%(table_name)s",
    },
).naming_convention


class FeedState(StrEnum):
    ACTIVE = "active"
    PAUSED = "paused"  # by a person, or because it vanished from config.toml
    HELD = "held"  # by the flood guard: polled and stored, nothing announced until a person decides
    GONE = "gone"  # the server said 410
    RESTING = "resting"  # its coverage ended and stayed quiet; no longer polled


class PushState(StrEnum):
    """How far a feed's hub has promised to send us its news."""

    WANTED = "wanted"  # asked for, or about to be
    VERIFIED = "verified"  # the hub confirmed until `lease_until`
    DENIED = "denied"
    FAILED = "failed"  # asked in vain; tried again at `due_at`
    LEAVING = "leaving"  # nobody wants it any more, and the hub is told so


class InDoubt(StrEnum):
    """What becomes of a mail whose reply never came."""

    RESEND = "resend"  # once, byte-identical, by the same transport
    HOLD = "hold"  # never by itself


class Frequency(StrEnum):
    FLASH = "flash"  # key events only
    EVERY = "every"  # each entry
    HOURLY = "hourly"
    DAILY = "daily"  # at the reader's local hour
    WEEKLY = "weekly"  # at that hour of the reader's weekday

    @property
    def is_digest(self) -> bool:
        """Whether it gathers entries into one mail."""
        return self in _DIGESTS


_DIGESTS = frozenset({Frequency.HOURLY, Frequency.DAILY, Frequency.WEEKLY})


class Lane(StrEnum):
    """Order of sending."""

    NOTICE = "notice"
    FLASH = "flash"
    UPDATE = "update"
    DIGEST = "digest"

    @property
    def rank(self) -> int:
        """The order of claims: lower is sent first."""
        return list(Lane).index(self)


class AlertState(StrEnum):
    HELD = "held"  # waits for its hold time or for a person
    RELEASED = "released"  # is being carved, opened and sent
    DONE = "done"  # every reader owed is in a final state
    CANCELLED = "cancelled"


class DeliveryState(StrEnum):
    SENDING = "sending"  # opened: the row was committed before the first byte
    ACCEPTED = "accepted"
    DEFERRED = "deferred"  # not now; the batch comes again
    REFUSED = "refused"
    UNKNOWN = "unknown"  # the reply never came; see `doubts`
    EXPIRED = "expired"
    CANCELLED = "cancelled"
    SKIPPED = "skipped"  # with its reason
    DIVERTED = "diverted"  # to another alert, a digest


class NoticeKind(StrEnum):
    """What a notice is about; its subject is the row that it names."""

    CONFIRM = "confirm"  # of a sign-up
    LINK = "link"  # to a subscriber's own page
    NEW_ADDRESS = "new-address"  # of a change of address, to the new one
    OLD_ADDRESS = "old-address"  # and to the old one


class NoticeState(StrEnum):
    WAITING = "waiting"
    SENDING = "sending"  # committed before the first byte
    ACCEPTED = "accepted"
    REFUSED = "refused"
    UNKNOWN = "unknown"  # the reply never came, twice
    EXPIRED = "expired"


class ChangeOutcome(StrEnum):
    """How a wish to be mailed elsewhere ended."""

    CHANGED = "changed"
    KEPT = "kept"  # somebody said no
    IN_USE = "in-use"  # both ends said yes, and another reader has the address


class SubscriberState(StrEnum):
    ACTIVE = "active"
    LEFT = "left"
    ERASED = "erased"


class ImportState(StrEnum):
    """How far an import is: until it is sealed nothing of it counts, and from then on all of it will."""

    STAGING = "staging"  # being read and checked
    APPLYING = "applying"  # sealed: whoever comes by goes on with it
    APPLIED = "applied"
    UNDOING = "undoing"
    UNDONE = "undone"


class SiteFact(StrEnum):
    """The names in the table of the site's facts."""

    SECRET = "secret"  # noqa: S105 - a name: of a mark of the first secret
    ERASED = "erased"  # when somebody was erased last whose traces may still be in the database's files
    HORIZON = "horizon"  # nothing is released before it any more
    # Of a move: in the file, its number and where the site went ...
    MOVE = "move"
    MOVED_TO = "moved_to"
    # ... and in the database that it fills, the same number: closed until the end, and open from then on.
    MOVING = "moving"
    MOVED_FROM = "moved_from"


class Site(SQLModel, table=True):
    """One value a name: facts of the whole site, such as which secret the database was made with."""

    name: str = Field(primary_key=True)
    value: str


class Feed(SQLModel, table=True):
    id: int | None = Field(default=None, primary_key=True, sa_type=Id)
    name: str = Field(unique=True)
    url: str = Field(unique=True)
    title: str = ""
    state: str = Field(default=FeedState.ACTIVE)
    state_reason: str = ""
    from_config: bool = False
    # Policy: what the newsroom decided for this source.
    interval: timedelta = timedelta(seconds=20)
    ttl: timedelta = timedelta(hours=1)
    hold: timedelta = timedelta(0)
    approval: bool = False
    in_doubt: str = Field(default=InDoubt.RESEND)
    flood_limit: int = 20
    key_words: list[str] = Field(default_factory=list, sa_type=JSON)
    obey_robots: bool = True
    use_push: bool = True
    follow_moves: bool = True
    # What the last answers were.
    format: str = ""
    identity: str = ""
    identity_health: str = ""
    etag: str = ""
    last_modified: str = ""
    body_hash: str = ""
    read_whole_at: datetime | None = None  # asked without validators and answered
    given_url: str = ""  # as a person wrote it, once a move made `url` another; empty while it is `url`
    moved_to: str = ""  # where permanent redirects pointed, and how often in a row, since when
    moved_seen: int = 0
    moved_since: datetime | None = None
    continues_at: str = ""  # the page's successor, by its own word
    refresh: timedelta | None = None  # how often its publisher asks to be asked
    coverage_end: datetime | None = None
    ended_at: datetime | None = None  # found to have ended; null again when it stirs
    hastened_at: datetime | None = None  # its hub spoke of news, and no poll has found it yet ...
    hastened_polls: int = 0  # ... though so many looked
    hub_changed_at: datetime | None = None  # it named another hub than before, or none any more
    followed_at: datetime | None = None  # its page was left for the page's successor
    last_window: list[int] = Field(default_factory=list, sa_type=JSON)  # ids of its entries, in its order
    # The identity rule's health, as shares of the entries of the last windows.
    identity_unique: float | None = None
    identity_stable: float | None = None
    baselined_at: datetime | None = None
    next_poll_at: datetime
    poll_reason: str = ""  # why then
    is_followed: bool = True  # somebody would get its news; looked up every few seconds
    leased_by: str = ""  # one claim's token; another's result is thrown away
    leased_until: datetime | None = None
    polled_at: datetime | None = None
    changed_at: datetime | None = None
    failures: int = 0  # in a row
    failing_since: datetime | None = None
    last_error: str = ""
    created_at: datetime

    __table_args__ = (Index("ix_feed_due", "state", "next_poll_at"), _NUMBERED_ONCE)


class Entry(SQLModel, table=True):
    id: int | None = Field(default=None, primary_key=True, sa_type=Id)
    feed_id: int = Field(foreign_key="feed.id", sa_type=Id)
    key: str
    fingerprint: str
    revision: int = 1
    is_key_event: bool | None = None
    key_event_by: str = ""  # feed, block, words, operator
    is_baseline: bool = False
    is_held: bool = False  # stored while the flood guard held its feed; waits for a person
    first_seen_at: datetime
    last_seen_at: datetime
    withdrawn_at: datetime | None = None  # deleted or unpublished by its publisher's explicit word
    # The first entry of those that tell the same; its own id, or null, while it is the only one.
    group_id: int | None = Field(default=None, index=True, sa_type=Id)
    # Set once, in the announcing transaction: an entry is announced at most once.
    first_alert_id: int | None = Field(default=None, sa_type=Id)

    __table_args__ = (
        UniqueConstraint("feed_id", "key"),
        Index("ix_entry_fingerprint", "feed_id", "fingerprint"),
        Index("ix_entry_seen", "first_seen_at"),
        _NUMBERED_ONCE,
    )


class EntryAlias(SQLModel, table=True):
    """Everything an entry was ever known by: outlives its place in the window, so that nothing old is new again."""

    __tablename__ = "entry_alias"

    feed_id: int = Field(primary_key=True, foreign_key="feed.id", sa_type=Id)
    kind: str = Field(primary_key=True)  # id, url, text
    value: str = Field(primary_key=True)
    entry_id: int = Field(foreign_key="entry.id", index=True, sa_type=Id)
    seen_at: datetime


class EntryRevision(SQLModel, table=True):
    __tablename__ = "entry_revision"

    entry_id: int = Field(primary_key=True, foreign_key="entry.id", sa_type=Id)
    number: int = Field(primary_key=True)
    fingerprint: str
    url: str = ""
    title: str = ""
    text: str = ""
    html: str = ""
    author: str = ""
    published_at: datetime | None = None
    updated_at: datetime | None = None
    is_correction: bool = False
    seen_at: datetime


class Push(SQLModel, table=True):
    """A WebSub subscription (W3C WebSub): the hub that sends a feed's news, and what was agreed with it."""

    id: int | None = Field(default=None, primary_key=True, sa_type=Id)
    # At most one for a feed; none while the row only lives to say goodbye to a hub.
    feed_id: int | None = Field(
        default=None, foreign_key="feed.id", ondelete="SET NULL", unique=True, sa_type=Id
    )
    hub: str
    topic: str  # the URL the hub knows the feed by
    path: str = Field(unique=True)  # the callback's unguessable last part
    secret: str  # of the HMAC; kept over renewals
    state: str = Field(default=PushState.WANTED)
    due_at: datetime | None = Field(default=None, index=True)  # ask the hub (again) from then on
    base_url: str = ""  # where the hub was told to reach us
    asked_at: datetime | None = None
    is_awaited: bool = False  # asked, and the hub has not come to verify that we did
    lease_until: datetime | None = None
    pushed_at: datetime | None = None
    hastened_to: datetime | None = None  # the latest poll that a push brought forward was due then
    discarded: int = 0  # contents whose signature was wrong or missing
    failures: int = 0  # requests since the hub's last confirmation
    last_error: str = ""


class Topic(SQLModel, table=True):
    """A rule that says which entries belong: audience only, no policy."""

    id: int | None = Field(default=None, primary_key=True, sa_type=Id)
    slug: str = Field(unique=True)
    title: str
    description: str = ""
    is_active: bool = True
    from_config: bool = False
    feeds: list[str] = Field(default_factory=list, sa_type=JSON)  # names; none means every feed
    key_events_only: bool = False
    words_in: list[str] = Field(default_factory=list, sa_type=JSON)
    words_out: list[str] = Field(default_factory=list, sa_type=JSON)
    created_at: datetime

    __table_args__ = _NUMBERED_ONCE


class Subscriber(SQLModel, table=True):
    id: int | None = Field(default=None, primary_key=True, sa_type=Id)
    address: str | None = None
    # Normalised once, at the door; null after erasure.
    address_key: str | None = Field(default=None, unique=True)
    language: str = "en"
    state: str = Field(default=SubscriberState.ACTIVE)
    # The cause, kept in step with the suppression table so that opening a chunk needs no HMAC per reader.
    suppressed: str = ""
    zone: str = "UTC"  # by its IANA name
    digest_hour: int = 7  # of the reader's day, 0 to 23
    digest_weekday: int = 0  # of weekly digests, Monday is 0
    paused_until: datetime | None = None
    address_since: datetime | None = None  # it is not the address they signed up with; null while it is
    created_at: datetime

    __table_args__ = _NUMBERED_ONCE


class Subscription(SQLModel, table=True):
    subscriber_id: int = Field(primary_key=True, foreign_key="subscriber.id", sa_type=Id)
    topic_id: int = Field(primary_key=True, foreign_key="topic.id", sa_type=Id)
    frequency: str
    since: datetime  # follows the topic since
    chosen_at: datetime  # at this frequency since
    # At once since, where `flash` and `every` took turns; null where `chosen_at` says it.
    immediate_since: datetime | None = None
    until: datetime | None = None  # left; kept, so that who left mid-alert ends in a recorded state

    # Serves the audience scan.
    __table_args__ = (Index("ix_subscription_audience", "topic_id", "frequency", "subscriber_id"),)


class DigestSpan(SQLModel, table=True):
    """A time in which a reader follows, or followed, a topic at a digest's frequency: what its digests are made of.

    It ends with a change of frequency or a pause, and what came before that is still owed; another one waits for the
    pause's end. Who leaves is owed nothing, and the row goes.
    """

    __tablename__ = "digest_span"

    subscriber_id: int = Field(primary_key=True, foreign_key="subscriber.id", sa_type=Id)
    frequency: str = Field(primary_key=True)
    topic_id: int = Field(primary_key=True, foreign_key="topic.id", sa_type=Id)
    since: datetime = Field(primary_key=True)
    until: datetime | None = None


class DigestMark(SQLModel, table=True):
    """How far the digests of one frequency reach that a reader got: windows tile time, whatever the reader changes."""

    __tablename__ = "digest_mark"

    subscriber_id: int = Field(primary_key=True, foreign_key="subscriber.id", sa_type=Id)
    frequency: str = Field(primary_key=True)
    slot: str  # whose digests come at one instant have the same: `alerts.audience.slots` writes it
    through: datetime
    until: datetime | None = (
        None  # nothing is owed from then on; kept, so that who left mid-digest has a state
    )

    # Serves the audience scan.
    __table_args__ = (Index("ix_digest_mark_audience", "frequency", "slot", "subscriber_id"),)


class DigestSlot(SQLModel, table=True):
    """Readers whose digests come at the same instants; when the next are due. Made with its first mark, and kept."""

    __tablename__ = "digest_slot"

    frequency: str = Field(primary_key=True)
    slot: str = Field(primary_key=True)
    next_at: datetime | None = (
        None  # null, as it once began, until somebody looks: the first instant after that
    )


class Diversion(SQLModel, table=True):
    """An alert that a reader was owed at once, and that their next digest is to carry; the row goes when it does."""

    subscriber_id: int = Field(primary_key=True, foreign_key="subscriber.id", sa_type=Id)
    alert_id: int = Field(primary_key=True, sa_type=Id)
    frequency: str  # of the digest
    at: datetime


class SubscriptionEvent(SQLModel, table=True):
    """Append-only: consent and changes, by whom; the evidence for "why not?"."""

    __tablename__ = "subscription_event"

    id: int | None = Field(default=None, primary_key=True, sa_type=Id)
    subscriber_id: int = Field(foreign_key="subscriber.id", index=True, sa_type=Id)
    topic_id: int | None = Field(default=None, sa_type=Id)
    kind: str  # follow, change, unsubscribe, place, pause, resume, ask-address, keep-address, change-address,
    # suppress, release, erase, confirm (what they follow already), named (in an import, likewise), undo (of one)
    detail: str = ""
    by: str
    at: datetime


class Wording(SQLModel, table=True):
    """The words that readers agreed to, as they stood: a consent names their version."""

    version: str = Field(primary_key=True)  # a hash of the words
    language: str
    words: str
    at: datetime


class SignUp(SQLModel, table=True):
    """What a visitor asked for: it is nobody's until the link in a mail to them is used."""

    __tablename__ = "sign_up"

    id: int | None = Field(default=None, primary_key=True, sa_type=Id)
    # Null once it is confirmed; the row then only knows whose it became, for who uses the link again.
    address: str | None = None
    address_key: str | None = Field(default=None, unique=True)
    subscriber_id: int | None = Field(default=None, sa_type=Id)
    language: str
    zone: str
    choices: dict[str, str] = Field(default_factory=dict, sa_type=JSON)  # {topic's slug: frequency}
    wording: str
    source: str  # the page, and what sent the visitor there
    asked_at: datetime
    expires_at: datetime = Field(index=True)

    __table_args__ = _NUMBERED_ONCE


class Consent(SQLModel, table=True):
    """That a reader agreed: to which words, when, and how they said so. Append-only, and it names no address."""

    id: int | None = Field(default=None, primary_key=True, sa_type=Id)
    subscriber_id: int = Field(foreign_key="subscriber.id", index=True, sa_type=Id)
    wording: str  # a version, or whatever an import brought
    source: str
    choices: dict[str, str] = Field(default_factory=dict, sa_type=JSON)
    asked_at: datetime
    confirmed_at: datetime


class ImportBatch(SQLModel, table=True):
    """A file of readers on its way in, and afterwards what can be undone of it."""

    __tablename__ = "import_batch"

    id: int | None = Field(default=None, primary_key=True, sa_type=Id)
    state: str = Field(default=ImportState.STAGING)
    by: str
    language: str  # of new readers whose line names none
    lines: int = 0  # staged
    # How far it is applied, or undone: the next lines are those behind.
    step: int = 0
    line: int = Field(default=0, sa_type=Id)
    counts: dict[str, int] = Field(default_factory=dict, sa_type=JSON)  # {what became of lines: how many}
    made_at: datetime
    sealed_at: datetime | None = None
    touched_at: datetime  # somebody worked on it
    ended_at: datetime | None = None

    __table_args__ = _NUMBERED_ONCE


class ImportLine(SQLModel, table=True):
    """A line of a file that was read and not yet applied; it goes when it is."""

    __tablename__ = "import_line"

    import_id: int = Field(primary_key=True, foreign_key="import_batch.id", sa_type=Id)
    step: int = Field(primary_key=True)  # opt-outs before readers: the order of applying
    line: int = Field(primary_key=True, sa_type=Id)
    address: str
    address_key: str
    topic: str  # its slug; empty in an opt-out of all
    frequency: str
    cause: str = ""  # of a suppression
    consent_source: str = ""
    consent_at: datetime | None = None
    settings: dict[str, Any] = Field(default_factory=dict, sa_type=JSON)  # of a new reader

    __table_args__ = (UniqueConstraint("address_key", "import_id", "topic"),)


class ImportChange(SQLModel, table=True):
    """What an import changed for a reader, so that it can be undone; without an address."""

    __tablename__ = "import_change"

    id: int | None = Field(default=None, primary_key=True, sa_type=Id)
    import_id: int = Field(foreign_key="import_batch.id", sa_type=Id)
    line: int = Field(sa_type=Id)
    kind: str  # new, follow, change, leave, away (left what they never followed), suppress
    subscriber_id: int = Field(sa_type=Id)
    topic_id: int | None = Field(default=None, sa_type=Id)
    before: str = ""  # the frequency that it replaced
    kept: str = ""  # why an undoing left it alone
    at: datetime

    __table_args__ = (Index("ix_import_change_batch", "import_id", "id"),)


class Notice(SQLModel, table=True):
    """Mail one person asked for: to confirm a sign-up, for the link to their page, to change their address."""

    id: int | None = Field(default=None, primary_key=True, sa_type=Id)
    kind: str  # NoticeKind
    address_hash: str  # HMAC, as in `suppression`: whose link it is outlives the address
    inbox_hash: str  # likewise, the same for all addresses of one inbox: the limits count by it
    # Which of the at most three that one inbox gets in a day (UTC): the key is the promise.
    day: str
    number: int
    address: str | None = None  # null once it is settled
    subject_id: int = Field(sa_type=Id)  # of the sign-up, subscriber or change, as the kind says
    language: str
    state: str = Field(default=NoticeState.WAITING)
    reason: str = ""
    key_id: int  # of the token in it
    # As it was first sent, without what is the reader's own: another try is byte-identical. Null once it is settled.
    segments: bytes | None = Field(default=None, sa_type=LargeBinary)
    transport: str = ""
    attempts: int = 0  # how often it was claimed
    doubts: int = 0
    code: int = 0
    worker: str = ""
    due_at: (
        datetime | None
    )  # may be claimed from then on: written, put off, or the end of a lease; null when settled
    made_at: datetime  # the Date of the mail
    expires_at: datetime

    __table_args__ = (
        UniqueConstraint("inbox_hash", "day", "number"),
        Index("ix_notice_due", "due_at"),
        _NUMBERED_ONCE,
    )


class AddressChange(SQLModel, table=True):
    """A reader's last wish to be mailed elsewhere: it comes true when both ends have said yes."""

    __tablename__ = "address_change"

    id: int | None = Field(default=None, primary_key=True, sa_type=Id)
    subscriber_id: int = Field(foreign_key="subscriber.id", unique=True, sa_type=Id)
    address: str | None = None  # the new one; null once it is settled
    address_key: str | None = None
    asked_at: datetime  # for this address: who says yes says it to what they saw
    expires_at: datetime = Field(index=True)
    old_confirmed_at: datetime | None = None
    new_confirmed_at: datetime | None = None
    outcome: str = ""  # ChangeOutcome; none while it is open
    ended_at: datetime | None = None

    __table_args__ = _NUMBERED_ONCE


class Farewell(SQLModel, table=True):
    """Why a reader left a topic, if they cared to say; their last word about it counts."""

    subscriber_id: int = Field(primary_key=True, foreign_key="subscriber.id", sa_type=Id)
    topic_id: int = Field(primary_key=True, sa_type=Id)  # 0 for all topics
    reason: str
    words: str = ""
    at: datetime


class Tally(SQLModel, table=True):
    """How often something was asked for within one hour; `scope` is a hash, and names no network or domain."""

    scope: str = Field(primary_key=True)
    hour: datetime = Field(primary_key=True, index=True)
    count: int


class Suppression(SQLModel, table=True):
    """An address that must not be mailed; keyed by HMAC so that it survives erasure."""

    address_hash: str = Field(primary_key=True)
    cause: str
    evidence: str = ""
    origin: str = ""  # what made it, so that a wrong wave can be undone in bulk
    at: datetime


class Alert(SQLModel, table=True):
    id: int | None = Field(default=None, primary_key=True, sa_type=Id)
    cause_key: str = Field(unique=True)
    feed_id: int | None = Field(default=None, sa_type=Id)
    # A digest's frequency and slot, the end of its windows, and whether it comes late; empty for all else.
    frequency: str = ""
    slot: str = ""
    window_end: datetime | None = None
    is_late: bool = False
    lane: str
    rank: int  # of the lane: the order of claims
    state: str = Field(default=AlertState.HELD)
    state_reason: str = ""
    in_doubt: str = Field(default=InDoubt.RESEND)
    # {topic id: [frequencies]} as the rules stood at the announcement.
    audience: dict[str, list[str]] = Field(default_factory=dict, sa_type=JSON)
    last_subscriber_id: int = Field(sa_type=Id)  # who signs up later is outside
    # A late key event leaves out who is in the audience of, or was served by, the entry's first alert.
    after_alert_id: int | None = Field(default=None, sa_type=Id)
    announced_at: datetime
    release_at: datetime | None = None  # a held alert's hour; none waits for a person
    released_at: datetime | None = None  # the Date of its mails
    expires_at: datetime
    frontier: int = Field(default=0, sa_type=Id)
    is_carved: bool = False
    first_accepted_at: datetime | None = None
    last_accepted_at: datetime | None = None
    done_at: datetime | None = None

    __table_args__ = (
        Index("ix_alert_work", "state", "is_carved", "rank", "id"),
        Index("ix_alert_released", "released_at"),
        _NUMBERED_ONCE,
    )


class AlertEntry(SQLModel, table=True):
    """Which texts a mail carried."""

    __tablename__ = "alert_entry"

    alert_id: int = Field(primary_key=True, foreign_key="alert.id", sa_type=Id)
    entry_id: int = Field(primary_key=True, foreign_key="entry.id", index=True, sa_type=Id)
    revision: int = Field(primary_key=True)


class Selection(SQLModel, table=True):
    """What one variant of a digest carries: written when it is opened for its first reader, and never changed."""

    alert_id: int = Field(primary_key=True, foreign_key="alert.id", sa_type=Id)
    variant: str = Field(primary_key=True)
    language: str
    topics: list[int] = Field(default_factory=list, sa_type=JSON)
    # [entry id, revision, what became of the text since it was first told: "", "updated" or "corrected"]
    entries: list[tuple[int, int, str]] = Field(default_factory=list, sa_type=JSON)


class Body(SQLModel, table=True):
    """A variant's rendering, made once and shared by all its readers; resends read it, never the templates."""

    alert_id: int = Field(primary_key=True, foreign_key="alert.id", sa_type=Id)
    variant: str = Field(primary_key=True)
    segments: bytes = Field(sa_type=LargeBinary)
    at: datetime


class Batch(SQLModel, table=True):
    """A run of subscriber ids of one alert that one worker holds on lease."""

    alert_id: int = Field(primary_key=True, foreign_key="alert.id", sa_type=Id)
    first_id: int = Field(primary_key=True, sa_type=Id)
    last_id: int = Field(sa_type=Id)
    rank: int
    opened_to: int = Field(sa_type=Id)
    worker: str = ""
    epoch: int = 0
    due_at: datetime | None = (
        None  # may be claimed from: the end of the lease, or of the wait; null once closed
    )
    tries: int = 0
    retry_at: datetime | None = None  # until then only those come again who waited for their destination
    closed_at: datetime | None = None
    owed: int = 0  # how many rows it ended with

    __table_args__ = (Index("ix_batch_due", "due_at", "rank"),)


class Delivery(SQLModel, table=True):
    """The right to send one alert to one reader, inserted before the first byte; then what became of it."""

    alert_id: int = Field(primary_key=True, sa_type=Id)
    subscriber_id: int = Field(primary_key=True, sa_type=Id)
    variant: str = ""
    transport: str = ""
    key_id: int = 0  # of the token in the mail, pinned so that a resend is byte-identical
    state: str
    reason: str = Field(default="", sa_type=String)
    code: int = 0
    reply: str = ""  # the server's words, scrubbed, kept for failures only
    attempts: int = 0
    doubts: int = 0
    epoch: int = 0  # of the lease it was last opened under
    at: datetime

    # Half-filled pages keep the receipt an in-place update; no index may name `state`, or it is none.
    __table_args__ = ({"sqlite_with_rowid": False, "postgresql_with": {"fillfactor": 50}},)


class Destination(SQLModel, table=True):
    """One recipient domain's recent outcomes: dead addresses stop being believed when they are too many."""

    domain: str = Field(primary_key=True)
    recent: str = ""  # the last 200 results, oldest first: "d" dead, "." not
    is_distrusted: bool = False
    changed_at: datetime


class Breaker(SQLModel, table=True):
    """A destination that refuses us for our own sake, through one transport; an acceptance ends it.

    The domain is empty where the transport itself refuses our envelope sender: then it is about all domains.
    """

    transport: str = Field(primary_key=True)
    domain: str = Field(primary_key=True)
    faults: int = 0  # in a row
    fault_at: datetime
    reason: str = ""
    code: int = 0
    reply: str = ""  # the server's words, scrubbed
    opened_at: datetime | None = None  # nobody is opened for it since
    probes: int = 0
    retry_at: datetime | None = None  # one mail may try then


class RateState(SQLModel, table=True):
    """How far the mails that left have used up a rate, of `transport:main` or `domain:reader.example`."""

    __tablename__ = "rate"

    scope: str = Field(primary_key=True)
    spent_to: datetime


class Waiting(SQLModel, table=True):
    """The readers of a batch who wait for their destination: for its rate, or because it is stopped."""

    domain: str = Field(primary_key=True)
    alert_id: int = Field(primary_key=True, sa_type=Id)
    first_id: int = Field(primary_key=True, sa_type=Id)  # of the batch
    rank: int
    readers: int
    turn: int = 0  # mails that it was promised ...
    turn_at: datetime | None = None  # ... from then on


class Audit(SQLModel, table=True):
    """Who did what; written by the service functions, so that no front can forget it. No reader's data."""

    id: int | None = Field(default=None, primary_key=True, sa_type=Id)
    at: datetime
    by: str
    action: str
    subject: str
    detail: dict[str, Any] = Field(default_factory=dict, sa_type=JSON)


def table_of(model: type[SQLModel]) -> Table:
    """Gives the Core table of a model, for statements on the hot path: mapped objects cost ten times as much."""
    return SQLModel.metadata.tables[str(model.__tablename__)]


# Where an address may stand: `audience.erasure` clears each of them, and a test looks for others.
ADDRESS_COLUMNS = (
    ("subscriber", "address"),
    ("subscriber", "address_key"),
    ("sign_up", "address"),
    ("sign_up", "address_key"),
    ("notice", "address"),
    ("notice", "segments"),
    ("address_change", "address"),
    ("address_change", "address_key"),
    ("import_line", "address"),
    ("import_line", "address_key"),
)
