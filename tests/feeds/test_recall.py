"""The comparison over the tables: names that last, entries taken back, and a cost that does not grow with age."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from random import Random
from typing import Any

import pytest
import sqlalchemy as sa
from sqlmodel import Session, col, select
from structlog.testing import capture_logs

from alerts.db import Database
from alerts.feeds.compare.identity import sight
from alerts.feeds.fetch import Validators
from alerts.feeds.formats import ParsedFeed
from alerts.feeds.outcomes import Kind, PollItem, TurnKind, Window
from alerts.feeds.poll_log import tell
from alerts.feeds.store.claims import claim_due
from alerts.feeds.store.entries import apply, compare
from alerts.feeds.store.polls import store
from alerts.feeds.store.recall import known
from alerts.models import Alert, AlertState, Audit, Entry, EntryAlias, Feed
from build import NOW, a_feed, a_topic
from fakes.blog import URL, entry, newest_first, window

MINUTE = timedelta(minutes=1)


class Desk:
    """A feed whose windows are compared and stored, one a minute, without the network."""

    def __init__(self, database: Database, **fields: Any) -> None:
        self.database, self.now = database, NOW
        with database.begin() as session:
            self.feed_id = a_feed(session, **{"baselined_at": None} | fields)
            a_topic(session)

    def sees(self, parsed: ParsedFeed) -> list[tuple[str, str]]:
        """Gives what came of a window, what is ignored left out."""
        self.now += MINUTE
        with self.database.begin() as session:
            return [
                (item.kind, item.title) for item in self._poll(session, parsed) if item.kind != Kind.IGNORED
            ]

    def _poll(self, session: Session, parsed: ParsedFeed) -> Sequence[PollItem]:
        feed = session.get_one(Feed, self.feed_id)
        decision = compare(session, feed, parsed, self.now)
        items = apply(session, feed, decision, self.now)
        feed.baselined_at = feed.baselined_at or self.now
        session.add(feed)
        return items

    def read(self, query: Any) -> list[Any]:
        with self.database.begin() as session:
            return list(session.execute(query).scalars())

    @property
    def feed(self) -> Feed:
        with self.database.begin() as session:
            return session.get_one(Feed, self.feed_id)


@pytest.fixture
def desk(db: Database) -> Desk:
    return Desk(db)


def test_an_entry_is_known_by_every_name_it_had(desk: Desk) -> None:
    desk.sees(newest_first(3))
    renamed = replace(entry(2), key="post-two", url=f"{URL}#two")
    edited = replace(renamed, text="Nothing that was written here is here any more, but the id is.")
    assert desk.sees(window(entry(3), renamed, entry(1))) == [(Kind.RELINKED, "post-two")]
    assert desk.sees(window(entry(3), edited, entry(1))) == [(Kind.EDITED, entry(2).title)]
    desk.sees(window(*(entry(number) for number in range(30, 20, -1)), entry(3)))
    for name in (renamed, edited, entry(2), replace(entry(2), key="post-2x", text="Another text", url="")):
        before = desk.read(sa.select(sa.func.count()).select_from(Entry))
        desk.sees(window(name, entry(30)))
        assert desk.read(sa.select(sa.func.count()).select_from(Entry)) == before
    kinds = sa.select(col(EntryAlias.kind)).join(Entry, col(Entry.id) == EntryAlias.entry_id)
    assert sorted(desk.read(kinds.where(col(Entry.key) == "post-two"))) == [
        "id", "id", "text", "text", "text", "url", "url",
    ]  # fmt: skip


def test_an_id_that_another_story_uses_leads_to_that_one(desk: Desk) -> None:
    desk.sees(newest_first(3))
    story = replace(
        entry(200, title="Council votes for a market hall", key="post-2x"),
        text="After a long evening members agreed by one vote that building may begin.",
    )
    assert (Kind.NEW, story.title) in desk.sees(window(story, entry(3), entry(1)))
    assert desk.sees(window(story, entry(3), entry(1))) == []
    assert desk.sees(newest_first(3)) == [], "an edge still shows the old story"
    assert len(desk.read(sa.select(col(Entry.key)))) == 4


def test_the_last_window_is_kept_in_its_order(desk: Desk) -> None:
    desk.sees(newest_first(8))
    ids = dict(zip(desk.read(sa.select(col(Entry.key))), desk.read(sa.select(col(Entry.id))), strict=True))
    assert desk.feed.last_window == [ids[f"post-{number}x"] for number in range(8, 0, -1)]
    desk.sees(window())
    assert len(desk.feed.last_window) == 8
    desk.sees(newest_first(2))
    assert desk.feed.last_window[:2] == [ids["post-2x"], ids["post-1x"]]
    assert len(desk.feed.last_window) == 4, "what a damaged page left out is forgotten by halves"


def test_the_rules_health_is_stored_and_its_fall_is_audited(desk: Desk) -> None:
    desk.sees(newest_first(4))
    assert (desk.feed.identity_unique, desk.feed.identity_stable) == (1.0, 1.0)
    for turn in range(3):
        desk.sees(
            window(*(replace(each, key=f"{turn}{each.key}", url="") for each in newest_first(4).entries))
        )
    assert desk.feed.identity == "text"
    assert desk.feed.identity_health.startswith("degraded: known texts come under new keys")
    assert desk.read(sa.select(col(Audit.action))) == ["feed.degrade"]


# Taken back


def test_a_held_alert_of_a_withdrawn_entry_is_cancelled(db: Database) -> None:
    desk = Desk(db, hold=timedelta(minutes=5))
    desk.sees(newest_first(2))
    assert desk.sees(newest_first(3)) == [(Kind.NEW, entry(3).title)]
    gone = replace(newest_first(2), withdrawn=("post-3x",))
    assert desk.sees(gone) == [(Kind.WITHDRAWN, entry(3).title)]
    assert desk.read(sa.select(col(Alert.state))) == [AlertState.CANCELLED]
    assert desk.read(sa.select(col(Alert.state_reason))) == ["withdrawn by its publisher"]
    assert desk.sees(gone) == []
    assert desk.sees(newest_first(3)) == [(Kind.RESTORED, entry(3).title)]
    assert desk.read(sa.select(col(Alert.state))) == [AlertState.CANCELLED]


def test_an_alert_that_went_out_is_not_cancelled(desk: Desk) -> None:
    desk.sees(newest_first(2))
    desk.sees(newest_first(3))
    desk.sees(replace(newest_first(2), withdrawn=("post-3x",)))
    assert desk.read(sa.select(col(Alert.state))) == [AlertState.RELEASED]
    assert desk.read(sa.select(col(Entry.withdrawn_at)).where(col(Entry.key) == "post-3x")) == [desk.now]


# A page that goes on elsewhere


def test_the_first_window_of_the_successor_is_told_from_later_ones(desk: Desk) -> None:
    desk.sees(newest_first(3))
    with desk.database.begin() as session:
        feed = session.get_one(Feed, desk.feed_id)
        feed.followed_at = desk.now
        session.add(feed)
    old = [replace(entry(number), key=f"day2-{number}", url="") for number in range(60, 30, -1)]
    old = [replace(each, published_at=desk.now - MINUTE) for each in old]
    fresh = replace(entry(90), key="day2-90", url="", published_at=desk.now + MINUTE)
    found = desk.sees(window(fresh, *old, replace(entry(3), key="day2-3", url="")))
    assert [title for kind, title in found if kind == Kind.NEW] == [fresh.title]
    assert sum(kind == Kind.BASELINE for kind, _ in found) == 30
    late = replace(entry(91), key="day2-91", url="", published_at=desk.now - MINUTE)
    assert desk.sees(window(fresh, late, *old)) == [(Kind.NEW, late.title)]


# Scale


def test_an_old_feed_costs_no_more_than_its_window(desk: Desk) -> None:
    desk.sees(newest_first(5))
    with desk.database.begin() as session:
        session.connection().execute(
            sa.insert(Entry),
            [
                {
                    "feed_id": desk.feed_id, "key": f"old-{number}", "fingerprint": f"old {number}", "revision": 1,
                    "key_event_by": "", "is_baseline": True, "is_held": False, "first_seen_at": NOW,
                    "last_seen_at": NOW,
                }
                for number in range(2_000)
            ],
        )  # fmt: skip
    shown = window(entry(6), *newest_first(5).entries)
    with desk.database.begin() as session:
        feed = session.get_one(Feed, desk.feed_id)
        found = known(session, feed, [sight(each) for each in shown.entries])
        assert set(found.entries) == {f"post-{number}x" for number in range(1, 6)}
        assert session.exec(select(sa.func.count()).select_from(Entry)).one() == 2_005


@pytest.mark.parametrize("shown", [newest_first(5), window(entry(9), entry(5), entry(2))])
def test_texts_are_read_only_where_they_decide(desk: Desk, shown: ParsedFeed) -> None:
    desk.sees(newest_first(5))
    with desk.database.begin() as session:
        feed = session.get_one(Feed, desk.feed_id)
        found = known(session, feed, [sight(each) for each in shown.entries])
    has_unknown = any(each.title == entry(9).title for each in shown.entries)
    assert all(bool(each.text) is has_unknown for each in found.entries.values())


# Through the poll


def test_the_operator_is_told_when_a_rule_is_given_up(db: Database) -> None:
    desk = Desk(db, next_poll_at=NOW)
    ids_by_place = [entry(number, key=f"live-{4 - number}x", url="") for number in (3, 2, 1)]
    desk.sees(window(*ids_by_place))
    moved = [entry(number, key=f"live-{5 - number}x", url="") for number in (4, 3, 2, 1)]
    with db.begin() as session:
        due = claim_due(session, desk.now + MINUTE, 1, MINUTE)[0]
    with db.begin() as session:
        outcome = Window(window(*moved), Validators(), "hash")
        result = store(session, due, outcome, desk.now + MINUTE, Random(1))
    assert [turn.kind for turn in result.turns] == [TurnKind.DEGRADED]
    assert "moved to other keys" in result.turns[0].why
    with capture_logs() as logged:
        tell(result)
    assert [line["log_level"] for line in logged if line["event"] == "feed_degraded"] == ["warning"]
