"""The whole service: from the feed that answers with a new entry, over the ledger, to the last mail recorded."""

import itertools
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from alerts.audience import tokens
from alerts.db import Database
from alerts.models import Subscriber
from bench import mail, sinks
from bench.clients import Bench
from bench.newsfeed import NewsFeed
from bench.processes import (
    Failed,
    bytes_written,
    cpu_seconds,
    peak_memory,
    run_client,
)
from bench.report import Figures, Goal, Section
from bench.sinks import Manners
from bench.site import SECRET, Site, Wishes, site
from fakes import postgres

DATABASES = ("sqlite", "postgres")
# As one that keeps what it was told: the tests' own settings are for what may be lost.
DURABLE = {"fsync": "on", "synchronous_commit": "on", "full_page_writes": "on"}
_SAMPLE = 25
_PATIENCE_SECONDS, _SLOWEST_RATE = 90, 500
_FEW, _WANTED_FOR, _MANY = 1_000, 100_000, 1_000_000  # readers
_numbers = itertools.count(1)


@dataclass(frozen=True, slots=True)
class Delivered:
    """What one alert came to; seconds are from the feed's answer on."""

    readers: int
    first: float
    last: float
    recorded: float
    cpu: float
    memory: float  # MB, of the daemon that took most
    wal: int  # bytes that PostgreSQL wrote to its log; none where SQLite writes in the daemon
    disk: int  # bytes that the daemons wrote to files: journals, and SQLite

    @property
    def rate(self) -> float:
        """Mails a second, recorded."""
        return self.readers / self.recorded

    @property
    def wire_rate(self) -> float:
        """Mails a second between the first and the last."""
        return self.readers / max(self.last - self.first, 1e-6)


class Databases:
    """New databases, each empty; one PostgreSQL serves all runs."""

    def __init__(self, bench: Bench, stack: ExitStack) -> None:
        self._folder = bench.folder
        self._stack = stack
        self._server: postgres.Server | None = None
        self.missing: dict[str, str] = {}

    @contextmanager
    def new(self, name: str) -> Iterator[str]:
        """Gives a new database's URL; raises postgres.CannotStart where there is none."""
        if name == "sqlite":
            yield f"sqlite:///{self._folder / f'alerts-{next(_numbers)}.db'}"
            return
        if self._server is None:
            self._server = self._stack.enter_context(postgres.server(**DURABLE))
        with self._server.database() as url:
            yield url

    def has(self, name: str) -> bool:
        """Whether this database is to be had; `missing` says why not."""
        try:
            with self.new(name):
                return True
        except postgres.CannotStart as error:
            self.missing[name] = f"PostgreSQL cannot be started: {error}"
            return False


@contextmanager
def databases(bench: Bench) -> Iterator[Databases]:
    with ExitStack() as stack:
        yield Databases(bench, stack)


@dataclass(frozen=True, slots=True)
class Case:
    """One delivery to measure."""

    readers: int
    signing_key: Path | None = None
    daemons: int = 1
    connections: int = 10
    work_ms: float = 0


