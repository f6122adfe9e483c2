"""Small builders: each writes one thing that tests start from, and gives its id."""

from datetime import UTC, datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlmodel import Session, col

from alerts.models import (
    Alert,
    AlertState,
    Entry,
    EntryRevision,
    Feed,
    Frequency,
    Lane,
    Subscriber,
    Subscription,
    Topic,
)

NOW = datetime(2026, 11, 22, 7, 0, tzinfo=UTC)


def a_feed(
    session: Session,
    name: str = "harbour",
    *,
    now: datetime = NOW,
    **fields: Any,
) -> int:
    """Writes a feed that is past its baseline and due at once."""
    values: dict[str, Any] = {
        "url": f"https://news.example/{name}",
        "title": name.title(),
        "baselined_at": now,
        "next_poll_at": now,
        "created_at": now,
    }
    feed = Feed(name=name, **values | fields)
    session.add(feed)
    session.flush()
    assert feed.id is not None
    return feed.id


def an_entry(
    session: Session,
    feed_id: int,
    key: str = "post-1",
    *,
    title: str = "The ferry is late",
    text: str = "The evening ferry leaves an hour late.",
    now: datetime = NOW,
    **fields: Any,
) -> int:
    """Writes an entry with its first revision; fields that only a revision has go there."""
    of_revision = {name: fields.pop(name) for name in tuple(fields) if name not in Entry.model_fields}
    values: dict[str, Any] = {
        "fingerprint": f"fingerprint of {key}",
        "first_seen_at": now,
        "last_seen_at": now,
    }
    entry = Entry(feed_id=feed_id, key=key, **values | fields)
    session.add(entry)
    session.flush()
    assert entry.id is not None
    values = {
        "url": f"https://news.example/entries/{key}",
        "html": f"<p>{text}</p>",
        "author": "A. Reporter",
        "published_at": now,
        "seen_at": now,
    }
    session.add(
        EntryRevision(
            entry_id=entry.id,
            number=entry.revision,
            fingerprint=entry.fingerprint,
            title=title,
            text=text,
            **values | of_revision,
        ),
    )
    session.flush()
    return entry.id


def a_topic(session: Session, slug: str = "all", *, now: datetime = NOW, **fields: Any) -> int:
    """Writes a topic that every entry of every feed belongs to, unless `fields` narrow it."""
    values: dict[str, Any] = {"title": slug.title(), "created_at": now}
    topic = Topic(slug=slug, **values | fields)
    session.add(topic)
    session.flush()
    assert topic.id is not None
    return topic.id


def a_reader(
    session: Session,
    address: str = "reader@example.org",
    topic_id: int | None = None,
    frequency: Frequency = Frequency.EVERY,
    *,
    now: datetime = NOW,
    **fields: Any,
) -> int:
    """Writes one subscriber, who follows `topic_id` when it is given."""
    reader = Subscriber(address=address, address_key=address.lower(), created_at=now, **fields)
    session.add(reader)
    session.flush()
    assert reader.id is not None
    if topic_id is not None:
        follows(session, reader.id, topic_id, frequency, now=now)
    return reader.id


def follows(
    session: Session,
    subscriber_id: int,
    topic_id: int,
    frequency: Frequency = Frequency.EVERY,
    *,
    now: datetime = NOW,
) -> None:
    session.add(
        Subscription(
            subscriber_id=subscriber_id, topic_id=topic_id, frequency=frequency, since=now, chosen_at=now
        )
    )
    session.flush()


def readers(
    session: Session,
    count: int,
    topic_id: int,
    frequency: Frequency = Frequency.EVERY,
    *,
    now: datetime = NOW,
    domain: str = "example.org",
    prefix: str = "reader",
    apart: timedelta = timedelta(0),
) -> list[int]:
    """Writes `count` subscribers who follow one topic, in bulk: 20,000 take well under a second.

    Their addresses are `{prefix}1@{domain}` and so on, and each signed up `apart` before the one before;
    gives their ids in that order.
    """
    number = col(Subscriber.id)
    newest = session.execute(sa.select(sa.func.coalesce(sa.func.max(number), 0))).scalar_one()
    addresses = [f"{prefix}{index}@{domain}" for index in range(1, count + 1)]
    connection = session.connection()
    connection.execute(
        sa.insert(Subscriber),
        [
            {"address": address, "address_key": address, "created_at": now - apart * index}
            for index, address in enumerate(addresses)
        ],
    )
    since = col(Subscriber.created_at)
    connection.execute(
        sa.insert(Subscription).from_select(
            ["subscriber_id", "topic_id", "frequency", "since", "chosen_at"],
            sa.select(number, sa.literal(topic_id), sa.literal(str(frequency)), since, since).where(
                number > newest
            ),
        ),
    )
    return list(session.execute(sa.select(number).where(number > newest).order_by(number)).scalars())


def an_alert(
    session: Session,
    audience: dict[int, list[Frequency]],
    *,
    cause: str = "entry:1",
    lane: Lane = Lane.UPDATE,
    now: datetime = NOW,
    ttl: timedelta = timedelta(hours=1),
    **fields: Any,
) -> int:
    """Writes a released alert for the given {topic id: frequencies}, with no entry behind it."""
    newest = session.execute(sa.select(sa.func.coalesce(sa.func.max(col(Subscriber.id)), 0))).scalar_one()
    values: dict[str, Any] = {
        "state": AlertState.RELEASED,
        "audience": {str(topic): [*words] for topic, words in audience.items()},
        "last_subscriber_id": newest,
        "announced_at": now,
        "released_at": now,
        "expires_at": now + ttl,
    }
    alert = Alert(cause_key=cause, lane=lane, rank=lane.rank, **values | fields)
    session.add(alert)
    session.flush()
    assert alert.id is not None
    return alert.id
