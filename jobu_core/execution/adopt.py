"""Runs that a person started in Dagster get a row of their own first (rule 16).

The new row is launched under a token equal to the run's id. Keyed by the run: a run
that executes twice adopts once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import UUID

from jobu_core.crash_points import reach
from jobu_core.errors import Conflict, InvalidParams
from jobu_core.execution.retry import insert_retry
from jobu_core.models import NewExecution, ParamSource, Trigger
from jobu_core.store import launches
from jobu_core.store.documents import MAX_PARAMS_BYTES, refusal
from jobu_core.store.engine import transaction
from jobu_core.store.executions import find_by_dedupe_key, get_execution, insert_executions

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sqlalchemy import Connection

    from jobu_core.execution.runtime import ExecutionRuntime


def adopt_rerun(runtime: ExecutionRuntime, execution_id: int, run_id: str) -> int:
    """Make a retry (or rerun) of an ended execution for a re-executed run; return its id.

    Raises NotFound, or Conflict while the execution is unfinished or another of
    its serial key is in flight.
    """
    key = f"rerun:{run_id}:{execution_id}"
    with transaction(runtime.engine) as connection:
        launches.lock_launching(connection)
        known = find_by_dedupe_key(connection, key)
        if known is not None:
            return known
        execution = get_execution(connection, execution_id)
        made = insert_retry(connection, execution, dedupe_key=key)
        reach("adopt_rerun.row_inserted")
        adopted = _launch(connection, made, run_id)
    reach("adopt_rerun.committed")
    return adopted


def adopt_params(
    runtime: ExecutionRuntime,
    handler_name: str,
    params: Mapping[str, Any],
    run_id: str,
) -> int:
    """Make a manual execution of ``handler_name`` for a Launchpad run; return its id.

    Raises InvalidInput when the params do not fit the handler.
    """
    problem = refusal(params, max_bytes=MAX_PARAMS_BYTES)
    if problem is not None:
        raise InvalidParams(f"params: {problem}")
    runtime.registry.validate(handler_name, params)
    limits = runtime.settings.worker
    key = f"run:{run_id}"
    new = NewExecution(
        handler_name=handler_name,
        params=params,
        param_source=ParamSource.EVENT,
        trigger=Trigger.MANUAL,
        dedupe_key=key,
        max_attempts=limits.max_retry + 1,
        timeout_seconds=limits.timeout_seconds,
        retry_backoff_seconds=limits.retry_backoff_seconds,
    )
    with transaction(runtime.engine) as connection:
        launches.lock_launching(connection)
        (made,) = insert_executions(connection, [new])
        if made is None:
            return find_by_dedupe_key(connection, key) or 0
        reach("adopt_params.row_inserted")
        adopted = _launch(connection, made, run_id)
    reach("adopt_params.committed")
    return adopted


def adopt_pending(runtime: ExecutionRuntime, execution_id: int, run_id: str) -> int:
    """Launch an execution that waits (made by ``cron run``) under this run; return its id."""
    with transaction(runtime.engine) as connection:
        launches.lock_launching(connection)
        adopted = _launch(connection, execution_id, run_id)
        reach("adopt_pending.row_launched")
    reach("adopt_pending.committed")
    return adopted


def _launch(connection: Connection, execution_id: int | None, run_id: str) -> int:
    if execution_id is None:
        raise Conflict("this run has its execution already")
    if not launches.claim_for_run(connection, execution_id, UUID(run_id)):
        raise Conflict(
            f"execution {execution_id} cannot start: another one of the same job is running",
        )
    return execution_id
