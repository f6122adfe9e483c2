"""What a poll costs: the daemon's own poller, fetcher, readers and database, against publishers on loopback.

    PYTHONPATH=tests .venv/bin/python bench/feeds.py --feeds 1000

Each round polls every feed once. Processor time is that of this process, all its threads, and of its readers; on
Linux they share one core, and the publishers and PostgreSQL have another.
"""

import argparse
import asyncio
import logging
import os
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random

import aiohttp
import sqlalchemy as sa
import structlog

import build
from alerts.db import Database
from alerts.feeds.fetch import Fetcher, Limits
from alerts.feeds.outcomes import PollResult, Verdict
from alerts.feeds.poll import Poller
from alerts.feeds.read.readers import Readers
from alerts.models import Feed, table_of
from alerts.schema import upgrade
from fakes import postgres

HOSTS = 50 if sys.platform == "linux" else 1  # elsewhere loopback is one address
ROUNDS = (
    ("etag", "first look"),
    ("etag", "304"),
    ("same", "200, same bytes"),
    ("redrawn", "200, same posts"),
    ("changed", "200, one new post"),
)
MINUTE = 60


@dataclass(slots=True)
class Costs:
    """Processor seconds of this process and of its readers, those that have ended among them."""

    readers: Readers
    _ended: dict[int, float] = field(default_factory=dict)

    def now(self) -> tuple[float, float]:
        for pid in self.readers.pids:
            self._ended[pid] = _processor_seconds(pid)
        return time.process_time(), sum(self._ended.values())


@dataclass(slots=True)
class Bench:
    """One site under measure."""

    database: Database
    poller: Poller
    costs: Costs
    publishers: str
    results: list[tuple[float, PollResult]] = field(default_factory=list)

    async def mode(self, name: str) -> None:
        async with aiohttp.ClientSession() as session, session.put(f"{self.publishers}/mode", data=name):
            pass

    async def round(self, feeds: int) -> tuple[float, float, float]:
        """Polls every feed once; gives the seconds of this process, of the readers, and by the clock."""
        with self.database.begin() as session:
            session.connection().execute(sa.update(table_of(Feed)).values(next_poll_at=datetime.now(UTC)))
        self.results.clear()
        before, began = self.costs.now(), time.perf_counter()
        while len(self.results) < feeds:
            await self.poller.tick()
            await asyncio.sleep(0.02)
            self.costs.now()
        took, after = time.perf_counter() - began, self.costs.now()
        wrong = {
            result.reason
            for _, result in self.results
            if result.verdict not in (Verdict.POLLED, Verdict.UNCHANGED)
        }
        if wrong:
            sys.exit(f"A poll failed, so that the figures mean nothing: {wrong}")
        return after[0] - before[0], after[1] - before[1], took


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--feeds", type=int, action="append", help="may be repeated; 100 and 1000 when not given"
    )
    parser.add_argument(
        "--database", choices=("sqlite", "postgres"), action="append", help="both when not given"
    )
    parser.add_argument("--parallel", type=int, default=16, help="as [polling] parallel")
    parser.add_argument(
        "--seconds",
        type=int,
        default=40,
        help="for 50 good feeds, alone and beside 20 bad ones; 0 leaves it out",
    )
    parser.add_argument(
        "--spread",
        action="store_true",
        help="let every process have every core, as on a site, instead of keeping them apart",
    )
    sizes = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    publishers_core = set[int]() if sizes.spread else _split_cores()
    for name in sizes.database or ("sqlite", "postgres"):
        for feeds in sizes.feeds or (100, 1000):
            asyncio.run(_rounds(name, feeds, sizes.parallel, publishers_core))
    if sizes.seconds:
        asyncio.run(_beside_bad(sizes.seconds, sizes.parallel, publishers_core))


async def _rounds(name: str, feeds: int, parallel: int, core: set[int]) -> None:
    async with _bench(name, feeds, 0, parallel, core) as bench:
        print(f"\n{name}: {feeds} feeds of 20 posts, {parallel} at once")
        print(f"{'':20}{'ms/poll':>10}{'of that readers':>18}{'seconds a round':>18}{'of a minute':>14}")
        for mode, what in ROUNDS:
            await bench.mode(mode)
            own, readers, took = await bench.round(feeds)
            each = (own + readers) / feeds * 1e3
            print(f"{what:20}{each:>10.2f}{readers / feeds * 1e3:>18.2f}{took:>18.1f}{took / MINUTE:>14.0%}")
        print(
            f"memory: this process {_resident(os.getpid()):.0f} MB, its readers "
            + ", ".join(f"{_resident(pid):.0f} MB" for pid in bench.costs.readers.pids)
        )


