"""A reconciler that dies between two writes: the next look decides the same, once."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Final

import pytest

from jobu_core.models import Status
from jobu_core.runs import RunState
from tests.crash.dispatching import START, DispatchCase, Dispatcher, Site

if TYPE_CHECKING:
    from collections.abc import Callable

LOST_WORKER: Final = "dead:1"
_LOOK_SECONDS: Final = 45.0
"""Longer than a lease, and than the grace of a launch."""

_HANDLER_GRACE_SECONDS: Final = 301.0


def never_launched(process: Dispatcher) -> int:
    """Claim a row, and let no run appear."""
    return process.jobs.queued(params={"n": 1}).execution_ids[0]


def never_submitted(process: Dispatcher) -> int:
    """Claim a row, and make a run that was never submitted."""
    batch = process.jobs.queued(params={"n": 1})
    process.runs.add(batch.token, RunState.NOT_STARTED, str(batch.token))
    return batch.execution_ids[0]


def canceled_in_the_queue(process: Dispatcher) -> int:
    """Claim a row, whose run a person cancels while it waits."""
    batch = process.jobs.queued(params={"n": 1})
    process.runs.add(batch.token, RunState.CANCELED, str(batch.token))
    return batch.execution_ids[0]


def left_running(process: Dispatcher, *, attempts: int = 3) -> int:
    """Begin a row on a worker that is never heard of again."""
    batch = process.jobs.queued(params={"n": 1}, max_attempts=attempts)
    run_id = process.runs.add(batch.token, RunState.STARTED, str(batch.token))
    process.jobs.start(batch, run_id=run_id, worker_id=LOST_WORKER)
    return batch.execution_ids[0]


def left_running_for_the_last_time(process: Dispatcher) -> int:
    """Begin the only attempt of a row on a worker that dies."""
    return left_running(process, attempts=1)


def left_stuck(process: Dispatcher) -> int:
    """Begin a row whose deadline and lease are long gone."""
    row_id = left_running(process, attempts=1)
    process.jobs.change(row_id, deadline_at=START - timedelta(hours=1))
    return row_id


def canceled_while_running(process: Dispatcher) -> int:
    """Begin a row whose run a person cancels, on a worker that dies before it hears of it."""
    row_id = left_running(process)
    process.runs.end(str(process.jobs.row(row_id).lease_token), RunState.CANCELED)
    return row_id


def without_handler(process: Dispatcher) -> int:
    """Leave a row that waits for a handler which nobody has any more."""
    return process.jobs.add(handler_name="gone")


@dataclass(frozen=True)
class ReconcileCase(DispatchCase):
    """A death while rows in a state of the reconciler's table are settled."""

    state: Callable[[Dispatcher], int] = never_launched
    ends: Status = Status.SUCCESS
    attempts: int = 1


WRITTEN = ("job_executions",)
CASES = (
    ReconcileCase("reconcile.rows_read", rules=(6, 11)),
    ReconcileCase("reconcile.row_written", rules=(11,)),
    ReconcileCase("reconcile.row_committed", rules=(11, 14), leaves=WRITTEN),
    ReconcileCase("reconcile.row_written", rules=(11,), state=never_submitted),
    ReconcileCase("reconcile.row_committed", rules=(11,), state=never_submitted, leaves=WRITTEN),
    ReconcileCase("reconcile.run_retired", rules=(11,), state=never_submitted, leaves=WRITTEN),
    ReconcileCase("reconcile.row_written", rules=(11, 14), state=left_running, attempts=2),
    ReconcileCase(
        "reconcile.row_committed",
        rules=(11, 14),
        state=left_running,
        attempts=2,
        leaves=WRITTEN,
    ),
    ReconcileCase(
        "reconcile.run_retired",
        rules=(11, 14),
        state=left_running,
        attempts=2,
        leaves=WRITTEN,
    ),
    ReconcileCase(
        "reconcile.row_committed",
        rules=(11, 14),
        state=left_running_for_the_last_time,
        ends=Status.FAILED,
        leaves=WRITTEN,
    ),
    ReconcileCase(
        "reconcile.row_committed",
        rules=(11,),
        state=left_stuck,
        ends=Status.TIMEOUT,
        leaves=WRITTEN,
    ),
    ReconcileCase(
        "reconcile.row_written",
        rules=(11, 13),
        state=canceled_in_the_queue,
        ends=Status.CANCELED,
        attempts=0,
    ),
    ReconcileCase(
        "reconcile.row_committed",
        rules=(11, 13),
        state=canceled_while_running,
        ends=Status.CANCELED,
        leaves=WRITTEN,
    ),
)


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.point}-{case.state.__name__}")
def test_a_row_is_settled_once(site: Site, case: ReconcileCase) -> None:
    """Whatever the dead reconciler had written, the row ends as the table says, with one effect."""
    with site.process() as process:
        row_id = case.state(process)
    with site.after_death(case, partial(Dispatcher.watch, seconds=_LOOK_SECONDS)) as restarted:
        restarted.forward(_LOOK_SECONDS)
        restarted.run_to_rest()
        restarted.audit()
        row = restarted.jobs.row(row_id)
    assert (row.status, row.attempt) == (case.ends, case.attempts)


@pytest.mark.parametrize(
    "case",
    [
        DispatchCase("reconcile.unknown_failed", rules=(5,), visit=2),
        DispatchCase("reconcile.unknown_committed", rules=(5,), visit=2, leaves=WRITTEN),
    ],
    ids=lambda case: case.point,
)
def test_a_row_without_handler_is_settled_once(site: Site, case: DispatchCase) -> None:
    """It fails after the grace of whichever reconciler lives that long, and stops no other."""
    with site.process() as process:
        row_id = without_handler(process)
        other = process.jobs.add(params={"n": 1})
    waits = partial(Dispatcher.watch, seconds=_HANDLER_GRACE_SECONDS, every=_HANDLER_GRACE_SECONDS)
    with site.after_death(case, waits) as restarted:
        restarted.watch(_HANDLER_GRACE_SECONDS, every=_HANDLER_GRACE_SECONDS)
        restarted.run_to_rest()
        restarted.audit()
        assert restarted.jobs.row(row_id).status is Status.FAILED
        assert restarted.jobs.row(row_id).reason == "handler_unknown"
        assert restarted.jobs.row(other).status is Status.SUCCESS
