"""Texts, bytes and JSON."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import TYPE_CHECKING, Final

import pyarrow as pa
import pyarrow.compute as pc

from jobu_core.errors import DataError
from jobu_core.pipeline.load.mysql.checks import cast, then

if TYPE_CHECKING:
    from jobu_core.pipeline.load.mysql.checks import Encode, TargetType, Values

_CHARSETS: Final = frozenset({"utf8mb4", "utf8mb3", "utf8", "latin1", "ascii", "euckr"})
"""Proven: every character arrives as it is, or with a warning."""
_UTF8: Final = "utf8mb4"
_ENDS_WITH_BLANK: Final = pc.MatchSubstringOptions(" ")


def text(_source: pa.DataType, target: TargetType) -> Encode | None:
    """Return an encoder for TEXT types; what a character set lacks, the server tells."""
    if target.charset not in _CHARSETS:
        return None
    steps = [cast(pa.large_string())]
    if target.charset == _UTF8 and target.octets is not None:
        steps.append(_shorter("binary_length", "bytes", target.octets))
    return then(*steps)


def bounded_text(source: pa.DataType, target: TargetType) -> Encode | None:
    """Return an encoder for CHAR and VARCHAR, lengths counted in characters."""
    whole = text(source, target)
    if whole is None or target.length is None:
        return None
    bounded = then(whole, _shorter("utf8_length", "characters", target.length))
    return then(bounded, _no_trailing_blank) if target.name == "char" else bounded


def _shorter(measure: str, unit: str, limit: int) -> Encode:
    def encode(values: Values) -> Values:
        longest = pc.max(pc.call_function(measure, [values])).as_py()
        if longest is not None and longest > limit:
            raise DataError(f"a value has {longest} {unit}; the column takes {limit}")
        return values

    return encode


def _no_trailing_blank(values: Values) -> Values:
    found = pc.call_function("ends_with", [values], _ENDS_WITH_BLANK)
    if pc.any(found).as_py():
        raise DataError("a text ends with a blank, which CHAR drops; VARCHAR keeps it")
    return values


def member(source: pa.DataType, target: TargetType) -> Encode | None:
    """Compare exactly: the server takes 'A' for 'a', and '1' for the first member."""
    whole = text(source, target)
    if whole is None:
        return None
    known = pa.array(target.members, pa.large_string())

    def encode(values: Values) -> Values:
        if not pc.all(pc.is_in(values.drop_null(), value_set=known)).as_py():
            raise DataError("a text is no member of the column's enum")
        return values

    return then(whole, encode)


def bytes_(_source: pa.DataType, target: TargetType) -> Encode:
    """Return bytes as hexadecimal digits: in a stream of text they would be characters."""
    limit = target.length if target.length is not None else target.octets
    exact = target.name == "binary"

    def encode(values: Values) -> Values:
        found = values.to_pylist()
        sizes = [len(value) for value in found if value is not None]
        if limit is not None and any(size > limit for size in sizes):
            raise DataError(f"a value has {max(sizes)} bytes; the column takes {limit}")
        if exact and any(size != limit for size in sizes):
            raise DataError(f"a value is shorter than {limit} bytes; BINARY fills it with zeros")
        return pa.array(
            [None if value is None else value.hex() for value in found], pa.large_string()
        )

    return encode


def json_(source: pa.DataType, target: TargetType) -> Encode | None:
    """Return lists and objects as JSON."""
    if not _fits_json(source) or (target.name != "json" and not target.holds_json):
        return None

    def encode(values: Values) -> Values:
        try:
            return pa.array(
                [
                    None if value is None else json.dumps(value, allow_nan=False)
                    for value in values.to_pylist()
                ],
                pa.large_string(),
            )
        except ValueError:
            raise DataError("a list or object holds NaN or infinity, which JSON has not") from None

    return encode


def json_text(_source: pa.DataType, _target: TargetType) -> Encode:
    """MySQL keeps numbers of its JSON as bigint or double, and cuts what is finer."""

    def encode(values: Values) -> Values:
        found = values.cast(pa.large_string())
        for value in pc.unique(found).to_pylist():
            if value is not None:
                _check_json(value)
        return found

    return encode


def _check_json(text: str) -> None:
    try:
        json.loads(text, parse_int=_kept_int, parse_float=_kept_float, parse_constant=_no_constant)
    except (ValueError, RecursionError):
        raise DataError("a text is not JSON that the column keeps as it is") from None


def _kept_int(digits: str) -> int:
    value = int(digits)
    if not -(2**63) <= value < 2**64:
        raise ValueError(digits)
    return value


def _kept_float(digits: str) -> float:
    value = float(digits)
    if Decimal(repr(value)) != Decimal(digits):
        raise ValueError(digits)
    return value


def _no_constant(name: str) -> float:
    raise ValueError(name)


def _fits_json(source: pa.DataType) -> bool:
    if pa.types.is_struct(source):
        return all(_fits_json(source.field(at).type) for at in range(source.num_fields))
    if isinstance(source, pa.ListType | pa.LargeListType):
        return _fits_json(source.value_type)
    return bool(
        pa.types.is_integer(source)
        or pa.types.is_float64(source)
        or pa.types.is_boolean(source)
        or pa.types.is_null(source)
        or is_text(source)
    )


def is_text(source: pa.DataType) -> bool:
    """Whether values are texts, of whatever layout."""
    test = pa.types
    return test.is_string(source) or test.is_large_string(source) or test.is_string_view(source)
