"""One slot's digest for many readers of many topics: announced, opened, composed and recorded; the wire is left out.

    PYTHONPATH=tests .venv/bin/python -m bench.digests
    PYTHONPATH=tests .venv/bin/python -m bench.digests --readers 5000 --entries 100

Each reader follows one to six of the topics, popular ones more often; each entry belongs to one to three. How many
readers share a rendering follows from that, and is printed.
"""

import argparse
import asyncio
import logging
import random
import resource
import tempfile
from collections import defaultdict
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from time import perf_counter, process_time
from typing import TypeVar

import sqlalchemy as sa
import structlog
from sqlmodel import Session

import build
from alerts.audience import spans
from alerts.audience.tokens import derive
from alerts.db import Database
from alerts.dispatch import outbox, receipts
from alerts.dispatch.announce import announce_entry
from alerts.dispatch.compose import Composer, ReturnPath, Sealed, in_parts, stamp
from alerts.dispatch.digests.announcing import GRACE, Policy, announce_digests, close_time
from alerts.dispatch.opening import Plan, open_chunk
from alerts.dispatch.receipts import Receipt, Settled
from alerts.mail.render import Renderer, SiteView
from alerts.models import Body, Frequency, Subscription, table_of
from alerts.schema import upgrade

T = TypeVar("T")

KEYS = derive(b"b" * 32, [])
SITE = SiteView(
    "Harbour Alerts", "https://alerts.example.org", "Harbour Alerts", "alerts@example.org", "", ""
)
BEGIN = datetime(2026, 11, 22, 8, tzinfo=UTC)
DUE = datetime(2026, 11, 23, 7, tzinfo=UTC)
LEASE = timedelta(hours=1)
PAUSE = timedelta(minutes=1)
_PARAGRAPH = "The harbour master says that the evening ferry waits for the tide, and for those who missed the noon one. "


def main() -> None:
    sizes = _sizes()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    with tempfile.TemporaryDirectory(prefix="alerts-bench-") as folder:
        database = Database(f"sqlite:///{Path(folder) / 'alerts.db'}")
        try:
            upgrade(database)
            _fill(database, sizes)
            asyncio.run(_measure(database, sizes))
        finally:
            database.close()


def _fill(database: Database, sizes: argparse.Namespace) -> None:
    chance = random.Random(sizes.seed)
    with database.begin() as session:
        feed = build.a_feed(session, now=BEGIN)
        topics = [
            build.a_topic(session, f"topic-{number}", now=BEGIN, words_in=[f"word{number}"])
            for number in range(sizes.topics)
        ]
        ids = build.readers(
            session, sizes.readers, topics[0], Frequency.DAILY, now=BEGIN, domain="example.net"
        )
        followers: dict[int, list[int]] = defaultdict(list)
        weights = [1 / (rank + 1) for rank in range(len(topics))]
        for reader in ids:
            for topic in {*chance.choices(topics, weights, k=chance.randint(1, 6))}:
                followers[topic].append(reader)
        session.connection().execute(sa.delete(table_of(Subscription)))
        for topic, readers in followers.items():
            _follow(session, topic, readers)
        for number in range(sizes.entries):
            at = BEGIN + timedelta(minutes=1 + number)
            words = " ".join(
                f"word{each}" for each in chance.sample(range(sizes.topics), chance.randint(1, 3))
            )
            text = f"{words}. {_PARAGRAPH * chance.randint(1, 6)}"
            entry = build.an_entry(session, feed, f"post-{number}", title=f"News {number}", text=text, now=at)
            announce_entry(session, entry, at)
        # Whatever is announced at once has no readers here.
        while (lease := outbox.claim(session, "bench", size=1, length=LEASE, now=DUE)) is not None:
            outbox.close(session, lease, DUE, PAUSE, PAUSE)


