"""What a worker does with a launch before user code runs: stamp it, claim its rows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jobu_core.clock import SystemClock
from jobu_core.crash_points import reach
from jobu_core.store import supervision, transitions, workers
from jobu_core.store.patience import write_once

if TYPE_CHECKING:
    from uuid import UUID

    from sqlalchemy import Connection, Engine

    from jobu_core.clock import Clock
    from jobu_core.execution.runtime import ExecutionRuntime
    from jobu_core.models import Execution


def stamp_launch(
    engine: Engine,
    token: UUID,
    *,
    run_id: str,
    worker_id: str,
    clock: Clock | None = None,
    patience_seconds: float = 0.0,
) -> int:
    """Write run, worker and heartbeat on a launch's waiting rows; returns how many.

    Done before Dagster is called, so that the reconciler can tell a run that is
    being loaded from one that nobody has. Waits for a store that is away; raises
    StoreUnavailable when patience ends.
    """

    def write(connection: Connection) -> int:
        rows = transitions.stamp_launch(connection, token, run_id=run_id, worker_id=worker_id)
        reach("stamp.rows_written")
        return rows

    waiting = clock or SystemClock()
    until = waiting.monotonic() + patience_seconds
    rows = write_once(engine, write, clock=waiting, until=until)
    reach("stamp.committed")
    return rows


def claim(
    runtime: ExecutionRuntime,
    execution_id: int,
    token: UUID,
    *,
    run_id: str,
    worker_id: str,
) -> Execution | None:
    """Begin an execution: QUEUED → RUNNING; None when the launch is superseded.

    A draining worker begins nothing (rule 17): the launch's rows go back, uncounted.
    A store that is away is waited for, one lease long: a claim whose answer was lost
    is still this process's own, and its attempt is not given up. Raises
    StoreUnavailable after that.
    """

    def write(connection: Connection) -> Execution | None:
        if workers.is_draining(connection, worker_id):
            supervision.return_unstarted(connection, [token], reason="worker_draining")
            reach("claim.launch_given_back")
            return None
        execution = transitions.start(
            connection,
            execution_id,
            token,
            run_id=run_id,
            worker_id=worker_id,
        )
        reach("claim.row_started")
        return execution

    until = runtime.clock.monotonic() + runtime.settings.worker.lease_seconds
    execution = write_once(runtime.engine, write, clock=runtime.clock, until=until)
    reach("claim.committed")
    return execution
