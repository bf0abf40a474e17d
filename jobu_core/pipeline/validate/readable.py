"""What of a Parquet's batch Python can hold: anything else is refused, never cut.

Python has no nanoseconds, no year 0 and no text that is not UTF-8; Arrow has all
three, and would lose the first without a word and stumble over the others.
"""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa

from jobu_core.errors import FileError
from jobu_core.pipeline.validate.kernels import pc

if TYPE_CHECKING:
    from jobu_core.pipeline.validate.proofs import Cells, Mask

_FIRST: Final = dt.datetime(1, 1, 1)  # noqa: DTZ001 - a bound, in the column's own clock
_LAST: Final = dt.datetime(9999, 12, 31, 23, 59, 59, 999_999)  # noqa: DTZ001 - idem
_LONGEST: Final = dt.timedelta.max // dt.timedelta(microseconds=1)
_INT64_MAX: Final = 2**63 - 1
_UTC: Final = (None, "UTC", "+00:00")


def python_type(arrow: pa.DataType) -> pa.DataType:
    """Return the type in which ``readable`` leaves a column."""
    kind: Any = arrow
    if getattr(kind, "unit", None) != "ns":
        return arrow
    if pa.types.is_timestamp(kind):
        return pa.timestamp("us", kind.tz)
    return pa.time64("us") if pa.types.is_time(kind) else pa.duration("us")


def readable(batch: pa.RecordBatch, name: str, *, trusted: bool) -> pa.RecordBatch:
    """Return the batch with nanoseconds as microseconds; raises FileError for a loss.

    ``trusted`` text was written by jobu, and is not looked at again.
    """
    for at, field in enumerate(batch.schema):
        cells = batch.column(at)
        exact = python_type(field.type)
        if exact != field.type:
            try:
                cells = cells.cast(exact)
            except pa.ArrowInvalid:
                raise FileError(
                    f"{name}: column {field.name!r} holds nanoseconds; write it in microseconds"
                ) from None
            batch = batch.set_column(at, field.with_type(exact), cells)
        if not trusted:
            _refuse_broken_text(cells, f"{name}: column {field.name!r}")
        _refuse_beyond_python(cells, f"{name}: column {field.name!r}")
    return batch


def _refuse_broken_text(cells: Cells, place: str) -> None:
    try:
        cells.validate(full=True)
    except pa.ArrowInvalid:
        raise FileError(f"{place}: holds text that is not UTF-8, or is damaged") from None


def _refuse_beyond_python(cells: Cells, place: str) -> None:
    mask = _beyond(cells)
    if mask is not None and pc.any(mask).as_py():
        raise FileError(f"{place}: holds a value outside the years 1 to 9999")


def _beyond(cells: Cells) -> Mask | None:
    arrow: Any = cells.type
    if pa.types.is_duration(arrow):
        spans = pc.abs_checked(cells.cast(pa.int64()))
        per_unit = {"s": 1_000_000, "ms": 1_000, "us": 1}[arrow.unit]
        return pc.greater(spans, pa.scalar(min(_LONGEST // per_unit, _INT64_MAX), pa.int64()))
    if not pa.types.is_date(arrow) and not pa.types.is_timestamp(arrow):
        return None
    first, last = _FIRST, _LAST
    if getattr(arrow, "tz", None) not in _UTC:  # its clock may be a day away from UTC's
        first, last = first + dt.timedelta(days=1), last - dt.timedelta(days=1)
    low: Cells
    high: Cells
    if pa.types.is_date(arrow):
        low, high = pa.scalar(first.date(), arrow), pa.scalar(last.date(), arrow)
    else:
        plain = pa.timestamp(arrow.unit)
        low, high = (pa.scalar(each, plain).cast(arrow) for each in (first, last))
    return pc.or_(pc.less(cells, low), pc.greater(cells, high))
