"""Several daemons on one PostgreSQL, with a slow relay: twice the daemons, twice the mails."""

from statistics import median

from bench.clients import Bench
from bench.endtoend import Case, Delivered, databases, delivered
from bench.report import Figures, Goal, Section

COUNTS = (1, 2, 4)
_WORK_MS = 20.0
_CONNECTIONS = 10
_NEARLY = 0.8  # of as many times the mails as there are daemons


def workers(bench: Bench, command: str) -> Section:
    """Mails a second of 1, 2 and 4 daemons against a relay that takes 20 ms a mail on each connection."""
    title = f"Daemons on one PostgreSQL; the relay takes {_WORK_MS:.0f} ms a mail, {_CONNECTIONS} connections each"
    section = Section(title, command, headings=("mails/s", "all recorded, s", "CPU us/mail, all daemons"))
    runs: dict[int, list[Delivered]] = {count: [] for count in COUNTS}
    with databases(bench) as found:
        why = ""
        if bench.tools.sink is None:
            why = f"our sink is missing: {bench.tools.missing.get('our sink', '')}"
        elif not found.has("postgres"):
            why = found.missing["postgres"]
        for _ in range(0 if why else bench.sizes.large_rounds):
            for count, each in runs.items():
                case = Case(
                    bench.sizes.workers_readers * count,
                    daemons=count,
                    connections=_CONNECTIONS,
                    work_ms=_WORK_MS,
                )
                with found.new("postgres") as url:
                    each.append(delivered(bench, url, case))
    for count in COUNTS[1:]:
        pairs = zip(runs[count], runs[1], strict=True)
        values = [many.wire_rate / one.wire_rate for many, one in pairs]
        section.goals.append(
            Goal(f"mails a second : {count} daemons : one", _NEARLY * count, values, "x", missing=why)
        )
    for count, each in runs.items():
        if each:
            cpu = [run.cpu / run.readers * 1e6 for run in each]
            columns = ([run.wire_rate for run in each], [run.recorded for run in each], cpu)
            section.figures.append(Figures(f"daemons: {count}", columns))
    if runs[1]:
        most = _CONNECTIONS * 1_000 / _WORK_MS
        share = median(run.wire_rate for run in runs[1]) / most
        section.notes.append(
            f"One daemon's connections can carry {most:,.0f} mails a second; it used {share:.0%}."
        )
    return section
