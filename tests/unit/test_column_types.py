"""The one table of types: model → Arrow → PostgreSQL, golden."""

from __future__ import annotations

import datetime as dt
import enum
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Literal, NewType
from uuid import UUID

import pyarrow as pa
import pytest
from pydantic import (
    AnyUrl,
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    Json,
    NaiveDatetime,
    PastDate,
    PositiveInt,
    RootModel,
    create_model,
)
from typing_extensions import TypeAliasType, TypedDict

from jobu_core.errors import InvalidParams, SchemaMismatch
from jobu_core.pipeline.model_columns import columns_of_model
from jobu_core.pipeline.types import (
    NAMED,
    ROW_COLUMN,
    Column,
    arrow_schema,
    columns_of_schema,
    decimal_type,
    type_named,
)


class Color(enum.StrEnum):
    """Values of text."""

    RED = "red"


class Level(enum.IntEnum):
    """Values of numbers."""

    LOW = 1


class Mixed(enum.Enum):
    """Values of several types."""

    ONE = 1
    TWO = "two"


class Inner(BaseModel):
    """A nested document."""

    x: int


@dataclass
class Point:
    """A nested document of another kind."""

    x: int


class Options(TypedDict):
    """One more kind."""

    x: int


UserId = NewType("UserId", int)
Name = TypeAliasType("Name", Annotated[str, Field(min_length=1)])
Price = Annotated[Decimal, Field(max_digits=10, decimal_places=2)]


@pytest.mark.parametrize(
    ("annotation", "name", "arrow", "postgres", "nullable"),
    [
        (int, "int", pa.int64(), "bigint", False),
        (int | None, "int", pa.int64(), "bigint", True),
        (PositiveInt, "int", pa.int64(), "bigint", False),
        (UserId, "int", pa.int64(), "bigint", False),
        (Level, "int", pa.int64(), "bigint", False),
        (float, "float", pa.float64(), "double precision", False),
        (bool, "bool", pa.bool_(), "boolean", False),
        (str, "str", pa.string(), "text", False),
        (Name, "str", pa.string(), "text", False),
        (Color, "str", pa.string(), "text", False),
        (Literal["a", "b"] | None, "str", pa.string(), "text", True),
        (Literal["a"] | Color, "str", pa.string(), "text", False),
        (AnyUrl, "str", pa.string(), "text", False),
        (Path, "str", pa.string(), "text", False),
        (bytes, "bytes", pa.binary(), "bytea", False),
        (Price, "decimal(10,2)", pa.decimal128(10, 2), "numeric(10,2)", False),
        (Price | None, "decimal(10,2)", pa.decimal128(10, 2), "numeric(10,2)", True),
        (dt.date, "date", pa.date32(), "date", False),
        (PastDate, "date", pa.date32(), "date", False),
        (dt.time, "time", pa.time64("us"), "time", False),
        (dt.datetime, "datetime", pa.timestamp("us"), "timestamp", False),
        (NaiveDatetime, "datetime", pa.timestamp("us"), "timestamp", False),
        (AwareDatetime, "datetimetz", pa.timestamp("us", "UTC"), "timestamptz", False),
        (dt.timedelta, "timedelta", pa.duration("us"), "interval", False),
        (UUID, "uuid", pa.string(), "uuid", False),
        (list[int], "json", pa.string(), "jsonb", False),
        (dict[str, Any] | None, "json", pa.string(), "jsonb", True),
        (Mapping[str, int], "json", pa.string(), "jsonb", False),
        (Sequence[int], "json", pa.string(), "jsonb", False),
        (tuple[int, str], "json", pa.string(), "jsonb", False),
        (set[int], "json", pa.string(), "jsonb", False),
        (Inner, "json", pa.string(), "jsonb", False),
        (Point, "json", pa.string(), "jsonb", False),
        (Options, "json", pa.string(), "jsonb", False),
        (Json[list[int]], "json", pa.string(), "jsonb", False),
        (Json[int], "int", pa.int64(), "bigint", False),
        (Any, "json", pa.string(), "jsonb", True),
    ],
)
def test_annotation_has_its_column_type(
    annotation: Any,  # noqa: ANN401 - any annotation
    name: str,
    arrow: pa.DataType,
    postgres: str,
    nullable: bool,
) -> None:
    """One line per row of the table in docs."""
    model = create_model("Row", field=(annotation, ...))
    (column,) = columns_of_model(model)
    found = column.type
    assert (found.name, found.arrow, found.postgres, column.nullable) == (
        name,
        arrow,
        postgres,
        nullable,
    )


