"""Readers, as a list to take along: one line for each subscription, a page at a time.

What it writes, `import` reads: to export, import into an empty site and export again gives the same bytes; with who
left, the same lines.
"""

import csv
import io
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime

import sqlalchemy as sa
from sqlmodel import Session, col, select

from alerts.audience.lists.applying import SOURCE
from alerts.audience.lists.cells import guarded
from alerts.audience.lists.shapes import OWN_COLUMNS
from alerts.errors import NotFound
from alerts.models import Audit, Consent, Subscriber, SubscriberState, Subscription, Topic

PAGE = 1_000  # readers
ACTIVE, LEFT, SUPPRESSED = "active", "left", "suppressed"


@dataclass(frozen=True, slots=True)
class Exported:
    """One line: a reader and one topic that they follow or left. Its fields are the columns."""

    address: str
    topic: str
    frequency: str
    status: str
    consent_source: str
    consent_date: datetime | None
    language: str
    zone: str
    digest_hour: int
    digest_weekday: int
    paused_until: datetime | None


@dataclass(frozen=True, slots=True)
class Page:
    """Some lines, and the reader behind whom the next page begins; none when this was the last."""

    lines: tuple[Exported, ...]
    after: int | None


def page(
    session: Session, *, after: int, topic: str | None = None, with_left: bool = False, limit: int = PAGE
) -> Page:
    """Gives the next readers by their number; NotFound for an unknown topic. Nobody who was erased is in it."""
    topics = dict(session.exec(select(Topic.id, Topic.slug)).all())
    if topic is not None and topic not in topics.values():
        raise NotFound(f"There is no topic {topic}: `alerts topics list` names those there are.")
    query = select(Subscriber).where(col(Subscriber.id) > after).order_by(col(Subscriber.id)).limit(limit)
    readers = session.exec(query).all()
    ids = [each.id or 0 for each in readers]
    held = _subscriptions(session, ids)
    consents = _consents(session, ids)
    lines: list[Exported] = []
    for reader in readers:
        if reader.address is None or (
            not with_left and (reader.state != SubscriberState.ACTIVE or reader.suppressed)
        ):
            continue
        own = [
            (topics[each.topic_id], each)
            for each in held.get(reader.id or 0, ())
            if topic is None or topics[each.topic_id] == topic
        ]
        for slug, subscription in sorted(own, key=lambda each: each[0]):
            has_left = subscription.until is not None
            if not has_left or with_left:
                consent = None if has_left else _newest(consents.get(reader.id or 0, ()), slug)
                lines.append(
                    _line(reader, slug, subscription.frequency, _status(reader, has_left=has_left), consent)
                )
        if (
            not own
            and topic is None
            and with_left
            and (reader.suppressed or reader.state == SubscriberState.LEFT)
        ):
            lines.append(_line(reader, "", "", _status(reader, has_left=True), None))
    return Page(tuple(lines), ids[-1] if len(readers) == limit else None)


def header() -> str:
    """Gives the line of column names."""
    return _written(OWN_COLUMNS)


def csv_lines(lines: Sequence[Exported]) -> Iterator[str]:
    """Gives the lines as CSV, in which no cell is a formula."""
    for each in lines:
        yield _written([guarded(_text(value)) for value in asdict(each).values()])


def write_down(session: Session, what: dict[str, object], *, by: str, now: datetime) -> None:
    """Writes down that readers' addresses were taken along."""
    session.add(Audit(at=now, by=by, action="subscriber.export", subject="subscribers", detail=what))


def _written(cells: Sequence[str]) -> str:
    line = io.StringIO()
    # All in quotes: a cell with a semicolon would be two where that is the delimiter.
    csv.writer(line, quoting=csv.QUOTE_ALL, lineterminator="\r\n").writerow(cells)
    return line.getvalue()


def _text(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
    return str(value)


def _status(reader: Subscriber, *, has_left: bool) -> str:
    if reader.suppressed:
        return SUPPRESSED
    return LEFT if has_left else ACTIVE


def _line(reader: Subscriber, topic: str, frequency: str, status: str, consent: Consent | None) -> Exported:
    return Exported(
        address=reader.address or "",
        topic=topic,
        frequency=frequency,
        status=status,
        consent_source=consent.source.removeprefix(SOURCE) if consent else "",
        consent_date=consent.confirmed_at if consent else None,
        language=reader.language,
        zone=reader.zone,
        digest_hour=reader.digest_hour,
        digest_weekday=reader.digest_weekday,
        paused_until=reader.paused_until,
    )


def _subscriptions(session: Session, ids: Sequence[int]) -> dict[int, list[Subscription]]:
    query = select(Subscription).where(col(Subscription.subscriber_id).in_(ids))
    found: dict[int, list[Subscription]] = {}
    for each in session.exec(query):
        found.setdefault(each.subscriber_id, []).append(each)
    return found


def _consents(session: Session, ids: Sequence[int]) -> dict[int, list[Consent]]:
    query = select(Consent).where(col(Consent.subscriber_id).in_(ids)).order_by(sa.desc(col(Consent.id)))
    found: dict[int, list[Consent]] = {}
    for each in session.exec(query):
        found.setdefault(each.subscriber_id, []).append(each)
    return found


def _newest(consents: Sequence[Consent], topic: str) -> Consent | None:
    """Gives the newest consent that is about the topic, or about none by name."""
    return next((each for each in consents if topic in each.choices or not each.choices), None)
