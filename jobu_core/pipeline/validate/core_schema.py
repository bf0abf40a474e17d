"""A model's core schema read as plain data, and rebuilt for some of its fields.

What pydantic-core was told is the truth about a model; annotations are not. A
validator rebuilt for one field is pydantic's own, with the model's configuration,
aliases and defaults: its verdict on the field is the whole model's.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from collections.abc import Set as AbstractSet
from typing import TYPE_CHECKING, Any, Final, cast

from pydantic import AliasChoices, AliasPath
from pydantic.errors import PydanticUndefinedAnnotation, PydanticUserError
from pydantic_core import SchemaValidator

from jobu_core.errors import ConfigError
from jobu_core.pipeline.model_columns import is_nullable

if TYPE_CHECKING:
    from pydantic import BaseModel
    from pydantic.fields import FieldInfo
    from pydantic_core import CoreSchema

    from jobu_core.pipeline.validate.report import ValidationOptions

Schema = Mapping[str, Any]
"""A node of a core schema, read as plain data."""

WRAPPERS: Final = frozenset({"function-before", "function-after", "function-wrap", "model"})
"""Nodes between a model's root and its fields."""

_MAY_ADD_FIELDS: Final = frozenset({"function-before", "function-wrap"})


def complete(model: type[BaseModel]) -> type[BaseModel]:
    """Build what the model deferred."""
    try:
        model.model_rebuild(force=not isinstance(model.__pydantic_core_schema__, dict))
    except (PydanticUndefinedAnnotation, PydanticUserError) as error:
        raise ConfigError(f"model {model.__name__}: cannot be built: {error}") from None
    return model


def path_to_fields(model: type[BaseModel]) -> list[Schema]:
    """Return the nodes from the model's own to ``model-fields``; raises ConfigError."""
    path = [_schema_of(model)]
    while path[-1]["type"] in WRAPPERS:
        path.append(path[-1]["schema"])
    if path[-1]["type"] != "model-fields":
        raise ConfigError(f"model schema of type {path[-1]['type']!r} cannot be used for rows")
    return path


def definitions_of(model: type[BaseModel]) -> dict[str, Schema]:
    """Return the nodes that others refer to, by their ref."""
    schema: Schema = model.__pydantic_core_schema__
    found = schema["definitions"] if schema["type"] == "definitions" else []
    return {each["ref"]: each for each in found}


def may_add_fields(model: type[BaseModel]) -> bool:
    """Whether something sees the row before its fields do, and may complete it."""
    try:
        path = path_to_fields(model)
    except ConfigError:
        return True
    return any(node["type"] in _MAY_ADD_FIELDS for node in path)


def rebuilt_validator(
    model: type[BaseModel], fields: Collection[str], null_fields: Collection[str] = ()
) -> SchemaValidator:
    """Return the model's validator for ``fields`` alone.

    In ``null_fields`` None is validated in place of what is missing.
    """
    path = path_to_fields(model)
    known = path[-1]["fields"]
    # One field of many is the rule here: what is asked of each must not look at all.
    order = fields if len(fields) == 1 else [name for name in known if name in fields]
    kept = {name: known[name] for name in order}
    for name in null_fields:
        node: Schema = kept[name]["schema"]
        inner = node["schema"] if node["type"] == "default" else node
        default = {"type": "default", "schema": inner, "default": None, "validate_default": True}
        kept[name] = {**kept[name], "schema": default}
    rebuilt: Schema = {**path[-1], "fields": kept}
    for node in reversed(path[:-1]):
        rebuilt = {**node, "schema": rebuilt}
    rebuilt = {key: value for key, value in rebuilt.items() if key != "ref"}
    whole: Schema = model.__pydantic_core_schema__
    if whole["type"] == "definitions":
        rebuilt = {**whole, "schema": rebuilt}
    # Definitions lie outside the model's node, and are built with the configuration given
    # here. With prebuilt parts the class's own validator would come back unchanged.
    config = next((node["config"] for node in path if "config" in node), None)
    return SchemaValidator(cast("CoreSchema", rebuilt), config, _use_prebuilt=False)


def null_fields(
    model: type[BaseModel],
    fields: Collection[str],
    columns: AbstractSet[str],
    options: ValidationOptions,
) -> list[str]:
    """Return which of ``fields`` have a column of a CSV whose null cells mean None."""
    found = []
    for name in fields:
        info = model.model_fields[name]
        if lookup_names(model, name, info).isdisjoint(columns):
            continue
        means = "null" if info.is_required() or is_nullable(info.annotation) else "missing"
        if options.null_means is not None and not info.is_required():
            means = options.null_means
        if means == "null":
            found.append(name)
    return found


def lookup_names(model: type[BaseModel], name: str, info: FieldInfo) -> set[str]:
    """Return the keys under which pydantic looks for the field."""
    config = model.model_config
    alias = info.validation_alias
    by_name = config.get("validate_by_name") or config.get("populate_by_name")
    names = {name} if alias is None or by_name else set()
    if alias is None or config.get("validate_by_alias") is False:
        return names or {name}
    choices = alias.choices if isinstance(alias, AliasChoices) else [alias]
    for choice in choices:
        names.add(str(choice.path[0]) if isinstance(choice, AliasPath) else choice)
    return names


def _schema_of(model: type[BaseModel]) -> Schema:
    """Return the model's own node; references to it from inside stay as they are."""
    schema: Schema = model.__pydantic_core_schema__
    if schema["type"] != "definitions":
        return schema
    inner: Schema = schema["schema"]
    if inner["type"] != "definition-ref":
        return inner
    return definitions_of(model)[inner["schema_ref"]]