def _follow(session: Session, topic: int, readers: list[int]) -> None:
    row = {"topic_id": topic, "frequency": Frequency.DAILY, "since": BEGIN, "chosen_at": BEGIN}
    session.connection().execute(
        sa.insert(table_of(Subscription)), [{"subscriber_id": reader, **row} for reader in readers]
    )
    spans.begin(session, readers, topic, Frequency.DAILY, BEGIN)


async def _measure(database: Database, sizes: argparse.Namespace) -> None:
    meter = _Meter(database)
    composer = Composer(database, Renderer(SITE, []), SITE, KEYS, ReturnPath("bounce@example.org", "", KEYS))
    now = DUE + GRACE
    began = perf_counter()
    meter.run("close", lambda session: close_time(session, now))
    meter.run("announce", lambda session: announce_digests(session, Policy(), now))
    mails = size = 0
    while (lease := meter.run("claim", lambda session: _claim(session, sizes.batch, now))) is not None:
        plan = Plan(sizes.chunk, KEYS.current, "main")
        while openings := meter.run("open", lambda session: open_chunk(session, lease, plan, now)):  # noqa: B023 - run at once
            for part in in_parts(openings):
                with meter.timed("render"):
                    prepared = await composer.prepare(lease.alert_id, part)
                with meter.timed("stamp"):
                    for opening, sealed in composer.seal_all(lease.alert_id, prepared, part):
                        assert isinstance(sealed, Sealed)
                        size += len(stamp(prepared[opening.variant], sealed))
            said = [
                Receipt(each.subscriber_id, Settled.ACCEPTED, "", 250, "", "example.net") for each in openings
            ]
            meter.run("record", lambda session: receipts.record(session, lease, said, KEYS, now))  # noqa: B023 - same
            mails += len(openings)
        meter.run("close", lambda session: outbox.close(session, lease, now, PAUSE, PAUSE))
    _print(database, meter, mails, size, perf_counter() - began)


def _claim(session: Session, size: int, now: datetime) -> outbox.Lease | None:
    return outbox.claim(session, "bench", size=size, length=LEASE, now=now)


class _Meter:
    """Adds up what each step takes."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.seconds: dict[str, float] = defaultdict(float)
        self.processor: dict[str, float] = defaultdict(float)

    def run(self, step: str, function: Callable[[Session], T]) -> T:
        with self.timed(step), self._database.begin() as session:
            return function(session)

    def timed(self, step: str) -> "_Timed":
        return _Timed(self, step)


class _Timed:
    def __init__(self, meter: _Meter, step: str) -> None:
        self._meter, self._step = meter, step

    def __enter__(self) -> None:
        self._began = perf_counter(), process_time()

    def __exit__(self, *_: object) -> None:
        self._meter.seconds[self._step] += perf_counter() - self._began[0]
        self._meter.processor[self._step] += process_time() - self._began[1]


def _print(database: Database, meter: _Meter, mails: int, size: int, seconds: float) -> None:
    with database.begin() as session:
        bodies, stored = session.execute(
            sa.select(sa.func.count(), sa.func.sum(sa.func.length(table_of(Body).c.segments)))
        ).one()
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"{mails} digests of {size / mails / 1000:.1f} KB in {seconds:.1f} s; {bodies} variants", end="")
    print(f", {stored / 1e6:.0f} MB of segments; {memory:.0f} MB of memory at most")
    print(f"{'':10}{'seconds':>10}{'us/reader':>12}{'processor':>12}")
    for step, taken in meter.seconds.items():
        each = taken / mails * 1e6, meter.processor[step] / mails * 1e6
        print(f"{step:10}{taken:>10.2f}{each[0]:>12.1f}{each[1]:>12.1f}")


def _sizes() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--readers", type=int, default=100_000)
    parser.add_argument("--topics", type=int, default=50)
    parser.add_argument("--entries", type=int, default=100)
    parser.add_argument("--batch", type=int, default=2_000)
    parser.add_argument("--chunk", type=int, default=500)
    parser.add_argument("--seed", type=int, default=1)
    return parser.parse_args()


if __name__ == "__main__":
    main()
