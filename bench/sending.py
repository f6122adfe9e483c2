"""The sending path beside what people use for it, on this machine, in one run: what is wanted, and what was measured.

    PYTHONPATH=tests .venv/bin/python -m bench.sending
    PYTHONPATH=tests .venv/bin/python -m bench.sending lean-sink far-away --rounds 5

Ratios are taken between runs of one round, right after one another. What is missing on this machine leaves its
goals blank.
"""

import argparse
import signal
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from bench import clients, endtoend, install, processes, relay, report, wire, workers
from bench.clients import Bench, Sizes
from bench.processes import Failed
from bench.report import Section

ROWS: dict[str, Callable[[Bench, str], Section]] = {
    "smtp-sink": wire.into_smtp_sink,
    "lean-sink": wire.into_lean_sink,
    "far-away": wire.far_away,
    "postfix": relay.real_postfix,
    "signed": wire.signed,
    "end-to-end": endtoend.end_to_end,
    "end-to-end-signed": endtoend.signed,
    "workers": workers.workers,
    "million": endtoend.million,
}
_LONG = ("million",)  # only when asked for
_HERE = Path(__file__).parent


def main() -> None:
    options = _options()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # what was started is ended then, too
    tools = install.tools(options.cache.resolve())
    with tempfile.TemporaryDirectory(prefix="alerts-bench-", dir=options.folder) as folder:
        bench = Bench(tools, processes.cores(), Path(folder), _sizes(options))
        machine = f"{report.machine()}\n{clients.versions(tools)}"
        _check(bench)
        sections, failed = [], []
        for row in options.rows or [row for row in ROWS if row not in _LONG]:
            try:
                sections.append(ROWS[row](bench, _command(row)))
            except Failed as error:  # the figures of the others are as good without it
                failed.append(f"{row} FAILED: {error}")
                print(f"{failed[-1]}\n", flush=True)
            else:
                print(report.show(sections[-1]), flush=True)
    print("\n".join([report.summary(sections, machine), *failed]))
    sys.exit(bool(failed))


def _check(bench: Bench) -> None:
    """Lets no figure come from mails that are not as they must be."""
    if bench.tools.sink is None:
        print("No mail is compared with what its reader is owed: our sink is missing.")
        return
    checked = [client for client in (*wire.CLIENTS, *wire.SIGNED) if not bench.missing(client)]
    for client in checked:
        bench.check(client)
    bench.check_plainly(clients.OURS)
    print(f"{len(checked)} clients: each mail came once, and as it must.", flush=True)


def _command(row: str) -> str:
    asked = [word for word in sys.argv[1:] if word not in ROWS]
    return " ".join(["PYTHONPATH=tests .venv/bin/python -m bench.sending", row, *asked])


def _sizes(options: argparse.Namespace) -> Sizes:
    return Sizes(
        rounds=options.rounds,
        large_rounds=options.large_rounds,
        seconds=options.seconds,
        readers=tuple(options.readers or (10_000, 100_000)),
        naive=options.naive,
        workers_readers=options.workers_readers,
    )


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    listed = ", ".join(ROWS)
    parser.add_argument("rows", nargs="*", metavar="row", help=f"of {listed}; all but the last when none")
    parser.add_argument("--rounds", type=int, default=3, help="of each comparison; the median counts")
    parser.add_argument("--large-rounds", type=int, default=1, help="with more than the fewest readers")
    parser.add_argument("--seconds", type=float, default=1.0, help="about as long a client sends in a round")
    parser.add_argument(
        "--readers", type=int, action="append", help="of the whole service; 10000 and 100000 when not given"
    )
    parser.add_argument("--naive", type=int, default=1_500, help="readers of the naive service")
    parser.add_argument(
        "--workers-readers", type=int, default=3_000, help="for each daemon on one PostgreSQL"
    )
    parser.add_argument("--cache", type=Path, default=_HERE / ".cache", help="where the others are installed")
    parser.add_argument("--folder", type=Path, help="for databases and journals, instead of the system's own")
    options = parser.parse_args()
    if unknown := set(options.rows) - set(ROWS):
        parser.error(f"there is no row {', '.join(sorted(unknown))}; there are {listed}")
    return options


if __name__ == "__main__":
    main()
