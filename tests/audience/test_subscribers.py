"""Subscribers: signing up, choosing, leaving, being forgotten, and the record of it all."""

from datetime import timedelta

import pytest
from sqlmodel import Session, col, select

from alerts.audience import subscribers, suppressions, topics
from alerts.audience.addresses import Address, normalise
from alerts.audience.topics import TopicDraft
from alerts.db import Database
from alerts.errors import NotFound, Refused
from alerts.models import Audit, Frequency, Subscriber, Subscription, SubscriptionEvent
from build import NOW

PEPPER = b"a pepper for tests"
LATER = NOW + timedelta(hours=1)
LATEST = NOW + timedelta(hours=2)
ANA = normalise("Ana@example.org")


def sign_up(session: Session, address: Address = ANA) -> int:
    return subscribers.add(session, PEPPER, address, by="test", now=NOW)


def with_topics(session: Session) -> None:
    for slug in ("all", "key"):
        topics.add(session, TopicDraft(slug, slug.title()), "test", NOW)


def subscription(session: Session, subscriber_id: int, slug: str = "all") -> Subscription:
    held = session.get(Subscription, (subscriber_id, topics.show(session, slug).id))
    assert held is not None
    return held


def history(session: Session, subscriber_id: int) -> list[tuple[str, str]]:
    events = session.exec(
        select(SubscriptionEvent)
        .where(SubscriptionEvent.subscriber_id == subscriber_id)
        .order_by(col(SubscriptionEvent.id))
    )
    return [(event.kind, event.detail) for event in events]


def test_an_address_is_one_subscriber_however_it_is_spelt(db: Database) -> None:
    with db.begin() as session:
        first = sign_up(session)
        assert sign_up(session, normalise("ANA@EXAMPLE.ORG")) == first
        assert subscribers.find(session, "ana@example.org") == first
        assert subscribers.show(session, first).address == "Ana@example.org"


def test_who_is_unknown_is_not_found_and_what_is_no_address_is_refused(db: Database) -> None:
    with db.begin() as session:
        with pytest.raises(NotFound):
            subscribers.find(session, "nobody@example.org")
        with pytest.raises(Refused):
            subscribers.find(session, "nobody")
        with pytest.raises(NotFound):
            subscribers.show(session, 404)


def test_following_again_at_the_same_frequency_changes_nothing(db: Database) -> None:
    with db.begin() as session:
        with_topics(session)
        reader = sign_up(session)
        assert subscribers.follow(session, reader, "all", Frequency.EVERY, by="test", now=NOW)
        assert not subscribers.follow(session, reader, "all", Frequency.EVERY, by="test", now=LATER)
        assert subscription(session, reader).chosen_at == NOW
        assert history(session, reader) == [("follow", "every")]


def test_a_change_of_frequency_keeps_since_and_moves_the_choice(db: Database) -> None:
    with db.begin() as session:
        with_topics(session)
        reader = sign_up(session)
        subscribers.follow(session, reader, "all", Frequency.EVERY, by="test", now=NOW)
        subscribers.follow(session, reader, "all", Frequency.FLASH, by="test", now=LATER)
        held = subscription(session, reader)
        assert (held.frequency, held.since, held.chosen_at) == ("flash", NOW, LATER)
        assert history(session, reader) == [("follow", "every"), ("change", "flash")]


def test_leaving_keeps_the_row_and_coming_back_starts_anew(db: Database) -> None:
    with db.begin() as session:
        with_topics(session)
        reader = sign_up(session)
        subscribers.follow(session, reader, "all", Frequency.EVERY, by="test", now=NOW)
        assert subscribers.unsubscribe(session, reader, "all", by="test", now=LATER) == 1
        assert subscription(session, reader).until == LATER
        assert subscribers.unsubscribe(session, reader, "all", by="test", now=LATEST) == 0
        assert subscription(session, reader).until == LATER
        assert subscribers.show(session, reader).state == "left"
        subscribers.follow(session, reader, "all", Frequency.EVERY, by="test", now=LATEST)
        held = subscription(session, reader)
        assert (held.until, held.since, held.chosen_at) == (None, LATEST, LATEST)
        assert subscribers.show(session, reader).state == "active"


def test_leaving_one_topic_is_not_leaving_the_other(db: Database) -> None:
    with db.begin() as session:
        with_topics(session)
        reader = sign_up(session)
        for slug in ("all", "key"):
            subscribers.follow(session, reader, slug, Frequency.EVERY, by="test", now=NOW)
        subscribers.unsubscribe(session, reader, "all", by="test", now=LATER)
        view = subscribers.show(session, reader)
        assert view.state == "active"
        assert [each.topic for each in view.following if each.until is None] == ["key"]
        assert subscribers.unsubscribe(session, reader, None, by="test", now=LATER) == 1
        assert subscribers.show(session, reader).state == "left"


