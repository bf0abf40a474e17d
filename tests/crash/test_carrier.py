"""A dispatcher, code server or web server that dies between Dagster's writes and ours."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest
from dagster import DagsterRunStatus, RunsFilter

from jobu_core.dispatcher.cron.edit import add_job
from jobu_core.models import Execution, LaunchBatch, ParamSource, Status
from jobu_core.store.engine import transaction
from jobu_core.store.executions import list_executions
from jobu_dagster.jobs import build_job
from jobu_dagster.launching import claim
from jobu_dagster.private import remote_job_origin
from jobu_dagster.runs import run_tags
from tests.crash.audit import audit
from tests.crash.carrying import cancel_queued, launch, prune, run_by_hand, terminate, tick
from tests.crash.cases import Case
from tests.crash.children import die
from tests.launch_support import Jobs

if TYPE_CHECKING:
    from pathlib import Path

    from tests.fix_worker import Carrier, Workers

pytestmark = pytest.mark.timeout(180)


@pytest.fixture
def impatient(napping_project: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a project whose launches count as lost soon, and may be many."""
    monkeypatch.setenv("JOBU_DISPATCHER__LAUNCH__LAUNCH_GRACE_SECONDS", "2")
    monkeypatch.setenv("JOBU_DISPATCHER__LAUNCH__AHEAD", "20")
    monkeypatch.setenv("JOBU_DISPATCHER__LAUNCH__MAX_BATCH", "1")
    return napping_project


def ended(row: Execution) -> bool:
    """Whether the row has ended well."""
    return row.status is Status.SUCCESS


LAUNCHES = (
    Case("launch.run_created", (6, 9, 11)),
    Case("launcher.run_starting", (6, 9, 11)),
    Case("launcher.task_sent", (6, 9, 11)),
    Case("launch.run_launched", (6, 9, 11)),
)
TICK = Case("launching.rows_claimed", (6, 9, 11))


def test_a_launch_that_dies_is_launched_again(
    impatient: Path,
    carrier: Carrier,
    workers: Workers,
) -> None:
    """Between claim, run, task and answer: each row is executed once, by one run."""
    workers.start()
    warm = carrier.insert("nap", {"seconds": 0})
    carrier.drive(warm, ended)
    rows = []
    for case in LAUNCHES:
        rows.append(carrier.insert("nap", {"seconds": 0}))
        die(case, launch, dict(os.environ), impatient)
    rows.append(carrier.insert("nap", {"seconds": 0}))
    die(TICK, tick, dict(os.environ))
    for row in rows:
        assert carrier.drive(row, ended).attempt == 1
    audit(carrier.engine)
    succeeded = RunsFilter(statuses=[DagsterRunStatus.SUCCESS])
    carrier.drive(
        warm,
        lambda _row: len(carrier.instance.get_runs(succeeded)) == len(rows) + 1,
        seconds=15,
    )


TERMINATIONS = (
    Case("terminate.run_canceling", (11, 13)),
    Case("cancel_run.rows_changed", (11, 13)),
    Case("cancel_run.committed", (11, 13)),
)


def test_a_terminate_that_dies_ends_the_run_all_the_same(
    impatient: Path,
    carrier: Carrier,
    workers: Workers,
) -> None:
    """Its run is CANCELING; Dagster's monitor cancels that, and the row follows its run."""
    workers.start()
    for case in TERMINATIONS:
        row = carrier.drive(
            carrier.insert("nap", {"seconds": 100}),
            lambda row: row.status is Status.RUNNING,
        )
        assert row.run_id is not None
        die(case, terminate, dict(os.environ), impatient, row.run_id)
        run = carrier.instance.get_run_by_id(row.run_id)
        assert run is not None
        if case.point != "cancel_run.committed":
            assert run.status is DagsterRunStatus.CANCELING
            carrier.instance.report_run_canceled(run)  # as the monitor does after cancel_timeout
        carrier.drive(row.id, lambda row: row.status is Status.CANCELED, seconds=20)
    audit(carrier.engine)


def test_a_run_without_rows_is_canceled_once(impatient: Path, carrier: Carrier) -> None:
    """The web server died right after it had said so; asked again, it is over."""
    batch = LaunchBatch(uuid4(), "sample_handler", (1,), ParamSource.EVENT)
    run_id = carrier.gateway.launch(batch)
    case = Case("terminate.run_canceled", (13,))
    die(case, terminate, dict(os.environ), impatient, run_id)
    run = carrier.instance.get_run_by_id(run_id)
    assert run is not None
    assert run.status is DagsterRunStatus.CANCELED
    assert not carrier.instance.run_launcher.terminate(run_id)


def test_a_queued_run_that_was_canceled_takes_its_rows_along(
    impatient: Path,
    carrier: Carrier,
) -> None:
    """The web server died between the run and its rows: the reconciler cancels them."""
    runtime = carrier.process.runtime()
    Jobs(carrier.engine).worker(code_version=runtime.registry.code_version)
    row = carrier.insert("nap", {"seconds": 0})
    (batch,) = claim(runtime).batches
    made = carrier.instance.create_run_for_job(
        build_job(runtime.registry.get("nap")),
        run_id=str(batch.token),
        tags=run_tags(batch),
        status=DagsterRunStatus.QUEUED,
        remote_job_origin=remote_job_origin("nap", str(impatient)),
    )
    case = Case("coordinator.run_canceled", (11, 13))
    die(case, cancel_queued, dict(os.environ), impatient, made.run_id)
    assert carrier.row(row).status is Status.QUEUED
    carrier.process.reconciler(carrier.instance).tick()
    assert carrier.row(row).status is Status.CANCELED
    audit(carrier.engine)


def test_a_row_made_by_hand_is_executed_though_its_run_is_lost(
    impatient: Path,
    carrier: Carrier,
    workers: Workers,
) -> None:
    """A Launchpad run of a cron job died between making the row and launching it."""
    registry = carrier.process.runtime().registry
    job = {
        "name": "nightly",
        "cron_expression": "0 3 * * *",
        "handler_name": "sample_handler",
    }
    settings = carrier.process.runtime().settings.dispatcher
    add_job(carrier.engine, registry, settings, job, who="test")
    case = Case("by_hand.cron_row_inserted", (16,))
    die(case, run_by_hand, dict(os.environ), impatient, {"cron": "nightly"})
    with transaction(carrier.engine) as connection:
        (row,) = list_executions(connection)
    assert row.status is Status.PENDING
    workers.start()
    carrier.drive(row.id, ended)
    audit(carrier.engine)


PRUNES = (Case("prune.events_deleted", (19,)), Case("prune.run_deleted", (19,)))


@pytest.mark.parametrize("case", PRUNES, ids=lambda case: case.point)
def test_a_prune_of_runs_that_dies_leaves_no_event_without_its_run(
    impatient: Path, carrier: Carrier, case: Case
) -> None:
    """Run again, it finds the run whose events are gone, and takes the others too."""
    job = build_job(carrier.process.runtime().registry.get("sample_handler"))
    runs = [carrier.instance.create_run_for_job(job) for _ in range(3)]
    for run in runs:
        carrier.instance.report_run_canceled(run)
    die(case, prune, dict(os.environ), impatient)
    eventful = [run for run in runs if carrier.instance.all_logs(run.run_id)]
    assert len(eventful) == 2
    known = {run.run_id for run in carrier.instance.get_runs()}
    assert known >= {run.run_id for run in eventful}
    prune(dict(os.environ), impatient)
    assert carrier.instance.get_runs() == []
    assert not any(carrier.instance.all_logs(run.run_id) for run in runs)
