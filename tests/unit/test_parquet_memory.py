"""Reading a Parquet takes the memory of a few row groups, however many there are."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from jobu_core.pipeline.load.source import ParquetInput
from jobu_core.pipeline.parquet_writer import open_parquet

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

GROUPS = 40
GROUP_ROWS = 65_536
CELL_BYTES = 16
FILE_BYTES = GROUPS * GROUP_ROWS * CELL_BYTES


@pytest.fixture
def large(tmp_path: Path) -> Path:
    """Write a file of many row groups that no compression makes smaller."""
    seeded = random.Random(1)  # noqa: S311 - no secret
    path = tmp_path / "large.parquet"
    with pq.ParquetWriter(path, pa.schema([pa.field("text", pa.binary(CELL_BYTES))])) as writer:
        for _ in range(GROUPS):
            cells = pa.py_buffer(seeded.randbytes(GROUP_ROWS * CELL_BYTES))
            column = pa.Array.from_buffers(pa.binary(CELL_BYTES), GROUP_ROWS, [None, cells])
            writer.write_table(pa.table({"text": column}))
    return path


def test_a_validation_reads_in_bounded_memory(large: Path) -> None:
    """What was read is let go."""
    with open_parquet(large, "large") as file:
        assert _most_held(file.iter_batches(GROUP_ROWS)) < FILE_BYTES / 4


def test_a_load_reads_in_bounded_memory(large: Path) -> None:
    """A file larger than memory can be loaded."""
    with ParquetInput(large, "0" * 64).open() as source:
        assert _most_held(source.batches()) < FILE_BYTES / 4


def _most_held(batches: Iterable[pa.RecordBatch]) -> int:
    """Return the bytes that Arrow held at most, beside those it held before."""
    before = pa.total_allocated_bytes()
    return max(pa.total_allocated_bytes() - before for _ in batches)
