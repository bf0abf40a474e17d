"""``jobu bench SUITE``: the measures of the data path; they lie beside the packages.

Only a checkout has them: the wheel leaves ``bench/`` out, as it does the tests.
"""

from __future__ import annotations

import importlib
import json
import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from jobu_admin.cli.output import print_rows, to_json
from jobu_core.errors import ConfigError, FileError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import ModuleType

_COLUMNS: Final = ("name", "ours", "peer", "peer_value", "ratio", "target", "met")


_SIGNS: Final = {"ratio at least": "≥", "value at most": "≤"}


class Suite(StrEnum):
    """What can be measured."""

    PREPROCESS = "preprocess"
    VALIDATE = "validate"
    LOAD = "load"
    PIPELINE = "pipeline"
    MEMORY = "memory"
    ALL = "all"


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(bench)


def bench(
    suite: Annotated[Suite, typer.Argument(help="What to measure.")],
    *,
    json_file: Annotated[
        Path | None, typer.Option("--json", metavar="FILE", help="Write the results there, too.")
    ] = None,
    rows: Annotated[
        int, typer.Option(min=1, help="Rows of the narrow file; the wide one has a tenth.")
    ] = 2_000_000,
    size: Annotated[
        str, typer.Option(help="Size of the CSV that memory is measured on, e.g. 500MB.")
    ] = "5GB",
    runs: Annotated[int, typer.Option(min=1, help="How often ours and each peer run.")] = 3,
) -> None:
    """Measure the data path against its peers, on a PostgreSQL of the bench's own."""
    suites = load_bench()
    if json_file is not None and not json_file.resolve().parent.is_dir():
        raise FileError(f"{json_file}: no such folder")
    names = [each.value for each in Suite if each is not Suite.ALL]
    asked = names if suite is Suite.ALL else [suite.value]
    outcome = suites.run(asked, rows=rows, size=size, runs=runs)
    results = [each.as_json() | {"met": each.met} for each in outcome.results]
    print_rows(
        [_shown(each) for each in results], _COLUMNS, as_json=False, empty="nothing was measured"
    )
    for skipped in outcome.skipped:
        typer.echo(f"{skipped.name}: skipped: {skipped.reason}")
    if json_file is not None:
        told = {
            "results": results,
            "skipped": [{"name": each.name, "reason": each.reason} for each in outcome.skipped],
        }
        text = json.dumps(told, default=to_json, ensure_ascii=False, indent=2)
        json_file.write_text(f"{text}\n", encoding="utf-8")


def load_bench(beside: Path = Path(__file__).parents[2]) -> ModuleType:
    """Import the suites from the checkout that this package is part of.

    Raises ConfigError when jobu was installed from a wheel, which has none.
    """
    if not (beside / "bench" / "suites.py").is_file():
        raise ConfigError(
            "the benchmarks are part of jobu's repository, not of the installed package: "
            "clone it and run `make bench` there"
        )
    if str(beside) not in sys.path:
        sys.path.insert(0, str(beside))
    return importlib.import_module("bench.suites")


def _shown(result: Mapping[str, Any]) -> dict[str, Any]:
    target, met = result["limit_value"], result["met"]
    return {
        **result,
        "ours": _figure(result["value"], result["unit"]),
        "peer_value": _figure(result["peer_value"], result["unit"]),
        "target": None if target is None else f"{_SIGNS[result['limit']]} {target:g}",
        "met": None if met is None else "yes" if met else "no",
    }


def _figure(value: float | None, unit: str) -> str | None:
    return None if value is None else f"{value:,} {unit}"
