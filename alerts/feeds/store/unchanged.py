"""Polls that found nothing new, stored many at once: most polls are such, and each commit waits for the disk.

What is more than "nothing new, look again" goes the way of all results: an end, a redirect, a recovery.
"""

from collections.abc import Sequence
from datetime import datetime
from random import Random
from typing import Any

import sqlalchemy as sa
from sqlmodel import Session

from alerts.feeds import endings
from alerts.feeds.fetch import Validators
from alerts.feeds.outcomes import POLLED_STATES, DueFeed, PollResult, Unchanged, Verdict
from alerts.feeds.schedule import Rhythm, schedule
from alerts.feeds.store.polls import facts_of, store
from alerts.models import Feed, table_of

_FEED = table_of(Feed)

# Built once: to build a statement costs more than to run it.
_SELECT = (
    sa.select(
        _FEED.c.id,
        _FEED.c.state,
        _FEED.c.leased_by,
        _FEED.c.interval,
        _FEED.c.changed_at,
        _FEED.c.created_at,
        _FEED.c.coverage_end,
        _FEED.c.ended_at,
        _FEED.c.is_followed,
        _FEED.c.failures,
        _FEED.c.refresh,
        _FEED.c.moved_to,
        _FEED.c.hastened_at,
        _FEED.c.read_whole_at,
    )
    .where(_FEED.c.id.in_(sa.bindparam("ids", expanding=True)))
    .order_by(_FEED.c.id)
    .with_for_update()
)
_UPDATE = (
    sa.update(_FEED)
    .where(_FEED.c.id == sa.bindparam("feed"))
    .values(
        leased_by="",
        leased_until=None,
        polled_at=sa.bindparam("now"),
        next_poll_at=sa.bindparam("at"),
        poll_reason=sa.bindparam("why"),
        etag=sa.bindparam("tag"),
        last_modified=sa.bindparam("modified"),
        read_whole_at=sa.bindparam("whole_at"),
    )
)


def store_unchanged(
    session: Session,
    polls: Sequence[tuple[DueFeed, Unchanged]],
    now: datetime,
    random: Random,
    rhythm: Rhythm,
) -> list[PollResult]:
    """Writes what `store` would write for each of these polls, in one transaction; gives their results."""
    connection = session.connection()
    rows = {row.id: row for row in connection.execute(_SELECT, {"ids": [due.id for due, _ in polls]})}
    updates: list[dict[str, Any]] = []
    results = []
    for due, outcome in polls:
        update = _update(rows.get(due.id), due, outcome, now, random, rhythm)
        if update is None:
            results.append(store(session, due, outcome, now, random, rhythm))
        else:
            updates.append(update)
            results.append(PollResult(due.name, Verdict.UNCHANGED, next_poll_at=update["at"]))
    if updates:
        connection.execute(_UPDATE, updates)
    return results


def _update(
    row: Any,  # of _SELECT, whose columns no type names; None when the feed is gone
    due: DueFeed,
    outcome: Unchanged,
    now: datetime,
    random: Random,
    rhythm: Rhythm,
) -> dict[str, Any] | None:
    """Gives the new values of a feed to which nothing happened; None when something may have."""
    if row is None or row.leased_by != due.lease or row.state not in POLLED_STATES:
        return None
    if row.failures or row.hastened_at or row.moved_to or outcome.moved_to:
        return None
    stirred_at = row.changed_at or row.created_at
    ended_at = endings.after_silence(row.ended_at, now, coverage_end=row.coverage_end, stirred_at=stirred_at)
    upcoming = schedule(facts_of(row), now, rhythm)
    wait = upcoming.jittered(random)
    if ended_at != row.ended_at or wait is None:
        return None
    return {
        "feed": due.id,
        "now": now,
        "at": now + wait,
        "why": upcoming.why,
        "tag": outcome.validators.etag,
        "modified": outcome.validators.last_modified,
        "whole_at": now if due.validators == Validators() else row.read_whole_at,
    }
