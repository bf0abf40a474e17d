"""A worker's child that dies between two writes of an attempt: another one does the work, once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from jobu_core.models import Status
from tests.crash.audit import audit, audit_loads
from tests.crash.cases import Case
from tests.crash.children import die
from tests.crash.site import execute
from tests.fix_aftermath import LOAD

if TYPE_CHECKING:
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
