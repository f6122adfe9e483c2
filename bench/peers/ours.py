"""The sending path of alerts by itself: its own `compose` and `Transport`, in chunks, without the ledger."""

import asyncio
from collections.abc import Sequence
from datetime import timedelta

from alerts.mail.compose import compose
from alerts.mail.smtp import Mail, Outcome, Replied, Server
from alerts.mail.transports import Transport
from bench.mail import prepared
from bench.peers.given import Given, Person, given, measured

_CHUNK = 500
_ACCEPTED = 250


def main() -> None:
    told = given()
    with asyncio.Runner() as runner:
        transport = Transport(_server(told))
        measured(lambda people: runner.run(_send(told, transport, people)), told)
        runner.run(transport.close())


async def _send(told: Given, transport: Transport, people: Sequence[Person]) -> None:
    """Keeps two chunks in hand, as a daemon's couriers do."""
    chunks = iter([people[start : start + _CHUNK] for start in range(0, len(people), _CHUNK)])

    async def courier() -> None:
        for chunk in chunks:
            await _send_chunk(told, transport, chunk)

    await asyncio.gather(courier(), courier())


async def _send_chunk(told: Given, transport: Transport, chunk: Sequence[Person]) -> None:
    outcomes: list[Outcome] = []
    all_settled = asyncio.get_running_loop().create_future()

    def settle(outcome: Outcome) -> None:
        outcomes.append(outcome)
        if len(outcomes) == len(chunk):
            all_settled.set_result(None)

    shared = prepared()
    sender = told.load["sender"]
    for address, message_id, token in chunk:
        content = compose(shared, address, message_id, token)
        transport.submit(Mail(sender, address, content, _nothing, _nothing), settle)
    await all_settled
    bad = [each for each in outcomes if not (isinstance(each, Replied) and each.code == _ACCEPTED)]
    if bad:
        raise SystemExit(f"{len(bad)} mails were not accepted, the first so: {bad[0]}")


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
