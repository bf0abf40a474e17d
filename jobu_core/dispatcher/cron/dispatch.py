"""One cron tick: every due occurrence of a handler's jobs becomes a row or a skip.

A tick may run twice, beside another, or die anywhere: each job is one transaction
that decides ``(dispatched_until, upper]`` under the row's lock and then advances.
It launches nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Final

import structlog

from jobu_core.crash_points import reach
from jobu_core.dispatcher.cron import policies
from jobu_core.dispatcher.cron.occurrence import Failure, settled, usable_times
from jobu_core.errors import Conflict, InvalidInput, Outage
from jobu_core.models import NewExecution, OverlapPolicy, Skip, SkipReason
from jobu_core.store import cron_jobs as store
from jobu_core.store.cancellation import cancel_older
from jobu_core.store.engine import transaction
from jobu_core.store.executions import insert_executions

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    import sqlalchemy as sa

    from jobu_core.config import DispatcherSettings
    from jobu_core.dispatcher.catalog import HandlerCatalog
    from jobu_core.dispatcher.cron.fire_times import FireTimes
    from jobu_core.models import CronJob

log = structlog.get_logger(__name__)

LOCK_WAIT_MILLISECONDS: Final = 1000
"""How long a tick waits for a job that another session holds, before it goes on."""


@dataclass(frozen=True, slots=True)
class CronTick:
    """What a tick did; ``messages`` are for the tick's line in the UI."""

    decided: int = 0
    """Occurrences decided: executions made, and occurrences skipped."""
    created: tuple[int, ...] = ()
    skipped: int = 0
    messages: tuple[str, ...] = ()


def dispatch_handler(
    engine: sa.Engine,
    registry: HandlerCatalog,
    settings: DispatcherSettings,
    *,
    handler_name: str,
    scheduled_time: datetime | None,
) -> CronTick:
    """Decide every due occurrence of the enabled jobs of one handler.

    ``scheduled_time`` is the tick's own, None for a tick by hand. A job that
    cannot be decided is named in ``messages`` and does not stop the others; an
    Outage does, and leaves every undecided occurrence to the next tick.
    """
    if handler_name not in registry.names:
        return CronTick(messages=(f"handler {handler_name!r} is not registered",))
    with transaction(engine) as connection:
        upper = _upper(store.read_now(connection), scheduled_time, settings)
        jobs = store.list_jobs(connection, handler=handler_name, enabled=True)
        due = [job for job in jobs if _may_be_due(job, upper)]
        decided_by_id = {job.id for job in due}
        idle = [job for job in jobs if job.id not in decided_by_id]
        store.advance_idle(connection, idle, upper)
        reach("cron.idle_advanced")
    reach("cron.idle_committed")

    def decide(connection: sa.Connection, job: CronJob) -> CronTick:
        if job.handler_name != handler_name:
            return CronTick()
        now = store.read_now(connection)
        return _decide(connection, registry, settings, job, _upper(now, scheduled_time, settings))

    return _each_in_its_transaction(engine, due, decide)


def dispatch_orphans(
    engine: sa.Engine,
    registry: HandlerCatalog,
    settings: DispatcherSettings,
) -> CronTick:
    """Skip the occurrences of jobs whose handler left the registry for too long.

    Those younger than ``handler_unknown_grace_seconds`` wait: a handler that comes
    back in time is dispatched as if it had never been away.
    """
    grace = timedelta(seconds=settings.handler_unknown_grace_seconds)
    with transaction(engine) as connection:
        orphans = store.list_orphans(connection, registry.names)
        upper = store.read_now(connection) - grace
    due = [job for job in orphans if _may_be_due(job, upper)]

    def skip(connection: sa.Connection, job: CronJob) -> CronTick:
        upper = store.read_now(connection) - grace
        if job.handler_name in registry.names or upper <= job.dispatched_until:
            return CronTick()
        return _skip_unknown(connection, job, upper)

    return _each_in_its_transaction(engine, due, skip)


def _each_in_its_transaction(
    engine: sa.Engine,
    jobs: Sequence[CronJob],
    act: Callable[[sa.Connection, CronJob], CronTick],
) -> CronTick:
    """Lock each job that is still enabled and act on it, one transaction per job."""
    ticks = []
    for seen in jobs:
        try:
            with transaction(engine) as connection:
                wait = LOCK_WAIT_MILLISECONDS
                job = store.lock_job(connection, seen.id, wait_milliseconds=wait)
                if job is None or not job.is_enabled:
                    continue
                reach("cron.job_locked")
                outcome = act(connection, job)
                reach("cron.job_decided")
            reach("cron.job_committed")
        except Outage:
            raise
        except Conflict as error:
            outcome = CronTick(messages=(f"{seen.name}: {error}; left to the next tick",))
        except Exception as error:  # noqa: BLE001 - one job must not stop the others
            log.error("cron_job_not_decided", job_id=seen.id, error=type(error).__name__)  # noqa: TRY400 - the text may hold params
            outcome = CronTick(messages=(f"{seen.name}: not decided: {type(error).__name__}",))
        ticks.append(outcome)
    return CronTick(
        decided=sum(tick.decided for tick in ticks),
        created=tuple(created for tick in ticks for created in tick.created),
        skipped=sum(tick.skipped for tick in ticks),
        messages=tuple(message for tick in ticks for message in tick.messages),
    )


