"""From a released alert to receipts: claim, open, compose, send, record, close.

    claim ──> batch ──open──> deliveries ──compose──> mails ──send──> receipts ──record──> ... ──> close

`Deliverer.run` is the whole of it. A few couriers do this side by side, so that one writes to the ledger
while another's mails are on the wire. What a courier cannot finish is left to its journal and its lease.
"""

import asyncio
from collections import Counter, defaultdict
from collections.abc import Awaitable, Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from math import ceil
from time import monotonic
from typing import TypeVar

import structlog
from sqlmodel import Session

from alerts import clocks
from alerts.audience.tokens import Keys
from alerts.db import Database, clock
from alerts.dispatch import breakers, gates, outbox, receipts
from alerts.dispatch.compose import Composer, Sealed, in_parts, stamp
from alerts.dispatch.errands import Chunk, Errand, unsendable, unsent
from alerts.dispatch.fence import Fence
from alerts.dispatch.gates import Later, Limits, View, Ways
from alerts.dispatch.journal import Journal, Journals
from alerts.dispatch.opening import Opening, Plan, open_chunk
from alerts.dispatch.outbox import Lease
from alerts.dispatch.pace import FIRST_CHUNK, Pace, Silence, batch_for
from alerts.dispatch.receipts import Receipt
from alerts.errors import LeaseLost, Refused, Unavailable
from alerts.failpoints import reach
from alerts.mail.dkim import Signable
from alerts.mail.replies import Verdict
from alerts.mail.transports import Transports
from alerts.models import Lane

T = TypeVar("T")

log = structlog.get_logger()

_POLL_SECONDS = 1.0  # behind every wake-up
_DIGEST_EVERY = 5  # one claim in five prefers digests, so that a loud day cannot starve them
_AGAIN_EVERY = 4  # one claim in four prefers what comes again, which else waits behind a lane's fresh alerts
_SILENT_SECONDS = 10.0  # of a chunk without a receipt, after which others bring what its relay keeps waiting
_PART = 16  # mails that one thread signs in one go: some milliseconds of work


@dataclass(frozen=True, slots=True)
class Settings:
    """How a deliverer works."""

    worker: str
    keys: Keys
    lease: timedelta
    batch: int
    parallel: int
    retry_first: timedelta
    retry_most: timedelta
    signing_threads: int
    limits: Limits = field(default_factory=Limits)


