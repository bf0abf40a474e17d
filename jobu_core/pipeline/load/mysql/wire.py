"""Which Arrow type may go into which MySQL column type.

MySQL changes much without a word: ``1.5`` becomes 2 in an int, fractions of a second
are cut, CHAR loses its trailing blanks, ``'1'`` in an enum is its first member. So a
pair that is not listed is refused, and what the server would change is refused here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa

from jobu_core.pipeline.load.mysql import moments, numbers, texts
from jobu_core.pipeline.load.mysql.checks import cast, plain

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from jobu_core.pipeline.load.mysql.checks import Encode, TargetType


def encoder(source: pa.DataType, target: TargetType) -> Encode | None:
    """Return how values of ``source`` are written for ``target``; None = refused."""
    if isinstance(source, pa.DictionaryType):
        inner, flat = encoder(source.value_type, target), cast(source.value_type)
        return None if inner is None else lambda values: inner(flat(values))
    if pa.types.is_null(source):
        return plain
    for belongs, into in _PAIRS:
        if belongs(source):
            found = into.get(target.name)
            return None if found is None else found(source, target)
    return None


def is_bytes(source: pa.DataType) -> bool:
    """Whether values are bytes, which travel as hexadecimal digits."""
    test = pa.types
    if isinstance(source, pa.DictionaryType):
        return is_bytes(source.value_type)
    return (
        test.is_binary(source)
        or test.is_large_binary(source)
        or test.is_fixed_size_binary(source)
        or test.is_binary_view(source)
    )


def _is_nested(source: pa.DataType) -> bool:
    return pa.types.is_struct(source) or pa.types.is_list(source) or pa.types.is_large_list(source)


_TEXTS: Final = ("tinytext", "text", "mediumtext", "longtext")
_BLOBS: Final = ("binary", "varbinary", "tinyblob", "blob", "mediumblob", "longblob")
_PAIRS: Final[tuple[tuple[Callable[[pa.DataType], bool], Mapping[str, Any]], ...]] = (
    (
        pa.types.is_integer,
        {**dict.fromkeys(numbers.BITS, numbers.integer), "decimal": numbers.integer_as_decimal},
    ),
    (pa.types.is_float64, {"double": numbers.float_(pa.float64())}),
    (
        pa.types.is_float32,
        {"float": numbers.float_(pa.float32()), "double": numbers.float_(pa.float64())},
    ),
    (pa.types.is_decimal, {"decimal": numbers.decimal}),
    (pa.types.is_boolean, {"tinyint": numbers.boolean}),
    (
        texts.is_text,
        {
            **dict.fromkeys(_TEXTS, texts.text),
            **dict.fromkeys(("char", "varchar"), texts.bounded_text),
            "enum": texts.member,
            "json": texts.json_text,
            "uuid": lambda _source, _target: cast(pa.large_string()),
        },
    ),
    (pa.types.is_date, {"date": moments.date}),
    (pa.types.is_timestamp, {"datetime": moments.datetime, "timestamp": moments.datetime}),
    (pa.types.is_time, {"time": moments.time}),
    (pa.types.is_duration, {"time": moments.duration}),
    (is_bytes, dict.fromkeys(_BLOBS, texts.bytes_)),
    (_is_nested, {"json": texts.json_, "longtext": texts.json_}),
)
"""Arrow family → column type → encoder. The only pairs that are loaded."""