def test_following_what_does_not_exist_is_said(db: Database) -> None:
    with db.begin() as session:
        reader = sign_up(session)
        with pytest.raises(NotFound, match="no topic nowhere"):
            subscribers.follow(session, reader, "nowhere", Frequency.EVERY, by="test", now=NOW)


def test_erasure_forgets_the_address_and_keeps_the_suppression(db: Database) -> None:
    with db.begin() as session:
        with_topics(session)
        reader = sign_up(session)
        subscribers.follow(session, reader, "all", Frequency.EVERY, by="test", now=NOW)
        suppressions.suppress(
            session, PEPPER, ANA.key, cause="complaint", evidence="", origin="test", now=NOW
        )
        subscribers.erase(session, reader, by="test", now=LATER)
        subscribers.erase(session, reader, by="test", now=LATEST)
    with db.begin() as session:
        view = subscribers.show(session, reader)
        assert (view.address, view.state) == (None, "erased")
        assert subscription(session, reader).until == LATER
        with pytest.raises(NotFound):
            subscribers.find(session, "ana@example.org")
        with pytest.raises(NotFound):
            subscribers.follow(session, reader, "all", Frequency.EVERY, by="test", now=LATEST)
        again = sign_up(session)
        assert again != reader
        assert subscribers.show(session, again).suppressed == "complaint"


def test_no_address_stands_in_the_history_or_the_audit(db: Database) -> None:
    with db.begin() as session:
        with_topics(session)
        reader = sign_up(session)
        subscribers.follow(session, reader, "all", Frequency.EVERY, by="test", now=NOW)
        suppressions.suppress(session, PEPPER, ANA.key, cause="bounce", evidence="", origin="test", now=NOW)
        suppressions.release(session, PEPPER, ANA.key, by="test", now=NOW)
        subscribers.unsubscribe(session, reader, None, by="test", now=LATER)
        subscribers.erase(session, reader, by="test", now=LATER)
        kinds = [kind for kind, _ in history(session, reader)]
        assert kinds == ["follow", "suppress", "release", "unsubscribe", "erase"]
        rows = [*session.exec(select(Audit)), *session.exec(select(SubscriptionEvent))]
        assert len(rows) > 10
        assert "example.org" not in " ".join(str(row.model_dump()) for row in rows)


def test_many_sign_up_and_follow_at_once_as_one_does(db: Database) -> None:
    addresses = [normalise(f"reader{number}@example.org") for number in range(300)]
    with db.begin() as session:
        with_topics(session)
        known = sign_up(session, addresses[7])
        gone = sign_up(session, addresses[8])
        subscribers.follow(session, known, "all", Frequency.FLASH, by="test", now=NOW)
        subscribers.unsubscribe(session, gone, None, by="test", now=NOW)
        suppressions.suppress(
            session, PEPPER, addresses[9].key, cause="bounce", evidence="", origin="test", now=NOW
        )
        signed = subscribers.add_many(session, PEPPER, [*addresses, addresses[0]], by="test", now=LATER)
        assert (signed.new, signed.suppressed) == (298, 1)
        assert signed.ids[7] == known
        assert signed.ids[300] == signed.ids[0]
        assert (
            subscribers.follow_many(session, signed.ids, "all", Frequency.EVERY, by="test", now=LATER) == 300
        )
        assert (
            subscribers.follow_many(session, signed.ids, "all", Frequency.EVERY, by="test", now=LATEST) == 0
        )
    with db.begin() as session:
        rows = session.exec(select(Subscription)).all()
        assert {row.frequency for row in rows} == {"every"}
        assert {row.subscriber_id: row.since for row in rows}[known] == NOW
        assert subscription(session, signed.ids[0]).since == LATER
        assert history(session, known) == [("follow", "flash"), ("change", "every")]
        assert history(session, signed.ids[1]) == [("follow", "every")]
        assert subscribers.show(session, gone).state == "active"
        assert len(session.exec(select(Subscriber)).all()) == 300


def test_subscribers_are_listed_page_by_page(db: Database) -> None:
    with db.begin() as session:
        with_topics(session)
        ids = [sign_up(session, normalise(f"reader{number}@example.org")) for number in range(5)]
        subscribers.follow(session, ids[1], "key", Frequency.EVERY, by="test", now=NOW)
        subscribers.follow(session, ids[3], "key", Frequency.EVERY, by="test", now=NOW)
        subscribers.unsubscribe(session, ids[3], "key", by="test", now=NOW)
        first = subscribers.list_page(session, limit=3)
        assert [view.id for view in first] == ids[:3]
        assert [view.id for view in subscribers.list_page(session, after=first[-1].id)] == ids[3:]
        assert [view.id for view in subscribers.list_page(session, topic="key")] == [ids[1]]
