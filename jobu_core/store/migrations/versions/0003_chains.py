"""The retries of an execution are found by its id: a chain is kept, and goes, as one."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the index; most executions are no retry and not in it."""
    op.create_index(
        "ix_job_executions_root",
        "job_executions",
        ["root_execution_id"],
        postgresql_where=sa.text("root_execution_id IS NOT NULL"),
    )
