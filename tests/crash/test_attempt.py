"""A worker's child that dies between two writes of an attempt: another one does the work, once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from jobu_core.models import Status
from tests.crash.audit import audit, audit_loads
from tests.crash.cases import Case
from tests.crash.children import die
from tests.crash.site import FIRST_WORKER, execute, execute_slowly
from tests.fix_aftermath import LOAD, SECOND_WORKER
from tests.load_bench import wait_until

if TYPE_CHECKING:
    from pathlib import Path

    from tests.fix_aftermath import Aftermath


@dataclass(frozen=True)
class AttemptCase(Case):
    """A death, and how many attempts the row then needs."""

    attempts: int = 2
    handler: str = "db_loader"


ATTEMPTS = (
    AttemptCase("stamp.rows_written", (9, 10, 11), attempts=1),
    AttemptCase("stamp.committed", (10, 11), attempts=1),
    AttemptCase("claim.row_started", (10, 11, 14), attempts=1),
    AttemptCase("claim.committed", (11, 14)),
    AttemptCase("progress.row_written", (10, 11), handler="telling"),
    AttemptCase("progress.committed", (10, 11), handler="telling"),
    AttemptCase("attempt.work_ended", (11, 14)),
    AttemptCase("retry.row_written", (14,), handler="second_time"),
    AttemptCase("finish.row_written", (11, 14)),
    AttemptCase("finish.committed", (10,), attempts=1),
    AttemptCase("finish.folder_removed", (10,), attempts=1),
)


@pytest.mark.parametrize("case", ATTEMPTS, ids=lambda case: case.point)
def test_an_attempt_that_dies_is_made_again(aftermath: Aftermath, case: AttemptCase) -> None:
    """One SUCCESS per row, its rows in the table once; the death counts where it began."""
    aftermath.load_target()
    batch = aftermath.launched(case.handler, params=LOAD if case.handler == "db_loader" else {})
    die(case, execute, aftermath.site, batch)
    aftermath.settle()
    (row,) = aftermath.rows(batch)
    assert (row.status, row.attempt) == (Status.SUCCESS, case.attempts)
    audit(aftermath.runtime.engine)
    if case.handler == "db_loader":
        audit_loads(aftermath.site.url, "public.items")
        assert aftermath.target.count("items") == 10


BATCHES = (
    AttemptCase("claim.committed", (10, 11, 15)),
    AttemptCase("finish.committed", (10, 11, 15), attempts=1),
    AttemptCase("claim.row_started", (10, 11, 15), visit=2, attempts=1),
    AttemptCase("claim.committed", (10, 11, 15), visit=2, attempts=1),
)


@pytest.mark.parametrize("case", BATCHES, ids=lambda case: f"{case.point}-{case.visit}")
def test_a_launch_of_several_rows_that_dies_loses_none(
    aftermath: Aftermath,
    case: AttemptCase,
) -> None:
    """Each row is one SUCCESS with one load; a death counts for the row that ran, no other."""
    aftermath.load_target()
    batch = aftermath.launched("db_loader", rows=3, params=LOAD)
    die(case, execute, aftermath.site, batch)
    aftermath.settle()
    rows = aftermath.rows(batch)
    assert [row.status for row in rows] == [Status.SUCCESS] * 3
    died = case.visit if case.point == "claim.committed" else 0
    assert [row.attempt for row in rows] == [2 if place == died else 1 for place in (1, 2, 3)]
    audit(aftermath.runtime.engine)
    audit_loads(aftermath.site.url, "public.items")
    assert aftermath.target.count("items") == 30


def test_a_launch_given_back_by_a_draining_worker_is_not_lost(aftermath: Aftermath) -> None:
    """It died while it gave the rows back; they are launched again and nothing is counted."""
    batch = aftermath.launched(rows=2)
    version = aftermath.runtime.registry.code_version
    aftermath.jobs.worker(FIRST_WORKER, code_version=version, draining=True)
    die(Case("claim.launch_given_back", (11, 17)), execute, aftermath.site, batch)
    aftermath.settle()
    for row in aftermath.rows(batch):
        assert (row.status, row.attempt) == (Status.SUCCESS, 1)
    audit(aftermath.runtime.engine)


def test_a_long_launch_that_dies_giving_rows_back_loses_none(aftermath: Aftermath) -> None:
    """What took its time had ended; what was to go back to others goes back."""
    batch = aftermath.launched(rows=3)
    die(Case("batch.rows_given_back", (11, 15)), execute_slowly, aftermath.site, batch)
    aftermath.settle()
    for row in aftermath.rows(batch):
        assert (row.status, row.attempt) == (Status.SUCCESS, 1)
    audit(aftermath.runtime.engine)


@pytest.mark.rule(10)
def test_an_attempt_that_was_given_up_writes_nothing_and_ends(
    aftermath: Aftermath,
    tmp_path: Path,
) -> None:
    """Its late finish is refused while the next attempt runs; its process exits at once."""
    begun, go = tmp_path / "begun", tmp_path / "go"
    params = {"begun": str(begun), "go": str(go)}
    batch = aftermath.launched("waiting", params=params, retry_backoff_seconds=0)
    late = aftermath.child(execute, aftermath.site, batch)
    wait_until(begun.exists)
    aftermath.reconciler.tick()
    aftermath.wait(aftermath.runtime.settings.worker.lease_seconds)
    aftermath.reconciler.tick()
    aftermath.beat(SECOND_WORKER)
    (again,) = aftermath.claim()
    begun.unlink()
    second = aftermath.child(execute, aftermath.site, again, SECOND_WORKER)
    wait_until(begun.exists)

    (tmp_path / "go1").touch()
    late.join(30)
    assert late.exitcode == 1
    (row,) = aftermath.rows(batch)
    assert (row.status, row.attempt) == (Status.RUNNING, 2)

    (tmp_path / "go2").touch()
    second.join(30)
    assert second.exitcode == 0
    (row,) = aftermath.rows(batch)
    assert (row.status, row.attempt, row.result) == (Status.SUCCESS, 2, {"attempt": 2})
    audit(aftermath.runtime.engine)
