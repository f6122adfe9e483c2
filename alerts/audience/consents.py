"""That a reader agreed: to which words, when and where. The proof is kept, and can be shown."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlmodel import Session, col, select

from alerts.db import insert_or_ignore
from alerts.models import Audit, Consent, Subscriber, Wording, table_of

_WORDING = table_of(Wording)
_PAGE = 500


@dataclass(frozen=True, slots=True)
class Words:
    """What is agreed to, as it is shown; its version is a hash of it."""

    language: str
    text: str

    @property
    def version(self) -> str:
        return hashlib.sha256(f"{self.language}\n{self.text}".encode()).hexdigest()[:16]


@dataclass(frozen=True, slots=True)
class ConsentView:
    """One consent with its words, as it is exported; who was erased has no address any more."""

    id: int
    subscriber: int
    address: str | None
    choices: Mapping[str, str]
    source: str
    asked_at: datetime
    confirmed_at: datetime
    wording: str
    language: str
    words: str


def keep(session: Session, words: Words, now: datetime) -> str:
    """Keeps the words, once, and gives their version."""
    values = {"version": words.version, "language": words.language, "words": words.text, "at": now}
    session.connection().execute(insert_or_ignore(session, _WORDING), [values])
    return words.version


def words_of(session: Session, version: str) -> str:
    """Gives the words of a version; an import may name one that has none."""
    return session.exec(select(Wording.words).where(Wording.version == version)).first() or ""


def record(session: Session, consent: Consent, by: str) -> None:
    """Writes down that a reader agreed."""
    session.add(consent)
    detail = {"wording": consent.wording, "source": consent.source, "topics": [*consent.choices]}
    subject = f"subscriber:{consent.subscriber_id}"
    session.add(
        Audit(at=consent.confirmed_at, by=by, action="subscriber.consent", subject=subject, detail=detail)
    )


def of_reader(session: Session, subscriber_id: int) -> list[ConsentView]:
    """Gives all that one reader agreed to, the oldest first."""
    return [_view(*row) for row in session.exec(_query().where(Consent.subscriber_id == subscriber_id))]


def page(session: Session, after: int) -> list[ConsentView]:
    """Gives the next consents by id, some hundreds at once; none at the end."""
    return [_view(*row) for row in session.exec(_query().where(col(Consent.id) > after).limit(_PAGE))]


def _query() -> Any:
    return (
        select(Consent, Subscriber.address, Wording.language, Wording.words)
        .join(Subscriber, col(Subscriber.id) == Consent.subscriber_id)
        .join(Wording, col(Wording.version) == Consent.wording, isouter=True)
        .order_by(col(Consent.id))
    )


def _view(consent: Consent, address: str | None, language: str | None, words: str | None) -> ConsentView:
    assert consent.id is not None, "read from the table"
    return ConsentView(
        id=consent.id,
        subscriber=consent.subscriber_id,
        address=address,
        choices=consent.choices,
        source=consent.source,
        asked_at=consent.asked_at,
        confirmed_at=consent.confirmed_at,
        wording=consent.wording,
        language=language or "",
        words=words or "",
    )
