"""What was written down of readers, asked for the last word about each topic."""

from collections.abc import Collection, Mapping, Sequence

from sqlmodel import Session, col, select

from alerts.models import SubscriptionEvent

Words = Mapping[int | None, SubscriptionEvent]

# Kinds of events:
LEFT = "unsubscribe"
UNDONE = "undo"  # written by an undoing: the reader has not left by themselves
NAMED = "named"  # an import said what stood already: to undo another does not make it untrue
_OF_ALL = frozenset({LEFT, NAMED})  # without a topic these are about every one


def last_words(session: Session, readers: Collection[int]) -> Mapping[int, Words]:
    """Gives each reader's last event about each of their topics; that without a topic is about all others."""
    last: dict[int, dict[int | None, SubscriptionEvent]] = {each: {} for each in readers}
    if not readers:
        return last
    query = select(SubscriptionEvent).where(col(SubscriptionEvent.subscriber_id).in_(readers))
    for event in session.exec(query.order_by(col(SubscriptionEvent.id))):
        own = last[event.subscriber_id]
        if event.topic_id is not None:
            own[event.topic_id] = event
        elif event.kind in _OF_ALL:
            own.update(dict.fromkeys([*own, None], event))
    return last


def is_about(event: SubscriptionEvent, topic_id: int | None) -> bool:
    """Whether an event is about a topic; every event is about the reader as a whole (None)."""
    if topic_id is None or event.topic_id == topic_id:
        return True
    return event.topic_id is None and event.kind in _OF_ALL


def words_about(words: Words, topic_id: int | None) -> Sequence[SubscriptionEvent]:
    """Of a reader's last words gives that about a topic, or those about all (None)."""
    if topic_id is None:
        return [*words.values()]
    word = words.get(topic_id) or words.get(None)
    return [] if word is None else [word]
