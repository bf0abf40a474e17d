"""Validating a CSV text, and reading what came of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pyarrow.parquet as pq
from pydantic import (
    BaseModel,
    Field,
)

from jobu_core.pipeline.preprocess import preprocess
from jobu_core.pipeline.validate.report import ValidationOptions, ValidationReport
from jobu_core.pipeline.validate.rows import validate_file

if TYPE_CHECKING:
    from pathlib import Path

NAME = "/data/raw/in.csv"


class Row(BaseModel):
    """The model of most tests."""

    id: int
    name: str = Field(min_length=1, max_length=100)
    value: float = Field(ge=0)


def of_csv(
    folder: Path,
    content: str,
    model: type[BaseModel] = Row,
    *,
    through_parquet: bool = False,
    **options: Any,  # noqa: ANN401 - of ValidationOptions
) -> ValidationReport:
    """Validate a CSV text, directly or after preprocess."""
    source = folder / "in.csv"
    source.write_text(content, encoding="utf-8", newline="")
    if through_parquet:
        source = preprocess(source, output_path=folder / "in.parquet", source_name=NAME).path
    return validate_file(
        source,
        model=model,
        output_path=folder / "valid.parquet",
        source_name=NAME,
        options=ValidationOptions(**options),
    )


def valid(report: ValidationReport) -> list[dict[str, Any]]:
    """Return the valid rows."""
    return pq.read_table(report.output_path).to_pylist()


def values(report: ValidationReport, field: str) -> list[Any]:
    """Return one field of the valid rows."""
    return [row[field] for row in valid(report)]


def rejects(report: ValidationReport) -> list[dict[str, Any]]:
    """Return the lines of the rejects."""
    assert report.rejects_path is not None
    return pq.read_table(report.rejects_path).to_pylist()


def told(report: ValidationReport) -> list[tuple[int, str | None, str]]:
    """Return row number, field and rule of each reject."""
    return [(each["row_number"], each["field"], each["error_type"]) for each in rejects(report)]
