"""Every allowed pair of Arrow and column type arrives exactly; all others are refused."""

from __future__ import annotations

import datetime as dt
import math
from decimal import Decimal
from typing import TYPE_CHECKING, Any
from uuid import UUID

import psycopg
import pyarrow as pa
import pytest

from jobu_core.errors import DataError, SchemaMismatch
from jobu_core.pipeline.load.postgres import load_parquet
from tests.load_bench import items

if TYPE_CHECKING:
    from tests.load_bench import Bench

UTC = dt.UTC
SEOUL = dt.timezone(dt.timedelta(hours=9))
DAY = dt.date(2024, 2, 29)
MOMENT = dt.datetime(2024, 2, 29, 23, 59, 59, 999_999)  # noqa: DTZ001 - a naive column
FIRST = dt.datetime(1, 1, 1)  # noqa: DTZ001 - a naive column
UNIQUE = UUID("6f9619ff-8b86-d011-b42d-00c04fc964ff")

EXACT: list[tuple[str, pa.DataType, list[Any]]] = [
    ("smallint", pa.int64(), [-32768, 32767, None]),
    ("integer", pa.int64(), [-(2**31), 2**31 - 1]),
    ("bigint", pa.int64(), [-(2**63), 2**63 - 1, 2**53 + 1]),
    ("bigint", pa.int8(), [-128, 127]),
    ("bigint", pa.uint32(), [2**32 - 1]),
    ("numeric", pa.uint64(), [2**64 - 1]),
    ("numeric(20,2)", pa.int64(), [2**53 + 1]),
    ("double precision", pa.float64(), [0.1, -0.0, 5e-324, 1.7976931348623157e308, 2 / 3]),
    ("double precision", pa.float64(), [math.inf, -math.inf]),
    ("double precision", pa.float32(), [0.5, -1.25]),
    ("real", pa.float32(), [0.5, 16_777_216.0]),
    ("numeric(10,2)", pa.decimal128(10, 2), [Decimal("-99999999.99"), Decimal("1.10"), None]),
    ("numeric", pa.decimal128(38, 10), [Decimal("0.0000000001"), Decimal("-1E+3")]),
    ("numeric(10,2)", pa.decimal128(12, 4), [Decimal("1.2300")]),
    ("numeric", pa.decimal256(60, 5), [Decimal("1234567890123456789012345678901234567890.12345")]),
    ("boolean", pa.bool_(), [True, False, None]),
    ("text", pa.string(), ["", "NULL", "a,b", 'say "hi"', "two\nlines", "\\.", "\\N", " x ", None]),
    ("text", pa.large_string(), ["한글", "🎉", "\u0301", "\r\n", "\x01"]),
    ("text", pa.string_view(), ["a longer text than the inline twelve", None]),
    ("text", pa.dictionary(pa.int32(), pa.string()), ["a", None, "a"]),
    ("varchar(3)", pa.string(), ["äöü", "a  ", ""]),
    ("character(3)", pa.string(), ["abc"]),
    ("date", pa.date32(), [DAY, dt.date(1, 1, 1), dt.date(9999, 12, 31)]),
    ("date", pa.date64(), [DAY]),
    ("timestamp", pa.timestamp("us"), [MOMENT, FIRST]),
    ("timestamp", pa.timestamp("s"), [MOMENT.replace(microsecond=0)]),
    ("timestamp(6)", pa.timestamp("ns"), [MOMENT]),
    ("timestamptz", pa.timestamp("us", tz="UTC"), [MOMENT.replace(tzinfo=UTC), None]),
    ("timestamptz", pa.timestamp("us", tz="Asia/Seoul"), [MOMENT.replace(tzinfo=SEOUL)]),
    ("time", pa.time64("us"), [dt.time(0), dt.time(23, 59, 59, 999_999)]),
    ("time", pa.time32("s"), [dt.time(12)]),
    ("interval", pa.duration("us"), [dt.timedelta(days=400, microseconds=1), dt.timedelta(-1)]),
    ("bytea", pa.binary(), [b"", b"\x00\xff\\x", None]),
    ("bytea", pa.binary(3), [b"\x00ab"]),
    ("uuid", pa.string(), [str(UNIQUE)]),
    ("jsonb", pa.string(), ['{"a": [1, null, "\\u00e4"]}', "3"]),
    ("jsonb", pa.list_(pa.int64()), [[1, None], [], None]),
    (
        "json",
        pa.struct([("a", pa.string()), ("b", pa.list_(pa.bool_()))]),
        [{"a": "x", "b": [True]}],
    ),
    ("bigint", pa.null(), [None, None]),
]


