"""One row against a model: the values its columns store, or what is wrong with it.

The verdict is pydantic's. Typed rows go to ``model_validate``, a CSV's strings to
``model_validate_strings``, for which a null cell is no input at all: there a null
is left out of the row, and a field that takes it as None validates None in place
of what is missing, by the model's own core schema with that one default changed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, cast

from pydantic import AliasChoices, AliasPath, ValidationError
from pydantic.errors import PydanticUndefinedAnnotation, PydanticUserError
from pydantic_core import SchemaValidator

from jobu_core.config.sources import suggest
from jobu_core.errors import ConfigError, FileError, InvalidParams, NotAvailableYet
from jobu_core.pipeline.model_columns import columns_of_model, is_nullable
from jobu_core.pipeline.rejects import Problem
from jobu_core.pipeline.stored_values import OUTPUT_TYPE, NotStorable, storer
from jobu_core.pipeline.validate.problems import problems_of

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    from pydantic import BaseModel
    from pydantic.fields import FieldInfo
    from pydantic_core import CoreSchema

    from jobu_core.pipeline.types import Column
    from jobu_core.pipeline.validate.report import ValidationOptions

    Schema = Mapping[str, Any]
    """A node of a core schema, read as plain data."""

_WRAPPERS: Final = frozenset({"function-before", "function-after", "function-wrap", "model"})
"""Nodes between a model's root and its fields."""

_MAY_ADD_FIELDS: Final = frozenset({"function-before", "function-wrap"})


class RowCheck:
    """A model made ready for rows of certain columns."""

    def __init__(
        self,
        model: type[BaseModel],
        options: ValidationOptions,
        *,
        strings: bool,
        columns: Sequence[str] | None,
        source_name: str,
    ) -> None:
        """Hold the model against the columns; None: each row has its own.

        Raises FileError with every missing or forbidden column, SchemaMismatch for
        fields that no column can store, ConfigError for an unusable model.
        """
        self._model = _complete(model)
        self._show_values = options.show_values
        self.columns: tuple[Column, ...] = columns_of_model(model, options.decimals)
        self._stores = [(column.name, storer(column)) for column in self.columns]
        if columns is not None and not _may_add_fields(model):
            _refuse_columns(model, columns, source_name)
        if model.model_config.get("extra") == "allow":
            raise NotAvailableYet(f"model {model.__name__}: extra='allow' is not available yet")
        strict = True if options.coercion == "strict" else None
        self._validate: Callable[[Any], Any]
        if strings:
            validator = _strings_validator(model, _null_fields(model, columns or (), options))
            self._validate = lambda row: validator.validate_strings(
                {name: cell for name, cell in row.items() if cell is not None}, strict=strict
            )
        else:
            self._validate = lambda row: model.model_validate(row, strict=strict)

    def check(self, row: object) -> tuple[Any, ...] | list[Problem]:
        """Return the values to store, in the order of ``columns``, or the problems."""
        try:
            found = self._validate(row)
        except ValidationError as error:
            return problems_of(error, show_values=self._show_values)
        values, problems = [], []
        for name, store in self._stores:
            try:
                values.append(store(getattr(found, name)))
            except NotStorable as error:
                problems.append(Problem(name, error.rule, error.message, getattr(found, name)))
            except AttributeError:
                message = "a validator returned something without this field"
                problems.append(Problem(name, OUTPUT_TYPE, message))
        return problems or tuple(values)


def _complete(model: type[BaseModel]) -> type[BaseModel]:
    """Build what the model deferred."""
    try:
        model.model_rebuild(force=not isinstance(model.__pydantic_core_schema__, dict))
    except (PydanticUndefinedAnnotation, PydanticUserError) as error:
        raise ConfigError(f"model {model.__name__}: cannot be built: {error}") from None
    return model


def _schema_of(model: type[BaseModel]) -> Schema:
    """Return the model's own node; references to it from inside stay as they are."""
    schema: Schema = model.__pydantic_core_schema__
    if schema["type"] != "definitions":
        return schema
    inner: Schema = schema["schema"]
    if inner["type"] != "definition-ref":
        return inner
    return next(each for each in schema["definitions"] if each.get("ref") == inner["schema_ref"])


def _path_to_fields(schema: Schema) -> list[Schema]:
    """Return the nodes from the root to ``model-fields``; raises ConfigError."""
    path = [schema]
    while path[-1]["type"] in _WRAPPERS:
        path.append(path[-1]["schema"])
    if path[-1]["type"] != "model-fields":
        raise ConfigError(f"model schema of type {path[-1]['type']!r} cannot be used for rows")
    return path


def _may_add_fields(model: type[BaseModel]) -> bool:
    """Whether something sees the row before its fields do, and may complete it."""
    try:
        path = _path_to_fields(_schema_of(model))
    except ConfigError:
        return True
    return any(node["type"] in _MAY_ADD_FIELDS for node in path)


def _strings_validator(model: type[BaseModel], null_fields: Collection[str]) -> SchemaValidator:
    """Return the model's validator, with None for what is missing in ``null_fields``."""
    path = _path_to_fields(_schema_of(model))
    if any(node.get("custom_init") for node in path):
        raise InvalidParams(
            f"model {model.__name__} defines __init__, which a CSV's strings cannot go through"
        )
    fields = dict(path[-1]["fields"])
    for name in null_fields:
        node: Schema = fields[name]["schema"]
        inner = node["schema"] if node["type"] == "default" else node
        default = {"type": "default", "schema": inner, "default": None, "validate_default": True}
        fields[name] = {**fields[name], "schema": default}
    rebuilt: Schema = {**path[-1], "fields": fields}
    for node in reversed(path[:-1]):
        rebuilt = {**node, "schema": rebuilt}
    rebuilt = {key: value for key, value in rebuilt.items() if key != "ref"}
    whole: Schema = model.__pydantic_core_schema__
    if whole["type"] == "definitions":
        rebuilt = {**whole, "schema": rebuilt}
    # With prebuilt parts the class's own validator would come back unchanged.
    return SchemaValidator(cast("CoreSchema", rebuilt), _use_prebuilt=False)


def _null_fields(
    model: type[BaseModel], columns: Collection[str], options: ValidationOptions
) -> list[str]:
    """Return the fields with a column whose null cells mean None."""
    found = []
    for name, info in model.model_fields.items():
        if columns and not _lookup_names(model, name, info).isdisjoint(columns):
            means = "null" if info.is_required() or is_nullable(info.annotation) else "missing"
            if options.null_means is not None and not info.is_required():
                means = options.null_means
            if means == "null":
                found.append(name)
    return found


def _lookup_names(model: type[BaseModel], name: str, info: FieldInfo) -> set[str]:
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


def _refuse_columns(model: type[BaseModel], columns: Sequence[str], source_name: str) -> None:
    """Raise one FileError with every missing required and forbidden extra column."""
    known: set[str] = set()
    problems = []
    for name, info in model.model_fields.items():
        names = _lookup_names(model, name, info)
        known |= names
        if info.is_required() and names.isdisjoint(columns):
            wanted = " or ".join(repr(each) for each in sorted(names))
            problems.append(f"no column {wanted}{suggest(min(names), columns)}")
    if model.model_config.get("extra") == "forbid":
        problems += [
            f"column {column!r} is not of the model" for column in columns if column not in known
        ]
    if problems:
        raise FileError(f"{source_name}: model {model.__name__}: " + "; ".join(problems))
