"""Sends notices as soon as they are written: each is claimed, opened, sent and settled by itself.

    notice ──claim──> claimed ──write, open──> mail ──send──> receipt ──settle

They pass all other mail that waits for a connection: a person sits before the page and awaits theirs.
"""

import asyncio
from collections.abc import Mapping
from contextlib import suppress

import structlog
from sqlmodel import Session

from alerts import clocks
from alerts.db import Database, clock
from alerts.dispatch import notices
from alerts.dispatch.deliver import Settings
from alerts.dispatch.errands import judged
from alerts.dispatch.letters import Letters
from alerts.dispatch.notices import Claimed, Way
from alerts.dispatch.outbox import backoff
from alerts.dispatch.receipts import Receipt, Settled
from alerts.errors import LeaseLost, Refused
from alerts.failpoints import reach
from alerts.mail.replies import Verdict
from alerts.mail.smtp import InDoubt, Outcome, Replied
from alerts.mail.transports import Transport, Transports

log = structlog.get_logger()

_POLL_SECONDS = 1.0  # behind every wake-up
_AT_ONCE = 50


class Notifier:
    """Sends notices until told to stop."""

    def __init__(
        self, database: Database, transports: Transports, letters: Letters, settings: Settings
    ) -> None:
        self._db = database
        self._transports = transports
        self._letters = letters
        self._settings = settings
        self._work = asyncio.Event()
        self._in_hand = 0

    def wake(self) -> None:
        """Says that there may be a notice; call it in the event loop."""
        self._work.set()
        self._work = asyncio.Event()

    async def run(self, stop: asyncio.Event) -> None:
        """Sends until `stop` is set, then waits for the mails on the wire and gives the others back."""
        async with asyncio.TaskGroup() as tasks:
            while not stop.is_set():
                work = self._work
                claimed, stops = await self._claim()
                self._in_hand += len(claimed)
                for each in claimed:
                    reach("notice.claimed")
                    tasks.create_task(self._see_through(each, stops, stop), name=f"notice-{each.id}")
                if not claimed and not stop.is_set():
                    await _rest(work)

    async def _claim(self) -> tuple[list[Claimed], Mapping[str, frozenset[str]]]:
        room = _AT_ONCE - self._in_hand
        if room > 0:
            try:
                return await self._db.run(_claim, self._settings, room)
            except Exception:
                log.exception("notices_interrupted")
                await asyncio.sleep(_POLL_SECONDS)
        return [], {}

    async def _see_through(
        self, claimed: Claimed, stops: Mapping[str, frozenset[str]], stop: asyncio.Event
    ) -> None:
        """Sends one notice; what goes wrong with it concerns no other, and is left to its lease."""
        try:
            await self._send(claimed, stops, stop)
        except LeaseLost as error:
            log.warning("lease_lost", reason=str(error))
        except Exception:
            log.exception("notice_interrupted", notice=claimed.id)
        finally:
            self._in_hand -= 1
            self.wake()

    async def _send(self, claimed: Claimed, stops: Mapping[str, frozenset[str]], stop: asyncio.Event) -> None:
        transport = self._transport(claimed, stops)
        if transport is None and claimed.pinned:
            await self._db.run(notices.give_up, claimed, "in doubt, and its transport is configured no more")
            return
        if transport is None:
            await self._put_off(claimed, "no transport can take it now")
            return
        try:
            segments, mail = await asyncio.to_thread(self._written, claimed)
        except Refused:
            await self._settle(claimed, _refused("the address cannot stand on the wire"))
            return
        except Exception as error:  # a template that fails must not stop the others
            log.exception("cannot_compose", notice=claimed.id)
            await self._put_off(claimed, f"could not be composed: {type(error).__name__}")
            return
        if stop.is_set():
            await self._put_off(claimed, "stopped")
            return
        fence = _Fence(self._settings, stop)
        if not await self._db.run(_open, claimed, Way(segments, transport.name), self._settings):
            return
        reach("notice.opened")
        letter = _Letter(claimed, transport.name, (self._letters.envelope_sender, *mail), fence)
        self._transports.took({transport.name: 1})
        transport.submit(letter)
        await self._settle(claimed, await self._receipt(claimed, letter))

    def _written(self, claimed: Claimed) -> tuple[bytes, tuple[bytes, bytes]]:
        segments = claimed.segments or self._letters.write(claimed)
        return segments, self._letters.seal(claimed, segments)

    def _transport(self, claimed: Claimed, stops: Mapping[str, frozenset[str]]) -> Transport | None:
        """Gives the transport that a notice goes by; a resend goes by the one of the first time."""
        if claimed.pinned:
            return self._transports.get(claimed.pinned)
        shut = [name for name, domains in stops.items() if domains & {"", claimed.domain}]
        return self._transports.choose(but_not=shut)

    async def _receipt(self, claimed: Claimed, letter: "_Letter") -> Receipt:
        """Waits for a mail's receipt, and holds its lease meanwhile: a server may take minutes."""
        patience = self._settings.lease.total_seconds() / 3
        while not letter.receipt.done():
            await asyncio.wait([letter.receipt], timeout=patience)
            if not letter.receipt.done():
                began = clocks.boot_time()
                await self._db.run(_renew, claimed, self._settings)
                letter.fence.extend(began)
        return letter.receipt.result()

    async def _put_off(self, claimed: Claimed, reason: str) -> None:
        await self._db.run(_put_off, claimed, reason, self._settings)

    async def _settle(self, claimed: Claimed, receipt: Receipt) -> None:
        await self._db.run(_settle, claimed, receipt, self._settings)
        reach("notice.settled")
        if receipt.reason.startswith(Verdict.SENDER_FAULT):
            log.error(
                "sender_fault", destination=receipt.domain, code=receipt.code, reason=receipt.reason, mails=1
            )


