"""Alembic's entry: runs on the connection that `alerts.schema.upgrade` hands over."""

from alembic import context
from sqlmodel import SQLModel

import alerts.models  # noqa: F401 - puts the tables into the metadata

connection = context.config.attributes["connection"]
context.configure(
    connection=connection,
    target_metadata=SQLModel.metadata,
    render_as_batch=True,  # SQLite cannot alter a column in place
    compare_type=True,
)
with context.begin_transaction():
    if connection.dialect.name == "postgresql":
        # Two daemons that start at once must not both migrate.
        connection.exec_driver_sql("SELECT pg_advisory_xact_lock(7238141)")
    context.run_migrations()
