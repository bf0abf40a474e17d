"""The run queue, as wide as the live workers: scaling them needs no edit of dagster.yaml.

Runs beyond the slots wait as QUEUED in Dagster. Waiting in Celery instead they would be
STARTING, and the run monitor would fail them (rule 8).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from jobu_core.store import workers
from jobu_core.store.engine import transaction
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
