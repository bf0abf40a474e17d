"""``jobu models …``: the registered models, and how their rows are validated."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

import typer

from jobu_admin.cli.output import JsonFlag, print_json, print_rows
from jobu_admin.cli.session import load_declared
from jobu_core.config.sources import suggest
from jobu_core.errors import NotFound
from jobu_core.pipeline.model_columns import columns_of_model
from jobu_core.pipeline.validate.explain import explain_text, explain_typed
from jobu_core.pipeline.validate.report import ValidationOptions

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pydantic import BaseModel

    from jobu_core.handlers.registry import Registry
    from jobu_core.pipeline.validate.plan import ModelPlan

app = typer.Typer(no_args_is_help=True, help="Models: what a row is, and how it is checked.")

_MODELS: Final = ("name", "fields", "datasets", "defined_in")
_FIELDS: Final = ("field", "type", "how", "why")


class Source(StrEnum):
    """What the rows come from."""

    CSV = "csv"
    PARQUET = "parquet"


@app.command(name="list")
def list_(*, as_json: JsonFlag = False) -> None:
    """List the registered models and the datasets that use them."""
    _, registry = load_declared()
    rows = [_described(name, model, registry) for name, model in sorted(registry.models.items())]
    print_rows(rows, _MODELS, as_json=as_json, empty="no models")


@app.command()
def explain(
    name: Annotated[str, typer.Argument(metavar="NAME", help="The model's name.")],
    *,
    source: Annotated[Source, typer.Option("--from", help="What the rows come from.")] = Source.CSV,
    strict: Annotated[bool, typer.Option("--strict", help="As with coercion: strict.")] = False,
    as_json: JsonFlag = False,
) -> None:
    """Say how each field is validated: compiled, on distinct values or rows, and why."""
    _, registry = load_declared()
    model = _find(name, registry.models)
    coercion: Literal["lax", "strict"] = "strict" if strict else "lax"
    options = ValidationOptions(coercion=coercion)
    ask = explain_text if source is Source.CSV else explain_typed
    plan = ask(model, options)
    rows = field_rows(model, plan)
    if as_json:
        print_json({"model": name, "from": source.value, "whole": plan.whole, "fields": rows})
        return
    if plan.whole is not None:
        typer.echo(f"every row goes to pydantic as a whole: {plan.whole}")
        return
    print_rows(rows, _FIELDS, as_json=False, empty="no fields")


def field_rows(model: type[BaseModel], plan: ModelPlan) -> list[dict[str, Any]]:
    """Return one row for each field of a plan: its type, how it is validated and why."""
    types = {column.name: column.type.name for column in columns_of_model(model)}
    return [
        {
            "field": field.name,
            "type": types[field.name],
            "how": field.mode.value,
            "why": field.why or None,
        }
        for field in plan.fields
    ]


def _described(name: str, model: type[BaseModel], registry: Registry) -> dict[str, Any]:
    used = [each.name for each in registry.datasets.values() if each.model is model]
    return {
        "name": name,
        "fields": len(model.model_fields),
        "datasets": ", ".join(sorted(used)) or None,
        "defined_in": f"{model.__module__}.{model.__qualname__}",
    }


def _find(name: str, models: Mapping[str, type[BaseModel]]) -> type[BaseModel]:
    found = models.get(name)
    if found is None:
        raise NotFound(f"no model named {name!r} is registered{suggest(name, models)}")
    return found
