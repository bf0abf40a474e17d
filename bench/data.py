"""Seeded data: narrow (4 columns) and wide (30 mixed columns), as CSV and Parquet.

The same seed and number of rows give the same files on every machine.
"""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import TYPE_CHECKING, Annotated, Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pyarrow import csv
from pydantic import BaseModel, Field, NaiveDatetime, create_model

from jobu_core.handlers.base import model
from jobu_core.pipeline.model_columns import columns_of_model

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SEED: Final = 20261124
CHUNK: Final = 500_000
"""Rows made at a time, so that a file may be larger than memory."""

_START: Final = 1_767_225_600  # 2026-01-01T00:00:00Z
_WORDS: Final = ("alpha", "서울특별시", "line, with comma", 'a "quoted" word', "부산", "omega")
Maker = Callable[[int, int], pa.Table]
"""Makes the rows from ``start`` on, ``count`` of them."""

_NULL_EVERY: Final = 5
_BAD_EVERY: Final = 20
_BAD_CELLS: Final = {"id": "12a", "name": "", "value": "-3.5", "created_at": "yesterday"}


@model("BenchNarrow")
class Narrow(BaseModel):
    """A row of the narrow file."""

    id: Annotated[int, Field(ge=1)]
    name: Annotated[str, Field(min_length=1, max_length=100)]
    value: Annotated[float, Field(ge=0)]
    created_at: NaiveDatetime


def _wide_fields() -> dict[str, Any]:
    amount = Annotated[Decimal, Field(max_digits=14, decimal_places=2)]
    return {
        **{f"int_{n}": (int, ...) for n in range(5)},
        **{f"maybe_int_{n}": (int | None, None) for n in range(3)},
        **{f"float_{n}": (float, ...) for n in range(4)},
        **{f"amount_{n}": (amount, ...) for n in range(4)},
        **{f"text_{n}": (Annotated[str, Field(max_length=100)], ...) for n in range(4)},
        **{f"maybe_text_{n}": (str | None, None) for n in range(4)},
        **{f"flag_{n}": (bool, ...) for n in range(3)},
        **{f"at_{n}": (NaiveDatetime, ...) for n in range(3)},
    }


Wide: Final = create_model("Wide", __doc__="A row of the wide file.", **_wide_fields())


def narrow_rows(start: int, count: int) -> pa.Table:
    """Return ``count`` typed rows of the narrow file from row ``start`` on."""
    rng = np.random.default_rng((SEED, start))
    ids = pa.array(np.arange(start + 1, start + count + 1))
    return pa.table(
        {
            "id": ids,
            "name": _joined("item-", ids),
            "value": pa.array(np.round(rng.random(count) * 10_000, 2)),
            "created_at": _instants(rng, count),
        },
    )


def wide_rows(start: int, count: int) -> pa.Table:
    """Return ``count`` typed rows of the wide file from row ``start`` on."""
    rng = np.random.default_rng((SEED, start, 30))
    makers: dict[str, Callable[[], pa.Array[Any]]] = {
        "int": lambda: pa.array(rng.integers(-(10**9), 10**9, count)),
        "float": lambda: pa.array(np.round(rng.normal(0, 1_000, count), 4)),
        "amount": lambda: _hundredths(rng.integers(-(10**9), 10**9, count)),
        "text": lambda: pa.array(rng.choice(_WORDS, count).tolist()),
        "flag": lambda: pa.array(rng.integers(0, 2, count) == 1),
        "at": lambda: _instants(rng, count),
    }
    return pa.table({name: _wide_column(name, makers, rng, count) for name in Wide.model_fields})


def _wide_column(
    name: str,
    makers: dict[str, Callable[[], pa.Array[Any]]],
    rng: np.random.Generator,
    count: int,
) -> pa.Array[Any]:
    kind = name.removeprefix("maybe_").rsplit("_", 1)[0]
    made = makers[kind]()
    if name.startswith("maybe_"):
        made = pc.if_else(pa.array(rng.integers(0, _NULL_EVERY, count) == 0), None, made)
    return made


