"""Signed mails through the whole line: what arrives verifies, and a rotation changes no resend."""

from dataclasses import replace
from pathlib import Path

import dkim
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from sqlmodel import Session, col, select

from alerts.db import Database
from alerts.dispatch.compose import Composer, ReturnPath, stamp
from alerts.dispatch.opening import Opening
from alerts.dispatch.wording import Choice
from alerts.errors import ConfigError
from alerts.mail.dkim import Signer, record
from alerts.mail.render import Renderer
from alerts.models import Delivery, Frequency
from delivering import KEYS, SITE, all_done, announce, delivering, until
from fakes.smtp import Point, Reply, StartSmtp

OLD, NEW = (
    Signer("example.org", name, rsa.generate_private_key(public_exponent=65537, key_size=2048))
    for name in ("2026a", "2026b")
)
RECORDS = {f"{each.name}.".encode(): record(each).encode() for each in (OLD, NEW)}


def holds(mail: bytes) -> bool:
    return bool(dkim.verify(mail, dnsfunc=lambda name, timeout=5: RECORDS.get(name)))


def composer(db: Database, *signers: Signer) -> Composer:
    return Composer(db, Renderer(SITE, []), SITE, KEYS, ReturnPath("bounce@example.org", "", KEYS), signers)


def is_not_composed(session: Session) -> bool:
    return "could not be composed: ConfigError" in session.exec(select(Delivery.reason)).one()


async def test_what_arrives_over_smtp_verifies(
    sqlite_db: Database, smtp_server: StartSmtp, tmp_path: Path
) -> None:
    server = await smtp_server()
    announce(sqlite_db, 5, title="  The ferry\tis in", text=".It came in  at noon.\n\n..\n")
    async with delivering(sqlite_db, server, tmp_path, signers=(NEW, replace(OLD, is_active=False))):
        await until(sqlite_db, all_done)
    assert len(server.accepted) == 5
    assert all(holds(mail.content) for mail in server.accepted)
    assert all(b"s=2026b;" in mail.content and b"s=2026a;" not in mail.content for mail in server.accepted)
    assert server.violations == []


async def test_a_rotation_changes_no_mail_that_was_prepared_before(sqlite_db: Database) -> None:
    _, topic, (reader,) = announce(sqlite_db, 1)
    choice = Choice((topic,), Frequency.EVERY, "en")
    opening = Opening(reader, "reader1@example.org", choice, "variant", KEYS.current, "main")

    async def stamped(by: Composer) -> bytes:
        prepared = (await by.prepare(1, [opening]))["variant"]
        sealed = by.seal(1, prepared, opening)
        mail = stamp(prepared, sealed)
        assert mail == stamp(prepared, by.seal(1, prepared, opening)), "signed again, it is the same mail"
        assert mail.startswith(sealed.signature)
        return mail

    first = await stamped(composer(sqlite_db, OLD))
    assert b"s=2026a;" in first
    assert await stamped(composer(sqlite_db, replace(OLD, is_active=False), NEW)) == first
    with pytest.raises(ConfigError, match="2026a"):
        await stamped(composer(sqlite_db, NEW))
    with pytest.raises(ConfigError, match="2026a"):
        await stamped(composer(sqlite_db))


async def test_a_mail_whose_key_is_gone_waits_until_it_is_back(
    sqlite_db: Database, smtp_server: StartSmtp, tmp_path: Path
) -> None:
    busy, server = await smtp_server(), await smtp_server()
    busy.script.on(Point.RCPT, Reply.of(451, "4.3.0 try again later"))
    announce(sqlite_db, 1)
    async with delivering(sqlite_db, busy, tmp_path, signers=(OLD,)):
        await until(
            sqlite_db, lambda session: session.exec(select(col(Delivery.attempts) > 0)).first() is True
        )
    async with delivering(sqlite_db, server, tmp_path, signers=(NEW,)):
        await until(sqlite_db, is_not_composed)
    assert server.accepted == []
    async with delivering(sqlite_db, server, tmp_path, signers=(NEW, OLD)):
        await until(sqlite_db, all_done)
    [mail] = server.accepted
    assert holds(mail.content)
    assert b"s=2026a;" in mail.content
    assert b"s=2026b;" not in mail.content
