"""CSV in, Parquet out: rename, read declared types, filter, project. One pass, in batches.

::

    preprocess(source, output_path=…, source_name=…, csv=…, rename=…, filters=…,
               columns=…, types=…, transform=…, limits=…, show_values=…, rejects_path=…,
               meter=…) -> PreprocessReport

What becomes of a row is ``processing.py``'s to say; here the wanted ones are
written, the others logged and counted.
"""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from jobu_core.config.datasets import CsvOptions
from jobu_core.errors import InvalidParams
from jobu_core.pipeline.meter import SILENT
from jobu_core.pipeline.parquet_writer import Provenance, write_parquet
from jobu_core.pipeline.processing import Wishes, open_processing
from jobu_core.pipeline.rejects import Limits, reject_log, rejects_beside
from jobu_core.pipeline.sources import InputFile
from jobu_core.pipeline.types import arrow_schema

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import Any

    from jobu_core.pipeline.meter import Meter
    from jobu_core.pipeline.parquet_writer import ParquetOutput, Reader
    from jobu_core.pipeline.processing import Processing
    from jobu_core.pipeline.rejects import Counts, RejectLog
    from jobu_core.pipeline.sources import SourceFile
    from jobu_core.pipeline.transform import Transform


@dataclass(frozen=True, slots=True)
class PreprocessReport:
    """What became of the input."""

    rows_in: int
    """Data rows of the files, rejected ones included."""
    rows_out: int
    rejected: int
    counts: Counts
    """Field → rule → how often."""
    columns: tuple[tuple[str, str], ...]
    """(name, type) as written, the hidden row number left out."""
    path: Path
    """Where the rows are; of a stream, those that were valid."""
    sha256: str
    """Of the input's bytes."""
    rejects_path: Path | None
    """None if no row was rejected."""
    files: tuple[SourceFile, ...]
    """What was read, in this order."""
    repeats: bool = False
    """Whether a transform made several rows of one."""


def preprocess(
    source: Path | Sequence[InputFile],
    *,
    output_path: Path,
    source_name: str,
    csv: CsvOptions | None = None,
    rename: Mapping[str, str] | None = None,
    filters: Mapping[str, Mapping[str, Any]] | None = None,
    columns: Sequence[str] | None = None,
    types: Mapping[str, str] | None = None,
    transform: Transform | None = None,
    limits: Limits | None = None,
    show_values: bool = False,
    rejects_path: Path | None = None,
    meter: Meter = SILENT,
    read_by: Reader = "anyone",
) -> PreprocessReport:
    """Write the wanted rows and columns of ``source`` to ``output_path``.

    ``source`` is a file, or several that are read one after another; ``source_name``
    is the file's logical path, or what messages call them together. ``meter`` hears
    after each batch how far this is. Raises InvalidParams for params that no file could
    satisfy, FileError for what is wrong with a file as a whole, and RowsRejected
    (``.report`` holds the PreprocessReport) beyond ``limits``; then the output is as it
    was and the rejects are written.
    """
    files = [InputFile(source, source_name)] if isinstance(source, Path) else list(source)
    wishes = Wishes(
        csv=csv or CsvOptions(),
        rename=rename or {},
        filters=filters or {},
        columns=columns,
        types=types or {},
        transform=transform,
        show_values=show_values,
    )
    rejects_at = rejects_path or rejects_beside(output_path)
    refuse_overwrite([each.path for each in files], output_path, rejects_at)
    with (
        reject_log(rejects_at, source_name=source_name, show_values=show_values) as rejects,
        open_processing(files, wishes, name=source_name) as rows,
        ExitStack() as stack,
    ):
        rejects.places = rows.source.places

        def opened() -> ParquetOutput:
            """Open the output; its columns are known when a transform had rows."""
            return stack.enter_context(
                write_parquet(output_path, arrow_schema(rows.columns), read_by)
            )

        output = _written(rows, opened, rejects, meter) or opened()
        output.describe(_provenance(source_name, rows, rejects))
        report = PreprocessReport(
            rows_in=rows.source.rows_read,
            rows_out=output.rows,
            rejected=rejects.rejected,
            counts=rejects.counts,
            columns=tuple((column.name, column.type.name) for column in rows.columns),
            path=output_path,
            sha256=rows.source.sha256,
            rejects_path=rejects.written_path,
            files=rows.source.files,
            repeats=rows.repeats,
        )
        rejects.enforce(limits or Limits(), report.rows_in, report)
    return report


def refuse_overwrite(sources: Sequence[Path], *outputs: Path) -> None:
    """Raise InvalidParams if an output would replace an input or another output."""
    taken = {source.resolve() for source in sources}
    for path in outputs:
        if path.resolve() in taken:
            raise InvalidParams(
                f"{path.name}: would be written over, it is read or written already"
            )
        taken.add(path.resolve())


def _written(
    rows: Processing,
    opened: Callable[[], ParquetOutput],
    rejects: RejectLog,
    meter: Meter,
) -> ParquetOutput | None:
    """Write the wanted rows and log the others; return the output if it was opened."""
    output = None
    meter.start("preprocess", total_bytes=rows.source.total_bytes)
    for batch in rows.batches():
        for each in batch.turned_away:
            rejects.add(each.number, each.problems, each.row)
        if batch.rows.num_rows:
            output = output or opened()
            output.write(batch.rows)
        meter.at(rows.source.rows_read, rows.source.read_bytes)
    return output


def _provenance(source_name: str, rows: Processing, rejects: RejectLog) -> Provenance:
    files = rows.source.files
    return Provenance(
        source_file=source_name,
        source_sha256=rows.source.sha256,
        values=rows.values,
        rejected=rejects.rejected,
        files=files if len(files) > 1 else (),
        spelling=rows.spelling,
    )
