"""Random cells: text that is nearly a value of some type, and Arrow columns of every type."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pyarrow as pa
from hypothesis import strategies as st

if TYPE_CHECKING:
    from collections.abc import Callable

    Drawn = st.SearchStrategy[Any]
    Draw = Callable[[Drawn], Any]

NUMBERS = (
    *(
        "0",
        "5",
        "-5",
        "7.0",
        "7.50",
        "+5",
        "007",
        "-007",
        "1_000",
        "1e3",
        "0x1F",
        "-0",
        "-0.0",
        "0.0",
    ),
    *(
        "--5",
        "5-",
        "1.2.3",
        ".5",
        "5.",
        "-.5",
        "-",
        ".",
        " 7",
        "7 ",
        "1,5",
        "1e-3",
        "1E+2",
        "1e400",
    ),
    *("9223372036854775807", "9223372036854775808", "-9223372036854775808", "9" * 40, "0" * 30),
    *(
        "0.1",
        "123456789012345678",
        "1234567890123456789",
        "0.30000000000000004",
        "1e-320",
        "\u0661",
    ),
    *(
        "nan",
        "NaN",
        "inf",
        "-Infinity",
        "99.99",
        "100.005",
        "9007199254740993",
        "00.50",
        "000001.50",
    ),
)
TIMES = (
    *("2024-02-29", "2023-02-29", "2024-02-30", "2024-13-01", "0001-01-01", "0000-01-01"),
    *("9999-12-31", "2024-1-1", "20240101", " 2024-01-01", "2024-01-01T10", "2024-01-01T10:00"),
    *("2024-01-01T10:00:00", "2024-01-01 10:00:00", "2024-01-01T10:00:00.", "2024-01-01t10:00:00"),
    *("2024-01-01T10:00:00.1", "2024-01-01T10:00:00.123456", "2024-01-01T10:00:00.1234567"),
    *("2024-01-01T10:00:00Z", "2024-01-01T10:00:00z", "2024-01-01T10:00:00+09:00"),
    *("2024-01-01T10:00:00+0900", "2024-01-01T10:00:00+09", "2024-01-01T10:00:00.25-00:30"),
    *("2024-01-01T24:00:00", "2024-01-01T23:59:60", "2024-01-01T10:00:00+24:00"),
    *("2024-01-01T10:00:00+23:59", "0001-01-01T00:00:00+09:00", "9999-12-31T23:59:59-01:00"),
    *("2024-01-01T10:00:00.00+09", "2024-01-01T10:00:00.12345", "2024-01-01_10:00:00"),
    *(
        "10:00:00",
        "10:00",
        "10:00:00.5",
        "24:00:00",
        "10:00:00Z",
        "1700000000",
        "P1D",
        "PT1H",
        "-1",
    ),
)
WORDS = (
    *("true", "TRUE", "True", "tRuE", "yes", "Y", "off", "on", "f", "2", "red", "RED", "blue", "b"),
    *(
        "",
        " ",
        "  ab ",
        "\tab\n",
        "ab",
        "AB",
        "Ab",
        "abc",
        "abab",
        "a&&b",
        "A12",
        "AB1",
        "AB\u0661",
    ),
    *(
        "\u00a0ab",
        "ab\u0085",
        "\u3000가",
        "가나다",
        "é",
        "É",
        "İ",
        "ẞ",
        "\x1cab",
        "ab\u200b",
        "a\0b",
    ),
    *('{"a": 1}', '{"a": "x"}', "[1]", "null", "NA", "ab\n", "a\nb", "x", " x", "😀😀", "\u0e33"),
    *("12345678-1234-4234-9234-123456789abc", "12345678-1234-4234-9234-123456789ABC"),
    *("12345678-1234-1234-1234-123456789abc", "{12345678-1234-4234-9234-123456789abc}"),
    *("12345678123442349234123456789abc", "12345678-1234-4234-c234-123456789abc"),
)

texts: Drawn = (
    st.sampled_from(NUMBERS)
    | st.sampled_from(TIMES)
    | st.sampled_from(WORDS)
    | st.integers(-60, 60).map(str)
    | st.from_regex(r"-?[0-9]{1,4}(\.[0-9]{1,3})?", fullmatch=True)
    | st.dates(dt.date(1985, 1, 1), dt.date(2035, 1, 1)).map(str)
    | st.datetimes(dt.datetime(1985, 1, 1), dt.datetime(2035, 1, 1)).map(str)  # noqa: DTZ001 - as files have them
    | st.from_regex(r"[0-9+\-:.TZ e]{1,12}", fullmatch=True)
    | st.text("abAB&- c1", max_size=5)
    | st.text(st.characters(codec="utf-8"), max_size=5)
)

FAMILIES: tuple[tuple[str, ...], ...] = (NUMBERS, TIMES, WORDS)


@st.composite
def text_columns(draw: Draw, rows: int) -> pa.Array[Any]:
    """Draw cells of a CSV: now of one family, now of all."""
    cells = draw(st.sampled_from([texts, *(st.sampled_from(each) for each in FAMILIES)]))
    found = draw(st.lists(st.none() | cells | cells, min_size=rows, max_size=rows))
    return pa.array(found, pa.string())


_INTS = (-1, 0, 1, 5, 50, 127)
_FLOATS = (
    0.0,
    -0.0,
    1.0,
    5.5,
    -7.0,
    2.0**53,
    2.0**53 + 2,
    1e300,
    9.3e18,
    float("nan"),
    float("inf"),
)
_DAYS = (dt.date(1, 1, 1), dt.date(2024, 2, 29), dt.date(9999, 12, 31), dt.date(2000, 1, 1))
_MOMENTS = (
    dt.datetime(2, 1, 1),  # noqa: DTZ001 - the array adds the zone
    dt.datetime(2024, 11, 3, 6, 30),  # noqa: DTZ001 - idem
    dt.datetime(2024, 2, 29, 0, 0, 0, 123456),  # noqa: DTZ001 - idem
    dt.datetime(2000, 1, 1),  # noqa: DTZ001 - idem
    dt.datetime(9998, 12, 31),  # noqa: DTZ001 - idem
)
_SPANS = (dt.timedelta(0), dt.timedelta(days=-3, microseconds=1), dt.timedelta(days=99_999_998))
_NUMBERS = (
    Decimal("0.00"),
    Decimal("-1.50"),
    Decimal("99.99"),
    Decimal("1234.50"),
    Decimal("0.01"),
)


def _kinds() -> list[tuple[pa.DataType, Drawn]]:
    """Return every type that a column of a Parquet may have here, with its cells."""
    big = st.sampled_from([*_INTS, 2**53, 2**53 + 1, 2**63 - 1])
    bare = [each.replace(microsecond=0) for each in _MOMENTS]
    zoned = [each.replace(tzinfo=dt.UTC) for each in _MOMENTS]
    whole = [each for each in zoned if not each.microsecond]
    binaries = st.sampled_from([b"", b"ab", b"\xff\0", b"abcd"])
    return [
        (pa.int8(), st.sampled_from(_INTS)),
        (pa.uint16(), st.sampled_from(_INTS[1:])),
        (pa.int64(), big),
        (pa.int64(), big),
        (pa.uint64(), st.sampled_from([0, 5, 2**53 + 1, 2**64 - 1])),
        (pa.float32(), st.sampled_from([0.5, -0.0, 3.0, float("nan")])),
        (pa.float64(), st.sampled_from(_FLOATS) | st.integers(-60, 60).map(float)),
        (pa.bool_(), st.booleans()),
        (pa.string(), texts),
        (pa.large_string(), texts),
        (pa.dictionary(pa.int8(), pa.string()), st.sampled_from(["red", "5", "ab", "", "yes"])),
        (pa.binary(), binaries),
        (pa.large_binary(), binaries),
        (pa.binary(2), st.sampled_from([b"ab", b"\xff\0"])),
        (pa.date32(), st.sampled_from(_DAYS) | st.dates(dt.date(1985, 1, 1), dt.date(2035, 1, 1))),
        (pa.date64(), st.sampled_from(_DAYS)),
        (pa.timestamp("us"), st.sampled_from(_MOMENTS)),
        (pa.timestamp("s"), st.sampled_from(bare)),
        (pa.timestamp("us", "UTC"), st.sampled_from(zoned)),
        (pa.timestamp("ms", "America/New_York"), st.sampled_from(whole)),
        (pa.timestamp("us", "+09:00"), st.sampled_from(zoned)),
        (pa.time32("s"), st.just(dt.time(10, 0, 5))),
        (pa.time64("us"), st.sampled_from([dt.time(0), dt.time(23, 59, 59, 999999)])),
        (pa.duration("us"), st.sampled_from(_SPANS)),
        (pa.duration("s"), st.sampled_from([dt.timedelta(0), dt.timedelta(days=3)])),
        (pa.decimal128(8, 2), st.sampled_from(_NUMBERS)),
        (pa.decimal128(20, 4), st.sampled_from(_NUMBERS)),
        (pa.decimal128(3, 0), st.sampled_from([Decimal(5), Decimal(-100), Decimal(999)])),
        (pa.list_(pa.int64()), st.lists(st.integers(-2, 2), max_size=2)),
        (pa.struct([("x", pa.int64())]), st.fixed_dictionaries({"x": st.integers(0, 2)})),
        (pa.null(), st.none()),
    ]


_COLUMNS = st.sampled_from(_kinds())


@st.composite
def typed_columns(draw: Draw, rows: int) -> pa.Array[Any]:
    """Draw a column of some Arrow type."""
    arrow, cells = draw(_COLUMNS)
    found = draw(st.lists(st.none() | cells | cells | cells, min_size=rows, max_size=rows))
    cells_drawn: pa.Array[Any] = pa.array(found, arrow)
    return cells_drawn
