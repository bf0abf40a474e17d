"""Waits until the system has come to rest, then says what was lost, doubled or stuck."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Final, LiteralString

import psycopg
import sqlalchemy as sa
from dagster import DagsterRunStatus, RunsFilter

from jobu_core.clock import SystemClock
from jobu_core.errors import Outage
from jobu_core.services.endpoints import endpoints
from jobu_core.store.engine import transaction
from jobu_dagster.private import open_instance
from tests.chaos.world import LOAD_TABLE
from tests.crash.audit import audit, audit_loads

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy import Engine

    from tests.chaos.traffic import Sent
    from tests.chaos.world import World

_CLOCK: Final = SystemClock()
_POLL_SECONDS: Final = 2.0
_SCHEMA_TABLE: Final = LOAD_TABLE.partition(".")[2]

_COUNTS: Final[LiteralString] = """
SELECT (SELECT coalesce(sum(count), 0) FROM dispatch_ledger WHERE topic IS NOT NULL) AS consumed,
       (SELECT count(*) FROM job_executions WHERE trigger = 'event') AS executions,
       (SELECT count(*) FROM dead_letters) AS dead_letters,
       (SELECT count(*) FROM job_executions
         WHERE status IN ('PENDING', 'QUEUED', 'RUNNING')) AS unfinished,
       (SELECT count(*) FROM job_executions WHERE trigger = 'schedule') AS scheduled,
       (SELECT count(*) FROM job_executions WHERE attempt > 1) AS tried_again
"""

_UNFINISHED: Final = [
    status
    for status in DagsterRunStatus
    if status not in {DagsterRunStatus.SUCCESS, DagsterRunStatus.FAILURE, DagsterRunStatus.CANCELED}
]

_JOBS: Final[LiteralString] = "SELECT id, created_at, dispatched_until FROM cron_jobs"

_LOADS: Final[LiteralString] = "SELECT count(*) FROM public.jobu_loads WHERE target = %(target)s"


@dataclass(frozen=True, slots=True)
class Counts:
    """The job store in numbers."""

    consumed: int
    executions: int
    dead_letters: int
    unfinished: int
    scheduled: int
    tried_again: int


def read_counts(engine: Engine) -> Counts:
    """Count; raises Outage while the store is away."""
    with transaction(engine) as connection:
        return Counts(**connection.execute(sa.text(_COUNTS)).mappings().one())


def come_to_rest(
    engine: Engine, sent: Sent, seconds: float, tell: Callable[[Counts], None]
) -> bool:
    """Wait until every event is consumed and every execution has ended.

    False when nothing has moved for ``seconds``.
    """
    last, until = None, time.monotonic() + seconds
    while time.monotonic() < until:
        try:
            counts = read_counts(engine)
        except Outage:
            _CLOCK.sleep(_POLL_SECONDS)
            continue
        tell(counts)
        if counts.consumed >= len(sent.good) + len(sent.bad) and not counts.unfinished:
            return True
        if counts != last:
            last, until = counts, time.monotonic() + seconds
        _CLOCK.sleep(_POLL_SECONDS)
    return False


def findings(world: World, engine: Engine, sent: Sent, seconds: float) -> list[str]:
    """Return everything that is wrong; empty is the promise kept."""
    found = list(sent.refused)
    try:
        audit(engine, good=sent.good, bad=sent.bad, occurrences=_due_occurrences(engine))
    except AssertionError as wrong:
        found += str(wrong).splitlines()
    found += _loads(world, sent)
    return found + _runs(world, seconds)


def _due_occurrences(engine: Engine) -> dict[int, int]:
    """Count the minutes between each job's birth and its watermark: all jobs run every one."""
    minute = timedelta(minutes=1)
    with transaction(engine) as connection:
        jobs = connection.execute(sa.text(_JOBS)).all()
    due: dict[int, int] = {}
    for job_id, created_at, dispatched_until in jobs:
        start = created_at.replace(second=0, microsecond=0)
        due[job_id] = (dispatched_until - start) // minute
    return due


def _loads(world: World, sent: Sent) -> list[str]:
    """Each load event has one committed effect: one row, one line in the manifest."""
    url = endpoints(world.settings).database_url
    with psycopg.connect(url) as connection:
        row = connection.execute(_LOADS, {"target": _SCHEMA_TABLE}).fetchone()
    found = []
    if row is None or row[0] != sent.loads:
        found.append(f"{sent.loads} loads were asked for, the manifest has {row}")
    try:
        audit_loads(url, _SCHEMA_TABLE)
    except AssertionError as wrong:
        found.append(str(wrong))
    return found


def _runs(world: World, seconds: float) -> list[str]:
    """No Dagster run stays unfinished once its executions have ended."""
    until = time.monotonic() + seconds
    unfinished = RunsFilter(statuses=_UNFINISHED)
    with open_instance(world.settings.root) as instance:
        while (left := instance.get_runs(unfinished)) and time.monotonic() < until:
            _CLOCK.sleep(_POLL_SECONDS)
    return [f"Dagster run {run.run_id} is {run.status.value} for ever" for run in left]
