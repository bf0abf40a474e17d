"""Validates a file against a model: a Parquet of valid rows, and one of rejects beside it.

::

    validate_file(source, model=…, output_path=…, source_name=…, options=…,
                  csv=…, rename=…, rejects_path=…, meter=…) -> ValidationReport
    validate_records(records, model=…, output_path=…, source_name=…, options=…,
                     rejects_path=…, meter=…) -> ValidationReport

The output keeps the input's order and holds what the model made of each row, in
the model's column types. What can be proven is proven a column at a time; every
other verdict is pydantic's or the storage's (``batch_check.py``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pyarrow as pa

from jobu_core.config.datasets import CsvOptions
from jobu_core.pipeline.meter import SILENT
from jobu_core.pipeline.overlap import ahead
from jobu_core.pipeline.parquet_writer import Provenance, write_parquet
from jobu_core.pipeline.preprocess import refuse_overwrite
from jobu_core.pipeline.processing import ragged_problem
from jobu_core.pipeline.rejects import reject_log, rejects_beside
from jobu_core.pipeline.sources import RowPlaces
from jobu_core.pipeline.types import arrow_schema
from jobu_core.pipeline.validate.batch_check import batch_check
from jobu_core.pipeline.validate.report import ValidationOptions, ValidationReport
from jobu_core.pipeline.validate.source import RecordRows, open_rows

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from pydantic import BaseModel

    from jobu_core.pipeline.csv_reader import RaggedRow
    from jobu_core.pipeline.meter import Meter
    from jobu_core.pipeline.parquet_writer import Reader
    from jobu_core.pipeline.rejects import RejectLog
    from jobu_core.pipeline.validate.batch_check import BatchCheck
    from jobu_core.pipeline.validate.source import RowBatch, RowSource


def validate_file(
    source: Path,
    *,
    model: type[BaseModel],
    output_path: Path,
    source_name: str,
    options: ValidationOptions | None = None,
    csv: CsvOptions | None = None,
    rename: Mapping[str, str] | None = None,
    rejects_path: Path | None = None,
    meter: Meter = SILENT,
    read_by: Reader = "anyone",
) -> ValidationReport:
    """Write the valid rows of ``source`` to ``output_path``.

    ``csv`` and ``rename`` apply when the source is not a Parquet. ``meter`` hears
    after each batch how far this is. Raises FileError, SchemaMismatch or ConfigError
    before any row, and RowsRejected (``.report`` holds the ValidationReport) beyond
    the limits; then the output is as it was and the rejects are written.
    """
    refuse_overwrite([source], output_path, rejects_path or rejects_beside(output_path))
    with open_rows(source, name=source_name, csv=csv or CsvOptions(), rename=rename or {}) as rows:
        return _validate(
            rows,
            model=model,
            output_path=output_path,
            options=options or ValidationOptions(),
            rejects_path=rejects_path,
            meter=meter,
            read_by=read_by,
        )


def validate_records(
    records: Sequence[object],
    *,
    model: type[BaseModel],
    output_path: Path,
    source_name: str,
    options: ValidationOptions | None = None,
    rejects_path: Path | None = None,
    meter: Meter = SILENT,
) -> ValidationReport:
    """Do the same for records that came in the params; the hash is of their JSON."""
    rows = RecordRows(records, source_name)
    return _validate(
        rows,
        model=model,
        output_path=output_path,
        options=options or ValidationOptions(),
        rejects_path=rejects_path,
        meter=meter,
    )


def _validate(
    source: RowSource,
    *,
    model: type[BaseModel],
    output_path: Path,
    options: ValidationOptions,
    rejects_path: Path | None,
    meter: Meter,
    read_by: Reader = "anyone",
) -> ValidationReport:
    check = batch_check(
        model,
        options,
        strings=source.strings,
        types=source.types,
        source_name=source.name,
        spelling=source.spelling,
    )
    rejects_at = rejects_path or rejects_beside(output_path)
    with (
        reject_log(rejects_at, source_name=source.name, show_values=options.show_values) as rejects,
        write_parquet(output_path, arrow_schema(check.columns), read_by) as output,
        ahead(source.batches()) as batches,
    ):
        rejects.places = RowPlaces(source.files)
        meter.start("validate", total_rows=source.total_rows, total_bytes=source.total_bytes)
        for batch in batches:
            output.write(hold_batch(batch, check, rejects))
            meter.at(output.rows + rejects.rejected, source.read_bytes)
        report = ValidationReport(
            rows=output.rows + rejects.rejected,
            valid=output.rows,
            rejected=rejects.rejected,
            rejected_before=source.rejected_before,
            counts=rejects.counts,
            columns=tuple((column.name, column.type.name) for column in check.columns),
            output_path=output_path,
            rejects_path=rejects.written_path,
            source_file=source.name,
            sha256=source.sha256,
        )
        all_rejected = report.rejected + report.rejected_before
        output.describe(Provenance(source.name, source.sha256, "typed", all_rejected, source.files))
        rejects.enforce(
            options.limits,
            report.rows + report.rejected_before,
            report,
            before=report.rejected_before,
        )
    return report


def hold_batch(batch: RowBatch, check: BatchCheck, rejects: RejectLog) -> pa.RecordBatch:
    """Return the valid rows of one batch and log the others in file order."""
    ragged = list(batch.ragged)
    found = check.check(batch.numbers, batch.rows)
    refused = pa.array([at for at, _ in found.refused], pa.int64())
    numbers = batch.numbers.take(refused).to_pylist()
    for number, (at, problems) in zip(numbers, found.refused, strict=True):
        while ragged and ragged[0].number < number:
            _add_ragged(ragged.pop(0), rejects)
        rejects.add(number, problems, _row(batch.rows, at) if rejects.show_values else {})
    for left in ragged:
        _add_ragged(left, rejects)
    return found.valid


def _row(rows: pa.RecordBatch | list[Any], at: int) -> Any:  # noqa: ANN401 - a record may be anything
    return rows.slice(at, 1).to_pylist()[0] if isinstance(rows, pa.RecordBatch) else rows[at]


def _add_ragged(row: RaggedRow, rejects: RejectLog) -> None:
    rejects.add(row.number, [ragged_problem(row)], row.text)
