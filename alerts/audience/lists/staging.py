"""A file of readers on its way in: each line is checked and staged before the first one counts.

    begin -> stage, slice by slice -> judge: what would change -> seal -> apply, slice by slice
                                                               or discard, slice by slice

Every step is a transaction of some milliseconds, so that a daemon goes on sending. To seal is the one moment at which
nothing becomes all: docs/adr/0012-imports-are-sealed.md.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, TypeAlias

import sqlalchemy as sa
import structlog
from sqlmodel import Session, col, select

from alerts import db
from alerts.audience.addresses import Address
from alerts.audience.lists.rows import Bad
from alerts.audience.lists.shapes import Line, Step
from alerts.errors import Conflict, NotFound
from alerts.models import Audit, ImportBatch, ImportChange, ImportLine, ImportState, Topic, table_of

log = structlog.get_logger()

SLICE = 100  # lines: a transaction of some twenty milliseconds
_LINE = table_of(ImportLine)
StagedLine: TypeAlias = sa.Row[Any]  # of `import_line`
_GIVEN_UP = timedelta(days=1)  # a staging that nobody worked on for so long
_LEFT_ALONE = timedelta(seconds=30)  # whoever applied it is gone
UNDO_FOR = timedelta(days=30)


@dataclass(frozen=True, slots=True)
class Staged:
    """What became of some lines: refused after all, or said before."""

    refused: tuple[Bad, ...]
    repeated: int


@dataclass(frozen=True, slots=True)
class BatchView:
    """An import as it stands."""

    id: int
    state: str
    by: str
    made_at: datetime
    sealed_at: datetime | None
    ended_at: datetime | None
    lines: int
    waiting: int
    counts: dict[str, int]


@dataclass(frozen=True, slots=True)
class Kept:
    """A change that an undoing left alone, and why."""

    line: int
    subscriber_id: int
    why: str


def begin(session: Session, *, by: str, language: str, now: datetime) -> int:
    """Makes an import without lines, and gives its number."""
    batch = ImportBatch(by=by, language=language, made_at=now, touched_at=now)
    session.add(batch)
    session.flush()
    return _known(batch.id)


def stage(session: Session, import_id: int, lines: Sequence[Line], now: datetime) -> Staged:
    """Puts a slice of lines down; what a line before said of the same reader and topic is said once.

    Where two lines differ, an opt-out wins, whichever comes first; two frequencies for one topic are refused.
    """
    batch = locked(session, import_id)
    if batch.state != ImportState.STAGING:
        raise Conflict(f"Import {import_id} takes no more lines: it is {batch.state}.")
    topics = set(session.exec(select(Topic.slug)))
    before = _staged(session, import_id, [each.address.key for each in lines])
    fresh: dict[tuple[str, str], Line] = {}
    refused, repeated, outdone = [], 0, []
    for line in lines:
        if line.topic and line.topic not in topics:
            refused.append(Bad(line.number, f"There is no topic {_short(line.topic)}."))
            continue
        key = (line.address.key, line.topic)
        other = before.get(key)
        if other is not None and line.step == other.step == Step.FOLLOW and line.frequency != other.frequency:
            why = f"Line {other.number} has this reader and topic at another frequency."
            refused.append(Bad(line.number, why))
        elif other is None or _rank(line) < _rank(other):
            repeated += other is not None
            if other is not None and key not in fresh:
                outdone.append(other)
            before[key] = fresh[key] = line
        else:
            repeated += 1
    _unstage(session, import_id, outdone)
    if fresh:
        session.connection().execute(sa.insert(_LINE), [_row(import_id, each) for each in fresh.values()])
    batch.lines += len(fresh) - len(outdone)
    batch.touched_at = now
    session.add(batch)
    return Staged(tuple(refused), repeated)


def seal(session: Session, import_id: int, *, by: str, now: datetime) -> None:
    """Makes an import count: from this commit on all of it will be applied, by whoever is there."""
    batch = locked(session, import_id)
    if batch.state != ImportState.STAGING:
        raise Conflict(f"Import {import_id} cannot be begun again: it is {batch.state}.")
    batch.state, batch.sealed_at, batch.touched_at = ImportState.APPLYING, now, now
    session.add(batch)
    audit(session, "import", import_id, {"lines": batch.lines}, by, now)


def discard(session: Session, import_id: int) -> bool:
    """Takes a slice of what is staged away, and the import with the last; True while there is more."""
    batch = locked(session, import_id)
    if batch.state != ImportState.STAGING:
        raise Conflict(
            f"Import {import_id} is {batch.state}: `alerts subscribers import --undo {import_id}`."
        )
    some = next_lines(session, batch, SLICE)
    if some:
        drop_lines(session, some)
        return True
    session.delete(batch)
    return False


def left_behind(session: Session, now: datetime) -> tuple[list[int], list[int]]:
    """Gives the imports that were sealed, or are being undone, and are left alone; and those that were given up."""
    query = select(ImportBatch.id, ImportBatch.state, ImportBatch.touched_at).where(
        col(ImportBatch.state).in_([ImportState.STAGING, ImportState.APPLYING, ImportState.UNDOING])
    )
    found = session.exec(query.order_by(col(ImportBatch.id))).all()
    halfway = [
        _known(id_) for id_, state, at in found if state != ImportState.STAGING and at <= now - _LEFT_ALONE
    ]
    given_up = [
        _known(id_) for id_, state, at in found if state == ImportState.STAGING and at <= now - _GIVEN_UP
    ]
    return halfway, given_up


def forget_changes(session: Session, now: datetime) -> bool:
    """Forgets a slice of what is too old to be undone; True while there is more."""
    old = (
        select(ImportChange.id)
        .join(ImportBatch, col(ImportBatch.id) == ImportChange.import_id)
        .where(col(ImportBatch.ended_at) <= now - UNDO_FOR)
        .limit(SLICE)
    )
    ids = session.exec(old).all()
    session.exec(sa.delete(ImportChange).where(col(ImportChange.id).in_(ids)))
    return bool(ids)


def list_batches(session: Session) -> list[BatchView]:
    """Gives all imports, the newest first."""
    waiting = dict(
        session.exec(select(ImportLine.import_id, sa.func.count()).group_by(col(ImportLine.import_id))).all()
    )
    batches = session.exec(select(ImportBatch).order_by(col(ImportBatch.id).desc())).all()
    return [
        BatchView(
            id=_known(each.id),
            state=each.state,
            by=each.by,
            made_at=each.made_at,
            sealed_at=each.sealed_at,
            ended_at=each.ended_at,
            lines=each.lines,
            waiting=waiting.get(_known(each.id), 0),
            counts=each.counts,
        )
        for each in batches
    ]


def list_kept(session: Session, import_id: int, limit: int) -> list[Kept]:
    """Gives what the undoing of an import left alone, by line."""
    query = (
        select(ImportChange)
        .where(ImportChange.import_id == import_id, ImportChange.kept != "")
        .order_by(col(ImportChange.line))
        .limit(limit)
    )
    return [Kept(each.line, each.subscriber_id, each.kept) for each in session.exec(query)]


def locked(session: Session, import_id: int) -> ImportBatch:
    """Gives an import's row, locked: who works on it takes turns."""
    batch = session.exec(select(ImportBatch).where(ImportBatch.id == import_id).with_for_update()).first()
    if batch is None:
        raise NotFound(f"There is no import {import_id}: `alerts subscribers imports` lists those there are.")
    return batch


