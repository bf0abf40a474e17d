"""A worker's main process that dies in its supervisor: what it kept alive goes on elsewhere."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from jobu_core.execution.cancel import cancel_execution
from jobu_core.models import Status
from jobu_core.runs import RunState
from tests.crash.audit import audit, audit_loads
from tests.crash.cases import Case
from tests.crash.children import die
from tests.crash.site import execute, shut_down, supervise
from tests.fix_aftermath import LOAD

if TYPE_CHECKING:
    from jobu_core.models import LaunchBatch
    from tests.fix_aftermath import Aftermath

LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class SupervisorCase(Case):
    """A death of the main process, and how often the row had then to be begun."""

    attempts: int = 2
    run: RunState = RunState.STARTED
    """What Dagster knows of the run at that moment."""
    written: bool = True
    """Whether the end of the attempt was in the store by then."""


def name(case: SupervisorCase) -> str:
    """Return how a case is called in the output."""
    return case.point


def settled(aftermath: Aftermath, batch: LaunchBatch, case: SupervisorCase, first: Status) -> None:
    """Let the system come to rest; the first row ends as said, its siblings as SUCCESS."""
    assert aftermath.site.runs.known[str(batch.token)] is case.run
    aftermath.lose_children()
    aftermath.settle()
    row, *siblings = aftermath.rows(batch)
    assert (row.status, row.attempt) == (first, case.attempts)
    for sibling in siblings:
        assert (sibling.status, sibling.attempt) == (Status.SUCCESS, 1)
    audit(aftermath.runtime.engine)


def returned_together(aftermath: Aftermath, batch: LaunchBatch, case: SupervisorCase) -> None:
    """See that an attempt and the launch's unbegun row went back together, or neither."""
    kept = [Status.PENDING] * 2 if case.written else [Status.RUNNING, Status.QUEUED]
    assert [row.status for row in aftermath.rows(batch)] == kept


HEARTBEATS = (
    SupervisorCase("heartbeat.rows_renewed", (12,)),
    SupervisorCase("heartbeat.worker_renewed", (12,)),
    SupervisorCase("heartbeat.committed", (12,)),
)


@pytest.mark.parametrize("case", HEARTBEATS, ids=name)
def test_rows_of_a_dead_main_process_are_rescued(
    aftermath: Aftermath,
    case: SupervisorCase,
) -> None:
    """No heartbeat for a lease: the next attempt, and the unbegun sibling, run elsewhere."""
    batch = aftermath.launched(rows=2)
    die(case, supervise, aftermath.site, aftermath.running(batch))
    settled(aftermath, batch, case, Status.SUCCESS)


CANCELS = (
    SupervisorCase("supervisor.run_canceling", (13,), attempts=1, run=RunState.CANCELING),
    SupervisorCase("supervisor.child_hinted", (13,), attempts=1, run=RunState.CANCELING),
    SupervisorCase("supervisor.row_canceled", (13,), attempts=1, run=RunState.CANCELING),
    SupervisorCase("supervisor.child_killed", (13,), attempts=1, run=RunState.CANCELING),
    SupervisorCase("supervisor.run_reported", (13,), attempts=1, run=RunState.CANCELED),
)


@pytest.mark.parametrize("case", CANCELS, ids=name)
def test_a_cancel_outlives_who_carries_it_out(aftermath: Aftermath, case: SupervisorCase) -> None:
    """The wish is in the row: whoever settles it writes CANCELED."""
    batch = aftermath.launched()
    held = aftermath.running(batch)
    cancel_execution(aftermath.runtime.engine, batch.execution_ids[0], who="t", reason="enough")
    die(case, supervise, aftermath.site, held)
    settled(aftermath, batch, case, Status.CANCELED)


CANCELS_OF_ONE = (
    SupervisorCase("supervisor.child_hinted", (13,), attempts=1),
    SupervisorCase("supervisor.row_canceled", (13,), attempts=1),
    SupervisorCase("supervisor.end_written", (13,), attempts=1),
    SupervisorCase("supervisor.run_reported", (13,), attempts=1, run=RunState.CANCELED),
)


