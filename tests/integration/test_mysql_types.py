"""What may go into which column of MariaDB, and what is refused; by either way of sending."""

from __future__ import annotations

import datetime as dt
import json
import math
from decimal import Decimal
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import pyarrow as pa
import pytest

from jobu_core.errors import DataError, SchemaMismatch
from jobu_core.pipeline.load.mysql.loader import load_parquet

if TYPE_CHECKING:
    from tests.mysql_bench import MysqlBench

UTC = dt.UTC
SEOUL = ZoneInfo("Asia/Seoul")
DAY = dt.date(2024, 2, 29)
MOMENT = dt.datetime(2024, 2, 29, 23, 59, 59, 999_999)  # noqa: DTZ001 - a naive column
FIRST = dt.datetime(1, 1, 1)  # noqa: DTZ001 - a naive column
LAST = dt.datetime(9999, 12, 31, 23, 59, 59, 999_999)  # noqa: DTZ001 - a naive column
UNIQUE = "6f9619ff-8b86-d011-b42d-00c04fc964ff"
WILD = ["", "NULL", "a,b", 'say "hi"', '"', "two\nlines", "\\", "\\N", "\\'", "'", " x ", None]

EXACT: list[tuple[str, pa.DataType, list[Any]]] = [
    ("tinyint", pa.int64(), [-128, 127, None]),
    ("tinyint unsigned", pa.int64(), [0, 255]),
    ("smallint", pa.int64(), [-32768, 32767]),
    ("mediumint", pa.int64(), [-(2**23), 2**23 - 1]),
    ("int", pa.int64(), [-(2**31), 2**31 - 1]),
    ("int unsigned", pa.int64(), [2**32 - 1]),
    ("int(5) zerofill", pa.int64(), [7]),
    ("bigint", pa.int64(), [-(2**63), 2**63 - 1, 2**53 + 1]),
    ("bigint", pa.int8(), [-128, 127]),
    ("bigint unsigned", pa.uint64(), [2**64 - 1]),
    ("decimal(20,0)", pa.uint64(), [2**64 - 1]),
    ("decimal(20,2)", pa.int64(), [2**53 + 1]),
    ("double", pa.float64(), [0.1, 5e-324, 1.7976931348623157e308, 2 / 3, -2.5, None]),
    ("double", pa.float32(), [0.5, -1.25]),
    ("float", pa.float32(), [0.5, 16_777_216.0]),
    ("decimal(10,2)", pa.decimal128(10, 2), [Decimal("-99999999.99"), Decimal("1.10"), None]),
    ("decimal(38,10)", pa.decimal128(38, 10), [Decimal("0.0000000001"), Decimal("-1E+3")]),
    ("decimal(10,2)", pa.decimal128(12, 4), [Decimal("1.2300")]),
    (
        "decimal(65,5)",
        pa.decimal256(60, 5),
        [Decimal("1234567890123456789012345678901234567.12345")],
    ),
    ("tinyint(1)", pa.bool_(), [True, False, None]),
    ("longtext", pa.string(), WILD),
    ("longtext", pa.large_string(), ["한글", "🎉", "\u0301", "\r\n", "\r", "\x01", "\x00", "\x1a"]),
    ("longtext", pa.string_view(), ["a longer text than the inline twelve", None]),
    ("longtext", pa.dictionary(pa.int32(), pa.string()), ["a", None, "a"]),
    ("text", pa.string(), ["x" * 65_535]),
    ("tinytext", pa.string(), ["한" * 85]),
    ("varchar(3)", pa.string(), ["äöü", "a  ", "", "🎉🎉🎉"]),
    ("varchar(20) character set utf8mb3", pa.string(), ["한글", "a"]),
    ("varchar(20) character set latin1", pa.string(), ["äöü", "a"]),
    ("varchar(20) character set ascii", pa.string(), ["a"]),
    ("varchar(20) character set euckr", pa.string(), ["한글"]),
    ("char(3)", pa.string(), ["abc", ""]),
    ("enum('A','it''s','1')", pa.string(), ["A", "it's", "1", None]),
    ("date", pa.date32(), [DAY, dt.date(1, 1, 1), dt.date(9999, 12, 31)]),
    ("date", pa.date64(), [DAY]),
    ("datetime(6)", pa.timestamp("us"), [MOMENT, FIRST, LAST]),
    ("datetime", pa.timestamp("s"), [MOMENT.replace(microsecond=0)]),
    ("datetime(3)", pa.timestamp("ms"), [MOMENT.replace(microsecond=999_000)]),
    ("datetime(6)", pa.timestamp("ns"), [MOMENT]),
    ("timestamp(6)", pa.timestamp("us", tz="UTC"), [MOMENT.replace(tzinfo=UTC)]),
    ("timestamp(6) null", pa.timestamp("us", tz="UTC"), [None]),
    ("timestamp(6)", pa.timestamp("us", tz="Asia/Seoul"), [MOMENT.replace(tzinfo=SEOUL)]),
    ("time(6)", pa.time64("us"), [dt.time(0), dt.time(23, 59, 59, 999_999)]),
    ("time", pa.time32("s"), [dt.time(12)]),
    ("time(6)", pa.duration("us"), [dt.timedelta(hours=800, microseconds=1), dt.timedelta(-1)]),
    ("time(6)", pa.duration("us"), [dt.timedelta(hours=838, minutes=59, seconds=59), None]),
    ("longblob", pa.binary(), [b"", b"\x00\xff\\x'\"\n", None]),
    ("binary(3)", pa.binary(3), [b"\x00ab"]),
    ("varbinary(3)", pa.binary(), [b"ab ", b"\x00"]),
    ("blob", pa.large_binary(), [bytes(range(256))]),
    ("char(36) character set ascii", pa.string(), [UNIQUE]),
    ("uuid", pa.string(), [UNIQUE]),
    ("json", pa.string(), ['{"a": [1, null, "\\u00e4"]}', "3"]),
    ("json", pa.string(), ["0.1234567890123456789", "1e400"]),
    ("json", pa.list_(pa.int64()), [[1, None], [], None]),
    (
        "json",
        pa.struct([("a", pa.string()), ("b", pa.list_(pa.bool_()))]),
        [{"a": 'x"\\', "b": [True]}],
    ),
    ("bigint", pa.null(), [None, None]),
]
WAYS = ("", "&local_infile=0")


