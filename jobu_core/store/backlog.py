"""How much waits: the number that ingest's back-pressure goes by."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, LiteralString

from sqlalchemy import text

if TYPE_CHECKING:
    import sqlalchemy as sa

_PENDING: Final[LiteralString] = """
SELECT count(*)
  FROM (SELECT 1 FROM job_executions WHERE status = 'PENDING' LIMIT :most) AS pending
"""


def count_pending(connection: sa.Connection, most: int) -> int:
    """Return how many executions are PENDING; counting ends at ``most``."""
    return int(connection.scalar(text(_PENDING), {"most": most}) or 0)
