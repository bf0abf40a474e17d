"""Null cells of a CSV: None, the default, or a reject."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import pytest
from pydantic import (
    BaseModel,
    Json,
    field_validator,
    model_validator,
)

from tests.validate_support import of_csv, told, valid, values

if TYPE_CHECKING:
    from pathlib import Path


class Nulls(BaseModel):
    """One field of each kind that a null can meet."""

    id: int
    required: int | None
    optional: int | None = 5
    plain: int = 7


@pytest.mark.parametrize(
    ("null_means", "expected"),
    [(None, (None, None, 7)), ("missing", (None, 5, 7))],
)
def test_null_means_none_where_the_field_takes_it_else_the_default(
    tmp_path: Path, null_means: Literal["missing"] | None, expected: tuple[int | None, ...]
) -> None:
    """A required Optional has nothing but None to become."""
    report = of_csv(tmp_path, "id,required,optional,plain\n1,,,\n", Nulls, null_means=null_means)
    (row,) = valid(report)
    assert (row["required"], row["optional"], row["plain"]) == expected


def test_null_can_be_made_to_mean_null_everywhere(tmp_path: Path) -> None:
    """Then a field with a default rejects it."""
    text = "id,required,optional,plain\n1,,,\n2,1,1,1\n"
    report = of_csv(tmp_path, text, Nulls, null_means="null")
    assert told(report) == [(1, "plain", "int_type")]


def test_null_in_a_required_field_is_a_reject(tmp_path: Path) -> None:
    """With pydantic's own rule for None, not as a column that is missing."""
    report = of_csv(tmp_path, "id,name,value\n,a,1\n2,b,1\n")
    assert told(report) == [(1, "id", "int_type")]


def test_column_that_the_file_has_not_takes_the_default(tmp_path: Path) -> None:
    """Null cells and absent columns are two things."""
    report = of_csv(tmp_path, "id,required\n1,\n", Nulls)
    assert [values(report, name) for name in ("optional", "plain")] == [[5], [7]]


def test_empty_string_is_not_null(tmp_path: Path) -> None:
    """A quoted empty cell reaches the model as text."""

    class Note(BaseModel):
        id: int
        note: str | None = "none"

    report = of_csv(tmp_path, 'id,note\n1,""\n2,\n3,NA\n', Note)
    assert values(report, "note") == ["", None, "NA"]


def test_validators_see_a_null_as_none(tmp_path: Path) -> None:
    """Field validators run on it, and model validators run once."""
    seen: list[object] = []

    class Watched(BaseModel):
        id: int
        price: float | None = 1.0

        @field_validator("price", mode="before")
        @classmethod
        def _zero(cls, given: object) -> object:
            seen.append(given)
            return 0.0 if given is None else given

        @model_validator(mode="after")
        def _double(self) -> Watched:
            self.id *= 2
            return self

    report = of_csv(tmp_path, "id,price\n1,\n2,3\n", Watched)
    assert seen == [None, "3"]
    assert (values(report, "id"), values(report, "price")) == ([2, 4], [0.0, 3.0])


class Tree(BaseModel):
    """A model that refers to itself."""

    id: int
    size: int | None = 3
    children: Json[list[Tree]] = []


def test_recursive_model_is_validated_with_its_nulls(tmp_path: Path) -> None:
    """Its core schema is a reference to a definition."""
    text = 'id,size,children\n1,,"[{""id"": 2}]"\n'
    (row,) = valid(of_csv(tmp_path, text, Tree))
    assert row["size"] is None
    assert row["children"] == '[{"id":2,"size":3,"children":[]}]'
