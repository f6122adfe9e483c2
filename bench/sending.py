"""The sending path beside what people use for it, on this machine, in one run: what is wanted, and what was measured.

    PYTHONPATH=tests .venv/bin/python -m bench.sending
    PYTHONPATH=tests .venv/bin/python -m bench.sending lean-sink far-away --rounds 5

Ratios are taken between runs of one round, right after one another. What is missing on this machine leaves its
goals blank.
"""

import argparse
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from bench import clients, install, processes, report, wire
from bench.clients import Bench
from bench.report import Section

ROWS: dict[str, Callable[[Bench, str], Section]] = {
    "smtp-sink": wire.into_smtp_sink,
    "lean-sink": wire.into_lean_sink,
    "far-away": wire.far_away,
}
_HERE = Path(__file__).parent


def main() -> None:
    options = _options()
    tools = install.tools(options.cache.resolve())
    with tempfile.TemporaryDirectory(prefix="alerts-bench-", dir=options.folder) as folder:
        bench = Bench(tools, processes.cores(), Path(folder), options.rounds, options.seconds)
        machine = f"{report.machine()}\n{clients.versions(tools)}"
        _check(bench)
        sections = []
        for row in options.rows or ROWS:
            sections.append(ROWS[row](bench, _command(row)))
            print(report.show(sections[-1]), flush=True)
    print(report.summary(sections, machine))


def _check(bench: Bench) -> None:
    """Lets no figure come from mails that are not as they must be."""
    if bench.tools.sink is None:
        print("No mail is compared with what its reader is owed: our sink is missing.")
        return
    for client in wire.CLIENTS:
        if not bench.missing(client):
            bench.check(client)
    print(f"Each client's mails came once and as they must: {len(wire.CLIENTS)} clients.", flush=True)


def _command(row: str) -> str:
    asked = [word for word in sys.argv[1:] if word not in ROWS]
    return " ".join(["PYTHONPATH=tests .venv/bin/python -m bench.sending", row, *asked])


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("rows", nargs="*", choices=[*ROWS, []], metavar="row", help=f"of {', '.join(ROWS)}; all when none")
    parser.add_argument("--rounds", type=int, default=3, help="of each comparison; the median counts")
    parser.add_argument("--seconds", type=float, default=1.5, help="about as long one client sends in one round")
    parser.add_argument("--cache", type=Path, default=_HERE / ".cache", help="where the others are installed")
    parser.add_argument("--folder", type=Path, help="for databases and journals; the system's for temporary files")
    return parser.parse_args()


if __name__ == "__main__":
    main()
