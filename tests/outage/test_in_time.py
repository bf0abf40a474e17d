"""How long cancel, timeout and rescue take with real workers, at the default settings."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from dagster import DagsterRunStatus

from jobu_core.execution.cancel import cancel_execution
from jobu_core.models import Execution, Status
from jobu_core.services.waiting import wait_until
from jobu_core.store import workers as workers_table
from jobu_core.store.cron_jobs import read_now
from jobu_core.store.engine import transaction
from jobu_dagster.launching import claim
from jobu_dagster.private import job_code_origin, remote_job_origin
from jobu_dagster.process import process
from jobu_dagster.runs import run_config, run_tags

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime
    from pathlib import Path

    from tests.fix_worker import Carrier, Workers

pytestmark = pytest.mark.timeout(300)

_CANCEL_SECONDS = 5.0
_PAST_DEADLINE_SECONDS = 5.0
_RESCUE_SECONDS = 90.0
_QUICK_RESCUE_SECONDS = 15.0
_BETWEEN_LOOKS = 5.0
"""The carrier of these tests looks without a pause; in the stack looks are 5 s apart."""

_DEFAULTS = (
    "JOBU_WORKER__HEARTBEAT_SECONDS",
    "JOBU_WORKER__LEASE_SECONDS",
    "JOBU_WORKER__CANCEL_POLL_SECONDS",
    "JOBU_WORKER__CANCEL_GRACE_SECONDS",
    "JOBU_DISPATCHER__LAUNCH__LAUNCH_GRACE_SECONDS",
)


@pytest.fixture
def defaults(napping_project: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Return the project with the settings that are shipped; ask for it before ``carrier``."""
    for name in _DEFAULTS:
        monkeypatch.delenv(name)
    process().close()  # launcher and coordinator open the store of this project, not the last one's
    yield napping_project
    process().close()


def running(row: Execution) -> bool:
    """Whether a worker has begun the row."""
    return row.status is Status.RUNNING


def canceled_after(row: Execution) -> float:
    """Return the seconds from the request to the row's end, by the database's clock."""
    assert row.cancel_requested_at is not None
    assert row.finished_at is not None
    return (row.finished_at - row.cancel_requested_at).total_seconds()


@pytest.mark.rule(13)
@pytest.mark.parametrize("by", ["command", "dagster"])
def test_a_cancel_holds_within_five_seconds(
    defaults: Path,
    carrier: Carrier,
    workers: Workers,
    by: str,
) -> None:
    """A sleeping handler and one stuck in C code, side by side; then the pool runs the next."""
    assert defaults.exists()
    workers.start()
    rows = [carrier.insert("nap", {"seconds": 100, "stuck": stuck}) for stuck in (False, True)]
    for row_id in rows:
        begun = carrier.drive(row_id, running)
        assert begun.run_id is not None
        if by == "command":
            cancel_execution(carrier.engine, row_id, who="test", reason="enough")
        else:
            assert carrier.instance.run_coordinator.cancel_run(begun.run_id)
    for row_id in rows:
        row = carrier.drive(row_id, lambda row: row.status is Status.CANCELED)
        assert canceled_after(row) < _CANCEL_SECONDS
    for row_id in (carrier.insert("nap", {"seconds": 0}) for _ in rows):
        carrier.drive(row_id, lambda row: row.status is Status.SUCCESS)


@pytest.mark.rule(13)
def test_a_row_whose_run_waits_is_canceled_with_it(defaults: Path, carrier: Carrier) -> None:
    """Terminate in the UI while the run is in Dagster's queue: run and row are CANCELED at once."""
    assert defaults.exists()
    made = carrier.insert("nap", {"seconds": 100})
    pretend_worker(carrier)
    (batch,) = claim(carrier.process.runtime()).batches
    instance, root = carrier.instance, str(carrier.root)
    run = instance.create_run_for_job(
        carrier.gateway._job("nap"),
        run_config=run_config(batch),
        tags=run_tags(batch),
        remote_job_origin=remote_job_origin("nap", root),
        job_code_origin=job_code_origin("nap", root),
    )
    instance.submit_run(run.run_id, None)  # type: ignore[arg-type] # no workspace is needed
    assert status_of(carrier, run.run_id) is DagsterRunStatus.QUEUED
    assert instance.run_coordinator.cancel_run(run.run_id)
    assert status_of(carrier, run.run_id) is DagsterRunStatus.CANCELED
    assert carrier.row(made).status is Status.CANCELED


