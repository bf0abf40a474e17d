"""Saving, changing and deleting cron jobs; each change is one transaction, audited.

An edit never fires what was due before it: whatever the old definition left
undecided is recorded as skipped, and the watermark moves to now.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from jobu_core.crash_points import reach
from jobu_core.dispatcher.cron.definition import check_spec, decided_by_people, spec_of
from jobu_core.dispatcher.cron.fire_times import fire_times
from jobu_core.dispatcher.cron.policies import whole_span
from jobu_core.errors import InvalidInput
from jobu_core.models import Skip, SkipReason
from jobu_core.store import audit
from jobu_core.store import cron_jobs as store
from jobu_core.store.engine import transaction

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    import sqlalchemy as sa

    from jobu_core.config import DispatcherSettings
    from jobu_core.dispatcher.catalog import HandlerCatalog
    from jobu_core.models import CronJob

MOVES_WATERMARK: Final = frozenset({"cron_expression", "timezone", "dst_policy", "is_enabled"})
"""Fields whose change makes everything up to now decided."""


def add_job(
    engine: sa.Engine,
    catalog: HandlerCatalog,
    settings: DispatcherSettings,
    values: Mapping[str, Any],
    *,
    who: str,
) -> CronJob:
    """Check and save a new job; it starts at its creation and fires nothing older.

    Raises InvalidInput subclasses, or Conflict when the name is taken.
    """
    spec = spec_of(values)
    with transaction(engine) as connection:
        now = store.read_now(connection)
        check_spec(spec, catalog, settings, now)
        row = {**spec.model_dump(), "dispatched_until": now, "created_at": now, "updated_at": now}
        job = store.insert_job(connection, row)
        reach("cron_edit.row_inserted")
        audit.record(connection, who, "cron.add", _subject(job), after=_audited(job))
    return job


def edit_job(
    engine: sa.Engine,
    catalog: HandlerCatalog,
    settings: DispatcherSettings,
    reference: str,
    changes: Mapping[str, Any],
    *,
    who: str,
) -> CronJob:
    """Change the given fields of the job with that name or id; checked as when added.

    Returns it unchanged, revision included, when nothing differs. Raises NotFound,
    Conflict, or InvalidInput subclasses.
    """
    with transaction(engine) as connection:
        job = store.find_job(connection, reference, lock=True)
        spec = spec_of({**decided_by_people(job), **changes})
        check_spec(spec, catalog, settings, store.read_now(connection))
        return _save(connection, job, spec.model_dump(), "cron.edit", who)


def set_enabled(
    engine: sa.Engine,
    catalog: HandlerCatalog,
    settings: DispatcherSettings,
    reference: str,
    *,
    enabled: bool,
    who: str,
) -> CronJob:
    """Enable or disable a job. Disabling always works; enabling checks the whole job."""
    if enabled:
        return edit_job(engine, catalog, settings, reference, {"is_enabled": True}, who=who)
    with transaction(engine) as connection:
        job = store.find_job(connection, reference, lock=True)
        return _save(connection, job, {"is_enabled": False}, "cron.edit", who)


def delete_job(engine: sa.Engine, reference: str, *, who: str) -> CronJob:
    """Delete a job and its skips and return what it was; its executions stay."""
    with transaction(engine) as connection:
        job = store.find_job(connection, reference, lock=True)
        store.delete_job(connection, job.id)
        reach("cron_edit.row_deleted")
        audit.record(connection, who, "cron.delete", _subject(job), before=_audited(job))
    return job


def _save(
    connection: sa.Connection,
    job: CronJob,
    values: Mapping[str, Any],
    what: str,
    who: str,
) -> CronJob:
    before = decided_by_people(job)
    changed = {name: value for name, value in values.items() if before[name] != value}
    if not changed:
        return job
    if changed.keys() & MOVES_WATERMARK:
        now = max(store.read_now(connection), job.dispatched_until)
        _skip_undecided(connection, job, now, enabling="is_enabled" in changed)
        reach("cron_edit.undecided_skipped")
        store.advance(connection, job.id, now)
        reach("cron_edit.watermark_raised")
    saved = store.update_job(connection, job.id, changed)
    reach("cron_edit.row_saved")
    audit.record(connection, who, what, _subject(job), before=_audited(job), after=_audited(saved))
    reach("cron_edit.audited")
    return saved


def _skip_undecided(
    connection: sa.Connection,
    job: CronJob,
    now: datetime,
    *,
    enabling: bool,
) -> None:
    """Record what the old definition had due and nobody decided, as one span."""
    try:
        times = fire_times(job.cron_expression, job.timezone, job.dst_policy)
    except InvalidInput:
        return  # no occurrence of an unusable definition can be named
    reason, detail = SkipReason.DISABLED, None
    if job.is_enabled:
        detail = "disabled before it was dispatched"
        if not enabling:
            reason, detail = SkipReason.MISFIRED, "edited before it was dispatched"
    span = whole_span(times, job.dispatched_until, now, reason, detail)
    if span is None:
        return
    until = None if span.count == 1 else span.last
    skip = Skip(job.id, span.first, reason, job.revision, until, span.count, detail)
    store.record_skips(connection, [skip])


def _audited(job: CronJob) -> dict[str, Any]:
    return {**decided_by_people(job), "id": job.id, "revision": job.revision}


def _subject(job: CronJob) -> str:
    return f"cron_jobs/{job.id}"
