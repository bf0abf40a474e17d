"""Asking rows to cancel: waiting ones end at once, running ones are told."""

from __future__ import annotations

from typing import Final, LiteralString

import sqlalchemy as sa
from sqlalchemy import text

from jobu_core.errors import Conflict
from jobu_core.models import Status
from jobu_core.store.cron_jobs import ACTIVE_TRIGGERS, LOCK_NOT_AVAILABLE

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

_OF_RUN: Final[LiteralString] = """
WITH of_run AS (
  SELECT id FROM job_executions
   WHERE status IN ('QUEUED', 'RUNNING')
     AND (run_id = :run_id OR CAST(lease_token AS text) IN (:run_id, :token))
   ORDER BY id
     FOR UPDATE
)
"""

_CANCEL_RUN: Final[LiteralString] = (
    _OF_RUN
    + _CANCEL
    + " AND id IN (TABLE of_run) AND status <> 'PENDING' RETURNING id, status, run_id"
)

_OLDER: Final[LiteralString] = """
WITH older AS (
  SELECT id FROM job_executions
   WHERE job_id = :job_id AND trigger = ANY(:triggers) AND id < :newest
     AND status IN ('PENDING', 'QUEUED', 'RUNNING') AND cancel_requested_at IS NULL
   ORDER BY id
     FOR UPDATE
)
"""

_CANCEL_OLDER: Final[LiteralString] = (
    _OLDER + _CANCEL + " AND id IN (TABLE older) RETURNING id, status"
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


def cancel_older(connection: sa.Connection, job_id: int, newest: int) -> dict[int, Status]:
    """Cancel every active execution of a job older than ``newest``; status by id.

    Those that were asked before are left alone. Raises Conflict when another session
    holds one of the rows for longer than this transaction waits for locks.
    """
    values = {
        "job_id": job_id,
        "newest": newest,
        "triggers": [trigger.value for trigger in ACTIVE_TRIGGERS],
        "reason": f"replaced by execution {newest}",
    }
    try:
        rows = connection.execute(text(_CANCEL_OLDER), values).all()
    except sa.exc.OperationalError as error:
        if getattr(error.orig, "sqlstate", None) != LOCK_NOT_AVAILABLE:
            raise
        msg = f"an execution of cron job {job_id} is locked by another session"
        raise Conflict(msg) from error
    return {row.id: Status(row.status) for row in rows}
