"""The reconciler on real rows: each action, each race, each death in between (rule 11)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa

from jobu_core.errors import StoreUnavailable
from jobu_core.execution.cancel import cancel_execution
from jobu_core.models import Status
from jobu_core.runs import RunState
from jobu_core.store import reconciliation
from jobu_core.store.engine import transaction

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from tests.fix_world import World

LEASE = 30.0


def test_a_launch_without_a_run_is_launched_again(world: World) -> None:
    """After the grace: PENDING with backoff and one launch counted, the token void."""
    batch = world.jobs.queued()
    (row_id,) = batch.execution_ids
    world.wait(30)
    world.tick()
    assert world.status(row_id) is Status.QUEUED
    world.wait(1)
    assert world.tick().actions["relaunch_lost"] == 1
    row = world.jobs.row(row_id)
    assert (row.status, row.lease_token, row.launch_count) == (Status.PENDING, None, 1)
    assert world.wait_seconds(row_id) == 2
    assert world.jobs.start(batch) is None


def test_lost_launches_back_off_and_never_fail_the_row(world: World) -> None:
    """Twenty lost launches later the row still waits, at most five minutes at a time."""
    (row_id,) = world.jobs.queued().execution_ids
    waits = []
    for _ in range(20):
        world.wait(31)
        world.tick()
        waits.append(world.wait_seconds(row_id))
        world.wait(waits[-1])
        world.jobs.worker()
        assert world.jobs.claimed_ids() == [row_id]
    assert waits[:4] == [2, 4, 8, 16]
    assert waits[-1] == 300


def test_a_run_never_submitted_is_ended_after_its_row_moved_on(world: World) -> None:
    """NOT_STARTED after the grace: the row returns, the run is reported canceled."""
    batch = world.jobs.queued()
    run_id = world.runs.add(batch.token, RunState.NOT_STARTED)
    world.wait(31)
    world.tick()
    assert world.status(batch.execution_ids[0]) is Status.PENDING
    assert world.runs.known[run_id] is RunState.CANCELED


def test_a_death_between_row_and_run_does_not_cancel_the_execution(
    world: World,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Killed after writing the row: the next look launches again, nobody is canceled."""
    batch = world.jobs.queued()
    (row_id,) = batch.execution_ids
    world.runs.add(batch.token, RunState.NOT_STARTED)
    world.wait(31)

    def die(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(world.runs, "report_canceled", die)
        with pytest.raises(KeyboardInterrupt):
            world.tick()
    world.tick()
    assert world.status(row_id) is Status.PENDING


@pytest.mark.parametrize("state", [RunState.QUEUED, RunState.STARTING])
def test_a_run_in_dagsters_queue_is_left(world: World, state: RunState) -> None:
    """Waiting for a slot may take hours."""
    batch = world.jobs.queued()
    world.runs.add(batch.token, state)
    world.watch(600)
    assert world.status(batch.execution_ids[0]) is Status.QUEUED


def test_a_run_canceled_while_waiting_cancels_its_row(world: World) -> None:
    """Terminated in the UI before it began: the execution is CANCELED, not run again."""
    batch = world.jobs.queued()
    world.runs.add(batch.token, RunState.CANCELED)
    world.tick()
    row = world.jobs.row(batch.execution_ids[0])
    assert (row.status, row.reason) == (Status.CANCELED, "canceled")
    assert row.finished_at is not None


def test_runs_that_end_without_beginning_fail_the_row_in_the_end(world: World) -> None:
    """A worker took it five times and never began: FAILED launch_failed, and it says why."""
    batch = world.jobs.queued()
    (row_id,) = batch.execution_ids
    for launch in range(1, 6):
        run_id = world.runs.add(batch.token, RunState.FAILURE)
        world.jobs.stamp(batch, run_id=run_id)
        world.tick()
        if launch == 5:
            break
        assert world.jobs.row(row_id).launch_count == launch
        world.wait(world.wait_seconds(row_id))
        world.jobs.worker()
        (batch,) = world.jobs.claim().batches
    row = world.jobs.row(row_id)
    assert (row.status, row.reason, row.error_type) == (
        Status.FAILED,
        "launch_failed",
        "LaunchFailed",
    )
    assert "5 launches" in (row.error_message or "")


def test_a_launch_the_carrier_gave_up_counts_nothing(world: World) -> None:
    """START_TIMEOUT, or the broker away: launch_count stays, a short pause, again."""
    batch = world.jobs.queued()
    world.runs.add(batch.token, RunState.FAILURE)
    world.tick()
    row = world.jobs.row(batch.execution_ids[0])
    assert (row.status, row.launch_count) == (Status.PENDING, 0)
    assert world.wait_seconds(row.id) == 10


def test_a_worker_that_died_before_the_start_gives_the_launch_back(world: World) -> None:
    """Stamped, then no heartbeat for a lease: launched again, the dead run reported failed."""
    batch = world.jobs.queued()
    run_id = world.runs.add(batch.token, RunState.STARTED)
    world.jobs.stamp(batch, run_id=run_id)
    world.watch(LEASE - 5)
    assert world.status(batch.execution_ids[0]) is Status.QUEUED
    world.watch(5)
    row = world.jobs.row(batch.execution_ids[0])
    assert (row.status, row.launch_count) == (Status.PENDING, 1)
    assert world.runs.known[run_id] is RunState.FAILURE


def _running(world: World, **values: Any) -> tuple[int, str]:  # noqa: ANN401 - any field
    """Return (execution id, run id) of a row that runs under a STARTED run."""
    batch = world.jobs.queued(**values)
    run_id = world.runs.add(batch.token, RunState.STARTED)
    started = world.jobs.start(batch, run_id=run_id)
    assert started is not None
    return started.id, run_id


def _beat(world: World, row_id: int) -> None:
    world.jobs.change(row_id, heartbeat_at=sa.func.jobu_now())


def test_a_lost_worker_costs_one_attempt(world: World) -> None:
    """No heartbeat for a lease: PENDING for the next attempt, the run reported failed."""
    row_id, run_id = _running(world, retry_backoff_seconds=100)
    world.watch(LEASE)
    row = world.jobs.row(row_id)
    assert (row.status, row.attempt, row.reason) == (Status.PENDING, 1, "worker_lost")
    assert (row.error_type, row.lease_token) == ("WorkerLost", None)
    assert 90 <= world.wait_seconds(row_id) <= 110
    assert world.runs.known[run_id] is RunState.FAILURE


def test_a_worker_lost_in_the_last_attempt_fails_the_row(world: World) -> None:
    """No attempt left: FAILED worker_lost."""
    row_id, _ = _running(world, max_attempts=1)
    world.watch(LEASE)
    row = world.jobs.row(row_id)
    assert (row.status, row.reason) == (Status.FAILED, "worker_lost")


@pytest.mark.parametrize("max_attempts", [1, 4])
def test_a_lost_worker_does_not_undo_a_cancel(world: World, max_attempts: int) -> None:
    """Asked to cancel, then its worker died: CANCELED, attempts left or not."""
    row_id, _ = _running(world, max_attempts=max_attempts)
    cancel_execution(world.jobs.engine, row_id, who="t", reason="enough")
    world.watch(LEASE)
    row = world.jobs.row(row_id)
    assert (row.status, row.reason) == (Status.CANCELED, "canceled")


def test_a_living_row_is_never_stale(world: World) -> None:
    """A heartbeat every few seconds keeps it, for as long as it takes."""
    row_id, _ = _running(world)
    for _ in range(60):
        world.wait(5)
        _beat(world, row_id)
        world.tick()
    assert world.status(row_id) is Status.RUNNING


def test_an_old_heartbeat_at_its_own_start_means_nothing(world: World) -> None:
    """A reconciler that just started waits a whole lease before it concludes."""
    row_id, _ = _running(world)
    world.wait(10_000 - 10_000 % 5)
    world.jobs.change(row_id, deadline_at=None)
    world.reconciler = world.another()
    world.tick()
    world.wait(LEASE - 1)
    world.tick()
    assert world.status(row_id) is Status.RUNNING
    world.wait(1)
    world.tick()
    assert world.status(row_id) is Status.PENDING


def test_an_outage_is_no_evidence(world: World) -> None:
    """Looks that failed count for nothing: a lease of successful ones is needed anew."""
    row_id, _ = _running(world)
    world.watch(LEASE - 5)
    world.runs.outage = StoreUnavailable("gone")
    for _ in range(4):
        world.wait(5)
        with pytest.raises(StoreUnavailable):
            world.tick()
    world.runs.outage = None
    world.tick()
    assert world.status(row_id) is Status.RUNNING
    world.watch(LEASE - 5)
    assert world.status(row_id) is Status.RUNNING
    world.watch(5)
    assert world.status(row_id) is Status.PENDING


def test_a_slow_look_makes_no_heartbeat_older(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between two reads that saw one heartbeat a lease must lie, however long a look takes."""
    row_id, _ = _running(world)
    world.watch(LEASE - 5)
    look = world.runs.states

    def slowly(run_ids: Collection[str]) -> Mapping[str, RunState]:
        world.wait(10)
        return look(run_ids)

    monkeypatch.setattr(world.runs, "states", slowly)
    world.tick()
    assert world.status(row_id) is Status.RUNNING


def test_a_reconciler_that_slept_starts_anew(world: World) -> None:
    """No look for longer than a lease: what was seen before is forgotten."""
    row_id, _ = _running(world)
    world.tick()
    world.wait(LEASE + 1)
    world.tick()
    assert world.status(row_id) is Status.RUNNING


def test_past_its_deadline_and_a_lease_a_row_times_out(world: World) -> None:
    """Should the supervisor not have ended it: TIMEOUT while its heartbeat is fresh."""
    row_id, run_id = _running(world, timeout_seconds=60, max_attempts=1)
    for _ in range(18):
        world.wait(5)
        _beat(world, row_id)
        world.tick()
    row = world.jobs.row(row_id)
    assert (row.status, row.reason) == (Status.TIMEOUT, "timeout")
    assert world.runs.known[run_id] is RunState.FAILURE


def test_a_timeout_is_retried_while_attempts_remain(world: World) -> None:
    """The same row, one attempt fewer."""
    row_id, _ = _running(world, timeout_seconds=1, max_attempts=2)
    world.wait(31)
    _beat(world, row_id)
    world.tick()
    row = world.jobs.row(row_id)
    assert (row.status, row.reason, row.deadline_at) == (Status.PENDING, "timeout", None)


def test_a_run_canceled_while_running_asks_the_supervisor(world: World) -> None:
    """The row stays RUNNING with cancel_requested_at; its worker ends it."""
    row_id, run_id = _running(world)
    world.runs.known[run_id] = RunState.CANCELED
    world.tick()
    row = world.jobs.row(row_id)
    assert row.status is Status.RUNNING
    assert row.cancel_requested_at is not None
    assert world.tick().actions["request_cancel"] == 0


@pytest.mark.parametrize("state", [RunState.SUCCESS, RunState.FAILURE])
def test_a_run_that_looks_ended_does_not_end_its_row(world: World, state: RunState) -> None:
    """A monitor's verdict on the run is not one on the row."""
    row_id, run_id = _running(world)
    world.runs.known[run_id] = state
    for _ in range(12):
        world.wait(5)
        _beat(world, row_id)
        world.tick()
    assert world.status(row_id) is Status.RUNNING


def test_the_run_that_claimed_wins_over_the_run_of_the_token(world: World) -> None:
    """A re-execution claimed the row: that the first run was canceled does not matter."""
    batch = world.jobs.queued()
    world.runs.add(batch.token, RunState.CANCELED)
    second = world.runs.add(None, RunState.STARTED)
    started = world.jobs.start(batch, run_id=second)
    assert started is not None
    world.tick()
    assert world.jobs.row(started.id).cancel_requested_at is None


@pytest.mark.parametrize("moved", ["heartbeat", "ended", "relaunched", "restarted"])
def test_a_row_that_moved_meanwhile_is_left_alone(world: World, moved: str) -> None:
    """Each UPDATE repeats status, token and heartbeat as they were read."""
    row_id, _ = _running(world)
    with transaction(world.jobs.engine) as connection:
        (read,) = reconciliation.launched_rows(connection, lease_seconds=LEASE)
    match moved:
        case "heartbeat":
            world.wait(1)
            _beat(world, row_id)
        case "ended":
            world.jobs.change(row_id, status="SUCCESS", lease_token=None)
        case "relaunched" | "restarted":
            world.jobs.change(row_id, status="PENDING", lease_token=None)
            world.jobs.worker()
            (again,) = world.jobs.claim().batches
            if moved == "restarted":
                world.jobs.start(again)
    before = world.jobs.row(row_id)
    with transaction(world.jobs.engine) as connection:
        assert not reconciliation.end_row(connection, read, Status.FAILED, reason="x")
        assert not reconciliation.request_cancel(connection, read, reason="x")
        assert not reconciliation.return_row(
            connection,
            read,
            after_seconds=1,
            reason="x",
            counted=True,
        )
    assert world.jobs.row(row_id) == before


def test_two_reconcilers_settle_a_row_once(world: World) -> None:
    """Any number may run: the second finds nothing to do."""
    batch = world.jobs.queued()
    world.wait(31)
    other = world.another()
    assert other.tick().actions["relaunch_lost"] == 1
    assert world.tick().actions["relaunch_lost"] == 0
    assert world.jobs.row(batch.execution_ids[0]).launch_count == 1


def test_rows_of_a_handler_that_is_gone_fail_after_a_grace(world: World) -> None:
    """Until then the tick's message names the handler; then FAILED handler_unknown."""
    row_id = world.jobs.add(handler_name="gone")
    assert "not registered: gone" in world.tick().message
    world.wait(299)
    world.tick()
    assert world.status(row_id) is Status.PENDING
    world.wait(1)
    assert world.tick().actions["handler_unknown"] == 1
    row = world.jobs.row(row_id)
    assert (row.status, row.reason) == (Status.FAILED, "handler_unknown")
    assert "'gone'" in (row.error_message or "")


def test_a_handler_that_comes_back_in_time_saves_its_rows(world: World) -> None:
    """The grace starts anew when the handler was registered in between."""
    row_id = world.jobs.add(handler_name="flaky")
    world.tick()
    world.wait(200)
    world.catalog.names = ("echo", "flaky")
    world.tick()
    world.catalog.names = ("echo",)
    world.wait(200)
    world.tick()
    assert world.status(row_id) is Status.PENDING


def test_an_idle_look_says_so(world: World) -> None:
    """A person who reads the tick learns that all is in order."""
    assert world.tick().message == "0 launched, all in order"
