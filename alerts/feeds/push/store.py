"""The subscriptions at hubs as rows: what is wanted, what is asked for, and what the hubs said.

A row belongs to a feed while its news is wanted. One that is wanted no more lets go of its feed and lives on
until its hub has been told. What a hub says from outside changes a row only where it answers a request of ours.
"""

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from random import Random

import sqlalchemy as sa
from sqlmodel import Session, col, select

from alerts.errors import FetchFailed
from alerts.feeds.outcomes import POLLED_STATES
from alerts.feeds.push import rules as push_rules
from alerts.feeds.push.rules import Request
from alerts.models import Feed, Push, PushState

_CLAIM = timedelta(minutes=2)  # longer than a request may take: another process asks when this one died
_PATIENCE = timedelta(minutes=10)  # for a hub that accepted, and has yet to verify
_UNREACHABLE_FOR = timedelta(minutes=10)
_CHANGE_PAUSE = timedelta(minutes=1)  # a feed that names another hub again is asked for when it has settled
_MOST_GOODBYES = 3

_SILENT = "The hub took the request and never came to verify it: can it reach site.base_url from outside?"
_UNREACHABLE = "Hubs cannot reach a loopback address: set site.base_url to the public one."
_WANTED_STATES = (PushState.WANTED, PushState.VERIFIED, PushState.FAILED)


@dataclass(frozen=True, slots=True)
class Claimed:
    """What is to be asked now, and the feeds whose hubs could not call us."""

    requests: tuple[Request, ...]
    unreachable: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class PushView:
    """A feed's subscription as it stands."""

    hub: str
    topic: str
    state: str
    asked_at: datetime | None
    lease_until: datetime | None
    pushed_at: datetime | None
    discarded: int
    failures: int
    next_request_at: datetime | None
    last_error: str


def noted(session: Session, feed_id: int, hub: str, topic: str, now: datetime) -> None:
    """Takes note of the hub and topic that a window names, empty for none: the feed's subscription follows."""
    feed = session.get_one(Feed, feed_id)
    offer = push_rules.offer(feed.url, hub, topic) if feed.use_push else None
    row = _of_feed(session, feed_id)
    if row is not None and offer is not None and (row.hub, row.topic) == (offer.hub, offer.topic):
        return
    settled_at = now
    if feed.hub_changed_at is not None:
        settled_at = max(now, feed.hub_changed_at + _CHANGE_PAUSE)
    if row is not None:
        feed.hub_changed_at = now
        _let_go(session, row, now)
    if offer is not None:
        session.add(
            Push(
                feed_id=feed_id,
                hub=offer.hub,
                topic=offer.topic,
                path=secrets.token_urlsafe(32),
                secret=secrets.token_urlsafe(32),
                state=PushState.FAILED if offer.refusal else PushState.WANTED,
                last_error=offer.refusal,
                due_at=None if offer.refusal else settled_at,
            )
        )
        session.flush()


def claim_due(session: Session, base_url: str, now: datetime, limit: int) -> Claimed:
    """Claims up to `limit` subscriptions that are to be asked for, renewed or ended.

    A claimed one is another process's only after some minutes. Its hub's word is waited for from here on, as
    it may come before the answer to the request.
    """
    _let_go_of_unwanted(session, now)
    _ask_again_from(session, base_url, now)
    rows = session.exec(
        select(Push)
        .where(col(Push.due_at) <= now)
        .order_by(col(Push.due_at), col(Push.id))
        .limit(limit)
        .with_for_update(skip_locked=True)
    ).all()
    feeds = _feeds(session, rows)
    requests, unreachable = [], []
    for row in rows:
        name, url = feeds.get(row.feed_id, ("", ""))
        if _is_said(row, now):
            session.delete(row)
        elif push_rules.can_reach(row.hub, base_url):
            requests.append(_claimed(row, name, url, base_url, now))
        else:
            row.due_at, row.base_url, row.last_error = now + _UNREACHABLE_FOR, base_url, _UNREACHABLE
            unreachable.append(name)
    session.flush()
    return Claimed(tuple(requests), tuple(unreachable))