@pytest.mark.parametrize(("column", "arrow", "values"), EXACT)
def test_allowed_pairs_arrive_exactly(
    mysql_bench: MysqlBench, column: str, arrow: pa.DataType, values: list[Any]
) -> None:
    """What is read back equals what the file holds, whether LOAD DATA or INSERT brought it."""
    _table(mysql_bench, column)
    path = mysql_bench.file(_rows(arrow, values))
    for execution, options in enumerate(WAYS, start=1):
        url = mysql_bench.url + options
        load_parquet(mysql_bench.request(path, "t", url=url, execution_id=execution))
    with mysql_bench.connection() as connection, connection.cursor() as cursor:
        cursor.execute("SET time_zone = '+00:00'")
        shown = "CAST(v AS DOUBLE)" if column == "float" else "v"  # it is shown with six digits
        cursor.execute(f"SELECT {shown} FROM t ORDER BY at")  # noqa: S608 - ours
        found = [value for (value,) in cursor.fetchall()]
    expected = [_written(value) for value in values for _ in WAYS]
    assert [_read(column, value) for value in found] == expected


REFUSED: list[tuple[str, pa.DataType]] = [
    ("double", pa.int64()),
    ("bigint", pa.float64()),
    ("timestamp", pa.int64()),
    ("datetime", pa.int64()),
    ("bigint", pa.timestamp("us")),
    ("timestamp(6)", pa.timestamp("us")),
    ("datetime(6)", pa.timestamp("us", tz="UTC")),
    ("date", pa.timestamp("us")),
    ("datetime", pa.date32()),
    ("float", pa.float64()),
    ("float", pa.int32()),
    ("double(10,2)", pa.float64()),
    ("decimal(10,2)", pa.float64()),
    ("double", pa.decimal128(10, 2)),
    ("bigint", pa.decimal128(10, 0)),
    ("bigint", pa.bool_()),
    ("bit(1)", pa.bool_()),
    ("bit(8)", pa.int64()),
    ("year", pa.int64()),
    ("tinyint(1)", pa.string()),
    ("bigint", pa.string()),
    ("double", pa.string()),
    ("date", pa.string()),
    ("timestamp", pa.string()),
    ("longblob", pa.string()),
    ("longtext", pa.int64()),
    ("longtext", pa.binary()),
    ("set('a','b')", pa.string()),
    ("point", pa.binary()),
    ("inet6", pa.string()),
    ("varchar(9) character set ucs2", pa.string()),
    ("longtext", pa.list_(pa.int64())),
    ("json", pa.list_(pa.decimal128(5, 2))),
]


@pytest.mark.parametrize(("column", "arrow"), REFUSED)
def test_all_other_pairs_are_refused_before_a_byte_is_sent(
    mysql_bench: MysqlBench, column: str, arrow: pa.DataType
) -> None:
    """MySQL would store something else, often without a word."""
    _table(mysql_bench, f"{column} null")
    with pytest.raises(SchemaMismatch, match="cannot hold it exactly"):
        load_parquet(mysql_bench.request(_rows(arrow, [None]), "t"))


