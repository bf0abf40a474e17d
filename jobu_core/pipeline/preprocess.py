"""CSV in, Parquet out: rename, read declared types, filter, project. One pass, in batches.

::

    preprocess(source, output_path=…, source_name=…, csv=…, rename=…, filters=…,
               columns=…, types=…, limits=…, show_values=…, rejects_path=…,
               meter=…) -> PreprocessReport

Order: header names are normalised and renamed, so ``filters``, ``columns`` and
``types`` use the new names; cells of declared types are read; rows are filtered;
columns are projected. A ragged row, a cell that is not of its declared type and
a cell that a filter cannot compare reject their row; the rest of the file goes on.
"""

from __future__ import annotations

from dataclasses import dataclass
from operator import itemgetter
from typing import TYPE_CHECKING, Final

import pyarrow as pa
import pyarrow.compute as pc

from jobu_core.config.datasets import CsvOptions
from jobu_core.config.sources import suggest
from jobu_core.errors import FileError, InvalidParams
from jobu_core.pipeline.csv_reader import normalised, open_csv
from jobu_core.pipeline.declared_types import DeclaredTypes
from jobu_core.pipeline.filters import NOT_COMPARABLE, Filters
from jobu_core.pipeline.meter import SILENT
from jobu_core.pipeline.parquet_writer import Provenance, write_parquet
from jobu_core.pipeline.rejects import Limits, Problem, reject_log, rejects_beside
from jobu_core.pipeline.types import ROW_COLUMN, arrow_schema

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path
    from typing import Any

    from jobu_core.pipeline.csv_reader import CsvBatch, CsvReader, RaggedRow
    from jobu_core.pipeline.filters import BoundFilters
    from jobu_core.pipeline.meter import Meter
    from jobu_core.pipeline.parquet_writer import ParquetOutput, Reader
    from jobu_core.pipeline.rejects import Counts, RejectLog
    from jobu_core.pipeline.types import Column

RAGGED_ROW: Final = "ragged_row"
"""Rule of the reject that a row with too many or too few cells becomes."""


@dataclass(frozen=True, slots=True)
class PreprocessReport:
    """What became of a CSV file."""

    rows_in: int
    """Data rows of the file, rejected ones included."""
    rows_out: int
    rejected: int
    counts: Counts
    """Field → rule → how often."""
    columns: tuple[tuple[str, str], ...]
    """(name, type) as written, the hidden row number left out."""
    path: Path
    sha256: str
    """Of the input's bytes."""
    rejects_path: Path | None
    """None if no row was rejected."""


@dataclass(frozen=True, slots=True)
class _Plan:
    """What is done to each batch."""

    types: DeclaredTypes
    filters: BoundFilters
    columns: tuple[Column, ...]


def preprocess(
    source: Path,
    *,
    output_path: Path,
    source_name: str,
    csv: CsvOptions | None = None,
    rename: Mapping[str, str] | None = None,
    filters: Mapping[str, Mapping[str, Any]] | None = None,
    columns: Sequence[str] | None = None,
    types: Mapping[str, str] | None = None,
    limits: Limits | None = None,
    show_values: bool = False,
    rejects_path: Path | None = None,
    meter: Meter = SILENT,
    read_by: Reader = "anyone",
) -> PreprocessReport:
    """Write the wanted rows and columns of ``source`` to ``output_path``.

    ``source_name`` is the file's logical path; ``meter`` hears after
    each batch how far this is. Raises InvalidParams for params that no file
    could satisfy, FileError for what is wrong with this one as a whole, and
    RowsRejected (``.report`` holds the PreprocessReport) beyond ``limits``; then
    the output is as it was and the rejects are written.
    """
    conditions = Filters(filters or {})
    declared = DeclaredTypes(types or {}, show_values=show_values)
    rejects_at = rejects_path or rejects_beside(output_path)
    refuse_overwrite(source, output_path, rejects_at)
    options = csv or CsvOptions()
    with (
        reject_log(rejects_at, source_name=source_name, show_values=show_values) as rejects,
        open_csv(source, name=source_name, options=options, rename=rename or {}) as reader,
    ):
        plan = _plan(reader, source_name, conditions, declared, columns)
        with write_parquet(output_path, arrow_schema(plan.columns), read_by) as output:
            meter.start("preprocess", total_bytes=reader.total_bytes)
            for batch in reader.batches():
                _process(batch, plan, output, rejects)
                meter.at(reader.rows_read, reader.read_bytes)
            output.describe(_provenance(source_name, reader, rejects, declared))
            report = PreprocessReport(
                rows_in=reader.rows_read,
                rows_out=output.rows,
                rejected=rejects.rejected,
                counts=rejects.counts,
                columns=tuple((column.name, column.type.name) for column in plan.columns),
                path=output_path,
                sha256=reader.sha256,
                rejects_path=rejects.written_path,
            )
            rejects.enforce(limits or Limits(), report.rows_in, report)
    return report


