"""Many machines on one PostgreSQL, and what befalls them: scenes that end in a verdict from the sink's log.

    python -m chaos.machines [--readers 20000] [--no-pipelining] [SCENE ...]

Each machine is a daemon with a state folder of its own, so that no other reads its journal, and with a way
of its own to the database, over which the scene rules.
"""

import argparse
import asyncio
import json
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import asdict, replace
from pathlib import Path

from rich.console import Console
from rich.table import Table
from sqlalchemy import make_url

from chaos.fates import Verdict
from chaos.processes import Sink
from chaos.stage import DOORS, LEASE, Plan, Stage, Stalled
from fakes import postgres
from fakes.netns import CannotMake, namespace
from fakes.postgres import Server

_STAYING = 250


async def join_and_leave(stage: Stage) -> None:
    """Machines join and leave in order while alerts go out: nothing is repeated."""
    one, two = await stage.several(2)
    first = stage.announce()
    await stage.taken(first, stage.part, one)
    three, status = await asyncio.gather(stage.machine(), one.leave())
    stage.expect(status == 0, f"a machine that left ended with {status}")
    second = stage.announce()
    await stage.taken(second, stage.part, three)
    status = await two.leave()
    stage.expect(status == 0, f"a machine that left ended with {status}")
    await stage.done(first)
    await stage.done(second)


async def killed(stage: Stage) -> None:
    """One machine is lost with its disk, one daemon is killed and comes back on its own."""
    lost, back = await stage.several(2)
    mark = stage.announce()
    await stage.taken(mark, stage.part, lost)
    await stage.taken(mark, stage.part, back)
    await stage.befalls(lost, "lost with its journal", lost.kill())
    at = back.kill()
    await stage.befalls(back, "killed and back", at)
    await back.start()
    stage.journal_was_read(back, is_in_time=time.monotonic() - at < LEASE)
    await stage.done(mark)


async def slept(stage: Stage) -> None:
    """One machine is stopped for longer than its lease, and wakes when another has done its work."""
    one, _ = await stage.several(2)
    mark = stage.announce()
    await stage.taken(mark, stage.part, one)
    await stage.befalls(one, "stopped for longer than its lease", one.sleep())
    await stage.done(mark)
    stage.woke(one, one.wake())
    # Stopped in the middle of a transaction, it finds that the database has given it up.
    await one.has_said("lease_lost", "delivery_interrupted")
    second = stage.announce()
    await stage.done(second)
    stage.expect(stage.is_at_work(second, one), "the machine that woke does nothing")


async def without_database(stage: Stage) -> None:
    """Three machines lose the database: one goes on at once, by a new connection, and does the others' work."""
    cut, halved, held = await stage.several(3)
    mark = stage.announce()
    for each in (cut, halved, held):
        await stage.taken(mark, stage.part, each)
    halved.way.half_close()
    cut.way.shut()
    held.way.hold()
    now = time.monotonic()
    await asyncio.gather(
        stage.befalls(cut, "cut from the database for longer than its lease", now),
        stage.befalls(held, "its packets were lost for longer than its lease", now),
    )
    await stage.done(mark)
    cut.way.open()
    held.way.open()
    second = stage.announce()
    for each in (cut, halved, held):
        await stage.taken(second, 1, each)
    await stage.done(second)


