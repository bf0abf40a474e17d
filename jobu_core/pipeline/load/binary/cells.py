"""A column's values as the wire wants them, and what of an Arrow array numpy can look at.

The server takes any bytes of the right width as a value. Nothing here knows what
they mean: that, and every check, is the business of ``pairs.py``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    import pyarrow as pa
    from numpy.typing import NDArray

    Values = pa.Array[Any]

_Number = TypeVar("_Number", bound=np.generic)


@dataclass(frozen=True, slots=True)
class Fixed:
    """Values of one width."""

    cells: NDArray[Any]
    """(rows,) or (rows, parts) in the machine's byte order; anything where null."""
    valid: NDArray[np.bool_] | None
    """Which are not null; None: all."""


@dataclass(frozen=True, slots=True)
class Varying:
    """Values that each have a length of their own."""

    cells: Values
    """Of Arrow's type large_binary."""


Field = Fixed | Varying

if TYPE_CHECKING:
    EncodeBinary = Callable[[Values], Field]
    """Values of a column → its cells; raises DataError."""


def validity(values: Values) -> NDArray[np.bool_] | None:
    """Return which values are not null; None when all are."""
    if values.null_count == 0:
        return None
    bitmap = values.buffers()[0]
    if bitmap is None:  # an array of Arrow's type null has none
        return np.zeros(len(values), np.bool_)
    skipped = values.offset % 8
    bits = np.frombuffer(memoryview(bitmap), np.uint8, offset=values.offset // 8)
    found = np.unpackbits(bits, count=skipped + len(values), bitorder="little")[skipped:]
    return found.view(np.bool_)


def numbers(values: Values, kind: type[_Number], parts: int = 1) -> NDArray[_Number]:
    """Look at the values' own memory: (rows,), or (rows, parts) where one is several numbers."""
    found = _looked_at(values, 1, kind, values.offset * parts, len(values) * parts)
    return found if parts == 1 else found.reshape(-1, parts)


def offsets(values: Values) -> NDArray[np.int64]:
    """Return where each value of large_binary or large_string starts, and where the last ends."""
    if not len(values):
        return np.zeros(1, np.int64)
    return _looked_at(values, 1, np.int64, values.offset, len(values) + 1)


def data(values: Values) -> NDArray[np.uint8]:
    """Return the bytes of all values one after another, what nulls cover included."""
    bounds = offsets(values)
    start, end = int(bounds[0]), int(bounds[-1])
    return _looked_at(values, 2, np.uint8, start, end - start)


def _looked_at(
    values: Values, which: int, kind: type[_Number], first: int, count: int
) -> NDArray[_Number]:
    """Return ``count`` numbers of one of the array's buffers, without copying."""
    buffer = values.buffers()[which]
    if buffer is None or count == 0:
        return np.zeros(0, kind)
    skipped = first * np.dtype(kind).itemsize
    return np.frombuffer(memoryview(buffer), kind, count=count, offset=skipped)