@pytest.mark.parametrize(
    ("column", "arrow", "value", "message"),
    [
        ("int", pa.int64(), 2**31, "column 'v'.*out of the range of int"),
        ("tinyint unsigned", pa.int64(), -1, "out of the range of tinyint unsigned"),
        ("bigint", pa.uint64(), 2**63, "out of the range"),
        ("decimal(4,2)", pa.decimal128(10, 2), Decimal("100.00"), "out of the range"),
        ("decimal(4,2) unsigned", pa.decimal128(4, 2), Decimal("-1.00"), "out of the range"),
        ("decimal(10,2)", pa.decimal128(10, 3), Decimal("1.005"), "column 'v'.*without loss"),
        ("double", pa.float64(), math.nan, "NaN or infinite"),
        ("double", pa.float64(), math.inf, "NaN or infinite"),
        ("double unsigned", pa.float64(), -0.5, "negative"),
        ("varchar(3)", pa.string(), "abcd", "column 'v'.*4 characters; the column takes 3"),
        ("varchar(3)", pa.string(), "abc  ", "5 characters"),
        ("char(3)", pa.string(), "a ", "ends with a blank"),
        ("tinytext", pa.string(), "x" * 256, "256 bytes; the column takes 255"),
        ("varchar(9) character set utf8mb3", pa.string(), "🎉", "does not fit.*column 'v'"),
        ("varchar(9) character set latin1", pa.string(), "한", "does not fit.*column 'v'"),
        ("varchar(9) character set ascii", pa.string(), "ä", "does not fit.*column 'v'"),
        ("text character set latin1", pa.string(), "x" * 65_536, "too long|does not fit"),
        ("enum('a','b')", pa.string(), "A", "no member"),
        ("enum('a','b')", pa.string(), "", "no member"),
        ("enum('a','b')", pa.string(), "1", "no member"),
        ("binary(3)", pa.binary(), b"ab", "shorter than 3 bytes"),
        ("varbinary(3)", pa.binary(), b"abcd", "4 bytes"),
        ("datetime", pa.timestamp("us"), MOMENT, "keeps 0 digits"),
        ("datetime(3)", pa.timestamp("us"), MOMENT, "keeps 3 digits"),
        ("datetime(6)", pa.timestamp("ns"), 1, "without loss"),
        ("timestamp(6)", pa.timestamp("s", tz="UTC"), 2**31, "out of the range of timestamp"),
        ("timestamp(6)", pa.timestamp("s", tz="UTC"), 0, "out of the range of timestamp"),
        ("time", pa.time64("us"), dt.time(1, 1, 1, 1), "keeps 0 digits"),
        ("time(6)", pa.duration("s"), dt.timedelta(hours=839), "out of the range of time"),
        ("uuid", pa.string(), "not-a-uuid", "does not fit"),
        ("json", pa.string(), "{", "invalid JSON|check constraint"),
        ("json", pa.list_(pa.float64()), [math.nan], "NaN"),
        ("bigint not null", pa.int64(), None, "null"),
        ("timestamp not null", pa.timestamp("us", tz="UTC"), None, "null"),
        ("longtext not null", pa.string(), None, "null"),
        ("bigint check (v > 0)", pa.int64(), -1, "check constraint"),
    ],
)
def test_values_that_do_not_fit_are_errors_without_the_value(
    mysql_bench: MysqlBench, column: str, arrow: pa.DataType, value: object, message: str
) -> None:
    """Nothing is rounded, cut, padded or replaced; nothing is loaded; no value is told."""
    _table(mysql_bench, column)
    path = mysql_bench.file(_rows(arrow, [value]))
    for options in WAYS:
        with pytest.raises((DataError, SchemaMismatch), match=message) as caught:
            load_parquet(mysql_bench.request(path, "t", url=mysql_bench.url + options))
        assert "not-a-uuid" not in str(caught.value)
    assert mysql_bench.count("t") == 0


def _table(bench: MysqlBench, column: str) -> None:
    bench.run(f"CREATE TABLE t (at bigint, v {column})")


def _rows(arrow: pa.DataType, values: list[Any]) -> pa.Table:
    cells: Any = pa.array(values, arrow)
    return pa.table({"at": pa.array(range(len(values)), pa.int64()), "v": cells})


def _read(column: str, value: Any) -> Any:  # noqa: ANN401 - any cell
    """Return what a client reads, as a value of Python."""
    if value is None:
        return None
    if column == "json":
        return json.loads(value, parse_float=str)
    if isinstance(value, dt.timedelta):
        return int(value / dt.timedelta(microseconds=1))
    if column.startswith("timestamp"):
        return value.replace(tzinfo=UTC)
    return value


def _written(value: Any) -> Any:  # noqa: ANN401 - any cell
    if isinstance(value, dt.time):
        value = dt.timedelta(
            hours=value.hour,
            minutes=value.minute,
            seconds=value.second,
            microseconds=value.microsecond,
        )
    if isinstance(value, dt.timedelta):
        return int(value / dt.timedelta(microseconds=1))
    if isinstance(value, str) and value[:1] in {"{", "3"}:
        return json.loads(value)
    return value
