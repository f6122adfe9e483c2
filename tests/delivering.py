"""A deliverer at work inside a test, and what it is given to deliver."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from sqlmodel import Session, select

from alerts.audience.tokens import derive
from alerts.db import Database
from alerts.dispatch.announce import announce_entry
from alerts.dispatch.compose import Composer, ReturnPath
from alerts.dispatch.deliver import Deliverer, Settings
from alerts.dispatch.journal import Journals
from alerts.mail.dkim import Signer
from alerts.mail.render import Renderer, SiteView
from alerts.mail.smtp import Server
from alerts.mail.transports import Transport, Transports
from alerts.models import Alert, AlertState
from build import a_feed, a_topic, an_entry, readers

KEYS = derive(b"s" * 32, [])
SITE = SiteView("Harbour News", "https://news.example", "Harbour News", "alerts@example.org", "", "")
SETTINGS = Settings(
    worker="test",
    keys=KEYS,
    lease=timedelta(seconds=30),
    batch=50,
    parallel=2,
    retry_first=timedelta(milliseconds=50),
    retry_most=timedelta(seconds=1),
    signing_threads=2,
)


class Relay(Protocol):
    """Where mail is handed to."""

    @property
    def host(self) -> str: ...

    @property
    def port(self) -> int: ...


@asynccontextmanager
async def delivering(
    db: Database,
    relay: Relay,
    folder: Path,
    *,
    signers: Sequence[Signer] = (),
    also: Mapping[str, Relay] | None = None,
    weights: Mapping[str, int] | None = None,
    widths: Mapping[str, int] | None = None,
    bounce_tag: str = "",
    patience: timedelta = timedelta(seconds=5),
    **changes: Any,
) -> AsyncIterator[Deliverer]:
    """A deliverer at work for the length of the block; the relay is `main`, others have their names in `also`."""
    transports = Transports(
        {
            Transport(_server(name, each, patience), widths): (weights or {}).get(name, 1)
            for name, each in {"main": relay, **(also or {})}.items()
        }
    )
    stop = asyncio.Event()
    settings = replace(SETTINGS, **changes)
    with Journals(folder / "journal", settings.worker) as journals:
        return_path = ReturnPath("bounce@example.org", bounce_tag, KEYS)
        composer = Composer(db, Renderer(SITE, []), SITE, KEYS, return_path, signers)
        deliverer = Deliverer(db, transports, composer, journals, settings)
        db.on_wake(partial(asyncio.get_running_loop().call_soon_threadsafe, deliverer.wake))
        task = asyncio.create_task(deliverer.run(stop))
        try:
            yield deliverer
        finally:
            stop.set()
            deliverer.wake()
            await task
            await transports.close()


def _server(name: str, relay: Relay, patience: timedelta) -> Server:
    return Server(
        name=name,
        host=relay.host,
        port=relay.port,
        tls="none",
        username="",
        password="",
        connections=4,
        connect_timeout=timedelta(seconds=5),
        reply_timeout=patience,
        final_timeout=patience,
    )


async def until(db: Database, holds: Callable[[Session], bool]) -> None:
    """Returns once the ledger says so; there is no event to await in another connection's transaction."""
    async with asyncio.timeout(20):
        while not await db.run(holds):  # noqa: ASYNC110 - see above
            await asyncio.sleep(0.02)


def all_done(session: Session) -> bool:
    return set(session.exec(select(Alert.state)).all()) == {AlertState.DONE}


def announce(db: Database, count: int, **entry: Any) -> tuple[int, int, list[int]]:
    """Writes an entry that `count` readers follow, and announces it now; gives entry, topic and readers."""
    now = datetime.now(UTC)
    with db.begin() as session:
        topic = a_topic(session, title="The harbour")
        ids = readers(session, count, topic)
        entry_id = an_entry(session, a_feed(session), now=now, **entry)
        announce_entry(session, entry_id, now)
    return entry_id, topic, ids
