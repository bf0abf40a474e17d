"""The supervisor on real rows and real child processes: one pass at a time (rules 12, 13, 14)."""

from __future__ import annotations

import signal
import threading
from typing import TYPE_CHECKING

import pytest
import sqlalchemy as sa

from jobu_core.clock import SystemClock
from jobu_core.config import WorkerSettings
from jobu_core.errors import StoreUnavailable
from jobu_core.execution.cancel import cancel_execution
from jobu_core.execution.supervisor import ActiveTask
from jobu_core.models import Status
from jobu_core.runs import RunState
from jobu_core.store import transitions, workers
from jobu_core.store.engine import transaction
from jobu_core.store.schema import job_executions
from tests.launch_support import VERSION, WORKER, fence_of

if TYPE_CHECKING:
    import subprocess

    from tests.fix_host import Host


def killed(child: subprocess.Popen[bytes]) -> bool:
    """Wait for the end of a child that should have been killed."""
    return child.wait(timeout=10) == -signal.SIGKILL


def test_it_keeps_the_workers_row(host: Host) -> None:
    """The first pass adds it, later ones renew it, not more often than configured."""
    host.supervisor.step()
    with transaction(host.jobs.engine) as connection:
        (worker,) = workers.list_workers(connection)
    assert (worker.id, worker.slots, worker.code_version) == (WORKER, 2, VERSION)
    host.wait(4)
    host.supervisor.step()
    with transaction(host.jobs.engine) as connection:
        assert workers.list_workers(connection) == [worker]
    host.wait(1)
    host.supervisor.step()
    with transaction(host.jobs.engine) as connection:
        (renewed,) = workers.list_workers(connection)
    assert renewed.heartbeat_at == host.now.now
    assert renewed.started_at == worker.started_at


def test_it_renews_only_what_a_live_child_has(host: Host) -> None:
    """A row whose run no child has, or another worker's row, gets no heartbeat from here."""
    held, _ = host.executing()
    foreign = host.jobs.running(worker_id="elsewhere:9", run_id="other")
    gone = host.jobs.running(run_id="nobody")
    host.wait(5)
    host.supervisor.step()
    assert host.jobs.row(held.id).heartbeat_at == host.now.now
    assert host.jobs.row(foreign.id).heartbeat_at == foreign.heartbeat_at
    assert host.jobs.row(gone.id).heartbeat_at == gone.heartbeat_at


def test_it_renews_a_launch_that_a_child_is_loading(host: Host) -> None:
    """Stamped but not begun: its heartbeat tells the reconciler that it is in hand."""
    batch = host.jobs.queued()
    host.jobs.stamp(batch, run_id="r")
    host.tasks.append(ActiveTask("r", host.child().pid))
    host.wait(5)
    host.supervisor.step()
    assert host.jobs.row(batch.execution_ids[0]).heartbeat_at == host.now.now


def test_a_passed_deadline_is_written_before_the_kill(host: Host) -> None:
    """Fenced TIMEOUT first: what is killed no longer owns its row."""
    row, child = host.executing(timeout_seconds=60, max_attempts=1)
    seen: list[Status] = []

    def kill(pid: int, number: int) -> None:
        seen.append(host.jobs.row(row.id).status)
        host.kill(pid, number)

    host.supervisor.kill = kill
    host.wait(59)
    host.supervisor.step()
    assert not host.kills
    host.wait(1)
    host.supervisor.step()
    assert seen == [Status.TIMEOUT]
    assert killed(child)
    assert host.run_state(row) is RunState.FAILURE
    assert host.jobs.row(row.id).error_type == "Timeout"


def test_a_timeout_is_retried_while_attempts_remain(host: Host) -> None:
    """The same row waits for its next attempt."""
    row, child = host.executing(timeout_seconds=1, max_attempts=2, retry_backoff_seconds=100)
    host.wait(1)
    host.supervisor.step()
    after = host.jobs.row(row.id)
    assert (after.status, after.reason, after.attempt) == (Status.PENDING, "timeout", 1)
    assert after.next_attempt_at is not None
    assert 90 <= (after.next_attempt_at - host.now.now).total_seconds() <= 110
    assert killed(child)


@pytest.mark.parametrize("end", ["deadline", "cancel"])
def test_a_row_that_ended_by_itself_is_not_killed(host: Host, end: str) -> None:
    """Between the read and the write the child finished: the fence refuses, nobody is hit."""
    row, child = host.executing(timeout_seconds=1)
    if end == "cancel":
        host.jobs.change(row.id, timeout_seconds=3600, deadline_at=None)
        cancel_execution(host.jobs.engine, row.id, who="t", reason="r")
        host.supervisor.step()
        host.kills.clear()
    host.wait(5)
    first_look = list(host.tasks)
    calls = {"count": 0}

    def tasks_around_the_end() -> list[ActiveTask]:
        calls["count"] += 1
        if calls["count"] == 2:
            with transaction(host.jobs.engine) as connection:
                transitions.finish(connection, fence_of(row), Status.SUCCESS)
        return first_look

    host.supervisor.tasks = tasks_around_the_end
    host.supervisor.step()
    assert host.jobs.row(row.id).status is Status.SUCCESS
    assert host.kills == []
    assert child.poll() is None


