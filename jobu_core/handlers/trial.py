"""A dataset tried on a file: the pipeline's own stages in a folder that goes away.

Preprocess and validate are run as an attempt would run them. The load is only
asked what it would do: nothing is written to any table, nothing is published.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import structlog

from jobu_core.config.datasets import CsvOptions
from jobu_core.errors import LoadRefused, Outage, RowsRejected
from jobu_core.handlers.base import HandlerContext
from jobu_core.handlers.dataset_values import model_of
from jobu_core.handlers.db_loader import load_request
from jobu_core.handlers.pipeline import Pipeline, PipelineParams
from jobu_core.handlers.pydantic_validator import validation_options
from jobu_core.pipeline.load.engine import preview_load
from jobu_core.pipeline.load.request import Guards
from jobu_core.pipeline.model_columns import columns_of_model
from jobu_core.pipeline.parquet_writer import write_parquet
from jobu_core.pipeline.preprocess import PreprocessReport
from jobu_core.pipeline.rejects_read import first_rejects
from jobu_core.pipeline.types import arrow_schema
from jobu_core.pipeline.validate.explain import explain_text
from jobu_core.pipeline.validate.plan import plan_model
from jobu_core.pipeline.validate.report import ValidationReport
from jobu_core.pipeline.validate.source import open_rows

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pydantic import BaseModel

    from jobu_core.pipeline.datasets import Dataset
    from jobu_core.pipeline.load.previewed import LoadPreview
    from jobu_core.pipeline.paths import Paths
    from jobu_core.pipeline.types import Column
    from jobu_core.pipeline.validate.plan import ModelPlan
    from jobu_core.pipeline.validate.report import ValidationOptions

_NEVER: Final = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
"""No load is older; a preview does not ask."""


@dataclass(frozen=True, slots=True)
class Trial:
    """What a run of the pipeline would have done."""

    source: str
    rows: int
    """Data rows of the file, ragged ones included."""
    wanted: int
    """Rows that the filters let through to the model."""
    valid: int
    rejected: int
    """Of both stages."""
    counts: Mapping[str, Mapping[str, int]]
    """Field → rule → how often."""
    rejects: tuple[Mapping[str, Any], ...]
    """The first of them, in file order."""
    columns: tuple[Column, ...]
    """What the model's fields are stored as."""
    plan: ModelPlan
    load: LoadPreview | None
    problems: tuple[str, ...]
    """Why the run would fail; none: it would load the valid rows."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a trial finds files and databases, and the folder it may write to."""

    paths: Paths
    databases: Mapping[str, str]
    folder: Path


def try_dataset(
    dataset: Dataset,
    input_path: str,
    place: Place,
    *,
    show_values: bool | None = None,
    most_rejects: int,
) -> Trial:
    """Run ``dataset`` on the file; raises what the run would raise for a whole file.

    ``show_values``: None leaves it to the dataset.
    """
    params = PipelineParams(dataset=dataset.name, input_path=input_path, show_values=show_values)
    context = _context(dataset, place)
    done = _run_stages(context, params)
    rejects, _ = first_rejects(done.rejects, most_rejects)
    model = model_of(params, context.declarations)
    options = validation_options(context, params)
    columns = columns_of_model(model, options.decimals)
    load, problems = _preview(context, params, done, columns)
    return Trial(
        source=input_path,
        rows=done.rows,
        wanted=done.wanted,
        valid=done.valid,
        rejected=done.rejected,
        counts=done.counts,
        rejects=tuple(rejects),
        columns=columns,
        plan=_plan(done, model, options),
        load=load,
        problems=(*([done.refused] if done.refused else []), *problems),
    )


@dataclass(slots=True)
class _Done:
    """How far the stages came."""

    rows: int = 0
    wanted: int = 0
    valid: int = 0
    rejected: int = 0
    counts: dict[str, dict[str, int]] = field(default_factory=dict)
    rejects: list[Path] = field(default_factory=list)
    parquet: Path | None = None
    valid_parquet: Path | None = None
    refused: str | None = None

    def add(self, counts: Mapping[str, Mapping[str, int]], rejected: int, at: Path | None) -> None:
        """Take the rejects of one stage."""
        self.rejected += rejected
        for name, rules in counts.items():
            known = self.counts.setdefault(name, {})
            for rule, times in rules.items():
                known[rule] = known.get(rule, 0) + times
        self.rejects += [at] if at is not None and at.is_file() else []


def _run_stages(context: HandlerContext, params: PipelineParams) -> _Done:
    """Run preprocess and validate; too many rejects end it, as they would a run."""
    done = _Done()
    try:
        carried = dict(Pipeline().run_stage("preprocess", context, params, {}))
        told = carried["preprocess"]
        done.parquet = Path(told["file"])
        done.rows, done.wanted = told["rows_in"], told["rows"]
        done.add(told["counts"], told["rejected"], _rejects_of(done.parquet))
        told = Pipeline().run_stage("validate", context, params, carried)["validate"]
        done.valid_parquet, done.valid = Path(told["file"]), told["rows"]
        done.add(told["counts"], told["rejected"], _rejects_of(done.valid_parquet))
    except RowsRejected as error:
        done.refused = str(error)
        report = error.report
        if isinstance(report, PreprocessReport):
            done.rows, done.wanted = report.rows_in, report.rows_out
        if isinstance(report, PreprocessReport | ValidationReport):
            done.add(report.counts, report.rejected, report.rejects_path)
        if isinstance(report, ValidationReport):
            done.valid = report.valid
    return done


def _rejects_of(output: Path) -> Path:
    return output.with_suffix(".rejects.parquet")


def _plan(done: _Done, model: type[BaseModel], options: ValidationOptions) -> ModelPlan:
    """Return the plan for the rows as preprocess wrote them."""
    if done.parquet is None:
        return explain_text(model, options)
    with open_rows(done.parquet, name=done.parquet.name, csv=CsvOptions(), rename={}) as rows:
        return plan_model(model, options, strings=rows.strings, types=rows.types or {})


def _preview(
    context: HandlerContext, params: PipelineParams, done: _Done, columns: tuple[Column, ...]
) -> tuple[LoadPreview | None, tuple[str, ...]]:
    """Ask the target; without valid rows about their columns alone."""
    path = done.valid_parquet
    if path is None:
        path = context.work_dir / "no_rows.parquet"
        with write_parquet(path, arrow_schema(columns)):
            pass
    request = load_request(context, params, path, shown=path.name)
    if done.valid_parquet is None:
        request = replace(request, guards=Guards(allow_empty=True))
    try:
        found = preview_load(request)
    except (Outage, LoadRefused) as error:
        return None, (str(error),)
    return found, found.problems


def _context(dataset: Dataset, place: Place) -> HandlerContext:
    """Return a context that writes to the trial's folder and tells nobody."""
    work_dir = place.folder / "0" / "1"
    work_dir.mkdir(parents=True)
    return HandlerContext(
        execution_id=0,
        root_execution_id=0,
        attempt=1,
        params={},
        logger=structlog.get_logger(__name__),
        deadline=None,
        scheduled_time=None,
        interval_start=None,
        interval_end=None,
        effective_time=_NEVER,
        progress=lambda _values: None,
        check_lease=lambda: None,
        emit=lambda _made: None,
        databases=place.databases,
        paths=place.paths,
        datasets={dataset.name: dataset},
        models={dataset.settings.model: dataset.model},
        transforms=(
            {}
            if dataset.transform is None
            else {dataset.transform.name: dataset.transform.function}
        ),
        work_dir=work_dir,
        installation="trial",
    )
