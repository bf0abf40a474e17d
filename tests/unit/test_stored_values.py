"""Values that a column holds exactly, and those that it refuses."""

from __future__ import annotations

import datetime as dt
import enum
import json
import math
from decimal import Decimal
from typing import TYPE_CHECKING, Any
from uuid import UUID
from zoneinfo import ZoneInfo

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobu_core.pipeline import types
from jobu_core.pipeline.stored_values import NotStorable, storer
from jobu_core.pipeline.types import Column, ColumnType, decimal_type

if TYPE_CHECKING:
    from collections.abc import Callable

PRICE = decimal_type(5, 2)


def store(kind: ColumnType, *, nullable: bool = False) -> Callable[[object], Any]:
    """Return the function under test for a column of ``kind``."""
    return storer(Column("field", kind, nullable))


class Level(enum.IntEnum):
    """An enum whose value is stored."""

    LOW = 1


@pytest.mark.parametrize(
    ("kind", "value", "stored"),
    [
        (types.INT, 2**63 - 1, 2**63 - 1),
        (types.INT, Level.LOW, 1),
        (types.FLOAT, 1, 1.0),
        (types.FLOAT, math.inf, math.inf),
        (types.STR, "가\n", "가\n"),
        (types.STR, "", ""),
        (types.BYTES, b"\0", b"\0"),
        (PRICE, Decimal("1.500"), Decimal("1.50")),
        (PRICE, Decimal("1E+2"), Decimal("100.00")),
        (PRICE, Decimal("-999.99"), Decimal("-999.99")),
        (
            decimal_type(38, 10),
            Decimal("9" * 28 + "." + "9" * 10),
            Decimal("9" * 28 + "." + "9" * 10),
        ),
        (decimal_type(38, 10), Decimal("9" * 28), Decimal("9" * 28)),
        (types.UUID_, UUID(int=1), "00000000-0000-0000-0000-000000000001"),
        (types.JSON, {"a": [1, None, "가"]}, '{"a":[1,null,"가"]}'),
        (types.JSON, "\\u0000", '"\\\\u0000"'),
        (types.JSON, dt.date(2024, 1, 2), '"2024-01-02"'),
        (types.DATE, dt.date(1, 1, 1), dt.date(1, 1, 1)),
        (
            types.DATETIMETZ,
            dt.datetime(2024, 1, 1, 9, tzinfo=ZoneInfo("Asia/Seoul")),
            dt.datetime(2024, 1, 1, tzinfo=dt.UTC),
        ),
    ],
)
def test_value_is_stored_as_it_is(kind: ColumnType, value: object, stored: object) -> None:
    """And Arrow takes what comes out, without a change."""
    found = store(kind)(value)
    assert found == stored
    array: pa.Array[Any] = pa.array([found], kind.arrow)
    assert array[0].as_py() == stored


@pytest.mark.parametrize(
    ("kind", "value", "rule"),
    [
        (types.INT, 2**63, "out_of_storage_range"),
        (types.INT, -(2**63) - 1, "out_of_storage_range"),
        (types.INT, True, "output_type"),
        (types.INT, 1.0, "output_type"),
        (types.FLOAT, 10**400, "out_of_storage_range"),
        (types.FLOAT, "1", "output_type"),
        (types.BOOL, 1, "output_type"),
        (types.STR, "a\0b", "nul_character"),
        (types.STR, "\ud800", "not_unicode"),
        (types.STR, b"a", "output_type"),
        (PRICE, Decimal(1000), "out_of_storage_range"),
        (PRICE, Decimal("1.005"), "out_of_storage_range"),
        (PRICE, Decimal("NaN"), "out_of_storage_range"),
        (PRICE, Decimal("sNaN"), "out_of_storage_range"),
        (PRICE, Decimal("Infinity"), "out_of_storage_range"),
        (PRICE, Decimal("1E+999999"), "out_of_storage_range"),
        (PRICE, Decimal("1E-999999"), "out_of_storage_range"),
        (PRICE, 1.5, "output_type"),
        (types.DATE, dt.datetime(2024, 1, 1), "output_type"),  # noqa: DTZ001 - that it is naive does not matter
        (types.DATETIME, dt.datetime(2024, 1, 1, tzinfo=dt.UTC), "time_zone_unexpected"),
        (types.DATETIMETZ, dt.datetime(2024, 1, 1), "time_zone_missing"),  # noqa: DTZ001 - idem
        (
            types.DATETIMETZ,
            dt.datetime(1, 1, 1, tzinfo=dt.timezone(dt.timedelta(hours=9))),
            "out_of_storage_range",
        ),
        (types.TIME, dt.time(1, tzinfo=dt.UTC), "time_zone_unexpected"),
        (types.TIMEDELTA, dt.timedelta.max, "out_of_storage_range"),
        (types.UUID_, "x", "output_type"),
        (types.JSON, {"a": math.nan}, "not_json"),
        (types.JSON, ["a\0"], "nul_character"),
        (types.JSON, {"\0": 1}, "nul_character"),
        (types.JSON, ["\\\0"], "nul_character"),
        (types.JSON, object(), "not_json"),
        (types.STR, None, "null_not_allowed"),
    ],
)
def test_value_that_would_change_is_refused(kind: ColumnType, value: object, rule: str) -> None:
    """Nothing is rounded, cut, shifted or wrapped."""
    with pytest.raises(NotStorable) as caught:
        store(kind)(value)
    assert caught.value.rule == rule


def test_null_passes_where_the_column_allows_it() -> None:
    """For every type."""
    for kind in (*types.NAMED.values(), PRICE):
        assert store(kind, nullable=True)(None) is None


@given(
    st.decimals(allow_nan=False, allow_infinity=False, places=3, min_value=-2000, max_value=2000)
)
def test_decimal_is_stored_only_if_equal(value: Decimal) -> None:
    """Three places into two: equal or refused."""
    fits = abs(value) < 1000 and value == value.quantize(Decimal("0.01"))
    try:
        stored = store(PRICE)(value)
    except NotStorable:
        assert not fits
    else:
        assert fits
        assert stored == value


documents = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.text(st.characters(codec="utf-8", exclude_characters="\0")),
    st.lists,
)


@given(documents)
def test_json_reads_back_as_the_value(value: object) -> None:
    """Nothing is lost on the way to text."""
    stored = store(types.JSON, nullable=True)(value)
    assert stored is value is None or json.loads(stored) == value
