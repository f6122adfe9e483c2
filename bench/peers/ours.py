"""The sending path of alerts by itself: its own `compose` and `Transport`, in chunks, without the ledger.

Ways: `plain`, and `signed-N`, with N threads that sign ahead.
"""

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import timedelta
from functools import partial

from alerts.loops import quickest
from alerts.mail.compose import Fillings, Prepared, compose, fillings
from alerts.mail.smtp import Outcome, Replied, Server
from alerts.mail.transports import Transport
from bench.mail import RELEASED, SENDER, prepared
from bench.peers.given import Given, Person, given, measured

_CHUNK = 500
_SLICE = 16
_ACCEPTED = 250

_SENDER = SENDER.encode("ascii")


@dataclass(frozen=True, slots=True)
class _Signing:
    """What is signed, and how, for some readers at once."""

    prepared: Prepared
    sign: Callable[[Sequence[Person]], list[tuple[Fillings, bytes]]]


def main() -> None:
    told = given()
    threads = int(told.way.removeprefix("signed-")) if told.way != "plain" else 0
    signing = _signing(told) if threads else None
    with (
        asyncio.Runner(loop_factory=quickest) as runner,
        ThreadPoolExecutor(threads or 1) as signers,
    ):
        transport = Transport(_server(told))
        measured(lambda people: runner.run(_send(transport, people, signing, signers)), told)
        runner.run(transport.close())


async def _send(
    transport: Transport, people: Sequence[Person], signing: _Signing | None, signers: ThreadPoolExecutor
) -> None:
    """Keeps two chunks in hand, as a daemon's couriers do."""
    chunks = iter(_sliced(people, _CHUNK))

    async def courier() -> None:
        for chunk in chunks:
            await _send_chunk(transport, chunk, signing, signers)

    await asyncio.gather(courier(), courier())


class _Errand:
    """One mail as the wire asks for it; here is no ledger, so no lease to check and no journal to begin."""

    __slots__ = ("_settle", "content", "recipient", "sender", "tries")

    domain = ""  # no destination asks us to slow down
    goes_first = False

    def __init__(
        self, recipient: bytes, content: Callable[[], bytes], settle: Callable[[Outcome], None]
    ) -> None:
        self.sender = _SENDER
        self.recipient = recipient
        self.tries = 0
        self.content = content
        self._settle = settle

    def check(self) -> None:
        pass

    def begin(self) -> None:
        pass

    def settle(self, outcome: Outcome) -> bool:
        self._settle(outcome)
        return False


async def _send_chunk(
    transport: Transport, chunk: Sequence[Person], signing: _Signing | None, signers: ThreadPoolExecutor
) -> None:
    loop = asyncio.get_running_loop()
    outcomes: list[Outcome] = []
    all_settled = loop.create_future()

    def settle(outcome: Outcome) -> None:
        outcomes.append(outcome)
        if len(outcomes) == len(chunk):
            all_settled.set_result(None)

    if signing is None:
        shared = prepared()
        for person in chunk:
            own = fillings(*person)
            transport.submit(_Errand(own.to, partial(compose, shared, own), settle))
    else:
        slices = _sliced(chunk, _SLICE)
        ahead = [loop.run_in_executor(signers, signing.sign, each) for each in slices]
        for signed in ahead:
            for own, signature in await signed:
                content = partial(compose, signing.prepared, own, signature=signature)
                transport.submit(_Errand(own.to, content, settle))
    await all_settled
    bad = [each for each in outcomes if not (isinstance(each, Replied) and each.code == _ACCEPTED)]
    if bad:
        raise SystemExit(f"{len(bad)} mails were not accepted, the first so: {bad[0]}")


def _signing(told: Given) -> _Signing:
    from alerts.mail import dkim  # noqa: PLC0415 - a version without it can still be measured unsigned

    signer = dkim.Signer(told.load["domain"], "bench", dkim.load_key(told.load["signing_key"].encode()))
    signable = dkim.prepare([signer], dkim.pin(prepared(), [signer], RELEASED))

    def sign(people: Sequence[Person]) -> list[tuple[Fillings, bytes]]:
        owns = [fillings(*person) for person in people]
        return [(own, dkim.sign(signable, own)) for own in owns]

    return _Signing(signable.prepared, sign)


def _sliced(people: Sequence[Person], size: int) -> list[Sequence[Person]]:
    return [people[start : start + size] for start in range(0, len(people), size)]


def _server(told: Given) -> Server:
    return Server(
        name="bench",
        host="127.0.0.1",
        port=told.port,
        tls="none",
        username="",
        password="",
        connections=told.connections,
        connect_timeout=timedelta(seconds=10),
        reply_timeout=timedelta(minutes=1),
        final_timeout=timedelta(minutes=1),
    )


if __name__ == "__main__":
    main()
