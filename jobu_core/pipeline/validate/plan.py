"""How each field of a model is validated: compiled, on distinct values, or row by row.

What is not known to be safe goes the slower way, and the plan says why.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa
from pydantic import BaseModel

from jobu_core.errors import ConfigError
from jobu_core.pipeline.model_columns import columns_of_model
from jobu_core.pipeline.validate.allowed import NotKnown, calls_of, refuse_unknown
from jobu_core.pipeline.validate.cell_check import CellCheck
from jobu_core.pipeline.validate.core_schema import (
    complete,
    definitions_of,
    path_to_fields,
)
from jobu_core.pipeline.validate.proofs import Field, NotCompiled
from jobu_core.pipeline.validate.text_proofs import text_proof
from jobu_core.pipeline.validate.typed_proofs import typed_proof

if TYPE_CHECKING:
    from collections.abc import Mapping

    from jobu_core.pipeline.validate.core_schema import Schema
    from jobu_core.pipeline.validate.proofs import Proof
    from jobu_core.pipeline.validate.report import ValidationOptions

_OF_THE_CLASS: Final = ("__new__", "__getattribute__", "__setattr__", "model_validate")
"""What a model may redefine to see a row that its core schema knows nothing of."""


class Mode(StrEnum):
    """How the cells of a field are validated."""

    COMPILED = "compiled"
    """Proven in bulk; pydantic sees the distinct cells that were not proven."""
    DISTINCT = "distinct values"
    """pydantic sees each distinct cell of a batch once."""
    ROWS = "rows"
    """pydantic sees the field of every row, in order."""


@dataclass(frozen=True, slots=True)
class FieldPlan:
    """How one field is validated, and why no faster."""

    name: str
    mode: Mode
    why: str
    """Empty for a compiled field."""
    check: CellCheck
    prove: Proof | None = None
    null_stays_null: bool = False
    """Whether pydantic and the storage make null of a null cell."""


@dataclass(frozen=True, slots=True)
class ModelPlan:
    """How a model is validated."""

    fields: tuple[FieldPlan, ...]
    """In the order of the model; empty if it is validated as a whole."""
    whole: str | None = None
    """Why every row goes to pydantic as a whole."""


def plan_model(
    model: type[BaseModel],
    options: ValidationOptions,
    *,
    strings: bool,
    types: Mapping[str, pa.DataType],
) -> ModelPlan:
    """Plan the validation of rows whose columns have these Arrow types.

    Raises ConfigError for a model that cannot be built, SchemaMismatch for fields
    that no column can store.
    """
    complete(model)
    try:
        path = path_to_fields(model)
        _refuse_whole(model, path)
        definitions = definitions_of(model)
        # Looked at before any field is tried: one unknown thing is one too many.
        calls = {name: calls_of(node, definitions) for name, node in path[-1]["fields"].items()}
    except (NotKnown, ConfigError) as error:
        return ModelPlan((), f"{error}")
    checks = [
        CellCheck(model, column, options, strings=strings, columns=tuple(types))
        for column in columns_of_model(model, options.decimals)
    ]
    if any(len(check.columns) > 1 for check in checks) and _forbids_more(path):
        return ModelPlan((), "a field has several columns, and extra columns are forbidden")
    planning = _Planning(options, path, definitions, types, strings=strings)
    found = [planning.field(check, calls[check.column.name]) for check in checks]
    return ModelPlan(tuple(found))


def _refuse_whole(model: type[BaseModel], path: list[Schema]) -> None:
    """Raise NotKnown for what sees the row as a whole."""
    for node in path:
        refuse_unknown(node)
        if node["type"].startswith("function-"):
            name = getattr(node["function"]["function"], "__name__", "")
            raise NotKnown(f"the model validator {name} sees whole rows")
    if path[0].get("custom_init"):
        raise NotKnown("the model defines __init__")
    if path[0].get("post_init"):
        raise NotKnown(f"the model defines {path[0]['post_init']} or private attributes")
    for name in _OF_THE_CLASS:
        own, base = getattr(model, name), getattr(BaseModel, name)
        if getattr(own, "__func__", own) is not getattr(base, "__func__", base):
            raise NotKnown(f"the model defines {name}")


def _forbids_more(path: list[Schema]) -> bool:
    """Whether the second column of a field may be an error of the row."""
    said = [node.get("extra_behavior") for node in path]
    said += [(node.get("config") or {}).get("extra_fields_behavior") for node in path]
    return "forbid" in said


@dataclass(frozen=True, slots=True)
class _Planning:
    """What the plans of all fields share."""

    options: ValidationOptions
    path: list[Schema]
    definitions: Mapping[str, Schema]
    types: Mapping[str, pa.DataType]
    strings: bool

    def field(self, check: CellCheck, calls: str | None) -> FieldPlan:
        """Return the plan of one field."""
        name = check.column.name
        node = self.path[-1]["fields"][name]
        if calls is not None:
            return FieldPlan(name, Mode.ROWS, calls, check)
        if len(check.columns) > 1:
            return FieldPlan(name, Mode.ROWS, "it may come from several columns", check)
        if _is_path(node.get("validation_alias")):
            return FieldPlan(name, Mode.ROWS, "its alias is a path into a column", check)
        if not check.columns:
            return FieldPlan(name, Mode.DISTINCT, "no column: the default for all", check)
        try:
            prove = self._proof(node["schema"], check)
        except NotCompiled as error:
            return FieldPlan(name, Mode.DISTINCT, str(error), check)
        stays = check.answer(None) == (None,)
        return FieldPlan(name, Mode.COMPILED, "", check, prove, null_stays_null=stays)

    def _proof(self, node: Schema, check: CellCheck) -> Proof:
        config = next((each.get("config") or {} for each in self.path if "cls" in each), {})
        strict = [self.options.coercion == "strict", config.get("strict")]
        while (inner := self._inner(node)) is not None:
            strict.append(node.get("strict"))
            node = inner
        strict.append(node.get("strict"))
        strict += [each.get("strict") for each in self.path]
        field = Field(check.column, node, config, lax=not any(strict), answer=check.answer)
        if self.strings:
            return text_proof(field)
        return typed_proof(field, plain_type(self.types[check.columns[0]]))

    def _inner(self, node: Schema) -> Schema | None:
        """Return what a node only wraps: its null or default is asked of pydantic itself."""
        if node["type"] == "definition-ref":
            return self.definitions[node["schema_ref"]]
        on_error = node.get("on_error") in (None, "raise")
        if node["type"] == "nullable" or (node["type"] == "default" and on_error):
            inner: Schema = node["schema"]
            return inner
        return None


def plain_type(arrow: pa.DataType) -> pa.DataType:
    """Return the type that cells are brought to before they are proven."""
    test: Any = pa.types
    if test.is_dictionary(arrow):
        return plain_type(arrow.value_type)  # type: ignore[attr-defined] # known to be a dictionary
    if test.is_large_string(arrow) or test.is_string_view(arrow):
        return pa.string()
    if (
        test.is_large_binary(arrow)
        or test.is_fixed_size_binary(arrow)
        or test.is_binary_view(arrow)
    ):
        return pa.binary()
    return arrow


def _is_path(alias: object) -> bool:
    """Whether an alias looks inside a column's value."""
    choices = alias if isinstance(alias, list) else []
    return any(len(path) > 1 for path in choices if isinstance(path, list)) or (
        bool(choices) and not isinstance(choices[0], list) and len(choices) > 1
    )
