"""`make chaos`: kills the daemon hundreds of times while it mails, and prints what that did.

Exit status 1 when a promise was broken. The last line is the same as one JSON object.
"""

import argparse
import json
import logging
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

import structlog
from rich.console import Console
from rich.table import Table

from chaos.audit import Report
from chaos.supervisor import Plan, Stalled, all_points, blows, run
from fakes import postgres


def main() -> int:
    arguments = _arguments()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    console = Console(stderr=True)
    names = ("sqlite", "postgres") if arguments.database == "both" else (arguments.database,)
    reports: dict[str, Report] = {}
    for name in names:
        folder = Path(tempfile.mkdtemp(prefix=f"alerts-chaos-{name}-"))
        begun = time.monotonic()

        def tell(text: str, name: str = name, begun: float = begun) -> None:
            console.print(f"{name:8} {time.monotonic() - begun:6.0f} s  {text}", highlight=False)

        plan_blows = blows(arguments.kills, all_points() * arguments.rounds, arguments.seed)
        try:
            with _database(name, folder) as url:
                plan = Plan(
                    url,
                    arguments.readers,
                    plan_blows,
                    delay=arguments.delay,
                    pipelining=arguments.pipelining,
                    visitors=arguments.visitors,
                    tell=tell,
                )
                reports[name] = run(plan, folder)
        except Stalled as error:
            console.print(f"{error}\nEverything that was written is in {folder}", markup=False)
            return 1
        if reports[name].problems:
            console.print(f"Everything that was written is in {folder}")
        else:
            shutil.rmtree(folder)
    console.print(_table(reports))
    sys.stdout.write(json.dumps({name: asdict(report) for name, report in reports.items()}) + "\n")
    return int(any(report.problems for report in reports.values()))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make chaos ARGS=...", description=__doc__)
    parser.add_argument("--database", choices=["sqlite", "postgres", "both"], default="both")
    parser.add_argument("--kills", type=int, default=100, help="at random moments, per database")
    parser.add_argument("--rounds", type=int, default=1, help="over all named points, per database")
    parser.add_argument("--readers", type=int, default=20_000)
    parser.add_argument("--visitors", type=int, default=1, help="who sign up before each kill")
    parser.add_argument("--delay", type=float, default=0.002, help="seconds the SMTP server takes for a mail")
    parser.add_argument("--pipelining", action=argparse.BooleanOptionalAction, default=True)
    parser.add_argument("--seed", type=int, default=time.time_ns() % 100_000)
    return parser.parse_args()


@contextmanager
def _database(name: str, folder: Path) -> Iterator[str]:
    if name == "sqlite":
        yield f"sqlite:///{folder}/alerts.db"
        return
    with postgres.server() as server, server.database() as url:
        yield url


def _table(reports: dict[str, Report]) -> Table:
    table = Table("", *reports, title="Killed while mailing")
    rows: dict[str, Callable[[Report], object]] = {
        "readers": lambda report: report.readers,
        "mails owed": lambda report: report.owed,
        "mails accepted": lambda report: report.accepted,
        "kills": lambda report: report.kills,
        "... with mail in flight": lambda report: report.counted,
        "lost": lambda report: report.lost,
        "repeated": lambda report: report.repeated,
        "worst repeated by one kill": lambda report: (
            f"{report.worst_repeated} ({report.connections} connections)"
        ),
        "repeats byte-identical": lambda report: "yes" if report.is_byte_identical else "no",
        "to somebody unexpected": lambda report: report.unexpected,
        "confirmation mails": lambda report: report.notices,
        "... repeated": lambda report: report.notices_repeated,
        "... in doubt twice": lambda report: report.notices_unknown,
    }
    for name, cell in rows.items():
        table.add_row(name, *(f"{cell(report)}" for report in reports.values()))
    for name, report in reports.items():
        for problem in report.problems:
            table.add_row(f"[red]{name}[/]", problem)
    return table


if __name__ == "__main__":
    sys.exit(main())
