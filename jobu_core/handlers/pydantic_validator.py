"""The handler ``pydantic_validator``: rows against a model, the rejects explained."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Annotated, Any, Self

from pydantic import BaseModel, Field, model_validator

from jobu_core.handlers.base import BaseHandler, CheckResult, handler, model
from jobu_core.handlers.dataset_values import (
    csv_of,
    dataset_of,
    decimals_of,
    limits_of,
    missing_column_of,
    model_of,
    needed,
    new_column_of,
    rejects_place_of,
    rename_of,
    show_values_of,
    shown_path,
)
from jobu_core.handlers.lineage import Step, column_sources, file_uri, made, previewed
from jobu_core.handlers.measured import cost, timed
from jobu_core.handlers.params import ValidateParams
from jobu_core.handlers.placed import lent, write_placed
from jobu_core.pipeline.datasets import REJECTS_CHECK
from jobu_core.pipeline.places.local import LocalFile
from jobu_core.pipeline.sources import InputFile
from jobu_core.pipeline.validate.report import ValidationOptions
from jobu_core.pipeline.validate.rows import validate_file, validate_records

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from jobu_core.handlers.base import Declarations, HandlerContext
    from jobu_core.handlers.placed import Write
    from jobu_core.pipeline.parquet_writer import Reader
    from jobu_core.pipeline.places.place import Place
    from jobu_core.pipeline.validate.report import ValidationReport


@model("SampleRecord")
class SampleRecord(BaseModel):
    """The row of the demo, and the model of params that name none."""

    id: int
    name: Annotated[str, Field(min_length=1, max_length=100)]
    value: Annotated[float, Field(ge=0)]


class PydanticValidatorParams(ValidateParams):
    """Params of ``pydantic_validator``."""

    input_path: str | None = None
    """A CSV or Parquet file."""
    data: list[Any] | None = None
    """Records, in place of a file."""
    output_path: str | None = None
    """The Parquet file of the valid rows; not kept unless given."""

    @model_validator(mode="after")
    def _one_input(self) -> Self:
        if self.input_path is not None and self.data is not None:
            raise ValueError("input_path and data: give one of them")
        return self


@handler("pydantic_validator")
class PydanticValidator(BaseHandler):
    """Hold rows against a registered model."""

    Params = PydanticValidatorParams

    def check(self, params: PydanticValidatorParams, declared: Declarations) -> None:
        """Refuse an unknown dataset or model, or nothing to validate."""
        model_of(params, declared)
        if params.data is None:
            needed(params.input_path, "input_path", "data is given")

    def run(self, context: HandlerContext, params: PydanticValidatorParams) -> dict[str, Any]:
        """Write the valid rows and tell what became of the others."""
        output: Place = (
            LocalFile(context.work_dir / "valid.parquet", "valid.parquet")
            if params.output_path is None
            else context.paths.place(params.output_path)
        )
        rejects = rejects_place_of(context, params)

        def tell(told: dict[str, Any], path: Path) -> None:
            if params.output_path is None:
                told["output_path"] = None  # goes with the attempt's folder
                if rejects is None:
                    told["rejects_path"] = None
            emit_valid(context, params, told, path)

        if params.data is not None:
            write: Write = partial(_validate_data, context, params)
            return write_placed(context, write, tell, sources=(), output=output, rejects=rejects)
        logical = needed(params.input_path, "input_path", "data is given")
        with lent(context, context.paths.place(logical)) as source:
            return write_placed(
                context,
                partial(check_rows, context, params, InputFile(source.path, logical)),
                tell,
                sources=(source.name,),
                output=output,
                rejects=rejects,
            )


def check_rows(
    context: HandlerContext,
    params: ValidateParams,
    source: InputFile,
    output: Path,
    rejects: Path | None,
    *,
    read_by: Reader = "anyone",
) -> dict[str, Any]:
    """Write the valid rows of a file to ``output`` and tell what became of the others."""
    dataset = dataset_of(params, context.datasets)
    with timed(context.clock) as watch:
        report = validate_file(
            source.path,
            model=model_of(params, context.declarations),
            output_path=output,
            source_name=source.name,
            options=validation_options(context, params),
            csv=csv_of(None, dataset),
            rename=rename_of(None, dataset),
            rejects_path=rejects,
            read_by=read_by,
            meter=context.meter,
        )
    return as_json(context, report) | cost(watch, read=(source.path,), wrote=output)


def _validate_data(
    context: HandlerContext, params: PydanticValidatorParams, output: Path, rejects: Path | None
) -> dict[str, Any]:
    with timed(context.clock) as watch:
        report = validate_records(
            params.data or [],
            model=model_of(params, context.declarations),
            output_path=output,
            source_name=f"execution {context.execution_id}: data",
            options=validation_options(context, params),
            rejects_path=rejects,
            meter=context.meter,
        )
    return as_json(context, report) | cost(watch, wrote=output)


def validation_options(context: HandlerContext, params: ValidateParams) -> ValidationOptions:
    """Return how rows are held against the model; may ask the target for digits."""
    dataset = dataset_of(params, context.datasets)
    model = model_of(params, context.declarations)
    return ValidationOptions(
        coercion=params.coercion,
        null_means=params.null_means,
        decimals=decimals_of(context, params, model),
        on_new_column=new_column_of(params, dataset),
        on_missing_column=missing_column_of(params, dataset),
        show_values=show_values_of(params, dataset),
        limits=limits_of(params, dataset),
    )


def as_json(context: HandlerContext, report: ValidationReport) -> dict[str, Any]:
    """Return the report as a result."""
    return {
        "rows": report.valid,
        "rows_in": report.rows,
        "rejected": report.rejected,
        "rejected_before": report.rejected_before,
        "counts": report.counts,
        "columns": [list(column) for column in report.columns],
        "input_path": report.source_file,
        "output_path": shown_path(context, report.output_path),
        "rejects_path": shown_path(context, report.rejects_path),
        "source_sha256": report.sha256,
    }


def emit_valid(
    context: HandlerContext,
    params: ValidateParams,
    told: Mapping[str, Any],
    path: Path | None = None,
) -> None:
    """Materialize the valid rows, with the check of the rejects and, from ``path``, a preview."""
    dataset = dataset_of(params, context.datasets)
    columns = tuple((name, kind) for name, kind in told["columns"])
    facts = {name: told[name] for name in told if name not in {"rows", "columns"}}
    check = CheckResult(
        REJECTS_CHECK,
        passed=True,  # a breach ends the attempt before anything is made
        metadata={name: told[name] for name in ("rejected", "counts") if name in told},
    )
    context.emit(
        made(
            context,
            dataset,
            Step.VALID,
            facts={
                "dagster/row_count": told["rows"],
                "dagster/uri": file_uri(told.get("output_path")),
                **facts,
            },
            columns=columns,
            checks=(check,),
            sources=column_sources(
                dataset,
                Step.VALID,
                [name for name, _ in columns],
                _aliases(model_of(params, context.declarations)),
            ),
            preview=previewed(path, show_values=show_values_of(params, dataset)),
        ),
    )


def _aliases(of: type[BaseModel]) -> dict[str, str]:
    """Return what a field is called in the rows, where that is one other name."""
    names = {name: info.validation_alias for name, info in of.model_fields.items()}
    return {name: alias for name, alias in names.items() if isinstance(alias, str)}
