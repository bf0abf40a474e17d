"""What the reconciler reads of unfinished rows, and the one UPDATE per action.

Every WHERE repeats the status, token and heartbeat that were read: if anything
moved meanwhile, nothing is written and the next look decides again.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, LiteralString

from sqlalchemy import text

from jobu_core.models import Status

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from datetime import datetime
    from uuid import UUID

    import sqlalchemy as sa

_LAUNCHED: Final[LiteralString] = """
SELECT e.id, e.handler_name, e.status, e.lease_token, e.attempt, e.max_attempts,
       e.retry_backoff_seconds, e.launch_count, e.run_id, e.worker_id, e.heartbeat_at,
       e.cancel_requested_at IS NOT NULL AS cancel_requested,
       extract(epoch FROM jobu_now() - e.queued_at)::float8 AS queued_seconds,
       coalesce(e.deadline_at + make_interval(secs => :lease) <= jobu_now(), false)
         AS deadline_passed,
       EXISTS (SELECT 1 FROM job_executions begun
                WHERE begun.run_id = e.run_id AND begun.id <> e.id
                  AND begun.status <> 'QUEUED' AND begun.attempt > 0) AS run_has_begun
  FROM job_executions e
 WHERE e.status IN ('QUEUED', 'RUNNING')
 ORDER BY e.id
 LIMIT :most
"""

_SAME: Final[LiteralString] = """
 WHERE id = :id AND status = :status AND lease_token = :token
   AND heartbeat_at IS NOT DISTINCT FROM :heartbeat_at
"""

_RETURN: Final[LiteralString] = (
    """
UPDATE job_executions
   SET status = CASE WHEN cancel_requested_at IS NULL THEN 'PENDING' ELSE 'CANCELED' END,
       finished_at = CASE WHEN cancel_requested_at IS NOT NULL THEN jobu_now() END,
       next_attempt_at = CASE WHEN cancel_requested_at IS NULL
                              THEN jobu_now() + make_interval(secs => :after) END,
       launch_count = launch_count + :counted,
       lease_token = NULL, deadline_at = NULL,
       reason = CASE WHEN cancel_requested_at IS NULL THEN :reason ELSE 'canceled' END,
       error_type = :error_type, error_message = :error_message
"""
    + _SAME
)

_END: Final[LiteralString] = (
    """
UPDATE job_executions
   SET status = :new_status, lease_token = NULL, finished_at = jobu_now(), reason = :reason,
       error_type = :error_type, error_message = :error_message,
       result = CAST(:result AS jsonb)
"""
    + _SAME
)

_REQUEST_CANCEL: Final[LiteralString] = (
    """
UPDATE job_executions
   SET cancel_requested_at = jobu_now(), cancel_reason = coalesce(cancel_reason, :reason)
"""
    + _SAME
    + " AND cancel_requested_at IS NULL"
)

_WAITING_HANDLERS: Final[LiteralString] = """
SELECT DISTINCT handler_name FROM job_executions WHERE status = 'PENDING'
"""

_FAIL_HANDLERS: Final[LiteralString] = """
UPDATE job_executions
   SET status = 'FAILED', finished_at = jobu_now(), reason = 'handler_unknown',
       error_type = 'UnknownHandler',
       error_message = 'no handler named ' || quote_literal(handler_name) || ' is registered'
 WHERE status = 'PENDING' AND handler_name = ANY(:names)
"""


@dataclass(frozen=True, slots=True)
class LaunchedRow:
    """A QUEUED or RUNNING row as the reconciler read it."""

    id: int
    handler_name: str
    status: Status
    token: UUID
    attempt: int
    max_attempts: int
    retry_backoff_seconds: int
    launch_count: int
    run_id: str | None
    worker_id: str | None
    heartbeat_at: datetime | None
    cancel_requested: bool
    queued_seconds: float
    deadline_passed: bool
    """The deadline and one lease more have passed."""
    run_has_begun: bool = False
    """Its run has begun another row: whatever became of the run, this row is innocent."""


def launched_rows(
    connection: sa.Connection,
    *,
    lease_seconds: float,
    most: int = 5000,
) -> list[LaunchedRow]:
    """Return up to ``most`` QUEUED and RUNNING rows, oldest first."""
    rows = connection.execute(text(_LAUNCHED), {"lease": lease_seconds, "most": most})
    return [
        LaunchedRow(
            id=row.id,
            handler_name=row.handler_name,
            status=Status(row.status),
            token=row.lease_token,
            attempt=row.attempt,
            max_attempts=row.max_attempts,
            retry_backoff_seconds=row.retry_backoff_seconds,
            launch_count=row.launch_count,
            run_id=row.run_id,
            worker_id=row.worker_id,
            heartbeat_at=row.heartbeat_at,
            cancel_requested=row.cancel_requested,
            queued_seconds=row.queued_seconds,
            deadline_passed=row.deadline_passed,
            run_has_begun=row.run_has_begun,
        )
        for row in rows
    ]


def return_row(
    connection: sa.Connection,
    row: LaunchedRow,
    *,
    after_seconds: float,
    reason: str,
    counted: bool,
    error: tuple[str, str] | None = None,
) -> bool:
    """→ PENDING (CANCELED when that was asked for); ``counted`` raises launch_count."""
    values = {"after": after_seconds, "counted": int(counted), "reason": reason, **_error(error)}
    return _one(connection, _RETURN, row, values)


def end_row(
    connection: sa.Connection,
    row: LaunchedRow,
    status: Status,
    *,
    reason: str,
    error: tuple[str, str] | None = None,
    result: Mapping[str, Any] | None = None,
) -> bool:
    """→ a final status."""
    values = {
        "new_status": status.value,
        "reason": reason,
        "result": None if result is None else json.dumps(dict(result)),
        **_error(error),
    }
    return _one(connection, _END, row, values)


def request_cancel(connection: sa.Connection, row: LaunchedRow, *, reason: str) -> bool:
    """Mark a RUNNING row; its worker's supervisor ends it."""
    return _one(connection, _REQUEST_CANCEL, row, {"reason": reason})


def waiting_handlers(connection: sa.Connection) -> set[str]:
    """Return the handler names of PENDING rows."""
    return set(connection.scalars(text(_WAITING_HANDLERS)))


def fail_unknown_handlers(connection: sa.Connection, names: Collection[str]) -> int:
    """PENDING → FAILED ``handler_unknown`` for rows of these handlers; returns rows."""
    if not names:
        return 0
    return connection.execute(text(_FAIL_HANDLERS), {"names": list(names)}).rowcount


def _one(
    connection: sa.Connection,
    statement: LiteralString,
    row: LaunchedRow,
    values: dict[str, Any],
) -> bool:
    read = {
        "id": row.id,
        "status": row.status.value,
        "token": row.token,
        "heartbeat_at": row.heartbeat_at,
    }
    return connection.execute(text(statement), read | values).rowcount == 1


def _error(error: tuple[str, str] | None) -> dict[str, str | None]:
    kind, message = error if error is not None else (None, None)
    return {"error_type": kind, "error_message": message}
