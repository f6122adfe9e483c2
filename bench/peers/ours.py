"""The sending path of alerts by itself: its own `compose` and `Transport`, in chunks, without the ledger.

Ways: `plain`, and `signed-N`, with N threads that sign ahead.
"""

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from functools import partial

from alerts.mail.compose import compose
from alerts.mail.smtp import Mail, Outcome, Replied, Server
from alerts.mail.transports import Transport
from bench.mail import RELEASED, SENDER, prepared
from bench.peers.given import Given, Person, given, measured

_CHUNK = 500
_SLICE = 25
_ACCEPTED = 250

Make = Callable[[Sequence[Person]], list[bytes]]


def main() -> None:
    told = given()
    threads = int(told.way.removeprefix("signed-")) if told.way != "plain" else 0
    make = _signed(told) if threads else _plain
    with asyncio.Runner() as runner, ThreadPoolExecutor(threads or 1) as pool:
        transport = Transport(_server(told))
        signers = pool if threads else None
        measured(lambda people: runner.run(_send(transport, people, make, signers)), told)
        runner.run(transport.close())


async def _send(
    transport: Transport, people: Sequence[Person], make: Make, signers: ThreadPoolExecutor | None
) -> None:
    """Keeps two chunks in hand, as a daemon's couriers do."""
    chunks = iter(_sliced(people, _CHUNK))

    async def courier() -> None:
        for chunk in chunks:
            await _send_chunk(transport, chunk, make, signers)

    await asyncio.gather(courier(), courier())


async def _send_chunk(
    transport: Transport, chunk: Sequence[Person], make: Make, signers: ThreadPoolExecutor | None
) -> None:
    outcomes: list[Outcome] = []
    all_settled = asyncio.get_running_loop().create_future()

    def settle(outcome: Outcome) -> None:
        outcomes.append(outcome)
        if len(outcomes) == len(chunk):
            all_settled.set_result(None)

    def submit(people: Sequence[Person], contents: Sequence[bytes]) -> None:
        for (address, _, _), content in zip(people, contents, strict=True):
            transport.submit(Mail(SENDER, address, content, _nothing, _nothing), settle)

    if signers is None:
        submit(chunk, make(chunk))
    else:
        loop = asyncio.get_running_loop()
        signed = [(people, loop.run_in_executor(signers, make, people)) for people in _sliced(chunk, _SLICE)]
        for people, contents in signed:
            submit(people, await contents)
    await all_settled
    bad = [each for each in outcomes if not (isinstance(each, Replied) and each.code == _ACCEPTED)]
    if bad:
        raise SystemExit(f"{len(bad)} mails were not accepted, the first so: {bad[0]}")


def _plain(people: Sequence[Person]) -> list[bytes]:
    shared = prepared()
    return [compose(shared, *person) for person in people]


def _signed(told: Given) -> Make:
    from alerts.mail import dkim  # noqa: PLC0415 - a version without it can still be measured unsigned

    signer = dkim.Signer(told.load["domain"], "bench", dkim.load_key(told.load["signing_key"].encode()))
    signable = dkim.prepare([signer], dkim.pin(prepared(), [signer], RELEASED))

    def make(people: Sequence[Person]) -> list[bytes]:
        signed = partial(dkim.sign, signable)
        return [compose(signable.prepared, *person, signature=signed(*person)) for person in people]

    return make


def _sliced(people: Sequence[Person], size: int) -> list[Sequence[Person]]:
    return [people[start : start + size] for start in range(0, len(people), size)]


def _nothing() -> None:
    """Stands for the lease's fence and the journal: here is no ledger."""


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
