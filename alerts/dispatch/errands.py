"""A chunk's mails on the wire: what each needs to be sent, and the receipt that comes of it."""

import asyncio
from collections.abc import Callable
from contextlib import suppress

import structlog

from alerts.dispatch.fence import Fence
from alerts.dispatch.journal import Journal
from alerts.dispatch.opening import Opening, domain_of
from alerts.dispatch.receipts import Receipt, Settled
from alerts.mail.replies import Verdict, judge, scrub
from alerts.mail.smtp import InDoubt, Outcome, Replied

log = structlog.get_logger()

_GROUP_SECONDS = 0.2  # how long an accepted mail may be known to the journal alone

_SETTLED = {
    Verdict.ACCEPTED: Settled.ACCEPTED,
    Verdict.RETRY: Settled.DEFERRED,
    Verdict.SLOW_DOWN: Settled.DEFERRED,
    Verdict.SENDER_FAULT: Settled.DEFERRED,  # it is owed until its time to live; the operator is told
    Verdict.REFUSED: Settled.REFUSED,
    Verdict.DEAD: Settled.DEAD,
}


class Chunk:
    """What the mails of one chunk share, and the receipts that have come and are not recorded yet."""

    def __init__(self, alert_id: int, size: int, journal: Journal, fence: Fence) -> None:
        self.alert_id = alert_id
        self.journal = journal
        self.fence = fence
        self._left = size  # receipts that were not given out in a group
        self._came: list[Receipt] = []
        self._stir = asyncio.Event()  # the first of a group came, or the last of all

    def take(self, receipt: Receipt) -> None:
        """Takes the one receipt of a mail."""
        self._came.append(receipt)
        if len(self._came) == 1 or len(self._came) == self._left:
            self._stir.set()

    async def group(self, patience: float) -> list[Receipt] | None:
        """Gathers what comes within a fifth of a second of the first; None once all were given out.

        The group is empty when nothing came in `patience` seconds.
        """
        if not self._left:
            return None
        await self._stirred(patience)
        if self._came and len(self._came) < self._left:
            self._stir.clear()
            await self._stirred(_GROUP_SECONDS)
        return self._given()

    async def rest(self) -> None:
        """Waits for the receipts that are still to come."""
        while self._left:
            await self._stir.wait()
            self._given()

    def _given(self) -> list[Receipt]:
        came, self._came = self._came, []
        self._left -= len(came)
        self._stir.clear()
        return came

    async def _stirred(self, seconds: float) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._stir.wait()


class Errand:
    """One reader's mail on its way to the relay (see `alerts.mail.smtp.Mail`)."""

    __slots__ = ("_chunk", "_content", "_is_begun", "_opening", "recipient", "sender", "tries")

    goes_first = False

    def __init__(
        self, chunk: Chunk, opening: Opening, sender: bytes, recipient: bytes, content: Callable[[], bytes]
    ) -> None:
        self.sender = sender
        self.recipient = recipient
        self.tries = 0
        self._chunk = chunk
        self._opening = opening
        self._content = content
        self._is_begun = False  # its envelope was let through

    def check(self) -> None:
        self._chunk.fence.check(is_begun=self._is_begun)
        self._is_begun = True

    def content(self) -> bytes:
        return self._content()

    def begin(self) -> None:
        self._chunk.journal.begin(self._opening.subscriber_id)

    @property
    def domain(self) -> str:
        return domain_of(self._opening.address)

    def settle(self, outcome: Outcome) -> bool:
        """Judges an outcome, writes a reply into the journal, and passes the receipt on; see `Mail`."""
        match outcome:
            case Replied():
                opening = self._opening
                receipt = judged(opening.subscriber_id, opening.address, opening.transport, outcome)
                try:
                    self._chunk.journal.receive(receipt)
                except OSError:  # a full disk: the ledger may know it yet, and no other mail begins meanwhile
                    log.exception("journal_cannot_be_written")
            case InDoubt():
                receipt = Receipt(self._opening.subscriber_id, Settled.UNKNOWN, "", 0, "", "")
            case _:
                receipt = unsent(self._opening, outcome.reason)
        self._chunk.take(receipt)
        # At MAIL nobody was named: the word is about the transport.
        return receipt.domain != "" and receipt.reason.startswith(Verdict.SLOW_DOWN)


def unsent(opening: Opening, reason: str) -> Receipt:
    """Gives the receipt of a mail that certainly did not go out."""
    return Receipt(opening.subscriber_id, Settled.DEFERRED, f"not sent: {reason}", 0, "", "")


def unsendable(opening: Opening) -> Receipt:
    """Gives the receipt of a mail to an address that no command can name."""
    reason = "the address cannot stand on the wire"
    return Receipt(opening.subscriber_id, Settled.REFUSED, reason, 0, "", domain_of(opening.address))


def judged(subscriber_id: int, address: str, transport: str, replied: Replied) -> Receipt:
    """Gives the receipt that a server's reply to a reader's mail is."""
    judgement = judge(replied.code, replied.text, at_rcpt=replied.stage == "RCPT")
    verdict = judgement.verdict
    if replied.stage == "MAIL" and verdict in {Verdict.REFUSED, Verdict.DEAD}:
        verdict = Verdict.SENDER_FAULT  # no recipient was named yet: the word is about us
    is_accepted = verdict is Verdict.ACCEPTED
    return Receipt(
        subscriber_id=subscriber_id,
        settled=_SETTLED[verdict],
        reason="" if is_accepted else f"{verdict}: {judgement.why}",
        code=replied.code,
        reply="" if is_accepted else scrub(replied.text, address),
        # Before a recipient is named, a refusal is the transport's own.
        domain="" if replied.stage == "MAIL" else domain_of(address),
        transport=transport,
    )
