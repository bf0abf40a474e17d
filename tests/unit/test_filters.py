"""Filters: what each operator keeps, drops and refuses."""

from __future__ import annotations

import datetime as dt
import math
from decimal import Decimal
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobu_core.errors import InvalidParams
from jobu_core.pipeline.filters import Filters

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


def judge(
    conditions: Mapping[str, Any], cells: Sequence[Any], kind: pa.DataType | None = None
) -> tuple[list[Any], list[Any]]:
    """Return the cells of column ``a`` that are kept, and those that are refused."""
    batch = pa.record_batch({"a": pa.array(cells, kind or pa.string())})
    found = Filters({"a": conditions}).bind(batch.schema).judge(batch)
    kept = [cell for cell, keep in zip(cells, found.keep.to_pylist(), strict=True) if keep]
    return kept, [cells[row.index] for row in found.refused]


def keeps(conditions: Mapping[str, Any], cells: Sequence[Any], kind: Any = None) -> list[Any]:  # noqa: ANN401 - an Arrow type
    """Return what is kept, given that nothing is refused."""
    kept, refused = judge(conditions, cells, kind)
    assert refused == []
    return kept


@pytest.mark.parametrize(
    ("conditions", "kept"),
    [
        ({"gt": 5}, ["10", "5.5"]),
        ({"gte": 5}, ["5", "10", "5.0", "05", "5.5"]),
        ({"lt": 5}, ["-1"]),
        ({"lte": 5.0}, ["5", "-1", "5.0", "05"]),
        ({"eq": 5}, ["5", "5.0", "05"]),
        ({"ne": 5}, [None, "10", "-1", "5.5"]),
        ({"in": [5, -1]}, ["5", "-1", "5.0", "05"]),
        ({"in": [None, 10]}, [None, "10"]),
        ({"in": []}, []),
        ({"notnull": True}, ["5", "10", "-1", "5.0", "05", "5.5"]),
        ({"notnull": False}, [None]),
        ({"gt": 0, "lt": 6}, ["5", "5.0", "05", "5.5"]),
    ],
)
def test_number_as_operand_compares_cells_of_text_as_numbers(
    conditions: dict[str, Any], kept: list[str | None]
) -> None:
    """Null matches only ``ne``, ``in`` when listed, and ``notnull: false``."""
    cells = [None, "5", "10", "-1", "5.0", "05", "5.5"]
    assert keeps(conditions, cells) == kept


@pytest.mark.parametrize(
    ("conditions", "kept"),
    [
        ({"gt": "5"}, ["a", "B", "가"]),
        ({"eq": "5"}, ["5"]),
        ({"ne": "5"}, [None, "10", "a", "B", "가", ""]),
        ({"lte": "10"}, ["10", ""]),
        ({"in": ["a", ""]}, ["a", ""]),
    ],
)
def test_string_as_operand_compares_text_by_code_points(
    conditions: dict[str, Any], kept: list[str | None]
) -> None:
    """So "10" lies before "5", "B" before "a", and the empty string is not null."""
    assert keeps(conditions, [None, "5", "10", "a", "B", "가", ""]) == kept


def test_cell_that_is_no_number_equals_none_but_has_no_order() -> None:
    """Equality drops or keeps it; an order refuses it, so that it becomes a reject."""
    cells = ["1", "abc", "", "1,000", "0x10", "1_0", "\u0661"]
    assert keeps({"eq": 1}, cells) == ["1"]
    assert keeps({"in": [1, 2]}, cells) == ["1"]
    assert keeps({"ne": 1}, cells) == cells[1:]
    for name in ("gt", "gte", "lt", "lte"):
        assert judge({name: 100}, cells)[1] == cells[1:]


def test_row_that_another_condition_drops_is_not_refused() -> None:
    """Whatever the order of the conditions."""
    batch = pa.record_batch({"a": ["x", "x"], "b": ["1", "2"]})
    for conditions in (
        {"a": {"gt": 1}, "b": {"eq": 1}},
        {"b": {"eq": 1}, "a": {"gt": 1}},
    ):
        found = Filters(conditions).bind(batch.schema).judge(batch)
        assert [(row.index, row.column) for row in found.refused] == [(0, "a")]
        assert found.keep.to_pylist() == [False, False]


def test_comparison_is_exact() -> None:
    """Neither large integers nor decimal fractions pass through a float."""
    large = str(2**53 + 1)
    assert keeps({"gt": 2**53}, [large]) == [large]
    assert keeps({"eq": 2**53}, [large]) == []
    assert keeps({"eq": 0.1}, ["0.1", "0.10", "1e-1", "0.1000000000000000055511151231257827"]) == [
        "0.1",
        "0.10",
        "1e-1",
    ]
    assert keeps({"eq": 0.1}, [Decimal("0.10")], pa.decimal128(5, 2)) == [Decimal("0.10")]
    assert keeps({"gt": 2**63 - 2}, [2**63 - 1], pa.int64()) == [2**63 - 1]


def test_infinity_and_not_a_number_are_numbers() -> None:
    """NaN matches nothing but ``ne``, as text and as a float."""
    assert keeps({"gt": 5}, ["inf", "-Infinity", "NaN", "6"]) == ["inf", "6"]
    assert keeps({"ne": 5}, ["nan", "5"]) == ["nan"]
    assert keeps({"lte": 5}, [math.nan, math.inf, 1.0], pa.float64()) == [1.0]
    assert keeps({"in": [1]}, [math.nan, 1.0], pa.float64()) == [1.0]


