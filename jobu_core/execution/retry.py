"""When a failed attempt runs again, and an operator's retry as a new execution."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from jobu_core.crash_points import reach
from jobu_core.errors import Conflict
from jobu_core.models import TERMINAL, NewExecution, Status, Trigger
from jobu_core.store import audit
from jobu_core.store.engine import transaction
from jobu_core.store.executions import get_execution, hold_execution, insert_executions

if TYPE_CHECKING:
    import random

    import sqlalchemy as sa
    from sqlalchemy import Engine

    from jobu_core.models import Execution

MAX_BACKOFF_SECONDS: Final = 3600.0
MAX_LAUNCH_BACKOFF_SECONDS: Final = 300.0
_JITTER: Final = 0.1


@dataclass(frozen=True, slots=True)
class Backoff:
    """Exponential backoff with a cap and ± 10 % jitter."""

    random: random.Random

    def after_attempt(self, base_seconds: float, attempt: int) -> float:
        """Return ``base * 2 ** (attempt - 1)`` seconds, capped at an hour, jittered."""
        seconds = min(MAX_BACKOFF_SECONDS, base_seconds * 2.0 ** min(attempt - 1, 40))
        return seconds * self.random.uniform(1 - _JITTER, 1 + _JITTER)


def after_lost_launch(launch_count: int) -> float:
    """Return ``min(300, 2^launch_count)`` seconds."""
    return min(MAX_LAUNCH_BACKOFF_SECONDS, 2.0 ** min(launch_count, 20))


def retry_execution(engine: Engine, execution_id: int, *, who: str, why: str | None = None) -> int:
    """Run an ended execution again as a new row; return the new row's id.

    A FAILED, TIMEOUT or CANCELED one continues its chain (same root, hence the
    same load keys: what was loaded is not loaded twice); a SUCCESS starts a new
    one. Raises NotFound, or Conflict while the execution is unfinished.
    """
    with transaction(engine) as connection:
        execution = get_execution(connection, execution_id)
        new_id = insert_retry(connection, execution)
        if new_id is None:  # without a dedupe key an insert cannot be refused
            raise Conflict(f"execution {execution_id} could not be inserted again")
        reach("operator_retry.row_inserted")
        audit.record(
            connection,
            who,
            "execution.retry",
            f"job_executions/{execution_id}",
            after={"execution_id": new_id},
            why=why,
        )
        reach("operator_retry.audited")
    reach("operator_retry.committed")
    return new_id


def insert_retry(
    connection: sa.Connection,
    execution: Execution,
    *,
    dedupe_key: str | None = None,
) -> int | None:
    """Insert the new row of ``retry_execution`` in the caller's transaction.

    None when a row with ``dedupe_key`` exists already. Raises Conflict while
    ``execution`` is unfinished, NotFound when it was pruned.
    """
    if execution.status not in TERMINAL:
        raise Conflict(
            f"execution {execution.id} is {execution.status}; only an ended one can run again",
        )
    hold_execution(connection, execution.id)
    rerun = execution.status is Status.SUCCESS
    new = NewExecution(
        handler_name=execution.handler_name,
        params=execution.params,
        param_source=execution.param_source,
        trigger=Trigger.MANUAL if rerun else Trigger.RETRY,
        job_id=execution.job_id,
        root_execution_id=None if rerun else execution.root_id,
        scheduled_time=execution.scheduled_time,
        interval_start=execution.interval_start,
        interval_end=execution.interval_end,
        dedupe_key=dedupe_key,
        serial_key=execution.serial_key,
        priority=execution.priority,
        max_attempts=execution.max_attempts,
        timeout_seconds=execution.timeout_seconds,
        retry_backoff_seconds=execution.retry_backoff_seconds,
        message_key=execution.message_key,
        message_time=execution.message_time,
    )
    (new_id,) = insert_executions(connection, [new])
    return new_id
