"""Where rows to validate come from: a CSV, a Parquet, or records of the params."""

from __future__ import annotations

import hashlib
import json
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Protocol

import pyarrow as pa

from jobu_core.errors import FileError
from jobu_core.pipeline.csv_reader import open_csv
from jobu_core.pipeline.parquet_writer import (
    Provenance,
    file_sha256,
    open_parquet,
    provenance_of,
)
from jobu_core.pipeline.types import ROW_COLUMN

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    import pyarrow.parquet as pq

    from jobu_core.config.datasets import CsvOptions
    from jobu_core.pipeline.csv_reader import CsvReader, RaggedRow

BATCH_ROWS: Final = 8_192
"""Rows that are Python objects at a time."""

_PARQUET: Final = frozenset({".parquet", ".pq"})


@dataclass(frozen=True, slots=True)
class RowBatch:
    """Some rows in file order, with their numbers in the user's file."""

    numbers: Sequence[int]
    rows: Sequence[Any]
    ragged: Sequence[RaggedRow] = ()


class RowSource(Protocol):
    """Rows of one input."""

    @property
    def name(self) -> str:
        """Logical path of the user's file."""

    @property
    def columns(self) -> tuple[str, ...] | None:
        """The columns of every row; None if each row has its own."""

    @property
    def strings(self) -> bool:
        """Whether cells are text as a CSV has it."""

    @property
    def rejected_before(self) -> int:
        """Rows that an earlier stage rejected."""

    @property
    def sha256(self) -> str:
        """Hash of the user's bytes, once the batches are exhausted."""

    def batches(self) -> Iterator[RowBatch]:
        """Yield every row once."""


@contextmanager
def open_rows(
    path: Path, *, name: str, csv: CsvOptions, rename: Mapping[str, str]
) -> Iterator[RowSource]:
    """Open ``path``: a Parquet by its suffix, else a CSV."""
    if path.suffix.lower() in _PARQUET:
        before = _identity(path, name)
        with open_parquet(path, name) as file:
            yield ParquetRows(file, path, name)
        if _identity(path, name) != before:
            raise FileError(f"{name}: changed while it was read")
        return
    with open_csv(path, name=name, options=csv, rename=rename) as reader:
        yield CsvRows(reader, name)


class CsvRows:
    """Rows of strings."""

    strings = True
    rejected_before = 0

    def __init__(self, reader: CsvReader, name: str) -> None:
        """Read from ``reader``, once."""
        self._reader = reader
        self.name = name
        self.columns: tuple[str, ...] | None = reader.columns

    @property
    def sha256(self) -> str:
        """Hash of the file's bytes."""
        return self._reader.sha256

    def batches(self) -> Iterator[RowBatch]:
        """Yield every row once, ragged ones apart."""
        for batch in self._reader.batches():
            ragged = list(batch.ragged)
            for portion in _portions(batch.rows):
                numbers, rows = _rows_of(portion)
                passed = [row for row in ragged if row.number < numbers[-1]]
                ragged = ragged[len(passed) :]
                yield RowBatch(numbers, rows, passed)
            if ragged:
                yield RowBatch((), (), ragged)


class ParquetRows:
    """Rows of a Parquet, jobu's own or somebody else's."""

    def __init__(self, file: pq.ParquetFile, path: Path, name: str) -> None:
        """Read the footer; raises FileError for a file that has no usable rows."""
        self._file = file
        names = [field.name for field in file.schema_arrow]
        doubled = sorted({each for each in names if names.count(each) > 1})
        if doubled:
            raise FileError(f"{name}: columns given twice: {', '.join(doubled)}")
        found = provenance_of(file) or Provenance(name, file_sha256(path))
        self._path_name = name
        self.name = found.source_file
        self.strings = found.values == "strings"
        self.rejected_before = found.rejected
        self.sha256 = found.source_sha256
        self.columns: tuple[str, ...] | None = tuple(each for each in names if each != ROW_COLUMN)

    def batches(self) -> Iterator[RowBatch]:
        """Yield every row once; rows without a number are counted from 1."""
        at = 0
        try:
            for batch in self._file.iter_batches(batch_size=BATCH_ROWS):
                numbers, rows = _rows_of(_in_microseconds(batch, self._path_name))
                yield RowBatch(numbers or range(at + 1, at + 1 + len(rows)), rows)
                at += len(rows)
        except (pa.ArrowException, OSError):
            raise FileError(f"{self._path_name}: after row {at}: cannot be read") from None


class RecordRows:
    """Records that came in the params themselves."""

    strings = False
    rejected_before = 0
    columns: tuple[str, ...] | None = None

    def __init__(self, records: Sequence[object], name: str) -> None:
        """Take ``records``; their number is their place, from 1."""
        self._records = records
        self.name = name
        written = json.dumps(records, sort_keys=True, default=str).encode()
        self.sha256 = hashlib.sha256(written).hexdigest()

    def batches(self) -> Iterator[RowBatch]:
        """Yield every record once."""
        for at in range(0, len(self._records), BATCH_ROWS):
            rows = self._records[at : at + BATCH_ROWS]
            yield RowBatch(range(at + 1, at + 1 + len(rows)), rows)


def _portions(batch: pa.RecordBatch) -> Iterator[pa.RecordBatch]:
    for at in range(0, batch.num_rows, BATCH_ROWS):
        yield batch.slice(at, BATCH_ROWS)


def _rows_of(batch: pa.RecordBatch) -> tuple[list[int], list[dict[str, Any]]]:
    """Return the row numbers (none if the batch has none) and the rows without them."""
    rows = batch.to_pylist()
    if ROW_COLUMN not in batch.schema.names:
        return [], rows
    return [row.pop(ROW_COLUMN) for row in rows], rows


def _in_microseconds(batch: pa.RecordBatch, name: str) -> pa.RecordBatch:
    """Cast nanoseconds, which Python's types cut without a word; refuse to lose any."""
    for at, field in enumerate(batch.schema):
        kind: Any = field.type
        if getattr(kind, "unit", None) != "ns":
            continue
        if pa.types.is_timestamp(kind):
            exact: pa.DataType = pa.timestamp("us", kind.tz)
        else:
            exact = pa.time64("us") if pa.types.is_time(kind) else pa.duration("us")
        try:
            cast = batch.column(at).cast(exact)
        except pa.ArrowInvalid:
            raise FileError(
                f"{name}: column {field.name!r} holds nanoseconds; write it in microseconds"
            ) from None
        batch = batch.set_column(at, field.with_type(exact), cast)
    return batch


def _identity(path: Path, name: str) -> tuple[int, int, int]:
    try:
        found = path.stat()
    except OSError as error:
        raise FileError(f"{name}: cannot be opened: {error.strerror}") from None
    return found.st_ino, found.st_size, found.st_mtime_ns
