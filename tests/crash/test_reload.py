"""A reload of corrected rejects that dies half way: asked again, each row is loaded once."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from jobu_core.models import Status
from tests.crash.audit import audit
from tests.crash.cases import Case
from tests.crash.children import die
from tests.crash.operating import reload
from tests.reload_bench import Reloading

if TYPE_CHECKING:
    from tests.fix_aftermath import Aftermath

FILE = "id,name,value\n1,a,1\nx,b,2\n3,c,3\n"

CASES = (
    Case("reload.file_written", (1,)),
    Case("reload.rows_inserted", (1,)),
    Case("reload.audited", (1,)),
    Case("reload.committed", (1,)),
)


def name(case: Case) -> str:
    """Return how a case is called in the output."""
    return case.point


@pytest.mark.parametrize("case", CASES, ids=name)
def test_a_reload_that_died_is_asked_again(aftermath: Aftermath, case: Case) -> None:
    """The execution and the claim on its rows stand or fall together."""
    loading = Reloading(aftermath)
    first = loading.load(FILE)
    text = loading.export(first).replace('"x"', '"2"')
    (loading.folder / "corrected.csv").write_text(text, encoding="utf-8")
    die(case, reload, aftermath.site, first.id)
    done = loading.reload(first, text)
    assert sum(done.executions.values()) + sum(done.already.values()) == 1
    aftermath.settle()
    (made,) = done.executions or done.already
    assert aftermath.jobs.row(made).status is Status.SUCCESS
    assert loading.table == [(1, "a", 1), (2, "b", 2), (3, "c", 3)]
    audit(aftermath.runtime.engine)
