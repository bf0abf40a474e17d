"""Where rows to validate come from: a CSV, a Parquet, or records of the params."""

from __future__ import annotations

import hashlib
import json
from contextlib import contextmanager
from dataclasses import dataclass, replace
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
from jobu_core.pipeline.spelling import Spelling
from jobu_core.pipeline.types import ROW_COLUMN
from jobu_core.pipeline.validate.readable import python_type, readable

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Mapping, Sequence
    from pathlib import Path

    import pyarrow.parquet as pq

    from jobu_core.config.datasets import CsvOptions
    from jobu_core.pipeline.csv_reader import CsvReader, RaggedRow
    from jobu_core.pipeline.sources import SourceFile
    from jobu_core.pipeline.validate.proofs import Cells

MOST_ROWS: Final = 65_536
LEAST_ROWS: Final = 1_024
BATCH_BYTES: Final = 64 << 20
"""A batch of a Parquet has this many bytes, within these numbers of rows."""

_PARQUET: Final = frozenset({".parquet", ".pq"})


@dataclass(frozen=True, slots=True)
class RowBatch:
    """Some rows in file order, with their numbers in the user's file."""

    numbers: Cells
    rows: pa.RecordBatch | list[Any]
    """Columns of a file, or records."""
    ragged: Sequence[RaggedRow] = ()


class RowSource(Protocol):
    """Rows of one input."""

    @property
    def name(self) -> str:
        """Logical path of the user's file."""

    @property
    def types(self) -> Mapping[str, pa.DataType] | None:
        """The columns of every row and their types; None if each row has its own."""

    @property
    def strings(self) -> bool:
        """Whether cells are text as a CSV has it."""

    @property
    def rejected_before(self) -> int:
        """Rows that an earlier stage rejected."""

    @property
    def spelling(self) -> Spelling:
        """How columns of text write numbers and moments down."""

    @property
    def files(self) -> tuple[SourceFile, ...]:
        """The user's files that the rows are numbered through, if they are several."""

    @property
    def total_rows(self) -> int | None:
        """How many rows there are; None when only reading tells."""

    @property
    def total_bytes(self) -> int | None:
        """Size of the input; None for what is no file."""

    @property
    def read_bytes(self) -> int | None:
        """Bytes read so far; None where the rows are the measure."""

    @property
    def sha256(self) -> str:
        """Hash of the user's bytes, once the batches are exhausted."""

    def batches(self) -> Generator[RowBatch]:
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
        yield CsvRows(reader, name, Spelling.of(csv))


class CsvRows:
    """Rows of strings."""

    strings = True
    rejected_before = 0
    total_rows: int | None = None
    files: tuple[SourceFile, ...] = ()

    def __init__(self, reader: CsvReader, name: str, spelling: Spelling) -> None:
        """Read from ``reader``, once."""
        self._reader = reader
        self.spelling = spelling
        self.name = name
        self.types: Mapping[str, pa.DataType] | None = dict.fromkeys(reader.columns, pa.string())

    @property
    def total_bytes(self) -> int | None:
        """Size of the file."""
        return self._reader.total_bytes

    @property
    def read_bytes(self) -> int | None:
        """Bytes read so far, ahead of the rows."""
        return self._reader.read_bytes

    @property
    def sha256(self) -> str:
        """Hash of the file's bytes."""
        return self._reader.sha256

    def batches(self) -> Generator[RowBatch]:
        """Yield every row once, ragged ones apart."""
        for batch in self._reader.batches():
            yield replace(_numbered(batch.rows, 1), ragged=batch.ragged)


class ParquetRows:
    """Rows of a Parquet, jobu's own or somebody else's."""

    read_bytes: int | None = None

    def __init__(self, file: pq.ParquetFile, path: Path, name: str) -> None:
        """Read the footer; raises FileError for a file that has no usable rows."""
        self._file = file
        names = [field.name for field in file.schema_arrow]
        doubled = sorted({each for each in names if names.count(each) > 1})
        if doubled:
            raise FileError(f"{name}: columns given twice: {', '.join(doubled)}")
        ours = provenance_of(file)
        found = ours or Provenance(name, file_sha256(path))
        self._trusted = ours is not None
        self._path_name = name
        self.total_rows: int | None = file.metadata.num_rows
        self.total_bytes: int | None = path.stat().st_size
        self.name = found.source_file
        self.rejected_before = found.rejected
        self.files: tuple[SourceFile, ...] = found.files
        self.spelling = found.spelling
        self.sha256 = found.source_sha256
        types = {
            field.name: python_type(field.type)
            for field in file.schema_arrow
            if field.name != ROW_COLUMN
        }
        self.types: Mapping[str, pa.DataType] | None = types
        self.strings = found.values == "strings" and set(types.values()) <= {pa.string()}

    def batches(self) -> Generator[RowBatch]:
        """Yield every row once; rows without a number are counted from 1."""
        at = 0
        try:
            for batch in self._file.iter_batches(batch_size=_rows_a_batch(self._file)):
                read = readable(batch, self._path_name, trusted=self._trusted)
                yield _numbered(read, at + 1)
                at += batch.num_rows
        except (pa.ArrowException, OSError):
            raise FileError(f"{self._path_name}: after row {at}: cannot be read") from None


class RecordRows:
    """Records that came in the params themselves."""

    strings = False
    rejected_before = 0
    files: tuple[SourceFile, ...] = ()
    types: Mapping[str, pa.DataType] | None = None
    spelling = Spelling()
    total_bytes: int | None = None
    read_bytes: int | None = None

    def __init__(self, records: Sequence[object], name: str) -> None:
        """Take ``records``; their number is their place, from 1."""
        self._records = records
        self.total_rows: int | None = len(records)
        self.name = name
        written = json.dumps(records, sort_keys=True, default=str).encode()
        self.sha256 = hashlib.sha256(written).hexdigest()

    def batches(self) -> Generator[RowBatch]:
        """Yield every record once."""
        for at in range(0, len(self._records), MOST_ROWS):
            rows = list(self._records[at : at + MOST_ROWS])
            yield RowBatch(_counted(at + 1, len(rows)), rows)


def _numbered(batch: pa.RecordBatch, first: int) -> RowBatch:
    """Take the row numbers out of a batch; one without them is counted from ``first``."""
    at = batch.schema.get_field_index(ROW_COLUMN)
    if at < 0:
        return RowBatch(_counted(first, batch.num_rows), batch)
    numbers: Any = batch.column(at)
    return RowBatch(numbers, batch.remove_column(at))


def _counted(first: int, rows: int) -> Cells:
    return pa.array(range(first, first + rows), pa.int64())


def _rows_a_batch(file: pq.ParquetFile) -> int:
    """Return how many rows are about ``BATCH_BYTES``, by the file's own account."""
    groups = [file.metadata.row_group(at) for at in range(file.metadata.num_row_groups)]
    widest = max((each.total_byte_size // max(1, each.num_rows) for each in groups), default=0)
    return min(MOST_ROWS, max(LEAST_ROWS, BATCH_BYTES // max(1, widest)))


def _identity(path: Path, name: str) -> tuple[int, int, int]:
    try:
        found = path.stat()
    except OSError as error:
        raise FileError(f"{name}: cannot be opened: {error.strerror}") from None
    return found.st_ino, found.st_size, found.st_mtime_ns
