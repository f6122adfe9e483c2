"""The gate before a chunk: how many mails may leave now, by which transport, and why a reader must wait.

Rates are claimed in the transaction that opens the readers, so they hold over all machines and restarts. Where no
rate is set and no destination is stopped there is no gate, and it costs nothing.
"""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from sqlmodel import Session

from alerts.dispatch import breakers, spent, waits
from alerts.dispatch.breakers import Place
from alerts.dispatch.outbox import Lease
from alerts.dispatch.rates import Rate


@dataclass(frozen=True, slots=True)
class Limits:
    """The rates that an operator set, by transport and by the readers' domain."""

    transports: Mapping[str, Rate] = field(default_factory=dict)
    domains: Mapping[str, Rate] = field(default_factory=dict)

    def with_paces(self, paces: Mapping[str, float]) -> "Limits":
        """Gives these with half of what narrow domains are seen to take, a second, where that is less.

        A chunk lasts as long as its slowest mails. With all that such a domain takes, each chunk would bring as
        many of its mails as the last had time for, and the others would wait for them every time.
        """
        if not paces:
            return self
        seen = {
            domain: Rate(min(pace / 2, self.domains[domain].a_second) if domain in self.domains else pace / 2)
            for domain, pace in paces.items()
        }
        return Limits(self.transports, {**self.domains, **seen})


@dataclass(frozen=True, slots=True)
class View:
    """What stood between readers and their mail at a moment, less than a second ago."""

    at: datetime
    stops: Mapping[Place, datetime] = field(default_factory=dict)  # with when each may be probed
    watched: frozenset[Place] = frozenset()

    @property
    def shut(self) -> frozenset[str]:
        """The transports that nothing may be handed to now."""
        return frozenset(
            transport for (transport, domain), at in self.stops.items() if not domain and at > self.at
        )


@dataclass(frozen=True, slots=True)
class Later:
    """Nothing may leave by this transport for so long."""

    seconds: float


def look(
    session: Session, limits: Limits, transports: Collection[str], now: datetime
) -> tuple[View, list[datetime]]:
    """Looks what is stopped, and wakes the batches whose turn it is; gives when those are due.

    Any number of processes may do so, each about once a second.
    """
    stops, watched = breakers.stops(session)
    stopped = {
        domain: min(stops[transport, domain] for transport in transports)
        for domain in {domain for _, domain in stops if domain}
        if all((transport, domain) in stops for transport in transports)
    }
    return View(now, stops, watched), waits.give_turns(session, limits.domains, stopped, now)


@dataclass(frozen=True, slots=True)
class Ways:
    """By what a chunk's mails may go: the transport that is chosen, and those that stand in for it."""

    limits: Limits
    view: View
    transport: str
    others: tuple[str, ...] = ()

    @property
    def is_open(self) -> bool:
        """Whether nothing limits anything."""
        return not (self.limits.transports or self.limits.domains or self.view.stops)


def enter(session: Session, ways: Ways, lease: Lease, size: int, now: datetime) -> "Gate | Later":
    """Gives the gate for a chunk of at most `size` mails, or how long the transport has none to give.

    Call it before the batch's row is locked, and `leave` in the same transaction.
    """
    gate = Gate(session, ways, lease, now)
    return gate.narrow(size)


