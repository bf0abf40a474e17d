"""Declared types: what is proven in bulk is what pydantic and the storage make of each cell."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import TYPE_CHECKING, Annotated, Any
from uuid import UUID

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import AwareDatetime, Field, Json, NaiveDatetime, TypeAdapter, ValidationError

from jobu_core.pipeline.declared_types import DeclaredTypes
from jobu_core.pipeline.stored_values import NotStorable, storer
from jobu_core.pipeline.types import ROW_COLUMN, Column, type_named
from jobu_core.pipeline.validate.problems import problems_of
from tests.cell_strategies import text_columns

if TYPE_CHECKING:
    from jobu_core.pipeline.rejects import Problem

ANNOTATIONS: dict[str, Any] = {
    "int": int,
    "float": float,
    "bool": bool,
    "str": str,
    "bytes": bytes,
    "date": dt.date,
    "time": dt.time,
    "datetime": NaiveDatetime,
    "datetimetz": AwareDatetime,
    "timedelta": dt.timedelta,
    "uuid": UUID,
    "json": Json,
    "decimal(9,2)": Annotated[Decimal, Field(max_digits=9, decimal_places=2)],
    "decimal(38,0)": Annotated[Decimal, Field(max_digits=38, decimal_places=0)],
    "decimal(20,20)": Annotated[Decimal, Field(max_digits=20, decimal_places=20)],
}
ROWS = 40


def one_by_one(name: str, cells: list[str | None]) -> tuple[pa.Array[Any], dict[int, Any]]:
    """Return what a call for each cell makes of them, as it was before they were proven."""
    kind = type_named(name)
    adapter: TypeAdapter[Any] = TypeAdapter(ANNOTATIONS[name])
    store = storer(Column("x", kind, nullable=True))
    values: list[Any] = []
    problems: dict[int, Any] = {}
    for at, cell in enumerate(cells):
        value = None
        try:
            value = None if cell is None else store(adapter.validate_strings(cell))
        except ValidationError as error:
            found = problems_of(error, show_values=True)
            problems[at] = [(each.rule, each.message, cell) for each in found]
        except NotStorable as error:
            problems[at] = [(error.rule, error.message, cell)]
        values.append(value)
    return pa.array(values, kind.arrow), problems


def in_bulk(name: str, cells: pa.Array[Any]) -> tuple[pa.Array[Any], dict[int, Any]]:
    """Return what the declared type makes of them."""
    numbers = pa.array(range(1, len(cells) + 1), pa.int64())
    batch = pa.RecordBatch.from_arrays([numbers, cells], names=[ROW_COLUMN, "x"])
    read, problems = DeclaredTypes({"x": name}, show_values=True).convert(batch)

    def told(found: list[Problem]) -> list[tuple[object, ...]]:
        assert all(each.field == "x" for each in found)
        return [(each.rule, each.message, each.value) for each in found]

    return read.column("x"), {at: told(problems[at]) for at in sorted(problems)}


def compare(data: st.DataObject, name: str) -> None:
    """Draw a column and hold both ways against each other."""
    cells = data.draw(text_columns(ROWS))
    values, problems = in_bulk(name, cells)
    expected, expected_problems = one_by_one(name, cells.to_pylist())
    assert problems == expected_problems
    # Compared as text: NaN is NaN, and -0.0 is not 0.0.
    assert [repr(each) for each in values.to_pylist()] == [
        repr(each) for each in expected.to_pylist()
    ]
    assert values.type == expected.type


@pytest.mark.parametrize("name", list(ANNOTATIONS))
@settings(deadline=None, max_examples=40, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_cells_become_what_one_call_each_makes_of_them(data: st.DataObject, name: str) -> None:
    """Values, verdicts, messages and the cell that is told."""
    compare(data, name)


@pytest.mark.long
@pytest.mark.parametrize("name", list(ANNOTATIONS))
@settings(deadline=None, max_examples=700, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_thousands_of_columns_become_what_one_call_each_makes_of_them(
    data: st.DataObject, name: str
) -> None:
    """More than ten thousand columns in all."""
    compare(data, name)


def test_problems_stand_at_the_row_of_their_cell() -> None:
    """Among nulls and proven cells, the same bad cell at each of its places."""
    cells = pa.array(["1", None, "x", "2", "x", " 3 ", None, "4.5"])
    values, problems = in_bulk("int", cells)
    assert values.to_pylist() == [1, None, None, 2, None, 3, None, None]
    assert [(at, each[0][2]) for at, each in problems.items()] == [(2, "x"), (4, "x"), (7, "4.5")]


def test_a_sliced_column_is_read_from_its_own_cells() -> None:
    """Batches are slices of a block."""
    cells = pa.array(["x", "1", "2", None, "y"]).slice(1, 3)
    assert in_bulk("int", cells)[0].to_pylist() == [1, 2, None]
