"""No number is given twice: links, causes and audiences name rows by theirs.

On SQLite such a table has to be made anew, beside rows that point to it: `alerts.db.upgrade` has their references
checked at the end instead of meanwhile.
"""

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


def upgrade() -> None:
    _number(once=True)


def downgrade() -> None:
    _number(once=False)


def _number(*, once: bool) -> None:
    if op.get_bind().dialect.name != 'sqlite':
        return  # a sequence never goes back
    for table in _NUMBERED_ONCE:
        with op.batch_alter_table(table, recreate='always', table_kwargs={'sqlite_autoincrement': once}):
            pass
