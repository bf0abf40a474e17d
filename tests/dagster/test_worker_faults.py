"""Real workers, really killed, stuck and canceled: the rows tell the truth and go on."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING

import psutil
import pytest
from dagster import DagsterRunStatus

from jobu_core.execution.cancel import cancel_execution
from jobu_core.models import Execution, Status

if TYPE_CHECKING:
    from pathlib import Path

    from tests.fix_worker import Carrier, Workers

pytestmark = pytest.mark.timeout(180)


def running(row: Execution) -> bool:
    """Whether a worker has begun the row."""
    return row.status is Status.RUNNING


def succeeded(row: Execution) -> bool:
    """Whether the row has ended well."""
    return row.status is Status.SUCCESS


def run_status(carrier: Carrier, run_id: str | None) -> DagsterRunStatus:
    """Return the state of a run that exists."""
    assert run_id is not None
    run = carrier.instance.get_run_by_id(run_id)
    assert run is not None
    return run.status


def test_killed_worker_loses_nothing(carrier: Carrier, workers: Workers, tmp_path: Path) -> None:
    """Kill -9 of main process and children: another worker runs the row again, once."""
    marks = tmp_path / "marks"
    first = workers.start()
    params = {"seconds": 60, "first_attempt_only": True, "marks": str(marks)}
    made = carrier.insert("nap", params, retry_backoff_seconds=0)
    lost = carrier.drive(made, lambda row: running(row) and marks.exists())
    workers.kill(first)
    workers.start()
    row = carrier.drive(made, succeeded)
    assert row.attempt == 2
    assert marks.read_text().splitlines() == [f"{made}:1", f"{made}:2"]
    assert run_status(carrier, lost.run_id) is DagsterRunStatus.FAILURE
    carrier.drive(
        made,
        lambda row: run_status(carrier, row.run_id) is DagsterRunStatus.SUCCESS,
        seconds=15,
    )


def test_killed_child_is_noticed_by_its_supervisor(carrier: Carrier, workers: Workers) -> None:
    """Kill -9 of the one child that runs it: worker_lost at once, next attempt in the same pool."""
    worker = workers.start()
    params = {"seconds": 60, "first_attempt_only": True}
    made = carrier.insert("nap", params, retry_backoff_seconds=0)
    carrier.drive(made, running)
    children = psutil.Process(worker.pid).children()
    for child in children:
        os.kill(child.pid, signal.SIGKILL)
    row = carrier.drive(made, succeeded)
    assert row.attempt == 2
    assert worker.poll() is None


@pytest.mark.parametrize("stuck", [False, True])
def test_cancel_ends_a_running_handler(carrier: Carrier, workers: Workers, *, stuck: bool) -> None:
    """Also one that holds the GIL in C code; the pool goes on with the next row."""
    workers.start()
    made = carrier.insert("nap", {"seconds": 100, "stuck": stuck})
    row = carrier.drive(made, running)
    assert cancel_execution(carrier.engine, made, who="test", reason="enough") is Status.RUNNING
    ended = carrier.drive(made, lambda row: row.status is Status.CANCELED, seconds=15)
    assert ended.cancel_reason == "enough"
    next_one = carrier.insert("nap", {"seconds": 0})
    carrier.drive(next_one, succeeded)
    assert run_status(carrier, row.run_id) is DagsterRunStatus.CANCELED


def test_terminate_in_dagster_cancels_the_execution(carrier: Carrier, workers: Workers) -> None:
    """The launcher's terminate (what the UI calls) ends run and row as CANCELED."""
    workers.start()
    made = carrier.insert("nap", {"seconds": 100, "stuck": True})
    row = carrier.drive(made, running)
    assert row.run_id is not None
    assert carrier.instance.run_launcher.terminate(row.run_id)
    carrier.drive(made, lambda row: row.status is Status.CANCELED, seconds=15)
    carrier.drive(
        made,
        lambda row: run_status(carrier, row.run_id) is DagsterRunStatus.CANCELED,
        seconds=15,
    )


def test_a_stuck_handler_meets_its_deadline(carrier: Carrier, workers: Workers) -> None:
    """TIMEOUT is written and the process ended without the handler's help."""
    workers.start()
    params = {"seconds": 100, "stuck": True}
    made = carrier.insert("nap", params, timeout_seconds=2, max_attempts=1)
    row = carrier.drive(made, lambda row: row.status is Status.TIMEOUT)
    assert row.error_type == "Timeout"
    assert row.finished_at is not None
    assert row.started_at is not None
    assert (row.finished_at - row.started_at).total_seconds() < 7


def test_planned_shutdown_gives_the_attempt_back(carrier: Carrier, workers: Workers) -> None:
    """SIGTERM to a worker returns its running row, uncounted, for the next worker."""
    worker = workers.start()
    made = carrier.insert("nap", {"seconds": 30})
    carrier.drive(made, running)
    worker.terminate()
    worker.wait(timeout=20)
    row = carrier.row(made)
    assert row.status is Status.PENDING
    assert row.reason == "worker_shutdown"
    assert row.attempt == 0


def test_attempts_end(carrier: Carrier, workers: Workers) -> None:
    """A handler that always asks for another try is FAILED after max_attempts."""
    workers.start()
    made = carrier.insert("never", {}, max_attempts=3, retry_backoff_seconds=0)
    row = carrier.drive(made, lambda row: row.status is Status.FAILED)
    assert row.attempt == 3
    assert row.reason == "retry"