class Deliverer:
    """Delivers released alerts until told to stop."""

    def __init__(
        self,
        database: Database,
        transports: Transports,
        composer: Composer,
        journals: Journals,
        settings: Settings,
    ) -> None:
        self._db = database
        self._transports = transports
        self._composer = composer
        self._journals = journals
        self._settings = settings
        self._work = asyncio.Event()
        self._claims = 0
        # By transport, and whether digests go by it: they take longer to compose than to send.
        self._paces: dict[tuple[str, bool], Pace] = defaultdict(Pace)
        self._recovered_at = 0.0
        self._recovering = asyncio.Lock()
        self._signing = ThreadPoolExecutor(settings.signing_threads, thread_name_prefix="sign")
        self._view = View(datetime.min.replace(tzinfo=UTC))
        self._looked_at = -_POLL_SECONDS
        self._looking = asyncio.Lock()
        self._couriers = asyncio.TaskGroup()
        self._silent = Counter[str]()  # by transport, the chunks that wait for it in vain

    def wake(self) -> None:
        """Says that there may be work; call it in the event loop."""
        # An event a wake-up: who began to look before this one must not sleep over it.
        self._work.set()
        self._work = asyncio.Event()

    async def run(self, stop: asyncio.Event) -> None:
        """Delivers until `stop` is set, then waits for the mails on the wire and gives the batches back."""
        await self._recover_until_done(stop)
        never = asyncio.Event()
        with self._signing:
            async with self._couriers:
                for number in range(self._settings.parallel):
                    self._couriers.create_task(self._courier(stop, never), name=f"courier-{number}")

    async def _courier(self, stop: asyncio.Event, spare: asyncio.Event) -> None:
        """Works until `stop`, or until it is spare, and has no batch in hand."""
        while not (stop.is_set() or spare.is_set()):
            work = self._work
            try:
                await self._recover_now_and_then(stop)
                view = await self._look()
                lease = await self._claim() if self._transports.is_any_up(but_not=view.shut) else None
                if lease is None:
                    await self._rest(work, stop)
                else:
                    await self._deliver(lease, stop)
            except LeaseLost as error:
                log.warning("lease_lost", reason=str(error))
            except Exception:
                log.exception("delivery_interrupted")
                await asyncio.sleep(_POLL_SECONDS)
                await self._recover_until_done(stop)

    async def _rest(self, work: asyncio.Event, stop: asyncio.Event) -> None:
        if not stop.is_set():
            with suppress(TimeoutError):
                async with asyncio.timeout(_POLL_SECONDS):
                    await work.wait()

    async def _claim(self) -> Lease | None:
        self._claims += 1
        prefer = Lane.DIGEST if self._claims % _DIGEST_EVERY == 0 else None
        fresh_first = self._claims % _AGAIN_EVERY != 0
        in_hand = self._journals.in_hand()
        lease = await self._db.run(_claim, self._settings, self._batch(), prefer, fresh_first, in_hand)
        reach("claim.committed")
        return lease

    def _batch(self) -> int:
        rates = [
            sum(pace.rate for (_, is_of_digest), pace in self._paces.items() if is_of_digest is kind)
            for kind in (False, True)
        ]
        return batch_for(max(rates), self._settings.batch)

    async def _deliver(self, lease: Lease, stop: asyncio.Event) -> None:
        """Works one batch through, chunk by chunk; on any error the journal stays for recovery.

        While every relay is out of reach, or refuses us, nothing is opened: the batch is given back for whoever
        has one.
        """
        with self._journals.open(lease.name) as journal:
            fence = Fence(lease, stop)
            while not stop.is_set() and (ways := await self._ways()) is not None:
                openings = await self._open(lease, fence, ways)
                if isinstance(openings, Later):
                    await self._pause(openings.seconds, stop)
                    continue
                if not openings:
                    await self._close(lease)
                    break
                await self._send(lease, openings, journal, fence)
            else:
                await self._db.run(_release, lease)
            journal.remove()

    async def _ways(self) -> Ways | None:
        """Chooses the transport of the next chunk, and those that may stand in for it."""
        view = await self._look()
        choose = self._transports.choose
        chosen = choose(but_not=self._silent_ones() | view.shut) or choose(but_not=view.shut)
        if chosen is None:
            return None
        chosen.expect_mail()
        others = [each for each in self._transports.up(but_not=view.shut) if each != chosen.name]
        return Ways(self._limits(), view, chosen.name, tuple(others))

    async def _open(self, lease: Lease, fence: Fence, ways: Ways) -> Sequence[Opening] | Later:
        plan = Plan(self._chunk(ways.transport, lease), self._settings.keys.current, ways.transport)
        with fence.renewal():
            openings = await self._db.run(_open, lease, plan, None if ways.is_open else ways)
        reach("open.committed")
        if not isinstance(openings, Later):
            mails = Counter(opening.transport for opening in openings)
            self._transports.took(mails, but_not=ways.view.shut)
        return openings

    def _chunk(self, name: str, lease: Lease) -> int:
        """How many readers to open for: all of them are put off if a relay that failed us last still does."""
        transport = self._transports.get(name)
        if transport is not None and transport.is_on_trial:
            return min(FIRST_CHUNK, self._settings.batch)
        pace = self._paces[name, lease.is_of_digest]
        return min(pace.chunk(self._share(name)), self._settings.batch)

    def _share(self, name: str) -> int:
        """How many mails of a chunk can be under way at once: what is opened for these waits for nothing."""
        transport = self._transports.get(name)
        connections = transport.server.connections if transport else 1
        return ceil(connections / self._settings.parallel)

    async def _pause(self, seconds: float, stop: asyncio.Event) -> None:
        """Waits for a transport's rate, and not so long that the lease runs out."""
        with suppress(TimeoutError):
            async with asyncio.timeout(min(seconds, self._settings.lease.total_seconds() / 3)):
                await stop.wait()

    async def _look(self) -> View:
        """Gives what stands between readers and their mail, looked at once a second."""
        if monotonic() - self._looked_at < _POLL_SECONDS:
            return self._view
        async with self._looking:
            if monotonic() - self._looked_at >= _POLL_SECONDS:
                began = monotonic()
                # One that is down does not make a destination less stopped by the others.
                names = self._transports.up() or self._transports.names
                self._view, due = await self._db.run(_look, self._limits(), names)
                self._looked_at = began
                self._wake_at(due)
        return self._view

    def _limits(self) -> Limits:
        return self._settings.limits.with_paces(self._transports.paces())

    def _wake_at(self, due: Collection[datetime]) -> None:
        """Has couriers look when the turns come that were just given."""
        loop = asyncio.get_running_loop()
        for seconds in {max(0.0, (each - self._view.at).total_seconds()) for each in due}:
            loop.call_later(seconds, self.wake)

    async def _send(self, lease: Lease, openings: Sequence[Opening], journal: Journal, fence: Fence) -> None:
        """Has a chunk sent and recorded, and learns from it how large the next may be."""
        transports = {opening.transport for opening in openings}
        # Resends go by the transports of the first time, and measure none.
        is_alike = len(transports) == 1
        pace = self._paces[transports.pop(), lease.is_of_digest] if is_alike else Pace()
        with pace.sharing():
            began = monotonic()
            replied = await self._send_and_record(lease, openings, journal, fence)
            pace.measure(replied, monotonic() - began)

    async def _send_and_record(
        self, lease: Lease, openings: Sequence[Opening], journal: Journal, fence: Fence
    ) -> int:
        """Hands a chunk to the transports, records what comes back in groups of a fifth of a second; counts replies."""
        fence.reopen()
        chunk = Chunk(lease.alert_id, len(openings), journal, fence)
        await self._submit(lease, openings, chunk)
        replied = 0
        patience = min(_SILENT_SECONDS, self._settings.lease.total_seconds() / 3)
        silence = Silence(self._silent, {opening.transport for opening in openings})
        try:
            while (group := await chunk.group(patience)) is not None:
                if silence.heard(group):
                    self._go_round(silence, fence.stop)
                replied += sum(receipt.code > 0 for receipt in group)
                await self._record(lease, group, fence)
        finally:
            silence.end()
            # Nothing more of this chunk may begin, and the journal must see the end of what did.
            fence.shut()
            await chunk.rest()
        return replied

    def _go_round(self, silence: Silence, stop: asyncio.Event) -> None:
        """Has another transport, where there is one, bring what a silent one keeps waiting, by one more courier.

        A relay that says nothing may be waited for ten minutes (RFC 5321, 4.5.3.2), and all couriers with it.
        """
        if not self._transports.up(but_not=self._silent_ones() | self._view.shut):
            return
        for name in silence.transports:
            if (transport := self._transports.get(name)) is not None:
                transport.let_go()
        if silence.is_alone and self._silent.total() <= self._settings.parallel:
            silence.is_alone = False
            self._couriers.create_task(self._courier(stop, silence.ended), name="courier-stands-in")

    def _silent_ones(self) -> set[str]:
        return {name for name, chunks in self._silent.items() if chunks}

    async def _submit(self, lease: Lease, openings: Sequence[Opening], chunk: Chunk) -> None:
        """Hands a chunk's mails over, a few variants at a time: the first are on the wire while others are rendered."""
        for part in in_parts(openings):
            try:
                prepared = await self._composer.prepare(lease.alert_id, part)
            except (
                Exception
            ) as error:  # a template or a text that cannot be rendered must not stop the others
                log.exception("cannot_compose", alert=lease.alert_id)
                for opening in part:
                    chunk.take(unsent(opening, f"could not be composed: {type(error).__name__}"))
                continue
            for sealed_part in self._sealed(lease.alert_id, part, prepared):
                made = await sealed_part
                _report_unmade(lease.alert_id, made)
                for opening, sealed in made:
                    self._hand_over(opening, sealed, prepared[opening.variant], chunk)

    def _sealed(
        self, alert_id: int, openings: Sequence[Opening], prepared: Mapping[str, Signable]
    ) -> Sequence[Awaitable[Sequence[tuple[Opening, Sealed | Exception]]]]:
        """Has what is each reader's own made, in the order of the openings.

        Signing takes twenty times as long as sending: it is done in threads, all parts begun at once, so that
        every core signs and the first mails are on the wire while the last are signed.
        """
        seal = partial(self._composer.seal_all, alert_id, prepared)
        if not any(each.signatures for each in prepared.values()):
            return [_at_once(seal(openings))]
        loop = asyncio.get_running_loop()
        return [
            loop.run_in_executor(self._signing, seal, openings[start : start + _PART])
            for start in range(0, len(openings), _PART)
        ]

    def _hand_over(
        self, opening: Opening, sealed: Sealed | Exception, prepared: Signable, chunk: Chunk
    ) -> None:
        transport = self._transports.get(opening.transport)
        match sealed:
            case Refused():
                chunk.take(unsendable(opening))
            case Exception():  # such as a key that was thrown away: it concerns one reader
                chunk.take(unsent(opening, f"could not be composed: {type(sealed).__name__}"))
            case _ if transport is None:  # a resend goes by the same transport, or not at all
                chunk.take(unsent(opening, "its transport is configured no more"))
            case _:
                content = partial(stamp, prepared, sealed)
                transport.submit(Errand(chunk, opening, sealed.sender, sealed.own.to, content))

    async def _record(self, lease: Lease, group: Sequence[Receipt], fence: Fence) -> None:
        with fence.renewal():
            has_news = await self._db.run(_record, lease, group, self._settings.keys, self._view.watched)
        reach("record.committed")
        if has_news:
            self._looked_at = -_POLL_SECONDS
        _report(lease, group)

    async def _close(self, lease: Lease) -> None:
        settings = self._settings
        is_closed = await self._db.run(_close, lease, settings.retry_first, settings.retry_most)
        reach("close.committed")
        log.info("batch_closed" if is_closed else "batch_waits", alert=lease.alert_id, batch=lease.first_id)

    async def _recover_now_and_then(self, stop: asyncio.Event) -> None:
        if monotonic() - self._recovered_at > _POLL_SECONDS:
            await self._recover_until_done(stop)

    async def _recover(self) -> None:
        """Brings what dead processes of this host, and failed batches of ours, left in journals into the ledger."""
        async with self._recovering:
            for left in self._journals.left():
                key = (left.alert_id, left.first_id, left.epoch)
                await self._db.run(_fold, key, left.worker, left.receipts, left.in_doubt, self._settings.keys)
                reach("fold.committed")
                left.path.unlink()
            self._recovered_at = monotonic()

    async def _recover_until_done(self, stop: asyncio.Event) -> None:
        """Recovers before anything is claimed: no lease may be taken over whose journal was not read."""
        while not stop.is_set():
            try:
                await self._recover()
            except Unavailable as error:
                log.info("recovery_waits", reason=str(error))
            except Exception:
                log.exception("recovery_failed")
            else:
                return
            await asyncio.sleep(_POLL_SECONDS)


