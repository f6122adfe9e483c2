"""A site on many machines, and what a scene can do to it."""

import asyncio
import itertools
import json
import os
import random
import secrets
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, AsyncExitStack
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from pathlib import Path
from typing import Any, TypeVar

import aiohttp
import sqlalchemy as sa
from sqlalchemy import make_url
from sqlmodel import Session, col, select

import build
from alerts.audience import tokens
from alerts.audience.tokens import Purpose
from alerts.db import Database
from alerts.dispatch.announce import announce_entry
from alerts.models import Alert, AlertState, Batch, Delivery, DeliveryState
from chaos.audit import Accepted, Line, Opened
from chaos.fates import Fate, Mail, Verdict, judge
from chaos.processes import Sink
from fakes.netns import Namespace
from fakes.postgres import Server
from fakes.process import dying_with_parent
from fakes.proxy import Proxy, proxy

T = TypeVar("T")

DOORS = 6
_HERE = "127.0.0.1"
LEASE = 5
_PATIENCE = 60
_LOOK_SECONDS = 0.02
_LEAVING_AT_ONCE = 16
_UNDER_WAY_SECONDS = 0.2  # what a server had received when its client was cut off is done by then

_CONFIG = """\
state_dir = "{folder}"
secret = "{secret}"

[site]
base_url = "http://localhost:8025"
sender = "alerts@example.org"

[database]
url = "{database}"

{transports}
[sending]
lease = {lease}
batch = {batch}
retry_first = 1
retry_most = 2

[web]
enabled = {web}
port = 0
"""
# A deferred trigger runs in the commit: so it is known when each opening was committed, to the moment before.
_WATCH_OPENINGS = (
    "CREATE TABLE opened (alert_id BIGINT, subscriber_id BIGINT, at TIMESTAMPTZ)",
    """CREATE FUNCTION note_opening() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        INSERT INTO opened VALUES (NEW.alert_id, NEW.subscriber_id, clock_timestamp()); RETURN NULL;
    END $$""",
    """CREATE CONSTRAINT TRIGGER note_opening AFTER INSERT OR UPDATE ON delivery DEFERRABLE INITIALLY DEFERRED
        FOR EACH ROW WHEN (NEW.state = 'sending') EXECUTE FUNCTION note_opening()""",
)
_OPENED = sa.text("SELECT address, at FROM opened JOIN subscriber ON subscriber.id = subscriber_id")
_TRANSPORT = """\
[transport.{name}]
host = "{host}"
port = {port}
connections = {connections}

"""


class Stalled(Exception):
    """What a scene waits for does not come; the text has the last words of the machines."""


@dataclass(frozen=True, slots=True)
class Plan:
    """How large a scene is."""

    readers: int = 1000
    delay: float = 0.01  # seconds the sink takes for a mail
    connections: int = 4
    batch: int = 100
    pipelining: bool = True


