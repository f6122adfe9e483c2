"""What every format is read into."""

from dataclasses import dataclass
from datetime import datetime, timedelta


@dataclass(frozen=True, slots=True)
class FeedEntry:
    """One post as its publisher gives it now; an empty string means that it is not given.

    `key` is the publisher's own id as it was written (guid, @id, id); which identity an entry has with us
    is decided in `feeds.identity`. `text` is plain, paragraphs apart by an empty line; `html` is sanitised.
    Times are aware UTC.
    """

    key: str | None
    url: str
    title: str
    text: str
    html: str
    author: str
    published_at: datetime | None
    updated_at: datetime | None
    is_key_event: bool | None
    is_correction: bool
    key_event_by: str = ""  # feed, block


@dataclass(frozen=True, slots=True)
class ParsedFeed:
    """One window of a feed: its entries in document order, and what an operator should know of it.

    `withdrawn` are publishers' ids of entries that the feed says are deleted or unpublished; absence says
    nothing. `refresh` is how often the publisher asks to be asked. `hub` and `topic_url` are what the
    document says of WebSub.
    """

    format: str
    is_live_blog: bool
    title: str
    url: str
    coverage_start: datetime | None
    coverage_end: datetime | None
    entries: tuple[FeedEntry, ...]
    warnings: tuple[str, ...]
    is_ended: bool = False  # by the feed's own word: closed, archived, expired
    continues_at: str = ""  # the page that carries the coverage on
    withdrawn: tuple[str, ...] = ()
    refresh: timedelta | None = None
    hub: str = ""
    topic_url: str = ""