def record(session: Session, push_id: int, error: FetchFailed | None, now: datetime, random: Random) -> None:
    """Writes what the hub answered to a request; what it verified meanwhile stands."""
    row = session.exec(select(Push).where(Push.id == push_id).with_for_update()).one_or_none()
    if row is None or not row.is_awaited:
        return
    wait = push_rules.backoff(row.failures, random)
    if error is None:
        row.due_at = now + max(wait, _PATIENCE)
        return
    row.due_at = now + max(wait, error.retry_after or timedelta(0))
    row.last_error = str(error)
    if row.state == PushState.WANTED:
        row.state = PushState.FAILED


def views(session: Session) -> dict[int, PushView]:
    """Gives the subscriptions, by the ids of their feeds."""
    rows = session.exec(select(Push).where(col(Push.feed_id).is_not(None))).all()
    return {row.feed_id: _view(row) for row in rows if row.feed_id is not None}


def _view(row: Push) -> PushView:
    return PushView(
        hub=row.hub,
        topic=row.topic,
        state=row.state,
        asked_at=row.asked_at,
        lease_until=row.lease_until,
        pushed_at=row.pushed_at,
        discarded=row.discarded,
        failures=row.failures,
        next_request_at=row.due_at,
        last_error=row.last_error,
    )


def _of_feed(session: Session, feed_id: int) -> Push | None:
    return session.exec(select(Push).where(Push.feed_id == feed_id).with_for_update()).one_or_none()


def _feeds(session: Session, rows: Sequence[Push]) -> dict[int | None, tuple[str, str]]:
    """Gives the names and addresses of the rows' feeds."""
    wanted = [row.feed_id for row in rows if row.feed_id is not None]
    found = session.exec(select(Feed.id, Feed.name, Feed.url).where(col(Feed.id).in_(wanted)))
    return {feed_id: (name, url) for feed_id, name, url in found}


def _let_go_of_unwanted(session: Session, now: datetime) -> None:
    """Lets go of the subscriptions whose feed is gone, not polled, or wants no push any more."""
    is_unwanted = sa.or_(
        col(Feed.id).is_(None), col(Feed.state).not_in(POLLED_STATES), col(Feed.use_push).is_(False)
    )
    rows = session.exec(
        select(Push)
        .outerjoin(Feed, col(Feed.id) == Push.feed_id)
        .where(Push.state != PushState.LEAVING, is_unwanted)
        .with_for_update(of=Push, skip_locked=True)
    ).all()
    for row in rows:
        _let_go(session, row, now)


def _let_go(session: Session, row: Push, now: datetime) -> None:
    """Ends a subscription on our side; a hub that never confirmed it, or forgot it by now, need not be told."""
    if row.lease_until is None or row.lease_until <= now:
        session.delete(row)
    else:
        row.feed_id, row.state, row.due_at = None, PushState.LEAVING, now
        row.failures, row.is_awaited, row.last_error = 0, False, ""
    session.flush()


def _ask_again_from(session: Session, base_url: str, now: datetime) -> None:
    """Makes subscriptions due whose hubs know us by another address.

    Not those asked for a moment ago: two processes with different settings would ask in turns without end.
    """
    rows = session.exec(
        select(Push)
        .where(
            col(Push.state).in_(_WANTED_STATES),
            col(Push.base_url).not_in(("", base_url)),
            col(Push.due_at) > now,
            sa.or_(col(Push.asked_at).is_(None), col(Push.asked_at) <= now - _PATIENCE),
        )
        .with_for_update(skip_locked=True)
    ).all()
    for row in rows:
        row.due_at = now
    session.flush()


def _is_said(row: Push, now: datetime) -> bool:
    """Whether a goodbye has been said often enough, or the hub has forgotten us by itself."""
    is_over = row.lease_until is None or row.lease_until <= now
    return row.state == PushState.LEAVING and (is_over or row.failures >= _MOST_GOODBYES)


def _claimed(row: Push, name: str, url: str, base_url: str, now: datetime) -> Request:
    assert row.id is not None, "read from the table"
    is_goodbye = row.state == PushState.LEAVING
    if not is_goodbye and not (row.lease_until is not None and row.lease_until > now):
        row.state = PushState.FAILED if row.failures else PushState.WANTED
    if row.is_awaited and not row.last_error:
        row.last_error = _SILENT
    row.due_at, row.asked_at, row.is_awaited = now + _CLAIM, now, True
    row.failures += 1
    row.base_url = base_url
    return Request(row.id, name, url, row.hub, row.topic, row.path, row.secret, is_goodbye)
