"""What a poll came to, as lines of the log."""

import structlog

from alerts.feeds.outcomes import Kind, PollResult, Turn, TurnKind, Verdict

log = structlog.get_logger()

_EVENTS = {
    Kind.NEW: "entry_new",
    Kind.EDITED: "entry_edited",
    Kind.KEY_EVENT: "entry_key_event",
    Kind.WITHDRAWN: "entry_withdrawn",
    Kind.RESTORED: "entry_restored",
}


def tell(result: PollResult) -> None:
    """Logs a result: entries and ends as news, all that a person should look at as a warning.

    What is held is counted and not listed: a flood would fill the log as well.
    """
    if result.verdict == Verdict.POLLED:
        counts = {str(kind): count for kind in Kind if (count := result.count(kind))}
        log.info("feed_polled", feed=result.feed, **counts)
    elif result.verdict in {Verdict.FAILED, Verdict.GONE}:
        log.warning("feed_failed", feed=result.feed, verdict=result.verdict, reason=result.reason)
    elif result.verdict == Verdict.LOST:
        log.warning("feed_lease_lost", feed=result.feed)
    if result.held:
        log.warning(
            "feed_held", feed=result.feed, reason=result.held, hint=f"alerts feeds release {result.feed}"
        )
    for turn in result.turns:
        _tell_turn(result.feed, turn)
    for item in result.items:
        event = _EVENTS.get(item.kind)
        if event:
            log.info(event, feed=result.feed, entry=item.entry_id, title=item.title, alert=item.alert_id)


def _tell_turn(feed: str, turn: Turn) -> None:
    """Logs one turn. Where a feed leads to is in `alerts feeds show`: a URL may hold a key."""
    match turn.kind:
        case TurnKind.ENDED:
            log.info("feed_ended", feed=feed, reason=turn.why)
        case TurnKind.REVIVED:
            log.info("feed_revived", feed=feed, reason=turn.why)
        case TurnKind.RESTS:
            log.warning("feed_rests", feed=feed, reason=turn.why, hint=f"alerts feeds resume {feed}")
        case TurnKind.MOVED:
            log.warning("feed_moved", feed=feed, reason=turn.why)
        case TurnKind.CONTINUES:
            log.warning("feed_continues", feed=feed, reason=turn.why)
        case TurnKind.POINTS_ON:
            log.warning("feed_points_on", feed=feed, reason=turn.why, hint=f"alerts feeds show {feed}")
        case TurnKind.IS_TAKEN:
            log.warning("feed_is_taken", feed=feed, reason=turn.why)
        case TurnKind.DOWN:
            log.warning("feed_down", feed=feed, reason=turn.why)
        case TurnKind.DEGRADED:
            log.warning("feed_degraded", feed=feed, reason=turn.why)
