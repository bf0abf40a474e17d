"""``jobu datasets …``: what the project loads, from which files into which tables."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import typer

from jobu_admin.cli.output import JsonFlag, print_rows
from jobu_admin.cli.session import load_declared

if TYPE_CHECKING:
    from jobu_core.pipeline.datasets import Dataset

app = typer.Typer(no_args_is_help=True, help="Datasets: files, their model, their table.")

_COLUMNS: Final = ("name", "input", "model", "target", "mode", "description")


@app.command(name="list")
def list_(*, as_json: JsonFlag = False) -> None:
    """List the datasets of the configuration."""
    _, registry = load_declared()
    rows = [_described(each) for _, each in sorted(registry.datasets.items())]
    print_rows(rows, _COLUMNS, as_json=as_json, empty="no datasets")


def _described(dataset: Dataset) -> dict[str, Any]:
    """Return every setting, with names resolved."""
    settings = dataset.settings.model_dump(mode="json")
    return {"name": dataset.name, **settings, "target": str(dataset.target)}