def test_a_cancel_is_a_hint_then_a_write_then_a_kill(host: Host) -> None:
    """SIGINT and a grace for the handler; then CANCELED is written and the child killed."""
    row, child = host.executing()
    cancel_execution(host.jobs.engine, row.id, who="t", reason="enough")
    host.supervisor.step()
    assert host.kills == [(child.pid, signal.SIGINT)]
    assert host.run_state(row) is RunState.CANCELING
    host.wait(1.9)
    host.supervisor.step()
    assert host.jobs.row(row.id).status is Status.RUNNING
    assert len(host.kills) == 1
    host.wait(0.1)
    host.supervisor.step()
    assert killed(child)
    after = host.jobs.row(row.id)
    assert (after.status, after.reason, after.cancel_reason) == (
        Status.CANCELED,
        "canceled",
        "enough",
    )
    assert host.run_state(row) is RunState.CANCELED


def test_a_child_that_went_on_to_another_run_gets_no_hint(host: Host) -> None:
    """Between the look and the signal the run ended: its child is left in peace."""
    row, child = host.executing()
    cancel_execution(host.jobs.engine, row.id, who="t", reason="enough")
    glances = [list(host.tasks), list(host.tasks), [ActiveTask("next", child.pid)]]
    host.supervisor.tasks = lambda: glances.pop(0)
    host.supervisor.step()
    assert host.kills == []
    assert glances == []


def test_a_lost_child_costs_an_attempt_at_the_second_look(host: Host) -> None:
    """No child has the run: it may be ending, so one look more; then worker_lost."""
    row, child = host.executing()
    untouched, _ = host.executing()
    child.kill()
    host.tasks = [task for task in host.tasks if task.run_id != row.run_id]
    host.supervisor.step()
    assert host.jobs.row(row.id).status is Status.RUNNING
    host.wait(1)
    host.supervisor.step()
    after = host.jobs.row(row.id)
    assert (after.status, after.reason) == (Status.PENDING, "worker_lost")
    assert host.run_state(row) is RunState.FAILURE
    assert host.jobs.row(untouched.id).status is Status.RUNNING


def test_a_run_that_appears_between_two_looks_is_not_lost(host: Host) -> None:
    """Celery may name the child a moment after the child began: the count starts over."""
    row, _ = host.executing()
    known, host.tasks = host.tasks, []
    host.supervisor.step()
    host.tasks = known
    host.wait(1)
    host.supervisor.step()
    host.tasks = []
    host.wait(1)
    host.supervisor.step()
    assert host.jobs.row(row.id).status is Status.RUNNING


def test_a_run_that_appears_during_a_look_is_in_hand(host: Host) -> None:
    """Celery named the child after the first glance and before the rows were read."""
    row, _ = host.executing()
    glances = [[], list(host.tasks)] * 3
    host.supervisor.tasks = lambda: glances.pop(0)
    for _ in range(3):
        host.supervisor.step()
        host.wait(1)
    assert host.jobs.row(row.id).status is Status.RUNNING


def test_a_child_lost_in_the_last_attempt_fails_the_row(host: Host) -> None:
    """FAILED worker_lost, at once and not after a lease."""
    row = host.jobs.running(max_attempts=1)
    host.supervisor.step()
    host.wait(1)
    host.supervisor.step()
    after = host.jobs.row(row.id)
    assert (after.status, after.reason) == (Status.FAILED, "worker_lost")


def test_a_cancel_wins_over_a_lost_child(host: Host) -> None:
    """Asked to cancel, then the child died of it, in its last attempt: CANCELED."""
    row = host.jobs.running(max_attempts=1)
    cancel_execution(host.jobs.engine, row.id, who="t", reason="r")
    host.supervisor.step()
    host.wait(1)
    host.supervisor.step()
    assert host.jobs.row(row.id).status is Status.CANCELED


def test_unstarted_siblings_of_a_killed_child_return_uncounted(host: Host) -> None:
    """Rows of the same launch that had not begun wait again, no launch or attempt lost."""
    row, child = host.executing(timeout_seconds=1)
    sibling = host.jobs.add()
    host.jobs.change(sibling, status="QUEUED", lease_token=row.lease_token, launch_count=2)
    host.wait(1)
    host.supervisor.step()
    assert killed(child)
    after = host.jobs.row(sibling)
    assert (after.status, after.launch_count, after.attempt) == (Status.PENDING, 2, 0)
    assert after.lease_token is None


def test_a_run_with_waiting_rows_is_not_seen_as_canceling(host: Host) -> None:
    """Or the reconciler would cancel them with the one that was meant (rule 13)."""
    row, child = host.executing()
    sibling = host.jobs.add()
    host.jobs.change(sibling, status="QUEUED", lease_token=row.lease_token)
    cancel_execution(host.jobs.engine, row.id, who="t", reason="r")
    host.supervisor.step()
    assert host.kills == [(child.pid, signal.SIGINT)]
    assert host.run_state(row) is RunState.STARTED
    host.wait(2)
    host.supervisor.step()
    assert killed(child)
    assert host.jobs.row(row.id).status is Status.CANCELED
    assert host.jobs.row(sibling).status is Status.PENDING
    assert host.run_state(row) is RunState.CANCELED