def test_decimal_limits_are_found_wherever_they_stand() -> None:
    """On the field, in Annotated, or inside an Optional."""

    class Row(BaseModel):
        a: Decimal = Field(max_digits=5, decimal_places=1)
        b: Annotated[Decimal, Field(max_digits=6)] = Field(decimal_places=2)
        c: Annotated[Decimal, Field(max_digits=7, decimal_places=3)] | None

    assert [column.type.name for column in columns_of_model(Row)] == [
        "decimal(5,1)",
        "decimal(6,2)",
        "decimal(7,3)",
    ]


def test_unconstrained_decimal_takes_the_targets_scale_or_is_refused() -> None:
    """Nothing is guessed: a scale too small would round money."""

    class Row(BaseModel):
        price: Decimal

    assert columns_of_model(Row, {"price": (12, 4)})[0].type == decimal_type(12, 4)
    with pytest.raises(SchemaMismatch, match="max_digits and decimal_places"):
        columns_of_model(Row)


def test_default_of_none_makes_a_column_nullable() -> None:
    """Pydantic does not check defaults, so None arrives."""
    model = create_model("Row", field=(int, None))
    assert columns_of_model(model)[0].nullable


def test_fields_without_a_type_are_told_all_at_once() -> None:
    """The person sees every problem of a model in one go."""

    class Row(BaseModel):
        model_config = ConfigDict(arbitrary_types_allowed=True)

        a: int | str
        b: Mixed
        c: complex
        d: type[int]
        e: Annotated[Decimal, Field(max_digits=39, decimal_places=2)]

    with pytest.raises(SchemaMismatch) as caught:
        columns_of_model(Row)
    text = str(caught.value)
    assert text.startswith("model Row: ")
    for field in "abcde":
        assert f"{field}: " in text


def test_root_model_and_reserved_name_are_refused() -> None:
    """Neither can be a row of named columns."""
    with pytest.raises(SchemaMismatch, match="RootModel"):
        columns_of_model(RootModel[int])


def test_parquet_schema_leads_back_to_the_same_columns() -> None:
    """The types uuid and json survive, though Arrow knows them as text."""
    columns = tuple(
        Column(name, entry, nullable=bool(at % 2)) for at, (name, entry) in enumerate(NAMED.items())
    )
    columns += (Column("price", decimal_type(10, 2), nullable=True),)
    schema = arrow_schema(columns)
    assert schema.field(0).name == ROW_COLUMN
    assert columns_of_schema(schema) == columns


def test_foreign_arrow_types_have_columns_too() -> None:
    """Parquet of other tools loads; a type that no table knows is named."""
    fields: list[pa.Field[Any]] = [
        pa.field("small", pa.int16()),
        pa.field("word", pa.dictionary(pa.int32(), pa.string())),
        pa.field("long", pa.large_string()),
        pa.field("list", pa.list_(pa.int64())),
        pa.field("when", pa.timestamp("ns", "Asia/Seoul")),
    ]
    found = columns_of_schema(pa.schema(fields))
    assert [column.type.name for column in found] == ["int", "str", "str", "json", "datetimetz"]
    with pytest.raises(SchemaMismatch, match="odd: Arrow type uint64"):
        columns_of_schema(pa.schema([pa.field("odd", pa.uint64())]))


def test_metadata_that_contradicts_the_arrow_type_is_not_believed() -> None:
    """A file that was rewritten by another tool keeps stale metadata."""
    field = pa.field("a", pa.int64(), metadata={b"jobu.type": b"uuid"})
    assert columns_of_schema(pa.schema([field]))[0].type.name == "int"


@pytest.mark.parametrize("name", ["", "integer", "decimal", "decimal(40,2)", "decimal(2,3)"])
def test_unknown_declared_type_is_a_param_at_fault(name: str) -> None:
    """Named as the param that holds it."""
    with pytest.raises(InvalidParams, match="types: "):
        type_named(name)


def test_declared_types_are_found_by_name() -> None:
    """With the spaces that people write."""
    assert type_named(" int ").postgres == "bigint"
    assert type_named("decimal( 10 , 2 )") == decimal_type(10, 2)
