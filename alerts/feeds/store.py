"""One poll's outcome into the tables, in one transaction: the feed's row here, its entries in `entry_store`."""

from dataclasses import replace
from datetime import datetime, timedelta
from random import Random

from sqlmodel import Session, select

from alerts.errors import FetchFailed, Gone, NotAFeed
from alerts.feeds.entry_store import apply, compare
from alerts.feeds.outcomes import POLLED_STATES, DueFeed, Failed, Outcome, PollResult, Verdict, Window
from alerts.models import Audit, Feed, FeedState

_JITTER = 0.2
_LONGEST_BACKOFF = timedelta(minutes=15)  # or the feed's own interval, when that is longer
_MOST_DOUBLINGS = 16


def store(session: Session, due: DueFeed, outcome: Outcome, now: datetime, random: Random) -> PollResult:
    """Writes what a poll found, announces what is new, and says when the feed is due again.

    Nothing is written when the lease is no longer ours or the feed was stopped meanwhile.
    """
    feed = session.exec(select(Feed).where(Feed.id == due.id).with_for_update()).one_or_none()
    if feed is None or feed.leased_by != due.lease or feed.state not in POLLED_STATES:
        return PollResult(due.name, Verdict.LOST, reason="the lease passed, or the feed was stopped")
    feed.leased_by, feed.leased_until = "", None
    feed.polled_at = now
    if isinstance(outcome, Failed):
        result = _store_failure(session, feed, outcome.error, now, random)
    else:
        feed.failures, feed.last_error = 0, ""
        feed.etag, feed.last_modified = outcome.validators.etag, outcome.validators.last_modified
        feed.next_poll_at = now + jittered(feed.interval, random)
        if isinstance(outcome, Window):
            result = _store_window(session, feed, outcome, now)
        else:
            result = PollResult(feed.name, Verdict.UNCHANGED)
    session.add(feed)
    session.flush()
    return replace(result, next_poll_at=feed.next_poll_at)


def jittered(length: timedelta, random: Random) -> timedelta:
    """Gives a length of time up to a fifth longer or shorter, so that feeds do not march in step."""
    return length * random.uniform(1 - _JITTER, 1 + _JITTER)


def _store_failure(
    session: Session, feed: Feed, error: FetchFailed | NotAFeed, now: datetime, random: Random
) -> PollResult:
    feed.failures += 1
    feed.last_error = str(error)
    if isinstance(error, Gone):
        feed.state, feed.state_reason = FeedState.GONE, str(error)
        _audit(session, feed, "feed.gone", now, why=str(error))
        return PollResult(feed.name, Verdict.GONE, reason=str(error))
    most = max(feed.interval, _LONGEST_BACKOFF)
    wait = min(feed.interval * 2 ** min(feed.failures, _MOST_DOUBLINGS), most)
    floor = (error.retry_after if isinstance(error, FetchFailed) else None) or timedelta(0)
    feed.next_poll_at = now + max(jittered(wait, random), floor)
    return PollResult(feed.name, Verdict.FAILED, reason=str(error))


def _store_window(session: Session, feed: Feed, window: Window, now: datetime) -> PollResult:
    parsed = window.parsed
    decision = compare(session, feed, parsed, now)
    if decision.hold and feed.state == FeedState.ACTIVE:
        feed.state, feed.state_reason = FeedState.HELD, decision.hold
        _audit(session, feed, "feed.hold", now, why=decision.hold)
        held = decision.hold
    else:
        held = ""
    feed.format, feed.title, feed.body_hash = parsed.format, parsed.title, window.body_hash
    feed.coverage_end = parsed.coverage_end
    if decision.changes:
        feed.changed_at = now
    if decision.is_baseline:
        feed.baselined_at = now
    session.add(feed)
    return PollResult(feed.name, Verdict.POLLED, items=apply(session, feed, decision, now), held=held)


def _audit(session: Session, feed: Feed, action: str, now: datetime, *, why: str) -> None:
    session.add(Audit(at=now, by="poller", action=action, subject=f"feed:{feed.name}", detail={"why": why}))
