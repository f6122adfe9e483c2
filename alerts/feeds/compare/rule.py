"""The identity rule in force: kept while it holds, given up with the reason when the feed breaks it. Pure."""

from collections.abc import Sequence
from dataclasses import replace

from alerts.feeds.compare import identity
from alerts.feeds.compare.addresses import loose
from alerts.feeds.compare.identity import Health, Identity, Name, Rule, Sighting
from alerts.feeds.compare.known import LOOSE, Known

# Shares fade by windows, so that one migration is forgiven and a habit is not: two new sets of ids in a row.
_FADES = 0.7
_LEAST_STABLE = 0.5


def rule_for(known: Known, window: Sequence[Sighting]) -> Identity:
    """Gives the identity to use, measured: the stored one, unless the feed has shown that it does not hold.

    A window that is empty, or cut to less than half, is no evidence.
    """
    stored = known.identity
    if not window or is_halved(known, window):
        return stored if stored.rule or not window else identity.choose(window)
    if not stored.rule:
        return _measured(identity.choose(window), known, window)
    if known.moved_at is not None:  # the successor is by the same hand: what was given up stays so
        return stored if stored.health == Health.DEGRADED else identity.choose(window)
    if all(_is_known(known, each, stored.rule) for each in window) and not _moved(known, window, stored.rule):
        return _measured(stored, known, window)
    wrong = (
        _moved(known, window, stored.rule)
        or identity.fault(window, stored.rule)
        or _unsteady(_measured(stored, known, window))
    )
    if wrong:
        return _next(known, stored.rule, window, wrong)
    if stored.health == Health.WEAK:
        better = identity.choose(window)
        stored = stored if better.rule == stored.rule else better
    return _measured(stored, known, window)


def is_halved(known: Known, window: Sequence[object]) -> bool:
    """Whether a window shows less than half of what the last one did: it may be cut or damaged."""
    return 2 * len(window) < len(known.window)


def _measured(rule: Identity, known: Known, window: Sequence[Sighting]) -> Identity:
    """Gives the identity with its shares brought up to this window."""
    unique = _faded(rule.unique, identity.unique_share(window, rule.rule))
    if rule.rule != known.identity.rule:  # nothing has had the time to change
        return replace(rule, unique=unique, stable=1.0)
    stable, now = rule.stable or 1.0, _stable_share(known, window, rule.rule)
    return replace(rule, unique=unique, stable=stable if now is None else _faded(stable, now))


def _faded(before: float | None, now: float) -> float:
    share = now if before is None else _FADES * before + (1 - _FADES) * now
    return round(share, 3)


def _stable_share(known: Known, window: Sequence[Sighting], rule: str) -> float | None:
    """Gives the share of known texts that stand under a known key; None where no text is known.

    A text may stand on the page twice, such as pinned: one known key is enough.
    """
    same = [each for each in window if Name(Rule.TEXT, each.fingerprint) in known.names]
    texts = {each.fingerprint for each in same}
    steady = {each.fingerprint for each in same if _is_known(known, each, rule)}
    return len(steady) / len(texts) if texts else None


def _is_known(known: Known, sighting: Sighting, rule: str) -> bool:
    name = identity.named(sighting, rule)
    bare = loose(name.value)
    return known.named(name, Name(name.kind, bare), Name(LOOSE, bare)) is not None


def _unsteady(measured: Identity) -> str:
    """Says so when the feed has broken its rule for several windows; empty when it has not."""
    if measured.rule == Rule.TEXT:
        return ""
    if measured.stable is not None and measured.stable < _LEAST_STABLE:
        return f"known texts come under new keys at each poll ({measured.stable:.0%} of them did not)"
    return ""


def _moved(known: Known, window: Sequence[Sighting], rule: str) -> str:
    """Says so when known texts stand under the keys of other entries: the keys are positions.

    It does not matter from which end they count, or by how many an arrival shifts them.
    """
    if rule == Rule.TEXT:
        return ""
    shown: dict[str, str] = {}
    for each in window:
        shown.setdefault(identity.key(each, rule), each.fingerprint)
    was = {entry.fingerprint: entry.key for entry in known.entries.values()}
    moved = kept = 0
    for key, fingerprint in shown.items():
        old_key = was.get(fingerprint)
        entry = known.entries.get(key)
        if entry is not None and entry.fingerprint == fingerprint:
            kept += 1
        elif old_key is not None and shown.get(old_key, fingerprint) != fingerprint:
            moved += 1
    return f"{moved} known texts moved to other keys" if moved > kept else ""


def _next(known: Known, rule: str, window: Sequence[Sighting], wrong: str) -> Identity:
    """Gives the next rule that holds in this window; remembers that a better one was given up."""
    # A URL that ends in the id falls with it.
    is_other = rule == Rule.ID and not all(each.id and each.url.endswith(each.id) for each in window)
    share = _stable_share(known, window, Rule.URL)
    holds = (
        is_other
        and identity.fault(window, Rule.URL) is None
        and not _moved(known, window, Rule.URL)
        and (share is None or share >= _LEAST_STABLE)
    )
    chosen = Rule.URL if holds else Rule.TEXT
    return _measured(Identity(chosen, Health.DEGRADED, f"{wrong}; now by {chosen}"), known, window)