class Machine:
    """A daemon on a machine of its own."""

    def __init__(self, folder: Path, door: int, way: Proxy, config: str, prefix: Sequence[str]) -> None:
        self.door = door
        self.way = way
        self._prefix = prefix
        self._folder = folder
        self._config = folder / "config.toml"
        self._config.write_text(config)
        self._starts = 0
        self._process: subprocess.Popen[bytes] | None = None

    async def start(self) -> None:
        """Starts the daemon, and returns when it is ready."""
        self._starts += 1
        environment = {name: value for name, value in os.environ.items() if not name.startswith("ALERTS_")}
        with self._log().open("wb") as log:
            self._process = subprocess.Popen(  # noqa: ASYNC220 - a thread's child would die with the thread
                [*self._prefix, sys.executable, "-m", "alerts.cli", "--config", self._config, "run"],
                env=environment,
                stdout=log,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                preexec_fn=dying_with_parent(signal.SIGKILL),  # noqa: PLW1509 - it only calls the kernel
            )
        await self.has_said("daemon_ready")

    async def has_said(self, *events: str) -> dict[str, object]:
        """Waits for a line of the log about any of the events, and gives the last such."""
        deadline = time.monotonic() + _PATIENCE
        while not (said := [line for line in self.log() if line["event"] in events]):
            if time.monotonic() > deadline or not self.is_running:
                raise Stalled(f"{' or '.join(events)} was not said\n{self.last_words()}")
            await asyncio.sleep(_LOOK_SECONDS)
        return said[-1]

    @property
    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def worker(self) -> str:
        """The name under which it leases, since its last start."""
        (ready,) = [line for line in self.log() if line["event"] == "daemon_ready"]
        return str(ready["worker"])

    def kill(self) -> float:
        """Kills it as the kernel does, and returns once it is gone; gives when it was alive for the last time."""
        now = time.monotonic()
        self._running().kill()
        self._running().wait()
        return now

    def sleep(self) -> float:
        """Stops it, as a machine that is suspended stops; gives when."""
        self._running().send_signal(signal.SIGSTOP)
        return time.monotonic()

    def wake(self) -> float:
        now = time.monotonic()
        self._running().send_signal(signal.SIGCONT)
        return now

    async def leave(self) -> int:
        """Asks it to end; gives its exit status."""
        self._running().terminate()
        return await asyncio.to_thread(self._running().wait, _PATIENCE)

    def log(self) -> list[dict[str, object]]:
        """What it has said since its last start."""
        lines = self._log().read_bytes().split(b"\n")[:-1]
        return [json.loads(line) for line in lines if line.startswith(b"{")]

    def last_words(self) -> str:
        return f"--- machine {self.door}\n{self._log().read_bytes()[-6000:].decode(errors='replace')}"

    def close(self) -> None:
        if self.is_running:
            self.wake()
            self.kill()

    def _running(self) -> subprocess.Popen[bytes]:
        assert self._process is not None, "it was started"
        return self._process

    def _log(self) -> Path:
        return self._folder / f"daemon-{self._starts}.log"


@dataclass(frozen=True, slots=True)
class Left:
    """When a reader was told that they get no more."""

    at: float  # of the monotonic clock, which the sink's log has
    by_clock: datetime  # the wall's, which the database has


