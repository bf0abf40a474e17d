"""One row against a model: the values its columns store, or what is wrong with it.

The verdict is pydantic's. Typed rows go to ``model_validate``, a CSV's strings to
``model_validate_strings``, for which a null cell is no input at all: there a null
is left out of the row, and a field that takes it as None validates None in place
of what is missing, by the model's own core schema with that one default changed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from jobu_core.config.sources import suggest
from jobu_core.errors import FileError, InvalidParams
from jobu_core.pipeline.model_columns import columns_of_model
from jobu_core.pipeline.rejects import Problem
from jobu_core.pipeline.stored_values import OUTPUT_TYPE, NotStorable, storer
from jobu_core.pipeline.validate.core_schema import (
    lookup_names,
    may_add_fields,
    null_fields,
    path_to_fields,
    rebuilt_validator,
)
from jobu_core.pipeline.validate.problems import problems_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pydantic import BaseModel

    from jobu_core.pipeline.types import Column
    from jobu_core.pipeline.validate.report import ValidationOptions


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a row, or a cell of it, was turned away."""

    problems: list[Problem]
    stored: bool = False
    """pydantic took it and the column cannot hold it; told only of rows that
    pydantic took as a whole."""


class RowCheck:
    """A model made ready for rows of certain columns."""

    def __init__(
        self,
        model: type[BaseModel],
        options: ValidationOptions,
        *,
        strings: bool,
        columns: Sequence[str] | None,
        only: Column | None = None,
    ) -> None:
        """Take every field of the model, or the one of the column ``only``.

        ``columns`` are those of every row; None: each row has its own. Raises
        SchemaMismatch for fields that no column can store.
        """
        self._show_values = options.show_values
        self.columns = columns_of_model(model, options.decimals) if only is None else (only,)
        self._stores = [(column.name, storer(column)) for column in self.columns]
        strict = True if options.coercion == "strict" else None
        wanted = set(model.model_fields) if only is None else {only.name}
        self._validate: Callable[[Any], Any]
        if strings:
            as_none = null_fields(model, wanted, frozenset(columns or ()), options)
            validator = rebuilt_validator(model, wanted, as_none)
            self._validate = lambda row: validator.validate_strings(
                {name: cell for name, cell in row.items() if cell is not None}, strict=strict
            )
        elif only is not None:
            validator = rebuilt_validator(model, wanted)
            self._validate = lambda row: validator.validate_python(row, strict=strict)
        else:
            self._validate = lambda row: model.model_validate(row, strict=strict)

    def check(self, row: object) -> tuple[Any, ...] | Refusal:
        """Return the values to store, in the order of ``columns``, or the problems."""
        try:
            found = self._validate(row)
        except ValidationError as error:
            return Refusal(problems_of(error, show_values=self._show_values))
        values, problems = [], []
        for name, store in self._stores:
            try:
                values.append(store(getattr(found, name)))
            except NotStorable as error:
                problems.append(Problem(name, error.rule, error.message, getattr(found, name)))
            except AttributeError:
                message = "a validator returned something without this field"
                problems.append(Problem(name, OUTPUT_TYPE, message))
        return Refusal(problems, stored=True) if problems else tuple(values)


def refuse_unusable(
    model: type[BaseModel],
    *,
    strings: bool,
    columns: Sequence[str] | None,
    source_name: str,
    forbid_new: bool = False,
) -> None:
    """Raise what makes the model unfit for these rows, before the first of them.

    ``forbid_new`` refuses columns that no field looks for, whatever the model says.
    FileError with every missing or forbidden column, InvalidParams for what the model
    asks for.
    """
    if columns is not None:
        judged = not may_add_fields(model)
        forbids = judged and model.model_config.get("extra") == "forbid"
        _refuse_columns(model, columns, source_name, lacking=judged, extra=forbids or forbid_new)
    if model.model_config.get("extra") == "allow":
        raise InvalidParams(
            f"model {model.__name__} has extra='allow': values without a field have no column to "
            "be stored in; give them fields, or say extra='ignore' or 'forbid'"
        )
    if strings and any(node.get("custom_init") for node in path_to_fields(model)):
        raise InvalidParams(
            f"model {model.__name__} defines __init__, which a CSV's strings cannot go through"
        )


def _refuse_columns(
    model: type[BaseModel],
    columns: Sequence[str],
    source_name: str,
    *,
    lacking: bool,
    extra: bool,
) -> None:
    """Raise one FileError with every missing required and forbidden extra column."""
    known: set[str] = set()
    given = frozenset(columns)
    problems = []
    for name, info in model.model_fields.items():
        names = lookup_names(model, name, info)
        known |= names
        if lacking and info.is_required() and names.isdisjoint(given):
            wanted = " or ".join(repr(each) for each in sorted(names))
            problems.append(f"no column {wanted}{suggest(min(names), columns)}")
    if extra:
        problems += [
            f"column {column!r} is not of the model" for column in columns if column not in known
        ]
    if problems:
        raise FileError(f"{source_name}: model {model.__name__}: " + "; ".join(problems))
