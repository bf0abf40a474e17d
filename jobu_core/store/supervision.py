"""What a worker's supervisor reads and writes about the rows in its children's hands."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, LiteralString

from sqlalchemy import text

from jobu_core.models import Fence, Status

if TYPE_CHECKING:
    from collections.abc import Collection
    from uuid import UUID

    import sqlalchemy as sa

_HELD: Final[LiteralString] = """
SELECT e.id, e.status, e.lease_token, e.attempt, e.max_attempts, e.retry_backoff_seconds, e.run_id,
       e.cancel_requested_at IS NOT NULL AS cancel_requested, e.cancel_reason,
       coalesce(e.deadline_at <= jobu_now(), false) AS deadline_passed,
       EXISTS (SELECT FROM job_executions o
                WHERE o.lease_token = e.lease_token AND o.status = 'QUEUED' AND o.id <> e.id)
         AS siblings_wait
  FROM job_executions e
 WHERE e.worker_id = :worker_id AND e.status IN ('QUEUED', 'RUNNING')
 ORDER BY e.id
"""

_RETURN_UNSTARTED: Final[LiteralString] = """
WITH waiting AS (
  SELECT id, :counted = 1 AND NOT EXISTS (
           SELECT 1 FROM job_executions begun
            WHERE begun.run_id = e.run_id AND begun.id <> e.id
              AND begun.status <> 'QUEUED' AND begun.attempt > 0) AS is_counted
    FROM job_executions e
   WHERE lease_token = ANY(:tokens) AND status = 'QUEUED'
   ORDER BY id
     FOR UPDATE
)
UPDATE job_executions e
   SET status = CASE WHEN cancel_requested_at IS NULL THEN 'PENDING' ELSE 'CANCELED' END,
       finished_at = CASE WHEN cancel_requested_at IS NOT NULL THEN jobu_now() END,
       launch_count = launch_count + is_counted::int,
       next_attempt_at = CASE WHEN is_counted AND cancel_requested_at IS NULL
         THEN jobu_now() + make_interval(secs => least(300, power(2, launch_count + 1))) END,
       lease_token = NULL, reason = :reason
  FROM waiting
 WHERE e.id = waiting.id AND e.lease_token = ANY(:tokens) AND e.status = 'QUEUED'
"""


@dataclass(frozen=True, slots=True)
class HeldRow:
    """An unfinished row stamped with this worker's id."""

    id: int
    status: Status
    token: UUID
    attempt: int
    max_attempts: int
    retry_backoff_seconds: int
    run_id: str
    cancel_requested: bool
    cancel_reason: str | None
    deadline_passed: bool
    siblings_wait: bool
    """Its launch carries rows that have not begun."""

    @property
    def fence(self) -> Fence:
        """What its owner's writes must match."""
        return Fence(self.id, self.token, self.attempt)


def held_rows(connection: sa.Connection, worker_id: str) -> list[HeldRow]:
    """Return the unfinished rows that runs of this worker carry, in order of id."""
    rows = connection.execute(text(_HELD), {"worker_id": worker_id})
    return [
        HeldRow(
            id=row.id,
            status=Status(row.status),
            token=row.lease_token,
            attempt=row.attempt,
            max_attempts=row.max_attempts,
            retry_backoff_seconds=row.retry_backoff_seconds,
            run_id=row.run_id,
            cancel_requested=row.cancel_requested,
            cancel_reason=row.cancel_reason,
            deadline_passed=row.deadline_passed,
            siblings_wait=row.siblings_wait,
        )
        for row in rows
    ]


def return_unstarted(
    connection: sa.Connection,
    tokens: Collection[UUID],
    *,
    reason: str,
    counted: bool = False,
) -> int:
    """QUEUED → PENDING for rows of launches whose process has gone; returns rows.

    ``counted``: one launch more without a claim, and a pause before the next; not for
    a row whose launch had begun with another row (rule 11: the innocents of a batch).
    """
    if not tokens:
        return 0
    done = connection.execute(
        text(_RETURN_UNSTARTED),
        {"tokens": list(tokens), "reason": reason, "counted": int(counted)},
    )
    return done.rowcount
