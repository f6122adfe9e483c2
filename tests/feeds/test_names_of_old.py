"""Schema 0002 remembers what the entries of 0001 are known by: an upgrade makes nothing new."""

from dataclasses import replace
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from sqlmodel import Session

from alerts import migrations
from alerts.db import Database
from alerts.feeds.formats import ParsedFeed
from alerts.feeds.outcomes import Kind
from alerts.feeds.store.entries import apply, compare
from alerts.models import Feed
from alerts.schema import checking_references_last, upgrade
from build import NOW, a_feed
from fakes.blog import entry, newest_first, window, words


def sees(session: Session, feed_id: int, parsed: ParsedFeed) -> list[str]:
    feed = session.get_one(Feed, feed_id)
    items = apply(session, feed, compare(session, feed, parsed, NOW), NOW)
    feed.baselined_at = NOW
    session.add(feed)
    return [item.kind for item in items if item.kind != Kind.IGNORED]


def to_the_first_schema_and_back(db: Database) -> None:
    config = Config()
    config.set_main_option("script_location", str(Path(migrations.__file__).parent))
    with db.engine.connect() as connection, checking_references_last(connection), connection.begin():
        config.attributes["connection"] = connection
        command.downgrade(config, "0001")
    upgrade(db)


def bare(parsed: ParsedFeed, shape: str) -> ParsedFeed:
    fields: dict[str, dict[str, str | None]] = {
        "ids": {},
        "urls": {"key": None},
        "words": {"key": None, "url": ""},
    }
    return window(*(replace(each, **fields[shape]) for each in parsed.entries))  # type: ignore[arg-type]  # of FeedEntry


@pytest.mark.parametrize("shape", ["ids", "urls", "words"])
def test_an_upgrade_makes_nothing_new(db: Database, shape: str) -> None:
    edited = window(entry(4, text=f"{words(4)} That was put right since."), *newest_first(3).entries)
    windows = [bare(parsed, shape) for parsed in (newest_first(4), edited)]
    with db.begin() as session:
        feed_id = a_feed(session, baselined_at=None)
        for parsed in windows:
            sees(session, feed_id, parsed)
        last_window = session.get_one(Feed, feed_id).last_window
    to_the_first_schema_and_back(db)
    with db.begin() as session:
        assert session.get_one(Feed, feed_id).last_window == last_window
        names = session.execute(sa.text("SELECT kind, count(*) FROM entry_alias GROUP BY kind")).all()
        kinds = {"ids": "id", "urls": "url"}
        assert {kind: count for kind, count in names} == {"text": 5} | (  # noqa: C416 - rows are no pairs to mypy
            {kinds[shape]: 4} if shape in kinds else {}
        )
        for parsed in (windows[1], windows[0]):
            assert sees(session, feed_id, parsed) == []
        grown = bare(window(entry(5), *newest_first(3).entries), shape)
        assert sees(session, feed_id, grown) == [Kind.NEW]
