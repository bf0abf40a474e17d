"""Rows of ``cron_jobs`` and ``dispatch_skips``: reading, locking, the watermark.

``dispatched_until`` only rises; every statement that moves it says so in its WHERE.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, LiteralString

import sqlalchemy as sa
from sqlalchemy import bindparam, func, select, text
from sqlalchemy.dialects.postgresql import ARRAY, insert

from jobu_core.errors import Conflict, NotFound
from jobu_core.models import (
    CronJob,
    DstPolicy,
    MisfirePolicy,
    OverlapPolicy,
    Skip,
    SkipReason,
    Status,
    Trigger,
)
from jobu_core.store.documents import storable
from jobu_core.store.engine import as_dict
from jobu_core.store.schema import cron_jobs, dispatch_skips, job_executions

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from datetime import datetime

LOCK_NOT_AVAILABLE: Final = "55P03"
UNIQUE_VIOLATION: Final = "23505"

ACTIVE_TRIGGERS: Final = (Trigger.SCHEDULE, Trigger.MANUAL, Trigger.RETRY)
"""Executions that the overlap policy counts; events and backfills run beside them."""

_INSTANT: Final = sa.DateTime(timezone=True)
_UNFINISHED: Final = (Status.PENDING, Status.QUEUED, Status.RUNNING)

_ADVANCE_IDLE: Final[LiteralString] = """
WITH seen AS (
  SELECT * FROM unnest(:ids, :revisions, :watermarks) AS seen (id, revision, dispatched_until)
), free AS (
  SELECT job.id
    FROM cron_jobs AS job
    JOIN seen USING (id, revision, dispatched_until)
   WHERE job.is_enabled AND job.dispatched_until < :until
   ORDER BY job.id
     FOR NO KEY UPDATE OF job SKIP LOCKED
)
UPDATE cron_jobs SET dispatched_until = :until
 WHERE id IN (SELECT id FROM free) AND dispatched_until < :until
"""


def read_now(connection: sa.Connection) -> datetime:
    """Return the job store's time."""
    now: datetime = connection.execute(select(func.jobu_now(type_=_INSTANT))).scalar_one()
    return now


def insert_job(connection: sa.Connection, values: Mapping[str, Any]) -> CronJob:
    """Insert one job; raises Conflict when its name is taken."""
    statement = insert(cron_jobs).values(dict(values)).returning(cron_jobs)
    return _job(_name_taken_is_conflict(connection, statement, str(values["name"])))


def update_job(connection: sa.Connection, job_id: int, values: Mapping[str, Any]) -> CronJob:
    """Change columns of one locked job and raise its revision; Conflict if a name is taken."""
    statement = (
        cron_jobs.update()
        .where(cron_jobs.c.id == job_id)
        .values(
            {**values, "revision": cron_jobs.c.revision + 1, "updated_at": func.jobu_now()},
        )
        .returning(cron_jobs)
    )
    return _job(_name_taken_is_conflict(connection, statement, str(values.get("name"))))


def delete_job(connection: sa.Connection, job_id: int) -> None:
    """Delete one job and its skips; its executions stay, without a job."""
    connection.execute(cron_jobs.delete().where(cron_jobs.c.id == job_id))


def find_job(connection: sa.Connection, reference: str, *, lock: bool = False) -> CronJob:
    """Return the job called ``reference``, or with that id; raises NotFound."""
    is_id = reference.isascii() and reference.isdecimal() and len(reference) < 19  # noqa: PLR2004 - bigint
    condition = cron_jobs.c.id == int(reference) if is_id else cron_jobs.c.name == reference
    statement = select(cron_jobs).where(condition)
    if lock:
        statement = statement.with_for_update(key_share=True)
    # No row is called what PostgreSQL cannot store, and asking for it would be an error.
    usable = storable(reference) == reference
    row = connection.execute(statement).one_or_none() if usable else None
    if row is None:
        msg = f"no cron job {reference!r}"
        raise NotFound(msg)
    return _job(row)


def get_jobs(connection: sa.Connection, ids: Collection[int]) -> dict[int, CronJob]:
    """Return the jobs that exist, by id."""
    statement = select(cron_jobs).where(cron_jobs.c.id.in_(list(ids)))
    return {row.id: _job(row) for row in connection.execute(statement)}


def list_jobs(
    connection: sa.Connection,
    *,
    handler: str | None = None,
    enabled: bool | None = None,
) -> list[CronJob]:
    """Return jobs by id; ``handler`` and ``enabled`` narrow the list."""
    statement = select(cron_jobs).order_by(cron_jobs.c.id)
    if handler is not None:
        statement = statement.where(cron_jobs.c.handler_name == handler)
    if enabled is not None:
        statement = statement.where(cron_jobs.c.is_enabled.is_(enabled))
    return [_job(row) for row in connection.execute(statement)]


def list_orphans(connection: sa.Connection, handlers: Collection[str]) -> list[CronJob]:
    """Return the enabled jobs whose handler is not one of ``handlers``."""
    statement = (
        select(cron_jobs)
        .where(cron_jobs.c.is_enabled, cron_jobs.c.handler_name.not_in(list(handlers)))
        .order_by(cron_jobs.c.id)
    )
    return [_job(row) for row in connection.execute(statement)]


