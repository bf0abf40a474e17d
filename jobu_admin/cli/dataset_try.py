"""``jobu datasets try``: which dataset is meant, and what became of the trial."""

from __future__ import annotations

import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import typer

from jobu_admin.cli.output import print_json, print_rows
from jobu_core.config import DatasetSettings
from jobu_core.config.sources import suggest
from jobu_core.errors import InvalidParams, NotFound
from jobu_core.handlers.trial import Place, try_dataset
from jobu_core.pipeline.datasets import Dataset, build_datasets
from jobu_core.pipeline.infer.dialect import sniff_dialect
from jobu_core.pipeline.infer.draft import dataset_entry
from jobu_core.pipeline.infer.inference import infer
from jobu_core.pipeline.infer.names import dataset_name, model_name
from jobu_core.pipeline.load.identifiers import STORE_DATABASE, parse_table
from jobu_core.pipeline.paths import Paths
from jobu_core.pipeline.places.s3_names import SCHEME
from jobu_core.services.ensure import ensure_postgres
from jobu_core.services.runtime import database_urls

if TYPE_CHECKING:
    from jobu_core.config import Settings
    from jobu_core.handlers.registry import Registry
    from jobu_core.handlers.trial import Trial

_FIELDS: Final = ("field", "type", "how", "why", "table", "wire")
_REJECTS: Final = ("row_number", "field", "error_type", "message", "value")
_UNNAMED: Final = "unnamed"
_COUNTS: Final = ("field", "rule", "rows")


def dataset_for(
    settings: Settings, registry: Registry, path: Path, *, logical: str, named: str | None
) -> Dataset:
    """Return the named dataset, else the one whose input the file is, else an inferred one.

    Raises NotFound for an unknown name, InvalidParams when several have this input.
    """
    if named is not None:
        found = registry.datasets.get(named)
        if found is None:
            raise NotFound(f"no dataset {named!r}{suggest(named, registry.datasets)}")
        return found
    paths = Paths.of(settings)
    fitting = [
        each
        for each in registry.datasets.values()
        # a bucket is asked for an object's sake only
        if each.settings.input.startswith(SCHEME) == logical.startswith(SCHEME)
        and logical in {place.name for place in paths.places(each.settings.input)}
    ]
    if len(fitting) > 1:
        names = ", ".join(sorted(each.name for each in fitting))
        raise InvalidParams(f"{logical} is the input of several datasets: {names}; give --dataset")
    return fitting[0] if fitting else _inferred(path, logical)


def run_trial(
    settings: Settings,
    dataset: Dataset,
    logical: str,
    *,
    show_values: bool | None,
    most_rejects: int,
) -> Trial:
    """Try the dataset in a temporary folder; starts the embedded PostgreSQL if it is meant."""
    if dataset.target.database == STORE_DATABASE:
        ensure_postgres(settings)
    paths = Paths.of(settings)
    with tempfile.TemporaryDirectory(prefix="jobu-try-") as folder:
        place = Place(paths, database_urls(settings), Path(folder))
        return try_dataset(
            dataset, logical, place, show_values=show_values, most_rejects=most_rejects
        )


def print_trial(dataset: Dataset, trial: Trial, *, as_json: bool) -> None:
    """Print everything as JSON, or what a person needs."""
    if as_json:
        print_json(_as_json(dataset, trial))
        return
    typer.echo(
        f"{trial.source} as dataset {dataset.name}: {trial.rows} rows, {trial.wanted} to validate, "
        f"{trial.valid} valid, {trial.rejected} rejected"
    )
    if trial.rejected:
        typer.echo("\nrejects by rule")
        print_rows(_counted(trial), _COUNTS, as_json=False)
        typer.echo("\nthe first of them (row 1 is the first after the header)")
        print_rows(trial.rejects, _REJECTS, as_json=False)
    typer.echo("\nfields")
    if trial.plan.whole is not None:
        typer.echo(f"every row goes to pydantic as a whole: {trial.plan.whole}")
    print_rows(_fields(trial), _FIELDS, as_json=False)
    typer.echo("\n" + _verdict(dataset, trial))


def _as_json(dataset: Dataset, trial: Trial) -> dict[str, Any]:
    return {
        "dataset": dataset.name,
        "target": str(dataset.target),
        "model": dataset.settings.model,
        "source": trial.source,
        "rows": trial.rows,
        "wanted": trial.wanted,
        "valid": trial.valid,
        "rejected": trial.rejected,
        "counts": trial.counts,
        "rejects": trial.rejects,
        "whole": trial.plan.whole,
        "fields": _fields(trial),
        "load": None if trial.load is None else asdict(trial.load),
        "problems": trial.problems,
    }


def _verdict(dataset: Dataset, trial: Trial) -> str:
    if trial.problems:
        return "a run would fail:\n" + "\n".join(f"  {each}" for each in trial.problems)
    how = None if trial.load is None else trial.load.how
    return f"a run would load {trial.valid} rows into {dataset.target} ({how})"


def _fields(trial: Trial) -> list[dict[str, Any]]:
    """Return each field's way: cells → model → Arrow → wire → column."""
    plans = {each.name: each for each in trial.plan.fields}
    there = {} if trial.load is None else {each.name: each for each in trial.load.columns}
    rows = []
    for column in trial.columns:
        plan, target = plans.get(column.name), there.get(column.name)
        rows.append(
            {
                "field": column.name,
                "type": column.type.name,
                "how": "rows" if plan is None else plan.mode.value,
                "why": None if plan is None else plan.why or None,
                "table": None if target is None else target.column,
                "wire": None if target is None else target.wire,
            }
        )
    return rows


def _counted(trial: Trial) -> list[dict[str, Any]]:
    found = [
        {"field": name or None, "rule": rule, "rows": times}
        for name, rules in trial.counts.items()
        for rule, times in rules.items()
    ]
    return sorted(found, key=lambda each: -each["rows"])


def _inferred(path: Path, logical: str) -> Dataset:
    """Return what ``init`` would write down, without writing it."""
    try:
        name = dataset_name(path.name.partition(".")[0])
    except InvalidParams:  # of another alphabet, for example; init would ask for --name
        name = _UNNAMED
    found = infer(path, source_name=logical, csv=sniff_dialect(path, name=logical))
    model = found.model(model_name(name))
    target = parse_table(f"default.public.{name}")
    settings = DatasetSettings(**dataset_entry(name, found, target))
    return build_datasets({name: settings}, {settings.model: model})[name]
