"""Which readers of a chunk a digest is sent to, and what it tells each of them."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import TypeAlias

import sqlalchemy as sa
from sqlmodel import Session

from alerts import db
from alerts.dispatch import audience
from alerts.dispatch.digests.selecting import SELECTION, Content, select, settle
from alerts.dispatch.eligible import UNSUBSCRIBED, AlertRule, Skip, Slot, unfit_for_digest
from alerts.dispatch.wording import Choice, Wording, variant_key

Members: TypeAlias = Sequence[tuple[int, str]]  # id and address


def fresh(
    session: Session, digest_id: int, rule: AlertRule, ids: Sequence[int], now: datetime
) -> Iterator[tuple[Skip | Wording, Members]]:
    """Decides for readers who come for the first time; moves their marks, and keeps what the digest tells them.

    Who finds nothing new is not among them: no digest is empty. Nor is who pauses, or anybody once its time has run out:
    their next one begins where this one would have.
    """
    slot = _slot(rule)
    if now >= rule.expires_at and not slot.is_skipped:
        return
    selected = select(session, digest_id, slot, ids, now)
    told: dict[str, tuple[str, Content]] = {}
    concerned = sorted(selected.contents.keys() | selected.left)
    for alike in audience.readers(session, concerned, rule, None, now, topics=()) if concerned else ():
        # Who paused was left out with their mark; who does in this moment is acknowledged after this opening.
        skip = unfit_for_digest(replace(alike.reader, is_paused=False), None, rule, now)
        for content, members in _by_content(selected.contents, alike.members):
            if skip is not None or content is None:
                yield skip or UNSUBSCRIBED, members
                continue
            choice = Choice(content.topics, slot.frequency, alike.language)
            wording = Wording(choice, variant_key(str(content.entries), choice))
            told[wording.variant] = alike.language, content
            yield wording, members
    settle(session, digest_id, slot, selected, told)


def again(
    session: Session, digest_id: int, rule: AlertRule, variants: Mapping[int, str], now: datetime
) -> Iterator[tuple[Skip | Wording, Members]]:
    """Decides for readers whose digest was opened before (ids must ascend): it tells them what it told then."""
    values = {"of_alert": digest_id, "variants": set(variants.values())}
    topics = {variant: tuple(each) for variant, each in session.connection().execute(_TOPICS, values)}
    named = sorted({topic for each in topics.values() for topic in each})
    for alike in audience.readers(session, [*variants], rule, None, now, topics=named):
        by_variant: dict[str, list[tuple[int, str]]] = defaultdict(list)
        for member in alike.members:
            by_variant[variants[member[0]]].append(member)
        for variant, members in by_variant.items():
            skip = unfit_for_digest(alike.reader, topics[variant], rule, now)
            choice = Choice(topics[variant], _slot(rule).frequency, alike.language)
            yield skip or Wording(choice, variant), members


def _by_content(
    contents: Mapping[int, Content], members: Members
) -> Iterator[tuple[Content | None, list[tuple[int, str]]]]:
    # Those of one content share the object: it was worked out once.
    by_content: dict[int, list[tuple[int, str]]] = defaultdict(list)
    for member in members:
        by_content[id(contents.get(member[0]))].append(member)
    for some in by_content.values():
        yield contents.get(some[0][0]), some


def _slot(rule: AlertRule) -> Slot:
    assert rule.slot is not None, "asked for digests only"
    return rule.slot


_TOPICS = sa.select(SELECTION.c.variant, SELECTION.c.topics).where(
    SELECTION.c.alert_id == sa.bindparam("of_alert"), db.among(SELECTION.c.variant, "variants")
)
