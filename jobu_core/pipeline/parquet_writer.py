"""Parquet that appears whole or not at all, and says where its rows came from.

Rows go to a temporary file beside the target; it is flushed to disk, its footer
and row count are read back, and only then it takes the target's name. The same
rows give the same bytes: row groups are cut by row count, whatever the batches.
"""

from __future__ import annotations

import hashlib
import json
import os
from contextlib import contextmanager
from dataclasses import astuple, dataclass, field
from typing import TYPE_CHECKING, Any, Final, Literal

import pyarrow as pa
import pyarrow.parquet as pq

from jobu_core.crash_points import reach
from jobu_core.errors import FileError
from jobu_core.pipeline.overlap import Behind
from jobu_core.pipeline.sources import SourceFile
from jobu_core.pipeline.spelling import Spelling
from jobu_core.pipeline.temporary import beside
from jobu_core.pipeline.types import ROW_COLUMN

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

ROW_GROUP_ROWS: Final = 65_536

Reader = Literal["anyone", "jobu"]
"""Who reads a file next: with ``anyone`` it has what every reader of Parquet knows,
with ``jobu`` what costs least to write and to read again."""

_SOURCE_FILE: Final = b"jobu.source_file"
_SOURCE_SHA256: Final = b"jobu.source_sha256"
_SOURCE_FILES: Final = b"jobu.source_files"
_VALUES: Final = b"jobu.values"
_SPELLING: Final = b"jobu.spelling"
_REJECTED: Final = b"jobu.rejected"
_CHUNK_BYTES: Final = 1 << 20
_DICTIONARY_BYTES: Final = 16 << 10
"""A column whose distinct values take more is written plain: Arrow's own limit of 1 MiB
builds a dictionary of nearly every value first and then gives it up."""


@dataclass(frozen=True, slots=True)
class Provenance:
    """Where the rows of a Parquet came from; kept in its footer."""

    source_file: str
    """Logical path of the user's file, or the pattern that several have."""
    source_sha256: str
    """Of the user's bytes, never of an intermediate Parquet (``sha256_of_files``)."""
    values: Literal["strings", "typed"] = "typed"
    """``strings``: cells as a CSV has them, not yet read as anything."""
    rejected: int = 0
    """Rows of the source that earlier stages turned away."""
    files: tuple[SourceFile, ...] = ()
    """The files that ``source_file`` stands for, in their order, if they are several."""
    spelling: Spelling = field(default_factory=Spelling)
    """How cells of text write numbers and moments down."""

    def as_metadata(self) -> dict[str, str]:
        """Return it as the footer has it; what is not there is left out."""
        found = {
            _SOURCE_FILE: self.source_file,
            _SOURCE_SHA256: self.source_sha256,
            _VALUES: self.values,
            _REJECTED: str(self.rejected),
        }
        if self.files:
            found[_SOURCE_FILES] = json.dumps([astuple(each) for each in self.files])
        if self.spelling:
            found[_SPELLING] = self.spelling.as_json()
        return {key.decode(): value for key, value in found.items()}


class ParquetOutput:
    """An open temporary Parquet; made by ``write_parquet``."""

    def __init__(self, path: Path, schema: pa.Schema, read_by: Reader) -> None:
        """Create the file at ``path``."""
        self._schema = schema
        self._writer = pq.ParquetWriter(path, schema, **_options(schema, read_by))
        self._behind = Behind(self._encode, depth=1)
        self._waiting: list[pa.RecordBatch] = []
        self._waiting_rows = 0
        self._provenance: Provenance | None = None
        self.rows = 0

    def write(self, batch: pa.RecordBatch) -> None:
        """Add rows; they reach the file a row group at a time."""
        self._waiting.append(batch)
        self._waiting_rows += batch.num_rows
        self.rows += batch.num_rows
        if self._waiting_rows >= ROW_GROUP_ROWS:
            self._flush(ROW_GROUP_ROWS)

    def describe(self, provenance: Provenance) -> None:
        """Put ``provenance`` into the footer."""
        self._provenance = provenance

    def close(self) -> None:
        """Write what waits, and the footer."""
        if self._waiting_rows:
            self._flush(1)
        self._behind.finish()
        if self._provenance is not None:
            self._writer.add_key_value_metadata(self._provenance.as_metadata())
        self._writer.close()

    def abandon(self) -> None:
        """Release the file without caring for its content."""
        self._waiting.clear()
        self._behind.drop()
        self._writer.close()

    def _flush(self, at_least: int) -> None:
        """Write whole row groups while ``at_least`` rows wait."""
        table = pa.Table.from_batches(self._waiting, schema=self._schema)
        at = 0
        while table.num_rows - at >= at_least:
            self._behind.put(table.slice(at, ROW_GROUP_ROWS))
            at += ROW_GROUP_ROWS
        self._waiting = table.slice(at).to_batches()
        self._waiting_rows = max(0, table.num_rows - at)

    def _encode(self, group: pa.Table) -> None:
        """Write one row group; in a thread, while the next rows are made."""
        self._writer.write_table(group.combine_chunks(), row_group_size=ROW_GROUP_ROWS)


