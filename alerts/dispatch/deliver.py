"""From a released alert to receipts: claim, open, compose, send, record, close.

    claim ──> batch ──open──> deliveries ──compose──> mails ──send──> receipts ──record──> ... ──> close

`Deliverer.run` is the whole of it. A few couriers do this side by side, so that one writes to the ledger
while another's mails are on the wire. What a courier cannot finish is left to its journal and its lease.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Collection, Sequence
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
from alerts.dispatch.journal import Journal, Journals
from alerts.dispatch.opening import Opening, Plan, open_chunk
from alerts.dispatch.outbox import Lease
from alerts.dispatch.receipts import Receipt, Settled
from alerts.errors import LeaseLost, Refused, Unavailable
from alerts.failpoints import reach
from alerts.mail.replies import Verdict, judge, scrub
from alerts.mail.smtp import InDoubt, Mail, Outcome, Replied
from alerts.mail.transports import Transport
from alerts.models import Lane

log = structlog.get_logger()

_POLL_SECONDS = 1.0  # behind every wake-up
_GROUP_SECONDS = 0.2  # how long an accepted mail may be known to the journal alone
_DIGEST_EVERY = 5  # one claim in five prefers digests, so that a loud day cannot starve them
_FIRST_CHUNK = 10

_SETTLED = {
    Verdict.ACCEPTED: Settled.ACCEPTED,
    Verdict.RETRY: Settled.DEFERRED,
    Verdict.SLOW_DOWN: Settled.DEFERRED,
    Verdict.SENDER_FAULT: Settled.DEFERRED,  # it is owed until its time to live; the operator is told
    Verdict.REFUSED: Settled.REFUSED,
    Verdict.DEAD: Settled.DEAD,
}


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
        transport: Transport,
        composer: Composer,
        journals: Journals,
        settings: Settings,
    ) -> None:
        self._db = database
        self._transport = transport
        self._composer = composer
        self._journals = journals
        self._settings = settings
        self._work = asyncio.Event()
        self._claims = 0
        self._pace = _Pace()
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
                lease = None if self._transport.down_for() else await self._claim()
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
        """Works one batch through, chunk by chunk; on any error the journal stays for recovery."""
        with self._journals.open(lease.name) as journal:
            fence = _Fence(lease, stop)
            while not stop.is_set():
                openings = await self._open(lease, fence)
                if not openings:
                    await self._close(lease)
                    break
                await self._send(lease, openings, journal, fence)
            else:
                await self._db.run(_release, lease)
            journal.remove()

    async def _open(self, lease: Lease, fence: "_Fence") -> Sequence[Opening]:
        size = min(self._pace.chunk(self._settings.parallel), self._settings.batch)
        plan = Plan(size, self._settings.keys.current, self._transport.name)
        with fence.renewal():
            openings = await self._db.run(_open, lease, plan)
        reach("open.committed")
        return openings

    async def _send(
        self, lease: Lease, openings: Sequence[Opening], journal: Journal, fence: "_Fence"
    ) -> None:
        """Hands a chunk to the transport and records what comes back, in groups of a fifth of a second."""
        began = monotonic()
        inbox: asyncio.Queue[Receipt] = asyncio.Queue()
        await self._submit(lease, openings, journal, fence, inbox)
        waiting, replied = len(openings), 0
        try:
            while waiting:
                group = await _group(inbox, waiting, self._settings.lease.total_seconds() / 3)
                waiting -= len(group)
                replied += sum(receipt.code > 0 for receipt in group)
                await self._record(lease, group, fence)
        finally:
            # Nothing more of this chunk may begin, and the journal must see the end of what did.
            fence.shut()
            for _ in range(waiting):
                await inbox.get()
        self._pace.measure(replied, monotonic() - began)

    async def _submit(
        self,
        lease: Lease,
        openings: Sequence[Opening],
        journal: Journal,
        fence: "_Fence",
        inbox: asyncio.Queue[Receipt],
    ) -> None:
        fence.reopen()
        try:
            prepared = await self._composer.prepare(lease.alert_id, openings)
        except Exception as error:  # a template or a text that cannot be rendered must not stop the others
            log.exception("cannot_compose", alert=lease.alert_id)
            for opening in openings:
                inbox.put_nowait(_unsent(opening, f"could not be composed: {type(error).__name__}"))
            return
        for opening in openings:
            try:
                content = self._composer.stamp(lease.alert_id, opening, prepared[opening.variant])
            except Refused:
                reason = "the address cannot stand on the wire"
                inbox.put_nowait(
                    Receipt(opening.subscriber_id, Settled.REFUSED, reason, 0, "", _domain(opening))
                )
                continue
            except Exception as error:  # such as a token key that was thrown away: it concerns one reader
                log.exception("cannot_compose", alert=lease.alert_id)
                inbox.put_nowait(_unsent(opening, f"could not be composed: {type(error).__name__}"))
                continue
            mail = Mail(
                sender=self._settings.envelope_sender,
                recipient=opening.address,
                content=content,
                fence=fence.check,
                begin=partial(journal.begin, opening.subscriber_id),
            )
            self._transport.submit(mail, partial(_settle, opening, journal, inbox.put_nowait))

    async def _record(self, lease: Lease, group: Sequence[Receipt], fence: "_Fence") -> None:
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


class _Fence:
    """The wire's own view of a lease: nothing is written past its deadline, once it is shut, or at a stop."""

    def __init__(self, lease: Lease, stop: asyncio.Event) -> None:
        self._stop = stop
        self._length = lease.length
        self._deadline = lease.deadline
        self._is_shut = False

    def check(self) -> None:
        """Raises LeaseLost when nothing more may be written."""
        if self._is_shut or self._stop.is_set() or clocks.boot_time() >= self._deadline:
            raise LeaseLost("The lease ended before the mail could be sent.")

    def shut(self) -> None:
        self._is_shut = True

    def reopen(self) -> None:
        self._is_shut = False

    def renewal(self) -> "_Renewal":
        """Moves the deadline when the block, a transaction that renews the lease, succeeds."""
        return _Renewal(self)

    def extend(self, began: float) -> None:
        self._deadline = clocks.deadline(began, self._length)


