"""Erasure: what is gone afterwards, to the byte, and what stays."""

import base64
import json
import re
import subprocess
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
import sqlalchemy as sa
from sqlmodel import AutoString, Session, SQLModel, col, select

from alerts import residue
from alerts.audience import erasure, notices, subscribers, suppressions
from alerts.audience.addresses import Address, normalise
from alerts.audience.tokens import Keys, derive
from alerts.db import Database
from alerts.dispatch.journal import Journals
from alerts.dispatch.receipts import Receipt, Settled
from alerts.mail.replies import scrub
from alerts.models import (
    ADDRESS_COLUMNS,
    AddressChange,
    Consent,
    Delivery,
    DeliveryState,
    Farewell,
    Frequency,
    ImportBatch,
    ImportLine,
    Notice,
    NoticeKind,
    SignUp,
    Site,
    SiteFact,
    Subscriber,
    SubscriptionEvent,
)
from build import NOW, a_topic, an_alert, readers
from fakes.postgres import Server

KEYS: Keys = derive(b"a secret for tests", [])
LATER = NOW + timedelta(hours=1)
ANA = normalise("Ana.Reader-7@München.example")
OTHER = normalise("other@example.org")

# Tables that know no reader, or know them by number only.
NAME_NOBODY = {
    *("site", "feed", "entry", "entry_alias", "entry_revision", "push", "topic", "wording"),
    *("alert", "selection", "body", "batch", "destination", "breaker", "rate", "waiting"),
    *("tally", "digest_slot", "diversion"),
    *("subscription", "digest_span", "digest_mark", "import_batch", "import_change"),
    "audit",  # the service functions write it; test_subscribers holds that
}
# In the others, what no address comes into, or what erasure clears.
NAMES_NOBODY = {
    "subscriber": {"language", "state", "suppressed", "zone"},
    "sign_up": {"language", "zone", "choices", "wording", "source"},  # the row goes
    "consent": {"wording", "source", "choices"},  # cleared where it names somebody
    "notice": {
        *("kind", "address_hash", "inbox_hash", "day", "language", "state", "reason", "transport", "worker"),
    },
    "suppression": {"address_hash", "cause", "evidence", "origin"},  # a server's words, scrubbed
    "delivery": {"variant", "transport", "state", "reason", "reply"},  # the reply is cleared
    "subscription_event": {"kind", "detail", "by"},  # cleared where it names somebody
    "address_change": {"outcome"},
    "farewell": {"reason", "words"},  # the row goes
    "import_line": {"topic", "frequency", "cause", "consent_source", "settings"},  # the row goes
}


def spellings(address: Address) -> Iterator[bytes]:
    """Gives what the address could be hidden as in a file, in small letters where letters have a case."""
    name, _, domain = address.address.rpartition("@")
    for text in {f"{name}@{domain}", f"{name}@{domain.encode().decode('idna')}"}:
        for encoding in ("utf-8", "utf-16-le", "utf-16-be"):
            yield text.encode(encoding).lower()
        yield quote(text).encode().lower()
        yield text.replace("@", "=40").encode().lower()
        yield json.dumps(text)[1:-1].encode().lower()


def encoded(address: Address) -> Iterator[bytes]:
    """Gives the parts of its base64 that are the same whatever stands around it."""
    for text in {address.address, address.key}:
        raw = text.encode()
        for before in range(3):
            yield base64.b64encode(bytes(before) + raw)[4:-4]


def traces(folder: Path, address: Address) -> list[str]:
    """Names the files under the folder that hold the address in any spelling.

    They are read by another process: to close one here would let go of SQLite's locks on it.
    """
    found = []
    for path in sorted(each for each in folder.rglob("*") if each.is_file()):
        data = subprocess.run(["cat", path], check=False, capture_output=True).stdout  # or it went just now
        small = data.lower()
        if any(each in small for each in spellings(address)) or any(
            each in data for each in encoded(address)
        ):
            found.append(path.name)
    return found