def next_lines(session: Session, batch: ImportBatch, limit: int) -> Sequence[StagedLine]:
    """Gives the next staged lines of an import, all of one step."""
    return lines_after(session, _known(batch.id), (batch.step, batch.line), limit)


def lines_after(session: Session, import_id: int, place: tuple[int, int], limit: int) -> Sequence[StagedLine]:
    """Gives the staged lines behind a step and a line, all of one step."""
    step, line = place
    values = {"of_import": import_id, "of_step": step, "after": line, "limit": limit}
    found = session.connection().execute(_AFTER, values).all()
    return [each for each in found if each.step == found[0].step]


def drop_lines(session: Session, lines: Sequence[StagedLine]) -> None:
    """Takes staged lines, all of one step and in their order, away."""
    first, last = lines[0], lines[-1]
    values = {
        "of_import": first.import_id,
        "of_step": first.step,
        "first": first.line,
        "last": last.line,
    }
    session.connection().execute(_DROP, values)


_OF_IMPORT = _LINE.c.import_id == sa.bindparam("of_import")
_AFTER = (
    sa.select(_LINE)
    .where(
        _OF_IMPORT,
        sa.tuple_(_LINE.c.step, _LINE.c.line)
        > sa.tuple_(sa.bindparam("of_step", type_=sa.Integer), sa.bindparam("after", type_=sa.BigInteger)),
    )
    .order_by(_LINE.c.step, _LINE.c.line)
    .limit(sa.bindparam("limit", type_=sa.Integer))
)
_DROP = sa.delete(_LINE).where(
    _OF_IMPORT,
    _LINE.c.step == sa.bindparam("of_step"),
    _LINE.c.line.between(sa.bindparam("first"), sa.bindparam("last")),
)


