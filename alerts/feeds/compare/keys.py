"""The entries of a window under the rule in force, each once, with every name that is its own there. Pure."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime

from alerts.feeds.compare import identity
from alerts.feeds.compare.addresses import loose
from alerts.feeds.compare.identity import Name, Rule, Sighting
from alerts.feeds.compare.known import LOOSE, Keyed, once
from alerts.feeds.compare.wording import SHORT, likeness, words

# Below this likeness two texts tell different stories; two posts of one blog are rarely above it.
OTHER_STORY = 0.2


def with_keys(window: Sequence[Sighting], rule: str) -> list[Keyed]:
    """Gives the entries with their keys, each once, in the order of the page.

    Of two versions of one entry it gives the one last updated; two stories under one id get a key each.
    """
    own_names = _own_names(window, rule)
    keyed: dict[str, Keyed] = {}
    for sighting in window:
        one = _keyed(sighting, rule, own_names)
        first = keyed.get(one.key)
        if first is None:
            keyed[one.key] = one
        elif is_other_story(first, one):
            for each in _apart(first, one):
                keyed[each.key] = each
        else:
            keyed[one.key] = _newer(first, one)
    return list(keyed.values())


def is_other_story(one: Keyed, other: Keyed) -> bool:
    """Whether two entries under one key are two: unlike texts, or a few words said again, at different times.

    At one time only two whole texts are: a holding line and what follows it are versions of one entry.
    """
    times = (one.entry.published_at, other.entry.published_at)
    if None in times:
        return False
    is_short = min(len(words(one.entry)), len(words(other.entry))) < SHORT
    if one.fingerprint == other.fingerprint:
        return is_short and times[0] != times[1]
    return likeness(one.units, other.units) < OTHER_STORY and not (is_short and times[0] == times[1])


def _newer(one: Keyed, other: Keyed) -> Keyed:
    """Gives the newer of two versions of an entry, which remembers the other's text."""
    newer = max(one, other, key=_age)
    texts = {*one.versions, *other.versions, one.fingerprint, other.fingerprint} - {newer.fingerprint}
    return replace(newer, versions=tuple(sorted(texts)))


def _apart(one: Keyed, other: Keyed) -> tuple[Keyed, Keyed]:
    """Gives the earlier entry the key, and the later one a key of its own, in whatever order they stand."""
    earlier, later = sorted((one, other), key=lambda each: (_published(each), each.fingerprint))
    mark = later.fingerprint[:8]
    if one.fingerprint == other.fingerprint:
        mark = f"{_published(later):%Y%m%dT%H%M%S}"
    name = Name(later.name.kind, f"{later.name.value}~{mark}")
    return earlier, Keyed(f"{later.key}~{mark}", later.fingerprint, later.entry, name)


def _keyed(sighting: Sighting, rule: str, own_names: frozenset[Name]) -> Keyed:
    name = identity.named(sighting, rule)
    given = [Name(Rule.ID, sighting.id), Name(Rule.URL, sighting.url)]
    loose_name = Name(LOOSE, loose(name.value))
    return Keyed(
        identity.key(sighting, rule),
        sighting.fingerprint,
        sighting.entry,
        name,
        others=tuple(each for each in given if each in own_names and each != name),
        loose=loose_name if loose_name in own_names and name.kind != Rule.TEXT else None,
    )


def _own_names(window: Sequence[Sighting], rule: str) -> frozenset[Name]:
    """Gives the names that one entry alone has, of the kinds that hold in this window.

    A kind that the rule has passed over is not believed: ids that are positions are each one entry's own, too.
    """
    own: set[Name] = set()
    believed = list(Rule)[list(Rule).index(Rule(rule)) :]
    for kind in (Rule.ID, Rule.URL):
        if kind in believed and identity.fault(window, kind) is None:
            names = [each.name(kind) for each in window]
            own |= {Name(kind, value) for value in once([name.value for name in names if name])}
    entries = {(identity.named(each, rule).value, each.fingerprint) for each in window}
    own |= {Name(LOOSE, value) for value in once([loose(value) for value, _ in entries])}
    return frozenset(own)


def _published(keyed: Keyed) -> datetime:
    return keyed.entry.published_at or datetime.min.replace(tzinfo=UTC)


def _age(keyed: Keyed) -> tuple[datetime, str]:
    # The fingerprint settles ties, so that the order of the page cannot.
    return keyed.entry.updated_at or _published(keyed), keyed.fingerprint
