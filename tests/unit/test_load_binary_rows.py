"""Rows of COPY's binary format equal those that are packed one field at a time."""

from __future__ import annotations

import struct
from decimal import Decimal
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from psycopg.types.numeric import DecimalBinaryDumper, NumericBinaryLoader

from jobu_core.errors import DataError
from jobu_core.pipeline.load.binary.cells import Fixed, Varying, validity
from jobu_core.pipeline.load.binary.digits import decimal_as_numeric, integer_as_numeric
from jobu_core.pipeline.load.binary.pairs import binary_encoder
from jobu_core.pipeline.load.binary.rows import to_rows
from jobu_core.pipeline.load.wire import TargetType, encoder

if TYPE_CHECKING:
    from jobu_core.pipeline.load.binary.cells import Field

CELLS = st.none() | st.integers(-(2**63), 2**63 - 1) | st.binary(max_size=300)
KINDS = st.lists(st.sampled_from(["whole", "maybe", "pair", "bytes"]), max_size=7)


@settings(deadline=None, max_examples=400)
@given(st.data(), KINDS, st.integers(0, 20))
def test_rows_are_packed_field_by_field(data: st.DataObject, kinds: list[str], rows: int) -> None:
    """The number of fields, then each field's length and bytes; −1 and nothing for null."""
    columns = [data.draw(st.lists(_cells(kind), min_size=rows, max_size=rows)) for kind in kinds]
    fields = [_field(kind, cells) for kind, cells in zip(kinds, columns, strict=True)]
    expected = b"".join(
        struct.pack(">h", len(kinds)) + b"".join(_packed(column[at]) for column in columns)
        for at in range(rows)
    )
    assert bytes(to_rows(fields, rows)) == expected


@settings(deadline=None, max_examples=300)
@given(st.data())
def test_decimals_are_read_back_as_what_they_are(data: st.DataObject) -> None:
    """Of any precision and scale; zero digits before and after change nothing."""
    precision = data.draw(st.sampled_from([18, 19, 38]) | st.integers(1, 76))
    scale = max(0, precision - data.draw(st.integers(0, 3) | st.integers(0, precision)))
    largest = 10**precision - 1
    numbers = data.draw(st.lists(st.integers(-largest, largest), min_size=1, max_size=20))
    decimals = [Decimal(f"{number}E-{scale}") for number in numbers]
    kind = pa.decimal128(precision, scale) if precision <= 38 else pa.decimal256(precision, scale)
    values = pa.array([None, *decimals], kind)
    found = decimal_as_numeric(values)
    assert found.valid is not None
    assert not found.valid[0]
    read = [_read_numeric(row) for row in found.cells[1:]]
    assert read == decimals
    assert {number.as_tuple().exponent for number in read} == {-scale}


@given(st.lists(st.integers(-(2**63), 2**63 - 1), min_size=1))
def test_integers_are_read_back_as_what_they_are(numbers: list[int]) -> None:
    """The lowest int64 has no positive twin; a uint64 may be above all int64."""
    signed = integer_as_numeric(pa.array(numbers, pa.int64()))
    assert [int(_read_numeric(row)) for row in signed.cells] == numbers
    above = [number + 2**63 for number in numbers]
    unsigned = integer_as_numeric(pa.array(above, pa.uint64()))
    assert [int(_read_numeric(row)) for row in unsigned.cells] == above


def test_digits_are_those_of_another_encoder() -> None:
    """The other one drops zero digits, ours keeps them; without any both write the same."""
    number = Decimal("-1234567890123456.7891")
    (cells,) = decimal_as_numeric(pa.array([number], pa.decimal128(20, 4))).cells
    assert cells.astype(">i2").tobytes() == DecimalBinaryDumper(Decimal).dump(number)


@pytest.mark.parametrize(
    ("kind", "amount"),
    [
        (pa.decimal128(3, 0), 10_000),
        (pa.decimal128(4, 4), 10_000),
        (pa.decimal128(8, 2), 2**63),
        (pa.decimal128(18, 0), -(2**64) - 1),
        (pa.decimal128(20, 2), 10**24),
        (pa.decimal128(22, 2), 10**22 * 100),
    ],
)
def test_a_decimal_of_more_digits_than_its_type_is_refused(kind: pa.DataType, amount: int) -> None:
    """A broken file must not become another number."""
    raw = np.frombuffer(amount.to_bytes(16, "little", signed=True), np.uint8)
    values = pa.Array.from_buffers(kind, 1, [None, pa.py_buffer(raw.data)])
    with pytest.raises(DataError, match="more digits than its type says"):
        decimal_as_numeric(values)


def test_a_value_longer_than_a_field_can_be_is_refused() -> None:
    """Its length would be read as another one."""
    bounds, bytes_ = np.array([0, 2**30], np.int64), np.zeros(2**30, np.uint8)  # never touched
    values = pa.Array.from_buffers(
        pa.large_binary(), 1, [None, pa.py_buffer(bounds.data), pa.py_buffer(bytes_.data)]
    )
    with pytest.raises(DataError, match="more than PostgreSQL takes"):
        to_rows([Varying(values)], 1)


