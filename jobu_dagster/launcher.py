"""The run launcher: hands a run to the warm workers as one Celery task, id = run id.

Dagster's CeleryRunLauncher is not subclassed: launch, terminate and the health
check all had to be replaced (docs/adr/0002), and a task id of our own choosing
makes its tag superfluous.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from jobu_core.clock import SystemClock
from jobu_core.config import load_settings
from jobu_core.crash_points import reach
from jobu_core.execution.cancel import request_cancel_of_run
from jobu_core.execution.health import RunHealth, run_health
from jobu_core.services.ensure import ensure_valkey, ensure_worker
from jobu_dagster import tags
from jobu_dagster.celery_app import QUEUE, RUN_TASK, make_app, queued_messages
from jobu_dagster.private import (
    CheckRunHealthResult,
    ConfigurableClass,
    ConfigurableClassData,
    LaunchRunContext,
    RunLauncher,
    WorkerStatus,
    instance_to_text,
)
from jobu_dagster.process import process

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from celery import Celery
    from dagster import DagsterRun

    from jobu_core.clock import Clock
    from jobu_core.config import Settings

_HEALTH = {RunHealth.ALIVE: WorkerStatus.RUNNING, RunHealth.LOST: WorkerStatus.FAILED}


class JobuRunLauncher(RunLauncher[Any], ConfigurableClass):
    """Launches runs on jobu's workers; cancels and judges them by the database's rows."""

    def __init__(self, inst_data: ConfigurableClassData | None = None) -> None:
        """Connect to nothing yet."""
        self._inst_data = inst_data
        self._celery: Celery | None = None
        self._clock: Clock = SystemClock()
        self._rowless_since: dict[str, float] = {}
        super().__init__()  # type: ignore[no-untyped-call]

    @property
    def inst_data(self) -> ConfigurableClassData | None:
        """What Dagster needs to build this launcher again in another process."""
        return self._inst_data

    @classmethod
    def config_type(cls) -> dict[str, Any]:
        """Take no configuration: everything is in config/."""
        return {}

    @classmethod
    def from_config_value(
        cls,
        inst_data: ConfigurableClassData | None,
        config_value: Mapping[str, Any],  # noqa: ARG003 - Dagster's signature
    ) -> JobuRunLauncher:
        """Build the launcher for an instance."""
        return cls(inst_data=inst_data)

    def launch_run(self, context: LaunchRunContext) -> None:
        """Send the run to the workers' queue; starts them first in the embedded stack."""
        settings = load_settings()
        ensure_valkey(settings)
        ensure_worker(settings)
        run_id = context.dagster_run.run_id
        reach("launcher.run_starting")
        self._open_celery(settings).send_task(
            RUN_TASK,
            kwargs={"run_id": run_id, "instance": instance_to_text(self._instance)},
            task_id=run_id,
            queue=QUEUE,
        )
        reach("launcher.task_sent")

    def waiting(self, run_ids: Collection[str]) -> Collection[str]:
        """Return those of the runs whose task is in the workers' queue.

        All of them while the broker does not answer: nothing is concluded from that.
        A task is out of the queue from the moment a worker takes it; what it then
        does is on the row within moments.
        """
        queued = queued_messages(self._open_celery(load_settings()))
        if queued is None:
            return run_ids
        return [each for each in run_ids if any(each.encode() in message for message in queued)]

    def _open_celery(self, settings: Settings) -> Celery:
        if self._celery is None:
            self._celery = make_app(settings)
        return self._celery

    def terminate(self, run_id: str) -> bool:
        """Report the run as canceling and ask its executions to cancel.

        The worker's supervisor sees the request within a second, so that also a
        handler stuck in C code ends. A run that no worker has begun is canceled
        here.
        """
        run = self._instance.get_run_by_id(run_id)
        if run is None or run.is_finished:
            return False
        self._instance.report_run_canceling(run)
        reach("terminate.run_canceling")
        engine = process().runtime().engine
        token = run.tags.get(tags.LAUNCH) if run.parent_run_id is None else None
        if not request_cancel_of_run(engine, run_id, token=token, reason="terminated in Dagster"):
            self._instance.report_run_canceled(run, message="No execution of this run was left.")
            reach("terminate.run_canceled")
        return True

    @property
    def supports_check_run_worker_health(self) -> bool:
        """Runs can be judged: their rows and workers have heartbeats."""
        return True

    def check_run_worker_health(self, run: DagsterRun) -> CheckRunHealthResult:
        """Answer from ``job_executions`` and ``workers``, not from Celery's results."""
        runtime = process().runtime()
        now = self._clock.monotonic()
        health = run_health(
            runtime.engine,
            run.run_id,
            lease_seconds=runtime.settings.worker.lease_seconds,
            rowless_seconds=now - self._rowless_since.get(run.run_id, now),
        )
        if health.is_rowless and health.verdict is RunHealth.ALIVE:
            self._rowless_since.setdefault(run.run_id, now)
        else:
            self._rowless_since.pop(run.run_id, None)
        return CheckRunHealthResult(_HEALTH[health.verdict], health.message)