@pytest.mark.parametrize("case", CANCELS_OF_ONE, ids=name)
def test_a_cancel_of_one_row_leaves_its_siblings(
    aftermath: Aftermath,
    case: SupervisorCase,
) -> None:
    """Whoever settles the launch sees no canceled run and lets the unbegun row run."""
    batch = aftermath.launched(rows=2)
    held = aftermath.running(batch)
    cancel_execution(aftermath.runtime.engine, batch.execution_ids[0], who="t", reason="enough")
    die(case, supervise, aftermath.site, held)
    settled(aftermath, batch, case, Status.CANCELED)


DEADLINES = (
    SupervisorCase("supervisor.attempt_settled", (12, 14), written=False),
    SupervisorCase("supervisor.end_written", (12, 14)),
    SupervisorCase("supervisor.child_killed", (12, 14)),
    SupervisorCase("supervisor.run_reported", (12, 14), run=RunState.FAILURE),
)


@pytest.mark.parametrize("case", DEADLINES, ids=name)
def test_a_deadline_costs_one_attempt(aftermath: Aftermath, case: SupervisorCase) -> None:
    """Written or not when the main process died, the row has its next attempt once."""
    batch = aftermath.launched(rows=2)
    die(case, supervise, aftermath.site, aftermath.running(batch, deadline_at=LONG_AGO))
    returned_together(aftermath, batch, case)
    settled(aftermath, batch, case, Status.SUCCESS)


LOSSES = (
    SupervisorCase("supervisor.attempt_settled", (12, 14), written=False),
    SupervisorCase("supervisor.loss_written", (12, 14)),
    SupervisorCase("supervisor.run_reported", (12, 14), run=RunState.FAILURE),
)


@pytest.mark.parametrize("case", LOSSES, ids=name)
def test_a_lost_child_costs_one_attempt(aftermath: Aftermath, case: SupervisorCase) -> None:
    """First the child died, then the main process that was writing it off."""
    batch = aftermath.launched(rows=2)
    aftermath.running(batch)
    die(case, supervise, aftermath.site, {})
    returned_together(aftermath, batch, case)
    settled(aftermath, batch, case, Status.SUCCESS)


UNBEGUN = (
    SupervisorCase("supervisor.launch_returned", (12, 14), attempts=1),
    SupervisorCase("supervisor.loss_written", (12, 14), attempts=1),
)


@pytest.mark.parametrize("case", UNBEGUN, ids=name)
def test_a_launch_that_never_began_costs_no_attempt(
    aftermath: Aftermath,
    case: SupervisorCase,
) -> None:
    """The child died between its stamp and its claim."""
    batch = aftermath.launched(rows=2)
    aftermath.jobs.stamp(batch, run_id=str(batch.token), worker_id="first:1")
    die(case, supervise, aftermath.site, {})
    settled(aftermath, batch, case, Status.SUCCESS)


SHUTDOWNS = (
    SupervisorCase("hand_back.row_returned", (17,)),
    SupervisorCase("hand_back.worker_removed", (17,)),
    SupervisorCase("hand_back.committed", (17,), attempts=1),
    SupervisorCase("hand_back.child_killed", (17,), attempts=1),
    SupervisorCase("supervisor.run_reported", (17,), attempts=1, run=RunState.FAILURE),
)


@pytest.mark.parametrize("case", SHUTDOWNS, ids=name)
def test_a_shutdown_hands_back_all_or_nothing(aftermath: Aftermath, case: SupervisorCase) -> None:
    """What was handed back costs no attempt; what was not is a worker lost."""
    batch = aftermath.launched(rows=2)
    die(case, shut_down, aftermath.site, aftermath.running(batch))
    settled(aftermath, batch, case, Status.SUCCESS)


def test_a_committed_load_is_believed_after_all(aftermath: Aftermath) -> None:
    """The child died after its commit, the main process while it wrote SUCCESS for it."""
    aftermath.load_target()
    batch = aftermath.launched("db_loader", params=LOAD, max_attempts=1)
    die(Case("load.committed", (11, 12)), execute, aftermath.site, batch)
    die(Case("supervisor.load_believed", (11, 12)), supervise, aftermath.site, {})
    aftermath.settle()
    (row,) = aftermath.rows(batch)
    assert (row.status, row.reason) == (Status.SUCCESS, "already_committed")
    audit(aftermath.runtime.engine)
    audit_loads(aftermath.site.url, "public.items")