@pytest.mark.parametrize(("column", "arrow", "values"), EXACT)
def test_allowed_pairs_arrive_exactly(
    bench: Bench, column: str, arrow: pa.DataType, values: list[Any]
) -> None:
    """What is read back equals what the file holds, bit for bit."""
    _table(bench, column)
    load_parquet(bench.request(_rows(arrow, values), "t"))
    found = [value for (value,) in bench.rows("SELECT v FROM t ORDER BY at")]
    assert [_comparable(value) for value in found] == [
        _comparable(_expected(column, arrow, value)) for value in values
    ]


def test_not_a_number_arrives(bench: Bench) -> None:
    """NaN equals nothing, so it has a test of its own."""
    _table(bench, "double precision")
    load_parquet(bench.request(_rows(pa.float64(), [math.nan]), "t"))
    assert bench.value("SELECT v = 'NaN' FROM t") is True


REFUSED: list[tuple[str, pa.DataType]] = [
    ("double precision", pa.int64()),
    ("bigint", pa.float64()),
    ("timestamptz", pa.int64()),
    ("timestamp", pa.int64()),
    ("bigint", pa.timestamp("us")),
    ("timestamptz", pa.timestamp("us")),
    ("timestamp", pa.timestamp("us", tz="UTC")),
    ("timestamp(0)", pa.timestamp("us")),
    ("time(3)", pa.time64("us")),
    ("interval day", pa.duration("us")),
    ("timetz", pa.time64("us")),
    ("date", pa.timestamp("us")),
    ("timestamp", pa.date32()),
    ("real", pa.float64()),
    ("real", pa.int32()),
    ("numeric", pa.float64()),
    ("double precision", pa.decimal128(10, 2)),
    ("bigint", pa.decimal128(10, 0)),
    ("numeric(5,-2)", pa.int64()),
    ("money", pa.decimal128(10, 2)),
    ("boolean", pa.int64()),
    ("bigint", pa.bool_()),
    ("bigint", pa.string()),
    ("double precision", pa.string()),
    ("boolean", pa.string()),
    ("date", pa.string()),
    ("timestamptz", pa.string()),
    ("bytea", pa.string()),
    ("text", pa.int64()),
    ("text", pa.binary()),
    ("name", pa.string()),
    ("bit(3)", pa.string()),
    ("inet", pa.string()),
    ("bigint[]", pa.list_(pa.int64())),
    ("jsonb", pa.list_(pa.decimal128(5, 2))),
]


@pytest.mark.parametrize(("column", "arrow"), REFUSED)
def test_all_other_pairs_are_refused_before_a_byte_is_sent(
    bench: Bench, column: str, arrow: pa.DataType
) -> None:
    """Pairs of equal width or lenient parsing must never give another value."""
    _table(bench, column)
    with pytest.raises(SchemaMismatch, match="cannot hold it exactly"):
        load_parquet(bench.request(_rows(arrow, [None]), "t"))


