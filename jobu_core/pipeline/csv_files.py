"""Several CSV files as one stream: the columns of the first, rows numbered through.

Each file is read, hashed and watched on its own (``csv_reader.py``); a header that
does not have the first one's columns is an error of its file.
"""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

from jobu_core.errors import FileError
from jobu_core.pipeline.csv_reader import BLOCK_BYTES, CsvBatch, open_csv
from jobu_core.pipeline.sources import RowPlaces, SourceFile, sha256_of_files
from jobu_core.pipeline.types import ROW_COLUMN
from jobu_core.pipeline.validate.kernels import pc

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Mapping, Sequence

    from jobu_core.config.datasets import CsvOptions
    from jobu_core.pipeline.csv_reader import CsvReader
    from jobu_core.pipeline.sources import InputFile


class CsvFiles:
    """One pass over one or more files; made by ``open_csv_files``."""

    def __init__(
        self,
        files: Sequence[InputFile],
        *,
        options: CsvOptions,
        rename: Mapping[str, str],
        block_bytes: int = BLOCK_BYTES,
    ) -> None:
        """Open the first file; ``close`` closes the one that is open."""
        self._files = list(files)
        self._options = options
        self._rename = rename
        self._block_bytes = block_bytes
        self._open = ExitStack()
        self._done: list[SourceFile] = []
        self._rows_before = 0
        self._bytes_before = 0
        self.places = RowPlaces()
        """Which file each row number belongs to, as far as files were opened."""
        self._reader = self._opened(0)
        self.columns = self._reader.columns
        self.schema = self._reader.schema

    @property
    def rows_read(self) -> int:
        """Data rows of all files so far, ragged ones included."""
        return self._rows_before + self._reader.rows_read

    @property
    def total_bytes(self) -> int:
        """Size on disk of all files."""
        return sum(each.path.stat().st_size for each in self._files)

    @property
    def read_bytes(self) -> int:
        """Bytes on disk of all files so far; the parser reads ahead of the rows."""
        return self._bytes_before + self._reader.read_bytes

    @property
    def files(self) -> tuple[SourceFile, ...]:
        """The files that were read to their end."""
        return tuple(self._done)

    @property
    def sha256(self) -> str:
        """Hash of the input's bytes, once ``batches`` is exhausted."""
        return sha256_of_files(each.sha256 for each in self._done)

    def batches(self) -> Generator[CsvBatch]:
        """Yield every row once; a batch holds rows of one file only."""
        for at in range(len(self._files)):
            if at:
                self._reader = self._opened(at)
            for batch in self._reader.batches():
                yield self._numbered_through(batch, at)
            self._done.append(
                SourceFile(self._files[at].name, self._reader.sha256, self._reader.rows_read)
            )
            if at + 1 < len(self._files):
                self._rows_before += self._reader.rows_read
                self._bytes_before += self._reader.read_bytes
                self._open.close()

    def close(self) -> None:
        """Close the file that is open."""
        self._open.close()

    def _opened(self, at: int) -> CsvReader:
        file = self._files[at]
        reader = self._open.enter_context(
            open_csv(
                file.path,
                name=file.name,
                options=self._options,
                rename=self._rename,
                block_bytes=self._block_bytes,
            )
        )
        if at:
            self._refuse_other_columns(reader, file.name)
        self.places.begin(file.name, self._rows_before)
        return reader

    def _refuse_other_columns(self, reader: CsvReader, name: str) -> None:
        wanted, found = self.columns, reader.columns
        problems = [
            *(f"no column {column!r}" for column in wanted if column not in found),
            *(f"column {column!r} is only here" for column in found if column not in wanted),
        ]
        if problems:
            raise FileError(
                f"{name}: header: not the columns of {self._files[0].name}: " + "; ".join(problems)
            )

    def _numbered_through(self, batch: CsvBatch, at: int) -> CsvBatch:
        if not at:
            return batch
        rows, before = batch.rows, self._rows_before
        if rows.schema.names != self.schema.names:
            rows = rows.select(self.schema.names)
        numbers = pc.add(rows.column(ROW_COLUMN), before)
        rows = rows.set_column(0, self.schema.field(0), numbers)
        ragged = tuple(replace(row, number=row.number + before) for row in batch.ragged)
        return CsvBatch(rows, ragged, at)


@contextmanager
def open_csv_files(
    files: Sequence[InputFile],
    *,
    options: CsvOptions,
    rename: Mapping[str, str],
    block_bytes: int = BLOCK_BYTES,
) -> Iterator[CsvFiles]:
    """Open one or more files for one pass, in their order.

    Raises what ``open_csv`` raises, and FileError for a file whose columns are not
    those of the first; their order may differ.
    """
    reader = CsvFiles(files, options=options, rename=rename, block_bytes=block_bytes)
    try:
        yield reader
    finally:
        reader.close()