class _Renewal:
    """Counts the lease from before the transaction, so that the fence never ends later than the row."""

    def __init__(self, fence: _Fence) -> None:
        self._fence = fence
        self._began = 0.0

    def __enter__(self) -> None:
        self._began = clocks.boot_time()

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            self._fence.extend(self._began)


class _Pace:
    """How many mails a second leave here; chunks are sized to about one second of it."""

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


async def _group(inbox: asyncio.Queue[Receipt], most: int, patience: float) -> list[Receipt]:
    """Gathers what comes within a fifth of a second of the first; nothing when none comes in `patience`."""
    group: list[Receipt] = []
    with suppress(TimeoutError):
        async with asyncio.timeout(patience):
            group.append(await inbox.get())
    with suppress(TimeoutError):
        async with asyncio.timeout(_GROUP_SECONDS):
            while group and len(group) < most:
                group.append(await inbox.get())
    return group


def _settle(opening: Opening, journal: Journal, deliver: Callable[[Receipt], None], outcome: Outcome) -> None:
    """Judges an outcome, writes a reply into the journal, and passes the receipt on."""
    match outcome:
        case Replied():
            receipt = _judged(opening, outcome)
            try:
                journal.receive(receipt)
            except OSError:  # a full disk: the ledger may know it yet, and no other mail begins meanwhile
                log.exception("journal_cannot_be_written")
        case InDoubt():
            receipt = Receipt(opening.subscriber_id, Settled.UNKNOWN, "", 0, "", "")
        case _:
            receipt = _unsent(opening, outcome.reason)
    deliver(receipt)


def _judged(opening: Opening, replied: Replied) -> Receipt:
    judgement = judge(replied.code, replied.text, at_rcpt=replied.stage == "RCPT")
    verdict = judgement.verdict
    if replied.stage == "MAIL" and verdict in {Verdict.REFUSED, Verdict.DEAD}:
        verdict = Verdict.SENDER_FAULT  # no recipient was named yet: the word is about us
    is_accepted = verdict is Verdict.ACCEPTED
    return Receipt(
        subscriber_id=opening.subscriber_id,
        settled=_SETTLED[verdict],
        reason="" if is_accepted else f"{verdict}: {judgement.why}",
        code=replied.code,
        reply="" if is_accepted else scrub(replied.text, opening.address),
        domain=_domain(opening),
    )


def _unsent(opening: Opening, reason: str) -> Receipt:
    return Receipt(opening.subscriber_id, Settled.DEFERRED, f"not sent: {reason}", 0, "", "")


def _domain(opening: Opening) -> str:
    return opening.address.rpartition("@")[2].lower()


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
    return outbox.claim(
        session,
        settings.worker,
        size=settings.batch,
        length=settings.lease,
        now=clock(session),
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
