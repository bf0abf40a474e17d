"""The status changes of a launched row, each one fenced statement.

(token, attempt) must still own the row, or FenceLost is raised and nothing is
written. Leaving QUEUED or RUNNING clears the token; a return to PENDING of a row
that somebody asked to cancel becomes CANCELED instead.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, LiteralString

from sqlalchemy import text

from jobu_core.errors import FenceLost
from jobu_core.models import Fence, Status
from jobu_core.store.executions import to_execution

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from uuid import UUID

    import sqlalchemy as sa

    from jobu_core.models import Execution

MAX_MESSAGE_CHARS: Final = 10_000
"""Longer error messages are cut; the whole text is in the run's log."""

_STAMP: Final[LiteralString] = """
WITH waiting AS (
  SELECT id FROM job_executions
   WHERE lease_token = :token AND status = 'QUEUED'
   ORDER BY id
     FOR UPDATE
)
UPDATE job_executions e
   SET run_id = :run_id, worker_id = :worker_id, heartbeat_at = jobu_now()
  FROM waiting
 WHERE e.id = waiting.id AND e.lease_token = :token AND e.status = 'QUEUED'
"""
"""Rows are locked in order of id, as by everyone who changes several at once."""

_START: Final[LiteralString] = """
UPDATE job_executions
   SET status = 'RUNNING', attempt = attempt + 1, launch_count = 0,
       run_id = :run_id, worker_id = :worker_id,
       started_at = jobu_now(), heartbeat_at = jobu_now(),
       deadline_at = jobu_now() + make_interval(secs => timeout_seconds),
       reason = NULL, error_type = NULL, error_message = NULL, progress = NULL
 WHERE id = :id AND lease_token = :token AND status = 'QUEUED'
RETURNING *
"""

_LEASE: Final[LiteralString] = """
SELECT cancel_requested_at IS NOT NULL AS cancel_requested,
       deadline_at <= jobu_now() AS deadline_passed
  FROM job_executions
 WHERE id = :id AND lease_token = :token AND attempt = :attempt AND status = 'RUNNING'
"""

_PROGRESS: Final[LiteralString] = """
UPDATE job_executions SET progress = CAST(:progress AS jsonb), heartbeat_at = jobu_now()
 WHERE id = :id AND lease_token = :token AND attempt = :attempt AND status = 'RUNNING'
"""

_HEARTBEAT: Final[LiteralString] = """
WITH mine AS (
  SELECT e.id, given.token
    FROM job_executions e
    JOIN unnest(CAST(:ids AS bigint[]), CAST(:tokens AS uuid[])) AS given (id, token)
      ON e.id = given.id AND e.lease_token = given.token
   ORDER BY e.id
     FOR UPDATE OF e
)
UPDATE job_executions e
   SET heartbeat_at = jobu_now()
  FROM mine
 WHERE e.id = mine.id AND e.lease_token = mine.token
"""

_FINISH: Final[LiteralString] = """
UPDATE job_executions
   SET status = :status, reason = :reason, lease_token = NULL, finished_at = jobu_now(),
       error_type = :error_type, error_message = :error_message,
       result = CAST(:result AS jsonb)
 WHERE id = :id AND lease_token = :token AND attempt = :attempt AND status = 'RUNNING'
"""

_RETRY: Final[LiteralString] = """
UPDATE job_executions
   SET status = CASE WHEN cancel_requested_at IS NULL THEN 'PENDING' ELSE 'CANCELED' END,
       finished_at = CASE WHEN cancel_requested_at IS NULL THEN NULL ELSE jobu_now() END,
       next_attempt_at = CASE WHEN cancel_requested_at IS NULL
                              THEN jobu_now() + make_interval(secs => :after) END,
       attempt = attempt - :uncounted,
       lease_token = NULL, deadline_at = NULL,
       reason = CASE WHEN cancel_requested_at IS NULL THEN :reason ELSE 'canceled' END,
       error_type = :error_type, error_message = :error_message
 WHERE id = :id AND lease_token = :token AND attempt = :attempt AND status = 'RUNNING'
RETURNING status
"""


@dataclass(frozen=True, slots=True)
class Problem:
    """Why an attempt did not succeed: class name and a message without secrets."""

    type: str
    message: str


@dataclass(frozen=True, slots=True)
class Lease:
    """What the owner of a running row must know."""

    cancel_requested: bool
    deadline_passed: bool