def found(folder: Path) -> set[str]:
    """Gives the addresses of `build.readers` that stand in the database's file or its WAL."""
    files = [path for path in folder.glob("alerts.db*") if path.suffix != ".db-shm"]
    data = subprocess.run(["cat", *files], check=True, capture_output=True).stdout
    return {each.decode() for each in re.findall(rb"reader\d+@[a-z]+\.example", data)}


def fill(session: Session, address: Address, named: str = "") -> int:
    """Writes a row of every kind that knows a reader; in words of others they are `named`."""
    topic = a_topic(session)
    reader = subscribers.add(session, KEYS.pepper, address, by="test", now=NOW)
    subscribers.follow(session, reader, "all", Frequency.DAILY, by="test", now=NOW)
    alert = an_alert(session, {topic: [Frequency.EVERY]})
    batch = ImportBatch(by="test", language="en", made_at=NOW, touched_at=NOW)
    session.add(batch)
    session.flush()
    assert batch.id is not None
    other = subscribers.add(session, KEYS.pepper, OTHER, by="test", now=NOW)
    whoever: dict[str, Any] = {"address": address.address, "address_key": address.key}
    agreed: dict[str, Any] = {"asked_at": NOW, "confirmed_at": NOW, "wording": "1"}
    session.add_all(
        [
            SignUp(
                **whoever, language="en", zone="UTC", wording="1", source="/", asked_at=NOW, expires_at=LATER
            ),
            Consent(subscriber_id=reader, source=f"form {named}", **agreed),
            Consent(subscriber_id=reader, source=f"/?from={quote(named)}", **agreed),
            Consent(subscriber_id=reader, source="the fair of 2019", **agreed),
            SubscriptionEvent(
                subscriber_id=reader, kind="reason", detail=f"write to {named}", by="test", at=NOW
            ),
            Delivery(
                alert_id=alert,
                subscriber_id=reader,
                state=DeliveryState.REFUSED,
                reply=f"no {named} here",
                at=NOW,
            ),
            Farewell(subscriber_id=reader, topic_id=topic, reason="other", words=f"write to {named}", at=NOW),
            AddressChange(
                subscriber_id=other,
                address=address.address,
                address_key=address.key,
                asked_at=NOW,
                expires_at=LATER,
            ),
            AddressChange(
                subscriber_id=reader,
                address=f"new.{address.address}",
                address_key=f"new.{address.key}",
                asked_at=NOW,
                expires_at=LATER,
            ),
            ImportLine(import_id=batch.id, step=2, line=1, **whoever, topic="all", frequency="every"),
        ]
    )
    for kind in (NoticeKind.CONFIRM, NoticeKind.LINK):
        notices.ask(session, KEYS, kind, address, reader, language="en", lifetime=timedelta(hours=1), now=NOW)
    for notice in session.exec(select(Notice)):  # as it is once it was opened
        notice.segments = f"To: {notice.address}".encode()
        session.add(notice)
    session.flush()
    return reader


def erase(database: Database, reader: int) -> None:
    with database.begin() as session:
        subscribers.erase(session, reader, by="test", now=LATER)


def holding(session: Session, text: str) -> list[str]:
    """Names the columns of any table in which a row holds the text, however it is typed."""
    found = []
    for table in SQLModel.metadata.sorted_tables:
        for row in session.connection().execute(sa.select(table)).mappings():
            found += [f"{table.name}.{name}" for name, value in row.items() if text in str(value).lower()]
    return sorted(set(found))


def test_every_column_that_can_hold_text_is_known_to_name_nobody_or_is_cleared() -> None:
    of_text = {
        (table.name, column.name)
        for table in SQLModel.metadata.sorted_tables
        for column in table.columns
        if isinstance(column.type, sa.String | AutoString | sa.JSON | sa.LargeBinary)
    }
    assert set(ADDRESS_COLUMNS) <= of_text
    strange = {
        f"{table}.{column}"
        for table, column in of_text - set(ADDRESS_COLUMNS)
        if table not in NAME_NOBODY and column not in NAMES_NOBODY.get(table, ())
    }
    assert not strange, "say above that no address is in it, or have `erasure` clear it"
    by_name = {(table, name) for table, name in of_text if "address" in name and not name.endswith("_hash")}
    assert by_name <= set(ADDRESS_COLUMNS), "have `erasure` clear it, and name it in ADDRESS_COLUMNS"