def lock_job(connection: sa.Connection, job_id: int, *, wait_milliseconds: int) -> CronJob | None:
    """Lock one job against other ticks and edits, not against foreign keys.

    Returns None when it was deleted; raises Conflict when another session holds
    it for longer than the wait.
    """
    set_wait = select(func.set_config("lock_timeout", f"{wait_milliseconds}ms", sa.true()))
    connection.execute(set_wait)
    statement = select(cron_jobs).where(cron_jobs.c.id == job_id).with_for_update(key_share=True)
    try:
        row = connection.execute(statement).one_or_none()
    except sa.exc.OperationalError as error:
        if getattr(error.orig, "sqlstate", None) != LOCK_NOT_AVAILABLE:
            raise
        msg = f"cron job {job_id} is locked by another session"
        raise Conflict(msg) from error
    return None if row is None else _job(row)


def advance(connection: sa.Connection, job_id: int, until: datetime) -> None:
    """Raise the watermark of one job to ``until``; never lowers it."""
    connection.execute(
        cron_jobs.update()
        .where(cron_jobs.c.id == job_id, cron_jobs.c.dispatched_until < until)
        .values(dispatched_until=until),
    )


def advance_idle(connection: sa.Connection, jobs: Sequence[CronJob], until: datetime) -> int:
    """Raise the watermarks of jobs that have nothing due; returns how many moved.

    A job that was edited, decided or locked since it was read is left alone.
    """
    if not jobs:
        return 0
    statement = text(_ADVANCE_IDLE).bindparams(
        bindparam("ids", [job.id for job in jobs], ARRAY(sa.BigInteger)),
        bindparam("revisions", [job.revision for job in jobs], ARRAY(sa.Integer)),
        bindparam("watermarks", [job.dispatched_until for job in jobs], ARRAY(_INSTANT)),
        bindparam("until", until, _INSTANT),
    )
    return connection.execute(statement).rowcount


def count_active(connection: sa.Connection, job_id: int) -> int:
    """Return how many unfinished executions of a job its overlap policy counts."""
    statement = select(func.count()).where(
        job_executions.c.job_id == job_id,
        job_executions.c.status.in_(_UNFINISHED),
        job_executions.c.trigger.in_(ACTIVE_TRIGGERS),
    )
    return int(connection.execute(statement).scalar_one())


def record_skips(connection: sa.Connection, skips: Sequence[Skip]) -> None:
    """Write why occurrences did not run; one that is already recorded stays."""
    if not skips:
        return
    statement = insert(dispatch_skips).on_conflict_do_nothing(
        index_elements=["job_id", "scheduled_time"],
    )
    connection.execute(statement, [_skip_values(skip) for skip in skips])


def list_skips(connection: sa.Connection, job_id: int, *, limit: int) -> list[Skip]:
    """Return the newest skips of a job, newest first."""
    statement = (
        select(dispatch_skips)
        .where(dispatch_skips.c.job_id == job_id)
        .order_by(dispatch_skips.c.scheduled_time.desc())
        .limit(limit)
    )
    return [_skip(row) for row in connection.execute(statement)]


def extend_invalid(connection: sa.Connection, job: CronJob, until: datetime, detail: str) -> bool:
    """Note that a job could not be scheduled up to ``until``; True for a new stretch.

    Ticks that follow each other write one row: which occurrences it held cannot be
    known, so its count stays 1.
    """
    extended = connection.execute(
        dispatch_skips.update()
        .where(
            dispatch_skips.c.job_id == job.id,
            dispatch_skips.c.reason == SkipReason.INVALID,
            dispatch_skips.c.revision == job.revision,
            dispatch_skips.c.until == job.dispatched_until,
        )
        .values(until=until),
    )
    if extended.rowcount:
        return False
    skip = Skip(job.id, until, SkipReason.INVALID, job.revision, until, 1, detail)
    record_skips(connection, [skip])
    return True


def fail_at_dispatch(
    connection: sa.Connection,
    errors: Mapping[int, tuple[str, str, str]],
) -> None:
    """End freshly inserted executions that can never run: id → (reason, type, message)."""
    for execution_id, (reason, error_type, message) in errors.items():
        connection.execute(
            job_executions.update()
            .where(
                job_executions.c.id == execution_id,
                job_executions.c.status == Status.PENDING,
            )
            .values(
                status=Status.FAILED,
                reason=reason,
                error_type=error_type,
                error_message=message,
                finished_at=func.jobu_now(),
            ),
        )


def _name_taken_is_conflict(
    connection: sa.Connection,
    statement: sa.Executable,
    name: str,
) -> sa.Row[Any]:
    try:
        return connection.execute(statement).one()
    except sa.exc.IntegrityError as error:
        if getattr(error.orig, "sqlstate", None) != UNIQUE_VIOLATION:
            raise
        msg = f"a cron job named {name!r} exists already"
        raise Conflict(msg) from error


def _skip_values(skip: Skip) -> dict[str, Any]:
    return {
        "job_id": skip.job_id,
        "scheduled_time": skip.scheduled_time,
        "until": skip.until,
        "count": skip.count,
        "reason": skip.reason,
        "detail": skip.detail,
        "revision": skip.revision,
    }


def _skip(row: sa.Row[Any]) -> Skip:
    values = as_dict(row)
    del values["decided_at"]
    values["reason"] = SkipReason(values["reason"])
    return Skip(**values)


def _job(row: sa.Row[Any]) -> CronJob:
    values = as_dict(row)
    values["overlap_policy"] = OverlapPolicy(values["overlap_policy"])
    values["misfire_policy"] = MisfirePolicy(values["misfire_policy"])
    values["dst_policy"] = DstPolicy(values["dst_policy"])
    return CronJob(**values)
