"""``jobu transforms list``: the registered functions over rows, and who uses them."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any, Final

import typer

from jobu_admin.cli.output import JsonFlag, print_rows
from jobu_admin.cli.session import load_declared

if TYPE_CHECKING:
    from collections.abc import Callable

    from jobu_core.handlers.registry import Registry

app = typer.Typer(no_args_is_help=True, help="Transforms: functions over the rows of a file.")

_COLUMNS: Final = ("name", "datasets", "what", "defined_in")


@app.callback()
def _group() -> None:
    """Keep ``list`` a command of its own, however many there are."""


@app.command(name="list")
def list_(*, as_json: JsonFlag = False) -> None:
    """List the registered transforms and the datasets that use them."""
    _, registry = load_declared()
    rows = [_described(name, each, registry) for name, each in sorted(registry.transforms.items())]
    print_rows(rows, _COLUMNS, as_json=as_json, empty="no transforms")


def _described(name: str, function: Callable[..., object], registry: Registry) -> dict[str, Any]:
    used = [
        f"{each.name} ({each.transform.scope})"
        for each in registry.datasets.values()
        if each.transform is not None and each.transform.name == name
    ]
    doc = inspect.getdoc(function) or ""
    return {
        "name": name,
        "datasets": ", ".join(sorted(used)) or None,
        "what": doc.partition("\n")[0] or None,
        "defined_in": f"{function.__module__}.{function.__qualname__}",
    }
