"""A person's command that dies half way: the person asks again, and it is done once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest
import sqlalchemy as sa

from jobu_core.errors import Conflict
from jobu_core.models import Status
from jobu_core.runs import RunState
from jobu_core.store.schema import audit_log, job_executions
from tests.crash.audit import audit, audit_loads
from tests.crash.cases import Case
from tests.crash.children import die
from tests.crash.operating import cancel, cancel_run, rerun, retry, run_by_hand, run_waiting
from tests.crash.site import FIRST_WORKER
from tests.fix_aftermath import LOAD

if TYPE_CHECKING:
    from jobu_core.models import Execution, LaunchBatch
    from tests.fix_aftermath import Aftermath


@dataclass(frozen=True)
class OperatorCase(Case):
    """A death of a command, and whether what it wanted was written by then."""

    done: bool = False


def name(case: OperatorCase) -> str:
    """Return how a case is called in the output."""
    return case.point


def begin_first(aftermath: Aftermath, batch: LaunchBatch) -> None:
    """Let the worker that is going to be lost begin the first row of a launch."""
    run_id = str(batch.token)
    aftermath.jobs.stamp(batch, run_id=run_id, worker_id=FIRST_WORKER)
    assert aftermath.jobs.start(batch, run_id=run_id, worker_id=FIRST_WORKER) is not None


def all_rows(aftermath: Aftermath) -> list[Execution]:
    """Return every execution there is, in order of id."""
    with aftermath.runtime.engine.connect() as connection:
        ids = list(connection.scalars(sa.select(job_executions.c.id).order_by("id")))
    return [aftermath.jobs.row(row_id) for row_id in ids]


def said(aftermath: Aftermath, what: str) -> int:
    """Count what the audit log says was done."""
    with aftermath.runtime.engine.connect() as connection:
        rows = sa.select(sa.func.count()).where(audit_log.c.what == what)
        return int(connection.scalar(rows) or 0)


CANCELS = (
    OperatorCase("cancel.row_changed", (13,)),
    OperatorCase("cancel.audited", (13,)),
    OperatorCase("cancel.committed", (13,), done=True),
)


@pytest.mark.parametrize("case", CANCELS, ids=name)
def test_a_waiting_row_is_canceled_once(aftermath: Aftermath, case: OperatorCase) -> None:
    """Change and audit row stand or fall together; asked again, it is canceled or was."""
    (row_id,) = aftermath.launched().execution_ids
    die(case, cancel, aftermath.site, row_id)
    assert aftermath.jobs.row(row_id).status is (Status.CANCELED if case.done else Status.QUEUED)
    if case.done:
        with pytest.raises(Conflict, match="CANCELED"):
            cancel(aftermath.site, row_id)
    else:
        cancel(aftermath.site, row_id)
    aftermath.settle()
    row = aftermath.jobs.row(row_id)
    assert (row.status, row.attempt, row.cancel_reason) == (Status.CANCELED, 0, "enough")
    assert said(aftermath, "execution.cancel") == 1
    audit(aftermath.runtime.engine)


@pytest.mark.parametrize("case", CANCELS, ids=name)
def test_a_running_row_keeps_the_wish(aftermath: Aftermath, case: OperatorCase) -> None:
    """Whoever settles the row finds the wish, if it was written; without it the row runs on."""
    batch = aftermath.launched()
    begin_first(aftermath, batch)
    die(case, cancel, aftermath.site, batch.execution_ids[0])
    aftermath.settle()
    (row,) = aftermath.rows(batch)
    assert row.status is (Status.CANCELED if case.done else Status.SUCCESS)
    assert said(aftermath, "execution.cancel") == int(case.done)
    audit(aftermath.runtime.engine)


TERMINATIONS = (
    OperatorCase("cancel_run.rows_changed", (13,)),
    OperatorCase("cancel_run.committed", (13,), done=True),
)


@pytest.mark.parametrize("case", TERMINATIONS, ids=name)
def test_a_terminated_run_cancels_all_of_its_rows(
    aftermath: Aftermath,
    case: OperatorCase,
) -> None:
    """All of them or none, and all of them when it is terminated again."""
    batch = aftermath.launched(rows=3)
    begin_first(aftermath, batch)
    die(case, cancel_run, aftermath.site, str(batch.token))
    asked = [row.cancel_requested_at is not None for row in aftermath.rows(batch)]
    assert asked == [case.done] * 3
    cancel_run(aftermath.site, str(batch.token))
    aftermath.settle()
    assert [row.status for row in aftermath.rows(batch)] == [Status.CANCELED] * 3
    audit(aftermath.runtime.engine)


RETRIES = (
    OperatorCase("operator_retry.row_inserted", (14,)),
    OperatorCase("operator_retry.audited", (14,)),
    OperatorCase("operator_retry.committed", (14,), done=True),
)


@pytest.mark.parametrize("case", RETRIES, ids=name)
def test_a_retry_asked_for_twice_loads_once(aftermath: Aftermath, case: OperatorCase) -> None:
    """Who did not see the answer asks again: two rows of one root share one load."""
    aftermath.load_target()
    (row_id,) = aftermath.launched("db_loader", params=LOAD).execution_ids
    ended = {"status": "FAILED", "lease_token": None, "finished_at": aftermath.now.now}
    aftermath.jobs.change(row_id, **ended)
    die(case, retry, aftermath.site, row_id)
    retry(aftermath.site, row_id)
    aftermath.settle()
    _, *retries = all_rows(aftermath)
    assert len(retries) == said(aftermath, "execution.retry") == (2 if case.done else 1)
    assert {row.status for row in retries} == {Status.SUCCESS}
    audit(aftermath.runtime.engine)
    audit_loads(aftermath.site.url, "public.items")
    assert aftermath.target.count("items") == 10


RERUNS = (
    OperatorCase("adopt_rerun.row_inserted", (16,)),
    OperatorCase("adopt_rerun.committed", (16,), done=True),
)


@pytest.mark.parametrize("case", RERUNS, ids=name)
def test_a_re_executed_run_makes_one_row(aftermath: Aftermath, case: OperatorCase) -> None:
    """Also when the worker died while it made it, and the same run is executed again."""
    (row_id,) = aftermath.launched().execution_ids
    ended = {"status": "FAILED", "lease_token": None, "finished_at": aftermath.now.now}
    aftermath.jobs.change(row_id, **ended)
    run_id = aftermath.site.runs.add(None, RunState.STARTED, str(uuid4()))
    die(case, rerun, aftermath.site, row_id, run_id)
    assert len(all_rows(aftermath)) == (2 if case.done else 1)
    rerun(aftermath.site, row_id, run_id)
    aftermath.settle()
    _, retried = all_rows(aftermath)
    assert (retried.status, retried.root_execution_id) == (Status.SUCCESS, row_id)
    audit(aftermath.runtime.engine)


BY_HAND = (
    OperatorCase("adopt_params.row_inserted", (16,)),
    OperatorCase("adopt_params.committed", (16,), done=True),
)


@pytest.mark.parametrize("case", BY_HAND, ids=name)
def test_a_launchpad_run_makes_one_row(aftermath: Aftermath, case: OperatorCase) -> None:
    """Nothing before its commit; afterwards a row that runs though its own run is lost."""
    run_id = aftermath.site.runs.add(None, RunState.STARTED, str(uuid4()))
    die(case, run_by_hand, aftermath.site, run_id)
    aftermath.settle()
    assert [row.status for row in all_rows(aftermath)] == [Status.SUCCESS] * int(case.done)
    audit(aftermath.runtime.engine)


WAITING = (
    OperatorCase("adopt_pending.row_launched", (16,)),
    OperatorCase("adopt_pending.committed", (16,), done=True),
)


@pytest.mark.parametrize("case", WAITING, ids=name)
def test_a_row_made_for_a_run_by_hand_runs_anyway(
    aftermath: Aftermath,
    case: OperatorCase,
) -> None:
    """The run by hand is lost; its row is launched like any other, once."""
    row_id = aftermath.jobs.add(handler_name="sample_handler")
    run_id = aftermath.site.runs.add(None, RunState.STARTED, str(uuid4()))
    die(case, run_waiting, aftermath.site, row_id, run_id)
    assert aftermath.jobs.row(row_id).status is (Status.QUEUED if case.done else Status.PENDING)
    aftermath.settle()
    row = aftermath.jobs.row(row_id)
    assert (row.status, row.attempt) == (Status.SUCCESS, 1)
    audit(aftermath.runtime.engine)
