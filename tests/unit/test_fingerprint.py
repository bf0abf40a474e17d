"""The fingerprint of a stage's output: the same in every process, another for other work."""

from __future__ import annotations

from typing import Generic, TypeVar

from pydantic import BaseModel, Field

from jobu_core.handlers.stages import fingerprint

Item = TypeVar("Item")


def make_model(longest: int = 5) -> type[BaseModel]:
    """Make the same model anew, as another process would: its classes lie elsewhere."""

    class Part(BaseModel):
        name: str = Field(max_length=longest)

    class Box(BaseModel, Generic[Item]):
        items: list[Item]

    class Whole(BaseModel):
        first: Part
        second: Part
        boxed: Box[Part]

    return Whole


def of(model: type[BaseModel]) -> str:
    """Return the fingerprint of one input checked against ``model``."""
    return fingerprint("input", {}, model.__pydantic_core_schema__)


def test_where_a_class_lies_does_not_count() -> None:
    """Or no later attempt, in a process of its own, would find what an earlier one finished."""
    first, second = make_model(), make_model()
    assert of(first) == of(second)


def test_what_a_model_demands_counts() -> None:
    """A limit that changed makes another output."""
    assert of(make_model()) != of(make_model(longest=6))
