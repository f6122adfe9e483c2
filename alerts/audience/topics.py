"""Topics: which entries belong to what a reader follows. Audience only, no policy."""

import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache

import sqlalchemy as sa
import structlog
from sqlmodel import Session, col, select

from alerts.errors import Conflict, NotFound, Refused
from alerts.models import Audit, Subscription, Topic

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Rule:
    """Says which entries belong; an empty part does not restrict."""

    feeds: tuple[str, ...] = ()
    key_events_only: bool = False
    words_in: tuple[str, ...] = ()
    words_out: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class EntryFacts:
    """What a rule looks at."""

    feed_name: str
    is_key_event: bool | None
    title: str
    text: str


@dataclass(frozen=True, slots=True)
class TopicDraft:
    """A topic as a person writes it."""

    slug: str
    title: str
    description: str = ""
    rule: Rule = Rule()


@dataclass(frozen=True, slots=True)
class TopicView:
    """A topic as it stands, with how many readers follow it now."""

    id: int
    slug: str
    title: str
    description: str
    is_active: bool
    from_config: bool
    rule: Rule
    followers: int


@dataclass(frozen=True, slots=True)
class Declared:
    """What became of the topics in config.toml, by slug."""

    added: tuple[str, ...]
    changed: tuple[str, ...]
    paused: tuple[str, ...]


def matches(rule: Rule, facts: EntryFacts) -> bool:
    """Decides whether an entry belongs.

    Words and phrases count as whole words, in the title or the text, without regard to case and accents.
    """
    if rule.feeds and facts.feed_name not in rule.feeds:
        return False
    if rule.key_events_only and facts.is_key_event is not True:
        return False
    texts = (_words(facts.title), _words(facts.text))
    if rule.words_in and not _any_in(rule.words_in, texts):
        return False
    return not _any_in(rule.words_out, texts)


def matching(session: Session, facts: EntryFacts) -> list[int]:
    """Gives the ids of the active topics that an entry belongs to, in order."""
    topics = session.exec(select(Topic).where(col(Topic.is_active)).order_by(col(Topic.id))).all()
    return [_id(topic) for topic in topics if matches(_rule(topic), facts)]


def followed_feeds(session: Session) -> frozenset[str] | None:
    """Gives the names of the feeds whose news somebody would get; None means that every feed's would be."""
    is_read = (
        sa.select(sa.literal(1))
        .where(col(Subscription.topic_id) == Topic.id, col(Subscription.until).is_(None))
        .exists()
    )
    names: set[str] = set()
    for feeds in session.exec(select(Topic.feeds).where(col(Topic.is_active), is_read)):
        if not feeds:
            return None
        names.update(feeds)
    return frozenset(names)


def add(session: Session, draft: TopicDraft, by: str, now: datetime) -> int:
    """Adds a topic and gives its id; raises Conflict when its slug is taken."""
    _check(draft)
    if _find(session, draft.slug) is not None:
        raise Conflict(f"There is a topic {draft.slug} already: choose another name, or change that one.")
    topic = Topic(slug=draft.slug, title=draft.title, created_at=now)
    _write(topic, draft)
    session.add(topic)
    session.flush()
    _audit(session, "topic.add", draft.slug, by, now)
    return _id(topic)


def list_topics(session: Session) -> list[TopicView]:
    """Gives every topic, by slug."""
    followers = dict(_followers(session))
    topics = session.exec(select(Topic).order_by(col(Topic.slug))).all()
    return [_view(topic, followers.get(_id(topic), 0)) for topic in topics]


def show(session: Session, slug: str) -> TopicView:
    """Gives one topic."""
    topic = _topic(session, slug)
    return _view(topic, dict(_followers(session, _id(topic))).get(_id(topic), 0))


def pause(session: Session, slug: str, by: str, now: datetime) -> None:
    """Lets no new entry belong to the topic; its readers keep their choice."""
    _set_active(session, slug, is_active=False, by=by, now=now)


def resume(session: Session, slug: str, by: str, now: datetime) -> None:
    """Takes a paused topic up again."""
    _set_active(session, slug, is_active=True, by=by, now=now)


def remove(session: Session, slug: str, by: str, now: datetime) -> None:
    """Deletes a topic that nobody ever followed; one with a history can only be paused."""
    topic = _topic(session, slug)
    if topic.from_config:
        raise Conflict(f"The topic {slug} is declared in config.toml: take it out there and apply.")
    if session.exec(select(Subscription).where(Subscription.topic_id == topic.id).limit(1)).first():
        raise Conflict(
            f"The topic {slug} has or had readers, and the ledger names it: `alerts topics pause {slug}`."
        )
    session.delete(topic)
    _audit(session, "topic.remove", slug, by, now)


