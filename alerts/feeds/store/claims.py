"""Which feeds this process polls now: what is due is leased, fairly to hosts; what was missed is spread.

A feed is leased to one process at a time. The lease is short and renewed while the poll lasts, so that the
feeds of a process that died wait no longer than it.
"""

import secrets
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from random import Random
from types import MappingProxyType
from typing import Any
from urllib.parse import urlsplit

import sqlalchemy as sa
from sqlmodel import Session

from alerts.audience.topics import followed_feeds
from alerts.feeds.fetch import Validators
from alerts.feeds.outcomes import POLLED_STATES, DueFeed
from alerts.feeds.schedule import FEW, SLOWER_AFTER, Overdue, Rhythm, schedule, spread
from alerts.feeds.store.polls import facts_of
from alerts.models import Feed, table_of

MOST_OF_A_HOST = 4  # polls at once: a host that hangs must not take all the room
WHOLE_AGAIN_AFTER = timedelta(days=1)  # 304 for ever, the same ETag on other bytes: once a day we look anew

# A feed that nobody waits for, or that fails, is polled as if it had become due this much later.
PRECEDENCE = timedelta(seconds=10)
# How many of those that are due are looked through; more only where a few hosts have most of them.
_FIRST_LOOK, _SECOND_LOOK = 100, 10_000
_NOBODY: Mapping[str, int] = MappingProxyType({})

_Row = Any  # sa.Row, whose columns no type names

_FEED = table_of(Feed)
# What the schedule goes by; a feed's last window stays where it is.
_FACTS = (
    _FEED.c.id,
    _FEED.c.url,
    _FEED.c.state,
    _FEED.c.interval,
    _FEED.c.changed_at,
    _FEED.c.created_at,
    _FEED.c.is_followed,
    _FEED.c.ended_at,
    _FEED.c.failures,
    _FEED.c.refresh,
)
_CLAIM = (
    *_FACTS,
    _FEED.c.name,
    _FEED.c.etag,
    _FEED.c.last_modified,
    _FEED.c.body_hash,
    _FEED.c.format,
    _FEED.c.obey_robots,
    _FEED.c.follow_moves,
    _FEED.c.continues_at,
    _FEED.c.read_whole_at,
    _FEED.c.hastened_at,
)

# Built once: to build a statement costs more than to run it.
_NOW: sa.BindParameter[Any] = sa.bindparam("now")
_IS_FREE = _FEED.c.state.in_(POLLED_STATES) & sa.or_(
    _FEED.c.leased_until.is_(None), _FEED.c.leased_until <= _NOW
)
_IS_DUE = _IS_FREE & (_FEED.c.next_poll_at <= _NOW)
_IS_CHOSEN = _FEED.c.id.in_(sa.bindparam("chosen", expanding=True))
_DUE = (
    sa.select(
        _FEED.c.id,
        _FEED.c.url,
        _FEED.c.next_poll_at,
        _FEED.c.failures,
        _FEED.c.is_followed,
        _FEED.c.ended_at,
    )
    .where(_IS_DUE)
    .order_by(_FEED.c.next_poll_at, _FEED.c.id)
    .limit(sa.bindparam("most"))
)
_CHOSEN = sa.select(*_CLAIM).where(_IS_CHOSEN, _IS_DUE).with_for_update(skip_locked=True)
_LEASE = (
    sa.update(_FEED)
    .where(_IS_CHOSEN)
    .values(leased_by=sa.bindparam("token"), leased_until=sa.bindparam("until"))
)


def claim_due(
    session: Session, now: datetime, limit: int, lease: timedelta, busy: Mapping[str, int] = _NOBODY
) -> list[DueFeed]:
    """Leases up to `limit` feeds that are due, the longest overdue first; `busy` counts the polls of each host.

    What another process holds is left out, and of each host no more than a few are polled at once.
    """
    connection = session.connection()
    chosen: list[int] = []
    for most in (_FIRST_LOOK, _SECOND_LOOK):
        rows = connection.execute(_DUE, {"now": now, "most": most}).all()
        chosen = _choose(rows, limit, busy)
        if len(chosen) == limit or len(rows) < most:
            break
    if not chosen:
        return []
    token = secrets.token_hex(8)
    claimed = connection.execute(_CHOSEN, {"now": now, "chosen": chosen})
    feeds = {row.id: _due_feed(row, token, now) for row in claimed}
    connection.execute(_LEASE, {"chosen": list(feeds), "token": token, "until": now + lease})
    return [feeds[each] for each in chosen if each in feeds]