def test_true_and_false_compare_with_their_spellings() -> None:
    """In pydantic's spellings, any case; what is neither equals neither."""
    cells = ["true", "YES", "1", "no", "0", "2", None]
    assert keeps({"eq": True}, cells) == ["true", "YES", "1"]
    assert keeps({"eq": False}, cells) == ["no", "0"]
    assert keeps({"ne": True}, cells) == ["no", "0", "2", None]
    assert keeps({"eq": True}, [True, False, None], pa.bool_()) == [True]


def test_typed_columns_take_operands_of_their_kind() -> None:
    """Dates and times are written in ISO form."""
    day = dt.date(2024, 5, 1)
    assert keeps({"gte": "2024-05-01"}, [day, dt.date(2024, 4, 30)], pa.date32()) == [day]
    moment = dt.datetime(2024, 5, 1, 12, tzinfo=dt.UTC)
    kind = pa.timestamp("us", "UTC")
    assert keeps({"gt": "2024-05-01T20:59:59+09:00"}, [moment], kind) == [moment]


@pytest.mark.parametrize(
    ("operand", "kind"),
    [
        ("5", pa.int64()),
        (True, pa.int64()),
        (1, pa.bool_()),
        (5, pa.date32()),
        ("soon", pa.date32()),
        ("2024-05-01T00:00:00", pa.timestamp("us", "UTC")),
        ("2024-05-01T00:00:00Z", pa.timestamp("us")),
        ("x", pa.binary()),
    ],
)
def test_operand_of_another_kind_is_refused(operand: object, kind: pa.DataType) -> None:
    """Nothing is cast behind one's back; a naive time never meets an aware one."""
    schema = pa.schema([("a", kind)])
    with pytest.raises(InvalidParams, match=r"filters\.a\.eq"):
        Filters({"a": {"eq": operand}}).bind(schema)


@pytest.mark.parametrize(
    "conditions",
    [
        {"gtt": 1},
        {"eq": None},
        {"ne": None},
        {"gt": True},
        {"in": "abc"},
        {"in": 1},
        {"in": [[1]]},
        {"notnull": 1},
        {"eq": {"x": 1}},
        {"gt": math.nan},
        {"lt": math.inf},
    ],
)
def test_condition_that_could_never_work_is_refused_when_made(conditions: dict[str, Any]) -> None:
    """At dispatch, before there is a file; the message names column and operator."""
    with pytest.raises(InvalidParams, match=r"filters\.a\."):
        Filters({"a": conditions})


def test_unknown_column_is_told_with_the_nearest_name() -> None:
    """A typing mistake must not keep every row."""
    assert Filters({"idd": {"gt": 1}}).unknown(["id", "name"]) == [
        "no column 'idd' to filter by (did you mean 'id'?)"
    ]


def test_no_condition_keeps_everything() -> None:
    """Also a batch of no rows."""
    for count in (0, 3):
        batch = pa.record_batch({"a": pa.array(["x"] * count, pa.string())})
        found = Filters({}).bind(batch.schema).judge(batch)
        assert found.keep.to_pylist() == [True] * count


numbers = st.integers(-50, 50) | st.floats(-50, 50, allow_subnormal=False)
texts = st.none() | st.integers(-50, 50).map(str) | st.sampled_from(["", "x", "7.0", "1e1", " 3"])
names = st.sampled_from(["gt", "gte", "lt", "lte", "eq", "ne"])


@given(
    conditions=st.dictionaries(names, numbers, min_size=1),
    listed=st.none() | st.lists(st.none() | numbers, max_size=3),
    cells=st.lists(texts, max_size=30),
)
def test_verdicts_equal_a_row_by_row_reading_of_the_rules(
    conditions: dict[str, float], listed: list[float | None] | None, cells: list[str | None]
) -> None:
    """Any numbers, any cells: the same rows kept and refused as by the plain rules."""
    given_conditions: dict[str, Any] = dict(conditions)
    if listed is not None:
        given_conditions["in"] = listed
    expected = [_by_the_rules(given_conditions, cell) for cell in cells]
    kept, refused = judge(given_conditions, cells)
    assert kept == [cell for cell, found in zip(cells, expected, strict=True) if found == "keep"]
    assert refused == [
        cell for cell, found in zip(cells, expected, strict=True) if found == "refuse"
    ]


def _by_the_rules(conditions: Mapping[str, Any], cell: str | None) -> str:
    """Apply the rules of data.md to one cell, with fractions."""
    found = {_one(name, operand, cell) for name, operand in conditions.items()}
    if "drop" in found:
        return "drop"
    return "refuse" if "refuse" in found else "keep"


def _one(name: str, operand: Any, cell: str | None) -> str:  # noqa: ANN401 - a number or a list
    if cell is None:
        matches = name == "ne" or (name == "in" and None in operand)
        return "keep" if matches else "drop"
    try:
        number: Fraction | None = Fraction(cell.strip())
    except ValueError:
        number = None
    if name == "in":
        wanted = [Fraction(str(item)) for item in operand if item is not None]
        return "keep" if number is not None and number in wanted else "drop"
    bound = Fraction(str(operand))
    if name in {"eq", "ne"}:
        return "keep" if (number == bound) == (name == "eq") else "drop"
    if number is None:
        return "refuse"
    matches = {
        "gt": number > bound,
        "gte": number >= bound,
        "lt": number < bound,
        "lte": number <= bound,
    }[name]
    return "keep" if matches else "drop"
