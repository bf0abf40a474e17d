"""Models: columns, aliases, types, and those that cannot hold rows."""

from __future__ import annotations

import datetime as dt
import enum
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Literal
from uuid import UUID

import pytest
from pydantic import (
    AliasChoices,
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    Json,
    field_validator,
    model_validator,
)

from jobu_core.errors import (
    ConfigError,
    FileError,
    InvalidParams,
    SchemaMismatch,
)
from tests.validate_support import NAME, of_csv, told, valid, values

if TYPE_CHECKING:
    from pathlib import Path


class Kinds(BaseModel):
    """One field of each type that a column has."""

    i: int
    f: float
    b: bool
    s: str
    d: Decimal = Field(max_digits=6, decimal_places=2)
    day: dt.date
    at: dt.datetime
    aware: AwareDatetime
    span: dt.timedelta
    u: UUID
    color: Literal["red", "blue"]
    doc: Json[dict[str, list[int]]]
    maybe: int | None = None


KINDS = (
    "i,f,b,s,d,day,at,aware,span,u,color,doc,maybe\n"
    " 5.0 ,1e3,yes,NA,1.500,2024-02-29,2024-01-01T10:00:00,2024-01-01T09:00:00+09:00,P1D,"
    '00000000000000000000000000000001,red,"{""a"": [1, 2]}",\n'
)


def test_every_type_is_rewritten_to_its_column(tmp_path: Path) -> None:
    """The output holds what the model made, not what the file said."""
    (row,) = valid(of_csv(tmp_path, KINDS, Kinds))
    assert row == {
        "__jobu_row": 1,
        "i": 5,
        "f": 1000.0,
        "b": True,
        "s": "NA",
        "d": Decimal("1.50"),
        "day": dt.date(2024, 2, 29),
        "at": dt.datetime(2024, 1, 1, 10),  # noqa: DTZ001 - the column is naive
        "aware": dt.datetime(2024, 1, 1, tzinfo=dt.UTC),
        "span": dt.timedelta(days=1),
        "u": "00000000-0000-0000-0000-000000000001",
        "color": "red",
        "doc": '{"a":[1,2]}',
        "maybe": None,
    }


def test_aliases_are_the_names_of_the_file(tmp_path: Path) -> None:
    """The output has the fields' names."""

    class Aliased(BaseModel):
        id: int = Field(validation_alias=AliasChoices("ID", "No"))
        name: str | None = Field(alias="이름")

    report = of_csv(tmp_path, "No,이름\n1,\n2,홍\n", Aliased)
    assert (values(report, "id"), values(report, "name")) == ([1, 2], [None, "홍"])


def test_missing_and_forbidden_columns_are_one_error_before_any_row(tmp_path: Path) -> None:
    """A million rejects would say no more."""

    class Closed(BaseModel):
        model_config = ConfigDict(extra="forbid")

        id: int
        price: float
        note: str = ""

    with pytest.raises(FileError) as caught:
        of_csv(tmp_path, "id,prise,x\n1,2,3\n", Closed)
    text = str(caught.value)
    for part in (NAME, "no column 'price'", "did you mean 'prise'?", "'x' is not of the model"):
        assert part in text


def test_columns_that_the_model_does_not_know_are_left_out(tmp_path: Path) -> None:
    """As pydantic ignores them."""
    report = of_csv(tmp_path, "id,name,value,more\n1,a,1,z\n")
    assert report.columns == (("id", "int"), ("name", "str"), ("value", "float"))


def test_model_that_completes_rows_itself_needs_no_column(tmp_path: Path) -> None:
    """Whether a field is missing only the row can tell then."""

    class Completing(BaseModel):
        id: int
        name: str

        @model_validator(mode="before")
        @classmethod
        def _name(cls, row: dict[str, Any]) -> dict[str, Any]:
            return {**row, "name": "made"}

    assert values(of_csv(tmp_path, "id\n1\n", Completing), "name") == ["made"]


def test_models_that_cannot_hold_rows_are_refused_at_once(tmp_path: Path) -> None:
    """By name, before the first row."""

    class Own(BaseModel):
        id: int

        def __init__(self, **given: Any) -> None:  # noqa: ANN401 - pydantic's signature
            super().__init__(**given)

    class Open(BaseModel):
        model_config = ConfigDict(extra="allow")

        id: int

    class Vague(BaseModel):
        id: int | str

    class Broken(BaseModel):
        id: Nowhere  # type: ignore[name-defined] # noqa: F821 - that is the point

    for model, error in (
        (Own, InvalidParams),
        (Open, InvalidParams),
        (Vague, SchemaMismatch),
        (Broken, ConfigError),
    ):
        with pytest.raises(error, match=model.__name__):
            of_csv(tmp_path, "id\n1\n", model)
        assert not (tmp_path / "valid.parquet").exists()


def test_validator_that_lies_about_its_type_makes_rejects(tmp_path: Path) -> None:
    """The column holds what the annotation says, or nothing."""

    class Size(enum.Enum):
        SMALL = "s"

    class Lying(BaseModel):
        id: int
        size: Size

        @field_validator("id")
        @classmethod
        def _text(cls, given: int) -> Any:  # noqa: ANN401 - that is the point
            return str(given) if given == 1 else given

    report = of_csv(tmp_path, "id,size\n1,s\n2,s\n", Lying)
    assert told(report) == [(1, "id", "output_type")]
    assert values(report, "size") == ["s"]
