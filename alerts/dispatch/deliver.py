"""From a released alert to receipts: claim, open, compose, send, record, close.

    claim ──> batch ──open──> deliveries ──compose──> mails ──send──> receipts ──record──> ... ──> close

`Deliverer.run` is the whole of it. A few couriers do this side by side, so that one writes to the ledger
while another's mails are on the wire. What a courier cannot finish is left to its journal and its lease.
"""

import asyncio
from collections import Counter, defaultdict
from collections.abc import Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from time import monotonic

import structlog
from sqlmodel import Session

from alerts import clocks
from alerts.audience.tokens import Keys
from alerts.db import Database, clock
from alerts.dispatch import outbox, receipts
from alerts.dispatch.compose import Composer
from alerts.dispatch.errands import Chunk, Errand, unsendable, unsent
from alerts.dispatch.fence import Fence
from alerts.dispatch.journal import Journal, Journals
from alerts.dispatch.opening import Opening, Plan, open_chunk
from alerts.dispatch.outbox import Lease
from alerts.dispatch.receipts import Receipt
from alerts.errors import LeaseLost, Refused, Unavailable
from alerts.failpoints import reach
from alerts.mail.compose import compose
from alerts.mail.replies import Verdict
from alerts.mail.transports import Transport, Transports
from alerts.models import Lane

log = structlog.get_logger()

_POLL_SECONDS = 1.0  # behind every wake-up
_DIGEST_EVERY = 5  # one claim in five prefers digests, so that a loud day cannot starve them
_FIRST_CHUNK = 10


@dataclass(frozen=True, slots=True)
class Settings:
    """How a deliverer works."""

    worker: str
    envelope_sender: str
    keys: Keys
    lease: timedelta
    batch: int
    parallel: int
    retry_first: timedelta
    retry_most: timedelta


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
        self._paces: dict[str, _Pace] = defaultdict(_Pace)  # by transport
        self._recovered_at = 0.0
        self._recovering = asyncio.Lock()

    def wake(self) -> None:
        """Says that there may be work; call it in the event loop."""
        # An event a wake-up: who began to look before this one must not sleep over it.
        self._work.set()
        self._work = asyncio.Event()

    async def run(self, stop: asyncio.Event) -> None:
        """Delivers until `stop` is set, then waits for the mails on the wire and gives the batches back."""
        await self._recover_until_done(stop)
        async with asyncio.TaskGroup() as couriers:
            for number in range(self._settings.parallel):
                couriers.create_task(self._courier(stop), name=f"courier-{number}")

    async def _courier(self, stop: asyncio.Event) -> None:
        while not stop.is_set():
            work = self._work
            try:
                await self._recover_now_and_then(stop)
                lease = await self._claim() if self._transports.is_any_up() else None
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
        lease = await self._db.run(_claim, self._settings, prefer, self._journals.in_hand())
        reach("claim.committed")
        return lease

    async def _deliver(self, lease: Lease, stop: asyncio.Event) -> None:
        """Works one batch through, chunk by chunk; on any error the journal stays for recovery.

        While every relay is out of reach nothing is opened: the batch is given back for whoever has one.
        """
        with self._journals.open(lease.name) as journal:
            fence = Fence(lease, stop)
            while not stop.is_set() and (transport := self._transports.choose()) is not None:
                openings = await self._open(lease, fence, transport)
                if not openings:
                    await self._close(lease)
                    break
                await self._send(lease, openings, journal, fence)
            else:
                await self._db.run(_release, lease)
            journal.remove()

    async def _open(self, lease: Lease, fence: Fence, transport: Transport) -> Sequence[Opening]:
        size = min(self._paces[transport.name].chunk(self._settings.parallel), self._settings.batch)
        plan = Plan(size, self._settings.keys.current, transport.name)
        with fence.renewal():
            openings = await self._db.run(_open, lease, plan)
        reach("open.committed")
        return openings

    async def _send(self, lease: Lease, openings: Sequence[Opening], journal: Journal, fence: Fence) -> None:
        """Hands a chunk to the transports and records what comes back, in groups of a fifth of a second."""
        began = monotonic()
        fence.reopen()
        chunk = Chunk(len(openings), self._settings.envelope_sender.encode("ascii"), journal, fence)
        await self._submit(lease, openings, chunk)
        replied = 0
        try:
            while (group := await chunk.group(self._settings.lease.total_seconds() / 3)) is not None:
                replied += sum(receipt.code > 0 for receipt in group)
                await self._record(lease, group, fence)
        finally:
            # Nothing more of this chunk may begin, and the journal must see the end of what did.
            fence.shut()
            await chunk.rest()
        transports = {opening.transport for opening in openings}
        if len(transports) == 1:  # resends go by the transports of the first time, and measure none
            self._paces[transports.pop()].measure(replied, monotonic() - began)

    async def _submit(self, lease: Lease, openings: Sequence[Opening], chunk: Chunk) -> None:
        try:
            prepared = await self._composer.prepare(lease.alert_id, openings)
        except Exception as error:  # a template or a text that cannot be rendered must not stop the others
            log.exception("cannot_compose", alert=lease.alert_id)
            for opening in openings:
                chunk.take(unsent(opening, f"could not be composed: {type(error).__name__}"))
            return
        for opening in openings:
            transport = self._transports.get(opening.transport)
            if transport is None:  # a resend goes by the same transport, or not at all
                chunk.take(unsent(opening, "its transport is configured no more"))
                continue
            try:
                own = self._composer.own(lease.alert_id, opening)
            except Refused:
                chunk.take(unsendable(opening))
            except Exception as error:  # such as a token key that was thrown away: it concerns one reader
                log.exception("cannot_compose", alert=lease.alert_id)
                chunk.take(unsent(opening, f"could not be composed: {type(error).__name__}"))
            else:
                content = partial(compose, prepared[opening.variant], *own)
                transport.submit(Errand(chunk, opening, own.to, content))

    async def _record(self, lease: Lease, group: Sequence[Receipt], fence: Fence) -> None:
        with fence.renewal():
            await self._db.run(_record, lease, group, self._settings.keys)
        reach("record.committed")
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


class _Pace:
    """How many mails a second leave here by one transport; chunks are sized to about one second of it."""

    def __init__(self) -> None:
        self._rate = 0.0

    def chunk(self, couriers: int) -> int:
        return max(1, int(self._rate / couriers)) if self._rate else _FIRST_CHUNK

    def measure(self, mails: int, seconds: float) -> None:
        """Learns from mails that got a reply: what never went out was quick, and says nothing."""
        if not mails:
            return
        rate = mails / max(seconds, 0.001)
        self._rate = rate if not self._rate else self._rate * 0.5 + rate * 0.5


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
    session: Session, settings: Settings, prefer: Lane | None, in_hand: Collection[tuple[int, int]]
) -> Lease | None:
    began = clocks.boot_time()  # before the database is asked what time it is
    return outbox.claim(
        session,
        settings.worker,
        size=settings.batch,
        length=settings.lease,
        now=clock(session),
        began=began,
        prefer=prefer,
        but_not=in_hand,
    )


def _open(session: Session, lease: Lease, plan: Plan) -> tuple[Opening, ...]:
    return open_chunk(session, lease, plan, clock(session))


def _record(session: Session, lease: Lease, group: Sequence[Receipt], keys: Keys) -> None:
    receipts.record(session, lease, group, keys, clock(session))


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
