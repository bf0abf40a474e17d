"""Columns side by side as rows of COPY's binary format.

A row is the number of its fields, then for each its length (−1: null) and its
bytes. Neighbours of one width become one block per row; Arrow joins the blocks
with the values between them, row by row, in one pass.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from jobu_core.errors import DataError
from jobu_core.pipeline.load.binary.cells import Fixed, offsets, validity

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from jobu_core.pipeline.load.binary.cells import Field, Values

HEADER: Final = b"PGCOPY\n\xff\r\n\0" + bytes(8)
"""Signature, no flags, no extension."""

TRAILER: Final = b"\xff\xff"

_NULL: Final = -1
_MOST_BYTES: Final = 2**30
"""More than any field may have in PostgreSQL, and less than its length can say."""
_EMPTY: Final = pa.scalar(b"", pa.large_binary())
_NULL_IS_EMPTY: Final = pc.JoinOptions(null_handling="replace", null_replacement="")


def to_rows(fields: Sequence[Field], rows: int) -> memoryview:
    """Return ``rows`` rows of these columns; raises DataError for a value of 1 GB."""
    joint = _Joint(rows, len(fields))
    for field in fields:
        joint.add(field)
    return joint.bytes()


class _Joint:
    """Blocks of one width, and the values between them, in the order of a row."""

    def __init__(self, rows: int, fields: int) -> None:
        self._rows = rows
        self._pieces: list[Values] = []
        self._block: list[NDArray[Any] | np.integer[Any]] = [np.int16(fields)]

    def add(self, field: Field) -> None:
        """Put a column beside those that are there."""
        if not isinstance(field, Fixed):
            self._block.append(_lengths(field.cells))
            self._close()
            self._pieces.append(field.cells)
        elif field.valid is None:
            self._block += [np.int32(_width(field.cells)), field.cells]
        else:
            lengths = np.where(field.valid, np.int32(_width(field.cells)), np.int32(_NULL))
            self._block.append(lengths)
            self._close()
            self._pieces.append(_as_binary(_big_endian([field.cells], self._rows), field.valid))

    def bytes(self) -> memoryview:
        """Return the rows."""
        if not self._pieces:
            return memoryview(_big_endian(self._block, self._rows).view(np.uint8).data)
        if self._block:
            self._close()
        joined = pc.call_function(
            "binary_join_element_wise", [*self._pieces, _EMPTY], _NULL_IS_EMPTY
        )
        return memoryview(joined.buffers()[2])[: int(offsets(joined)[-1])]

    def _close(self) -> None:
        self._pieces.append(_as_binary(_big_endian(self._block, self._rows)))
        self._block = []


def _width(cells: NDArray[Any]) -> int:
    return cells.itemsize * (cells.shape[1] if cells.ndim > 1 else 1)


def _lengths(values: Values) -> NDArray[np.int32]:
    found = np.diff(offsets(values))
    valid = validity(values)
    if valid is not None:
        found = np.where(valid, found, _NULL)
    longest = int(found.max(initial=0))
    if longest >= _MOST_BYTES:
        raise DataError(f"a value has {longest} bytes, which is more than PostgreSQL takes")
    return found.astype(np.int32)


def _big_endian(parts: Sequence[NDArray[Any] | np.integer[Any]], rows: int) -> NDArray[Any]:
    """Return a block per row that holds one of each part; numbers are the same in all."""
    made = np.dtype(
        [(f"{at}", part.dtype.newbyteorder(">"), part.shape[1:]) for at, part in enumerate(parts)],
    )
    block = np.empty(rows, made)
    for at, part in enumerate(parts):
        block[f"{at}"] = part
    return block


def _as_binary(block: NDArray[Any], valid: NDArray[np.bool_] | None = None) -> Values:
    bitmap = None if valid is None else pa.py_buffer(np.packbits(valid, bitorder="little").data)
    bounds = np.arange(len(block) + 1, dtype=np.int64) * block.itemsize
    return pa.Array.from_buffers(
        pa.large_binary(),
        len(block),
        [bitmap, pa.py_buffer(bounds.data), pa.py_buffer(block.data)],
    )