@pytest.mark.parametrize(
    ("column", "arrow", "value", "message"),
    [
        ("integer", pa.int64(), 2**31, "column 'v': numeric value out of range of integer, line 1"),
        ("smallint", pa.int64(), 40_000, "out of range"),
        ("numeric(4,2)", pa.decimal128(10, 2), Decimal("100.00"), "out of range"),
        ("numeric(10,2)", pa.decimal128(10, 3), Decimal("1.005"), "column 'v'.*without loss"),
        ("numeric(10,2)", pa.decimal256(60, 3), Decimal("1.005"), "column 'v'.*without loss"),
        ("varchar(3)", pa.string(), "abcd", "column 'v'.*4 characters; the column takes 3"),
        ("varchar(3)", pa.string(), "abc  ", "5 characters"),
        ("character(3)", pa.string(), "abcd", "4 characters"),
        ("timestamp", pa.timestamp("ns"), 1, "without loss"),
        ("text", pa.string(), "nul \x00 inside", "column 'v': a text holds NUL"),
        ("uuid", pa.string(), "not-a-uuid", "invalid text representation"),
        ("jsonb", pa.string(), "{", "invalid text representation"),
        ("jsonb", pa.string(), '"\\u0000"', "untranslatable character"),
        ("jsonb", pa.list_(pa.float64()), [math.nan], "NaN"),
        ("mood", pa.string(), "angry", "invalid text representation"),
        ("positive", pa.int64(), -1, "check violation"),
    ],
)
def test_values_that_do_not_fit_are_errors_without_the_value(
    bench: Bench, column: str, arrow: pa.DataType, value: object, message: str
) -> None:
    """Nothing is rounded, cut or padded; nothing is loaded; no value is told."""
    bench.run("CREATE TYPE mood AS ENUM ('ok')", "CREATE DOMAIN positive AS int CHECK (value > 0)")
    _table(bench, column)
    with pytest.raises(DataError, match=message) as caught:
        load_parquet(bench.request(_rows(arrow, [value]), "t"))
    assert "angry" not in str(caught.value)
    assert "not-a-uuid" not in str(caught.value)
    assert bench.count("t") == 0


def test_enums_and_domains_take_what_they_are_made_of(bench: Bench) -> None:
    """An enum takes its labels; a domain over a domain takes the base type."""
    bench.run(
        "CREATE TYPE mood AS ENUM ('ok', 'very ''ok''')",
        "CREATE DOMAIN positive AS numeric(6,2) CHECK (value > 0)",
        "CREATE DOMAIN small AS positive CHECK (value < 100)",
        "CREATE TABLE t (at bigint, v mood, p small)",
    )
    rows = pa.table(
        {
            "at": pa.array([1], pa.int64()),
            "v": ["very 'ok'"],
            "p": pa.array([Decimal("1.25")], pa.decimal128(10, 2)),
        },
    )
    load_parquet(bench.request(rows, "t"))
    assert bench.rows("SELECT v::text, p FROM t") == [("very 'ok'", Decimal("1.25"))]


def test_a_single_column_of_nulls_keeps_its_rows(bench: Bench) -> None:
    """An empty line of CSV is a row with a null, not an end."""
    bench.run("CREATE TABLE t (v text)")
    load_parquet(bench.request(pa.table({"v": pa.array(["a", None, "", None])}), "t"))
    assert bench.rows("SELECT v FROM t") == [("a",), (None,), ("",), (None,)]


def test_all_differences_are_told_at_once(bench: Bench) -> None:
    """Missing, extra, type, null, identity and generated columns make one error."""
    bench.run(
        "CREATE TABLE t (id bigint GENERATED ALWAYS AS IDENTITY, name text NOT NULL,"
        " value integer, twice integer GENERATED ALWAYS AS (value * 2) STORED,"
        " lost text, kept text DEFAULT 'x')",
    )
    rows = pa.table(
        {
            "id": [1, 2],
            "name": pa.array(["a", None]),
            "value": [1.5, 2.5],
            "twice": [1, 2],
            "Value": [1, 2],
            "x" * 64: [1, 2],
        },
    )
    with pytest.raises(SchemaMismatch) as caught:
        load_parquet(bench.request(rows, "t"))
    told = str(caught.value)
    for part in (
        "'id' is GENERATED ALWAYS AS IDENTITY",
        "'name' has 1 nulls",
        "'value' is double in the file and integer in the table",
        "'twice' is a generated column",
        "'Value' of the file is not in the table (did you mean 'value'?)",
        "has 64 bytes",
        "'lost' of the table is not in the file",
    ):
        assert part in told
    assert "kept" not in told
    assert bench.count("t") == 0


