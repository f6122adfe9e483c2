"""A mail is kept once, as it is sent: nothing read its words."""

import sqlalchemy as sa
from alembic import op

revision = '0005'
down_revision = '0004'


def upgrade() -> None:
    op.drop_column('body', 'html')
    op.drop_column('body', 'text')
    op.drop_column('body', 'subject')


def downgrade() -> None:
    op.add_column('body', sa.Column('subject', sa.String(), server_default='', nullable=False))
    op.add_column('body', sa.Column('text', sa.String(), server_default='', nullable=False))
    op.add_column('body', sa.Column('html', sa.String(), server_default='', nullable=False))
