"""Columns and rows: whatever is compiled, the outcome is pydantic's on each row."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from jobu_core.errors import FileError, SchemaMismatch
from jobu_core.pipeline.validate.batch_check import ByRow, batch_check
from jobu_core.pipeline.validate.core_schema import lookup_names
from jobu_core.pipeline.validate.readable import readable
from jobu_core.pipeline.validate.report import ValidationOptions
from jobu_core.pipeline.validate.row_check import RowCheck
from tests.cell_strategies import text_columns, typed_columns
from tests.model_strategies import models

if TYPE_CHECKING:
    from collections.abc import Callable

    from pydantic import BaseModel

    from jobu_core.pipeline.validate.batch_check import Checked

    Columns = Callable[[int], st.SearchStrategy[pa.Array[Any]]]


@st.composite
def batches(
    draw: Callable[[st.SearchStrategy[Any]], Any], model: type[BaseModel], columns: Columns
) -> pa.RecordBatch:
    """Draw rows for the model: every field that needs a column has one, others may."""
    rows = draw(st.integers(1, 8))
    found: dict[str, pa.Array[Any]] = {}
    for name, info in model.model_fields.items():
        names = sorted(lookup_names(model, name, info))
        given_names = names[:1] if info.is_required() else draw(st.sampled_from([[], names]))
        for each in given_names or names[: draw(st.integers(0, 1))]:
            found[each] = draw(columns(rows))
    if not found:
        found["other"] = draw(columns(rows))
    return pa.RecordBatch.from_pydict(found)


def outcome(checked: Checked) -> tuple[str, str]:
    """Return everything that a batch became; repr tells 0.0 from -0.0 and shows NaN."""
    return repr(checked.valid.to_pylist()), repr(checked.refused)


def compare(data: st.DataObject, columns: Columns, *, strings: bool) -> None:
    """Draw a model and rows, and hold the columns' way against the rows'."""
    model = data.draw(models())
    options = ValidationOptions(
        coercion=data.draw(st.sampled_from(["lax", "strict"])),
        null_means=data.draw(st.sampled_from([None, "null", "missing"])),
        show_values=data.draw(st.booleans()),
    )
    batch = data.draw(batches(model, columns))
    try:
        batch = readable(batch, "in", trusted=False)
        types = {field.name: field.type for field in batch.schema}
        check = batch_check(model, options, strings=strings, types=types, source_name="in")
    except (FileError, SchemaMismatch):
        return
    names = tuple(types)
    reference = ByRow(RowCheck(model, options, strings=strings, columns=names))
    numbers = pa.array(range(1, batch.num_rows + 1), pa.int64())
    found, expected = check.check(numbers, batch), reference.check(numbers, batch)
    assert found.valid.schema == expected.valid.schema
    assert outcome(found) == outcome(expected)


quick = settings(deadline=None, max_examples=200, suppress_health_check=list(HealthCheck))
thorough = settings(quick, max_examples=10_000)


@quick
@given(data=st.data())
def test_text_columns_become_what_pydantic_makes_of_each_row(data: st.DataObject) -> None:
    """Random models on the cells of a CSV."""
    compare(data, text_columns, strings=True)


@quick
@given(data=st.data())
def test_typed_columns_become_what_pydantic_makes_of_each_row(data: st.DataObject) -> None:
    """Random models on the columns of a Parquet."""
    compare(data, typed_columns, strings=False)


@pytest.mark.long
@pytest.mark.timeout(1_800)
@thorough
@given(data=st.data())
@pytest.mark.parametrize("strings", [True, False])
def test_thousands_of_columns_become_what_pydantic_makes_of_each_row(
    data: st.DataObject, strings: bool
) -> None:
    """The same, often."""
    compare(data, text_columns if strings else typed_columns, strings=strings)
