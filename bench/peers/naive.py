"""The alert service that one writes first, on the same database as ours; prints its figures as JSON.

For each reader: an EmailMessage, a send over a pooled connection of aiosmtplib, an UPDATE with its commit.
"""

import asyncio
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import aiosmtplib
import psycopg

from bench.peers.given import Given, Person, given, measured, message
from bench.peers.pooled import connected, left

_TABLE = """CREATE TABLE naive_delivery (
    id integer PRIMARY KEY, address text NOT NULL, message_id text NOT NULL, token text NOT NULL, state text NOT NULL
)"""


def main() -> None:
    told = given()
    connection, mark = _opened(told.way)
    connection.execute(_TABLE)
    rows = [(number, *person, "queued") for number, person in enumerate(told.readers)]
    connection.cursor().executemany(f"INSERT INTO naive_delivery VALUES ({', '.join([mark] * 5)})", rows)
    connection.commit()
    with asyncio.Runner() as runner:
        pool = runner.run(connected(told.port, told.connections))

        def deliver(people: Sequence[Person]) -> None:
            if not people:  # nobody warms up
                return
            queued = connection.execute("SELECT * FROM naive_delivery WHERE state = 'queued'").fetchall()
            update = f"UPDATE naive_delivery SET state = 'sent' WHERE id = {mark}"

            def settle(number: int) -> None:
                connection.execute(update, (number,))
                connection.commit()

            runner.run(_deliver(told, pool, iter(queued), settle))

        measured(deliver, told)
        runner.run(left(pool))


async def _deliver(
    told: Given,
    pool: Sequence[aiosmtplib.SMTP],
    queued: Iterator[tuple[Any, ...]],
    settle: Callable[[int], None],
) -> None:
    async def courier(smtp: aiosmtplib.SMTP) -> None:
        for number, address, message_id, token, _ in queued:
            mail = message(told.load, (address, message_id, token))
            await smtp.send_message(mail, sender=told.load["sender"], recipients=[address])
            settle(number)

    await asyncio.gather(*map(courier, pool))


def _opened(url: str) -> tuple[Any, str]:
    """Gives a connection and its mark for a value."""
    if url.startswith("sqlite:///"):
        connection = sqlite3.connect(url.removeprefix("sqlite:///"), timeout=30)
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")  # as ours
        return connection, "?"
    return psycopg.connect(url), "%s"


if __name__ == "__main__":
    main()
