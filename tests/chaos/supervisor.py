"""Kills the daemon while it mails, again and again, and says from the sink's log what that did.

A run is a list of blows: at a random moment, or at a named point of the daemon's own (`alerts.failpoints`).
Before each there is mail to send, and after the last the daemon must finish everything by itself.
"""

import random
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from sqlmodel import col, select

import build
from alerts import failpoints
from alerts.audience import signups
from alerts.audience.addresses import Address, normalise
from alerts.audience.consents import Words
from alerts.audience.signups import Wanted
from alerts.audience.tokens import Keys, address_hash
from alerts.db import Database
from alerts.dispatch import receipts
from alerts.models import Alert, AlertState, InDoubt, Notice
from alerts.schema import upgrade
from chaos.audit import Accepted, Asked, Kill, Line, Report, audit
from chaos.blog import Blog
from chaos.processes import Sink, Site

EVERYONE, FEW = "everyone", "few"
_ADDRESSES_OF_FEW = 100
_LITTLE = 3000  # mails left at which there is too little to kill in the middle of
# Posts that no daemon lived long enough to see; a page of nothing but new posts is held, and rightly so.
_MANY_UNSEEN = 3
_PATIENCE = 60
_LIFETIME = timedelta(days=1)
_LOOK_SECONDS = 0.01
# The last pass at which a point may end the process, by what the point stands beside: mails pass by the
# thousand, batches and alerts do not.
_MOST_PASSES = {
    "smtp": 1500,
    "journal": 1500,
    "open": 6,
    "record": 6,
    "claim": 3,
    "close": 2,
    "announce": 1,
    "body": 1,
    "fold": 1,
    "notice": 3,
}
_OF_JOURNALS = "fold."  # passed where a process left a journal
_OF_NOTICES = "notice."
_VISITORS = 3  # who sign up before a daemon starts that is to die over it
_SOON = 0.2
_OF_ALERTS = {"announce", "body"}  # points that are passed once an alert
# The first mails after a kill are those it left in doubt. A second doubt is final by design, so a blow
# that may hit the same mail again would find a mail "lost" that the ledger calls unknown.
_LEAST_PASSES = {"smtp": 50, "journal": 50}


class Stalled(Exception):
    """The daemon stopped, or does nothing more; the text has its last words."""


@dataclass(frozen=True, slots=True)
class AtRandom:
    """A blow from outside, so many seconds after mail began to flow."""

    seconds: float
    how: str = "random"


@dataclass(frozen=True, slots=True)
class AtPoint:
    """A blow from inside, at the n-th pass of a named point."""

    how: str
    passes: int


Blow = AtRandom | AtPoint


@dataclass(frozen=True, slots=True)
class Plan:
    database: str  # a URL
    readers: int
    blows: Sequence[Blow]
    in_doubt: InDoubt = InDoubt.RESEND
    delay: float = 0.002  # seconds the sink takes for a mail
    pipelining: bool = True
    visitors: int = 0  # who sign up before each other daemon starts
    moves_to: str = ""  # a PostgreSQL URL that the site moves to after the last blow
    tell: Callable[[str], None] = lambda _: None


def blows(kills: int, points: Sequence[str], seed: int) -> list[Blow]:
    """Makes a run's blows: so many at random moments, and each named point once, mixed."""
    dice = random.Random(seed)
    made: list[Blow] = [AtRandom(dice.uniform(0.02, 0.8)) for _ in range(kills)]
    made += [at_point(name, dice) for name in points]
    dice.shuffle(made)
    return made


def at_point(name: str, dice: random.Random) -> AtPoint:
    stage = name.partition(".")[0]
    return AtPoint(name, dice.randint(_LEAST_PASSES.get(stage, 1), _MOST_PASSES.get(stage, 1)))


def all_points() -> tuple[str, ...]:
    return failpoints.NAMES


def run(plan: Plan, folder: Path) -> Report:
    """Plays the plan to its end; raises Stalled when the daemon does not get on by itself."""
    with Sink(folder, plan.delay, pipelining=plan.pipelining) as sink, Blog() as blog:
        with closing(Database(plan.database)) as database:
            people = _people(database, plan, blog.url)
        stage = _Stage(plan, sink, blog, Site(folder, plan.database, sink.port), people)
        with stage.closing():
            stage.baseline()
            for blow in plan.blows:
                stage.strike(blow)
            if plan.moves_to:
                stage.move(plan.moves_to)
            stage.finish()
        return stage.report()


