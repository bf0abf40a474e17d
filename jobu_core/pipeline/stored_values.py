"""A validated Python value → what its column stores, exactly, or a refusal.

Nothing is rounded, cut or reinterpreted: a value that its column cannot hold as
it is raises ``NotStorable``, and the row becomes a reject with that rule.
"""

from __future__ import annotations

import datetime as dt
import enum
import json
from decimal import Context, Decimal, InvalidOperation
from pathlib import PurePath
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

import pyarrow as pa
from pydantic import AnyUrl
from pydantic_core import PydanticSerializationError, to_jsonable_python

from jobu_core.pipeline import types

if TYPE_CHECKING:
    from collections.abc import Callable

    from jobu_core.pipeline.types import Column

OUT_OF_STORAGE_RANGE: Final = "out_of_storage_range"
NUL_CHARACTER: Final = "nul_character"
NOT_UNICODE: Final = "not_unicode"
NULL_NOT_ALLOWED: Final = "null_not_allowed"
TIME_ZONE_UNEXPECTED: Final = "time_zone_unexpected"
TIME_ZONE_MISSING: Final = "time_zone_missing"
NOT_JSON: Final = "not_json"
OUTPUT_TYPE: Final = "output_type"

_INT64_MIN: Final = -(2**63)
_INT64_MAX: Final = 2**63 - 1
_MICROSECOND: Final = dt.timedelta(microseconds=1)
_EXACT: Final = Context(prec=types.MAX_DECIMAL_DIGITS, traps=[InvalidOperation])


class NotStorable(ValueError):  # noqa: N818 - a verdict on one value, not an error of the program
    """A valid value that its column cannot hold; ``rule`` is the reject's code."""

    def __init__(self, rule: str, message: str) -> None:
        """Say which rule and why, without the value."""
        super().__init__(message)
        self.rule = rule
        self.message = message


def storer(column: Column) -> Callable[[object], Any]:
    """Return the function that turns a validated value into ``column``'s.

    It raises NotStorable; null is passed through where the column allows it.
    """
    convert = _converter(column)

    def store(value: object) -> Any:  # noqa: ANN401 - what Arrow takes
        if value is None:
            if column.nullable:
                return None
            raise NotStorable(NULL_NOT_ALLOWED, "a validator returned null for a required field")
        return convert(value.value if isinstance(value, enum.Enum) else value)

    return store


def _converter(column: Column) -> Callable[[Any], Any]:
    if isinstance(column.type.arrow, pa.Decimal128Type):
        return _decimal_converter(column.type.arrow)
    return _CONVERTERS[column.type.name]


def _int(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise _other_type("int", value)
    if not _INT64_MIN <= value <= _INT64_MAX:
        raise NotStorable(OUT_OF_STORAGE_RANGE, "the integer does not fit in 64 bits")
    return int(value)


def _float(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise _other_type("float", value)
    try:
        return float(value)
    except OverflowError:
        raise NotStorable(OUT_OF_STORAGE_RANGE, "the integer does not fit a float") from None


def _bool(value: object) -> bool:
    if not isinstance(value, bool):
        raise _other_type("bool", value)
    return value


def _text(value: object) -> str:
    if isinstance(value, AnyUrl | PurePath):
        value = str(value)
    if not isinstance(value, str):
        raise _other_type("str", value)
    if "\0" in value:
        raise NotStorable(NUL_CHARACTER, "text cannot contain the character NUL")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise NotStorable(NOT_UNICODE, "the text holds a lone surrogate") from None
    return str(value)


def _bytes(value: object) -> bytes:
    if not isinstance(value, bytes | bytearray):
        raise _other_type("bytes", value)
    return bytes(value)


def _date(value: object) -> dt.date:
    if isinstance(value, dt.datetime) or not isinstance(value, dt.date):
        raise _other_type("date", value)
    return value


def _time(value: object) -> dt.time:
    if not isinstance(value, dt.time):
        raise _other_type("time", value)
    if value.tzinfo is not None:
        raise NotStorable(TIME_ZONE_UNEXPECTED, "a time of day is stored without a time zone")
    return value


def _datetime(value: object) -> dt.datetime:
    if not isinstance(value, dt.datetime):
        raise _other_type("datetime", value)
    if value.tzinfo is not None:
        raise NotStorable(
            TIME_ZONE_UNEXPECTED,
            "the field is a datetime without time zone; declare AwareDatetime to keep the zone",
        )
    return value


def _datetimetz(value: object) -> dt.datetime:
    if not isinstance(value, dt.datetime):
        raise _other_type("datetime", value)
    if value.tzinfo is None:
        raise NotStorable(TIME_ZONE_MISSING, "the column needs a time zone")
    try:
        return value.astimezone(dt.UTC)
    except OverflowError:
        raise NotStorable(OUT_OF_STORAGE_RANGE, "in UTC the year is outside 1 to 9999") from None


def _timedelta(value: object) -> dt.timedelta:
    if not isinstance(value, dt.timedelta):
        raise _other_type("timedelta", value)
    if not _INT64_MIN <= value // _MICROSECOND <= _INT64_MAX:
        raise NotStorable(OUT_OF_STORAGE_RANGE, "the duration does not fit in 64-bit microseconds")
    return value


def _uuid(value: object) -> str:
    if not isinstance(value, UUID):
        raise _other_type("UUID", value)
    return str(value)


def _json(value: object) -> str:
    """Return compact JSON that jsonb takes: no NaN, no NUL, no lone surrogate."""
    try:
        written = json.dumps(
            to_jsonable_python(value), ensure_ascii=False, allow_nan=False, separators=(",", ":")
        )
    except (PydanticSerializationError, ValueError, RecursionError, UnicodeError):
        raise NotStorable(NOT_JSON, "the value cannot be written as JSON") from None
    if _has_nul(written):
        raise NotStorable(NUL_CHARACTER, "text inside JSON cannot contain the character NUL")
    return _text(written)


def _has_nul(written: str) -> bool:
    """Whether JSON text holds the escape of NUL (not an escaped backslash before u0000)."""
    return "\\u0000" in written.replace("\\\\", "")


def _decimal_converter(arrow: pa.Decimal128Type[Any, Any]) -> Callable[[object], Decimal]:
    step = Decimal(1).scaleb(-arrow.scale)
    limit = Decimal(10) ** (arrow.precision - arrow.scale)

    def convert(value: object) -> Decimal:
        if not isinstance(value, Decimal):
            raise _other_type("Decimal", value)
        if not value.is_finite() or value.copy_abs() >= limit:
            raise NotStorable(OUT_OF_STORAGE_RANGE, f"the number does not fit {arrow}")
        stored = value.quantize(step, context=_EXACT)
        if stored != value:
            raise NotStorable(
                OUT_OF_STORAGE_RANGE, f"more than {arrow.scale} digits after the decimal point"
            )
        return stored.copy_abs() if stored.is_zero() else stored

    return convert


def _other_type(expected: str, value: object) -> NotStorable:
    return NotStorable(
        OUTPUT_TYPE, f"a validator returned {type(value).__name__} where {expected} is stored"
    )


_CONVERTERS: Final[dict[str, Callable[[Any], Any]]] = {
    types.INT.name: _int,
    types.FLOAT.name: _float,
    types.BOOL.name: _bool,
    types.STR.name: _text,
    types.BYTES.name: _bytes,
    types.DATE.name: _date,
    types.TIME.name: _time,
    types.DATETIME.name: _datetime,
    types.DATETIMETZ.name: _datetimetz,
    types.TIMEDELTA.name: _timedelta,
    types.UUID_.name: _uuid,
    types.JSON.name: _json,
}
