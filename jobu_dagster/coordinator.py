"""The run queue, as wide as the live workers: scaling them needs no edit of dagster.yaml.

Runs beyond the slots wait as QUEUED in Dagster. Waiting in Celery instead they would be
STARTING, and the run monitor would fail them (rule 8).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from dagster import DagsterRunStatus

from jobu_core.crash_points import reach
from jobu_core.execution.cancel import request_cancel_of_run
from jobu_core.store import workers
from jobu_core.store.engine import transaction
from jobu_dagster import tags
from jobu_dagster.private import QueuedRunCoordinator
from jobu_dagster.process import process

if TYPE_CHECKING:
    from jobu_dagster.private import RunQueueConfig


class JobuRunCoordinator(QueuedRunCoordinator):
    """Dagster's queue with ``max_concurrent_runs`` = slots of workers that live and take work.

    One run is let through when no worker lives: launching it is what starts a worker
    in the embedded stack.
    """

    def get_run_queue_config(self) -> RunQueueConfig:
        """Return the limits for this moment; the daemon asks before each look at the queue."""
        runtime = process().runtime()
        with transaction(runtime.engine) as connection:
            live = workers.live_versions(
                connection,
                lease_seconds=runtime.settings.worker.lease_seconds,
            )
        limits = super().get_run_queue_config()
        return limits._replace(max_concurrent_runs=max(1, sum(live.values())))

    def cancel_run(self, run_id: str) -> bool:
        """Cancel a run, and at once the rows of one that still waits in the queue.

        Terminating a queued run in the UI never reaches the launcher; without this
        its rows would follow at the reconciler's next look.
        """
        run = self._instance.get_run_by_id(run_id)
        is_canceled: bool = super().cancel_run(run_id)
        reach("coordinator.run_canceled")
        if run is not None and run.status is DagsterRunStatus.QUEUED:
            token = run.tags.get(tags.LAUNCH) if run.parent_run_id is None else None
            engine = process().runtime().engine
            request_cancel_of_run(engine, run_id, token=token, reason="terminated in Dagster")
        return is_canceled
