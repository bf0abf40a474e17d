"""How a model's fields would be validated, asked before there is a file."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa

from jobu_core.pipeline.model_columns import columns_of_model
from jobu_core.pipeline.validate.core_schema import complete
from jobu_core.pipeline.validate.plan import plan_model
from jobu_core.pipeline.validate.report import ValidationOptions

if TYPE_CHECKING:
    from pydantic import BaseModel

    from jobu_core.pipeline.validate.plan import ModelPlan


def explain_text(model: type[BaseModel], options: ValidationOptions | None = None) -> ModelPlan:
    """Return the plan for a CSV that has one column for each field.

    Raises ConfigError for a model that cannot be built, SchemaMismatch for fields
    that no column can store.
    """
    names = _columns(model)
    types = dict.fromkeys(names.values(), pa.string())
    return plan_model(model, options or ValidationOptions(), strings=True, types=types)


def explain_typed(model: type[BaseModel], options: ValidationOptions | None = None) -> ModelPlan:
    """Return the plan for a Parquet whose columns already have the model's types.

    Raises as ``explain_text``.
    """
    chosen = options or ValidationOptions()
    names = _columns(model)
    columns = columns_of_model(model, chosen.decimals)
    types = {names[column.name]: column.type.arrow for column in columns}
    return plan_model(model, chosen, strings=False, types=types)


def _columns(model: type[BaseModel]) -> dict[str, str]:
    """Return the column each field is read from: its alias where it has a plain one."""
    fields = complete(model).model_fields
    aliases = {name: info.validation_alias for name, info in fields.items()}
    return {name: each if isinstance(each, str) else name for name, each in aliases.items()}
