"""One poll's outcome into the tables, in one transaction: the feed's row here, its entries in `entry_store`."""

from dataclasses import replace
from datetime import datetime, timedelta
from random import Random
from typing import Any

import sqlalchemy as sa
from sqlmodel import Session, select

from alerts.errors import FetchFailed, Gone, NotAFeed
from alerts.feeds import endings
from alerts.feeds.fetch import Validators
from alerts.feeds.outcomes import (
    PAGE_FORMATS,
    POLLED_STATES,
    DueFeed,
    Failed,
    Outcome,
    PollResult,
    Turn,
    TurnKind,
    Unchanged,
    Verdict,
    Window,
)
from alerts.feeds.push import hasten
from alerts.feeds.push import store as push_store
from alerts.feeds.push.hasten import Haste
from alerts.feeds.schedule import Facts, Next, Rhythm, schedule
from alerts.feeds.store import turns
from alerts.feeds.store.entries import apply, compare
from alerts.models import Feed, FeedState

DOWN_AFTER = timedelta(hours=1)  # then a failing feed is said to be down, once
DEFAULT_RHYTHM = Rhythm()

_LOST = "the lease passed, or the feed was stopped"


def store(
    session: Session,
    due: DueFeed,
    outcome: Outcome,
    now: datetime,
    random: Random,
    rhythm: Rhythm = DEFAULT_RHYTHM,
) -> PollResult:
    """Writes what a poll found, announces what is new, and says when the feed is due again.

    Nothing is written when the lease is no longer ours or the feed was stopped meanwhile.
    """
    feed = session.exec(select(Feed).where(Feed.id == due.id).with_for_update()).one_or_none()
    if feed is None or feed.leased_by != due.lease or feed.state not in POLLED_STATES:
        return PollResult(due.name, Verdict.LOST, reason=_LOST)
    feed.leased_by, feed.leased_until = "", None
    retry_after, work = None, timedelta(0)
    match outcome:
        case Failed(error, work):
            result = _store_failure(session, feed, error, now)
            retry_after = error.retry_after if isinstance(error, FetchFailed) else None
        case Unchanged():
            result = _store_unchanged(session, feed, due, outcome, now)
        case Window(work=work):
            result = _store_window(session, feed, due, outcome, now)
    feed.polled_at = now
    if feed.state in POLLED_STATES:
        upcoming = schedule(facts_of(feed, retry_after, work), now, rhythm)
        result = _with_next_poll(session, feed, due, result, now, random, upcoming)
    session.add(feed)
    session.flush()
    return result


def facts_of(
    feed: Feed | sa.Row[Any], retry_after: timedelta | None = None, work: timedelta = timedelta(0)
) -> Facts:
    """Gives what the schedule goes by, of a feed's row."""
    return Facts(
        interval=feed.interval,
        stirred_at=feed.changed_at or feed.created_at,
        is_followed=feed.is_followed,
        ended_at=feed.ended_at,
        failures=feed.failures,
        retry_after=retry_after,
        work=work,
        refresh=feed.refresh,
        must_not_rest=feed.state == FeedState.HELD,
    )


def _store_failure(session: Session, feed: Feed, error: FetchFailed | NotAFeed, now: datetime) -> PollResult:
    if isinstance(error, Gone):
        feed.state, feed.state_reason, feed.poll_reason = FeedState.GONE, str(error), ""
        feed.failures, feed.last_error = feed.failures + 1, str(error)
        turns.audit(session, feed, "feed.gone", now, why=str(error))
        return PollResult(feed.name, Verdict.GONE, reason=str(error))
    since = feed.failing_since or now
    feed.failures, feed.failing_since, feed.last_error = feed.failures + 1, since, str(error)
    found: tuple[Turn, ...] = ()
    if isinstance(error, NotAFeed):
        ended_at = endings.after_no_feed(
            feed.ended_at,
            now,
            is_live_blog=feed.format in PAGE_FORMATS,
            failures=feed.failures,
            failing_since=since,
        )
        found = turns.end(feed, ended_at, "its page is no live blog any more")
    if (feed.polled_at or now) - since < DOWN_AFTER <= now - since and feed.ended_at is None:
        found += (Turn(TurnKind.DOWN, str(error)),)
    return PollResult(feed.name, Verdict.FAILED, reason=str(error), turns=found)


