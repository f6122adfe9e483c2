"""Topics: the rule, alone and for all inputs, and what the commands do to the table."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlmodel import select

from alerts.audience import subscribers, topics
from alerts.audience.addresses import normalise
from alerts.audience.topics import EntryFacts, Rule, TopicDraft, matches
from alerts.db import Database
from alerts.errors import Conflict, NotFound, Refused
from alerts.models import Audit, Frequency
from build import NOW

WORDS = st.text("abcdeéü", min_size=1, max_size=6)
TEXTS = st.lists(WORDS, max_size=12).map(" ".join)
FACTS = st.builds(
    EntryFacts, st.sampled_from(["north", "south"]), st.sampled_from([True, False, None]), TEXTS, TEXTS
)
RULES = st.builds(
    Rule,
    feeds=st.lists(st.sampled_from(["north", "south"]), max_size=2).map(tuple),
    key_events_only=st.booleans(),
    words_in=st.lists(WORDS, max_size=2).map(tuple),
    words_out=st.lists(WORDS, max_size=2).map(tuple),
)


def facts(title: str = "", text: str = "", *, key: bool | None = False, feed: str = "north") -> EntryFacts:
    return EntryFacts(feed, key, title, text)


@pytest.mark.parametrize(
    ("words", "text"),
    [
        ("ferry", "The ferry is late"),
        ("FERRY", "The Ferry, again"),
        ("cafe", "A café burns"),
        ("café", "A cafe burns"),
        ("strasse", "Die Straße ist gesperrt"),
        ("night ferry", "The night-ferry sails"),
        ("night  ferry", "Night\nferry"),
        ("covid-19", "New COVID 19 rules"),
        ("ﬁre", "Fire in the harbour"),
        ("İstanbul", "istanbul"),
        ("Ελλάς", "ΕΛΛΑΣ"),
    ],
)
def test_a_word_is_found_whatever_its_case_accents_and_blanks(words: str, text: str) -> None:
    assert matches(Rule(words_in=(words,)), facts(text=text))
    assert matches(Rule(words_in=(words,)), facts(title=text))
    assert not matches(Rule(words_out=(words,)), facts(title=text))


@pytest.mark.parametrize(
    ("words", "text"), [("ferry", "ferryman"), ("art", "start"), ("night ferry", "a night")]
)
def test_part_of_a_word_is_not_the_word(words: str, text: str) -> None:
    assert not matches(Rule(words_in=(words,)), facts(text=text))
    assert matches(Rule(words_out=(words,)), facts(text=text))


def test_a_phrase_does_not_span_title_and_text() -> None:
    assert not matches(Rule(words_in=("night ferry",)), facts("A long night", "Ferry sails"))


@pytest.mark.parametrize("key", [False, None])
def test_only_a_known_key_event_passes_a_rule_for_key_events(key: bool | None) -> None:
    rule = Rule(key_events_only=True)
    assert matches(rule, facts(key=True))
    assert not matches(rule, facts(key=key))


@given(FACTS)
def test_an_empty_rule_takes_everything(entry: EntryFacts) -> None:
    assert matches(Rule(), entry)


@given(RULES, FACTS)
def test_a_rule_is_all_its_parts_together(rule: Rule, entry: EntryFacts) -> None:
    parts = [
        Rule(feeds=rule.feeds),
        Rule(key_events_only=rule.key_events_only),
        Rule(words_in=rule.words_in),
        Rule(words_out=rule.words_out),
    ]
    assert matches(rule, entry) is all(matches(part, entry) for part in parts)


@given(WORDS, FACTS)
def test_words_out_is_the_opposite_of_words_in(word: str, entry: EntryFacts) -> None:
    assert matches(Rule(words_in=(word,)), entry) is not matches(Rule(words_out=(word,)), entry)


def test_an_entry_belongs_to_the_active_topics_that_want_it(db: Database) -> None:
    with db.begin() as session:
        everything = topics.add(session, TopicDraft("all", "Everything"), "test", NOW)
        ferries = topics.add(
            session, TopicDraft("ferries", "Ferries", rule=Rule(words_in=("ferry",))), "test", NOW
        )
        topics.add(session, TopicDraft("south", "South", rule=Rule(feeds=("south",))), "test", NOW)
        assert topics.matching(session, facts("The ferry is late")) == [everything, ferries]
        topics.pause(session, "all", "test", NOW)
        assert topics.matching(session, facts("The ferry is late")) == [ferries]
        topics.resume(session, "all", "test", NOW)
        assert topics.matching(session, facts("Rain")) == [everything]


def test_a_slug_is_taken_once(db: Database) -> None:
    with db.begin() as session:
        topics.add(session, TopicDraft("all", "Everything"), "test", NOW)
        with pytest.raises(Conflict, match="all"):
            topics.add(session, TopicDraft("all", "Another"), "test", NOW)


def test_a_phrase_without_letters_is_refused(db: Database) -> None:
    with db.begin() as session, pytest.raises(Refused, match="no letter"):
        topics.add(session, TopicDraft("odd", "Odd", rule=Rule(words_out=("--",))), "test", NOW)


def test_a_topic_with_readers_is_shown_with_them_and_never_deleted(db: Database) -> None:
    with db.begin() as session:
        topics.add(session, TopicDraft("all", "Everything"), "test", NOW)
        topics.add(session, TopicDraft("spare", "Spare"), "test", NOW)
        reader = subscribers.add(session, b"pepper", normalise("ana@example.org"), by="test", now=NOW)
        subscribers.follow(session, reader, "all", Frequency.EVERY, by="test", now=NOW)
        assert [(each.slug, each.followers) for each in topics.list_topics(session)] == [
            ("all", 1),
            ("spare", 0),
        ]
        topics.remove(session, "spare", "test", NOW)
        subscribers.unsubscribe(session, reader, "all", by="test", now=NOW)
        assert topics.show(session, "all").followers == 0
        with pytest.raises(Conflict, match="pause"):
            topics.remove(session, "all", "test", NOW)
        with pytest.raises(NotFound):
            topics.show(session, "spare")


def test_declared_topics_come_change_and_are_paused_when_they_vanish(db: Database) -> None:
    first = TopicDraft("all", "Everything")
    second = TopicDraft("key", "Key events", rule=Rule(key_events_only=True))
    with db.begin() as session:
        assert topics.declare(session, [first, second], NOW).added == ("all", "key")
        assert topics.declare(session, [first, second], NOW) == topics.Declared((), (), ())
        renamed = TopicDraft("all", "All of it")
        found = topics.declare(session, [renamed], NOW + timedelta(hours=1))
        assert found == topics.Declared((), changed=("all",), paused=("key",))
        assert topics.show(session, "all").title == "All of it"
        assert not topics.show(session, "key").is_active
        assert topics.declare(session, [renamed, second], NOW).changed == ("key",)
        assert topics.show(session, "key").is_active


def test_applying_again_does_not_take_up_what_a_person_paused(db: Database) -> None:
    draft = TopicDraft("all", "Everything")
    with db.begin() as session:
        topics.declare(session, [draft], NOW)
        topics.pause(session, "all", "test", NOW)
        topics.declare(session, [TopicDraft("all", "Everything, renamed")], NOW)
        assert not topics.show(session, "all").is_active


def test_topics_made_by_hand_are_left_alone_by_the_configuration(db: Database) -> None:
    with db.begin() as session:
        topics.add(session, TopicDraft("mine", "Mine"), "test", NOW)
        assert topics.declare(session, [], NOW).paused == ()
        assert topics.show(session, "mine").is_active


def test_each_change_is_audited_with_who_made_it(db: Database) -> None:
    with db.begin() as session:
        topics.add(session, TopicDraft("all", "Everything"), "ann", NOW)
        topics.pause(session, "all", "ben", NOW)
        topics.pause(session, "all", "ben", NOW)
        topics.remove(session, "all", "cleo", NOW)
        rows = session.exec(select(Audit).order_by(Audit.id)).all()  # type: ignore[arg-type]  # a column
        assert [(row.action, row.by) for row in rows] == [
            ("topic.add", "ann"),
            ("topic.pause", "ben"),
            ("topic.remove", "cleo"),
        ]
