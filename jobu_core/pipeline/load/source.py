"""The Parquet file of a load: its schema, its counts, its rows in bounded portions."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import pyarrow as pa
import pyarrow.parquet as pq

from jobu_core.errors import FileError, SchemaMismatch
from jobu_core.pipeline.meter import SILENT

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from jobu_core.pipeline.meter import Meter

BATCH_ROWS: Final = 16_384


@dataclass(frozen=True, slots=True)
class Source:
    """An open Parquet file without jobu's own hidden columns."""

    file: pq.ParquetFile
    path: Path
    schema: pa.Schema
    rows: int
    nulls: Mapping[str, int]
    """Nulls per column, as far as the file's statistics tell."""
    meter: Meter = SILENT

    def batches(self) -> Iterator[pa.RecordBatch]:
        """Yield the rows in file order; raises FileError when the bytes are damaged.

        The meter hears of each batch when the next one is asked for; it starts anew
        when the rows are read once more.
        """
        self.meter.start("load", total_rows=self.rows, total_bytes=self.path.stat().st_size)
        taken = 0
        try:
            for batch in self.file.iter_batches(batch_size=BATCH_ROWS, columns=self.schema.names):
                yield batch
                taken += batch.num_rows
                self.meter.at(taken)
        except (pa.ArrowException, OSError) as error:
            raise FileError(f"{self.path.name}: cannot be read as Parquet: {error}") from error


@contextmanager
def open_source(
    path: Path, hidden: tuple[str, ...] = (), meter: Meter = SILENT
) -> Iterator[Source]:
    """Open ``path`` for one load; raises FileError when it is no Parquet file.

    Raises FileError as well when the file was changed meanwhile, and SchemaMismatch
    when two columns have the same name.
    """
    before = _identity(path)
    try:
        file = pq.ParquetFile(path, pre_buffer=False)  # it would keep every row group read so far
    except (pa.ArrowException, OSError) as error:
        raise FileError(f"{path.name}: is not a Parquet file: {error}") from error
    with file:
        fields = [field for field in file.schema_arrow if field.name not in hidden]
        names = [field.name for field in fields]
        doubled = sorted({name for name in names if names.count(name) > 1})
        if doubled:
            raise SchemaMismatch(f"{path.name}: columns given twice: {', '.join(doubled)}")
        yield Source(file, path, pa.schema(fields), file.metadata.num_rows, _nulls(file), meter)
    if _identity(path) != before:
        raise FileError(f"{path.name}: changed while it was loaded")


def _identity(path: Path) -> tuple[int, int, int]:
    try:
        found = path.stat()
    except OSError as error:
        raise FileError(f"{path.name}: cannot be opened: {error.strerror}") from error
    return found.st_ino, found.st_size, found.st_mtime_ns


def _nulls(file: pq.ParquetFile) -> dict[str, int]:
    counts: dict[str, int] = {}
    for group in range(file.metadata.num_row_groups):
        row_group = file.metadata.row_group(group)
        for at in range(row_group.num_columns):
            chunk = row_group.column(at)
            found = chunk.statistics
            known = None if found is None else found.null_count
            if known is not None:
                counts[chunk.path_in_schema] = counts.get(chunk.path_in_schema, 0) + known
    return counts