async def _at_once(made: T) -> T:
    """Gives what is there already, where something is awaited."""
    return made


def _report_unmade(alert_id: int, made: Sequence[tuple[Opening, Sealed | Exception]]) -> None:
    """Tells once of what may concern each of a million readers, such as a key that is gone."""
    errors = Counter(
        type(sealed).__name__
        for _, sealed in made
        if isinstance(sealed, Exception) and not isinstance(sealed, Refused)
    )
    for error, mails in errors.items():
        log.error("cannot_compose", alert=alert_id, error=error, mails=mails)


def _report(lease: Lease, group: Sequence[Receipt]) -> None:
    if not group:
        return
    ends = Counter(str(receipt.settled) for receipt in group)
    log.info("mails_recorded", alert=lease.alert_id, batch=lease.first_id, **ends)
    faults = Counter(
        (receipt.domain, receipt.code, receipt.reason)
        for receipt in group
        if receipt.reason.startswith(Verdict.SENDER_FAULT)
    )
    for (domain, code, reason), mails in faults.items():
        log.error("sender_fault", destination=domain, code=code, reason=reason, mails=mails)


# Each of these is one transaction, with the database's clock.


def _claim(
    session: Session,
    settings: Settings,
    size: int,
    prefer: Lane | None,
    fresh_first: bool,
    in_hand: Collection[tuple[int, int]],
) -> Lease | None:
    began = clocks.boot_time()  # before the database is asked what time it is
    return outbox.claim(
        session,
        settings.worker,
        size=size,
        length=settings.lease,
        now=clock(session),
        began=began,
        prefer=prefer,
        but_not=in_hand,
        fresh_first=fresh_first,
    )


