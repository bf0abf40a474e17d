"""What ``jobu doctor`` asks the job store; reads only."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, LiteralString

from sqlalchemy import text

if TYPE_CHECKING:
    from datetime import datetime

    import sqlalchemy as sa

_NOW: Final[LiteralString] = "SELECT clock_timestamp()"

_RELAUNCHED: Final[LiteralString] = """
SELECT id FROM job_executions
 WHERE launch_count >= :least AND status IN ('PENDING', 'QUEUED', 'RUNNING')
 ORDER BY id LIMIT 20
"""


def database_time(connection: sa.Connection) -> datetime:
    """Return the database server's wall clock, which decides what is due."""
    found: datetime = connection.execute(text(_NOW)).scalar_one()
    return found


def often_relaunched(connection: sa.Connection, *, least: int) -> list[int]:
    """Return unfinished executions whose launches were lost at least so often."""
    return list(connection.execute(text(_RELAUNCHED), {"least": least}).scalars())
