"""Which Arrow type may go into which column type, and how its values are written.

Rows travel as CSV text that the server parses and range-checks. What text alone
would change without a word (a decimal's scale, nanoseconds, trailing blanks) is
cast and checked here first. A pair that is not listed is refused: there is no
"try it and see".
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, cast

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv

from jobu_core.errors import DataError
from jobu_core.pipeline.load.binary.cells import data, offsets

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    Values = pa.Array[Any]
    Encode = Callable[[Values], Values]
    """Values of a column → values that ``to_csv`` writes exactly; raises DataError."""

_MICROSECONDS: Final = 6
_VARLENA_HEADER: Final = 4
_MAX_DECIMAL128: Final = 38
_NO_LIMIT: Final = -1
_NUL: Final = pc.MatchSubstringOptions("\0")
_CSV: Final = pa_csv.WriteOptions(include_header=False, quoting_style="needed")


@dataclass(frozen=True, slots=True)
class TargetType:
    """A column's type in PostgreSQL, domains resolved to what they are made of."""

    name: str
    """``typname``: int8, text, numeric, …"""
    modifier: int = _NO_LIMIT
    """``atttypmod``: length, precision and scale."""
    is_enum: bool = False
    is_stock: bool = True
    """Whether the type lives in pg_catalog."""

    @property
    def key(self) -> str:
        """What the tables of pairs call it."""
        if self.is_enum:
            return "enum"
        if self.is_stock or self.name == "citext":
            return self.name
        return f"{self.name} of a user's own making"


def encoder(source: pa.DataType, target: TargetType) -> Encode | None:
    """Return how values of ``source`` are written for ``target``; None = refused."""
    if isinstance(source, pa.DictionaryType):
        inner, plain = encoder(source.value_type, target), cast_to(source.value_type)
        return None if inner is None else lambda values: inner(plain(values))
    if pa.types.is_null(source):
        return _plain
    for belongs, into in _PAIRS:
        if belongs(source):
            found = into.get(target.key)
            return None if found is None else found(source, target)
    return None


def to_csv(batch: pa.RecordBatch) -> memoryview:
    """Return encoded rows as CSV without header: null is unquoted and empty."""
    sink = pa.BufferOutputStream()
    pa_csv.write_csv(batch, sink, _CSV)
    return memoryview(sink.getvalue())


def _plain(values: Values) -> Values:
    return values


def _as_is(_source: pa.DataType, _target: TargetType) -> Encode:
    return _plain


def cast_to(to: pa.DataType) -> Encode:
    """Return a cast that raises DataError rather than lose anything."""

    def encode(values: Values) -> Values:
        try:
            return values.cast(to, safe=True)
        except pa.ArrowInvalid:
            raise DataError(f"a value of {values.type} does not fit {to} without loss") from None

    return encode


def _widened(to: pa.DataType) -> Callable[[pa.DataType, TargetType], Encode]:
    return lambda _source, _target: cast_to(to)


def _integer_as_numeric(_source: pa.DataType, target: TargetType) -> Encode | None:
    _, scale = precision_and_scale(target)
    return _plain if scale is None or scale >= 0 else None


def _decimal(source: pa.DataType, target: TargetType) -> Encode | None:
    """Let the server check the digits before the point; it would round those after."""
    kind = cast("pa.Decimal128Type", source)  # or a narrower or wider one
    _, scale = precision_and_scale(target)
    if scale is None or kind.scale <= scale:
        return _plain
    kept = max(1, kind.precision - (kind.scale - scale))
    if kind.precision <= _MAX_DECIMAL128:
        return cast_to(pa.decimal128(kept, scale))
    return cast_to(pa.decimal256(kept, scale))


def precision_and_scale(target: TargetType) -> tuple[int | None, int | None]:
    """Return the digits of a numeric column, in all and after the point; None: unbounded."""
    if target.modifier == _NO_LIMIT:
        return None, None
    packed = target.modifier - _VARLENA_HEADER
    return (packed >> 16) & 0xFFFF, ((packed & 0x7FF) ^ 1024) - 1024


def _text(_source: pa.DataType, _target: TargetType) -> Encode:
    """Refuse NUL here, where the column is known; the server only knows the line."""
    as_string = cast_to(pa.large_string())

    def encode(values: Values) -> Values:
        found = as_string(values)
        if _holds_nul(found):
            raise DataError("a text holds NUL, which PostgreSQL cannot store")
        return found

    return encode


def _holds_nul(texts: Values) -> bool:
    """Look at all bytes at once first; a zero byte may be one that a null covers."""
    if data(texts).min(initial=1) != 0:
        return False
    return bool(pc.any(pc.call_function("match_substring", [texts], _NUL)).as_py())


