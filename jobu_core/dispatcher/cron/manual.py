"""Running a cron job by hand, now, whether it is enabled or not."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jobu_core.crash_points import reach
from jobu_core.dispatcher.cron.occurrence import execution_of, usable_times
from jobu_core.dispatcher.cron.policies import Run
from jobu_core.errors import Conflict
from jobu_core.models import Trigger
from jobu_core.store import audit
from jobu_core.store import cron_jobs as store
from jobu_core.store.engine import transaction
from jobu_core.store.executions import insert_executions

if TYPE_CHECKING:
    import sqlalchemy as sa

    from jobu_core.dispatcher.catalog import HandlerCatalog


def run_now(
    engine: sa.Engine,
    catalog: HandlerCatalog,
    reference: str,
    *,
    who: str,
    handler_name: str | None = None,
) -> int:
    """Make a manual execution of the job with that name or id; return its id.

    Its scheduled time is now and its interval reaches back to the last fire time.
    It waits behind an active execution unless the job's overlap policy is allow.
    ``handler_name``: refuse a job of another handler (a Dagster job runs one only).
    Raises NotFound, UnknownHandler, InvalidParams, InvalidCron, or Conflict.
    """
    with transaction(engine) as connection:
        job = store.find_job(connection, reference, lock=True)
        if handler_name is not None and job.handler_name != handler_name:
            msg = f"cron job {job.name!r} runs handler {job.handler_name}, not {handler_name}"
            raise Conflict(msg)
        now = store.read_now(connection)
        times = usable_times(job)
        run = Run(now, times.previous(now))
        execution = execution_of(catalog, job, times.zone, run, Trigger.MANUAL)
        (made,) = insert_executions(connection, [execution])
        if made is None:  # a manual execution has no dedupe key
            msg = f"cron job {job.name!r} was not run: the store refused a second row"
            raise Conflict(msg)
        reach("cron.manual_inserted")
        audit.record(connection, who, "cron.run", f"cron_jobs/{job.id}", after={"execution": made})
        reach("cron.manual_audited")
    return made