def _upper(
    now: datetime,
    scheduled_time: datetime | None,
    settings: DispatcherSettings,
) -> datetime:
    """Return up to when this tick decides: now, or its own time if just ahead of it."""
    skew = timedelta(seconds=settings.max_clock_skew_seconds)
    if scheduled_time is None or not now < scheduled_time <= now + skew:
        return now
    return scheduled_time


def _may_be_due(job: CronJob, upper: datetime) -> bool:
    """Say whether a job needs its transaction; an unusable one does, to be told of."""
    if upper <= job.dispatched_until:
        return False
    try:
        times = usable_times(job)
    except InvalidInput:
        return True
    following = times.next_after(job.dispatched_until)
    if following is not None and following <= upper:
        return True
    return bool(times.left_out(job.dispatched_until, upper))


def _decide(
    connection: sa.Connection,
    registry: HandlerCatalog,
    settings: DispatcherSettings,
    job: CronJob,
    upper: datetime,
) -> CronTick:
    if upper <= job.dispatched_until:
        return CronTick()
    try:
        times = usable_times(job)
    except InvalidInput as error:
        return _note_invalid(connection, job, upper, error)
    rules = policies.MisfireRules(
        job.misfire_policy,
        job.misfire_grace_seconds,
        settings.misfire_threshold_seconds,
        settings.max_catchup,
    )
    plan = policies.plan(times, job.dispatched_until, upper, rules)
    drafts, overlapping = _admit(connection, registry, job, times, plan.runs)
    ids = insert_executions(connection, [draft for draft, _ in drafts])
    reach("cron.executions_inserted")
    failures = {
        made: failure
        for made, (_, failure) in zip(ids, drafts, strict=True)
        if made is not None and failure is not None
    }
    store.fail_at_dispatch(
        connection,
        {made: (why.reason, why.error_type, why.message) for made, why in failures.items()},
    )
    reach("cron.failures_written")
    replaced = _replace(connection, job, [made for made in ids if made not in failures])
    spans = (*plan.skips, *overlapping)
    store.record_skips(connection, [_skip(job, span) for span in spans])
    reach("cron.skips_recorded")
    store.advance(connection, job.id, upper)
    skipped = sum(span.count for span in spans)
    return CronTick(
        decided=len(drafts) + skipped,
        created=tuple(made for made in ids if made is not None),
        skipped=skipped,
        messages=(*_messages(job, spans, failures), *replaced),
    )


def _admit(
    connection: sa.Connection,
    registry: HandlerCatalog,
    job: CronJob,
    times: FireTimes,
    runs: Sequence[policies.Run],
) -> tuple[list[tuple[NewExecution, Failure | None]], list[policies.Span]]:
    """Return the rows of the runs that overlap allows, and a skip for each other."""
    active = store.count_active(connection, job.id) if runs else 0
    drafts = []
    overlapping = []
    for run in runs:
        at = run.scheduled_time
        if not policies.admits(job.overlap_policy, active):
            overlapping.append(policies.Span(SkipReason.OVERLAP, at, at, 1))
            continue
        draft, failure = settled(registry, job, times.zone, run)
        drafts.append((draft, failure))
        active += failure is None
    return drafts, overlapping


def _replace(
    connection: sa.Connection,
    job: CronJob,
    made: Sequence[int | None],
) -> tuple[str, ...]:
    """Ask every older active execution to cancel, where a newer one takes its place."""
    runnable = [number for number in made if number is not None]
    if job.overlap_policy is not OverlapPolicy.REPLACE or not runnable:
        return ()
    newest = max(runnable)
    asked = cancel_older(connection, job.id, newest)
    reach("cron.older_asked")
    if not asked:
        return ()
    return (f"{job.name}: execution {newest} replaces {', '.join(map(str, sorted(asked)))}",)


def _note_invalid(
    connection: sa.Connection,
    job: CronJob,
    upper: datetime,
    error: InvalidInput,
) -> CronTick:
    if store.extend_invalid(connection, job, upper, str(error)):
        log.error("cron_job_invalid", job_id=job.id, job=job.name, error=str(error))
    reach("cron.invalid_noted")
    store.advance(connection, job.id, upper)
    return CronTick(messages=(f"{job.name}: cannot be scheduled: {error}",))


def _skip_unknown(connection: sa.Connection, job: CronJob, upper: datetime) -> CronTick:
    why = f"handler {job.handler_name!r} is not registered"
    try:
        times = usable_times(job)
    except InvalidInput as error:
        return _note_invalid(connection, job, upper, error)
    span = policies.whole_span(times, job.dispatched_until, upper, SkipReason.HANDLER_UNKNOWN, why)
    if span is None:
        return CronTick()
    store.record_skips(connection, [_skip(job, span)])
    reach("cron.orphans_skipped")
    store.advance(connection, job.id, upper)
    return CronTick(
        decided=span.count,
        skipped=span.count,
        messages=(f"{job.name}: {why}; {span.count} skipped",),
    )


def _skip(job: CronJob, span: policies.Span) -> Skip:
    until = None if span.count == 1 else span.last
    return Skip(job.id, span.first, span.reason, job.revision, until, span.count, span.detail)


def _messages(
    job: CronJob,
    spans: Sequence[policies.Span],
    failures: dict[int, Failure],
) -> tuple[str, ...]:
    skipped = [f"{job.name}: {span.count} {span.reason.value}" for span in spans]
    failed = [
        f"{job.name}: execution {made} {why.reason}: {why.message}"
        for made, why in failures.items()
    ]
    return (*skipped, *failed)
