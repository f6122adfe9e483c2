"""What a person may do with feeds, and what each leaves in the audit."""

from datetime import timedelta
from typing import Any

import pytest
from sqlmodel import Session, select

from alerts.db import Database
from alerts.dispatch.announce import announce_entry
from alerts.errors import Conflict, NotFound, Refused
from alerts.feeds import catalog
from alerts.feeds.catalog import Declared, FeedDraft
from alerts.models import Audit, Entry, EntryRevision, Feed, FeedState
from build import NOW, a_feed, a_topic, an_entry

URL = "https://news.example/live"


def draft(name: str = "harbour", **fields: Any) -> FeedDraft:
    return FeedDraft(name, **{"url": f"https://news.example/{name}"} | fields)


def audits(session: Session) -> list[tuple[str, str, str]]:
    session.flush()
    return [(row.by, row.action, row.subject) for row in session.exec(select(Audit).order_by(Audit.id))]  # type: ignore[arg-type]  # SQLModel types columns as their values


def state(session: Session, name: str = "harbour") -> tuple[str, str]:
    view = catalog.show(session, name)
    return view.state, view.state_reason


def test_a_feed_is_added_with_its_policy_and_due_at_once(db: Database) -> None:
    wanted = draft(hold=timedelta(seconds=30), key_words=("breaking",), flood_limit=7, approval=True)
    with db.begin() as session:
        catalog.add(session, wanted, "ann", NOW)
        view = catalog.show(session, "harbour")
        assert view.draft == wanted
        assert (view.state, view.next_poll_at, view.entries) == (FeedState.ACTIVE, NOW, 0)
        assert audits(session) == [("ann", "feed.add", "feed:harbour")]


@pytest.mark.parametrize("name", ["", "Harbour", "-a", "a b", "a" * 64, "a\n"])
def test_refuses_a_bad_name(db: Database, name: str) -> None:
    with db.begin() as session, pytest.raises(Refused, match="small letters"):
        catalog.add(session, draft(name, url=URL), "ann", NOW)


@pytest.mark.parametrize(
    "url", ["", "news.example", "ftp://news.example", "file:///etc/passwd", "https://", "http://["]
)
def test_refuses_what_is_no_web_address(db: Database, url: str) -> None:
    with db.begin() as session, pytest.raises(Refused, match="http"):
        catalog.add(session, draft(url=url), "ann", NOW)


def test_names_and_urls_are_taken_once(db: Database) -> None:
    with db.begin() as session:
        catalog.add(session, draft(), "ann", NOW)
        with pytest.raises(Conflict, match="another name"):
            catalog.add(session, draft(url=URL), "ann", NOW)
        with pytest.raises(Conflict, match="polls this URL"):
            catalog.add(session, draft("other", url="https://news.example/harbour"), "ann", NOW)


def test_says_which_feed_is_not_there(db: Database) -> None:
    with db.begin() as session, pytest.raises(NotFound, match="no feed nowhere"):
        catalog.pause(session, "nowhere", "ann", NOW)


def test_pause_and_resume(db: Database) -> None:
    with db.begin() as session:
        a_feed(session, etag='"1"', failures=3, next_poll_at=NOW + timedelta(days=1))
        catalog.pause(session, "harbour", "ann", NOW)
        catalog.pause(session, "harbour", "ann", NOW)
        assert state(session) == (FeedState.PAUSED, "paused by ann")
        catalog.resume(session, "harbour", "bob", NOW)
        catalog.resume(session, "harbour", "bob", NOW)
        assert state(session) == (FeedState.ACTIVE, "")
        assert [action for _, action, _ in audits(session)] == ["feed.pause", "feed.resume"]
        feed = session.exec(select(Feed)).one()
        assert (feed.next_poll_at, feed.failures, feed.etag) == (NOW, 0, "")


def test_a_pause_does_not_free_what_was_held(db: Database) -> None:
    with db.begin() as session:
        feed_id = a_feed(session, state=FeedState.HELD)
        an_entry(session, feed_id, is_held=True)
        catalog.pause(session, "harbour", "ann", NOW)
        catalog.resume(session, "harbour", "ann", NOW)
        assert state(session)[0] == FeedState.HELD
        assert catalog.show(session, "harbour").held_entries == 1


def test_only_a_held_feed_can_be_released(db: Database) -> None:
    with db.begin() as session:
        a_feed(session)
        with pytest.raises(Conflict, match="active, not held"):
            catalog.release(session, "harbour", "ann", NOW)


def test_a_feed_that_mailed_nothing_is_removed_whole(db: Database) -> None:
    with db.begin() as session:
        an_entry(session, a_feed(session))
        assert catalog.remove(session, "harbour", "ann", NOW) is True
        assert catalog.list_feeds(session) == []
        assert session.exec(select(Entry)).all() == []
        assert session.exec(select(EntryRevision)).all() == []
        assert audits(session) == [("ann", "feed.remove", "feed:harbour")]


def test_a_feed_that_the_ledger_names_is_kept_and_paused(db: Database) -> None:
    with db.begin() as session:
        a_topic(session)
        announce_entry(session, an_entry(session, a_feed(session)), NOW)
        assert catalog.remove(session, "harbour", "ann", NOW) is False
        assert state(session)[0] == FeedState.PAUSED
        assert catalog.show(session, "harbour").entries == 1


def test_declaring_again_changes_nothing(db: Database) -> None:
    with db.begin() as session:
        assert catalog.declare(session, [draft(), draft("port")], NOW) == Declared(
            ("harbour", "port"), (), ()
        )
        assert catalog.declare(session, [draft(), draft("port")], NOW) == Declared((), (), ())
        assert all(view.from_config for view in catalog.list_feeds(session))


def test_a_changed_declaration_is_applied(db: Database) -> None:
    with db.begin() as session:
        catalog.declare(session, [draft()], NOW)
        moved = draft(url=URL, flood_limit=9)
        assert catalog.declare(session, [moved], NOW) == Declared((), ("harbour",), ())
        assert catalog.show(session, "harbour").draft == moved


def test_what_vanished_is_paused_and_comes_back(db: Database) -> None:
    with db.begin() as session:
        catalog.declare(session, [draft()], NOW)
        assert catalog.declare(session, [], NOW) == Declared((), (), ("harbour",))
        assert state(session) == (FeedState.PAUSED, "no longer declared in config.toml")
        assert catalog.declare(session, [], NOW) == Declared((), (), ())
        assert catalog.declare(session, [draft()], NOW) == Declared((), ("harbour",), ())
        assert state(session) == (FeedState.ACTIVE, "")


def test_a_persons_pause_outlives_a_declaration(db: Database) -> None:
    with db.begin() as session:
        catalog.declare(session, [draft()], NOW)
        catalog.pause(session, "harbour", "ann", NOW)
        catalog.declare(session, [draft(flood_limit=9)], NOW)
        assert state(session) == (FeedState.PAUSED, "paused by ann")


def test_a_url_stays_with_the_feed_that_has_it_also_paused(db: Database) -> None:
    with db.begin() as session:
        catalog.declare(session, [draft()], NOW)
        with pytest.raises(Conflict, match="harbour polls this URL"):
            catalog.declare(session, [draft("port", url="https://news.example/harbour")], NOW)


def test_a_declared_feed_is_removed_where_it_is_declared(db: Database) -> None:
    with db.begin() as session:
        catalog.declare(session, [draft()], NOW)
        with pytest.raises(Conflict, match=r"config\.toml"):
            catalog.remove(session, "harbour", "ann", NOW)
