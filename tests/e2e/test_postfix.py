"""Postfix as the relay: what it logs as sent is what was owed, and it has nothing against its client."""

import asyncio
from pathlib import Path

from alerts.db import Database
from delivering import all_done, announce, delivering, until
from fakes import postfix


async def test_postfix_takes_each_mail_once_and_complains_of_nothing(
    sqlite_db: Database, relay: postfix.Postfix, tmp_path: Path
) -> None:
    announce(sqlite_db, 300)
    async with delivering(sqlite_db, relay, tmp_path):
        await until(sqlite_db, all_done)
    async with asyncio.timeout(20):
        while len(relay.sent()) < 300:  # noqa: ASYNC110 - another process writes the log
            await asyncio.sleep(0.05)
    assert sorted(relay.sent()) == sorted(f"reader{number}@example.org" for number in range(1, 301))
    assert relay.complaints() == []
