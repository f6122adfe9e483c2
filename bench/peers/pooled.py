"""aiosmtplib with a pool of connections, in the event loop that ours has.

Ways: `message` (an EmailMessage per reader), `bytes` (its sendmail, given ready-made ones).
"""

import asyncio
from collections.abc import Iterator, Sequence

import aiosmtplib

from alerts.loops import quickest
from bench.peers.given import Given, Person, bytes_maker, given, measured, message


def main() -> None:
    told = given()
    with asyncio.Runner(loop_factory=quickest) as runner:
        pool = runner.run(connected(told.port, told.connections))
        measured(lambda people: runner.run(_send(told, pool, people)), told)
        runner.run(left(pool))


async def connected(port: int, connections: int) -> list[aiosmtplib.SMTP]:
    pool = [aiosmtplib.SMTP(hostname="127.0.0.1", port=port, start_tls=False) for _ in range(connections)]
    await asyncio.gather(*(smtp.connect() for smtp in pool))
    return pool


async def left(pool: Sequence[aiosmtplib.SMTP]) -> None:
    await asyncio.gather(*(smtp.quit() for smtp in pool))


async def _send(told: Given, pool: Sequence[aiosmtplib.SMTP], people: Sequence[Person]) -> None:
    waiting = iter(people)
    courier = _with_messages if told.way == "message" else _with_bytes
    await asyncio.gather(*(courier(told, smtp, waiting) for smtp in pool))


async def _with_messages(told: Given, smtp: aiosmtplib.SMTP, waiting: Iterator[Person]) -> None:
    for person in waiting:
        mail = message(told.load, person)
        await smtp.send_message(mail, sender=told.load["sender"], recipients=[person[0]])


async def _with_bytes(told: Given, smtp: aiosmtplib.SMTP, waiting: Iterator[Person]) -> None:
    make = bytes_maker(told.load)
    for person in waiting:
        await smtp.sendmail(told.load["sender"], [person[0]], make(person))


if __name__ == "__main__":
    main()
