"""The handler ``pandas_preprocess``: a CSV file, filtered and projected, as Parquet.

The name is the predecessor's; the reading is Arrow's, in batches.
"""

from __future__ import annotations

from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

from jobu_core.errors import FileError, NotAvailableYet
from jobu_core.handlers.base import BaseHandler, handler
from jobu_core.handlers.dataset_values import (
    csv_of,
    dataset_of,
    filters_of,
    input_of,
    limits_of,
    needed,
    rejects_place_of,
    rename_of,
    show_values_of,
    shown_path,
)
from jobu_core.handlers.lineage import Step, made
from jobu_core.handlers.params import PreprocessParams
from jobu_core.handlers.placed import lent, write_placed
from jobu_core.pipeline.filters import Filters
from jobu_core.pipeline.preprocess import preprocess
from jobu_core.pipeline.types import type_named

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from jobu_core.handlers.base import Declarations, HandlerContext
    from jobu_core.handlers.placed import Input
    from jobu_core.pipeline.parquet_writer import Reader

INPUT_MISSING = "input_missing"


class PandasPreprocessParams(PreprocessParams):
    """Params of ``pandas_preprocess``."""

    input_path: str | None = None
    """The CSV file; the dataset's input unless given."""
    output_path: str | None = None
    """The Parquet file to write."""


@handler("pandas_preprocess")
class PandasPreprocess(BaseHandler):
    """Turn a CSV file into Parquet."""

    Params = PandasPreprocessParams

    def check(self, params: PandasPreprocessParams, declared: Declarations) -> None:
        """Refuse an unknown dataset, a missing path, a filter that could never work."""
        check_preprocess(params, declared)
        input_of(params.input_path, dataset_of(params, declared.datasets))
        needed(params.output_path, "output_path", "it is a stage of pipeline")

    def run(self, context: HandlerContext, params: PandasPreprocessParams) -> dict[str, Any]:
        """Write the Parquet and tell what became of the rows."""
        wanted = needed(params.output_path, "output_path", "it is a stage of pipeline")
        with found_input(context, params, params.input_path) as source:
            if source is None:
                return {"rows": 0, "reason": INPUT_MISSING}
            told = write_placed(
                context,
                partial(write_rows, context, params, source),
                sources=(source.name,),
                output=context.paths.place(wanted),
                rejects=rejects_place_of(context, params),
            )
        emit_parquet(context, params, told)
        return told


def check_preprocess(params: PreprocessParams, declared: Declarations) -> None:
    """Raise InvalidParams for what no file could satisfy."""
    Filters(filters_of(params, dataset_of(params, declared.datasets)))
    for name in (params.types or {}).values():
        type_named(name)


@contextmanager
def found_input(
    context: HandlerContext, params: PreprocessParams, given: str | None
) -> Iterator[Input | None]:
    """Lend the input file; None when it is missing and ``if_missing`` says skip."""
    logical = input_of(given, dataset_of(params, context.datasets))
    found = context.paths.places(logical)
    if len(found) > 1:
        raise NotAvailableYet(f"{logical}: {len(found)} files match; several are not available yet")
    if found:
        with lent(context, found[0]) as source:
            yield source
        return
    if params.if_missing != "skip":
        raise FileError(f"{logical}: no such file")
    context.logger.info("input is missing", input_path=logical)
    yield None


def write_rows(
    context: HandlerContext,
    params: PreprocessParams,
    source: Input,
    output: Path,
    rejects: Path | None,
    *,
    read_by: Reader = "anyone",
) -> dict[str, Any]:
    """Write the wanted rows of ``source`` to ``output`` and return what became of them."""
    dataset = dataset_of(params, context.datasets)
    report = preprocess(
        source.path,
        output_path=output,
        source_name=source.name,
        csv=csv_of(params.csv, dataset),
        rename=rename_of(params.rename, dataset),
        filters=filters_of(params, dataset),
        columns=params.columns,
        types=params.types,
        limits=limits_of(params, dataset),
        show_values=show_values_of(params, dataset),
        rejects_path=rejects,
        read_by=read_by,
    )
    return {
        "rows": report.rows_out,
        "rows_in": report.rows_in,
        "rejected": report.rejected,
        "counts": report.counts,
        "columns": [list(column) for column in report.columns],
        "input_path": source.name,
        "output_path": shown_path(context, report.path),
        "rejects_path": shown_path(context, report.rejects_path),
        "source_sha256": report.sha256,
    }


def emit_parquet(
    context: HandlerContext, params: PreprocessParams, told: Mapping[str, Any]
) -> None:
    """Materialize the Parquet of a preprocessing."""
    facts = {name: told[name] for name in told if name not in {"rows", "columns"}}
    context.emit(
        made(
            context,
            dataset_of(params, context.datasets),
            Step.PARQUET,
            facts={"dagster/row_count": told["rows"], **facts},
            columns=tuple((name, kind) for name, kind in told["columns"]),
        ),
    )
