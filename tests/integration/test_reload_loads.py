"""Rejects whose load was undone, was another execution's, or was an upsert."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from jobu_core.errors import Conflict
from jobu_core.pipeline.load.undo import undo_load
from tests.reload_bench import Reloading

if TYPE_CHECKING:
    from tests.fix_aftermath import Aftermath

FILE = "id,name,value\n1,a,1\nx,b,2\n3,c,3\n"


@pytest.fixture
def loading(aftermath: Aftermath) -> Reloading:
    """Return a system that runs what is pending."""
    return Reloading(aftermath)


def corrected(loading: Reloading, execution: Any) -> str:  # noqa: ANN401 - an Execution
    """Return the rejects of an execution, put right."""
    return loading.export(execution).replace('"x"', '"2"')


def test_rejects_of_a_load_that_was_undone_stay_out(loading: Reloading) -> None:
    """The whole file is what has to be loaded again."""
    first = loading.load(FILE, mode="append", load_id_column=True)
    assert isinstance(first.result, dict)
    undo_load(loading.system.site.url, "default", first.result["load"]["load_id"], who="ann")
    with pytest.raises(Conflict, match="was undone"):
        loading.reload(first, corrected(loading, first))
    assert loading.table == []


def test_rejects_of_content_belong_to_the_execution_that_loaded_it(loading: Reloading) -> None:
    """Else the same rows could be reloaded from two executions."""
    first = loading.load(FILE, mode="append", load_key="content")
    second = loading.load(FILE, mode="append", load_key="content")
    text = corrected(loading, second)
    with pytest.raises(Conflict, match=f"was loaded by execution {first.id}"):
        loading.reload(second, text)
    loading.reload(first, corrected(loading, first))
    loading.system.settle()
    assert [row[0] for row in loading.table] == [1, 2, 3]


def test_rejects_of_an_upsert_are_upserted(loading: Reloading) -> None:
    """By the same keys; they change the rows that are there."""
    upsert = {"mode": "upsert", "keys": ["id"]}
    loading.load("id,name,value\n2,old,0\n", **upsert)
    first = loading.load(FILE, **upsert)
    loading.reload(first, corrected(loading, first))
    loading.system.settle()
    assert loading.table == [(1, "a", 1), (2, "b", 2), (3, "c", 3)]