async def _beside_bad(seconds: int, parallel: int, core: set[int]) -> None:
    print(f"\nsqlite: how late 50 good feeds are polled, due every 2 seconds, {seconds} seconds long")
    print(
        f"{'':20}{'polls':>8}{'median ms':>12}{'95 % ms':>10}{'most ms':>10}{'own ms/s':>10}{'readers ms/s':>14}{'memory MB':>11}"
    )
    for bad in (0, 20):
        async with _bench("sqlite", 50, bad, parallel, core) as bench:
            await bench.mode("redrawn")
            before = bench.costs.now()
            late = await _watch(bench, seconds)
            own, readers = (after - start for after, start in zip(bench.costs.now(), before, strict=True))
            row = (len(late), statistics.median(late), statistics.quantiles(late, n=20)[-1], max(late))
            print(
                f"{f'beside {bad} bad':20}"
                + "{:>8}{:>12.0f}{:>10.0f}{:>10.0f}".format(*row)
                + f"{own / seconds * 1e3:>10.0f}{readers / seconds * 1e3:>14.0f}{_resident(os.getpid()):>11.0f}"
            )


async def _watch(bench: Bench, seconds: int) -> list[float]:
    """Polls as the daemon does; gives by how many milliseconds each result of a good feed came after it was due."""
    due: dict[str, datetime] = {}
    late: list[float] = []

    def note(result: PollResult) -> None:
        if not result.feed.startswith("feed"):
            return
        if result.feed in due:
            late.append((datetime.now(UTC) - due[result.feed]).total_seconds() * 1e3)
        assert result.next_poll_at is not None
        due[result.feed] = result.next_poll_at

    bench.poller.on_result = note
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        await bench.poller.tick()
        await asyncio.sleep(0.25)  # as the daemon's scheduler
    return late


@asynccontextmanager
async def _bench(name: str, good: int, bad: int, parallel: int, core: set[int]) -> AsyncIterator[Bench]:
    async with AsyncExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="alerts-bench-"))
        database = stack.enter_context(_database(name, folder, core))
        port = await stack.enter_async_context(_publishers(core))
        fetcher = await stack.enter_async_context(Fetcher("alerts-bench/1", Limits(), host_rate=1_000_000))
        readers = await stack.enter_async_context(Readers(1, timedelta(seconds=10), 512_000_000))
        poller = Poller(
            database,
            fetcher,
            lambda: datetime.now(UTC),
            parallel,
            random=Random(1),
            read=readers.read,
            work=readers.seconds,
        )
        bench = Bench(database, poller, Costs(readers), f"http://127.0.0.1:{port}")
        poller.on_result = lambda result: bench.results.append((time.perf_counter(), result))
        await poller.tick()  # what is due at the first is spread over minutes, as after a standstill
        _fill(database, good, bad, port)
        yield bench
        poller.on_result = None
        for task in list(poller._running):  # noqa: SLF001 - there is no other way to break polls off
            task.cancel()
        await asyncio.gather(*poller._running, return_exceptions=True)  # noqa: SLF001 - same


def _fill(database: Database, good: int, bad: int, port: int) -> None:
    now = datetime.now(UTC)
    with database.begin() as session:
        build.readers(session, 10, build.a_topic(session, now=now), now=now)
        for kind, count in (("feed", good), ("bad", bad)):
            for number in range(count):
                url = f"http://127.0.0.{number % HOSTS + 1}:{port}/{kind}/{number}"
                build.a_feed(
                    session,
                    f"{kind}-{number}",
                    url=url,
                    now=now,
                    baselined_at=None,
                    interval=timedelta(seconds=2),
                    is_followed=True,
                )


@asynccontextmanager
async def _publishers(core: set[int]) -> AsyncIterator[int]:
    program = Path(__file__).with_name("feeds_site.py")
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        program,
        "--hosts",
        str(HOSTS),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    _move(process.pid, core)
    try:
        yield int(await process.stdout.readline())
    finally:
        process.kill()
        await process.wait()


@contextmanager
def _database(name: str, folder: str, core: set[int]) -> Iterator[Database]:
    if name == "sqlite":
        yield from _opened(f"sqlite:///{Path(folder) / 'alerts.db'}")
        return
    mine = _move(os.getpid(), core)  # what is started now stays there
    with postgres.server() as server, server.database() as url:
        _move(os.getpid(), mine)
        yield from _opened(url)


def _opened(url: str) -> Iterator[Database]:
    database = Database(url)
    try:
        upgrade(database)
        yield database
    finally:
        database.close()


def _split_cores() -> set[int]:
    """Keeps this process, and what it starts, to one core; gives the others."""
    if sys.platform != "linux":
        return set()
    mine, *others = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {mine})
    return set(others) or {mine}


def _move(pid: int, cores: set[int]) -> set[int]:
    """Keeps a process to these cores; gives those it had."""
    if sys.platform != "linux" or not cores:
        return set()
    before = os.sched_getaffinity(pid)
    os.sched_setaffinity(pid, cores)
    return before


def _processor_seconds(pid: int) -> float:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:  # it has ended, or this is no Linux
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _resident(pid: int) -> float:
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6
    except OSError:
        return 0.0


if __name__ == "__main__":
    main()
