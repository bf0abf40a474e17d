"""A dead letter knows which topic is owed a copy of it, and what became of that."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from jobu_core.store.migrations.columns import instant, optional

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the columns; letters that exist already are owed to nobody."""
    op.add_column("dead_letters", optional("mirror_topic", sa.String(249)))
    op.add_column("dead_letters", instant("mirrored_at"))
    op.add_column("dead_letters", optional("mirror_error", sa.Text()))
    op.create_index(
        "ix_dead_letters_owed",
        "dead_letters",
        ["created_at", "id"],
        postgresql_where=sa.text("mirror_topic IS NOT NULL AND mirrored_at IS NULL"),
    )
