"""What is known of a feed's entries out of the tables, and a decision about them into the tables."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime

import sqlalchemy as sa
from sqlmodel import Session, col, select

from alerts.db import insert_or_ignore
from alerts.dispatch.announce import announce_entry, announce_key_event, cancel_withdrawn
from alerts.feeds.compare.decide import decide
from alerts.feeds.compare.decision import Decision, Insert, KeyMark, Policy, Relink, Revision
from alerts.feeds.compare.identity import Name, Rule, sight
from alerts.feeds.formats import FeedEntry, ParsedFeed
from alerts.feeds.formats.markup import opening
from alerts.feeds.outcomes import Kind, PollItem
from alerts.feeds.store.grouping import group
from alerts.feeds.store.recall import chunks, known
from alerts.models import Audit, Entry, EntryAlias, EntryRevision, Feed, FeedState, table_of

MOST_HELD = 1_000  # entries of one feed that wait for a person

_ALIAS = table_of(EntryAlias)


def compare(session: Session, feed: Feed, parsed: ParsedFeed, now: datetime) -> Decision:
    """Reads what is known of a window's entries and decides what the window means."""
    window = [sight(entry) for entry in parsed.entries]
    policy = Policy(feed.flood_limit, tuple(feed.key_words))
    return decide(known(session, feed, window, parsed.withdrawn), parsed, policy, now, window)


def apply(session: Session, feed: Feed, decision: Decision, now: datetime) -> tuple[PollItem, ...]:
    """Writes a decision's parts in the order they depend on each other, and announces what is new."""
    decision = _without_excess(session, feed, decision)
    _write_identity(session, feed, decision, now)
    items = [_relink(session, feed, relink) for relink in decision.relinks]
    items += [_revise(session, feed, revision, now) for revision in decision.revisions]
    items += _restore(session, feed, decision.restored)
    items += _insert(session, feed, decision, now)
    ids = _ids(session, feed, {*decision.window, *(key for _, key in decision.names)})
    _write_names(session, feed, decision.names, ids, now)
    _write_window(session, feed, [ids[key] for key in decision.window], now)
    items += [_withdraw(session, feed, key, now) for key in decision.withdrawn]
    # What a held feed marks is not even remembered: after the release it is seen again, and announced then.
    if feed.state == FeedState.ACTIVE:
        items += [_mark(session, feed, mark, now) for mark in decision.key_marks]
    items += [PollItem(Kind.IGNORED, ignored.title, why=ignored.why) for ignored in decision.ignored]
    return tuple(items)


def _write_identity(session: Session, feed: Feed, decision: Decision, now: datetime) -> None:
    rule = decision.identity
    feed.identity, feed.identity_health = rule.rule, f"{rule.health}: {rule.why}"
    feed.identity_unique, feed.identity_stable = rule.unique, rule.stable
    session.add(feed)
    if decision.degraded:
        session.add(
            Audit(
                at=now,
                by="poller",
                action="feed.degrade",
                subject=f"feed:{feed.name}",
                detail={"why": decision.degraded},
            )
        )


def _relink(session: Session, feed: Feed, relink: Relink) -> PollItem:
    session.execute(
        sa.update(Entry)
        .where(col(Entry.feed_id) == feed.id, col(Entry.key) == relink.old_key)
        .values(key=relink.new_key)
    )
    return PollItem(Kind.RELINKED, relink.new_key, why=f"was {relink.old_key}")


def _ids(session: Session, feed: Feed, keys: Iterable[str]) -> dict[str, int]:
    found: dict[str, int] = {}
    for chunk in chunks(sorted(keys)):
        rows = session.execute(
            sa.select(col(Entry.key), col(Entry.id)).where(
                col(Entry.feed_id) == feed.id, col(Entry.key).in_(chunk)
            )
        )
        found |= {key: entry_id for key, entry_id in rows.all()}  # noqa: C416 - rows are no pairs to mypy
    return found


