"""The handler ``pandas_preprocess``: a CSV file, filtered and projected, as Parquet.

The name is the predecessor's; the reading is Arrow's, in batches.
"""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from functools import partial
from operator import attrgetter
from typing import TYPE_CHECKING, Any

from jobu_core.config.datasets import CsvOptions
from jobu_core.errors import FileError
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
    transform_of,
)
from jobu_core.handlers.lineage import Step, column_sources, file_uri, made, previewed
from jobu_core.handlers.measured import cost, timed
from jobu_core.handlers.params import PreprocessParams
from jobu_core.handlers.placed import lent, write_placed
from jobu_core.pipeline.csv_reader import normalised
from jobu_core.pipeline.filters import Filters
from jobu_core.pipeline.paths import is_pattern
from jobu_core.pipeline.preprocess import preprocess
from jobu_core.pipeline.processing import Wishes
from jobu_core.pipeline.sources import Input
from jobu_core.pipeline.spelling import Spelling
from jobu_core.pipeline.types import type_named

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from jobu_core.handlers.base import Declarations, HandlerContext
    from jobu_core.pipeline.parquet_writer import Reader
    from jobu_core.pipeline.preprocess import PreprocessReport
    from jobu_core.pipeline.transform import Transform

INPUT_MISSING = "input_missing"


class PandasPreprocessParams(PreprocessParams):
    """Params of ``pandas_preprocess``."""

    input_path: str | None = None
    """The CSV file, or a pattern for several; the dataset's input unless given."""
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
            return write_placed(
                context,
                partial(write_rows, context, params, source),
                partial(emit_parquet, context, params),
                sources=source.names,
                output=context.paths.place(wanted),
                rejects=rejects_place_of(context, params),
            )


def check_preprocess(params: PreprocessParams, declared: Declarations) -> None:
    """Raise InvalidParams for what no file could satisfy."""
    dataset = dataset_of(params, declared.datasets)
    Filters(filters_of(params, dataset))
    Spelling.of(csv_of(params.csv, dataset) or CsvOptions())
    transform_of(params, declared)
    for name in (params.types or {}).values():
        type_named(name)


@contextmanager
def found_input(
    context: HandlerContext, params: PreprocessParams, given: str | None
) -> Iterator[Input | None]:
    """Lend the input, its files in the order of their names.

    None when there is none and ``if_missing`` says skip.
    """
    logical = input_of(given, dataset_of(params, context.datasets))
    places = sorted(context.paths.places(logical), key=attrgetter("name"))
    if is_pattern(logical) and not _wants_hidden(logical):
        places = [each for each in places if not _wants_hidden(each.name)]
    if places:
        with ExitStack() as stack:
            files = tuple(stack.enter_context(lent(context, each)) for each in places)
            yield Input(files[0].name if len(files) == 1 else logical, files)
        return
    if params.if_missing != "skip":
        raise FileError(f"{logical}: no such file")
    context.logger.info("input is missing", input_path=logical)
    yield None


def _wants_hidden(path: str) -> bool:
    """Whether a part of the path begins with a dot: what a pattern does not mean by itself."""
    return "/." in path


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
    wishes = wishes_of(context, params)
    with timed(context.clock) as watch:
        report = preprocess(
            source.files,
            output_path=output,
            source_name=source.name,
            csv=wishes.csv,
            rename=wishes.rename,
            filters=wishes.filters,
            columns=wishes.columns,
            types=wishes.types,
            transform=wishes.transform,
            limits=limits_of(params, dataset_of(params, context.datasets)),
            show_values=wishes.show_values,
            rejects_path=rejects,
            read_by=read_by,
            meter=context.meter,
        )
    told = preprocess_as_json(context, report, source.name, wishes.transform)
    return told | cost(watch, read=source.paths, wrote=report.path)


def wishes_of(context: HandlerContext, params: PreprocessParams) -> Wishes:
    """Return how the files are written down and which rows are wanted."""
    dataset = dataset_of(params, context.datasets)
    return Wishes(
        csv=csv_of(params.csv, dataset) or CsvOptions(),
        rename=rename_of(params.rename, dataset) or {},
        filters=filters_of(params, dataset),
        columns=params.columns,
        types=params.types or {},
        transform=transform_of(params, context.declarations),
        show_values=show_values_of(params, dataset),
    )


def preprocess_as_json(
    context: HandlerContext,
    report: PreprocessReport,
    input_path: str,
    transform: Transform | None,
) -> dict[str, Any]:
    """Return the report as a result."""
    told: dict[str, Any] = {
        "rows": report.rows_out,
        "rows_in": report.rows_in,
        "rejected": report.rejected,
        "counts": report.counts,
        "columns": [list(column) for column in report.columns],
        "input_path": input_path,
        "output_path": shown_path(context, report.path),
        "rejects_path": shown_path(context, report.rejects_path),
        "source_sha256": report.sha256,
    }
    if len(report.files) > 1:
        told["files"] = [asdict(each) for each in report.files]
    if transform is not None:
        told["transform"] = {
            "name": transform.name,
            "scope": transform.scope,
            "repeats": report.repeats,
        }
    return told


def emit_parquet(
    context: HandlerContext,
    params: PreprocessParams,
    told: Mapping[str, Any],
    path: Path | None = None,
) -> None:
    """Materialize the Parquet of a preprocessing; ``path`` gives the preview, if one may be.

    What a transform made of which column nobody knows: then no column has a source.
    """
    dataset = dataset_of(params, context.datasets)
    facts = {name: told[name] for name in told if name not in {"rows", "columns"}}
    renamed = rename_of(params.rename, dataset) or {}
    columns = tuple((name, kind) for name, kind in told["columns"])
    transformed = transform_of(params, context.declarations) is not None
    if "files" in facts:  # the result has them all
        facts["files"] = len(facts["files"])
    context.emit(
        made(
            context,
            dataset,
            Step.PARQUET,
            facts={
                "dagster/row_count": told["rows"],
                "dagster/uri": file_uri(told.get("output_path")),
                **facts,
            },
            columns=columns,
            sources=column_sources(
                None if transformed else dataset,
                Step.PARQUET,
                [name for name, _ in columns],
                {normalised(new): normalised(old) for old, new in renamed.items()},
            ),
            preview=previewed(path, show_values=show_values_of(params, dataset)),
        ),
    )