def renew(session: Session, leases: Sequence[str], until: datetime) -> None:
    """Prolongs the leases that are still held; one that was taken back stays so."""
    # In the order of all who lock several feeds, or two of them might wait for each other.
    held = sa.select(_FEED.c.id).where(_FEED.c.leased_by.in_(leases)).order_by(_FEED.c.id).with_for_update()
    session.connection().execute(sa.update(_FEED).where(_FEED.c.id.in_(held)).values(leased_until=until))


def catch_up(session: Session, now: datetime, random: Random, rhythm: Rhythm) -> int:
    """Spreads the polls that were missed while nobody polled; gives how many feeds wait a little longer."""
    rows = _lock(session, now, _FEED.c.next_poll_at <= now)
    if len(rows) <= FEW:
        return 0
    _put_off(session, rows, now, random, rhythm, "missed while nobody polled")
    return len(rows)


def note_followers(session: Session, now: datetime, random: Random, rhythm: Rhythm) -> int:
    """Brings `is_followed` up to date; gives how many feeds are polled soon, as somebody follows them now."""
    followed = followed_feeds(session)
    if followed is None:
        rows = _lock(session, now, ~_FEED.c.is_followed)
    else:
        is_left = _FEED.c.is_followed & _FEED.c.name.not_in(followed)
        session.connection().execute(sa.update(_FEED).where(is_left).values(is_followed=False))
        rows = _lock(session, now, ~_FEED.c.is_followed & _FEED.c.name.in_(followed))
    if rows:
        ids = [row.id for row in rows]
        session.connection().execute(sa.update(_FEED).where(_FEED.c.id.in_(ids)).values(is_followed=True))
        _put_off(session, rows, now, random, rhythm, "somebody follows it now")
    return len(rows)


def host_of(url: str) -> str:
    """Gives the host and port of a URL: who is asked when it is fetched."""
    return urlsplit(url).netloc.lower()


def _lock(session: Session, now: datetime, which: sa.ColumnElement[bool]) -> Sequence[_Row]:
    query = sa.select(*_FACTS).where(_IS_FREE, which).order_by(_FEED.c.id)
    return session.connection().execute(query.with_for_update(skip_locked=True), {"now": now}).all()


def _put_off(
    session: Session,
    rows: Sequence[_Row],
    now: datetime,
    random: Random,
    rhythm: Rhythm,
    why: str,
) -> None:
    """Makes feeds due soon, one after the other, each within its usual wait."""
    overdue = [
        Overdue(schedule(facts_of(row), now, rhythm).wait or rhythm.ended_interval, host_of(row.url))
        for row in rows
    ]
    session.connection().execute(
        sa.update(_FEED)
        .where(_FEED.c.id == sa.bindparam("feed"))
        .values(next_poll_at=sa.bindparam("at"), poll_reason=why),
        [
            {"feed": row.id, "at": now + delay}
            for row, delay in zip(rows, spread(overdue, random), strict=True)
        ],
    )


def _choose(rows: Sequence[_Row], limit: int, busy: Mapping[str, int]) -> list[int]:
    """Picks the feeds to poll, in order: those that somebody waits for go a little ahead of the others."""
    running = Counter(busy)
    chosen: list[int] = []
    for row in sorted(rows, key=_rank):
        if len(chosen) == limit:
            break
        host = host_of(row.url)
        if running[host] < MOST_OF_A_HOST:
            running[host] += 1
            chosen.append(row.id)
    return chosen


def _rank(row: _Row) -> datetime:
    due_at: datetime = row.next_poll_at
    is_awaited = row.is_followed and not row.failures and row.ended_at is None
    return due_at if is_awaited else due_at + PRECEDENCE


def _due_feed(row: _Row, token: str, now: datetime) -> DueFeed:
    looks_ahead = bool(row.continues_at) and (
        row.ended_at is not None or now - (row.changed_at or row.created_at) >= SLOWER_AFTER
    )
    is_hastened = row.hastened_at is not None
    is_stale = row.read_whole_at is None or now - row.read_whole_at >= WHOLE_AGAIN_AFTER
    is_whole = looks_ahead or is_hastened or is_stale
    return DueFeed(
        id=row.id,
        name=row.name,
        url=row.url,
        validators=Validators() if is_whole else Validators(row.etag, row.last_modified),
        body_hash="" if looks_ahead else row.body_hash,
        lease=token,
        claimed_at=now,
        format=row.format,
        obey_robots=row.obey_robots,
        follow_moves=row.follow_moves,
        continues_at=row.continues_at,
        looks_ahead=looks_ahead,
        is_hastened=is_hastened,
    )
