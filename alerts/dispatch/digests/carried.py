"""Which entries readers hold from digests: a digest's delivery names its variant, whose selection names the entries."""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence

import sqlalchemy as sa
from sqlmodel import Session

from alerts import db
from alerts.models import Alert, AlertEntry, Delivery, DeliveryState, DigestMark, Selection, table_of

ALERT = table_of(Alert)
ALERT_ENTRY = table_of(AlertEntry)
DELIVERY = table_of(Delivery)
MARK = table_of(DigestMark)
SELECTION = table_of(Selection)

# What a reader holds, or will, or may: another mail must not tell it again.
HOLDING = (DeliveryState.ACCEPTED, DeliveryState.SENDING, DeliveryState.DEFERRED, DeliveryState.UNKNOWN)
# Pairs of the primary key, and no range of readers: between two of a digest's may lie thousands of `every` readers.
PAIRS = (db.among(DELIVERY.c.alert_id, "alerts"), db.among(DELIVERY.c.subscriber_id, "ids"))


def by_digests(
    session: Session, ids: Collection[int], entries: Collection[int], but_not: int = 0
) -> Mapping[int, set[int]]:
    """Gives which of these entries each of these readers holds from digests, other than the one left out."""
    connection = session.connection()
    digests = connection.execute(_CARRIERS, {"entries": entries, "but_not": but_not}).scalars().all()
    if not digests:
        return {}
    rows = connection.execute(_TAKEN, {"alerts": digests, "ids": ids}).all()
    variants = {row.variant for row in rows}
    values = {"alerts": digests, "variants": variants}
    told = {
        (alert_id, variant): {entry_id for entry_id, _, _ in listed}
        for alert_id, variant, listed in connection.execute(_SELECTED, values)
    }
    asked = set(entries)
    held: dict[int, set[int]] = defaultdict(set)
    for subscriber_id, alert_id, variant in rows:
        held[subscriber_id] |= told[alert_id, variant] & asked
    return held


def by_digests_of(session: Session, ids: Sequence[int], alert_id: int) -> frozenset[int]:
    """Gives who of these readers holds the entry of an alert from a digest.

    It waits for the digests that are being opened for them: until those are committed nobody knows.
    """
    connection = session.connection()
    readers = connection.execute(_READERS, {"ids": ids}).scalars().all()
    entries = connection.execute(_ENTRIES, {"of_alert": alert_id}).scalars().all()
    if not readers:
        return frozenset()
    held = by_digests(session, sorted(set(readers)), entries)
    return frozenset(reader for reader, found in held.items() if found)


_CARRIERS = (
    sa.select(ALERT_ENTRY.c.alert_id)
    .distinct()
    .join(ALERT, ALERT.c.id == ALERT_ENTRY.c.alert_id)
    .where(
        db.among(ALERT_ENTRY.c.entry_id, "entries"),
        ALERT.c.window_end.is_not(None),
        ALERT.c.id != sa.bindparam("but_not"),
    )
)
_TAKEN = sa.select(DELIVERY.c.subscriber_id, DELIVERY.c.alert_id, DELIVERY.c.variant).where(
    *PAIRS, DELIVERY.c.state.in_(HOLDING)
)
_SELECTED = sa.select(SELECTION.c.alert_id, SELECTION.c.variant, SELECTION.c.entries).where(
    db.among(SELECTION.c.alert_id, "alerts"), db.among(SELECTION.c.variant, "variants")
)
_READERS = (
    sa.select(MARK.c.subscriber_id)
    .where(db.among(MARK.c.subscriber_id, "ids"))
    .order_by(MARK.c.subscriber_id, MARK.c.frequency)  # one order of locks for all
    .with_for_update()
)
_ENTRIES = sa.select(ALERT_ENTRY.c.entry_id).where(ALERT_ENTRY.c.alert_id == sa.bindparam("of_alert"))
