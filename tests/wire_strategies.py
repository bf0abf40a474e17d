"""Random columns that travel in binary, for every pair of types that does."""

from __future__ import annotations

import datetime as dt
import json
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pyarrow as pa
from hypothesis import strategies as st

if TYPE_CHECKING:
    from collections.abc import Callable

LABELS = ("ok", "very 'ok'", "좋아")
SETUP = (
    "CREATE TYPE mood AS ENUM ('ok', 'very ''ok''', '좋아')",
    "CREATE DOMAIN money_like AS numeric(12,2) CHECK (value IS NULL OR value > -1e12)",
    "CREATE DOMAIN name_like AS varchar(5)",
)
"""Types of the pairs below that a database has to be given first."""

_YEAR_1 = -62_135_596_800_000_000
_YEAR_9999 = 253_402_300_799_999_999
_EDGES = (
    "",
    " ",
    "\\N",
    "\\.",
    "NULL",
    '"',
    "a,b",
    "\r\n",
    "\x01",
    "한글",
    "🎉",
    "e\u0301",
    "a" * 300,
)


@dataclass(frozen=True, slots=True)
class Pair:
    """An Arrow type, a column type, and values that both hold."""

    column: str
    arrow: pa.DataType
    values: st.SearchStrategy[Any]

    def __str__(self) -> str:
        """Name the pair in the output of a test."""
        return f"{self.arrow} → {self.column}"


def _ints(bits: int, *, signed: bool = True) -> st.SearchStrategy[int]:
    low, high = (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if signed else (0, 2**bits - 1)
    edges = st.sampled_from([low, low + 1, 0, 1, 9_999, 10_000, high - 1, high])
    return st.integers(low, high) | edges.filter(lambda number: low <= number <= high)


def _decimals(digits: int, places: int) -> st.SearchStrategy[Decimal]:
    largest = 10**digits - 1
    whole = st.integers(-largest, largest)
    short = st.integers(-(10 ** min(digits, 5)) + 1, 10 ** min(digits, 5) - 1)
    edges = st.sampled_from([0, 1, -1, largest, -largest, 10 ** (digits - 1)])
    exact = {"sign": 0}

    def point(number: int) -> Decimal:
        figures = tuple(int(figure) for figure in str(abs(number)))
        return Decimal((1 if number < 0 else exact["sign"], figures, -places))

    return (whole | short | edges).map(point)


def _texts(longest: int | None = None) -> st.SearchStrategy[str]:
    letters = st.characters(codec="utf-8", exclude_characters="\0")
    edges = [text for text in _EDGES if longest is None or len(text) <= longest]
    return st.text(letters, max_size=12 if longest is None else longest) | st.sampled_from(edges)


def _json() -> st.SearchStrategy[Any]:
    leaves = (
        st.none()
        | st.booleans()
        | st.integers(-(2**53), 2**53)
        | st.floats(allow_nan=False, allow_infinity=False)
        | _texts()
    )
    return st.recursive(
        leaves,
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_texts(), inner, max_size=3),
    )


def _uuids() -> st.SearchStrategy[str]:
    spell: list[Callable[[str], str]] = [
        str,
        str.upper,
        lambda text: text.replace("-", ""),
        lambda text: "{" + text + "}",
        lambda text: "-".join(text.replace("-", "")[at : at + 4] for at in range(0, 32, 4)),
    ]
    usual = st.uuids().map(str)
    return usual | st.builds(lambda text, way: way(text), usual, st.sampled_from(spell))


