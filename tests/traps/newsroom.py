"""The whole line for scripted feeds: a site over HTTP at one end, an SMTP server at the other.

    site ──Fetcher──> Poller ──store, announce──> database ──Deliverer──> SMTP server

Nothing in between is replaced. Each feed has a topic of its own and two readers: who wants every entry, and
who wants key events. The clock of the polls is the script's. A mail bears as its Date the moment its alert
was released, which tells the poll that caused it: so all polls run first, and the mails go out at the end.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from email import message_from_bytes, policy
from pathlib import Path
from random import Random

import sqlalchemy as sa
from sqlmodel import Session, col, select

from alerts.db import Database
from alerts.dispatch.announce import release_due
from alerts.feeds.fetch import Fetcher, Limits
from alerts.feeds.outcomes import PollResult, Verdict
from alerts.feeds.poll import Poller
from alerts.models import Alert, AlertState, Feed, FeedState, Frequency
from build import NOW, a_feed, a_reader, a_topic
from delivering import delivering, until
from fakes.site import Site, site
from fakes.smtp import Mail, ScriptedServer
from traps.scenario import SITE, Scenario, Step, told

_TTL = timedelta(days=3650)  # mails go out by the machine's clock, which the script's knows nothing of
_PARALLEL = 16

Told = dict[str, list[list[str]]]  # by scenario, by poll


async def run(scenarios: Sequence[Scenario], db: Database, folder: Path) -> Told:
    """Plays the scenarios, one after the other, delivers, and gives what each poll of each came to."""
    smtp = ScriptedServer()
    await smtp.start()
    held: dict[str, list[bool]] = {}
    try:
        async with site() as web, a_fetcher() as fetcher:
            newsroom = _Newsroom(db, web, fetcher)
            for number, scenario in enumerate(scenarios):
                held[scenario.name] = await newsroom.play(scenario, number)
        async with delivering(db, smtp, folder, parallel=_PARALLEL):
            await until(db, _is_all_sent)
    finally:
        await smtp.stop()
    assert not smtp.violations, smtp.violations
    return _sorted_by_poll(scenarios, held, smtp)


def surprises(scenarios: Iterable[Scenario], found: Told) -> list[str]:
    """Gives a line for each poll that came to something else than its scenario says."""
    return [
        f"{scenario.name}: poll {number} came to {came_to}, expected {step.expected}"
        for scenario in scenarios
        for number, (step, came_to) in enumerate(zip(scenario.steps, found[scenario.name], strict=True))
        if came_to != step.expected
    ]


class _Newsroom:
    """A poller whose clock is the script's."""

    def __init__(self, db: Database, web: Site, fetcher: Fetcher) -> None:
        self.db, self.web = db, web
        self.now = NOW
        self.results: list[PollResult] = []
        self.poller = Poller(db, fetcher, lambda: self.now, random=Random(1), on_result=self.results.append)

    async def play(self, scenario: Scenario, number: int) -> list[bool]:
        """Polls one feed step by step; says of each poll whether it held the feed."""
        feed_id = await self.db.run(_prepare, scenario, number, self.web.url(f"/{number}/live"))
        held = []
        for step, self.now in zip(scenario.steps, _times(scenario), strict=True):
            self._show(step, number)
            await self.db.run(_begin, feed_id, step, self.now)
            self.results.clear()
            await self.poller.tick()
            await self.poller.drain()
            held.append(_is_held(self.results))
        await self.db.run(_stop, feed_id)
        return held

    def _show(self, step: Step, number: int) -> None:
        here = self.web.url(f"/{number}")
        for name, reply in step.pages.items():
            body = reply.body.replace(SITE.encode(), here.encode())
            self.web.replies[f"/{number}/{name}"] = replace(reply, body=body)


def _prepare(session: Session, scenario: Scenario, number: int, url: str) -> int:
    name = f"feed-{number}"
    values = {"url": url, "title": "", "baselined_at": None, "ttl": _TTL}
    feed_id = a_feed(session, name, **values | dict(scenario.policy))
    topic = a_topic(session, name, feeds=[name])
    for frequency in (Frequency.EVERY, Frequency.FLASH):
        a_reader(session, _address(number, frequency), topic, frequency)
    return feed_id


def _begin(session: Session, feed_id: int, step: Step, now: datetime) -> None:
    """Does what is due in the newsroom before a poll, and makes the feed due."""
    release_due(session, now)
    if step.act is not None:
        step.act(session, feed_id, now)
    session.execute(sa.update(Feed).where(col(Feed.id) == feed_id).values(next_poll_at=now))


def _stop(session: Session, feed_id: int) -> None:
    """Takes a feed out of the way of the next ones."""
    session.execute(sa.update(Feed).where(col(Feed.id) == feed_id).values(state=FeedState.PAUSED))


def _is_held(results: Sequence[PollResult]) -> bool:
    assert len(results) <= 1, "one feed is due at a time"
    assert all(result.verdict != Verdict.LOST for result in results)
    return any(result.held for result in results)


def _is_all_sent(session: Session) -> bool:
    states = set(session.exec(select(Alert.state)).all())
    return AlertState.RELEASED not in states


def _sorted_by_poll(scenarios: Sequence[Scenario], held: dict[str, list[bool]], smtp: ScriptedServer) -> Told:
    mails: dict[tuple[str, datetime], list[str]] = defaultdict(list)
    for mail in smtp.accepted:
        message = message_from_bytes(mail.content, policy=policy.default)
        mails[mail.rcpt, message["Date"].datetime].append(str(message["Subject"]))
    found = {
        scenario.name: [
            told(
                tuple(mails.pop((_address(number, Frequency.EVERY), now), ())),
                tuple(mails.pop((_address(number, Frequency.FLASH), now), ())),
                is_held=is_held,
            )
            for now, is_held in zip(_times(scenario), held[scenario.name], strict=True)
        ]
        for number, scenario in enumerate(scenarios)
    }
    assert not mails, f"mails of no poll: {mails}"
    return found


def _times(scenario: Scenario) -> list[datetime]:
    times, now = [], NOW
    for step in scenario.steps:
        now += step.after
        times.append(now)
    return times


def _address(number: int, frequency: Frequency) -> str:
    return f"{frequency}-{number}@example.org"


def subjects(mails: Iterable[Mail]) -> list[str]:
    """Gives the subjects of mails, decoded."""
    return [str(message_from_bytes(mail.content, policy=policy.default)["Subject"]) for mail in mails]


def a_fetcher() -> Fetcher:
    return Fetcher("alerts-test/1", Limits(timedelta(seconds=10), 10_000_000))
