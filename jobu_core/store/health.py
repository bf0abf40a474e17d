"""What the rows say about one run: its executions, and whether their workers live."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, LiteralString

from sqlalchemy import text

from jobu_core.models import Status

if TYPE_CHECKING:
    import sqlalchemy as sa

_ROWS_OF_RUN: Final[LiteralString] = """
SELECT e.id, e.status, e.worker_id,
       coalesce(w.heartbeat_at > jobu_now() - make_interval(secs => :lease), false) AS worker_alive
  FROM job_executions e
  LEFT JOIN workers w ON w.id = e.worker_id
 WHERE e.run_id = :run_id
 ORDER BY e.id
"""


@dataclass(frozen=True, slots=True)
class RowOfRun:
    """One execution that a run was stamped on."""

    execution_id: int
    status: Status
    worker_id: str | None
    worker_alive: bool


def rows_of_run(
    connection: sa.Connection,
    run_id: str,
    *,
    lease_seconds: float,
) -> tuple[RowOfRun, ...]:
    """Return the executions stamped with ``run_id``, in order of id."""
    rows = connection.execute(text(_ROWS_OF_RUN), {"run_id": run_id, "lease": lease_seconds})
    return tuple(
        RowOfRun(row.id, Status(row.status), row.worker_id, row.worker_alive) for row in rows
    )
