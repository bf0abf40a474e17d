"""``jobu datasets …``: what the project loads, from which files into which tables."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from jobu_admin.cli.data_files import FileArgument, opened_file
from jobu_admin.cli.dataset_init import (
    PACKAGE,
    Wanted,
    draft_dataset,
    insist_declared,
    refuse_conflicts,
    write_draft,
)
from jobu_admin.cli.dataset_try import dataset_for, print_trial, run_trial
from jobu_admin.cli.output import JsonFlag, print_json, print_rows
from jobu_admin.cli.session import load_declared
from jobu_core.config import load_settings
from jobu_core.pipeline.infer.inference import ROWS

if TYPE_CHECKING:
    from jobu_admin.cli.dataset_init import Draft
    from jobu_core.pipeline.datasets import Dataset

app = typer.Typer(no_args_is_help=True, help="Datasets: files, their model, their table.")

_COLUMNS: Final = ("name", "input", "model", "target", "mode", "description")
_FIELDS: Final = ("column", "field", "type", "empty", "misfits")


@app.command(name="list")
def list_(*, as_json: JsonFlag = False) -> None:
    """List the datasets of the configuration."""
    _, registry = load_declared()
    rows = [_described(each) for _, each in sorted(registry.datasets.items())]
    print_rows(rows, _COLUMNS, as_json=as_json, empty="no datasets")


@app.command()
def init(
    file: FileArgument,
    *,
    name: Annotated[
        str | None, typer.Option("--name", help="The dataset's name; the file's unless given.")
    ] = None,
    target: Annotated[
        str | None,
        typer.Option("--target", help="database.schema.table; default.public.NAME unless given."),
    ] = None,
    package: Annotated[
        str, typer.Option("--package", help="Folder of the model, beside config/.")
    ] = PACKAGE,
    encoding: Annotated[
        str | None, typer.Option("--encoding", help="Found out unless given.")
    ] = None,
    delimiter: Annotated[
        str | None, typer.Option("--delimiter", help="Found out unless given.")
    ] = None,
    rows: Annotated[int, typer.Option("--rows", min=1, help="Look at so many rows.")] = ROWS,
    force: Annotated[bool, typer.Option("--force", help="Write over what is there.")] = False,
    as_json: JsonFlag = False,
) -> None:
    """Write a model, a dataset, a table's DDL and an event for a CSV never seen before.

    What cannot be known from the rows is for you to correct. Nothing that is there
    is written over without --force.
    """
    settings, registry = load_declared()
    wanted = Wanted(name, target, package, encoding, delimiter, rows)
    with opened_file(settings, file) as (path, logical):
        draft = draft_dataset(settings, registry, path, logical=logical, wanted=wanted)
    if not force:
        refuse_conflicts(settings, draft)
    written = [str(each.relative_to(settings.root)) for each in write_draft(settings, draft)]
    insist_declared(load_settings(), draft)
    if as_json:
        print_json(_summary(draft, written))
    else:
        _tell(draft, written, file if logical == file else str(path))


@app.command(name="try")
def try_(
    file: FileArgument,
    *,
    dataset: Annotated[
        str | None,
        typer.Option("--dataset", help="Else the one with this input, else what init would write."),
    ] = None,
    rejects: Annotated[
        int, typer.Option("--rejects", "-n", min=1, max=10_000, help="Show so many rejects.")
    ] = 10,
    show_values: Annotated[
        bool | None,
        typer.Option("--show-values/--hide-values", help="Of rejected cells; else the dataset's."),
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """Run a file through its dataset without loading it; exit code 1 if a run would fail.

    Tells the first rejects, how each field is validated, how each column would
    travel and what the table has against it. Nothing is written to any table.
    """
    settings, registry = load_declared()
    with opened_file(settings, file) as (path, logical):
        found = dataset_for(settings, registry, path, logical=logical, named=dataset)
    trial = run_trial(settings, found, logical, show_values=show_values, most_rejects=rejects)
    print_trial(found, trial, as_json=as_json)
    if trial.problems:
        raise typer.Exit(1)


def _summary(draft: Draft, written: list[str]) -> dict[str, Any]:
    found = draft.found
    return {
        "dataset": draft.name,
        "module": draft.module,
        "target": str(draft.target),
        "csv": found.csv.model_dump(mode="json"),
        "rows": found.rows,
        "complete": found.complete,
        "rejected": found.refused + found.ragged,
        "fields": _fields(draft),
        "written": written,
    }


def _fields(draft: Draft) -> list[dict[str, Any]]:
    return [
        {
            "column": each.column,
            "field": each.name,
            "type": f"{each.kind.source}{' | None' if each.nullable else ''}",
            "empty": each.nulls,
            "misfits": each.misfits,
        }
        for each in draft.found.fields
    ]


def _tell(draft: Draft, written: list[str], path: str) -> None:
    found = draft.found
    print_rows(_fields(draft), _FIELDS, as_json=False)
    looked = "all" if found.complete else "the first"
    typer.echo(
        f"\n{looked} {found.rows} rows of {found.source_name} were looked at; the model "
        f"refuses {found.refused} of them, {found.ragged} are ragged"
    )
    typer.echo("written: " + ", ".join(written))
    model, _, event = draft.files
    typer.echo(
        f"next: `jobu datasets try {path} --dataset {draft.name}`; correct {model} and "
        f"config/datasets.yaml and try again; then restart jobu (`jobu down`, `jobu up`) and "
        f"`jobu events send --file {event}`"
    )


def _described(dataset: Dataset) -> dict[str, Any]:
    """Return every setting, with names resolved."""
    settings = dataset.settings.model_dump(mode="json")
    return {"name": dataset.name, **settings, "target": str(dataset.target)}