def refuse_overwrite(source: Path, *outputs: Path) -> None:
    """Raise InvalidParams if an output would replace the input or another output."""
    taken = [source.resolve()]
    for path in outputs:
        if path.resolve() in taken:
            raise InvalidParams(
                f"{path.name}: would be written over, it is read or written already"
            )
        taken.append(path.resolve())


def _plan(
    reader: CsvReader,
    source_name: str,
    conditions: Filters,
    declared: DeclaredTypes,
    columns: Sequence[str] | None,
) -> _Plan:
    """Hold the params against the header; raises one FileError with everything."""
    projected = reader.columns if columns is None else tuple(normalised(name) for name in columns)
    problems = [
        *(
            f"no column {name!r}{suggest(name, reader.columns)}"
            for name in projected
            if name not in reader.columns
        ),
        *conditions.unknown(reader.columns),
        *declared.unknown(reader.columns),
    ]
    if problems:
        raise FileError(f"{source_name}: " + "; ".join(problems))
    if len(set(projected)) != len(projected) or not projected:
        raise InvalidParams("columns: must name at least one column, and each once")
    typed = arrow_schema(declared.columns(reader.columns))
    return _Plan(declared, conditions.bind(typed), declared.columns(projected))


def _process(batch: CsvBatch, plan: _Plan, output: ParquetOutput, rejects: RejectLog) -> None:
    """Write the wanted rows of one batch and log the rejected ones in file order."""
    turned_away: list[tuple[int, list[Problem], Mapping[str, Any] | str]] = [
        (row.number, [ragged_problem(row)], row.text) for row in batch.ragged
    ]
    typed, unreadable = plan.types.convert(batch.rows)
    judged = plan.filters.judge(typed)
    refused = {
        row.index: [
            Problem(
                row.column, NOT_COMPARABLE, row.message, typed.column(row.column)[row.index].as_py()
            )
        ]
        for row in judged.refused
    }
    numbers = typed.column(ROW_COLUMN)
    turned_away += [
        (numbers[index].as_py(), problems, _cells(batch.rows, index))
        for index, problems in (refused | unreadable).items()
    ]
    for number, problems, row in sorted(turned_away, key=itemgetter(0)):
        rejects.add(number, problems, row)
    keep = judged.keep
    if unreadable:
        readable = pa.array([index not in unreadable for index in range(typed.num_rows)])
        keep = pc.and_(keep, readable)
    names = [ROW_COLUMN, *(column.name for column in plan.columns)]
    kept = typed.select(names)
    if pc.all(keep, skip_nulls=False).as_py() is not True:  # without filters all rows stay
        kept = kept.filter(keep)
    output.write(pa.RecordBatch.from_arrays(kept.columns, schema=arrow_schema(plan.columns)))


def ragged_problem(row: RaggedRow) -> Problem:
    """Say what is wrong with a ragged row."""
    message = f"the row has {row.actual} cells, the header {row.expected}"
    return Problem("", RAGGED_ROW, message, row.text)


def _cells(rows: pa.RecordBatch, index: int) -> dict[str, Any]:
    """Return the row as it was read, without its number."""
    cells: dict[str, Any] = rows.slice(index, 1).to_pylist()[0]
    del cells[ROW_COLUMN]
    return cells


def _provenance(
    source_name: str, reader: CsvReader, rejects: RejectLog, declared: DeclaredTypes
) -> Provenance:
    return Provenance(
        source_file=source_name,
        source_sha256=reader.sha256,
        values="typed" if declared else "strings",
        rejected=rejects.rejected,
    )
