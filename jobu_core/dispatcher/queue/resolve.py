"""JobEvent → the row it becomes, or why it cannot: job, base params, handler, limits.

With ``job_id`` that cron job's params are the base and its limits hold; the
event's params win key by key. Placeholders in what remains of the base are
filled with the message's time as ``scheduled_time``; an event's own text never
is. The job's overlap policy does not count here, nor whether it is enabled.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from jobu_core.dispatcher.cron.fire_times import zone_of
from jobu_core.dispatcher.cron.templates import Moment, render
from jobu_core.errors import InvalidInput, Outage, UnknownHandler
from jobu_core.models import JobEvent, NewExecution, ParamSource, Rejection, Stage, Trigger
from jobu_core.store.cron_jobs import list_jobs, read_now
from jobu_core.store.event_jobs import hold_jobs

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    import sqlalchemy as sa

    from jobu_core.config import Settings
    from jobu_core.dispatcher.catalog import HandlerCatalog
    from jobu_core.models import CronJob

CODES: Final[Mapping[str, str]] = {
    "job_unknown": "there is no cron job of that id",
    "handler_mismatch": "handler_name is not the handler of the cron job",
    "ambiguous_base": "several cron jobs have that handler; name one by job_id",
    "base_not_renderable": "a placeholder in the cron job's params has no value for an event",
    "handler_unknown": "no handler of that name is registered",
    "invalid_params": "the handler refuses the params",
    "check_failed": "the handler's own check of the params ended with an error",
}
"""Codes of the stages resolve and validate; a handler's check may add its errors' codes."""


@dataclass(frozen=True, slots=True)
class TimedEvent:
    """An event and when its message was sent; None = not known, the time of dispatch."""

    event: JobEvent
    time: datetime | None = None


def resolve_events(
    connection: sa.Connection,
    catalog: HandlerCatalog,
    settings: Settings,
    events: Sequence[TimedEvent],
) -> list[NewExecution | Rejection]:
    """Return for each event its row, without coordinates and key, or its Rejection.

    Cron jobs that are referred to stay held until the transaction ends.
    """
    jobs = hold_jobs(connection, {e.event.job_id for e in events if e.event.job_id is not None})
    siblings = _siblings(connection, settings, events)
    resolver = _Resolver(catalog, settings, jobs, siblings, read_now(connection))
    return [resolver.resolve(each) for each in events]


def _siblings(
    connection: sa.Connection,
    settings: Settings,
    events: Sequence[TimedEvent],
) -> dict[str, list[CronJob]]:
    """Return the cron jobs per handler, where the configuration takes the base from them."""
    if settings.queue_dispatcher.base_params == "none":
        return {}
    names = {e.event.handler_name for e in events if e.event.job_id is None}
    return {name: list_jobs(connection, handler=name) for name in names if name is not None}


@dataclass(frozen=True, slots=True)
class _Resolver:
    catalog: HandlerCatalog
    settings: Settings
    jobs: Mapping[int, CronJob]
    siblings: Mapping[str, list[CronJob]]
    now: datetime

    def resolve(self, timed: TimedEvent) -> NewExecution | Rejection:
        event = timed.event
        job = self.jobs.get(event.job_id) if event.job_id is not None else None
        if event.job_id is not None and job is None:
            return _refused("job_unknown", f"there is no cron job {event.job_id}")
        if job is not None and event.handler_name not in {None, job.handler_name}:
            return _refused("handler_mismatch", f"cron job {job.id} is of another handler")
        base = job if job is not None else self._sibling(event)
        if isinstance(base, Rejection):
            return base
        name = job.handler_name if job is not None else event.handler_name
        if name is None:  # decode_event lets no such event pass
            return _refused("handler_unknown", CODES["handler_unknown"])
        params = _merged(base, event.params, timed.time or self.now)
        if isinstance(params, Rejection):
            return params
        return self._checked(name, params) or self._row(name, params, job)

    def _sibling(self, event: JobEvent) -> CronJob | Rejection | None:
        found = self.siblings.get(event.handler_name or "", [])
        if len(found) > 1:
            ids = ", ".join(str(job.id) for job in found[:10])
            return _refused("ambiguous_base", f"{CODES['ambiguous_base']}: {ids}")
        return found[0] if found else None

    def _checked(self, name: str, params: Mapping[str, Any]) -> Rejection | None:
        try:
            self.catalog.validate(name, params)
        except UnknownHandler as error:
            return _refused("handler_unknown", str(error))
        except InvalidInput as error:
            return Rejection(Stage.VALIDATE, error.code, str(error))
        except Outage:
            raise
        except Exception as error:  # noqa: BLE001 - a handler's own check is user code
            text = f"{CODES['check_failed']}: {type(error).__name__}"
            return Rejection(Stage.VALIDATE, "check_failed", text)
        return None

    def _row(self, name: str, params: Mapping[str, Any], job: CronJob | None) -> NewExecution:
        limits = job if job is not None else self.settings.worker
        return NewExecution(
            handler_name=name,
            params=params,
            param_source=ParamSource.EVENT,
            trigger=Trigger.EVENT,
            job_id=job.id if job is not None else None,
            max_attempts=limits.max_retry + 1,
            timeout_seconds=limits.timeout_seconds,
            retry_backoff_seconds=limits.retry_backoff_seconds,
        )


def _merged(
    base: CronJob | None,
    own: Mapping[str, Any],
    when: datetime,
) -> Mapping[str, Any] | Rejection:
    """Lay the event's params over the base's, of which only what remains is rendered."""
    if base is None:
        return own
    kept = {key: value for key, value in base.handler_params.items() if key not in own}
    try:
        rendered = render(kept, Moment(base.name, zone_of(base.timezone), when, None, None))
    except InvalidInput as error:
        return _refused("base_not_renderable", f"cron job {base.id}: {error}")
    return {**rendered, **own}


def _refused(code: str, message: str) -> Rejection:
    return Rejection(Stage.RESOLVE, code, message)
