"""Why readers left, in their own words if they cared to say: for the newsroom to read, and nobody's business else."""

from collections.abc import Sequence
from datetime import datetime
from enum import StrEnum

from sqlmodel import Session, col, select

from alerts.models import Farewell, Topic

WORDS_LIMIT = 500  # characters
EVERYTHING = 0  # as a topic's id


class Reason(StrEnum):
    """What a reader may tick."""

    TOO_MANY = "too-many"
    NOT_FOR_ME = "not-for-me"
    ELSEWHERE = "elsewhere"  # the news comes another way
    NEVER_ASKED = "never-asked"
    OTHER = "other"


def note(
    session: Session, subscriber_id: int, topics: Sequence[str], reason: Reason, words: str, now: datetime
) -> None:
    """Keeps why a reader left topics, by slug, or everything (none); what they say last about each counts."""
    ids = session.exec(select(Topic.id).where(col(Topic.slug).in_(topics))).all() if topics else [EVERYTHING]
    for topic_id in ids:
        assert topic_id is not None, "read from the table"
        session.merge(
            Farewell(
                subscriber_id=subscriber_id,
                topic_id=topic_id,
                reason=reason,
                words=words[:WORDS_LIMIT],
                at=now,
            )
        )
