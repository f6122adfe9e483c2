"""The wire alone: mails a processor second of the sender, into two sinks; and a server that is far away."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager

from bench import sinks
from bench.clients import (
    AIOSMTPLIB,
    AIOSMTPLIB_BYTES,
    NODEMAILER,
    NODEMAILER_RAW,
    NODEMAILER_SIGNED,
    OURS,
    OURS_SIGNED,
    OURS_SIGNED_BY_TWO,
    SMTP_SOURCE,
    SMTPLIB,
    SMTPLIB_BYTES,
    Bench,
    Client,
)
from bench.processes import Failed, Run
from bench.report import Figures, Goal, Section
from bench.sinks import Manners

CLIENTS = (
    OURS,
    SMTP_SOURCE,
    NODEMAILER,
    NODEMAILER_RAW,
    AIOSMTPLIB,
    AIOSMTPLIB_BYTES,
    SMTPLIB,
    SMTPLIB_BYTES,
)
SIGNED = (OURS_SIGNED, OURS_SIGNED_BY_TWO, NODEMAILER_SIGNED)
CONNECTIONS = 10
AWAY_MS = 20.0
_AWAY_RATES = {OURS: 480, NODEMAILER: 210, AIOSMTPLIB: 95, AIOSMTPLIB_BYTES: 110}

Rounds = dict[Client, list[Run]]
OpenSink = Callable[[Bench], AbstractContextManager[tuple[int, Callable[[int], None]]]]


def into_smtp_sink(bench: Bench, command: str) -> Section:
    """Mails a processor second into Postfix's smtp-sink, which is the bottleneck."""
    section = Section(_title("Postfix's smtp-sink"), command)
    if bench.tools.smtp_sink is None:
        why = f"postfix is missing: {bench.tools.missing.get('postfix', '')}"
        return _blank(section, why, (NODEMAILER, 25.0), (SMTP_SOURCE, 1.2))
    return _unsigned(section, bench, _open_smtp_sink, {NODEMAILER: 25.0, SMTP_SOURCE: 1.2})


def into_lean_sink(bench: Bench, command: str) -> Section:
    """The same into our own sink, which costs less than any client here."""
    section = Section(_title("our lean sink (bench/sink.c)"), command)
    if why := _no_sink(bench):
        return _blank(section, why, (NODEMAILER, 50.0), (SMTP_SOURCE, 2.0))
    return _unsigned(section, bench, _open_lean_sink, {NODEMAILER: 50.0, SMTP_SOURCE: 2.0})


def far_away(bench: Bench, command: str) -> Section:
    """Mails a second to a server 20 ms away: connections / round trip is all that one trip a mail can give."""
    section = Section(
        f"A server {AWAY_MS:.0f} ms away (our lean sink holds each reply back), {CONNECTIONS} connections",
        command,
    )
    share = "mails a second, of connections / round trip"
    if why := _no_sink(bench):
        section.goals.append(Goal(share, 0.9, (), missing=why))
        return _blank(section, why, (NODEMAILER, 1.9), (AIOSMTPLIB, 3.8))
    rounds = _measure(bench, _open_far_sink, tuple(_AWAY_RATES))
    most = CONNECTIONS / (AWAY_MS / 1e3)
    section.goals.append(Goal(share, 0.9, [run.rate / most for run in rounds[OURS]]))
    for client, wanted in ((NODEMAILER, 1.9), (AIOSMTPLIB, 3.8)):
        values = [ours.rate / peer.rate for ours, peer in zip(rounds[OURS], rounds[client], strict=False)]
        section.goals.append(
            Goal(f"mails a second : {client.name}", wanted, values, "x", missing=bench.missing(client))
        )
    section.headings = ("mails/s", "round trips a mail")
    for client, runs in rounds.items():
        if runs:
            trips = [most / run.rate for run in runs]
            section.figures.append(Figures(client.name, ([run.rate for run in runs], trips)))
    return section


def figures_of(rounds: Rounds) -> Iterator[Figures]:
    """Gives the lines of a section that has `HEADINGS`."""
    for client, runs in rounds.items():
        if runs:
            columns = (
                [run.rate for run in runs],
                [run.cpu_rate for run in runs],
                [run.cpu / run.mails * 1e6 for run in runs],
            )
            yield Figures(client.name, columns)


HEADINGS = ("mails/s", "mails/CPU s", "CPU us/mail")


def ratios(rounds: Rounds, peer: Client, ours: Client = OURS) -> list[float]:
    """Gives ours : peer in mails a processor second, for each round."""
    return [one.cpu_rate / other.cpu_rate for one, other in zip(rounds[ours], rounds[peer], strict=False)]


