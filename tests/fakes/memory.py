"""What a feed is known by, without tables: a decision applied as the store does it, for tests of the pure part."""

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime, timedelta

from alerts.feeds.compare.decide import decide
from alerts.feeds.compare.decision import Decision, Insert, Policy, Revision
from alerts.feeds.compare.identity import UNKNOWN, Rule
from alerts.feeds.compare.known import Known, KnownEntry
from alerts.feeds.formats import ParsedFeed
from fakes.blog import START

POLICY = Policy(flood_limit=5)
NOTHING_KNOWN = Known(is_baselined=False, identity=UNKNOWN, entries={})
NOW = START + timedelta(hours=2)


def decided(known: Known, parsed: ParsedFeed, policy: Policy = POLICY, now: datetime = NOW) -> Decision:
    return decide(known, parsed, policy, now)


def after(known: Known, decision: Decision, now: datetime = NOW) -> Known:
    """Applies a decision."""
    moved = {relink.old_key: relink.new_key for relink in decision.relinks}
    entries = {
        moved.get(key, key): replace(entry, key=moved.get(key, key)) for key, entry in known.entries.items()
    }
    names = {name: moved.get(key, key) for name, key in known.names.items()}
    for edit in decision.revisions:
        entries[edit.key] = _revised(entries[edit.key], edit)
    for mark in decision.key_marks:
        entries[mark.key] = replace(entries[mark.key], is_key_event=True)
    for keys, is_withdrawn in ((decision.restored, False), (decision.withdrawn, True)):
        for key in keys:
            entries[key] = replace(entries[key], is_withdrawn=is_withdrawn)
    for insert in decision.inserts:
        assert insert.key not in entries, "the table's key would refuse it"
        entries[insert.key] = _inserted(insert, now)
    for name, key in decision.names:
        assert key in entries, "a name leads to a row"
        if name.kind != Rule.TEXT or name not in names:
            names[name] = key
    return Known(True, decision.identity, entries, _window(known, decision), names)


def knowing(*windows: ParsedFeed, policy: Policy = POLICY) -> Known:
    """Gives what is known after these windows."""
    known = NOTHING_KNOWN
    for parsed in windows:
        known = after(known, decided(known, parsed, policy))
    return known


def titles(decision: Decision) -> list[str]:
    """Gives the headlines of what a decision would announce."""
    return [insert.entry.title for insert in news(decision.inserts)]


def news(inserts: Iterable[Insert]) -> list[Insert]:
    return [insert for insert in inserts if not insert.history]


def _window(known: Known, decision: Decision) -> tuple[str, ...]:
    return decision.window or known.window


def _revised(old: KnownEntry, edit: Revision) -> KnownEntry:
    return replace(
        old,
        fingerprint=edit.fingerprint,
        revision=edit.number,
        title=edit.entry.title,
        text=edit.entry.text,
        published_at=edit.entry.published_at,
        updated_at=edit.entry.updated_at,
    )


def _inserted(insert: Insert, now: datetime) -> KnownEntry:
    entry = insert.entry
    return KnownEntry(
        insert.key,
        insert.fingerprint,
        1,
        insert.is_key_event,
        entry.title,
        entry.text,
        entry.published_at,
        entry.updated_at,
        now,
    )
