"""Where a load's rows come from: what is known of them, and the rows in bounded portions.

A Parquet file knows its counts, and the hash of the user's bytes, before the first
row; a stream knows them after the last. The engines ask ``facts`` and do before the
rows what can be done before them, and the rest after, in the same transaction.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol

import pyarrow as pa
import pyarrow.parquet as pq

from jobu_core.errors import FileError, SchemaMismatch

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Mapping
    from contextlib import AbstractContextManager
    from pathlib import Path

BATCH_ROWS: Final = 16_384


@dataclass(frozen=True, slots=True)
class Facts:
    """What the manifest says about the rows of a source, apart from how many landed."""

    rows: int
    """Rows to load, by the source's own count."""
    rejected: int
    """Rows of the user's file that were turned away on the way here."""
    sha256: str
    """Of the user's own bytes, never of an intermediate file."""


class Source(ABC):
    """An open source; jobu's own hidden columns are not among its columns."""

    name: str
    """What messages call it."""
    schema: pa.Schema
    nulls: Mapping[str, int]
    """Nulls per column, as far as they are known before the rows are read."""
    stage = "load"
    """How progress calls the reading of the rows."""
    total_bytes: int | None = None
    """Size of what is read, on disk."""

    @property
    def read_bytes(self) -> int | None:
        """Bytes of it that were read; None where the rows are the measure."""
        return None

    @property
    @abstractmethod
    def facts(self) -> Facts | None:
        """The counts and the hash; None as long as a stream has rows left."""

    @abstractmethod
    def batches(self) -> Generator[pa.RecordBatch]:
        """Yield the rows in file order.

        Raises FileError when bytes are damaged; a stream raises as well what its
        earlier stages raise, RowsRejected after its last row included. A second
        pass gives the same rows, but is possible only when the first was complete.
        """

    @abstractmethod
    def input_sha256(self) -> str:
        """Return the hash of the user's bytes, also of rows that were not read yet."""

    @abstractmethod
    def seal(self) -> None:
        """Put on disk what must be there before the rows are committed; repeatable.

        Called once all rows were sent and no guard speaks against them.
        """

    def known(self) -> Facts:
        """Return the facts of a source whose rows have been read."""
        found = self.facts
        if found is None:
            msg = f"{self.name}: asked for its counts before its last row"
            raise RuntimeError(msg)
        return found


class LoadInput(Protocol):
    """What a load request names: something that opens as a source, once per attempt."""

    def open(self) -> AbstractContextManager[Source]:
        """Open it for one load."""


@dataclass(frozen=True, slots=True)
class ParquetInput:
    """A Parquet file to load."""

    path: Path
    source_sha256: str
    """Of the user's own bytes, never of an intermediate file."""
    rejected: int = 0
    """Rows of the user's file that earlier stages turned away."""
    hidden: tuple[str, ...] = ()
    """Columns of the file that are jobu's own and not loaded."""

    @contextmanager
    def open(self) -> Iterator[Source]:
        """Open the file for one load; raises FileError when it is no Parquet file.

        Raises FileError as well when the file was changed meanwhile, and
        SchemaMismatch when two columns have the same name.
        """
        before = _identity(self.path)
        try:
            # Buffered ahead, it would keep every row group read so far.
            file = pq.ParquetFile(self.path, pre_buffer=False)
        except (pa.ArrowException, OSError) as error:
            raise FileError(f"{self.path.name}: is not a Parquet file: {error}") from error
        with file:
            yield ParquetSource(file, self)
        if _identity(self.path) != before:
            raise FileError(f"{self.path.name}: changed while it was loaded")


class ParquetSource(Source):
    """An open Parquet file."""

    def __init__(self, file: pq.ParquetFile, asked: ParquetInput) -> None:
        """Read the footer; raises SchemaMismatch when two columns have the same name."""
        fields = [field for field in file.schema_arrow if field.name not in asked.hidden]
        names = [field.name for field in fields]
        doubled = sorted({name for name in names if names.count(name) > 1})
        if doubled:
            raise SchemaMismatch(f"{asked.path.name}: columns given twice: {', '.join(doubled)}")
        self._file = file
        self._facts = Facts(file.metadata.num_rows, asked.rejected, asked.source_sha256)
        self.name = asked.path.name
        self.schema = pa.schema(fields)
        self.nulls = _nulls(file)
        self.total_bytes = asked.path.stat().st_size

    @property
    def facts(self) -> Facts:
        """What the footer and the request say."""
        return self._facts

    def batches(self) -> Generator[pa.RecordBatch]:
        """Yield the rows in file order; raises FileError when the bytes are damaged."""
        try:
            yield from self._file.iter_batches(batch_size=BATCH_ROWS, columns=self.schema.names)
        except (pa.ArrowException, OSError) as error:
            raise FileError(f"{self.name}: cannot be read as Parquet: {error}") from error

    def input_sha256(self) -> str:
        """Return the hash that the request gave."""
        return self._facts.sha256

    def seal(self) -> None:
        """Do nothing: the file is there."""


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
