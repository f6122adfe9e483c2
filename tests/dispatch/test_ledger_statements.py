"""What the ledger asks its database: the same few texts for any number of readers, each found by an index."""

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from itertools import count
from typing import Any

from sqlalchemy import event

from alerts.audience import spans
from alerts.audience.tokens import derive
from alerts.db import Database
from alerts.dispatch import outbox, receipts
from alerts.dispatch.announce import announce_entry
from alerts.dispatch.destinations import WINDOW
from alerts.dispatch.digests.announcing import GRACE, Policy, announce_digests, close_time
from alerts.dispatch.opening import Opening, Plan, open_chunk
from alerts.dispatch.receipts import Receipt, Settled
from alerts.models import Frequency, Lane
from build import NOW, a_feed, a_topic, an_alert, an_entry, follows, readers

KEYS = derive(b"s" * 32, [])
AUDIENCE = [Frequency.EVERY, Frequency.FLASH]
MINUTE = timedelta(minutes=1)
LARGE = re.compile(r"(Seq Scan on|SCAN) (delivery|subscriber|subscription)\b")
OF_DIGESTS = re.compile(r"(Seq Scan on|SCAN) (delivery|subscriber|subscription|digest_mark|digest_span)\b")

Said = list[tuple[str, Any]]


def test_a_mailing_says_the_same_whatever_its_size(db: Database) -> None:
    """A text of its own for each number of readers would be compiled, and planned, each time."""
    with db.begin() as session:
        topic = a_topic(session)
        readers(session, 60, topic)
        an_alert(session, {topic: AUDIENCE}, cause="entry:1")
    with statements(db) as first:
        mail(db, batch=7, chunk=3)
    with db.begin() as session:
        an_alert(session, {topic: AUDIENCE}, cause="entry:2")
    with statements(db) as second:
        mail(db, batch=25, chunk=11)
    assert texts(first) == texts(second)
    assert len(texts(first)) < 32


def test_every_statement_of_a_mailing_finds_its_readers_by_an_index(db: Database) -> None:
    """For a fresh alert, of which no statistics know; on PostgreSQL also with a plan for any values."""
    with db.begin() as session:
        topic = a_topic(session)
        readers(session, 4_000, topic)
        first = an_alert(session, {topic: AUDIENCE}, cause="entry:1")
    mail(db, batch=500, chunk=250)
    with db.begin() as session:
        if not db.is_sqlite:  # there nobody gathers statistics
            session.connection().exec_driver_sql("ANALYZE")
        an_alert(session, {topic: AUDIENCE}, cause="entry:2", now=NOW + MINUTE)
        an_alert(session, {topic: AUDIENCE}, cause="flash:1", lane=Lane.FLASH, after_alert_id=first)
    with statements(db) as said:
        mail(db, batch=500, chunk=250)
    plans = explained(db, said)
    assert {text.partition(" ")[0] for text in plans if "delivery" in text} == {"SELECT", "INSERT", "UPDATE"}
    assert not {text: plan for text, plan in plans.items() if LARGE.search(plan)}


def test_every_statement_of_a_digest_finds_its_readers_by_an_index(db: Database) -> None:
    """Among many more who read at once, and with some who do both."""
    with db.begin() as session:
        first, second = a_topic(session, "first"), a_topic(session, "second")
        readers(session, 4_000, first)
        ids = readers(session, 2_000, second, Frequency.DAILY, prefix="daily")
        spans.begin(session, ids, second, Frequency.DAILY, NOW)
        spans.begin(session, ids[::5], first, Frequency.HOURLY, NOW)
        for each in ids[::20]:
            follows(session, each, first)
        feed = a_feed(session)
        for number in range(20):
            entry = an_entry(session, feed, f"post-{number}", now=NOW + MINUTE)
            announce_entry(session, entry, NOW + MINUTE)
    mail(db, batch=500, chunk=250)
    with db.begin() as session:
        if not db.is_sqlite:
            session.connection().exec_driver_sql("ANALYZE")
    due = NOW + timedelta(days=1)
    for end in (due, due + timedelta(days=1)):
        with db.begin() as session:
            entry = an_entry(session, feed, f"later-{end}", now=end - MINUTE)
            announce_entry(session, entry, end - MINUTE)
            close_time(session, end + GRACE)
            announce_digests(session, Policy(), end + GRACE)
        with statements(db) as said:
            mail(db, batch=500, chunk=100, now=end + GRACE)
    plans = explained(db, said)
    assert any("digest_span" in text for text in plans)
    assert not {text: plan for text, plan in plans.items() if OF_DIGESTS.search(plan)}