def test_one_look_at_two_rows_of_a_run_is_one_look(host: Host) -> None:
    """Also on a clock that moves meanwhile: the run may be ending, so nothing is lost yet."""
    host.supervisor.clock = SystemClock()
    row = host.jobs.running(run_id="gone")
    sibling = host.jobs.add()
    same = {"lease_token": row.lease_token, "run_id": "gone", "worker_id": WORKER}
    host.jobs.change(sibling, status="QUEUED", **same)
    host.supervisor.step()
    assert host.jobs.row(sibling).status is Status.QUEUED
    host.supervisor.step()
    assert host.jobs.row(sibling).status is Status.PENDING


def test_what_dagster_could_not_be_told_is_told_later(host: Host) -> None:
    """The row comes first; the run's end is reported when its store answers again."""
    row, child = host.executing(timeout_seconds=1, max_attempts=1)
    host.wait(1)
    host.runs.outage = StoreUnavailable("gone")
    with pytest.raises(StoreUnavailable):
        host.supervisor.step()
    assert killed(child)
    assert host.jobs.row(row.id).status is Status.TIMEOUT
    host.runs.outage = None
    host.tasks.clear()
    host.supervisor.step()
    assert host.run_state(row) is RunState.FAILURE


def test_a_planned_shutdown_hands_everything_back(host: Host) -> None:
    """Running rows return uncounted, waiting ones too; children end; the worker is forgotten."""
    row, child = host.executing()
    waiting = host.jobs.queued()
    host.jobs.stamp(waiting, run_id="w")
    host.supervisor.step()
    assert host.supervisor.hand_back() == 2
    assert killed(child)
    after = host.jobs.row(row.id)
    assert (after.status, after.reason, after.attempt) == (Status.PENDING, "worker_shutdown", 0)
    assert host.jobs.row(waiting.execution_ids[0]).status is Status.PENDING
    with transaction(host.jobs.engine) as connection:
        assert workers.list_workers(connection) == []


def test_a_shutdown_overtakes_a_look_that_hangs(
    host: Host,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The shutdown waits only so long for the thread; what both report ends neither."""
    row, child = host.executing()
    report, told = host.runs.report_failed, []

    def hanging(run_id: str, message: str) -> None:
        told.append(run_id)
        if len(told) == 1:
            host.supervisor.hand_back()
        report(run_id, message)

    monkeypatch.setattr(host.runs, "report_failed", hanging)
    host.jobs.change(row.id, deadline_at=host.now.now)
    host.supervisor.step()
    assert killed(child)
    assert len(told) == 2
    assert host.supervisor._to_report == []


def test_a_shutdown_does_not_undo_a_cancel(host: Host) -> None:
    """A row that was asked to cancel is not handed back but CANCELED."""
    row, child = host.executing()
    cancel_execution(host.jobs.engine, row.id, who="t", reason="r")
    host.supervisor.hand_back()
    assert killed(child)
    assert host.jobs.row(row.id).status is Status.CANCELED


def test_it_drains_when_launches_are_made_for_other_code(host: Host) -> None:
    """The launcher's version is in the store; before the first launch nothing is concluded."""
    assert not host.supervisor.should_drain()
    host.jobs.claim()
    assert not host.supervisor.should_drain()
    with transaction(host.jobs.engine) as connection:
        workers.publish_code_version(connection, "v2")
    assert host.supervisor.should_drain()


def test_it_says_at_once_that_it_drains(host: Host) -> None:
    """Launchers must not count its slots until the next heartbeat is due."""
    host.supervisor.step()
    host.supervisor.draining = True
    host.supervisor.step()
    with transaction(host.jobs.engine) as connection:
        assert workers.is_draining(connection, WORKER)
        assert not workers.is_draining(connection, "unknown")


def test_outages_are_waited_out_and_anything_else_escapes(host: Host) -> None:
    """A store that is away does not end the loop; a bug does, and with it the main process."""
    faults: list[Exception] = [StoreUnavailable("away"), RuntimeError("a bug")]
    host.supervisor.settings = WorkerSettings(cancel_poll_seconds=0.001)

    def tasks() -> list[ActiveTask]:
        raise faults.pop(0)

    host.supervisor.tasks = tasks
    with pytest.raises(RuntimeError, match="a bug"):
        host.supervisor.run_forever(threading.Event())
    assert faults == []


def test_it_stops_when_told(host: Host) -> None:
    """A set event ends the loop before the next pass."""
    stop = threading.Event()
    stop.set()
    host.supervisor.run_forever(stop)
    with host.jobs.engine.connect() as connection:
        assert connection.scalar(sa.select(sa.func.count()).select_from(job_executions)) == 0
