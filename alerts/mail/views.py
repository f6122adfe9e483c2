"""What mails are rendered from, and what comes out: plain values, of which nothing is trusted but the site's own."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


@dataclass(frozen=True, slots=True)
class EntryView:
    """An entry as its feed gave it; nothing in it is trusted."""

    title: str
    text: str
    html: str
    author: str
    url: str
    published_at: datetime | None
    is_key_event: bool | None
    source: str
    also_by: tuple[str, ...] = ()  # other feeds that told the same


@dataclass(frozen=True, slots=True)
class AlertView:
    """What one variant's mail is about, and why its readers get it."""

    entries: tuple[EntryView, ...]
    topics: tuple[str, ...]
    frequency: str
    language: str
    released_at: datetime


@dataclass(frozen=True, slots=True)
class DigestEntry:
    """One entry of a digest: its latest text, the reader's topics it belongs to, and what became of it.

    `mark` is empty, or says what happened to the text since it was first told: "updated" or "corrected".
    """

    entry: EntryView
    topics: tuple[str, ...]
    mark: str = ""


@dataclass(frozen=True, slots=True)
class DigestView:
    """What one variant of a digest tells, in the order of release."""

    entries: tuple[DigestEntry, ...]
    topics: tuple[str, ...]
    frequency: str  # hourly, daily or weekly
    language: str
    due_at: datetime  # the end of the window
    zone: str  # IANA name: times are shown in it
    is_late: bool = False


@dataclass(frozen=True, slots=True)
class NoticeView:
    """Mail that one person asked for; nothing in it is what a visitor typed."""

    kind: str  # as `NoticeKind` names it
    language: str
    topics: tuple[tuple[str, str], ...]  # title and frequency, of a sign-up
    expires_at: datetime


class Archive(StrEnum):
    """Whether everybody can read what was mailed."""

    OFF = "off"
    UNLISTED = "unlisted"  # whoever has the address can; search engines are asked to pass it over
    INDEXED = "indexed"


@dataclass(frozen=True, slots=True)
class SiteView:
    """Who sends; `base_url` has no slash at its end."""

    name: str
    base_url: str
    sender_name: str
    sender: str
    contact: str
    postal_address: str
    archive: Archive = Archive.UNLISTED


@dataclass(frozen=True, slots=True)
class Rendered:
    """A mail's words, clean; `hole` stands at least once in text and in html, where the reader's token goes."""

    subject: str
    text: str
    html: str
    hole: str
