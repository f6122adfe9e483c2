"""Names for good: no number is given twice, and the key of an address is that of one mailbox.

Links, causes and audiences name rows by their numbers. On SQLite such a table has to be made anew, beside rows that
point to it: `alerts.db.upgrade` has their references checked at the end instead of meanwhile.

A notice names the inbox that it counts for, beside the address that it went to.

Keys of names beyond ASCII are made anew where the address is known. Suppressions are not: they keep its hash alone.
"""

import unicodedata

import sqlalchemy as sa
from alembic import op

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