def test_no_row_of_any_table_names_who_was_erased(db: Database) -> None:
    with db.begin() as session:
        reader = fill(session, ANA, ANA.address)
        name = ANA.address.partition("@")[0].lower()
        before = holding(session, name)
        assert {f"{table}.{column}" for table, column in ADDRESS_COLUMNS} <= set(before)
        assert {"delivery.reply", "consent.source", "subscription_event.detail"} <= set(before)
    erase(db, reader)
    with db.begin() as session:
        assert holding(session, name) == []
        assert holding(session, "xn--mnchen-3ya") == []
        sources = session.exec(select(Consent.source).order_by(col(Consent.id))).all()
        assert sources == ["", "", "the fair of 2019"], "what was agreed, and when, stays"
        delivery = session.exec(select(Delivery)).one()
        assert (delivery.subscriber_id, delivery.state) == (reader, "refused"), "it stays counted"
        for notice in session.exec(select(Notice)):
            assert (notice.state, notice.reason, notice.due_at) == ("expired", "erased", None)


def test_others_lose_nothing(db: Database) -> None:
    ben = normalise("ben@example.org")
    with db.begin() as session:
        other = subscribers.add(session, KEYS.pepper, ben, by="test", now=NOW)
        notices.ask(
            session, KEYS, NoticeKind.LINK, ben, other, language="en", lifetime=timedelta(hours=1), now=NOW
        )
        session.add(
            Consent(subscriber_id=other, wording="1", source="ben@home", asked_at=NOW, confirmed_at=NOW)
        )
        reader = fill(session, ANA)
        before = holding(session, "ben@")
    erase(db, reader)
    with db.begin() as session:
        assert holding(session, "ben@") == before != []


def test_no_byte_of_an_address_is_left_in_the_folder_of_a_site(sqlite_db: Database, tmp_path: Path) -> None:
    with sqlite_db.begin() as session:
        reader = fill(session, ANA, ANA.address)
    with Journals(tmp_path / "journal", "worker") as journals, journals.open(f"1-{reader}-1") as journal:
        journal.begin(reader)
        said = f"550 5.1.1 <{ANA.address}>: user Ana.Reader-7 unknown ({quote(ANA.address)})"
        words = scrub(said, ANA.address)
        journal.receive(Receipt(reader, Settled.DEAD, "dead", 550, words, "xn--mnchen-3ya.example"))
        assert "alerts.db-wal" in traces(tmp_path, ANA)
        erase(sqlite_db, reader)
        assert erasure.finish(sqlite_db)
        assert traces(tmp_path, ANA) == []
        assert (tmp_path / "alerts.db-wal").stat().st_size < 100_000


def test_what_sqlite_leaves_of_deleted_rows_is_cleared(sqlite_db: Database, tmp_path: Path) -> None:
    """In the gaps of pages, their free blocks, and free pages: made here without `secure_delete`, as of old.

    With it, about one in a thousand is left in a gap, where and when is chance.
    """
    with sqlite_db.begin() as session:
        topic = a_topic(session)
        ids: list[int] = []
        for domain in ("one.example", "two.example", "three.example"):  # each splits the index's pages anew
            ids += readers(session, 2_000, topic, domain=domain)
        session.exec(sa.update(Subscriber).where(col(Subscriber.id) % 3 == 0).values(suppressed="dead " * 9))
    gone = [*ids[::3], *range(ids[3_000], ids[5_000])]  # thinned out, and whole pages
    with sqlite_db.begin() as session:
        session.connection().exec_driver_sql("PRAGMA secure_delete = OFF")
        addresses = set(session.exec(select(Subscriber.address).where(col(Subscriber.id).in_(gone))))
        # In one go: three thousand by themselves take half a minute.
        session.exec(
            sa.update(Subscriber)
            .where(col(Subscriber.id).in_(gone[1:]))
            .values(address=None, address_key=None)
        )
        subscribers.erase(session, gone[0], by="test", now=NOW)
        session.connection().exec_driver_sql("PRAGMA secure_delete = ON")
    assert residue.empty_wal(tmp_path / "alerts.db")
    assert len(addresses & found(tmp_path)) > 1_000
    assert erasure.finish(sqlite_db)
    assert addresses & found(tmp_path) == set()
    with sqlite_db.begin() as session:
        assert session.connection().exec_driver_sql("PRAGMA integrity_check").scalar() == "ok"
        left = session.exec(select(Subscriber.address).where(col(Subscriber.address).is_not(None))).all()
        assert len(left) == len({*ids} - {*gone})
    # What the daemon's connection remembers of the pages must not come back with its next change.
    with sqlite_db.begin() as session:
        session.exec(sa.update(Subscriber).values(language="de"))
    assert addresses & found(tmp_path) == set()
    assert set(left) <= found(tmp_path), "the search finds what is there"


