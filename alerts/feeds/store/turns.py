"""The turns in a feed's life, written into its row: it ends, rests, moves, continues elsewhere.

When each is due is decided in `endings`, `moves` and `schedule`. What changes the URL or the state leaves an
audit row.
"""

from datetime import datetime

import sqlalchemy as sa
from sqlmodel import Session, col, select

from alerts.feeds.moves import Sightings, is_trusted, sighted
from alerts.feeds.outcomes import Turn, TurnKind
from alerts.models import Audit, Feed, FeedState


def end(feed: Feed, ended_at: datetime | None, why: str) -> tuple[Turn, ...]:
    """Takes note of when a feed was found to have ended; `why` says by which sign."""
    was_over, is_over = feed.ended_at is not None, ended_at is not None
    feed.ended_at = ended_at
    if was_over == is_over:
        return ()
    return (Turn(TurnKind.ENDED, why) if is_over else Turn(TurnKind.REVIVED, why),)


def rest(session: Session, feed: Feed, why: str, now: datetime) -> tuple[Turn, ...]:
    """Ends the polling until a person resumes it."""
    feed.state, feed.state_reason, feed.poll_reason = FeedState.RESTING, why, ""
    audit(session, feed, "feed.rest", now, why=why)
    return (Turn(TurnKind.RESTS, why),)


def move(session: Session, feed: Feed, moved_to: str, now: datetime) -> tuple[Turn, ...]:
    """Counts a permanent redirect, and polls where it leads once that is to be trusted."""
    seen = sighted(Sightings(feed.moved_to, feed.moved_seen, feed.moved_since), feed.url, moved_to, now)
    trusted = is_trusted(seen, feed.url, now)
    other = _who_polls(session, feed, seen.to) if trusted else None
    if other is not None:
        # The redirect is followed as before; it is told again when it has lasted another while.
        seen = Sightings(seen.to, 1, now)
    feed.moved_to, feed.moved_seen, feed.moved_since = seen.to, seen.seen, seen.since
    if other is not None:
        return (Turn(TurnKind.IS_TAKEN, f"its page has moved to the one that the feed {other} polls"),)
    if not trusted:
        return ()
    audit(session, feed, "feed.move", now, **{"from": feed.url, "to": seen.to})
    _point_to(feed, seen.to)
    return (Turn(TurnKind.MOVED, "its page has moved for good"),)


def go_on_at(session: Session, feed: Feed, successor: str, now: datetime) -> tuple[Turn, ...]:
    """Polls a live blog's next page from now on; rests where another feed does so already."""
    other = _who_polls(session, feed, successor)
    if other is not None:
        why = f"it continues on the page that the feed {other} polls"
        if feed.state == FeedState.HELD:  # entries wait for a person, who will see the feed then
            return (Turn(TurnKind.IS_TAKEN, why),)
        return (Turn(TurnKind.IS_TAKEN, why), *rest(session, feed, why, now))
    audit(session, feed, "feed.continue", now, **{"from": feed.url, "to": successor})
    _point_to(feed, successor)
    feed.etag = feed.last_modified = feed.body_hash = feed.continues_at = ""
    feed.coverage_end = feed.ended_at = feed.read_whole_at = None
    feed.followed_at = now  # what stood there before is history, not news
    feed.changed_at = now  # live again, however quiet the old page was
    return (Turn(TurnKind.CONTINUES, "its page names the one it continues on"),)


def audit(session: Session, feed: Feed, action: str, now: datetime, **detail: str) -> None:
    """Writes what the poller did with a feed."""
    session.add(Audit(at=now, by="poller", action=action, subject=f"feed:{feed.name}", detail=detail))


def _point_to(feed: Feed, url: str) -> None:
    """Makes another URL the polled one, and keeps what a person wrote: config.toml is compared with that."""
    given = feed.given_url or feed.url
    feed.url, feed.given_url = url, "" if given == url else given
    feed.moved_to, feed.moved_seen, feed.moved_since = "", 0, None


def _who_polls(session: Session, feed: Feed, url: str) -> str | None:
    is_same = sa.or_(col(Feed.url) == url, col(Feed.given_url) == url)
    return session.exec(select(Feed.name).where(is_same, Feed.id != feed.id)).first()
