"""Names for good: no number is given twice, and the key of an address is that of one mailbox.

Links, causes and audiences name rows by their numbers. On SQLite such a table has to be made anew, beside rows that
point to it: `alerts.schema.upgrade` has their references checked at the end instead of meanwhile.

A notice names the inbox that it counts for, beside the address that it went to.

Keys of names beyond ASCII are made anew where the address is known. Suppressions are not: they keep its hash alone.

A pause that is under way is cut out of the reader's spans, and hourly digests go by their readers' clocks.
"""

import unicodedata
from datetime import UTC, datetime

import sqlalchemy as sa
from alembic import op
from sqlmodel.sql.sqltypes import UTCDateTime

revision = '0006'
down_revision = '0005'

_NUMBERED_ONCE = (
    'feed',
    'entry',
    'topic',
    'subscriber',
    'sign_up',
    'import_batch',
    'notice',
    'address_change',
    'alert',
)


_WITH_KEYS = ('subscriber', 'sign_up', 'address_change', 'import_line')


def upgrade() -> None:
    op.add_column('notice', sa.Column('inbox_hash', sa.String(), nullable=True))
    op.execute('UPDATE notice SET inbox_hash = address_hash')  # they count for a day
    with op.batch_alter_table('notice') as batch_op:
        batch_op.alter_column('inbox_hash', existing_type=sa.String(), nullable=False)
        batch_op.drop_constraint('uq_notice_address_hash_day_number', type_='unique')
        batch_op.create_unique_constraint('uq_notice_inbox_hash_day_number', ['inbox_hash', 'day', 'number'])
    _number(once=True)
    for table in _WITH_KEYS:
        _fold_case_alone(table)
    _cut_pauses(datetime.now(UTC))
    _place_hourly_digests()


def downgrade() -> None:
    _number(once=False)
    with op.batch_alter_table('notice') as batch_op:
        batch_op.drop_constraint('uq_notice_inbox_hash_day_number', type_='unique')
        batch_op.drop_column('inbox_hash')
        batch_op.create_unique_constraint('uq_notice_address_hash_day_number', ['address_hash', 'day', 'number'])


def _number(*, once: bool) -> None:
    if op.get_bind().dialect.name != 'sqlite':
        return  # a sequence never goes back
    for table in _NUMBERED_ONCE:
        with op.batch_alter_table(table, recreate='always', table_kwargs={'sqlite_autoincrement': once}):
            pass


def _fold_case_alone(table: str) -> None:
    connection = op.get_bind()
    address, key = sa.column('address', sa.String()), sa.column('address_key', sa.String())
    of_table = sa.table(table, address, key)
    size = sa.func.octet_length(address)
    if connection.dialect.name == 'sqlite':
        size = sa.func.length(sa.cast(address, sa.LargeBinary()))
    beyond_ascii = sa.select(address, key).where(size != sa.func.length(address))
    for spelled, before in connection.execute(beyond_ascii.distinct()).all():
        after = unicodedata.normalize('NFC', spelled.lower())
        own = (address == spelled) & (key == before)
        connection.execute(sa.update(of_table).where(own).values(address_key=after))


_SPAN = sa.table(
    'digest_span',
    *(sa.column(name) for name in ('subscriber_id', 'frequency', 'topic_id')),
    *(sa.column(name, UTCDateTime()) for name in ('since', 'until')),
)
_READER = sa.table('subscriber', sa.column('id'), sa.column('zone'), sa.column('paused_until', UTCDateTime()))
_MARK = sa.table('digest_mark', sa.column('subscriber_id'), sa.column('frequency'), sa.column('slot'))
_SLOT = sa.table(
    'digest_slot', sa.column('frequency'), sa.column('slot'), sa.column('next_at', UTCDateTime())
)


def _cut_pauses(now: datetime) -> None:
    pauses = _READER.c.paused_until > now
    is_open = (_SPAN.c.until.is_(None), _SPAN.c.since < now)
    columns = (_SPAN.c.subscriber_id, _SPAN.c.frequency, _SPAN.c.topic_id, _READER.c.paused_until)
    after_the_pause = (
        sa.select(*columns).join(_READER, _READER.c.id == _SPAN.c.subscriber_id).where(pauses, *is_open)
    )
    op.execute(
        sa.insert(_SPAN).from_select(['subscriber_id', 'frequency', 'topic_id', 'since'], after_the_pause)
    )
    paused = _SPAN.c.subscriber_id.in_(sa.select(_READER.c.id).where(pauses))
    op.execute(sa.update(_SPAN).where(paused, *is_open).values(until=now))


def _place_hourly_digests() -> None:
    is_hourly = _MARK.c.frequency == 'hourly'
    zone = sa.select(_READER.c.zone).where(_READER.c.id == _MARK.c.subscriber_id).scalar_subquery()
    op.execute(sa.update(_MARK).where(is_hourly).values(slot=zone))
    known, before = _SLOT.alias(), _SLOT.alias()
    due = sa.select(before.c.next_at).where(before.c.frequency == 'hourly', before.c.slot == 'UTC')
    is_known = sa.exists().where(known.c.frequency == 'hourly', known.c.slot == _MARK.c.slot)
    missing = sa.select(_MARK.c.frequency, _MARK.c.slot, due.scalar_subquery()).distinct()
    op.execute(
        sa.insert(_SLOT).from_select(['frequency', 'slot', 'next_at'], missing.where(is_hourly, ~is_known))
    )