def _joined(prefix: str, numbers: pa.Array[Any]) -> pa.Array[Any]:
    texts: Any = numbers.cast(pa.string())  # the stubs know no scalar among the parts
    joined: pa.Array[Any] = pc.binary_join_element_wise(prefix, texts, "")
    return joined


def _hundredths(cents: Any) -> pa.Array[Any]:  # noqa: ANN401 - numpy's own array type
    amounts = pc.multiply(pa.array(cents).cast(pa.decimal128(19, 0)), pa.scalar(Decimal("0.01")))
    exact: pa.Array[Any] = amounts.cast(pa.decimal128(14, 2))
    return exact


def _instants(rng: np.random.Generator, count: int) -> pa.Array[Any]:
    seconds = _START + rng.integers(0, 300 * 86_400, count)
    return pa.array(seconds).cast(pa.timestamp("s")).cast(pa.timestamp("us"))


def chunks(rows: int) -> Iterator[tuple[int, int]]:
    """Yield (start, count) of each part of a file with that many rows."""
    for start in range(0, rows, CHUNK):
        yield start, min(CHUNK, rows - start)


def as_text(table: pa.Table) -> pa.Table:
    """Return the rows as a CSV shows them; an instant without its needless fraction."""
    columns = zip(table.column_names, table.columns, strict=True)
    return pa.table({name: _text_of(column) for name, column in columns})


def _text_of(column: Any) -> Any:  # noqa: ANN401 - a chunked array of any type
    if pa.types.is_timestamp(column.type):
        return pc.strftime(column.cast(pa.timestamp("s")), "%Y-%m-%dT%H:%M:%S")
    return column.cast(pa.string())


def spoil(text: pa.Table) -> pa.Table:
    """Return narrow rows of which each twentieth has one bad cell, field by field in turn."""
    kinds = list(_BAD_CELLS)
    turn = np.arange(text.num_rows)
    columns: dict[str, Any] = {}
    for name in text.column_names:
        hit = (turn % _BAD_EVERY == 0) & (turn // _BAD_EVERY % len(kinds) == kinds.index(name))
        columns[name] = pc.if_else(pa.array(hit), _BAD_CELLS[name], text.column(name))
    return pa.table(columns)


def narrow_text(start: int, count: int) -> pa.Table:
    """Return clean narrow rows as text."""
    return as_text(narrow_rows(start, count))


def bad_narrow_text(start: int, count: int) -> pa.Table:
    """Return narrow rows as text, each twentieth of them bad."""
    return spoil(narrow_text(start, count))


def wide_text(start: int, count: int) -> pa.Table:
    """Return wide rows as text."""
    return as_text(wide_rows(start, count))


def write_csv(path: Path, make: Maker, rows: int) -> Path:
    """Write a CSV of text cells, quoted only where needed; empty cells are nulls."""
    options = csv.WriteOptions(quoting_style="needed")
    with csv.CSVWriter(path, make(0, 1).schema, write_options=options) as writer:
        for start, count in chunks(rows):
            writer.write_table(make(start, count))
    return path


def write_parquet(path: Path, make: Maker, rows: int) -> Path:
    """Write the same rows as Parquet, with the types that validation gives them."""
    with pq.ParquetWriter(path, make(0, 1).schema) as writer:
        for start, count in chunks(rows):
            writer.write_table(make(start, count))
    return path


def table_ddl(name: str, row: type[BaseModel], *, key: str | None = None) -> str:
    """Return the CREATE TABLE for a model's rows."""
    columns = [
        f"{column.name} {column.type.postgres}{'' if column.nullable else ' NOT NULL'}"
        for column in columns_of_model(row)
    ]
    if key is not None:
        columns.append(f"PRIMARY KEY ({key})")
    return f"CREATE TABLE {name} ({', '.join(columns)})"
