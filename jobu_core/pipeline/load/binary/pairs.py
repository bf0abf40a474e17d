"""Which pairs of Arrow and column type travel in binary, and how their values are made.

The server takes any bytes of the right width for a value, so nothing travels in
binary that is not listed here, cast to the column's own type first, and proven by
a round trip (tests/integration/test_load_binary.py). What is not listed goes as
text, as ``wire.py`` says.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, cast

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from jobu_core.errors import DataError
from jobu_core.pipeline.load import wire
from jobu_core.pipeline.load.binary.cells import Fixed, Varying, numbers, validity
from jobu_core.pipeline.load.binary.digits import decimal_as_numeric, integer_as_numeric
from jobu_core.pipeline.load.binary.uuids import text_as_uuid

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import NDArray

    from jobu_core.pipeline.load.binary.cells import EncodeBinary, Field, Values

    Maker = Callable[[pa.DataType, wire.TargetType, wire.Encode], EncodeBinary | None]
    """Types of both sides and the encoder of ``wire.py``, whose checks hold here too."""

_UNIX_EPOCH_DAYS: Final = 10_957
_UNIX_EPOCH_MICROSECONDS: Final = _UNIX_EPOCH_DAYS * 86_400_000_000
"""From 1970-01-01, where Arrow counts from, to 2000-01-01, where PostgreSQL does."""
_DAYS: Final = (-2_451_545, 2_145_031_948)
"""4714-11-24 BC to 5874897-12-31, without the infinities beyond them."""
_MICROSECONDS: Final = (-211_813_488_000_000_000, 9_223_371_331_199_999_999)
"""4714-11-24 BC to the end of the year 294276."""
_DAY_MICROSECONDS: Final = (0, 86_399_999_999)
_VERSION_1: Final = pa.scalar(b"\x01", pa.large_binary())
_EMPTY: Final = pa.scalar(b"", pa.large_binary())


def binary_encoder(source: pa.DataType, target: wire.TargetType) -> EncodeBinary | None:
    """Return how values of ``source`` are sent to ``target``; None: not in binary."""
    checked = wire.encoder(source, target)
    if checked is None:
        return None
    if isinstance(source, pa.DictionaryType):
        inner, plain = binary_encoder(source.value_type, target), wire.cast_to(source.value_type)
        return None if inner is None else lambda values: inner(plain(values))
    if pa.types.is_null(source):
        return _nothing if target.key in _KNOWN else None
    for belongs, into in _PAIRS:
        if belongs(source):
            maker = into.get(target.key)
            return None if maker is None else maker(source, target, checked)
    return None


def _nothing(values: Values) -> Field:
    return Fixed(np.zeros(len(values), np.int8), validity(values))


def _integer(to: pa.DataType, kind: type[np.signedinteger[Any]], shown: str) -> Maker:
    def encode(values: Values) -> Field:
        try:
            narrowed = values.cast(to, safe=True)
        except pa.ArrowInvalid:
            raise DataError(f"numeric value out of range of {shown}") from None
        return Fixed(numbers(narrowed, kind), validity(values))

    return lambda _source, _target, _checked: encode


def _integer_numeric(
    _source: pa.DataType, _target: wire.TargetType, _checked: wire.Encode
) -> EncodeBinary:
    return integer_as_numeric


def _float(kind: type[np.floating[Any]]) -> Maker:
    """Give every NaN the bits that the server gives to its own."""

    def maker(_source: pa.DataType, _target: wire.TargetType, checked: wire.Encode) -> EncodeBinary:
        def encode(values: Values) -> Field:
            found = numbers(checked(values), kind)
            strange = np.isnan(found)
            if strange.any():
                found = np.where(strange, kind(np.nan), found)
            return Fixed(found, validity(values))

        return encode

    return maker


def _decimal(
    source: pa.DataType, target: wire.TargetType, checked: wire.Encode
) -> EncodeBinary | None:
    _, scale = wire.precision_and_scale(target)
    if cast("pa.Decimal128Type", source).scale < 0 or (scale is not None and scale < 0):
        return None
    return lambda values: decimal_as_numeric(checked(values))


def _boolean(_source: pa.DataType, _target: wire.TargetType, _checked: wire.Encode) -> EncodeBinary:
    return lambda values: Fixed(numbers(values.cast(pa.uint8()), np.uint8), validity(values))


def _text(_source: pa.DataType, _target: wire.TargetType, checked: wire.Encode) -> EncodeBinary:
    return lambda values: Varying(_as_binary(checked(values)))


def _jsonb(_source: pa.DataType, _target: wire.TargetType, checked: wire.Encode) -> EncodeBinary:
    """Put the version of the format before each text."""

    def encode(values: Values) -> Field:
        text = _as_binary(checked(values))
        return Varying(
            pc.call_function("binary_join_element_wise", [_VERSION_1, text, _EMPTY]),
        )

    return encode


def _uuid(_source: pa.DataType, _target: wire.TargetType, checked: wire.Encode) -> EncodeBinary:
    return lambda values: text_as_uuid(checked(values))


def _date(_source: pa.DataType, _target: wire.TargetType, checked: wire.Encode) -> EncodeBinary:
    def encode(values: Values) -> Field:
        valid = validity(values)
        days = _filled(numbers(checked(values), np.int32).astype(np.int64), valid)
        days -= _UNIX_EPOCH_DAYS
        return Fixed(_within(days, _DAYS, "a date").astype(np.int32), valid)

    return encode


def _timestamp(
    _source: pa.DataType, _target: wire.TargetType, checked: wire.Encode
) -> EncodeBinary:
    lowest, highest = (bound + _UNIX_EPOCH_MICROSECONDS for bound in _MICROSECONDS)
    limits = (lowest, min(highest, 2**63 - 1))

    def encode(values: Values) -> Field:
        valid = validity(values)
        moments = _filled(numbers(checked(values), np.int64), valid)
        _within(moments, limits, "a timestamp")
        return Fixed(moments - _UNIX_EPOCH_MICROSECONDS, valid)

    return encode


def _time(_source: pa.DataType, _target: wire.TargetType, checked: wire.Encode) -> EncodeBinary:
    def encode(values: Values) -> Field:
        valid = validity(values)
        moments = _filled(numbers(checked(values), np.int64), valid)
        return Fixed(_within(moments, _DAY_MICROSECONDS, "a time of day"), valid)

    return encode


def _interval(
    _source: pa.DataType, _target: wire.TargetType, _checked: wire.Encode
) -> EncodeBinary:
    exact = wire.cast_to(pa.duration("us"))

    def encode(values: Values) -> Field:
        cells = np.zeros((len(values), 2), np.int64)  # the second: no days, no months
        cells[:, 0] = numbers(exact(values), np.int64)
        return Fixed(cells, validity(values))

    return encode


def _bytes(_source: pa.DataType, _target: wire.TargetType, _checked: wire.Encode) -> EncodeBinary:
    return lambda values: Varying(_as_binary(values))


def _as_binary(values: Values) -> Values:
    return values.cast(pa.large_binary())


def _filled(found: NDArray[np.int64], valid: NDArray[np.bool_] | None) -> NDArray[np.int64]:
    """Return the numbers with zero for what nulls cover."""
    return found if valid is None else np.where(valid, found, 0)


def _within(found: NDArray[np.int64], limits: tuple[int, int], what: str) -> NDArray[np.int64]:
    lowest, highest = limits
    if len(found) and (found.min() < lowest or found.max() > highest):
        raise DataError(f"{what} is beyond what the column takes")
    return found


_PAIRS: Final[tuple[tuple[Callable[[pa.DataType], bool], Mapping[str, Maker]], ...]] = (
    (
        pa.types.is_integer,
        {
            "int2": _integer(pa.int16(), np.int16, "smallint"),
            "int4": _integer(pa.int32(), np.int32, "integer"),
            "int8": _integer(pa.int64(), np.int64, "bigint"),
            "numeric": _integer_numeric,
        },
    ),
    (pa.types.is_float64, {"float8": _float(np.float64)}),
    (pa.types.is_float32, {"float4": _float(np.float32), "float8": _float(np.float64)}),
    (pa.types.is_decimal, {"numeric": _decimal}),
    (pa.types.is_boolean, {"bool": _boolean}),
    (
        wire.is_text,
        {
            "text": _text,
            "varchar": _text,
            "bpchar": _text,
            "json": _text,
            "jsonb": _jsonb,
            "uuid": _uuid,
            "enum": _text,
        },
    ),
    (pa.types.is_date, {"date": _date}),
    (pa.types.is_timestamp, {"timestamp": _timestamp, "timestamptz": _timestamp}),
    (pa.types.is_time, {"time": _time}),
    (pa.types.is_duration, {"interval": _interval}),
    (wire.is_bytes, {"bytea": _bytes}),
    (wire.is_nested, {"json": _text, "jsonb": _jsonb}),
)
"""Arrow family → column type → encoder. The only pairs that travel in binary."""

_KNOWN: Final = frozenset(target for _, into in _PAIRS for target in into)