def test_columns_are_matched_by_name_not_by_place(bench: Bench) -> None:
    """Another order in the file changes nothing; defaults fill what is not given."""
    bench.run("CREATE TABLE t (value float8, extra text DEFAULT 'd', name text, id bigint)")
    load_parquet(bench.request(items(1), "t"))
    assert bench.rows("SELECT id, name, value, extra FROM t") == [(1, "item 1", 0.25, "d")]


def test_two_columns_of_one_name_are_refused(bench: Bench) -> None:
    """A file with a doubled column cannot be matched by name."""
    doubled = pa.Table.from_arrays([pa.array([1]), pa.array([2])], names=["id", "id"])
    with pytest.raises(SchemaMismatch, match="given twice: id"):
        load_parquet(bench.request(doubled, "t", create=True))


def test_created_tables_follow_the_table_of_types(bench: Bench) -> None:
    """create: true gives each Arrow type its column type, NOT NULL where declared."""
    fields: list[pa.Field[Any]] = [
        pa.field("i", pa.int64(), nullable=False),
        pa.field("f", pa.float64()),
        pa.field("b", pa.bool_()),
        pa.field("s", pa.string()),
        pa.field("y", pa.binary()),
        pa.field("d", pa.date32()),
        pa.field("t", pa.time64("us")),
        pa.field("n", pa.timestamp("us")),
        pa.field("z", pa.timestamp("us", tz="UTC")),
        pa.field("g", pa.duration("us")),
        pa.field("c", pa.decimal128(12, 3)),
        pa.field("u", pa.string(), metadata={b"jobu.type": b"uuid"}),
        pa.field("j", pa.string(), metadata={b"jobu.type": b"json"}),
    ]
    result = load_parquet(bench.request(pa.schema(fields).empty_table(), "t", create=True))
    assert dict(result.columns) == {
        "i": "bigint",
        "f": "double precision",
        "b": "boolean",
        "s": "text",
        "y": "bytea",
        "d": "date",
        "t": "time without time zone",
        "n": "timestamp without time zone",
        "z": "timestamp with time zone",
        "g": "interval",
        "c": "numeric(12,3)",
        "u": "uuid",
        "j": "jsonb",
    }
    assert bench.rows(
        "SELECT attname::text FROM pg_attribute"
        " WHERE attrelid = 't'::regclass AND attnotnull AND attnum > 0",
    ) == [("i",)]


def _table(bench: Bench, column: str) -> None:
    with psycopg.connect(bench.url, autocommit=True) as connection:
        connection.execute(f"CREATE TABLE t (at bigint, v {column})".encode())


def _rows(arrow: pa.DataType, values: list[Any]) -> pa.Table:
    cells: Any = pa.array(values, arrow)
    return pa.table({"at": pa.array(range(len(values)), pa.int64()), "v": cells})


def _expected(column: str, arrow: pa.DataType, value: Any) -> Any:  # noqa: ANN401 - any cell
    if value is None:
        return None
    if isinstance(value, int) and column.startswith("numeric"):
        return Decimal(value)
    if column == "uuid":
        return UNIQUE
    if column == "jsonb" and pa.types.is_string(arrow):
        return {"a": [1, None, "ä"]} if value.startswith("{") else 3
    return value


def _comparable(value: Any) -> Any:  # noqa: ANN401 - any cell
    """Tell -0.0 from 0.0, and 1 from 1.0."""
    if isinstance(value, Decimal):
        return Decimal, value
    if isinstance(value, float):
        return float, math.copysign(1, value), value
    return value