def _write_names(
    session: Session,
    feed: Feed,
    names: Iterable[tuple[Name, str]],
    ids: Mapping[str, int],
    now: datetime,
) -> None:
    """Writes what entries go by. An id or address belongs to who has it now, a text to who had it first."""
    rows = [
        {
            "feed_id": feed.id,
            "kind": name.kind,
            "value": name.value,
            "entry_id": ids[key],
            "seen_at": now,
        }
        for name, key in names
    ]
    taken = [row for row in rows if row["kind"] != Rule.TEXT]
    for row in taken:
        session.execute(
            sa.delete(_ALIAS).where(
                _ALIAS.c.feed_id == feed.id, _ALIAS.c.kind == row["kind"], _ALIAS.c.value == row["value"]
            )
        )
    if rows:
        session.connection().execute(insert_or_ignore(session, _ALIAS), rows)


def _write_window(session: Session, feed: Feed, ids: Sequence[int], now: datetime) -> None:
    """Remembers which entries this window showed, in its order.

    What a window of less than half left out is forgotten by halves: it may be cut, or the page may be shorter.
    """
    for chunk in chunks(sorted(ids)):
        session.execute(sa.update(Entry).where(col(Entry.id).in_(chunk)).values(last_seen_at=now))
    before = feed.last_window
    if not ids or 2 * len(ids) >= len(before):
        feed.last_window = list(ids) or before
    else:
        left = [entry_id for entry_id in before if entry_id not in ids]
        feed.last_window = [*ids, *left][: len(before) // 2]
    session.add(feed)


def _restore(session: Session, feed: Feed, keys: Sequence[str]) -> list[PollItem]:
    """Takes note that entries are shown again. What was announced, or called off, stays so."""
    items = []
    for key in keys:
        entry = _entry(session, feed, key)
        entry.withdrawn_at = None
        session.add(entry)
        items.append(PollItem(Kind.RESTORED, _title(session, entry), entry.id, entry.is_key_event))
    session.flush()
    return items


def _withdraw(session: Session, feed: Feed, key: str, now: datetime) -> PollItem:
    """Takes note that a publisher took an entry back; an alert of it that is still held is called off."""
    entry = _entry(session, feed, key)
    assert entry.id is not None, "read from the table"
    entry.withdrawn_at, entry.is_held = now, False
    session.add(entry)
    cancelled = cancel_withdrawn(session, entry.id, now)
    why = "its alert was still held, and is cancelled" if cancelled else ""
    return PollItem(
        Kind.WITHDRAWN, _title(session, entry), entry.id, entry.is_key_event, entry.first_alert_id, why=why
    )


def _insert(session: Session, feed: Feed, decision: Decision, now: datetime) -> list[PollItem]:
    """Writes the new entries, oldest first, and announces them unless they are a baseline or held."""
    kinds = [_kind(feed, insert, is_baseline=decision.is_baseline) for insert in decision.inserts]
    entries = _insert_rows(session, feed, decision.inserts, kinds, now)
    news = [entry.id for entry, kind in zip(entries, kinds, strict=True) if entry.id and kind == Kind.NEW]
    group(session, news, now)
    items = []
    for entry, insert, kind in zip(entries, decision.inserts, kinds, strict=True):
        assert entry.id is not None, "flushed"
        items.append(
            PollItem(
                kind,
                headline(insert.entry, feed.title),
                entry.id,
                insert.is_key_event,
                announce_entry(session, entry.id, now) if kind == Kind.NEW else None,
                why=insert.history,
            )
        )
    return items


def _without_excess(session: Session, feed: Feed, decision: Decision) -> Decision:
    """Leaves new entries out where a held feed has more than a person could look through.

    They are met again at the next poll; a page that is another at each poll does not fill the database.
    """
    if feed.state != FeedState.HELD or not decision.inserts or _held(session, feed) < MOST_HELD:
        return decision
    left_out = {insert.key for insert in decision.inserts}
    return replace(
        decision,
        inserts=(),
        names=tuple((name, key) for name, key in decision.names if key not in left_out),
        window=tuple(key for key in decision.window if key not in left_out),
    )


def _held(session: Session, feed: Feed) -> int:
    count: int = session.execute(
        sa.select(sa.func.count()).where(col(Entry.feed_id) == feed.id, col(Entry.is_held))
    ).scalar_one()
    return count


def _kind(feed: Feed, insert: Insert, *, is_baseline: bool) -> Kind:
    if is_baseline or insert.history:
        return Kind.BASELINE
    return Kind.HELD if feed.state == FeedState.HELD else Kind.NEW


def _insert_rows(
    session: Session, feed: Feed, inserts: Sequence[Insert], kinds: Sequence[Kind], now: datetime
) -> list[Entry]:
    assert feed.id is not None, "read from the table"
    entries = [
        Entry(
            feed_id=feed.id,
            key=insert.key,
            fingerprint=insert.fingerprint,
            is_key_event=insert.is_key_event,
            key_event_by=insert.key_event_by,
            is_baseline=kind == Kind.BASELINE,
            is_held=kind == Kind.HELD,
            first_seen_at=now,
            last_seen_at=now,
        )
        for insert, kind in zip(inserts, kinds, strict=True)
    ]
    session.add_all(entries)
    session.flush()
    session.add_all(
        _revision(entry.id, 1, insert.fingerprint, insert.entry, feed, now)
        for entry, insert in zip(entries, inserts, strict=True)
        if entry.id is not None
    )
    session.flush()
    return entries


def _revise(session: Session, feed: Feed, revision: Revision, now: datetime) -> PollItem:
    """Writes a known entry's new text. It mails nobody."""
    entry = _entry(session, feed, revision.key)
    assert entry.id is not None, "read from the table"
    entry.fingerprint, entry.revision = revision.fingerprint, revision.number
    session.add(entry)
    session.add(_revision(entry.id, revision.number, revision.fingerprint, revision.entry, feed, now))
    session.flush()
    return PollItem(
        Kind.EDITED, headline(revision.entry, feed.title), entry.id, entry.is_key_event, entry.first_alert_id
    )


def _mark(session: Session, feed: Feed, mark: KeyMark, now: datetime) -> PollItem:
    """Marks a known entry as a key event, and announces that, unless it is of the baseline."""
    entry = _entry(session, feed, mark.key)
    assert entry.id is not None, "read from the table"
    entry.is_key_event, entry.key_event_by = True, mark.by
    session.add(entry)
    session.flush()
    is_news = mark.is_news and not entry.is_baseline
    alert_id = announce_key_event(session, entry.id, now) if is_news else None
    return PollItem(Kind.KEY_EVENT, _title(session, entry), entry.id, True, alert_id, why=mark.by)


def _title(session: Session, entry: Entry) -> str:
    return session.get_one(EntryRevision, (entry.id, entry.revision)).title


def _entry(session: Session, feed: Feed, key: str) -> Entry:
    return session.exec(select(Entry).where(Entry.feed_id == feed.id, Entry.key == key)).one()


def _revision(
    entry_id: int, number: int, fingerprint: str, entry: FeedEntry, feed: Feed, now: datetime
) -> EntryRevision:
    return EntryRevision(
        entry_id=entry_id,
        number=number,
        fingerprint=fingerprint,
        url=entry.url,
        title=headline(entry, feed.title),
        text=entry.text,
        html=entry.html,
        author=entry.author,
        published_at=entry.published_at,
        updated_at=entry.updated_at,
        is_correction=entry.is_correction,
        seen_at=now,
    )


def headline(entry: FeedEntry, feed_title: str) -> str:
    """Gives an entry's own headline; where it has none, or the page's, the opening of its text."""
    if entry.title and entry.title != feed_title:
        return entry.title
    return opening(entry.text) or entry.title
