"""What a person asks for: cancel, retry, rerun, and runs started by hand (rules 13, 14, 16)."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest
import sqlalchemy as sa

from jobu_core.errors import Conflict, InvalidParams, NotFound, UnknownHandler
from jobu_core.execution.adopt import adopt_params, adopt_pending, adopt_rerun
from jobu_core.execution.cancel import cancel_execution, request_cancel_of_run
from jobu_core.execution.retry import retry_execution
from jobu_core.handlers.functions import FunctionHandler
from jobu_core.models import ParamSource, Status, Trigger
from jobu_core.store.schema import audit_log, job_executions
from tests.attempt_support import Bench, Number
from tests.launch_support import Jobs

if TYPE_CHECKING:
    from pathlib import Path

    from sqlalchemy import Engine

    from jobu_core.execution.runtime import ExecutionRuntime
    from jobu_core.handlers.base import HandlerContext
    from jobu_core.models import LaunchBatch
    from tests.fix_store_time import StoreTime


@pytest.fixture
def jobs(engine: Engine) -> Jobs:
    """Return shortcuts on a fresh job store."""
    return Jobs(engine)


def echo(_context: HandlerContext, params: Number) -> int:
    """Return the number."""
    return params.number


@pytest.fixture
def runtime(engine: Engine, tmp_path: Path) -> ExecutionRuntime:
    """Return a runtime that knows one handler, ``echo``."""
    return Bench(engine, tmp_path).runtime(FunctionHandler.wrap("echo", echo))


def test_a_waiting_row_is_canceled_at_once(jobs: Jobs, store_time: StoreTime) -> None:
    """PENDING and QUEUED end as CANCELED with reason and time; a later start finds nothing."""
    batch = jobs.queued()
    pending = jobs.add()
    for row_id in (pending, *batch.execution_ids):
        assert (
            cancel_execution(jobs.engine, row_id, who="anna", reason="mistake") is Status.CANCELED
        )
        row = jobs.row(row_id)
        assert (row.status, row.reason, row.cancel_reason) == (
            Status.CANCELED,
            "canceled",
            "mistake",
        )
        assert row.finished_at == store_time.now
        assert row.lease_token is None
    assert jobs.start(batch) is None


def test_a_running_row_is_asked_to_cancel(jobs: Jobs) -> None:
    """It stays RUNNING, owned by its attempt; the first request's reason stands."""
    started = jobs.running()
    assert cancel_execution(jobs.engine, started.id, who="a", reason="first") is Status.RUNNING
    asked = jobs.row(started.id).cancel_requested_at
    assert cancel_execution(jobs.engine, started.id, who="b", reason="second") is Status.RUNNING
    row = jobs.row(started.id)
    assert (row.cancel_requested_at, row.cancel_reason) == (asked, "first")
    assert row.lease_token == started.lease_token


@pytest.mark.parametrize("status", [Status.SUCCESS, Status.FAILED, Status.TIMEOUT, Status.CANCELED])
def test_an_ended_row_cannot_be_canceled(jobs: Jobs, status: Status) -> None:
    """Conflict that names the status; no audit row of something that did not happen."""
    started = jobs.running()
    jobs.change(started.id, status=status.value, lease_token=None)
    with pytest.raises(Conflict, match=status.value):
        cancel_execution(jobs.engine, started.id, who="a", reason="r")
    with pytest.raises(NotFound):
        cancel_execution(jobs.engine, 4711, who="a", reason="r")
    with jobs.engine.connect() as connection:
        assert connection.scalar(sa.select(sa.func.count()).select_from(audit_log)) == 0


def test_terminating_a_run_cancels_every_unfinished_row_of_it(jobs: Jobs) -> None:
    """By run id or by token: waiting ones end, running ones are asked, others are left."""
    started = jobs.running(run_id="r")
    batch = jobs.queued()
    jobs.stamp(batch, run_id="r")
    ended = jobs.running(run_id="r")
    jobs.change(ended.id, status="SUCCESS", lease_token=None)
    foreign = jobs.running(run_id="other")
    canceled = request_cancel_of_run(jobs.engine, "r", token=None, reason="terminated")
    assert canceled == {started.id: Status.RUNNING, batch.execution_ids[0]: Status.CANCELED}
    assert jobs.row(foreign.id).cancel_requested_at is None
    unstamped = jobs.queued()
    by_token = request_cancel_of_run(jobs.engine, "x", token=str(unstamped.token), reason="t")
    assert by_token == {unstamped.execution_ids[0]: Status.CANCELED}


def test_cancel_and_start_at_once_have_one_winner(jobs: Jobs) -> None:
    """Either the row is canceled and the start superseded, or it runs and is asked to stop."""
    for _ in range(20):
        batch = jobs.queued()
        begun, status = _begin_and_cancel_together(jobs, batch)
        assert begun is (status is Status.RUNNING)
        row = jobs.row(batch.execution_ids[0])
        assert row.cancel_requested_at is not None
        assert row.status is status


def _begin_and_cancel_together(jobs: Jobs, batch: LaunchBatch) -> tuple[bool, Status]:
    gate = threading.Barrier(2)

    def begin() -> bool:
        gate.wait()
        return jobs.start(batch) is not None

    def cancel() -> Status:
        gate.wait()
        return cancel_execution(jobs.engine, batch.execution_ids[0], who="a", reason="r")

    with ThreadPoolExecutor(2) as pool:
        begun, canceled = pool.submit(begin), pool.submit(cancel)
        return begun.result(), canceled.result()


