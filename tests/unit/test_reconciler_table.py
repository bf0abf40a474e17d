"""The reconciler's table (rule 11) as data: every row state, every run state, each verdict."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest

from jobu_core.dispatcher.verdicts import (
    QUEUED_OVERDUE,
    QUEUED_STALE,
    QUEUED_STAMPED,
    QUEUED_UNSTAMPED,
    Action,
    Verdict,
    judge,
)
from jobu_core.models import Status
from jobu_core.runs import RunState, RunView
from jobu_core.store.reconciliation import LaunchedRow

STATES = (None, *RunState)
UNFINISHED = (
    RunState.NOT_STARTED,
    RunState.QUEUED,
    RunState.STARTING,
    RunState.STRANDED,
    RunState.STARTED,
)


def launched(**changes: Any) -> LaunchedRow:  # noqa: ANN401 - any field
    """Return a QUEUED row that no worker has taken, within its grace."""
    values: dict[str, Any] = {
        "id": 1,
        "handler_name": "echo",
        "status": Status.QUEUED,
        "token": UUID(int=1),
        "attempt": 0,
        "max_attempts": 4,
        "retry_backoff_seconds": 10,
        "launch_count": 0,
        "run_id": None,
        "worker_id": None,
        "heartbeat_at": None,
        "cancel_requested": False,
        "queued_seconds": 1.0,
        "deadline_passed": False,
    }
    return LaunchedRow(**(values | changes))


def verdict(row: LaunchedRow, state: RunState | None, *, stale: bool = False) -> Verdict:
    """Judge with a grace of 30 seconds."""
    run = None if state is None else RunView("r", state)
    return judge(row, run, launch_grace_seconds=30, stale=stale)


def stamped(**changes: Any) -> LaunchedRow:  # noqa: ANN401 - any field
    """Return a QUEUED row that a worker has taken, long ago."""
    now = datetime(2026, 1, 1, tzinfo=UTC)
    taken = {"run_id": "r", "worker_id": "w", "heartbeat_at": now, "queued_seconds": 900.0}
    return launched(**(taken | changes))


def running(**changes: Any) -> LaunchedRow:  # noqa: ANN401 - any field
    """Return a RUNNING row in its first attempt."""
    return stamped(**({"status": Status.RUNNING, "attempt": 1} | changes))


@pytest.mark.parametrize("table", [QUEUED_UNSTAMPED, QUEUED_OVERDUE, QUEUED_STAMPED, QUEUED_STALE])
def test_every_run_state_has_a_verdict(table: dict[RunState | None, Verdict]) -> None:
    """A state that Dagster may report is never a KeyError."""
    assert set(table) == set(STATES)


@pytest.mark.parametrize("state", [None, *UNFINISHED])
def test_within_its_grace_a_launch_is_left_alone(state: RunState | None) -> None:
    """A run may still appear, be submitted, start, be stamped."""
    assert verdict(launched(queued_seconds=30.0), state).action is Action.LEAVE


@pytest.mark.parametrize(
    ("state", "retire"),
    [(None, False), (RunState.NOT_STARTED, True), (RunState.STARTED, False)],
)
def test_after_its_grace_a_launch_nobody_took_is_lost(
    state: RunState | None,
    *,
    retire: bool,
) -> None:
    """No run, one that was never submitted, or one that never stamped: launch again."""
    judged = verdict(launched(queued_seconds=30.1), state)
    assert (judged.action, judged.retire_run) == (Action.RELAUNCH_LOST, retire)


@pytest.mark.parametrize("state", [RunState.QUEUED, RunState.STARTING])
def test_waiting_inside_dagster_is_no_loss(state: RunState) -> None:
    """However long Dagster's queue is, its runs are left there."""
    assert verdict(launched(queued_seconds=1e6), state).action is Action.LEAVE


def test_what_the_workers_queue_has_lost_is_launched_again() -> None:
    """The launch did arrive, so it counts nothing; its run, which nobody has, is ended."""
    judged = verdict(launched(queued_seconds=30.1), RunState.STRANDED)
    assert (judged.action, judged.retire_run) == (Action.RELAUNCH_UNCOUNTED, True)


@pytest.mark.parametrize("state", [RunState.CANCELING, RunState.CANCELED])
@pytest.mark.parametrize("row", [launched(), launched(queued_seconds=99.0), stamped()])
def test_a_canceled_run_cancels_its_waiting_row(row: LaunchedRow, state: RunState) -> None:
    """A cancel in Dagster's queue reaches the row at the next look."""
    assert verdict(row, state).action is Action.CANCEL


@pytest.mark.parametrize("state", [RunState.SUCCESS, RunState.FAILURE])
def test_a_run_that_ended_without_the_row_counts_if_a_worker_had_it(state: RunState) -> None:
    """Stamped: a launch used up. Not stamped: the carrier gave up (START_TIMEOUT)."""
    assert verdict(stamped(), state).action is Action.RELAUNCH
    assert verdict(launched(), state).action is Action.RELAUNCH_UNCOUNTED


@pytest.mark.parametrize("state", [None, *UNFINISHED])
def test_a_dead_worker_gives_its_waiting_rows_back(state: RunState | None) -> None:
    """Stamped and stale: launched again, and the run is ended; alive: left."""
    judged = verdict(stamped(), state, stale=True)
    assert (judged.action, judged.retire_run) == (Action.RELAUNCH, True)
    assert verdict(stamped(), state).action is Action.LEAVE


def test_a_row_without_a_heartbeat_is_not_stale() -> None:
    """No heartbeat ever is no evidence of a dead worker; only the grace decides."""
    assert verdict(launched(), RunState.STARTED, stale=True).action is Action.LEAVE


@pytest.mark.parametrize("state", STATES)
def test_a_running_row_is_judged_by_heartbeat_and_deadline(state: RunState | None) -> None:
    """Whatever its run says: stale is a lost worker, past the deadline is a timeout."""
    lost = verdict(running(deadline_passed=True), state, stale=True)
    assert (lost.action, lost.retire_run) == (Action.WORKER_LOST, True)
    late = verdict(running(deadline_passed=True), state)
    assert (late.action, late.retire_run) == (Action.TIMEOUT, True)


@pytest.mark.parametrize("state", STATES)
def test_of_a_living_rows_run_only_canceled_counts(state: RunState | None) -> None:
    """Not even a run that Dagster calls failed ends a row whose worker is alive."""
    expected = Action.REQUEST_CANCEL if state is RunState.CANCELED else Action.LEAVE
    assert verdict(running(), state).action is expected
    assert verdict(running(cancel_requested=True), state).action is Action.LEAVE
