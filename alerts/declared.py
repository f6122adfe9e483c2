"""Puts the feeds and topics that config.toml declares into the database; the daemon and the command share it."""

from dataclasses import dataclass
from datetime import datetime

from sqlmodel import Session

from alerts.audience import topics
from alerts.audience.topics import Rule, TopicDraft
from alerts.config import Config, FeedConfig, TopicConfig
from alerts.feeds import catalog
from alerts.feeds.catalog import FeedDraft


@dataclass(frozen=True, slots=True)
class Declared:
    """What became of what config.toml declares."""

    feeds: catalog.Declared
    topics: topics.Declared

    def changes(self) -> list[tuple[str, tuple[str, ...]]]:
        """Gives what changed, in words and names; nothing when all stood as declared."""
        all_changes = [
            ("feeds added", self.feeds.added),
            ("feeds changed", self.feeds.changed),
            ("feeds paused", self.feeds.paused),
            ("topics added", self.topics.added),
            ("topics changed", self.topics.changed),
            ("topics paused", self.topics.paused),
        ]
        return [(what, names) for what, names in all_changes if names]


def declare(session: Session, config: Config, now: datetime) -> Declared:
    """Makes feeds and topics be there as declared; what vanished from config.toml is paused, never deleted."""
    return Declared(
        feeds=catalog.declare(session, [_feed(each) for each in config.feed], now),
        topics=topics.declare(session, [_topic(each) for each in config.topic], now),
    )


def _feed(feed: FeedConfig) -> FeedDraft:
    return FeedDraft(
        name=feed.name,
        url=feed.url,
        interval=feed.interval,
        ttl=feed.ttl,
        hold=feed.hold,
        approval=feed.approval,
        in_doubt=feed.in_doubt,
        flood_limit=feed.flood_limit,
        key_words=feed.key_words,
        obey_robots=feed.obey_robots,
        use_push=feed.use_push,
        follow_moves=feed.follow_moves,
    )


def _topic(topic: TopicConfig) -> TopicDraft:
    rule = Rule(topic.feeds, topic.key_events_only, topic.words_in, topic.words_out)
    return TopicDraft(topic.slug, topic.title, topic.description, rule)