def test_a_destination_that_is_well_is_neither_written_nor_locked(db: Database) -> None:
    """Each that ever had one dead address is watched: workers would wait for one another at every group."""
    with db.begin() as session:
        topic = a_topic(session)
        readers(session, WINDOW + 3, topic, domain="large.example")
        an_alert(session, {topic: AUDIENCE}, cause="entry:1")
    lease = claim(db, WINDOW + 3, NOW)
    first, *others, last = transaction(db, open_chunk, lease, Plan(WINDOW + 3, 1, "main"), NOW)

    def settled(opening: Opening, how: Settled) -> Receipt:
        return Receipt(opening.subscriber_id, how, "", 250, "", "large.example")

    transaction(db, receipts.record, lease, [settled(first, Settled.DEAD)], KEYS, NOW)
    with statements(db) as said:
        accepted = [settled(each, Settled.ACCEPTED) for each in others]
        transaction(db, receipts.record, lease, accepted, KEYS, NOW)
    assert sum("UPDATE destination" in text for text, _ in said) == 1
    with statements(db) as said:
        transaction(db, receipts.record, lease, [settled(last, Settled.ACCEPTED)], KEYS, NOW)
    of_destination = [text for text, _ in said if "destination" in text]
    assert len(of_destination) == 1
    assert of_destination[0].startswith("SELECT")
    assert "FOR UPDATE" not in of_destination[0]


def mail(db: Database, *, batch: int, chunk: int, now: datetime = NOW + MINUTE) -> None:
    """Mails all that is announced: most are taken, some are deferred, one is in doubt; and these once more."""
    for tries in range(3):
        while (lease := claim(db, batch, now)) is not None:
            plan = Plan(chunk, 1, "main")
            while openings := transaction(db, open_chunk, lease, plan, now):
                group = [receipt(each, is_first=not tries) for each in openings]
                transaction(db, receipts.record, lease, group, KEYS, now)
            transaction(db, outbox.close, lease, now, MINUTE, MINUTE)
        now += 2 * MINUTE


def claim(db: Database, size: int, now: Any) -> outbox.Lease | None:
    with db.begin() as session:
        return outbox.claim(session, "a", size=size, length=MINUTE, now=now)


def transaction(db: Database, function: Any, *arguments: Any) -> Any:
    with db.begin() as session:
        return function(session, *arguments)


def receipt(opening: Opening, *, is_first: bool) -> Receipt:
    if is_first and opening.subscriber_id % 10 == 1:
        return Receipt(opening.subscriber_id, Settled.UNKNOWN, "", 0, "", "")
    if is_first and opening.subscriber_id % 10 == 2:
        reply = f"4.7.1 come again, {opening.subscriber_id}"
        return Receipt(
            opening.subscriber_id, Settled.DEFERRED, "retry: greylisted", 451, reply, "example.org"
        )
    return Receipt(opening.subscriber_id, Settled.ACCEPTED, "", 250, "", "example.org")


@contextmanager
def statements(db: Database) -> Iterator[Said]:
    """Gathers what is said to the database, with an example of its values."""
    said: Said = []

    def listen(_connection: Any, _cursor: Any, text: str, values: Any, _context: Any, is_many: bool) -> None:
        said.append((text, values[0] if is_many else values))

    event.listen(db.engine, "before_cursor_execute", listen)
    try:
        yield said
    finally:
        event.remove(db.engine, "before_cursor_execute", listen)


def texts(said: Said) -> set[str]:
    return {text for text, _ in said}


def explained(db: Database, said: Said) -> dict[str, str]:
    """The plan of each text, for the values it came with; on PostgreSQL that for any values beside it."""
    examples = {text: values for text, values in said if not text.startswith(("BEGIN", "NOTIFY"))}
    plans = {}
    with db.begin() as session:
        connection = session.connection()
        for text, values in examples.items():
            if db.is_sqlite:
                rows: Sequence[Any] = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {text}", values).all()
            else:
                numbers = count(1)
                for_any = re.sub(r"%\(\w+\)s", lambda _: f"${next(numbers)}", text)  # noqa: B023 - used at once
                rows = [
                    *connection.exec_driver_sql(f"EXPLAIN {text}", values).all(),
                    *connection.exec_driver_sql(f"EXPLAIN (GENERIC_PLAN) {for_any}").all(),
                ]
            plans[text] = "\n".join(str(row[-1]) for row in rows)
    assert plans
    return plans