def declare(session: Session, drafts: Sequence[TopicDraft], now: datetime) -> Declared:
    """Makes the declared topics be there as config.toml says; one that vanished from it is paused.

    A topic that a person paused stays paused. One that vanished is handed back (`from_config` no more), so
    that its return can be told from a person's pause, and takes it up again.
    """
    by = "config.toml"
    known = {topic.slug: topic for topic in session.exec(select(Topic).with_for_update()).all()}
    added, changed, paused = [], [], []
    for draft in drafts:
        topic = known.get(draft.slug)
        if topic is None:
            add(session, draft, by, now)
            _topic(session, draft.slug).from_config = True
            added.append(draft.slug)
        elif not topic.from_config or _draft(topic) != draft:
            _check(draft)
            _write(topic, draft)
            topic.is_active = topic.is_active or not topic.from_config
            topic.from_config = True
            _audit(session, "topic.change", draft.slug, by, now)
            changed.append(draft.slug)
    declared = {draft.slug for draft in drafts}
    for slug, topic in known.items():
        if topic.from_config and slug not in declared:
            topic.is_active = topic.from_config = False
            _audit(session, "topic.pause", slug, by, now)
            paused.append(slug)
    session.flush()
    return Declared(tuple(added), tuple(changed), tuple(paused))


# The pure part: text as a row of words.


@lru_cache(maxsize=8)  # one entry is asked about for every topic
def _words(text: str) -> str:
    """Gives the text's words, folded, each with a blank on both sides."""
    decomposed = unicodedata.normalize("NFD", unicodedata.normalize("NFKC", text).casefold())
    # Only the accents of Latin, Greek and Cyrillic: in other scripts marks are letters of their own.
    bare = "".join(letter for letter in decomposed if not "\u0300" <= letter <= "\u036f")
    letters = (letter if unicodedata.category(letter)[0] in "LNM" else " " for letter in bare)
    return f" {' '.join(''.join(letters).split())} "


def _any_in(phrases: Iterable[str], texts: Iterable[str]) -> bool:
    wanted = [_words(phrase) for phrase in phrases]
    return any(each in text for text in texts for each in wanted if each.strip())


# The rest: rows.


def _check(draft: TopicDraft) -> None:
    for phrase in (*draft.rule.words_in, *draft.rule.words_out):
        if not _words(phrase).strip():
            raise Refused(f"{phrase!r} has no letter or digit: write a word or a phrase.")


def _find(session: Session, slug: str) -> Topic | None:
    return session.exec(select(Topic).where(Topic.slug == slug)).first()


def _topic(session: Session, slug: str) -> Topic:
    topic = _find(session, slug)
    if topic is None:
        raise NotFound(f"There is no topic {slug}: `alerts topics list` names those there are.")
    return topic


def _set_active(session: Session, slug: str, *, is_active: bool, by: str, now: datetime) -> None:
    topic = _topic(session, slug)
    if topic.is_active is not is_active:
        topic.is_active = is_active
        _audit(session, "topic.resume" if is_active else "topic.pause", slug, by, now)


def _followers(session: Session, topic_id: int | None = None) -> list[tuple[int, int]]:
    query = (
        select(Subscription.topic_id, sa.func.count())
        .where(col(Subscription.until).is_(None))
        .group_by(col(Subscription.topic_id))
    )
    if topic_id is not None:
        query = query.where(Subscription.topic_id == topic_id)
    return [(topic, count) for topic, count in session.exec(query)]


def _rule(topic: Topic) -> Rule:
    return Rule(tuple(topic.feeds), topic.key_events_only, tuple(topic.words_in), tuple(topic.words_out))


def _draft(topic: Topic) -> TopicDraft:
    return TopicDraft(topic.slug, topic.title, topic.description, _rule(topic))


def _write(topic: Topic, draft: TopicDraft) -> None:
    topic.title, topic.description = draft.title, draft.description
    topic.feeds, topic.key_events_only = [*draft.rule.feeds], draft.rule.key_events_only
    topic.words_in, topic.words_out = [*draft.rule.words_in], [*draft.rule.words_out]


def _view(topic: Topic, followers: int) -> TopicView:
    return TopicView(
        id=_id(topic),
        slug=topic.slug,
        title=topic.title,
        description=topic.description,
        is_active=topic.is_active,
        from_config=topic.from_config,
        rule=_rule(topic),
        followers=followers,
    )


def _id(topic: Topic) -> int:
    assert topic.id is not None, "read from the table"
    return topic.id


def _audit(session: Session, action: str, slug: str, by: str, now: datetime) -> None:
    session.add(Audit(at=now, by=by, action=action, subject=f"topic:{slug}"))
    log.info(action.replace(".", "_"), topic=slug, by=by)
