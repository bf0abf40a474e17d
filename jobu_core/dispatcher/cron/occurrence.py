"""One occurrence of a cron job as the row it becomes: keys, limits, rendered params."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC
from typing import TYPE_CHECKING

from jobu_core.dispatcher.cron.fire_times import FireTimes, fire_times
from jobu_core.dispatcher.cron.templates import Moment, render
from jobu_core.errors import InvalidInput, Outage
from jobu_core.models import NewExecution, OverlapPolicy, ParamSource, Trigger

if TYPE_CHECKING:
    from datetime import datetime
    from zoneinfo import ZoneInfo

    from jobu_core.dispatcher.catalog import HandlerCatalog
    from jobu_core.dispatcher.cron.policies import Run
    from jobu_core.models import CronJob


@dataclass(frozen=True, slots=True)
class Failure:
    """Why an occurrence can never run: slug, error type and message for its row."""

    reason: str
    error_type: str
    message: str


def usable_times(job: CronJob) -> FireTimes:
    """Return when a stored job fires.

    Raises InvalidCron for a row that could not be saved through jobu today: a bad
    expression, or a zone that this machine does not know (any more).
    """
    return fire_times(job.cron_expression, job.timezone, job.dst_policy)


def dedupe_key(job_id: int, scheduled_time: datetime) -> str:
    """Return the key that makes one occurrence one row, whoever decides it."""
    return f"cron:{job_id}:{scheduled_time.astimezone(UTC).isoformat()}"


def serial_key(job: CronJob) -> str | None:
    """Return the key under which a job's executions run one after another, if they do."""
    return None if job.overlap_policy is OverlapPolicy.ALLOW else f"cron:{job.id}"


def execution_of(
    catalog: HandlerCatalog,
    job: CronJob,
    zone: ZoneInfo,
    run: Run,
    trigger: Trigger,
) -> NewExecution:
    """Return the row of one run, its params rendered and accepted by the handler.

    Raises InvalidInput when the params cannot be rendered or are refused.
    """
    moment = Moment(job.name, zone, run.scheduled_time, run.interval_start, run.interval_end)
    execution = replace(unrendered(job, run, trigger), params=render(job.handler_params, moment))
    catalog.validate(job.handler_name, execution.params)
    return execution


def settled(
    catalog: HandlerCatalog,
    job: CronJob,
    zone: ZoneInfo,
    run: Run,
) -> tuple[NewExecution, Failure | None]:
    """Return a scheduled run's row, and the failure it must end with if it cannot run."""
    try:
        return execution_of(catalog, job, zone, run, Trigger.SCHEDULE), None
    except InvalidInput as error:
        failure = Failure(error.code, type(error).__name__, str(error))
    except Outage:
        raise
    except Exception as error:  # noqa: BLE001 - a handler's own check is user code
        kind = type(error).__name__
        failure = Failure("invalid_params", kind, f"the check of params ended with {kind}")
    return unrendered(job, run, Trigger.SCHEDULE), failure


def unrendered(job: CronJob, run: Run, trigger: Trigger) -> NewExecution:
    """Return the row with the params as they are stored in the job."""
    scheduled = trigger is Trigger.SCHEDULE
    return NewExecution(
        handler_name=job.handler_name,
        params=job.handler_params,
        param_source=ParamSource.CRON,
        trigger=trigger,
        job_id=job.id,
        scheduled_time=run.scheduled_time,
        interval_start=run.interval_start,
        interval_end=run.interval_end,
        dedupe_key=dedupe_key(job.id, run.scheduled_time) if scheduled else None,
        serial_key=serial_key(job),
        max_attempts=job.max_retry + 1,
        timeout_seconds=job.timeout_seconds,
        retry_backoff_seconds=job.retry_backoff_seconds,
    )