def delivered(bench: Bench, url: str, case: Case) -> Delivered:
    """Has one entry delivered to all readers of a new site; checks that each got their mail, and once."""
    assert bench.tools.sink is not None
    folder = bench.folder / f"site-{next(_numbers)}"
    log, kept = folder.with_suffix(".log"), folder.with_suffix(".kept")
    manners = Manners(work=case.work_ms, log=log, keep=kept, every=max(1, case.readers // _SAMPLE))
    with sinks.lean_sink(bench.tools.sink, bench.cores.both, manners) as sink, NewsFeed() as feed:
        wishes = Wishes(url, case.readers, sink.port, feed.url, case.connections, case.signing_key)
        with site(folder, wishes, bench.cores.both) as made:
            for _ in range(case.daemons):
                made.start()
            figures = publish(made, feed, lambda: sink.counts().mails)
            counts = sink.counts()
            _check_site(made, url, kept)
    _check_log(log, case.readers)
    for path in (log, kept):
        path.unlink()
    answered = feed.answered_at()
    return Delivered(
        readers=case.readers, first=counts.first_at - answered, last=counts.last_at - answered, **figures
    )


def publish(made: Site, feed: NewsFeed, mails: Callable[[], int]) -> dict[str, float]:
    """Publishes the entry and waits until all is recorded; gives the figures that need no sink."""
    feed.polls(2 * len(made.pids))  # the first is a baseline
    readers = made.wishes.readers
    written, disk, cpu = made.written(), sum(map(bytes_written, made.pids)), sum(map(cpu_seconds, made.pids))
    feed.publish()
    answered = feed.answered_at()
    until = answered + _PATIENCE_SECONDS + readers / _SLOWEST_RATE
    while not (mails() >= readers and made.is_done()):
        if time.monotonic() > until:
            raise Failed(f"{mails()} mails of {readers} came in time: {made.last_words()}")
        time.sleep(0.02)
    return {
        "recorded": time.monotonic() - answered,
        "cpu": sum(map(cpu_seconds, made.pids)) - cpu,
        "wal": made.written() - written,
        "disk": sum(map(bytes_written, made.pids)) - disk,
        "memory": max(map(peak_memory, made.pids)),
    }


def end_to_end(bench: Bench, command: str) -> Section:
    """Seconds for all readers, beside a naive service on the same database."""
    section = Section(_title("unsigned", bench), command, headings=HEADINGS)
    with databases(bench) as found:
        for name in DATABASES:
            why = _missing(bench, found, name)
            runs, naive = ({}, []) if why else _rounds(bench, found, name)
            section.goals += _goals(name, runs, naive, max(bench.sizes.readers), why)
            for readers, each in runs.items():
                section.figures.append(figures(f"{name}, {readers:,} readers", each))
            if naive:
                section.figures.append(
                    Figures(f"{name}, naive, {bench.sizes.naive:,} readers", ([], [], [], naive))
                )
    section.notes.append(NOTE)
    return section


def signed(bench: Bench, command: str) -> Section:
    """The same with RSA-2048 DKIM, as a share of what the two cores can sign and do nothing else."""
    section = Section(_title("signed with RSA-2048", bench), command, headings=HEADINGS)
    key = _key_file(bench)
    readers = min(bench.sizes.readers)
    with databases(bench) as found:
        for name in DATABASES:
            why = bench.unsigned or _missing(bench, found, name)
            runs, bare = [], []
            for _ in range(0 if why else bench.sizes.rounds):
                bare.append(bare_signing(bench, key))
                with found.new(name) as url:
                    runs.append(delivered(bench, url, Case(readers, signing_key=key)))
            shares = [run.rate / rate for run, rate in zip(runs, bare, strict=True)]
            what = f"{name}: mails a second, of bare signing on both cores"
            section.goals.append(Goal(what, 0.7, shares, missing=why))
            if runs:
                section.figures.append(figures(f"{name}, {readers:,} readers", runs))
                section.figures.append(Figures("bare signing", ([], [], [], bare)))
    section.notes.append(NOTE)
    return section


def million(bench: Bench, command: str) -> Section:
    """A million readers: the first mail is not later for it, and memory no larger."""
    section = Section(_title("a million readers", bench), command, headings=HEADINGS)
    with databases(bench) as found:
        for name in DATABASES:
            why = _missing(bench, found, name)
            runs: dict[int, list[Delivered]] = {_FEW: [], _MANY: []}
            for readers in () if why else runs:
                with found.new(name) as url:
                    runs[readers].append(delivered(bench, url, Case(readers)))
            section.goals += _scale_goals(name, runs, _MANY, why)
            section.figures += [
                figures(f"{name}, {count:,} readers", each) for count, each in runs.items() if each
            ]
    section.notes.append(NOTE)
    return section


HEADINGS = (
    "first mail, s",
    "last mail, s",
    "all recorded, s",
    "mails/s",
    "daemon CPU us/mail",
    "memory MB",
    "WAL B/mail",
    "disk B/mail",
)
NOTE = (
    "Seconds from the feed's answer. Memory: the daemon's most, resident. WAL: PostgreSQL's. "
    "Disk: all the daemon wrote to files, journals and SQLite's."
)


def figures(what: str, runs: list[Delivered]) -> Figures:
    return Figures(
        what,
        (
            [each.first for each in runs],
            [each.last for each in runs],
            [each.recorded for each in runs],
            [each.rate for each in runs],
            [each.cpu / each.readers * 1e6 for each in runs],
            [each.memory for each in runs],
            [each.wal / each.readers for each in runs if each.wal],
            [each.disk / each.readers for each in runs],
        ),
    )


def bare_signing(bench: Bench, key: Path) -> float:
    """Gives how many RSA-2048 signatures both cores make a second."""
    threads = max(1, len(bench.cores.both))
    return run_client(bench.peer("signing.py", key, threads), bench.cores.both, 60).rate


def _rounds(bench: Bench, found: Databases, name: str) -> tuple[dict[int, list[Delivered]], list[float]]:
    """Delivers to each number of readers, and naively, in turn; all but the fewest take long, and get fewer rounds."""
    fewest = min(bench.sizes.readers)
    runs: dict[int, list[Delivered]] = {readers: [] for readers in sorted({_FEW, *bench.sizes.readers})}
    naive = []
    for number in range(bench.sizes.rounds):
        naive.append(_naive(bench, found, name))
        for readers, each in runs.items():
            if readers == fewest or number < bench.sizes.large_rounds:
                with found.new(name) as url:
                    each.append(delivered(bench, url, Case(readers)))
    return runs, naive


def _goals(
    name: str, runs: dict[int, list[Delivered]], naive: list[float], most: int, why: str
) -> list[Goal]:
    large = runs.get(most, [])
    wanted_for = runs.get(_WANTED_FOR, [])
    ratios = [each.rate / median(naive) for each in large]
    return [
        Goal(
            f"{name}: seconds until all of {_WANTED_FOR:,} are recorded",
            10,
            [each.recorded for each in wanted_for],
            " s",
            at_most=True,
            missing=why or "not asked for",
        ),
        Goal(f"{name}: mails a second, {most:,} readers : naive", 40, ratios, "x", missing=why),
        *_scale_goals(name, runs, most, why),
    ]


def _naive(bench: Bench, found: Databases, name: str) -> float:
    """Gives how many mails a second the naive service records."""
    assert bench.tools.sink is not None
    readers = mail.write_readers(bench.folder, bench.sizes.naive)
    with found.new(name) as url, sinks.lean_sink(bench.tools.sink, bench.cores.both) as sink:
        command = bench.peer("naive.py", bench.load, readers, sink.port, 10, bench.sizes.naive, 0, url)
        run = run_client(command, bench.cores.both, 240)
        if sink.counts().mails != bench.sizes.naive:
            raise Failed(f"the naive service sent {sink.counts().mails} mails of {bench.sizes.naive}")
    return run.rate


def _scale_goals(name: str, runs: dict[int, list[Delivered]], most: int, why: str) -> list[Goal]:
    """What must not get worse with the number of readers: when the first mail leaves, and memory."""
    large, small = runs.get(most, []), runs.get(_FEW, [])
    base = median([each.memory for each in small]) if small else 1.0
    firsts, peaks = [each.first for each in large], [each.memory for each in large]
    growth = [each / base for each in peaks]
    return [
        Goal(
            f"{name}: seconds until the first of {most:,} mails",
            0.25,
            firsts,
            " s",
            at_most=True,
            missing=why,
        ),
        Goal(f"{name}: memory with {most:,} readers", 150, peaks, " MB", at_most=True, missing=why),
        Goal(f"{name}: memory : that with {_FEW:,}", 1.1, growth, "x", at_most=True, missing=why),
    ]


def _missing(bench: Bench, found: Databases, name: str) -> str:
    if bench.tools.sink is None:
        return f"our sink is missing: {bench.tools.missing.get('our sink', '')}"
    return "" if found.has(name) else found.missing[name]


def _title(how: str, bench: Bench) -> str:
    cores = len(bench.cores.both) or 1
    return f"The whole service, {how}: daemon, ledger and sink on {cores} cores, 10 connections"


def _key_file(bench: Bench) -> Path:
    path = bench.folder / "signing.pem"
    path.write_text(bench.signing_key)
    path.chmod(0o600)
    return path


# --- that each mail came, once, and to whom it belongs ------------------------------------------------


def _check_log(log: Path, readers: int) -> None:
    recipients = [line.partition(" ")[0] for line in log.read_text().splitlines()]
    wanted = {f"reader{number}@mail{number % 50}.example.net" for number in range(readers)}
    if len(recipients) != readers or set(recipients) != wanted:
        raise Failed(f"{len(recipients)} mails reached {len(set(recipients))} of {readers} readers")


def _check_site(made: Site, url: str, kept: Path) -> None:
    """Compares the ledger with the readers, and a sample of mails with whom they are for."""
    if made.accepted() != made.wishes.readers:
        raise Failed(f"the ledger knows {made.accepted()} accepted mails of {made.wishes.readers}")
    keys = tokens.derive(SECRET.encode(), [])
    key = made.wishes.signing_key.read_text() if made.wishes.signing_key else None
    database = Database(url)
    try:
        with database.begin() as session:
            for recipient, wire in sinks.read_kept(kept):
                claim = tokens.read(keys, mail.token_of(wire))
                reader = session.get(Subscriber, claim.subscriber_id) if claim else None
                if reader is None or reader.address != recipient or not mail.is_whole(wire, recipient):
                    raise Failed("a mail is not what its reader is owed")
                if key is not None and not mail.is_signed(wire, key):
                    raise Failed("a mail's signature does not verify")
    finally:
        database.close()