def audit(
    session: Session, what: str, import_id: int, detail: dict[str, object], by: str, now: datetime
) -> None:
    """Writes down who did what with an import."""
    action = f"subscriber.{what}"
    session.add(Audit(at=now, by=by, action=action, subject=f"import:{import_id}", detail=detail))
    log.info(action.replace(".", "_"), subject=f"import:{import_id}", by=by, **detail)


def count(batch: ImportBatch, outcomes: Iterable[str]) -> None:
    """Adds what became of some lines to what is known."""
    counts = dict(batch.counts)  # another object, or the change would not be seen
    for each in outcomes:
        counts[each] = counts.get(each, 0) + 1
    batch.counts = counts


def _staged(session: Session, import_id: int, keys: Sequence[str]) -> dict[tuple[str, str], Line]:
    """Gives what is staged of these addresses already; of each line what is compared."""
    db.prefer_indexes(session)
    rows = session.connection().execute(_STAGED, {"of_import": import_id, "keys": keys})
    return {
        (each.address_key, each.topic): Line(
            each.line, Step(each.step), Address("", each.address_key), each.topic, each.frequency
        )
        for each in rows
    }


_STAGED = sa.select(_LINE.c.line, _LINE.c.step, _LINE.c.address_key, _LINE.c.topic, _LINE.c.frequency).where(
    db.among(_LINE.c.address_key, "keys"), _OF_IMPORT
)


def _unstage(session: Session, import_id: int, lines: Sequence[Line]) -> None:
    for each in lines:
        session.exec(
            sa.delete(ImportLine).where(
                col(ImportLine.import_id) == import_id,
                col(ImportLine.step) == each.step,
                col(ImportLine.line) == each.number,
            )
        )


def _rank(line: Line) -> int:
    return [Step.SUPPRESS, Step.LEAVE_ALL, Step.LEAVE, Step.FOLLOW].index(line.step)


def _row(import_id: int, line: Line) -> dict[str, object]:
    return {
        "import_id": import_id,
        "step": int(line.step),
        "line": line.number,
        "address": line.address.address,
        "address_key": line.address.key,
        "topic": line.topic,
        "frequency": line.frequency,
        "cause": line.cause,
        "consent_source": line.consent_source,
        "consent_at": line.consent_at,
        "settings": dict(line.settings),
    }


def _short(text: str) -> str:
    return "of that name" if len(text) > 60 or "@" in text else text  # noqa: PLR2004 - a name's length


def _known(id_: int | None) -> int:
    assert id_ is not None, "read from the table"
    return id_
