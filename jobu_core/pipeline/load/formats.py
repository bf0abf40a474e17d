"""The two formats that rows are sent to COPY in, and which of them a load takes.

Binary is taken when every column of the load is proven in it; one that is not
makes all of them go as CSV text. Both raise the same errors for the same values.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, LiteralString, TypeVar

import pyarrow as pa

from jobu_core.errors import DataError
from jobu_core.pipeline.load.binary.rows import HEADER, TRAILER, to_rows
from jobu_core.pipeline.load.wire import to_csv

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from jobu_core.pipeline.load.columns import ColumnPlan

_Encoded = TypeVar("_Encoded")


@dataclass(frozen=True, slots=True)
class Format:
    """How rows are told to COPY."""

    name: str
    """As ``jobu datasets try`` says it."""
    options: LiteralString
    """COPY's own words for it."""
    header: bytes
    trailer: bytes
    encode: Callable[[pa.RecordBatch, Sequence[ColumnPlan], int], memoryview]
    """Rows, columns, how many rows went before → bytes; raises DataError."""


def format_of(plans: Sequence[ColumnPlan]) -> Format:
    """Return the format that a load of these columns takes."""
    return CSV if any(plan.binary is None for plan in plans) else BINARY


def _as_csv(batch: pa.RecordBatch, plans: Sequence[ColumnPlan], before: int) -> memoryview:
    arrays = [_column(batch, plan, plan.encode, before) for plan in plans]
    return to_csv(pa.record_batch(arrays, names=[plan.name for plan in plans]))


def _as_binary(batch: pa.RecordBatch, plans: Sequence[ColumnPlan], before: int) -> memoryview:
    fields = [
        _column(batch, plan, plan.binary, before)
        for plan in plans
        if plan.binary is not None  # none of them is: ``format_of``
    ]
    return to_rows(fields, batch.num_rows)


CSV: Final = Format("COPY csv", "FORMAT csv, ENCODING 'UTF8'", b"", b"", _as_csv)
BINARY: Final = Format("COPY binary", "FORMAT binary", HEADER, TRAILER, _as_binary)


def _column(
    batch: pa.RecordBatch,
    plan: ColumnPlan,
    encode: Callable[[pa.Array[Any]], _Encoded],
    before: int,
) -> _Encoded:
    """Encode a column; an error says which one it is, and in which row."""
    values = batch.column(plan.name)
    if plan.required and values.null_count:
        at = before + 1 + values.is_valid().index(pa.scalar(False)).as_py()
        raise DataError(
            f"column {plan.name!r} has nulls and is NOT NULL in the table, "
            f"line {at} of the rows sent"
        )
    try:
        return encode(values)
    except DataError as error:
        at, first = _first_refused(encode, values, error)
        raise DataError(
            f"column {plan.name!r}: {first}, line {before + at} of the rows sent"
        ) from error


def _first_refused(
    encode: Callable[[pa.Array[Any]], object], values: pa.Array[Any], error: DataError
) -> tuple[int, DataError]:
    """Return the number of the first value that is refused, from 1 on, and its error."""
    fine, refused = 0, len(values)
    while refused - fine > 1:
        middle = (fine + refused) // 2
        try:
            encode(values.slice(fine, middle - fine))
        except DataError as earlier:
            refused, error = middle, earlier
        else:
            fine = middle
    return refused, error
