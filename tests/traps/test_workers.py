"""Trap 29's two workers: daemons that poll one feed at the same time cause each mail once."""

import asyncio
from datetime import timedelta
from pathlib import Path
from random import Random

from sqlmodel import Session, col, select

from alerts.db import Database
from alerts.feeds.outcomes import PollResult
from alerts.feeds.poll import Poller
from alerts.models import Alert, AlertState, Feed
from build import NOW, a_feed, a_reader, a_topic
from delivering import delivering, until
from fakes.site import site
from fakes.smtp import StartSmtp
from traps.documents import live_blog
from traps.newsroom import a_fetcher, subjects
from traps.posts import posts, titles


async def test_four_workers_on_one_feed_cause_each_mail_once(
    db: Database, tmp_path: Path, smtp_server: StartSmtp
) -> None:
    smtp = await smtp_server()
    now = NOW
    polls: list[PollResult] = []
    async with site() as web, a_fetcher() as fetcher:
        with db.begin() as session:
            feed_id = a_feed(session, url=web.url("/live"), baselined_at=None, ttl=timedelta(days=3650))
            a_reader(session, topic_id=a_topic(session))
        workers = [
            Poller(db, fetcher, lambda: now, random=Random(number), on_result=polls.append)
            for number in range(4)
        ]
        for newest in (4, 5, 6, 6, 8):
            web.shows("/live", live_blog(posts(1, newest)).body)
            now += timedelta(minutes=1)
            with db.begin() as session:
                session.get_one(Feed, feed_id).next_poll_at = now
            await asyncio.gather(*(worker.tick() for worker in workers))
            await asyncio.gather(*(worker.drain() for worker in workers))
        assert len(polls) == 5
        async with delivering(db, smtp, tmp_path):
            await until(db, _is_all_done)
    assert sorted(subjects(smtp.accepted)) == sorted(titles(5, 6, 7, 8))


def _is_all_done(session: Session) -> bool:
    return all(state == AlertState.DONE for state in session.exec(select(col(Alert.state))))