def _store_unchanged(
    session: Session, feed: Feed, due: DueFeed, outcome: Unchanged, now: datetime
) -> PollResult:
    _store_answer(feed, due, outcome.validators, now)
    ended_at = endings.after_silence(
        feed.ended_at, now, coverage_end=feed.coverage_end, stirred_at=feed.changed_at or feed.created_at
    )
    found = turns.end(feed, ended_at, "its coverage is over by its own date, and nothing came for hours")
    return PollResult(
        feed.name, Verdict.UNCHANGED, turns=found + turns.move(session, feed, outcome.moved_to, now)
    )


def _store_window(session: Session, feed: Feed, due: DueFeed, window: Window, now: datetime) -> PollResult:
    parsed = window.parsed
    decision = compare(session, feed, parsed, now)
    held = decision.hold if feed.state == FeedState.ACTIVE else ""
    if held:
        feed.state, feed.state_reason = FeedState.HELD, held
        turns.audit(session, feed, "feed.hold", now, why=held)
    _store_answer(feed, due, window.validators, now)
    feed.format, feed.title, feed.body_hash = parsed.format, parsed.title, window.body_hash
    feed.coverage_end, feed.refresh = parsed.coverage_end, parsed.refresh
    if decision.changes:
        feed.changed_at = now
    if decision.is_baseline:
        feed.baselined_at = now
    session.add(feed)
    push_store.noted(session, due.id, window.hub, window.topic_url, now)
    items = apply(session, feed, decision, now)
    found = _turns_of_window(session, feed, window, now, has_news=decision.changes)
    if decision.degraded:
        found += (Turn(TurnKind.DEGRADED, decision.degraded),)
    return PollResult(feed.name, Verdict.POLLED, items=items, held=held, turns=found)


def _turns_of_window(
    session: Session, feed: Feed, window: Window, now: datetime, *, has_news: bool
) -> tuple[Turn, ...]:
    parsed = window.parsed
    ended_at = endings.after_window(
        feed.ended_at,
        now,
        says_ended=parsed.is_ended,
        has_news=has_news,
        coverage_end=feed.coverage_end,
        stirred_at=feed.changed_at or feed.created_at,
    )
    if ended_at is None:
        why = "new entries came" if has_news else "its page is a live blog again"
    elif parsed.is_ended:
        why = "its page says so"
    else:
        why = "its coverage is over by its own date, and nothing came for hours"
    found = turns.end(feed, ended_at, why) + turns.move(session, feed, window.moved_to, now)
    was_pointing_to, feed.continues_at = feed.continues_at, parsed.continues_at
    if window.successor:
        return found + turns.go_on_at(session, feed, window.successor, now)
    if parsed.continues_at and parsed.continues_at != was_pointing_to:
        return (*found, Turn(TurnKind.POINTS_ON, "its page names another that it continues on"))
    return found


def _store_answer(feed: Feed, due: DueFeed, validators: Validators, now: datetime) -> None:
    feed.failures, feed.failing_since, feed.last_error = 0, None, ""
    feed.etag, feed.last_modified = validators.etag, validators.last_modified
    if due.validators == Validators():
        feed.read_whole_at = now


def _with_next_poll(
    session: Session,
    feed: Feed,
    due: DueFeed,
    result: PollResult,
    now: datetime,
    random: Random,
    upcoming: Next,
) -> PollResult:
    wait = upcoming.jittered(random)
    if wait is None:
        return replace(result, turns=result.turns + turns.rest(session, feed, upcoming.why, now))
    feed.next_poll_at, feed.poll_reason = now + wait, upcoming.why
    if result.verdict != Verdict.FAILED:
        _hasten(feed, due, now)
    return replace(result, next_poll_at=feed.next_poll_at)


def _hasten(feed: Feed, due: DueFeed, now: datetime) -> None:
    """Looks again soon for the news that the feed's hub spoke of, when this poll has not found it."""
    haste, at = hasten.after_poll(
        Haste(feed.hastened_at, feed.hastened_polls),
        due.claimed_at,
        now,
        found_news=feed.changed_at == now,
    )
    feed.hastened_at, feed.hastened_polls = haste.since, haste.polls
    if at is not None and at < feed.next_poll_at:
        feed.next_poll_at, feed.poll_reason = at, "its hub speaks of news"
