"""A claim that dies between two writes: each row is launched by the next one, within the window."""

from __future__ import annotations

import pytest

from jobu_core.models import Status
from tests.crash.dispatching import DispatchCase, Dispatcher, Site

KEYS = (None, "a", "b", "a", None, "b", "a")
"""Serial keys of the rows that wait, oldest first."""

CASES = (
    DispatchCase("launch.lock_taken", rules=(8, 9)),
    DispatchCase("launch.version_published", rules=(9, 17)),
    DispatchCase("launch.rows_claimed", rules=(4, 8, 9)),
    DispatchCase(
        "launch.claim_committed",
        rules=(4, 8, 9, 11, 14),
        leaves=("job_executions", "jobu_meta"),
    ),
)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.point)
def test_a_claim_that_died_is_made_again(site: Site, case: DispatchCase) -> None:
    """The lock ends with its holder; a launch that nobody carried costs no attempt."""
    with site.process() as process:
        process.beat()
        ids = [process.jobs.add(params={"n": 1}, serial_key=key) for key in KEYS]
    with site.after_death(case, Dispatcher.launch) as restarted:
        restarted.launch()
        claimed = restarted.launches()
        assert claimed == 4 if case.leaves else claimed > 0
        restarted.run_to_rest()
        restarted.audit()
        rows = [restarted.jobs.row(row_id) for row_id in ids]
    assert {(row.status, row.attempt) for row in rows} == {(Status.SUCCESS, 1)}
    for key in ("a", "b"):
        began = [row.started_at for row in rows if row.serial_key == key and row.started_at]
        assert began == sorted(began)
        assert len(began) == KEYS.count(key)


@pytest.mark.rule(8)
def test_without_a_worker_nothing_is_launched(site: Site) -> None:
    """Rows wait in the table, where a death costs nothing, until a worker lives."""
    with site.process() as process:
        row_id = process.jobs.add(params={"n": 1})
        process.launch()
        assert process.jobs.row(row_id).status is Status.PENDING
        process.run_to_rest()
        process.audit()
        assert process.jobs.row(row_id).status is Status.SUCCESS