PAIRS = (
    *(
        Pair(column, arrow, _ints(bits, signed=signed))
        for column, arrow, bits, signed in (
            ("smallint", pa.int8(), 8, True),
            ("smallint", pa.int64(), 16, True),
            ("smallint", pa.uint8(), 8, False),
            ("integer", pa.int32(), 32, True),
            ("integer", pa.int64(), 32, True),
            ("integer", pa.uint16(), 16, False),
            ("bigint", pa.int64(), 64, True),
            ("bigint", pa.uint32(), 32, False),
            ("bigint", pa.uint64(), 63, False),
            ("numeric", pa.int8(), 8, True),
            ("numeric", pa.int64(), 64, True),
            ("numeric", pa.uint64(), 64, False),
            ("numeric(30,5)", pa.int64(), 64, True),
        )
    ),
    *(
        Pair(column, arrow, _decimals(digits, places))
        for column, arrow, digits, places in (
            ("numeric", pa.decimal32(9, 2), 9, 2),
            ("numeric(18,4)", pa.decimal64(18, 4), 18, 4),
            ("numeric", pa.decimal128(1, 0), 1, 0),
            ("numeric", pa.decimal128(4, 4), 4, 4),
            ("numeric(14,2)", pa.decimal128(14, 2), 14, 2),
            ("numeric(14,6)", pa.decimal128(14, 2), 14 - 6, 2),
            ("numeric", pa.decimal128(18, 16), 18, 16),
            ("numeric", pa.decimal128(18, 18), 18, 18),
            ("numeric", pa.decimal128(19, 0), 19, 0),
            ("numeric", pa.decimal128(38, 0), 38, 0),
            ("numeric(38,10)", pa.decimal128(38, 10), 38, 10),
            ("numeric", pa.decimal128(38, 37), 38, 37),
            ("numeric", pa.decimal128(38, 38), 38, 38),
            ("numeric", pa.decimal256(76, 0), 76, 0),
            ("numeric", pa.decimal256(60, 5), 60, 5),
            ("numeric", pa.decimal256(76, 75), 76, 75),
            ("money_like", pa.decimal128(12, 2), 12, 2),
        )
    ),
    Pair(
        "numeric(10,2)",
        pa.decimal128(12, 4),
        _decimals(10, 2).map(lambda number: number.quantize(Decimal("0.0001"))),
    ),
    Pair("double precision", pa.float64(), st.floats()),
    Pair("double precision", pa.float32(), st.floats(width=32)),
    Pair("real", pa.float32(), st.floats(width=32)),
    Pair("boolean", pa.bool_(), st.booleans()),
    Pair("text", pa.string(), _texts()),
    Pair("text", pa.large_string(), _texts()),
    Pair("text", pa.string_view(), _texts()),
    Pair("text", pa.dictionary(pa.int8(), pa.string()), st.sampled_from(LABELS)),
    Pair("varchar(5)", pa.string(), _texts(5)),
    Pair("varchar", pa.string(), _texts()),
    Pair("name_like", pa.string(), _texts(5)),
    Pair("character(5)", pa.string(), _texts(5)),
    Pair("mood", pa.string(), st.sampled_from(LABELS)),
    Pair("bytea", pa.binary(), st.binary(max_size=20)),
    Pair("bytea", pa.large_binary(), st.binary(max_size=20)),
    Pair("bytea", pa.binary(3), st.binary(min_size=3, max_size=3)),
    Pair("uuid", pa.string(), _uuids()),
    Pair("json", pa.string(), _json().map(json.dumps)),
    Pair("jsonb", pa.string(), _json().map(lambda value: json.dumps(value).replace("\\u0000", ""))),
    Pair("jsonb", pa.list_(pa.int64()), st.lists(st.none() | _ints(64), max_size=3)),
    Pair(
        "json",
        pa.struct([("a", pa.string()), ("b", pa.bool_())]),
        st.fixed_dictionaries({"a": _texts(), "b": st.none() | st.booleans()}),
    ),
    Pair("date", pa.date32(), st.dates() | st.sampled_from([dt.date.min, dt.date.max])),
    Pair("date", pa.date64(), st.dates()),
    *(
        Pair(column, arrow, st.integers(_YEAR_1 // per, _YEAR_9999 // per))
        for column, arrow, per in (
            ("timestamp", pa.timestamp("us"), 1),
            ("timestamp(6)", pa.timestamp("s"), 1_000_000),
            ("timestamptz", pa.timestamp("us", tz="UTC"), 1),
            ("timestamptz", pa.timestamp("ms", tz="Asia/Seoul"), 1_000),
            ("timestamptz", pa.timestamp("us", tz="-05:30"), 1),
        )
    ),
    Pair(
        "timestamp",
        pa.timestamp("ns"),
        st.integers(-(2**63) // 1000 + 1, 2**63 // 1000 - 1).map(lambda number: number * 1000),
    ),
    Pair("time", pa.time64("us"), st.integers(0, 86_399_999_999)),
    Pair("time", pa.time64("ns"), st.integers(0, 86_399_999_999).map(lambda each: each * 1000)),
    Pair("time(6)", pa.time32("s"), st.integers(0, 86_399)),
    Pair("interval", pa.duration("us"), _ints(64)),
    Pair("interval", pa.duration("s"), st.integers(-(2**43), 2**43)),
    *(Pair(column, pa.null(), st.none()) for column in ("bigint", "text", "numeric(5,2)", "mood")),
)
"""Every pair that travels in binary, and more than one of those with parameters."""


@st.composite
def batches(draw: st.DrawFn, *, most_rows: int = 30) -> tuple[list[str], pa.RecordBatch]:
    """Draw rows of random columns, with nulls, as a part of something longer; and column types."""
    pairs = draw(st.lists(st.sampled_from(PAIRS), min_size=1, max_size=6))
    skipped, rows = draw(st.integers(0, 11)), draw(st.integers(0, most_rows))
    arrays = [draw(_column(pair, skipped + rows)) for pair in pairs]
    whole = pa.record_batch(arrays, names=[f"c{at}" for at in range(len(pairs))])
    return [pair.column for pair in pairs], whole.slice(skipped)


def _column(pair: Pair, rows: int) -> st.SearchStrategy[pa.Array[Any]]:
    without = st.lists(pair.values, min_size=rows, max_size=rows)
    some = st.lists(st.none() | pair.values, min_size=rows, max_size=rows)
    return (without | some).map(lambda values: pa.array(values, pair.arrow))
