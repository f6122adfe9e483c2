"""A digest by the service as it runs: its daemon dies wherever it can, and the reader gets one mail that is whole."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from email import message_from_bytes, policy
from pathlib import Path

from sqlmodel import Session, select

from alerts.audience import slots, subscribers
from alerts.db import Database
from alerts.dispatch.announce import announce_entry
from alerts.dispatch.digests.announcing import GRACE
from alerts.models import Entry, EntryRevision, Feed, Frequency
from build import a_reader, an_entry
from fakes.blog import Post
from fakes.site import site
from fakes.smtp import StartSmtp
from installation import CONFIG, Installation


async def test_an_hourly_digest_comes_once_wherever_the_daemon_dies(
    sqlite_url: str, tmp_path: Path, smtp_server: StartSmtp
) -> None:
    relay = await smtp_server()
    async with site() as feed:
        installation = Installation(tmp_path, feed, relay)
        installation.shows(Post("post-1", "Of the baseline", minute=1))
        text = CONFIG.format(database=sqlite_url, smtp=relay.port, feed=feed.url("/live"))
        (tmp_path / "config.toml").write_text(text)
        await installation.command("config", "apply")
        due = slots.latest(Frequency.HOURLY, "UTC", datetime.now(UTC) - GRACE)
        with _database(sqlite_url) as session:
            entry = _an_hour(session, due)
        for point in ("announce.before_commit", "open.before_commit", "open.committed"):
            await installation.dies(point)
        with _database(sqlite_url) as session:
            _edit(session, entry, due)
        await installation.dies("body.committed")
        assert relay.accepted == []
        async with installation.daemon():
            await relay.wait_until(lambda: len(relay.accepted) == 1)
            await installation.polls()
    (mail,) = relay.accepted
    message = message_from_bytes(mail.content, policy=policy.default)
    body = message.get_body(("plain",))
    assert body is not None
    assert message["Date"].datetime == due
    for words in ("The ferry is late", "The bridge is up"):
        assert words in body.get_content()
    assert "edited" not in body.get_content(), "it says what it was opened with"
    told = await installation.command("explain", "reader@example.org", str(entry))
    assert told.startswith("Sent in the ")
    assert "hourly digest of" in told


@contextmanager
def _database(url: str) -> Iterator[Session]:
    database = Database(url)
    try:
        with database.begin() as session:
            yield session
    finally:
        database.close()


def _an_hour(session: Session, due: datetime) -> int:
    """A reader of hourly digests, and two entries that were released before the last full hour."""
    began = due - timedelta(minutes=50)
    reader = a_reader(session, now=began)
    subscribers.follow(session, reader, "harbour", Frequency.HOURLY, by="reader", now=began)
    feed = session.exec(select(Feed.id)).one()
    assert feed is not None
    for number, title in enumerate(("The bridge is up", "The ferry is late")):
        at = began + timedelta(minutes=10 * (number + 1))
        entry = an_entry(session, feed, f"before-{number}", title=title, now=at)
        announce_entry(session, entry, at)
    return entry


def _edit(session: Session, entry: int, at: datetime) -> None:
    row = session.get_one(Entry, entry)
    row.revision += 1
    session.add(
        EntryRevision(entry_id=entry, number=2, fingerprint="edited", title="It was edited", seen_at=at)
    )