def _options(schema: pa.Schema, read_by: Reader) -> dict[str, Any]:
    """Return how the columns are compressed; row numbers that follow each other are deltas."""
    if read_by == "anyone":
        return {"compression": "snappy", "dictionary_pagesize_limit": _DICTIONARY_BYTES}
    numbered = {name: "DELTA_BINARY_PACKED" for name in schema.names if name == ROW_COLUMN}
    return {
        "compression": "lz4",
        "dictionary_pagesize_limit": _DICTIONARY_BYTES,
        "use_dictionary": [name for name in schema.names if name != ROW_COLUMN],
        "column_encoding": numbered or None,
    }


@contextmanager
def write_parquet(
    path: Path, schema: pa.Schema, read_by: Reader = "anyone"
) -> Iterator[ParquetOutput]:
    """Open ``path`` for writing; it exists in full after the block, or is as before.

    Raises FileError when what was written cannot be read back as it should be.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.is_dir():
        raise FileError(f"{path.name}: is a folder, not a file to write")
    with beside(path) as temporary:
        output = ParquetOutput(temporary, schema, read_by)
        try:
            yield output
        except BaseException:
            output.abandon()
            raise
        output.close()
        _sync(temporary)
        _read_back(temporary, path.name, output.rows, schema)
        reach("parquet.written")
        temporary.replace(path)
        reach("parquet.renamed")
        _sync(path.parent)


def open_parquet(path: Path, name: str) -> pq.ParquetFile:
    """Open a Parquet file to read; raises FileError that calls it ``name``."""
    try:
        # Buffered ahead, every row group that was read would stay until the file is closed.
        return pq.ParquetFile(path, memory_map=False, pre_buffer=False)
    except FileNotFoundError:
        raise FileError(f"{name}: no such file") from None
    except (pa.ArrowInvalid, OSError) as error:
        raise FileError(f"{name}: cannot be read as Parquet: {type(error).__name__}") from None


def read_provenance(path: Path, name: str | None = None) -> Provenance | None:
    """Return what jobu wrote into the footer, or None for somebody else's file."""
    with open_parquet(path, name or path.name) as file:
        return provenance_of(file)


def provenance_of(file: pq.ParquetFile) -> Provenance | None:
    """Return what jobu wrote into the footer of an open file, or None."""
    found: dict[bytes, bytes] = file.metadata.metadata or {}
    if _SOURCE_SHA256 not in found or _SOURCE_FILE not in found:
        return None
    return Provenance(
        source_file=found[_SOURCE_FILE].decode(),
        source_sha256=found[_SOURCE_SHA256].decode(),
        values="strings" if found.get(_VALUES) == b"strings" else "typed",
        rejected=int(found.get(_REJECTED, b"0")),
        spelling=Spelling.from_json(found.get(_SPELLING, b"{}").decode()),
        files=tuple(SourceFile(*each) for each in json.loads(found.get(_SOURCE_FILES, b"[]"))),
    )


def file_sha256(path: Path) -> str:
    """Return the sha256 of a file's bytes."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


def _read_back(path: Path, name: str, rows: int, schema: pa.Schema) -> None:
    with open_parquet(path, name) as file:
        found: Any = file.metadata.num_rows
        if found != rows or not file.schema_arrow.equals(schema):
            raise FileError(f"{name}: wrote {rows} rows, read back {found} or another schema")


def _sync(path: Path) -> None:
    """Flush a file or a folder to disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
