"""A real Postfix on the same two cores: the whole service beside smtp-source, which writes no ledger."""

import time

from bench.clients import SMTP_SOURCE, Bench
from bench.endtoend import publish
from bench.newsfeed import NewsFeed
from bench.processes import Failed, Run
from bench.report import Figures, Goal, Section
from bench.site import Wishes, site
from fakes import postfix
from fakes.postfix import Postfix

_CONNECTIONS = 10
_RATE = 1_000
_DELIVER_SECONDS = 120


def real_postfix(bench: Bench, command: str) -> Section:
    """Mails a second into Postfix, ledger on SQLite included, and our processor time for each."""
    title = (
        f"A real Postfix (discard transport, queue on the disk) on the same cores, {_CONNECTIONS} connections"
    )
    section = Section(title, command)
    section.headings = ("mails/s", "sender CPU us/mail")
    ours: list[Run] = []
    source: list[Run] = []
    why = bench.missing(SMTP_SOURCE)
    try:
        for _ in range(0 if why else bench.sizes.rounds):
            with postfix.postfix() as relay:  # a new one: what lies in its queue would weigh on the next
                source.append(_source(bench, relay))
            with postfix.postfix() as relay:
                ours.append(_ours(bench, relay, len(ours)))
    except postfix.CannotStart as error:
        why = f"Postfix cannot be started: {error}"
        ours, source = [], []
    rates = [one.rate / other.rate for one, other in zip(ours, source, strict=True)]
    costs = [run.cpu / run.mails * 1e6 for run in ours]
    section.goals += [
        Goal("mails a second, ledger included : smtp-source", 0.8, rates, "x", missing=why),
        Goal("our processor time a mail, ledger included", 150, costs, " us", at_most=True, missing=why),
    ]
    for name, runs in (("alerts, the daemon on SQLite", ours), (SMTP_SOURCE.name, source)):
        if runs:
            cpu = [run.cpu / run.mails * 1e6 for run in runs]
            section.figures.append(Figures(name, ([run.rate for run in runs], cpu)))
    section.notes.append(
        "Ours from the feed's answer until all is recorded; smtp-source from its start to its end."
    )
    return section


def _source(bench: Bench, relay: Postfix) -> Run:
    count = int(_RATE * bench.sizes.seconds * 4)
    run = bench.run(SMTP_SOURCE, relay.port, count, connections=_CONNECTIONS, on=bench.cores.both)
    _await_sent(relay, count)
    return run


def _ours(bench: Bench, relay: Postfix, number: int) -> Run:
    count = int(_RATE * bench.sizes.seconds * 4)
    folder = bench.folder / f"postfix-{number}"
    url = f"sqlite:///{bench.folder / f'postfix-{number}.db'}"
    with NewsFeed() as feed:
        wishes = Wishes(url, count, relay.port, feed.url, _CONNECTIONS)
        with site(folder, wishes, bench.cores.both) as made:
            made.start()
            figures = publish(made, feed, lambda: count)  # the ledger alone says when it is done
            if made.accepted() != count:
                raise Failed(f"the ledger knows {made.accepted()} accepted mails of {count}")
    _await_sent(relay, count)
    if complaints := relay.complaints():
        raise Failed(f"Postfix complains: {complaints[0]}")
    return Run(count, figures["recorded"], figures["cpu"])


def _await_sent(relay: Postfix, count: int) -> None:
    """Waits until Postfix has delivered all to nowhere; each must be there once."""
    until = time.monotonic() + _DELIVER_SECONDS
    while len(relay.sent()) < count:
        if time.monotonic() > until:
            raise Failed(f"Postfix delivered {len(relay.sent())} mails of {count}")
        time.sleep(0.2)
    sent = relay.sent()
    if len(set(sent)) != count or len(sent) != count:
        raise Failed(f"Postfix delivered {len(sent)} mails to {len(set(sent))} of {count} recipients")
