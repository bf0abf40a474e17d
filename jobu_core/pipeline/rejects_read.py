"""Files of rejects, read again: the first of them for people, all of them by row."""

from __future__ import annotations

from operator import itemgetter
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq

from jobu_core.errors import InvalidInput
from jobu_core.pipeline.rejects import REJECTS_SCHEMA

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from jobu_core.pipeline.sources import RowPlaces


def first_rejects(files: Iterable[Path], most: int) -> tuple[list[dict[str, Any]], int]:
    """Return at most so many problems in the order of the user's rows, and how many there are.

    Raises InvalidInput for a file that holds something else.
    """
    found: list[dict[str, Any]] = []
    total = 0
    for path in files:
        try:
            with pq.ParquetFile(path) as file:
                if file.schema_arrow.names != REJECTS_SCHEMA.names:
                    raise InvalidInput(f"{path.name}: is no file of rejects")
                total += file.metadata.num_rows
                found += next(file.iter_batches(batch_size=most)).to_pylist()
        except (pa.ArrowException, OSError):
            raise InvalidInput(f"{path.name}: is no file of rejects") from None
    return sorted(found, key=itemgetter("source_file", "row_number"))[:most], total


def problems_by_row(files: Iterable[Path], places: RowPlaces) -> dict[int, str]:
    """Return what is wrong with each row, in the order of the user's rows.

    Rows of several files are numbered through, as ``places`` says.
    """
    found: dict[int, list[str]] = {}
    for path in files:
        table = pq.read_table(path, columns=["source_file", "row_number", "field", "message"])
        for row in table.to_pylist():
            number = row["row_number"]
            if places.several:
                number = places.number(row["source_file"], number)
            field = f"{row['field']}: " if row["field"] else ""
            found.setdefault(number, []).append(field + row["message"])
    return {number: "; ".join(found[number]) for number in sorted(found)}
