"""Numbers, and the truth as a number."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Final

import pyarrow as pa
import pyarrow.compute as pc

from jobu_core.errors import DataError
from jobu_core.pipeline.load.mysql.checks import between, cast, plain, then

if TYPE_CHECKING:
    from collections.abc import Callable

    from jobu_core.pipeline.load.mysql.checks import Encode, TargetType, Values

BITS: Final = {"tinyint": 8, "smallint": 16, "mediumint": 24, "int": 32, "bigint": 64}
"""Integer types and their width."""
_MAX_DECIMAL128: Final = 38
_MAX_DECIMAL256: Final = 76


def integer(_source: pa.DataType, target: TargetType) -> Encode:
    """Return a check of the width; the server would round or clip."""
    bits = BITS[target.name]
    if target.unsigned:
        return between(0, 2**bits - 1, f"{target.name} unsigned")
    return between(-(2 ** (bits - 1)), 2 ** (bits - 1) - 1, target.name)


def integer_as_decimal(_source: pa.DataType, target: TargetType) -> Encode:
    """Return a check of the digits before the point."""
    whole = 10 ** ((target.digits or 0) - (target.places or 0)) - 1
    return between(0 if target.unsigned else -whole, whole, _numeric(target))


def boolean(_source: pa.DataType, _target: TargetType) -> Encode:
    """Return 1 for true, 0 for false."""
    return cast(pa.uint8())


def float_(to: pa.DataType) -> Callable[[pa.DataType, TargetType], Encode | None]:
    """Return an encoder of finite numbers in the shortest text that reads back the same."""

    def choose(_source: pa.DataType, target: TargetType) -> Encode | None:
        if target.places is not None:
            return None  # DOUBLE(10,2) rounds
        return then(cast(to), _finite, _not_negative if target.unsigned else plain)

    return choose


def _finite(values: Values) -> Values:
    if pc.all(pc.call_function("is_finite", [values])).as_py() is False:
        raise DataError("a value is NaN or infinite, which MySQL cannot store")
    return values


def _not_negative(values: Values) -> Values:
    least = pc.min(values).as_py()
    if least is not None and least < 0:
        raise DataError("a value is negative; the column is unsigned")
    return values


def decimal(source: pa.DataType, target: TargetType) -> Encode:
    """Return a check of the digits on both sides of the point; the server would round."""
    assert isinstance(source, pa.Decimal128Type | pa.Decimal256Type)  # noqa: S101 - narrows a type
    places, digits = target.places or 0, target.digits or 0
    wide = pa.decimal128 if source.precision <= _MAX_DECIMAL128 else pa.decimal256
    most = _MAX_DECIMAL128 if source.precision <= _MAX_DECIMAL128 else _MAX_DECIMAL256
    exact = plain if source.scale <= places else cast(wide(most, places))
    largest = Decimal(10 ** (digits - places)) - Decimal(1).scaleb(-places)
    return then(
        exact, between(Decimal(0) if target.unsigned else -largest, largest, _numeric(target))
    )


def _numeric(target: TargetType) -> str:
    return f"decimal({target.digits},{target.places}){' unsigned' if target.unsigned else ''}"