def _open(session: Session, lease: Lease, plan: Plan, ways: Ways | None) -> tuple[Opening, ...] | Later:
    now = clock(session)
    if ways is None:
        return open_chunk(session, lease, plan, now)
    gate = gates.enter(session, ways, lease, plan.size, now)
    if isinstance(gate, Later):
        outbox.renew(session, lease, now)
        return gate
    openings = open_chunk(session, lease, replace(plan, size=gate.size), now, gate)
    gate.leave()
    return openings


def _look(session: Session, limits: Limits, transports: Collection[str]) -> tuple[View, list[datetime]]:
    return gates.look(session, limits, transports, clock(session))


def _record(
    session: Session,
    lease: Lease,
    group: Sequence[Receipt],
    keys: Keys,
    watched: Collection[breakers.Place],
) -> bool:
    now = clock(session)
    receipts.record(session, lease, group, keys, now)
    return breakers.note(session, group, watched, now)


def _close(session: Session, lease: Lease, first: timedelta, most: timedelta) -> bool:
    return outbox.close(session, lease, clock(session), first, most)


def _release(session: Session, lease: Lease) -> None:
    outbox.release(session, lease, clock(session))


def _fold(
    session: Session,
    key: tuple[int, int, int],
    worker: str,
    known: Sequence[Receipt],
    in_doubt: frozenset[int],
    keys: Keys,
) -> None:
    receipts.fold(session, key, worker, known, in_doubt, keys, clock(session))
