"""When a feed is looked at next, and why: pure, from what is known of it.

    ended            every `ended_interval`, and after `rest_after` no more
    nobody follows   every `quiet_interval`, or as seldom as its publisher asks
    live             every `interval`; twice as slow after a quiet hour, every `quiet_interval` after two
    failing          twice as slow with each failure, and never sooner than the server asks
    hard to read     so seldom that reading it takes no more than a fiftieth of a processor

The feed's own interval is never undercut: where it is longer than one of these, it counts.
docs/explanation/polling.md gives the reasons.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from random import Random

JITTER = 0.2
SLOWER_AFTER = timedelta(hours=1)  # without a change, and again after each further hour
QUIET_AFTER = timedelta(hours=2)
LONGEST_BACKOFF = timedelta(minutes=15)  # or the feed's own interval, when that is longer
_MOST_DOUBLINGS = 16
# Of a processor, to read one feed: the largest live blog that we know, 0.2 s, may still come every ten seconds.
_SHARE = 50

# After a standstill no more polls than these are begun in a second, all together and at one host.
CATCH_UP_RATE = 10
CATCH_UP_HOST_RATE = 2
FEW = 10  # overdue feeds that are simply polled

_NONE = timedelta(0)


@dataclass(frozen=True, slots=True)
class Rhythm:
    """What the operator set for all feeds; the settings in [polling] say what each means."""

    quiet_interval: timedelta = timedelta(minutes=5)
    ended_interval: timedelta = timedelta(hours=1)
    rest_after: timedelta = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Facts:
    """What decides a feed's next poll, as it stands after this one.

    `stirred_at` is its last change, or when it was first known; `refresh` how often its publisher asks to be
    asked; `retry_after` what the server has just asked for; `work` how long a processor took to read what it
    has just sent. A feed whose entries wait for a person `must_not_rest`.
    """

    interval: timedelta
    stirred_at: datetime
    is_followed: bool = True
    ended_at: datetime | None = None
    failures: int = 0
    retry_after: timedelta | None = None
    work: timedelta = _NONE
    refresh: timedelta | None = None
    must_not_rest: bool = False


@dataclass(frozen=True, slots=True)
class Next:
    """How long to wait, None for ever, and why; not even the jitter goes below `floor`."""

    wait: timedelta | None
    why: str
    floor: timedelta = _NONE

    def jittered(self, random: Random) -> timedelta | None:
        """Gives the wait up to a fifth longer or shorter, so that feeds do not march in step."""
        if self.wait is None:
            return None
        return max(self.wait * random.uniform(1 - JITTER, 1 + JITTER), self.floor)


@dataclass(frozen=True, slots=True)
class Overdue:
    """A feed whose poll was missed: how long it may wait at most, and the host it is asked of."""

    wait: timedelta
    host: str


def schedule(facts: Facts, now: datetime, rhythm: Rhythm) -> Next:
    """Says how long to wait from a poll at `now` to the next, and why in words for an operator."""
    found = _without_work(facts, now, rhythm)
    least = _SHARE * facts.work
    if found.wait is None or found.wait >= least:
        return found
    return replace(found, wait=least, why=f"{found.why}, and hard to read")


def spread(overdue: Sequence[Overdue], random: Random) -> list[timedelta]:
    """Gives how long each of many overdue feeds waits, so that they are not all asked at once.

    None waits longer than its usual wait. Those that are looked at often come first: the others' number does
    not delay them. A few are not delayed at all.
    """
    if len(overdue) <= FEW:
        return [_NONE] * len(overdue)
    delays = [_NONE] * len(overdue)
    before: Counter[str] = Counter()
    for place, index in enumerate(sorted(range(len(overdue)), key=lambda each: overdue[each].wait), start=1):
        feed = overdue[index]
        before[feed.host] += 1
        seconds = max(place / CATCH_UP_RATE, before[feed.host] / CATCH_UP_HOST_RATE)
        delays[index] = random.random() * min(feed.wait, timedelta(seconds=seconds))
    return delays


def words(length: timedelta) -> str:
    """Gives a length of time as a person would say it, such as `40 s`, `5 min` or `3 h`."""
    seconds = length.total_seconds()
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= 2 * size or seconds == size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"


def _without_work(facts: Facts, now: datetime, rhythm: Rhythm) -> Next:
    calm = _without_failures(facts, now, rhythm)
    if not facts.failures or calm.wait is None:
        return calm
    most = max(facts.interval, LONGEST_BACKOFF)
    backoff = min(facts.interval * 2 ** min(facts.failures, _MOST_DOUBLINGS), most)
    times = "once" if facts.failures == 1 else f"{facts.failures} times in a row"
    why = f"failed {times}"
    if facts.retry_after:
        why += f", and the server asks for {words(facts.retry_after)}"
    return Next(max(backoff, calm.wait), why, facts.retry_after or _NONE)


def _without_failures(facts: Facts, now: datetime, rhythm: Rhythm) -> Next:
    slow = max(facts.interval, rhythm.quiet_interval)
    if facts.ended_at is not None:
        if now - facts.ended_at >= rhythm.rest_after and not facts.must_not_rest:
            return Next(None, f"ended, and quiet for {words(rhythm.rest_after)} since")
        return Next(max(slow, rhythm.ended_interval), "ended")
    if not facts.is_followed:
        # Nobody waits for it: only here the publisher's wish counts for more than the operator's.
        asked = min(facts.refresh or _NONE, max(slow, rhythm.ended_interval))
        return Next(max(slow, asked), "nobody follows it")
    quiet_for = now - facts.stirred_at
    if quiet_for >= QUIET_AFTER:
        return Next(slow, f"quiet for {words(quiet_for)}")
    if quiet_for >= SLOWER_AFTER:
        return Next(min(2 * facts.interval, slow), f"quiet for {words(quiet_for)}")
    return Next(facts.interval, "live")
