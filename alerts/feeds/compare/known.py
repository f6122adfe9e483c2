"""What is known of a feed, as values: the entries that a window may be about, and the names they go by. Pure."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from alerts.feeds.compare.addresses import canonical, loose
from alerts.feeds.compare.identity import Identity, Name, Rule, Sighting
from alerts.feeds.compare.wording import normal, units, words
from alerts.feeds.formats.values import FeedEntry

MAX_REVISIONS = 24  # then a text that changes at every poll (an advert, a counter) is no longer followed
LOOSE = "loose"  # the kind of a name without its session, language and sort order


@dataclass(frozen=True, slots=True)
class KnownEntry:
    """An entry as the last polls left it; texts and times are those of its newest revision.

    The texts are empty where nothing needs them: when the window shows no text that is not known.
    """

    key: str
    fingerprint: str
    revision: int
    is_key_event: bool | None
    title: str = ""
    text: str = ""
    published_at: datetime | None = None
    updated_at: datetime | None = None
    first_seen_at: datetime | None = None
    is_withdrawn: bool = False

    @property
    def is_restless(self) -> bool:
        return self.revision >= MAX_REVISIONS

    @property
    def units(self) -> frozenset[str]:
        return units(f"{normal(self.title)} {normal(self.text)}")


@dataclass(frozen=True, slots=True)
class Known:
    """A feed as the last polls left it, as far as a window may touch it.

    `entries` are by key; `names` lead from what a window shows to keys; `window` holds the keys that the last
    window showed, in its order. `moved_at` is set for the first window from the page's successor.
    """

    is_baselined: bool
    identity: Identity
    entries: Mapping[str, KnownEntry]
    window: tuple[str, ...] = ()
    names: Mapping[Name, str] = field(default_factory=dict)
    moved_at: datetime | None = None

    def named(self, *names: Name | None) -> str | None:
        """Gives the key of the entry that goes by the first of these names that is known."""
        return next((self.names[name] for name in names if name is not None and name in self.names), None)


@dataclass(frozen=True, slots=True)
class Keyed:
    """An entry of a window under the rule in force."""

    key: str
    fingerprint: str
    entry: FeedEntry
    name: Name  # what stands behind the key
    others: tuple[Name, ...] = ()  # further names that are its own in this window
    loose: Name | None = None  # where nothing else in this window has it
    versions: tuple[str, ...] = ()  # fingerprints of the other texts that this window shows under its key

    @property
    def text(self) -> Name:
        return Name(Rule.TEXT, self.fingerprint)

    @property
    def units(self) -> frozenset[str]:
        return units(words(self.entry))


def asked(window: Iterable[Sighting], withdrawn: Iterable[str]) -> frozenset[Name]:
    """Gives every name by which a window may ask for a known entry."""
    return frozenset(_asked(window)) | frozenset(Name(Rule.ID, canonical(id_)) for id_ in withdrawn)


def _asked(window: Iterable[Sighting]) -> Iterator[Name]:
    for sighting in window:
        yield Name(Rule.TEXT, sighting.fingerprint)
        for kind, value in ((Rule.ID, sighting.id), (Rule.URL, sighting.url)):
            if value:
                yield Name(kind, value)
                yield Name(kind, loose(value))
                yield Name(LOOSE, loose(value))


def once(values: Sequence[str]) -> frozenset[str]:
    """Gives the values that come once, the empty string left out."""
    return frozenset(value for value, count in Counter(values).items() if count == 1 and value)