def _title(sink: str) -> str:
    return f"The wire alone, unsigned, into {sink}: {CONNECTIONS} connections, sender on a core of its own"


def _blank(section: Section, why: str, *goals: tuple[Client, float]) -> Section:
    section.goals += [Goal(_ratio_name(peer), wanted, (), "x", missing=why) for peer, wanted in goals]
    return section


def _no_sink(bench: Bench) -> str:
    if bench.tools.sink is not None:
        return ""
    return f"our sink is missing: {bench.tools.missing.get('our sink', '')}"


def _ratio_name(peer: Client) -> str:
    return f"mails a CPU second : {peer.name}"


def _unsigned(section: Section, bench: Bench, opened: OpenSink, wanted: dict[Client, float]) -> Section:
    rounds = _measure(bench, opened, CLIENTS)
    for peer, least in wanted.items():
        values = ratios(rounds, peer)
        section.goals.append(Goal(_ratio_name(peer), least, values, "x", missing=bench.missing(peer)))
    section.headings = HEADINGS
    section.figures += figures_of(rounds)
    return section


def signed(bench: Bench, command: str) -> Section:
    """The same with RSA-2048 DKIM, beside nodemailer with its own; and what a second signing thread brings."""
    section = Section(
        f"The wire alone, signed with RSA-2048, into our lean sink: {CONNECTIONS} connections",
        command,
        headings=HEADINGS,
    )
    beside, threads = (
        _ratio_name(NODEMAILER_SIGNED),
        "mails a second : two signing threads : one, on both cores",
    )
    if why := _no_sink(bench) or bench.unsigned:
        section.goals += [Goal(beside, 6.0, (), "x", missing=why), Goal(threads, 1.5, (), "x", missing=why)]
        return section
    rounds = _measure(bench, _open_lean_sink, (OURS_SIGNED, NODEMAILER_SIGNED))
    both = _measure(bench, _open_lean_sink, (OURS_SIGNED, OURS_SIGNED_BY_TWO), on=bench.cores.both)
    values = ratios(rounds, NODEMAILER_SIGNED, OURS_SIGNED)
    section.goals.append(Goal(beside, 6.0, values, "x", missing=bench.missing(NODEMAILER_SIGNED)))
    pairs = zip(both[OURS_SIGNED_BY_TWO], both[OURS_SIGNED], strict=True)
    section.goals.append(Goal(threads, 1.5, [two.rate / one.rate for two, one in pairs], "x"))
    section.figures += figures_of(rounds)
    for line in figures_of(both):
        section.figures.append(Figures(f"{line.what}, both cores", line.columns))
    return section


def _measure(
    bench: Bench, opened: OpenSink, clients: Sequence[Client], on: frozenset[int] | None = None
) -> Rounds:
    """Has the clients send in turn, round by round, and counts that each mail came once."""
    rounds: Rounds = {client: [] for client in clients}
    for _ in range(bench.sizes.rounds):
        for client in clients:
            if bench.missing(client):
                continue
            rate = _AWAY_RATES[client] if opened is _open_far_sink else client.rate
            count = bench.count(client, rate)
            with opened(bench) as (port, expect):
                rounds[client].append(bench.run(client, port, count, on=on))
                expect(bench.sent(client, count))
    return rounds


@contextmanager
def _open_lean_sink(bench: Bench) -> Iterator[tuple[int, Callable[[int], None]]]:
    with _our_sink(bench, Manners()) as sink:
        yield sink


@contextmanager
def _open_far_sink(bench: Bench) -> Iterator[tuple[int, Callable[[int], None]]]:
    with _our_sink(bench, Manners(hold=AWAY_MS)) as sink:
        yield sink


@contextmanager
def _our_sink(bench: Bench, manners: Manners) -> Iterator[tuple[int, Callable[[int], None]]]:
    assert bench.tools.sink is not None
    with sinks.lean_sink(bench.tools.sink, bench.cores.others, manners) as sink:
        yield sink.port, lambda mails: _must_be(mails, sink.counts().mails)


@contextmanager
def _open_smtp_sink(bench: Bench) -> Iterator[tuple[int, Callable[[int], None]]]:
    assert bench.tools.smtp_sink is not None
    with sinks.smtp_sink(bench.tools.smtp_sink, bench.cores.others) as sink:
        yield sink.port, lambda mails: _must_be(mails, sink.mails())


def _must_be(sent: int, counted: int) -> None:
    if sent != counted:
        raise Failed(f"{sent} mails were sent, and the sink counted {counted}")