ARROW: dict[str, pa.DataType] = {
    "int64": pa.int64(),
    "uint64": pa.uint64(),
    "float64": pa.float64(),
    "float32": pa.float32(),
    "float16": pa.float16(),
    "decimal": pa.decimal128(10, 2),
    "decimal of hundreds": pa.decimal128(10, -2),
    "bool": pa.bool_(),
    "string": pa.string(),
    "date": pa.date32(),
    "naive": pa.timestamp("us"),
    "aware": pa.timestamp("us", tz="UTC"),
    "time": pa.time64("us"),
    "duration": pa.duration("us"),
    "binary": pa.binary(),
    "list": pa.list_(pa.int64()),
    "list of decimals": pa.list_(pa.decimal128(10, 2)),
    "months": pa.month_day_nano_interval(),
}
TARGETS = {
    **{
        name: TargetType(name)
        for name in (
            *("int2", "int4", "int8", "float4", "float8", "numeric", "money", "bool", "oid"),
            *("text", "varchar", "bpchar", "name", "json", "jsonb", "uuid", "xml", "inet", "bit"),
            *("date", "time", "timetz", "timestamp", "timestamptz", "interval", "bytea", "_int8"),
        )
    },
    "numeric of hundreds": TargetType("numeric", 4 + (5 << 16) + (-2 & 0x7FF)),
    "timestamp of seconds": TargetType("timestamp", 0),
    "time of seconds": TargetType("time", 0),
    "interval of days": TargetType("interval", 0x7FFF),
    "an enum": TargetType("mood", is_enum=True, is_stock=False),
    "citext": TargetType("citext", is_stock=False),
    "somebody's int8": TargetType("int8", is_stock=False),
}
WHOLE = {"int2", "int4", "int8", "numeric"}
TEXT = {"text", "varchar", "bpchar", "json", "jsonb", "uuid", "an enum"}
IN_BINARY = {
    "int64": WHOLE,
    "uint64": WHOLE,
    "float64": {"float8"},
    "float32": {"float4", "float8"},
    "float16": set(),
    "decimal": {"numeric"},
    "decimal of hundreds": set(),
    "bool": {"bool"},
    "string": TEXT,
    "date": {"date"},
    "naive": {"timestamp"},
    "aware": {"timestamptz"},
    "time": {"time"},
    "duration": {"interval"},
    "binary": {"bytea"},
    "list": {"json", "jsonb"},
    "list of decimals": set(),
    "months": set(),
}


@pytest.mark.parametrize("source", ARROW)
def test_only_listed_pairs_travel_in_binary(source: str) -> None:
    """Everything of the same width is refused, and nothing is allowed that text is not."""
    found = {name for name, type_ in TARGETS.items() if binary_encoder(ARROW[source], type_)}
    assert found == IN_BINARY[source]
    assert found <= {name for name, type_ in TARGETS.items() if encoder(ARROW[source], type_)}
    coded = cast("Any", pa).dictionary(pa.int8(), ARROW[source])
    assert found == {name for name, type_ in TARGETS.items() if binary_encoder(coded, type_)}


def test_a_column_of_nulls_travels_where_values_could() -> None:
    """COPY asks each column's type for its binary form, even if there is no value."""
    assert binary_encoder(pa.null(), TargetType("int8")) is not None
    assert binary_encoder(pa.null(), TargetType("inet")) is None


def _cells(kind: str) -> st.SearchStrategy[Any]:
    whole = st.integers(-(2**63), 2**63 - 1)
    return {
        "whole": whole,
        "maybe": st.none() | whole,
        "pair": st.tuples(st.integers(0, 255), st.integers(0, 255)),
        "bytes": st.none() | st.binary(max_size=300),
    }[kind]


def _field(kind: str, cells: list[Any]) -> Field:
    if kind == "bytes":
        return Varying(pa.array([None, *([b"skipped"] * 9), *cells], pa.large_binary()).slice(10))
    if kind == "pair":
        return Fixed(np.array(cells, np.uint8).reshape(-1, 2), None)
    values = pa.array([None] * 10 + cells, pa.int64()).slice(10)
    return Fixed(np.array([cell or 0 for cell in cells], np.int64), validity(values))


def _packed(cell: Any) -> bytes:  # noqa: ANN401 - any cell
    if cell is None:
        return struct.pack(">i", -1)
    if isinstance(cell, int):
        return struct.pack(">iq", 8, cell)
    return struct.pack(">i", len(cell)) + bytes(cell)


def _read_numeric(cells: Any) -> Decimal:  # noqa: ANN401 - numpy's own array type
    found = NumericBinaryLoader(0).load(cells.astype(">i2").tobytes())
    assert isinstance(found, Decimal)
    return found
