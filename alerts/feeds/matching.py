"""Which entry of a window is which known one: the rule in force, then key, text and likeness. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from alerts.feeds import identity
from alerts.feeds.formats.values import FeedEntry
from alerts.feeds.identity import Health, Identity, Rule

_SHORT = 40  # characters: "Goal!" may be said twice, a paragraph is not
_EDITED_SAME_TIME = 0.3  # Jaccard likeness of two texts' words that are one post, by what else agrees
_EDITED = 0.6
_EDITED_OTHER_TIME = 0.8


@dataclass(frozen=True, slots=True)
class KnownEntry:
    """An entry as the last polls left it; the texts are those of its newest revision."""

    key: str
    fingerprint: str
    revision: int
    is_key_event: bool | None
    title: str = ""
    text: str = ""
    published_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Known:
    """A feed as the last polls left it; `window` holds the keys that the last one saw."""

    is_baselined: bool
    identity: Identity
    entries: Mapping[str, KnownEntry]
    window: frozenset[str]


@dataclass(frozen=True, slots=True)
class Keyed:
    key: str
    fingerprint: str
    entry: FeedEntry


@dataclass(frozen=True, slots=True)
class Ignored:
    title: str
    why: str


@dataclass(frozen=True, slots=True)
class Match:
    known: tuple[tuple[Keyed, str], ...]  # with the key that each is known by
    new: tuple[Keyed, ...]
    ignored: tuple[Ignored, ...]


def rule_for(known: Known, window: Sequence[FeedEntry]) -> Identity:
    """Gives the identity to use: the stored one, unless the feed has just shown that it does not hold."""
    stored = known.identity
    if not window:
        return stored
    if not stored.rule:
        return identity.choose(window)
    is_halved = 2 * len(window) < len(known.window)
    if is_halved:  # a cut or damaged page is no evidence
        return stored
    has_unknown = any(identity.key(entry, stored.rule) not in known.entries for entry in window)
    wrong = _moved(known, window, stored.rule)
    if not wrong and has_unknown:
        wrong = identity.fault(window, stored.rule) or ""
    if wrong:
        return _next(known, stored.rule, window, wrong)
    if has_unknown and stored.health == Health.WEAK:
        return identity.choose(window)
    return stored


def _moved(known: Known, window: Sequence[FeedEntry], rule: str) -> str:
    """Says so when known texts stand under the keys of other entries: the keys are positions."""
    if rule == Rule.TEXT:
        return ""
    now = {identity.key(entry, rule): identity.fingerprint(entry) for entry in window}
    was = {entry.fingerprint: entry.key for entry in known.entries.values()}
    present = [key for key in now if key in known.entries]
    moved = [
        key
        for key, print_ in now.items()
        if (old_key := was.get(print_)) is not None
        and old_key != key
        and now.get(old_key, print_) != print_
        and (key not in known.entries or known.entries[key].fingerprint != print_)
    ]
    return f"{len(moved)} known texts moved to other keys" if moved and 2 * len(moved) >= len(present) else ""


def _next(known: Known, rule: str, window: Sequence[FeedEntry], wrong: str) -> Identity:
    """Gives the next rule that holds in this window; remembers that a better one was given up."""
    # A URL that ends in the id falls with it.
    is_other = rule == Rule.ID and not all(entry.key and entry.url.endswith(entry.key) for entry in window)
    holds = is_other and identity.fault(window, Rule.URL) is None and not _moved(known, window, Rule.URL)
    chosen = Rule.URL if holds else Rule.TEXT
    return Identity(chosen, Health.DEGRADED, f"{wrong}; now by {chosen}")


def with_keys(window: Sequence[FeedEntry], rule: str) -> list[Keyed]:
    """Gives the entries with their keys, each once: of two with one key, the one last updated."""
    best: dict[str, Keyed] = {}
    for entry in window:
        keyed = Keyed(identity.key(entry, rule), identity.fingerprint(entry), entry)
        if keyed.key not in best or _age(keyed) > _age(best[keyed.key]):
            best[keyed.key] = keyed
    return list(best.values())


def _age(keyed: Keyed) -> tuple[datetime, str]:
    entry = keyed.entry
    # The fingerprint settles ties, so that the order of the page cannot.
    return entry.updated_at or entry.published_at or datetime.min.replace(tzinfo=UTC), keyed.fingerprint


def match(known: Known, window: Sequence[Keyed], rule: str) -> Match:
    """Finds for each entry of the window the known one that it is: by key, by text, by likeness."""
    by_key = {keyed.key: keyed.key for keyed in window if keyed.key in known.entries}
    are_keys_steady = bool(by_key)
    taken = set(by_key.values())
    by_text: dict[str, list[KnownEntry]] = {}
    for entry in known.entries.values():
        by_text.setdefault(entry.fingerprint, []).append(entry)
    shown = {keyed.fingerprint: keyed for keyed in window if keyed.key in by_key}

    found: list[tuple[Keyed, str]] = []
    new: list[Keyed] = []
    ignored: list[Ignored] = []
    for keyed in window:
        if keyed.key in by_key:
            found.append((keyed, by_key[keyed.key]))
            continue
        original = shown.get(keyed.fingerprint)
        if original is not None and not _says_it_again(keyed, original.entry.published_at):
            ignored.append(Ignored(keyed.entry.title, "a copy of another entry on the page"))
            continue
        old = next((entry for entry in by_text.get(keyed.fingerprint, ()) if entry.key not in taken), None)
        if old is not None and are_keys_steady and _says_it_again(keyed, old.published_at):
            old = None
        if old is None and rule == Rule.TEXT:
            old = _edited(known, keyed, taken)
        shown.setdefault(keyed.fingerprint, keyed)
        if old is None:
            new.append(keyed)
        else:
            taken.add(old.key)
            found.append((keyed, old.key))
    return Match(tuple(found), tuple(new), tuple(ignored))


def _says_it_again(keyed: Keyed, before: datetime | None) -> bool:
    """Whether a few words said before are said again at another time: "Goal!" is news each time."""
    at = keyed.entry.published_at
    return (
        len(identity.words(keyed.entry)) < _SHORT and before is not None and at is not None and at != before
    )


def _edited(known: Known, keyed: Keyed, taken: set[str]) -> KnownEntry | None:
    """Finds the entry that this one was before an edit, among those that just left the page.

    Only for feeds told apart by their words, where an edit changes the key itself.
    """
    gone = [known.entries[key] for key in sorted(known.window - taken) if key in known.entries]
    likest = max(gone, key=lambda old: _likeness(old, keyed.entry), default=None)
    if likest is None:
        return None
    if likest.published_at is None or keyed.entry.published_at is None:
        least = _EDITED
    elif likest.published_at == keyed.entry.published_at:
        least = _EDITED_SAME_TIME
    else:
        least = _EDITED_OTHER_TIME
    return likest if _likeness(likest, keyed.entry) >= least else None


def _likeness(old: KnownEntry, entry: FeedEntry) -> float:
    mine = set(identity.words(entry).split())
    other = set(f"{identity.normal(old.title)} {identity.normal(old.text)}".split())
    return len(mine & other) / len(mine | other) if mine or other else 0.0