async def restarted(stage: Stage) -> None:
    """PostgreSQL is restarted, in order and then as after a crash: all machines go on, nothing is repeated."""
    await stage.several(2)
    mark = stage.announce()
    await stage.taken(mark, stage.part)
    stage.server.restart(signal.SIGINT)
    await stage.taken(mark, stage.plan.readers // 2)
    stage.server.restart(signal.SIGQUIT)
    await stage.done(mark)


async def left(stage: Stage) -> None:
    """Readers leave through one machine's pages, while others mail them through a fast relay and a slow one."""
    web, *_ = await asyncio.gather(stage.machine(is_web=True, slow=0.06), stage.machine(slow=0.06))
    mark = stage.announce()
    await stage.taken(mark, stage.part)
    await stage.unsubscribe(web, mark, stage.plan.readers // 3)
    await stage.done(mark)


async def crowd_left(stage: Stage) -> None:
    """All but a few readers leave through one machine's pages while three mail them, each mail taking its time.

    `crowd_left --readers 10250 --delay 1` is the promise's own measure: a mail a second, and 10,000 who leave.
    """
    # Some for each machine, and each so large that those who stay keep all connections busy.
    stage.plan = replace(stage.plan, batch=max(1, stage.plan.readers // 12))
    web, *_ = await asyncio.gather(stage.machine(is_web=True), stage.machine(), stage.machine())
    mark = stage.announce()
    for each in stage.machines:
        await stage.taken(mark, 1, each)
    await stage.unsubscribe(web, mark, stage.plan.readers - min(_STAYING, stage.plan.readers // 2))
    await stage.done(mark)


async def vanished(stage: Stage) -> None:
    """The packets between one machine and the database vanish, for longer than either end believes in the other."""
    inside = stage.enter(namespace())
    one, _ = await asyncio.gather(stage.machine(inside=inside), stage.machine())
    mark = stage.announce()
    await stage.taken(mark, stage.part, one)
    inside.lose()
    await stage.befalls(one, "its packets vanished for longer than its lease", time.monotonic())
    await stage.done(mark)
    await one.has_said("delivery_interrupted")  # the kernel has given the connections up
    inside.find()
    second = stage.announce()
    await stage.taken(second, 1, one)
    await stage.done(second)


SCENES = {each.__name__: each for each in (join_and_leave, killed, slept, without_database, restarted, left)}
# What needs root, or half a minute.
MORE_SCENES = {each.__name__: each for each in (vanished, crowd_left)}


async def play(name: str, server: Server, folder: Path, plan: Plan) -> Verdict:
    """Plays a scene on a new database to its end; raises Stalled when a machine does not get on by itself."""
    async with AsyncExitStack() as stack:
        url = stack.enter_context(server.database())
        # Off for tests, and an acknowledged commit could then be lost by the scene's own restart.
        server.execute(f"ALTER DATABASE {make_url(url).database} SET synchronous_commit = on")
        sink = stack.enter_context(Sink(folder, plan.delay, pipelining=plan.pipelining, doors=DOORS))
        stage = Stage(folder, server, url, plan, sink, stack)
        stack.callback(stage.close)
        await (SCENES | MORE_SCENES)[name](stage)
        return stage.verdict()


def main() -> int:
    arguments = _arguments()
    console = Console(stderr=True)
    plan = Plan(readers=arguments.readers, delay=arguments.delay, pipelining=arguments.pipelining)
    verdicts: dict[str, Verdict] = {}
    with postgres.server() as server:
        for name in arguments.scenes or [*SCENES, *MORE_SCENES]:
            folder = Path(tempfile.mkdtemp(prefix=f"alerts-machines-{name}-"))
            begun = time.monotonic()
            try:
                verdicts[name] = asyncio.run(play(name, server, folder, plan))
            except CannotMake as error:
                console.print(f"{name} is left out: {error}", markup=False)
                continue
            except Stalled as error:
                console.print(f"{name}: {error}\nEverything that was written is in {folder}", markup=False)
                return 1
            console.print(f"{name:17} {time.monotonic() - begun:4.0f} s  {verdicts[name]}", highlight=False)
            if not verdicts[name].problems:
                shutil.rmtree(folder)
    console.print(_table(verdicts))
    sys.stdout.write(json.dumps({name: asdict(each) for name, each in verdicts.items()}) + "\n")
    return int(any(each.problems for each in verdicts.values()))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m chaos.machines", description=__doc__)
    parser.add_argument("scenes", nargs="*", metavar="SCENE", choices=[*SCENES, *MORE_SCENES, []])
    parser.add_argument("--readers", type=int, default=10_000)
    parser.add_argument("--delay", type=float, default=0.002, help="seconds the SMTP server takes for a mail")
    parser.add_argument("--pipelining", action=argparse.BooleanOptionalAction, default=True)
    return parser.parse_args()


def _table(verdicts: Mapping[str, Verdict]) -> Table:
    table = Table("", "owed", "accepted", "repeated", "allowed", title="Many machines on one PostgreSQL")
    for name, each in verdicts.items():
        table.add_row(name, *map(str, (each.owed, each.accepted, each.repeated, each.allowed)))
        for problem in each.problems:
            table.add_row(f"[red]{name}[/]", problem)
    return table


if __name__ == "__main__":
    sys.exit(main())
