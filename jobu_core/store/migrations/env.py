"""Alembic environment: runs on the connection that ``store.migrate`` hands over."""

from __future__ import annotations

from alembic import context

from jobu_core.store.schema import metadata


def run_migrations() -> None:
    """Run the revisions in the transaction of the given connection."""
    connection = context.config.attributes["connection"]
    context.configure(
        connection=connection,
        target_metadata=metadata,
        version_table="jobu_migrations",
    )
    with context.begin_transaction():
        context.run_migrations()


run_migrations()