@pytest.mark.parametrize("status", [Status.FAILED, Status.TIMEOUT, Status.CANCELED])
def test_a_retry_continues_the_chain(jobs: Jobs, store_time: StoreTime, status: Status) -> None:
    """A new row with the same work and limits; its root is the first of the chain."""
    first = jobs.running(
        params={"a": 1},
        scheduled_time=store_time.now,
        serial_key="cron:1",
        max_attempts=2,
        timeout_seconds=5,
        priority=3,
        param_source=ParamSource.CRON,
        trigger=Trigger.SCHEDULE,
        dedupe_key="cron:1:x",
    )
    jobs.change(first.id, status=status.value, lease_token=None)
    second = jobs.row(retry_execution(jobs.engine, first.id, who="a"))
    same = ("params", "scheduled_time", "serial_key", "max_attempts", "timeout_seconds")
    for name in (*same, "priority", "param_source", "handler_name"):
        assert getattr(second, name) == getattr(first, name)
    assert (second.status, second.trigger, second.attempt) == (Status.PENDING, Trigger.RETRY, 0)
    assert (second.root_execution_id, second.dedupe_key) == (first.id, None)
    jobs.change(second.id, status="CANCELED")
    third = jobs.row(retry_execution(jobs.engine, second.id, who="a"))
    assert third.root_execution_id == first.id


def test_a_rerun_of_a_success_is_a_new_root(jobs: Jobs) -> None:
    """Its loads are loads of their own."""
    first = jobs.running()
    jobs.change(first.id, status="SUCCESS", lease_token=None)
    second = jobs.row(retry_execution(jobs.engine, first.id, who="a"))
    assert (second.trigger, second.root_execution_id) == (Trigger.MANUAL, None)


def test_only_an_ended_row_can_be_retried(jobs: Jobs) -> None:
    """While it may still run by itself, a second one would do the work twice."""
    for row_id in (jobs.running().id, *jobs.queued().execution_ids, jobs.add()):
        with pytest.raises(Conflict, match="only an ended one"):
            retry_execution(jobs.engine, row_id, who="a")
    with pytest.raises(NotFound):
        retry_execution(jobs.engine, 4711, who="a")
    with jobs.engine.connect() as connection:
        counted = sa.select(sa.func.count()).select_from(job_executions)
        assert connection.scalar(counted) == 3


def test_a_re_executed_run_makes_its_retry_once(jobs: Jobs, runtime: ExecutionRuntime) -> None:
    """However often the run is executed: one new row, launched under the run's own id."""
    failed = jobs.running()
    jobs.change(failed.id, status="FAILED", lease_token=None)
    run_id = str(uuid4())
    made = adopt_rerun(runtime, failed.id, run_id)
    assert adopt_rerun(runtime, failed.id, run_id) == made
    row = jobs.row(made)
    assert (row.status, row.trigger, row.root_execution_id) == (
        Status.QUEUED,
        Trigger.RETRY,
        failed.id,
    )
    assert str(row.lease_token) == run_id


def test_re_executing_what_still_runs_is_refused(jobs: Jobs, runtime: ExecutionRuntime) -> None:
    """Conflict, and no row is left behind."""
    started = jobs.running()
    with pytest.raises(Conflict):
        adopt_rerun(runtime, started.id, str(uuid4()))
    assert jobs.count("PENDING") == 0


def test_a_run_by_hand_does_not_overtake_its_serial_key(
    jobs: Jobs,
    runtime: ExecutionRuntime,
) -> None:
    """While another of the key runs, it is refused and leaves no row behind."""
    failed = jobs.running(serial_key="k")
    jobs.change(failed.id, status="FAILED", lease_token=None)
    jobs.running(serial_key="k")
    with pytest.raises(Conflict, match="another one"):
        adopt_rerun(runtime, failed.id, str(uuid4()))
    assert jobs.count("PENDING") == 0


def test_launchpad_params_become_a_manual_row_once(jobs: Jobs, runtime: ExecutionRuntime) -> None:
    """Checked against the handler, with the limits of worker.yaml."""
    run_id = str(uuid4())
    made = adopt_params(runtime, "echo", {"number": 5}, run_id)
    assert adopt_params(runtime, "echo", {"number": 5}, run_id) == made
    row = jobs.row(made)
    assert (row.status, row.trigger, row.params) == (Status.QUEUED, Trigger.MANUAL, {"number": 5})
    assert (row.max_attempts, row.timeout_seconds) == (4, 3600)
    with pytest.raises(InvalidParams):
        adopt_params(runtime, "echo", {"number": "many"}, str(uuid4()))
    with pytest.raises(UnknownHandler):
        adopt_params(runtime, "ecko", {}, str(uuid4()))


def test_a_waiting_row_is_adopted_by_one_run_only(jobs: Jobs, runtime: ExecutionRuntime) -> None:
    """The second run to ask is told that it cannot start."""
    waiting = jobs.add()
    assert adopt_pending(runtime, waiting, str(uuid4())) == waiting
    with pytest.raises(Conflict):
        adopt_pending(runtime, waiting, str(uuid4()))
