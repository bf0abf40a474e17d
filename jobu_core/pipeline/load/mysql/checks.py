"""A column's type, and the checks that encoders are made of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

from jobu_core.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Callable

    Values = pa.Array[Any]
    Encode = Callable[[Values], Values]
    """Values of a column → values whose text the server reads exactly; raises DataError."""


@dataclass(frozen=True, slots=True)
class TargetType:
    """A column's type, as information_schema tells it."""

    name: str
    """``DATA_TYPE``: int, varchar, decimal, …"""
    unsigned: bool = False
    length: int | None = None
    """In characters, of bytes in binary types."""
    octets: int | None = None
    digits: int | None = None
    places: int | None = None
    fraction: int | None = None
    """Digits kept of a second."""
    charset: str | None = None
    members: tuple[str, ...] = ()
    """Of an enum."""
    holds_json: bool = False
    """MariaDB's JSON: a longtext that is checked to be JSON."""


def plain(values: Values) -> Values:
    """Return values whose text is exact as it is."""
    return values


def cast(to: pa.DataType) -> Encode:
    """Return a cast that refuses what would lose something."""

    def encode(values: Values) -> Values:
        try:
            return values.cast(to, safe=True)
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
            raise DataError(f"a value of {values.type} does not fit {to} without loss") from None

    return encode


def between(least: object, most: object, shown: str) -> Encode:
    """Return a check that all values are within the type's range."""

    def encode(values: Values) -> Values:
        low, high = (pc.call_function(edge, [values]).as_py() for edge in ("min", "max"))
        if low is not None and (low < least or high > most):
            raise DataError(f"a value is out of the range of {shown}")
        return values

    return encode


def then(*steps: Encode) -> Encode:
    """Return one step after the other."""

    def encode(values: Values) -> Values:
        for step in steps:
            values = step(values)
        return values

    return encode
