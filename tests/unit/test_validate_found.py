"""Differences that random examples once found, each as a case of its own."""

from __future__ import annotations

import datetime as dt
from enum import Enum
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest
from pydantic import AwareDatetime, BaseModel, ConfigDict

from jobu_core.pipeline.validate.batch_check import ByRow, batch_check
from jobu_core.pipeline.validate.report import ValidationOptions
from jobu_core.pipeline.validate.row_check import RowCheck

if TYPE_CHECKING:
    from jobu_core.pipeline.validate.batch_check import Checked


class Color(Enum):
    """Used twice in a model, and so a definition of its schema."""

    RED = "red"


class StrictColors(BaseModel):
    """The definition must be built with the model's own strictness."""

    model_config = ConfigDict(strict=True)

    f0: Color
    f1: Color


class Day(BaseModel):
    """A date, which Arrow has for years that Python has not."""

    day: dt.date


class Moment(BaseModel):
    """A moment, idem."""

    at: dt.datetime


class ZonedMoment(BaseModel):
    """A moment in a zone; the last hours of the year 9999 are not in every zone."""

    at: AwareDatetime


def _outcome(checked: Checked) -> tuple[str, str]:
    return repr(checked.valid.to_pylist()), repr(checked.refused)


@pytest.mark.parametrize(
    ("model", "columns"),
    [
        (StrictColors, {"f0": pa.array([None], pa.int8()), "f1": pa.array([None], pa.int8())}),
        (Day, {"day": ["0000-01-01", "0001-01-01", "9999-12-31", "2024-02-29"]}),
        (Day, {"day": ["0000-01-01", "2024-02-29", "2023-02-29"]}),
        (Moment, {"at": ["0000-01-01T00:00:00", "0001-01-01T00:00:00", "9999-12-31 23:59:59"]}),
        (ZonedMoment, {"at": ["0001-01-01T00:00:00+10:00", "9999-12-31T23:59:59-10:00"]}),
    ],
    ids=lambda value: value.__name__ if isinstance(value, type) else "",
)
def test_columns_become_what_pydantic_makes_of_each_row(
    model: type[BaseModel], columns: dict[str, Any]
) -> None:
    """Values, verdicts and messages are those of a row at a time."""
    rows = pa.RecordBatch.from_pydict(columns)
    types = {field.name: field.type for field in rows.schema}
    strings = pa.string() in types.values()
    options = ValidationOptions()
    compiled = batch_check(model, options, strings=strings, types=types, source_name="in")
    by_row = ByRow(RowCheck(model, options, strings=strings, columns=tuple(types)))
    numbers = pa.array(range(1, rows.num_rows + 1), pa.int64())
    assert _outcome(compiled.check(numbers, rows)) == _outcome(by_row.check(numbers, rows))