class Stage:
    """A site with its readers, its sink and its machines, and a scene on it in progress."""

    def __init__(
        self, folder: Path, server: Server, url: str, plan: Plan, sink: Sink, stack: AsyncExitStack
    ) -> None:
        self.server = server
        self.plan = plan
        self.machines: list[Machine] = []
        self.fates: list[Fate] = []
        self.problems: list[str] = []
        self.left: dict[str, Left] = {}
        self._doors = itertools.count()
        self._folder = folder
        self._url = url
        self._sink = sink
        self._stack = stack
        self._secret = secrets.token_hex(32)
        self._database = Database(url)
        self._lines: list[Line] = []
        self._taken: Counter[int] = Counter()  # mails by mark
        self._by_door: Counter[tuple[int, int]] = Counter()  # mails by mark and door
        self._door_of: dict[int, int] = {}  # by connection
        self._open: set[int] = set()
        self._owed: set[Mail] = set()
        self._alerts: dict[int, int] = {}  # by mark
        with self._database.begin() as session:
            for statement in _WATCH_OPENINGS:
                session.connection().execute(sa.text(statement))
            now = datetime.now(UTC)
            self._feed = build.a_feed(session, now=now, next_poll_at=now + timedelta(days=1))
            self._ids = build.readers(session, plan.readers, build.a_topic(session, now=now), now=now)
        self._addresses = [f"reader{number}@example.org" for number in range(1, plan.readers + 1)]

    @property
    def part(self) -> int:
        """So many mails that a machine is at work, and so few that the alert is far from its end."""
        return self.plan.readers // 30

    async def machine(
        self, *, is_web: bool = False, slow: float = 0.0, inside: Namespace | None = None
    ) -> Machine:
        """Makes a machine and starts it, in a network namespace if one is given.

        It has a second relay, if that is to be so many seconds `slow`.
        """
        door = next(self._doors)
        folder = self._folder / f"machine-{door}"
        folder.mkdir()
        url = make_url(self._url)
        server = Path(str(url.query["host"])) / ".s.PGSQL.5432"
        way = await self._stack.enter_async_context(proxy(server, inside.far if inside else _HERE))
        through = url.set(query={}, host=way.host, port=way.port).render_as_string()
        port = self._sink.ports[door]
        relays = {"main": (_HERE, port)}
        if slow:
            far = await self._stack.enter_async_context(proxy((_HERE, port)))
            far.delay = slow
            relays["slow"] = (far.host, far.port)
        if inside:
            near = await self._stack.enter_async_context(proxy((_HERE, port), inside.near))
            relays["main"] = (near.host, near.port)
        config = _CONFIG.format(
            folder=folder,
            secret=self._secret,
            database=through,
            transports="".join(
                _TRANSPORT.format(name=name, host=host, port=port, connections=self.plan.connections)
                for name, (host, port) in relays.items()
            ),
            lease=LEASE,
            batch=self.plan.batch,
            web=str(is_web).lower(),
        )
        made = Machine(folder, door, way, config, inside.prefix if inside else [])
        self.machines.append(made)
        self._stack.callback(made.close)
        await made.start()
        return made

    def enter(self, block: AbstractContextManager[T]) -> T:
        """Gives what a block gives, which ends with the scene."""
        return self._stack.enter_context(block)

    async def several(self, count: int) -> list[Machine]:
        """Makes machines, started side by side."""
        return list(await asyncio.gather(*(self.machine() for _ in range(count))))

    def announce(self) -> int:
        """Announces an entry to all readers; gives its mark."""
        mark = len(self._alerts) + 1
        now = datetime.now(UTC)
        with self._database.begin() as session:
            entry = build.an_entry(
                session, self._feed, f"post-{mark}", title=f"News, mark-{mark:04}", now=now
            )
            alert = announce_entry(session, entry, now)
        assert alert is not None
        self._alerts[mark] = alert
        self._owed |= {(mark, address) for address in self._addresses}
        return mark

    async def taken(self, mark: int, count: int, by: Machine | None = None) -> None:
        """Returns once the sink took so many mails of an entry, by the door of one machine if one is named."""
        await self._until(
            lambda: (self._taken[mark] if by is None else self._by_door[mark, by.door]) >= count,
            f"{count} mails of {mark}" + (f" from machine {by.door}" if by else ""),
        )

    async def done(self, mark: int) -> None:
        """Returns once the ledger calls an entry's alert done: what was really mailed, the sink says."""
        await self._until(lambda: self._is_done(mark), f"the end of alert {mark}", look_every=0.1)

    async def quiet(self, machine: Machine) -> None:
        """Returns once the sink has no connection of a machine."""
        await self._until(
            lambda: machine.door not in {self._door_of[each] for each in self._open},
            f"the end of machine {machine.door}'s connections",
        )

    async def befalls(self, machine: Machine, how: str, at: float) -> None:
        """Notes what befell a machine just now, and which mails it had opened and not recorded."""
        await asyncio.sleep(_UNDER_WAY_SECONDS)
        with self._database.begin() as session:
            in_doubt = _unrecorded(session, machine.worker)
        marks = {alert: mark for mark, alert in self._alerts.items()}
        address = dict(zip(self._ids, self._addresses, strict=True))
        mails = frozenset((marks[alert], address[reader]) for alert, reader in in_doubt)
        self.fates.append(Fate(machine.door, at, how, mails))

    def journal_was_read(self, machine: Machine, *, is_in_time: bool) -> None:
        """Notes that a machine's journal was read before another took its batches over, if it was."""
        self._change_fate(machine, is_journal_read=is_in_time)

    def woke(self, machine: Machine, at: float) -> None:
        """Notes when a machine went on: nothing more may come over the connections it had."""
        self._change_fate(machine, is_awake_again_at=at)

    def expect(self, is_so: bool, otherwise: str) -> None:
        if not is_so:
            self.problems.append(otherwise)

    def is_at_work(self, mark: int, machine: Machine) -> bool:
        return self._by_door[mark, machine.door] > 0

    def _change_fate(self, machine: Machine, **facts: Any) -> None:
        self.fates = [replace(each, **facts) if each.door == machine.door else each for each in self.fates]

    async def unsubscribe(self, machine: Machine, mark: int, count: int) -> None:
        """Has readers leave by the one click of the mail about an entry, some at a time; notes when each was told so."""
        port = (await machine.has_said("pages_served"))["port"]
        keys = tokens.derive(self._secret.encode(), [])
        leaving = iter(random.Random(7).sample(range(self.plan.readers), count))

        async def some() -> None:
            for number in leaving:
                token = tokens.make(keys, Purpose.MANAGE, self._ids[number], self._alerts[mark], keys.current)
                form = {"List-Unsubscribe": "One-Click"}
                async with client.post(f"http://127.0.0.1:{port}/u/{token}", data=form) as answer:
                    self.expect(
                        answer.status == HTTPStatus.OK, f"an unsubscribe was answered {answer.status}"
                    )
                self.left[self._addresses[number]] = Left(time.monotonic(), datetime.now(UTC))

        async with aiohttp.ClientSession() as client, asyncio.TaskGroup() as tasks:
            for _ in range(_LEAVING_AT_ONCE):
                tasks.create_task(some())

    def verdict(self) -> Verdict:
        """Judges the whole scene."""
        self._read()
        found = judge(
            self._lines, frozenset(self._owed), self.fates, {who: each.at for who, each in self.left.items()}
        )
        with self._database.begin() as session:
            states = Counter(session.exec(select(Delivery.state)))
            late = [
                address
                for address, opened_at in session.connection().execute(_OPENED)
                if address in self.left and opened_at > self.left[address].by_clock
            ]
        mailed = {mail for mail in self._owed if mail[1] not in self.left}
        skipped = states.pop(DeliveryState.SKIPPED, 0)
        self.expect(
            not late, f"{len(late)} mails were opened after their reader's unsubscribe was acknowledged"
        )
        self.expect(set(states) <= {DeliveryState.ACCEPTED}, f"the ledger ends with {dict(states)}")
        self.expect(states.total() + skipped == len(self._owed), "the ledger does not know of all")
        self.expect(states.total() >= len(mailed), "the ledger skipped somebody who had not left")
        return replace(found, problems=(*self.problems, *found.problems))

    def close(self) -> None:
        self._database.close()

    def _is_done(self, mark: int) -> bool:
        with self._database.begin() as session:
            return session.get_one(Alert, self._alerts[mark]).state == AlertState.DONE

    async def _until(self, holds: Callable[[], bool], what: str, look_every: float = _LOOK_SECONDS) -> None:
        deadline = time.monotonic() + _PATIENCE
        while not self._holds_now(holds):
            if time.monotonic() > deadline:
                words = "\n".join(each.last_words() for each in self.machines)
                raise Stalled(f"{what} did not come; taken: {dict(self._taken)}\n{words}")
            await asyncio.sleep(look_every)

    def _holds_now(self, holds: Callable[[], bool]) -> bool:
        self._read()
        return holds()

    def _read(self) -> None:
        for line in self._sink.news():
            self._lines.append(line)
            if isinstance(line, Opened):
                self._door_of[line.connection] = line.door
                self._open.add(line.connection)
            elif isinstance(line, Accepted):
                self._taken[line.mark] += 1
                self._by_door[line.mark, self._door_of[line.connection]] += 1
            else:
                self._open.discard(line.connection)


def _unrecorded(session: Session, worker: str) -> list[tuple[int, int]]:
    query = (
        select(Delivery.alert_id, Delivery.subscriber_id)
        .join(
            Batch,
            (col(Batch.alert_id) == Delivery.alert_id)
            & col(Delivery.subscriber_id).between(col(Batch.first_id), col(Batch.last_id)),
        )
        .where(Batch.worker == worker, Delivery.state == DeliveryState.SENDING)
    )
    return [(alert, reader) for alert, reader in session.exec(query)]