class _Fence:
    """Lets nothing be written past the lease, or at a stop; made before the lease is asked for."""

    def __init__(self, settings: Settings, stop: asyncio.Event) -> None:
        self._length = settings.lease
        self._stop = stop
        self._deadline = 0.0
        self.extend(clocks.boot_time())

    def extend(self, began: float) -> None:
        self._deadline = clocks.deadline(began, self._length)

    def check(self) -> None:
        if self._stop.is_set() or clocks.boot_time() >= self._deadline:
            raise LeaseLost("The lease ended before the notice could be sent.")


class _Letter:
    """One notice on its way to the relay (see `alerts.mail.smtp.Mail`)."""

    goes_first = True

    def __init__(
        self, claimed: Claimed, transport: str, mail: tuple[bytes, bytes, bytes], fence: _Fence
    ) -> None:
        self.sender, self.recipient, self._content = mail
        self.domain = claimed.domain
        self.tries = 0
        self.fence = fence
        self.receipt: asyncio.Future[Receipt] = asyncio.get_running_loop().create_future()
        self._claimed = claimed
        self._transport = transport

    def check(self) -> None:
        self.fence.check()

    def content(self) -> bytes:
        return self._content

    def begin(self) -> None:
        """The ledger says `sending` already."""

    def settle(self, outcome: Outcome) -> bool:
        reach("notice.replied")
        receipt = _receipt(self._claimed, self._transport, outcome)
        self.receipt.set_result(receipt)
        return receipt.domain != "" and receipt.reason.startswith(Verdict.SLOW_DOWN)


async def _rest(work: asyncio.Event) -> None:
    with suppress(TimeoutError):
        async with asyncio.timeout(_POLL_SECONDS):
            await work.wait()


def _receipt(claimed: Claimed, transport: str, outcome: Outcome) -> Receipt:
    match outcome:
        case Replied():
            return judged(claimed.subject_id, claimed.address, transport, outcome)
        case InDoubt():
            return Receipt(claimed.subject_id, Settled.UNKNOWN, "", 0, "", "")
        case _:
            return Receipt(claimed.subject_id, Settled.DEFERRED, f"not sent: {outcome.reason}", 0, "", "")


def _refused(reason: str) -> Receipt:
    return Receipt(0, Settled.REFUSED, reason, 0, "", "")


# Each of these is one transaction, with the database's clock.


def _claim(
    session: Session, settings: Settings, room: int
) -> tuple[list[Claimed], Mapping[str, frozenset[str]]]:
    now = clock(session)
    claimed = notices.claim(session, settings.worker, room, settings.lease, now)
    return claimed, notices.stops(session, now) if claimed else {}


def _open(session: Session, claimed: Claimed, way: Way, settings: Settings) -> bool:
    is_open = notices.open_notice(session, claimed, way, settings.limits, settings.lease, clock(session))
    reach("notice.opening")
    return is_open


def _renew(session: Session, claimed: Claimed, settings: Settings) -> None:
    notices.renew(session, claimed, settings.lease, clock(session))


def _put_off(session: Session, claimed: Claimed, reason: str, settings: Settings) -> None:
    wait = backoff(claimed.attempt, settings.retry_first, settings.retry_most)
    notices.put_off(session, claimed, reason, clock(session) + wait)


def _settle(session: Session, claimed: Claimed, receipt: Receipt, settings: Settings) -> None:
    waits = (settings.retry_first, settings.retry_most)
    notices.settle(session, claimed, receipt, settings.keys, waits, clock(session))
    reach("notice.settling")