@pytest.mark.rule(12, 14)
def test_a_stuck_handler_is_ended_at_its_deadline(
    defaults: Path,
    carrier: Carrier,
    workers: Workers,
) -> None:
    """TIMEOUT within five seconds of the deadline; every slot works again afterwards."""
    assert defaults.exists()
    workers.start()
    stuck = {"seconds": 100, "stuck": True}
    rows = [carrier.insert("nap", stuck, timeout_seconds=3, max_attempts=1) for _ in range(2)]
    for row_id in rows:
        row = carrier.drive(row_id, lambda row: row.status is Status.TIMEOUT)
        assert row.finished_at is not None
        assert row.deadline_at is not None
        assert (row.finished_at - row.deadline_at).total_seconds() < _PAST_DEADLINE_SECONDS
    naps = [carrier.insert("nap", {"seconds": 3}) for _ in rows]
    ended = [carrier.drive(row_id, lambda row: row.status is Status.SUCCESS) for row_id in naps]
    assert ended[1].started_at is not None
    assert ended[0].finished_at is not None
    assert ended[1].started_at < ended[0].finished_at, "both slots work"


def rescue(carrier: Carrier, workers: Workers, *, backoff_seconds: int) -> float:
    """Kill -9 the worker that runs a row; return the seconds until its next attempt runs."""
    lost = workers.start()
    params = {"seconds": 600, "first_attempt_only": True}
    made = carrier.insert("nap", params, retry_backoff_seconds=backoff_seconds)
    carrier.drive(made, running)
    workers.start()
    assert wait_until(lambda: live_workers(carrier) == 2, seconds=60), "it has a place to go to"
    workers.kill(lost)
    killed_at = database_time(carrier)
    row = carrier.drive(made, lambda row: row.status is Status.SUCCESS, seconds=120)
    assert row.attempt == 2
    assert row.started_at is not None
    return (row.started_at - killed_at).total_seconds()


@pytest.mark.rule(11)
@pytest.mark.long
def test_an_orphan_runs_again_within_ninety_seconds(
    defaults: Path,
    carrier: Carrier,
    workers: Workers,
) -> None:
    """At the default settings, the pause before the next attempt included."""
    assert defaults.exists()
    assert rescue(carrier, workers, backoff_seconds=10) < _RESCUE_SECONDS - _BETWEEN_LOOKS


@pytest.fixture
def quick(defaults: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the project with the settings that docs/operations.md gives for a quick rescue."""
    monkeypatch.setenv("JOBU_WORKER__HEARTBEAT_SECONDS", "1")
    monkeypatch.setenv("JOBU_WORKER__LEASE_SECONDS", "5")
    return defaults


@pytest.mark.rule(11)
def test_an_orphan_runs_again_within_fifteen_seconds_when_configured(
    quick: Path,
    carrier: Carrier,
    workers: Workers,
) -> None:
    """A lease of five heartbeats, and no pause before the next attempt."""
    assert quick.exists()
    took = rescue(carrier, workers, backoff_seconds=0)
    assert took < _QUICK_RESCUE_SECONDS - _BETWEEN_LOOKS


def pretend_worker(carrier: Carrier) -> None:
    """Let a worker that does not exist open the window for a launch."""
    with transaction(carrier.engine) as connection:
        workers_table.beat(
            connection,
            worker_id="nobody:1",
            host="nobody",
            main_pid=1,
            slots=1,
            code_version=carrier.process.runtime().registry.code_version,
            draining=False,
        )


def live_workers(carrier: Carrier) -> int:
    """Count the workers that have said that they live."""
    with transaction(carrier.engine) as connection:
        return len(workers_table.list_workers(connection))


def status_of(carrier: Carrier, run_id: str) -> DagsterRunStatus:
    """Return the state of a run that exists."""
    run = carrier.instance.get_run_by_id(run_id)
    assert run is not None
    return run.status


def database_time(carrier: Carrier) -> datetime:
    """Return what time it is for the job store."""
    with transaction(carrier.engine) as connection:
        return read_now(connection)