def _people(database: Database, plan: Plan, url: str) -> dict[str, frozenset[str]]:
    """Writes the feed, the topics and their readers; gives each topic's addresses by its word."""
    upgrade(database)
    now = datetime.now(UTC)
    with database.begin() as session:
        build.a_feed(
            session,
            url=url,
            now=now,
            baselined_at=None,
            interval=timedelta(seconds=1),
            ttl=timedelta(days=1),
            flood_limit=1000,
            in_doubt=plan.in_doubt,
        )
        for word, count in ((EVERYONE, plan.readers), (FEW, _ADDRESSES_OF_FEW)):
            topic = build.a_topic(session, word, now=now, words_in=[word])
            build.readers(session, count, topic, now=now, prefix=word)
    return {
        word: frozenset(f"{word}{number}@example.org" for number in range(1, count + 1))
        for word, count in ((EVERYONE, plan.readers), (FEW, _ADDRESSES_OF_FEW))
    }


class _Stage:
    """A run in progress."""

    def __init__(
        self, plan: Plan, sink: Sink, blog: Blog, site: Site, people: dict[str, frozenset[str]]
    ) -> None:
        self._plan = plan
        self._sink = sink
        self._blog = blog
        self._site = site
        self._people = people
        self._kills: list[Kill] = []
        self._lines: list[Line] = []
        self._owed: dict[int, frozenset[str]] = {}
        self._left: set[tuple[int, str]] = set()
        self._visitors: list[Address] = []
        self._problems: list[str] = []
        self._unseen = self._polls_before = 0

    @contextmanager
    def closing(self) -> Iterator[None]:
        try:
            yield
        finally:
            self._site.close()

    def baseline(self) -> None:
        """Lets the daemon see the page as it was before the story: the first poll mails nobody."""
        self._site.start()
        polls = self._blog.polls
        # The second poll comes after the first was stored.
        self._wait(lambda: self._blog.polls >= polls + 2, "the page is not polled")
        self._site.drain()

    def strike(self, blow: Blow) -> None:
        """Kills one daemon, and waits until the sink has seen it die."""
        if blow.how.startswith(_OF_JOURNALS):
            # Only who died with mail in flight is sure to leave a journal to fold.
            self._die(AtRandom(_SOON))
        self._die(blow)

    def _die(self, blow: Blow) -> None:
        self._sign_up(_VISITORS if blow.how.startswith(_OF_NOTICES) else self._plan.visitors)
        match blow:
            case AtRandom():
                at = self._strike_from_outside(blow)
            case AtPoint():
                at = self._strike_from_inside(blow)
        self._kills.append(Kill(at, blow.how))
        while self._sink.status.connections:
            time.sleep(_LOOK_SECONDS)
        self._plan.tell(
            f"{len(self._kills)} kills of {len(self._plan.blows)} or more, {blow.how}, {len(self._left)} left"
        )

    def move(self, url: str) -> None:
        """Takes the site to another database as its operator does, and lets the last daemon run there."""
        if not self._count_left():
            self._problems.append("nothing was left to mail when the site moved")
        if words := self._site.move(url):
            self._problems.append(f"the site could not be moved: {words}")

    def finish(self) -> None:
        """Lets a last daemon send what is left, settle what is in doubt, and end when asked to."""
        self._site.start()
        with closing(Database(self._plan.moves_to or self._plan.database)) as database:
            self._wait(
                lambda: _count_done(database) == len(self._owed) and not _count_notices_due(database),
                "the ledger has alerts, or notices, that are not done",
                is_getting_on=self._count_left,
                look_every=0.2,
            )
        if status := self._site.drain():
            self._problems.append(f"the daemon ended with status {status} when asked to")

    def report(self) -> Report:
        self._lines += self._sink.news()
        is_resent = self._plan.in_doubt == InDoubt.RESEND
        with closing(Database(self._plan.moves_to or self._plan.database)) as database:
            asked = _asked(database, self._visitors, self._site.keys)
        return audit(self._lines, self._kills, self._owed, self._problems, is_resent=is_resent, asked=asked)

    def _sign_up(self, count: int) -> None:
        """Has so many new visitors sign up while no daemon runs."""
        if not count:
            return
        with closing(Database(self._plan.database)) as database, database.begin() as session:
            for _ in range(count):
                visitor = normalise(f"visitor{len(self._visitors) + 1}@example.org")
                wanted = Wanted(
                    visitor, "en", "UTC", {EVERYONE: "every"}, Words("en", "I want these."), "page"
                )
                signups.ask_to_confirm(session, self._site.keys, wanted, _LIFETIME, datetime.now(UTC))
                self._visitors.append(visitor)

    def _strike_from_outside(self, blow: AtRandom) -> float:
        if self._count_left() < _LITTLE:
            self._publish(EVERYONE)
        begun = self._sink.status.begun
        self._site.start()
        if self._unseen >= _MANY_UNSEEN:
            self._wait(self._is_seen, "what was published is not polled")
            self._unseen = 0
        self._wait(lambda: self._sink.status.begun > begun, "no mail goes out")
        time.sleep(blow.seconds)
        if not self._count_left():
            self._publish(EVERYONE)
        self._wait(lambda: self._sink.status.is_in_flight, "no mail goes out")
        return self._site.kill()

    def _strike_from_inside(self, blow: AtPoint) -> float:
        if self._count_left() < _LITTLE:
            self._publish(EVERYONE)
        elif blow.how.partition(".")[0] in _OF_ALERTS:
            self._publish(FEW)
        self._site.start(f"{blow.how}:{blow.passes}")
        self._wait(
            lambda: self._site.has_killed_itself() or not self._count_left(),
            f"the point {blow.how} is not passed {blow.passes} times",
            is_getting_on=self._count_left,
        )
        if not self._site.has_killed_itself():
            self._problems.append(f"the point {blow.how} was not passed {blow.passes} times")
            return self._site.kill()
        return time.monotonic()

    def _publish(self, word: str) -> None:
        mark = self._blog.publish(word)
        self._unseen += 1
        self._polls_before = self._blog.polls
        self._owed[mark] = self._people[word]
        self._left |= {(mark, address) for address in self._people[word]}

    def _is_seen(self) -> bool:
        """Whether a poll after the last publication has ended: the one after it has begun."""
        return self._blog.polls >= self._polls_before + 2

    def _count_left(self) -> int:
        for line in self._sink.news():
            self._lines.append(line)
            if isinstance(line, Accepted):
                self._left.discard((line.mark, line.rcpt))
        return len(self._left)

    def _wait(
        self,
        holds: Callable[[], bool],
        complaint: str,
        is_getting_on: Callable[[], int] = lambda: 0,
        look_every: float = _LOOK_SECONDS,
    ) -> None:
        """Waits until `holds()`; patience begins anew whenever the number of `is_getting_on` changes."""
        # A batch that was under way at each death rests for so long before it is tried again.
        patience = _PATIENCE + receipts._pause(len(self._kills)).total_seconds()
        before, deadline = 0, time.monotonic() + patience
        while not holds():
            if (now := is_getting_on()) != before:
                before, deadline = now, time.monotonic() + patience
            if not self._site.is_running() and not self._site.has_killed_itself():
                raise Stalled(f"the daemon ended by itself\n{self._site.last_words()}")
            if time.monotonic() > deadline:
                raise Stalled(f"{complaint} ({self._count_left()} left)\n{self._site.last_words()}")
            time.sleep(look_every)


def _count_done(database: Database) -> int:
    """Asks the ledger what it takes for finished; what was really mailed is for the sink to say."""
    with database.begin() as session:
        return len(session.exec(select(Alert).where(Alert.state == AlertState.DONE)).all())


def _count_notices_due(database: Database) -> int:
    with database.begin() as session:
        return len(session.exec(select(Notice.id).where(col(Notice.due_at).is_not(None))).all())


def _asked(database: Database, visitors: Sequence[Address], keys: Keys) -> list[Asked]:
    """Asks the ledger what became of the mail of each visitor."""
    with database.begin() as session:
        rows = session.exec(select(Notice.address_hash, Notice.state, Notice.doubts)).all()
    found = {hashed: (state, doubts) for hashed, state, doubts in rows}
    return [Asked(each.address, *found[address_hash(keys.pepper, each.key)]) for each in visitors]
