"""What a worker does with a launch before user code runs: stamp it, claim its rows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jobu_core.crash_points import reach
from jobu_core.store import supervision, transitions, workers
from jobu_core.store.engine import transaction

if TYPE_CHECKING:
    from uuid import UUID

    from sqlalchemy import Engine

    from jobu_core.models import Execution


def stamp_launch(engine: Engine, token: UUID, *, run_id: str, worker_id: str) -> int:
    """Write run, worker and heartbeat on a launch's waiting rows; returns how many.

    Done before Dagster is called, so that the reconciler can tell a run that is
    being loaded from one that nobody has.
    """
    with transaction(engine) as connection:
        rows = transitions.stamp_launch(connection, token, run_id=run_id, worker_id=worker_id)
        reach("stamp.rows_written")
    reach("stamp.committed")
    return rows


def claim(
    engine: Engine,
    execution_id: int,
    token: UUID,
    *,
    run_id: str,
    worker_id: str,
) -> Execution | None:
    """Begin an execution: QUEUED → RUNNING; None when the launch is superseded.

    A draining worker begins nothing (rule 17): the launch's rows go back, uncounted.
    """
    with transaction(engine) as connection:
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
    reach("claim.committed")
    return execution