class Gate:
    """Stands in one transaction; all that it lets through is counted when one leaves it."""

    def __init__(self, session: Session, ways: Ways, lease: Lease, now: datetime) -> None:
        self.size = 0
        self._session = session
        self._ways = ways
        self._lease = lease
        self._now = now
        self._all = (ways.transport, *ways.others)
        rates = ways.limits.transports
        self._used = spent.lock(session, [spent.of_transport(each) for each in rates], now) if rates else {}
        self._by_transport: Counter[str] = Counter()
        self._by_domain: Counter[str] = Counter()
        self._room: dict[str, int] | None = None  # by domain, once it is asked for
        self._probes: dict[Place, bool] = {}

    def narrow(self, size: int) -> "Gate | Later":
        """Cuts the chunk to what its transport may send now; not below a quarter of a burst, for a chunk costs."""
        transport = self._ways.transport
        self.size = size
        if (transport, "") in self._ways.view.stops:
            if not breakers.probe(self._session, (transport, ""), self._now):
                return Later(1.0)
            self.size = 1
        rate = self._ways.limits.transports.get(transport)
        if rate is not None:
            spent_to = self._used[spent.of_transport(transport)]
            least = min(self.size, max(1, rate.burst // 4))
            at = rate.when(spent_to, least, self._now)
            if at > self._now:
                return Later((at - self._now) / timedelta(seconds=1))
            self.size = min(self.size, rate.ready(spent_to, self._now))
        return self

    def way(self, domain: str, pinned: str = "") -> tuple[str, str]:
        """Gives the transport by which a reader at the domain may be mailed now, or "" and why they wait.

        A resend is `pinned` to its transport.
        """
        candidates = [each for each in ((pinned,) if pinned else self._all) if self._is_whole(each)]
        free = [each for each in candidates if (each, domain) not in self._ways.view.stops]
        if not self._has_room(domain):
            return "", waits.FOR_RATE + domain
        by = next(filter(self._carries, free), "")
        if not by and free:
            return "", waits.FOR_RATE + domain
        if not by:
            by = next((each for each in candidates if self._carries(each) and self._probe(each, domain)), "")
        if not by:
            return "", waits.STOPPED + domain
        self._by_transport[by] += 1
        self._by_domain[domain] += 1
        return by, ""

    def shut_reasons(self) -> Sequence[str]:
        """The reasons of those who need not be looked at now; none once the alert's time is over."""
        if self._now >= self._lease.terms.rule.expires_at:
            return ()
        shut = {each for each in self._ways.limits.domains if not self._has_room(each)}
        for _, domain in self._ways.view.stops:
            if domain and not self._is_ever_open(domain):
                shut.add(domain)
        return [reason + each for each in sorted(shut) for reason in (waits.FOR_RATE, waits.STOPPED)]

    def leave(self) -> None:
        """Writes down what went through."""
        used: dict[str, datetime] = {}
        for transport, rate in self._ways.limits.transports.items():
            if mails := self._by_transport[transport]:
                scope = spent.of_transport(transport)
                used[scope] = rate.spend(self._used[scope], mails, self._now)
        limited = {each: self._by_domain[each] for each in self._ways.limits.domains if self._by_domain[each]}
        for domain, mails in limited.items():
            scope = spent.of_domain(domain)
            used[scope] = self._ways.limits.domains[domain].spend(self._used[scope], mails, self._now)
        spent.write(self._session, used)
        waits.take(self._session, (self._lease.alert_id, self._lease.first_id), limited)

    def _carries(self, transport: str) -> bool:
        rate = self._ways.limits.transports.get(transport)
        if rate is None:
            return True
        return self._by_transport[transport] < rate.ready(
            self._used[spent.of_transport(transport)], self._now
        )

    def _is_whole(self, transport: str) -> bool:
        """Whether the transport itself takes our mail; the chosen one may be asked whether it does again."""
        return transport == self._ways.transport or (transport, "") not in self._ways.view.stops

    def _is_ever_open(self, domain: str) -> bool:
        stops = self._ways.view.stops
        candidates = filter(self._is_whole, self._all)
        return any(stops.get((each, domain), self._now) <= self._now for each in candidates)

    def _probe(self, transport: str, domain: str) -> bool:
        """Whether the one mail that may try a stopped destination is this one."""
        place = (transport, domain)
        if place not in self._probes:
            is_due = self._ways.view.stops[place] <= self._now
            self._probes[place] = is_due and breakers.probe(self._session, place, self._now)
            return self._probes[place]
        return False

    def _has_room(self, domain: str) -> bool:
        if domain not in self._ways.limits.domains:
            return True
        if self._room is None:
            self._room = self._measure()
        return self._by_domain[domain] < self._room[domain]

    def _measure(self) -> dict[str, int]:
        """How many mails this batch may have now for each domain with a rate.

        Who waits in the same lane or a better one comes first, and a batch that comes again takes half a burst at
        least, or all it was promised: else it would be opened once a mail.
        """
        domains = self._ways.limits.domains
        self._used |= spent.lock(self._session, [spent.of_domain(each) for each in domains], self._now)
        batch = (self._lease.alert_id, self._lease.first_id)
        standing = waits.standing(self._session, batch, self._lease.terms.rank, [*domains])
        room: dict[str, int] = {}
        for domain, rate in domains.items():
            ready = rate.ready(self._used[spent.of_domain(domain)], self._now)
            own = standing.get(domain, _ALONE)
            least = max(1, rate.burst // 2) if self._lease.epoch > 1 else 1
            if own.turn:
                ready, least = min(ready, own.turn) if own.is_behind else ready, min(least, own.turn)
            elif own.is_behind:
                ready = 0
            room[domain] = ready if ready >= least else 0
        return room


_ALONE = waits.Standing(turn=0, is_behind=False)
