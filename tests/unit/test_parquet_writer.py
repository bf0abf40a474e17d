"""Parquet files: whole or absent, the same bytes for the same rows, with their origin."""

from __future__ import annotations

import os
import random
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from jobu_core.errors import FileError
from jobu_core.pipeline import parquet_writer
from jobu_core.pipeline.parquet_writer import (
    ROW_GROUP_ROWS,
    Provenance,
    file_sha256,
    read_provenance,
    write_parquet,
)
from jobu_core.pipeline.types import ROW_COLUMN

if TYPE_CHECKING:
    from pathlib import Path

    from jobu_core.pipeline.parquet_writer import Reader

FIELDS: list[pa.Field[Any]] = [pa.field("a", pa.int64()), pa.field("b", pa.string())]
SCHEMA = pa.schema(FIELDS)


def batch(start: int, count: int) -> pa.RecordBatch:
    """Return ``count`` rows that begin at ``start``."""
    numbers = range(start, start + count)
    return pa.record_batch(
        [pa.array(numbers, pa.int64()), pa.array([f"v{at % 97}" for at in numbers])], schema=SCHEMA
    )


def test_same_rows_give_the_same_bytes_whatever_the_batches(tmp_path: Path) -> None:
    """Row groups are cut by row count alone."""
    rows = ROW_GROUP_ROWS * 2 + 123
    seeded = random.Random(1)  # noqa: S311 - no secret
    hashes = set()
    for name, largest in (("one", rows), ("two", 40_000), ("three", 500)):
        with write_parquet(tmp_path / name, SCHEMA) as output:
            at = 0
            while at < rows:
                count = min(rows - at, rows if largest == rows else seeded.randint(1, largest))
                output.write(batch(at, count))
                at += count
            output.describe(Provenance("/data/a.csv", "0" * 64))
        hashes.add(file_sha256(tmp_path / name))
        file = pq.ParquetFile(tmp_path / name)
        groups = [file.metadata.row_group(at).num_rows for at in range(file.num_row_groups)]
        assert groups == [ROW_GROUP_ROWS, ROW_GROUP_ROWS, 123]
        assert file.read().equals(pa.Table.from_batches([batch(0, rows)]))
    assert len(hashes) == 1


def test_a_file_is_compressed_for_its_reader(tmp_path: Path) -> None:
    """The same rows: snappy for anyone, what is cheapest for jobu itself."""
    schema = pa.schema([pa.field(ROW_COLUMN, pa.int64(), nullable=False), *FIELDS])
    rows = pa.RecordBatch.from_arrays([pa.array(range(3)), *batch(0, 3).columns], schema=schema)
    expected: dict[Reader, tuple[str, str]]
    expected = {"anyone": ("SNAPPY", "PLAIN"), "jobu": ("LZ4", "DELTA_BINARY_PACKED")}
    for reader, (compression, encoding) in expected.items():
        with write_parquet(tmp_path / reader, schema, reader) as output:
            output.write(rows)
        with pq.ParquetFile(tmp_path / reader) as file:
            column = file.metadata.row_group(0).column(0)
            assert column.compression == compression
            assert encoding in column.encodings
            assert file.read().equals(pa.Table.from_batches([rows]))


def test_file_of_no_rows_has_its_schema(tmp_path: Path) -> None:
    """A header-only CSV still has columns."""
    with write_parquet(tmp_path / "x.parquet", SCHEMA):
        pass
    assert pq.read_table(tmp_path / "x.parquet").schema == SCHEMA


def test_failure_leaves_the_old_file_and_no_other(tmp_path: Path) -> None:
    """Readers see the file of before, or the new one in full."""
    path = tmp_path / "x.parquet"
    with write_parquet(path, SCHEMA) as output:
        output.write(batch(0, 3))
    before = path.read_bytes()

    def fail() -> None:
        with write_parquet(path, SCHEMA) as output:
            output.write(batch(0, ROW_GROUP_ROWS + 1))
            assert path.read_bytes() == before
            raise RuntimeError("the disk is full")

    with pytest.raises(RuntimeError, match="the disk is full"):
        fail()
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["x.parquet"]  # noqa: PTH208 - hidden files too


def test_file_that_cannot_be_read_back_is_not_published(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A lying disk is noticed before anybody reads the file."""
    real = parquet_writer.ParquetOutput.close

    def close_and_truncate(output: parquet_writer.ParquetOutput) -> None:
        real(output)
        (written,) = tmp_path.glob(".jobu-*")
        os.truncate(written, 100)

    monkeypatch.setattr(parquet_writer.ParquetOutput, "close", close_and_truncate)
    with (
        pytest.raises(FileError, match=r"x\.parquet"),
        write_parquet(tmp_path / "x.parquet", SCHEMA) as output,
    ):
        output.write(batch(0, 3))
    assert list(tmp_path.iterdir()) == []


def test_folders_on_the_way_are_made(tmp_path: Path) -> None:
    """An output path may be new; one that is a folder is refused."""
    path = tmp_path / "a" / "b" / "x.parquet"
    with write_parquet(path, SCHEMA):
        pass
    assert path.is_file()
    with pytest.raises(FileError, match="is a folder"), write_parquet(tmp_path / "a", SCHEMA):
        pass


def test_new_file_has_the_usual_permissions(tmp_path: Path) -> None:
    """Others who may read the folder may read the file."""
    with write_parquet(tmp_path / "x.parquet", SCHEMA):
        pass
    plain = tmp_path / "plain"
    plain.touch()
    assert (tmp_path / "x.parquet").stat().st_mode == plain.stat().st_mode


def test_origin_travels_in_the_footer(tmp_path: Path) -> None:
    """A file of another tool has none."""
    path = tmp_path / "x.parquet"
    origin = Provenance("/data/원본.csv", "ab" * 32, "strings", 7)
    with write_parquet(path, SCHEMA) as output:
        output.write(batch(0, 1))
        output.describe(origin)
    assert read_provenance(path) == origin
    pq.write_table(pa.table({"a": [1]}), path)
    assert read_provenance(path) is None


def test_what_is_no_parquet_is_named(tmp_path: Path) -> None:
    """By the name that the caller shows, not by the machine's path."""
    (tmp_path / "x.parquet").write_bytes(b"id\n1\n")
    for name in ("x.parquet", "missing.parquet"):
        with pytest.raises(FileError) as caught:
            read_provenance(tmp_path / name, "/data/x")
        assert str(caught.value).startswith("/data/x: ")
        assert str(tmp_path) not in str(caught.value)
