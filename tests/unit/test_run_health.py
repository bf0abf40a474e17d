"""A started run is alive while a row is RUNNING or its worker lives, and lost otherwise."""

from __future__ import annotations

import pytest

from jobu_core.execution.health import NO_ROW_GRACE_SECONDS, RunHealth, judge
from jobu_core.models import Status
from jobu_core.store.health import RowOfRun


@pytest.mark.parametrize(
    ("rows", "seconds", "verdict"),
    [
        ([], 1.0, RunHealth.ALIVE),
        ([], NO_ROW_GRACE_SECONDS + 1, RunHealth.LOST),
        ([RowOfRun(1, Status.RUNNING, "w", worker_alive=False)], 1e6, RunHealth.ALIVE),
        ([RowOfRun(1, Status.SUCCESS, "w", worker_alive=True)], 1e6, RunHealth.ALIVE),
        ([RowOfRun(1, Status.SUCCESS, "w", worker_alive=False)], 1.0, RunHealth.LOST),
        ([RowOfRun(1, Status.PENDING, None, worker_alive=False)], 1.0, RunHealth.LOST),
    ],
)
def test_verdict_follows_the_rows(
    rows: list[RowOfRun],
    seconds: float,
    verdict: RunHealth,
) -> None:
    """Only a run whose rows have all left it and whose worker is gone is lost."""
    assert judge(rows, rowless_seconds=seconds).verdict is verdict