def stamp_launch(connection: sa.Connection, token: UUID, *, run_id: str, worker_id: str) -> int:
    """Note which run and worker took a launch, before any user code; returns rows."""
    return connection.execute(
        text(_STAMP),
        {"token": token, "run_id": run_id, "worker_id": worker_id},
    ).rowcount


def start(
    connection: sa.Connection,
    execution_id: int,
    token: UUID,
    *,
    run_id: str,
    worker_id: str,
) -> Execution | None:
    """QUEUED → RUNNING, one attempt more; None when this launch is superseded."""
    row = connection.execute(
        text(_START),
        {"id": execution_id, "token": token, "run_id": run_id, "worker_id": worker_id},
    ).one_or_none()
    return None if row is None else to_execution(row)


def read_lease(connection: sa.Connection, fence: Fence) -> Lease:
    """Return whether the owner should stop; raises FenceLost when it is no owner."""
    row = connection.execute(text(_LEASE), _fence(fence)).one_or_none()
    if row is None:
        raise _lost(fence)
    return Lease(bool(row.cancel_requested), bool(row.deadline_passed))


def write_progress(connection: sa.Connection, fence: Fence, progress: Mapping[str, Any]) -> None:
    """Replace the row's progress; raises FenceLost, ValueError when it is not JSON."""
    values = {"progress": _json(progress)} | _fence(fence)
    _expect_one(connection.execute(text(_PROGRESS), values), fence)


def heartbeat(connection: sa.Connection, held: Sequence[tuple[int, UUID]]) -> int:
    """Renew the rows (execution id, token) that are in live hands; returns rows."""
    if not held:
        return 0
    values = {"ids": [id_ for id_, _ in held], "tokens": [token for _, token in held]}
    return connection.execute(text(_HEARTBEAT), values).rowcount


def finish(
    connection: sa.Connection,
    fence: Fence,
    status: Status,
    *,
    result: object = None,
    reason: str | None = None,
    problem: Problem | None = None,
) -> None:
    """End an attempt: RUNNING → a final status. Raises FenceLost."""
    values = {
        "status": status.value,
        "reason": None if reason is None else _storable_text(reason),
        "result": None if result is None else _json(result),
        **_problem(problem),
        **_fence(fence),
    }
    _expect_one(connection.execute(text(_FINISH), values), fence)


def return_to_pending(
    connection: sa.Connection,
    fence: Fence,
    *,
    after_seconds: float,
    reason: str,
    problem: Problem | None = None,
    counted: bool = True,
) -> Status:
    """Let an attempt run again: RUNNING → PENDING, or CANCELED if that was asked for.

    It becomes due after ``after_seconds``. ``counted=False`` gives the attempt back
    (planned shutdown, deferral). Returns the status written; raises FenceLost.
    """
    values = {
        "after": after_seconds,
        "reason": reason,
        "uncounted": 0 if counted else 1,
        **_problem(problem),
        **_fence(fence),
    }
    row = connection.execute(text(_RETRY), values).one_or_none()
    if row is None:
        raise _lost(fence)
    return Status(row.status)


def _fence(fence: Fence) -> dict[str, Any]:
    return {"id": fence.execution_id, "token": fence.token, "attempt": fence.attempt}


def _problem(problem: Problem | None) -> dict[str, str | None]:
    if problem is None:
        return {"error_type": None, "error_message": None}
    message = _storable_text(problem.message)[:MAX_MESSAGE_CHARS]
    return {"error_type": problem.type, "error_message": message}


def _json(value: object) -> str:
    """JSON text that jsonb takes; raises ValueError or TypeError when there is none."""
    return json.dumps(
        _storable(json.loads(json.dumps(value, allow_nan=False))),
        ensure_ascii=False,
    )


def _storable(value: Any) -> Any:  # noqa: ANN401 - JSON's own shapes
    """Escape what JSON's strings may hold and PostgreSQL's may not."""
    if isinstance(value, str):
        return _storable_text(value)
    if isinstance(value, dict):
        return {_storable_text(key): _storable(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_storable(item) for item in value]
    return value


def _storable_text(text_: str) -> str:
    """Write NUL as backslash zero, half a surrogate pair as a question mark."""
    return text_.replace("\x00", "\\0").encode("utf-8", "replace").decode()


def _expect_one(done: sa.CursorResult[Any], fence: Fence) -> None:
    if done.rowcount != 1:
        raise _lost(fence)


def _lost(fence: Fence) -> FenceLost:
    return FenceLost(
        f"execution {fence.execution_id}, attempt {fence.attempt}: another launch owns the row",
    )
