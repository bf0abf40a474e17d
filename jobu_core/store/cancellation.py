"""Asking rows to cancel: waiting ones end at once, running ones are told."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, LiteralString

from sqlalchemy import text

from jobu_core.models import Status

if TYPE_CHECKING:
    import sqlalchemy as sa

_CANCEL: Final[LiteralString] = """
UPDATE job_executions
   SET cancel_requested_at = coalesce(cancel_requested_at, jobu_now()),
       cancel_reason = coalesce(cancel_reason, :reason),
       status = CASE WHEN status = 'RUNNING' THEN status ELSE 'CANCELED' END,
       finished_at = CASE WHEN status = 'RUNNING' THEN NULL ELSE jobu_now() END,
       lease_token = CASE WHEN status = 'RUNNING' THEN lease_token END,
       reason = CASE WHEN status = 'RUNNING' THEN reason ELSE 'canceled' END
 WHERE status IN ('PENDING', 'QUEUED', 'RUNNING')
"""

_CANCEL_ONE: Final[LiteralString] = _CANCEL + " AND id = :id RETURNING id, status, run_id"

_CANCEL_RUN: Final[LiteralString] = (
    _CANCEL
    + " AND status <> 'PENDING' AND (run_id = :run_id OR CAST(lease_token AS text) = :run_id"
    + " OR CAST(lease_token AS text) = :token) RETURNING id, status, run_id"
)


def cancel(connection: sa.Connection, execution_id: int, *, reason: str) -> Status | None:
    """Cancel a waiting row or mark a running one; return the status it has now.

    None when there is no unfinished row of that id.
    """
    row = connection.execute(
        text(_CANCEL_ONE),
        {"id": execution_id, "reason": reason},
    ).one_or_none()
    return None if row is None else Status(row.status)


def cancel_run(
    connection: sa.Connection,
    run_id: str,
    token: str | None,
    *,
    reason: str,
) -> dict[int, Status]:
    """Cancel every unfinished row of a run; return each row's status by id."""
    rows = connection.execute(
        text(_CANCEL_RUN),
        {"run_id": run_id, "token": token, "reason": reason},
    )
    return {row.id: Status(row.status) for row in rows}
