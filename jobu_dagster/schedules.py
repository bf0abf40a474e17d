"""One schedule per handler, every minute: decide what is due, launch its rows."""

from __future__ import annotations

from typing import TYPE_CHECKING

import dagster as dg

from jobu_core.dispatcher.cron.dispatch import dispatch_handler
from jobu_dagster.launching import request_runs
from jobu_dagster.process import process

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


def build_schedules(jobs: Iterable[dg.JobDefinition]) -> Sequence[dg.ScheduleDefinition]:
    """Return the schedule of each handler's job, on by default."""
    return [_schedule(job) for job in jobs]


def _schedule(job: dg.JobDefinition) -> dg.ScheduleDefinition:
    handler_name = job.name

    @dg.schedule(
        job=job,
        name=f"cron_{handler_name}",
        cron_schedule="* * * * *",
        default_status=dg.DefaultScheduleStatus.RUNNING,
        description=f"Dispatches the due cron_jobs of handler {handler_name}.",
    )
    def cron_tick(
        context: dg.ScheduleEvaluationContext,
    ) -> list[dg.RunRequest] | dg.SkipReason:
        runtime = process().runtime()
        tick = dispatch_handler(
            runtime.engine,
            runtime.registry,
            runtime.settings.dispatcher,
            handler_name=handler_name,
            scheduled_time=context.scheduled_execution_time,
        )
        requested = request_runs(runtime, [handler_name])
        if requested.requests:
            return list(requested.requests)
        return dg.SkipReason("; ".join((*tick.messages, requested.message)))

    return cron_tick