def test_who_holds_on_to_an_old_state_puts_the_clearing_off(sqlite_db: Database, tmp_path: Path) -> None:
    with sqlite_db.begin() as session:
        reader = fill(session, ANA)
    # By the same library: two of them in one process do not see one another's locks.
    reading = sqlite_db.engine.raw_connection()
    cursor = reading.cursor()
    cursor.execute("BEGIN")
    cursor.execute("SELECT count(*) FROM subscriber")
    erase(sqlite_db, reader)
    assert not erasure.finish(sqlite_db)
    cursor.execute("COMMIT")
    reading.close()
    assert erasure.finish(sqlite_db)
    assert traces(tmp_path, ANA) == []


def test_there_is_nothing_to_finish_without_an_erasure(db: Database) -> None:
    assert erasure.finish(db)
    with db.begin() as session:
        assert session.get(Site, SiteFact.ERASED) is None


def test_an_erasure_meanwhile_is_finished_by_the_next_turn(
    db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    with db.begin() as session:
        first = subscribers.add(session, KEYS.pepper, ANA, by="test", now=NOW)
        second = subscribers.add(session, KEYS.pepper, normalise("ben@example.org"), by="test", now=NOW)
    erase(db, first)

    def erase_meanwhile(*_: object) -> bool:
        with db.begin() as session:
            subscribers.erase(session, second, by="test", now=LATER + timedelta(seconds=1))
        return True

    for name in ("_clear_file", "_vacuum"):
        monkeypatch.setattr(erasure, name, erase_meanwhile)
    assert erasure.finish(db)
    with db.begin() as session:
        assert session.get(Site, SiteFact.ERASED) is not None


def test_on_postgresql_no_table_holds_a_byte_once_they_are_written_anew(
    postgres_db: Database, postgres_server: Server
) -> None:
    with postgres_db.begin() as session:
        topic = a_topic(session, "other")
        readers(session, 500, topic)
        reader = fill(session, ANA)
    with postgres_db.engine.connect() as connection:
        connection.exec_driver_sql("ANALYZE")
        connection.commit()
    erase(postgres_db, reader)
    assert erasure.finish(postgres_db)
    erasure.rewrite(postgres_db)
    with postgres_db.begin() as session:
        number = (
            session.connection()
            .exec_driver_sql("SELECT oid FROM pg_database WHERE datname = current_database()")
            .scalar_one()
        )
    assert traces(postgres_server.folder / "data" / "base" / str(number), ANA) == []


def test_a_suppression_outlives_the_address(db: Database) -> None:
    with db.begin() as session:
        reader = fill(session, ANA)
        suppressions.suppress(
            session, KEYS.pepper, ANA.key, cause="complaint", evidence="", origin="test", now=NOW
        )
    erase(db, reader)
    assert erasure.finish(db)
    with db.begin() as session:
        again = subscribers.add(session, KEYS.pepper, ANA, by="test", now=LATER)
        assert subscribers.show(session, again).suppressed == "complaint"
        asked = notices.ask(
            session, KEYS, NoticeKind.CONFIRM, ANA, 1, language="en", lifetime=timedelta(1), now=LATER
        )
        assert asked is notices.Withheld.SUPPRESSED, "not even a mail to confirm"