def _bounded_text(source: pa.DataType, target: TargetType) -> Encode:
    """Refuse longer text here: the server cuts blanks beyond the limit in silence."""
    checked = _text(source, target)
    if target.modifier == _NO_LIMIT:
        return checked
    limit = target.modifier - _VARLENA_HEADER

    def encode(values: Values) -> Values:
        found = checked(values)
        if np.diff(offsets(found)).max(initial=0) <= limit:  # bytes: letters are not more
            return found
        longest = pc.max(pc.call_function("utf8_length", [found])).as_py()
        if longest is not None and longest > limit:
            raise DataError(f"a text has {longest} characters; the column takes {limit}")
        return found

    return encode


def _timestamp(source: pa.DataType, target: TargetType) -> Encode | None:
    assert isinstance(source, pa.TimestampType)  # noqa: S101 - narrows a type
    if target.modifier not in {_NO_LIMIT, _MICROSECONDS}:
        return None
    if (source.tz is not None) != (target.name == "timestamptz"):
        return None
    return cast_to(pa.timestamp("us", tz=None if source.tz is None else "UTC"))


def _time(_source: pa.DataType, target: TargetType) -> Encode | None:
    return cast_to(pa.time64("us")) if target.modifier in {_NO_LIMIT, _MICROSECONDS} else None


def _interval(_source: pa.DataType, target: TargetType) -> Encode | None:
    if target.modifier != _NO_LIMIT:
        return None
    exact = cast_to(pa.duration("us"))

    def encode(values: Values) -> Values:
        counted = exact(values).cast(pa.int64()).cast(pa.string()).to_pylist()
        return pa.array(
            [None if count is None else f"{count} microseconds" for count in counted],
            pa.string(),
        )

    return encode


def _bytes(_source: pa.DataType, _target: TargetType) -> Encode:
    def encode(values: Values) -> Values:
        return pa.array(
            [None if value is None else f"\\x{value.hex()}" for value in values.to_pylist()],
            pa.string(),
        )

    return encode


def _json(source: pa.DataType, _target: TargetType) -> Encode | None:
    if not _fits_json(source):
        return None

    def encode(values: Values) -> Values:
        try:
            return pa.array(
                [
                    None if value is None else json.dumps(value, allow_nan=False)
                    for value in values.to_pylist()
                ],
                pa.string(),
            )
        except ValueError:
            raise DataError("a list or object holds NaN or infinity, which JSON has not") from None

    return encode


def _fits_json(source: pa.DataType) -> bool:
    if pa.types.is_struct(source):
        return all(_fits_json(source.field(at).type) for at in range(source.num_fields))
    if isinstance(source, (pa.ListType, pa.LargeListType)):
        return _fits_json(source.value_type)
    return bool(
        pa.types.is_integer(source)
        or pa.types.is_float64(source)
        or pa.types.is_boolean(source)
        or pa.types.is_null(source)
        or is_text(source),
    )


def is_text(source: pa.DataType) -> bool:
    """Whether the type is one of text."""
    return (
        pa.types.is_string(source)
        or pa.types.is_large_string(source)
        or pa.types.is_string_view(source)
    )


def is_bytes(source: pa.DataType) -> bool:
    """Whether the type is one of bytes."""
    return (
        pa.types.is_binary(source)
        or pa.types.is_large_binary(source)
        or pa.types.is_fixed_size_binary(source)
    )


def is_nested(source: pa.DataType) -> bool:
    """Whether the type is one of objects or lists."""
    return pa.types.is_struct(source) or pa.types.is_list(source) or pa.types.is_large_list(source)


_PAIRS: Final[tuple[tuple[Callable[[pa.DataType], bool], Mapping[str, Any]], ...]] = (
    (
        pa.types.is_integer,
        {"int2": _as_is, "int4": _as_is, "int8": _as_is, "numeric": _integer_as_numeric},
    ),
    (pa.types.is_float64, {"float8": _as_is}),
    (pa.types.is_float32, {"float4": _as_is, "float8": _widened(pa.float64())}),
    (pa.types.is_decimal, {"numeric": _decimal}),
    (pa.types.is_boolean, {"bool": _as_is}),
    (
        is_text,
        {
            "text": _text,
            "varchar": _bounded_text,
            "bpchar": _bounded_text,
            "citext": _text,
            "json": _text,
            "jsonb": _text,
            "uuid": _text,
            "enum": _text,
        },
    ),
    (pa.types.is_date, {"date": _widened(pa.date32())}),
    (pa.types.is_timestamp, {"timestamp": _timestamp, "timestamptz": _timestamp}),
    (pa.types.is_time, {"time": _time}),
    (pa.types.is_duration, {"interval": _interval}),
    (is_bytes, {"bytea": _bytes}),
    (is_nested, {"json": _json, "jsonb": _json}),
)
"""Arrow family → column type → encoder. The only pairs that are loaded."""
