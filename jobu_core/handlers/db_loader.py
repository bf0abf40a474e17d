"""The handler ``db_loader``: a Parquet file into a table, once per execution."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from jobu_core.errors import InvalidParams
from jobu_core.handlers.base import BaseHandler, CheckResult, handler
from jobu_core.handlers.dataset_values import (
    check_load,
    dataset_of,
    is_dataset_target,
    keys_of,
    load_id_column_of,
    missing_column_of,
    mode_of,
    needed,
    new_column_of,
    show_values_of,
    target_of,
)
from jobu_core.handlers.lineage import Step, column_sources, made, previewed
from jobu_core.handlers.load_content import content_of
from jobu_core.handlers.measured import cost, timed
from jobu_core.handlers.params import LoadParams, PreprocessParams, RejectParams
from jobu_core.handlers.placed import lent
from jobu_core.handlers.stages import canonical_sha256
from jobu_core.pipeline.datasets import COUNTS_CHECK
from jobu_core.pipeline.load.engine import load_parquet, read_load
from jobu_core.pipeline.load.request import (
    Guards,
    LoadRequest,
    LoadResult,
    Outcome,
    SchemaPolicy,
    load_key,
)
from jobu_core.pipeline.load.source import ParquetInput
from jobu_core.pipeline.parquet_writer import file_sha256, open_parquet, read_provenance
from jobu_core.pipeline.types import ROW_COLUMN

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from jobu_core.handlers.base import Declarations, HandlerContext, Identity
    from jobu_core.pipeline.datasets import Dataset
    from jobu_core.pipeline.load.source import LoadInput


class DbLoaderParams(LoadParams):
    """Params of ``db_loader``."""

    input_path: str | None = None
    """The Parquet file."""


@handler("db_loader")
class DbLoader(BaseHandler):
    """Load a Parquet file into a table of PostgreSQL or MySQL."""

    Params = DbLoaderParams

    def check(self, params: DbLoaderParams, declared: Declarations) -> None:
        """Refuse an unknown dataset, a forbidden table, a missing path."""
        check_load(params, declared)
        needed(params.input_path, "input_path", "it is a stage of pipeline")

    def committed(self, params: DbLoaderParams, identity: Identity) -> Mapping[str, Any] | None:
        """Return what the manifest says of this execution's load."""
        return committed_load(params, identity)

    def run(self, context: HandlerContext, params: DbLoaderParams) -> dict[str, Any]:
        """Load the file and tell what landed."""
        logical = needed(params.input_path, "input_path", "it is a stage of pipeline")
        with lent(context, context.paths.place(logical)) as source:
            return load_file(context, params, source.path, shown=logical)


def committed_load(params: LoadParams, identity: Identity) -> Mapping[str, Any] | None:
    """Return the result of the load that the execution committed, or None."""
    target = target_of(params, identity.declared)
    url = identity.databases.get(target.database)
    if url is None:
        return None
    key = load_key(identity.installation, identity.root_execution_id, target)
    found = read_load(url, target.database, key)
    if found is None:
        return None
    return _as_json(
        LoadResult(
            outcome=Outcome.ALREADY_LOADED,
            load_key=found.load_key,
            load_id=found.load_id,
            target=str(target),
            mode=found.mode,
            rows=found.rows,
            rejected=found.rejected,
            loaded_by=found.execution_id,
        ),
    )


def load_file(
    context: HandlerContext,
    params: LoadParams,
    path: Path,
    *,
    shown: str,
) -> dict[str, Any]:
    """Load ``path`` as ``params`` say, emit the table's asset and return the result.

    ``shown`` is what the file is called in metadata. Raises what ``load_parquet``
    raises, and InvalidParams for a database that is not configured.
    """
    with timed(context.clock) as watch:
        result = load_parquet(load_request(context, params, path, shown=shown))
    costs = cost(watch, read=(path,))
    return tell_load(context, params, Loading(result, path, costs), shown=shown)


@dataclass(frozen=True, slots=True)
class Loading:
    """A load that has ended, and what is known of its rows."""

    result: LoadResult
    file: Path
    """The Parquet of the rows; it may be gone when an earlier attempt had loaded it."""
    costs: Mapping[str, Any]
    """``seconds``, ``bytes_in`` and ``bytes_out``."""


def tell_load(
    context: HandlerContext, params: LoadParams, loading: Loading, *, shown: str
) -> dict[str, Any]:
    """Emit the table's asset, unless the load was stale, and return the handler's result."""
    result = loading.result
    context.logger.info("load ends", outcome=result.outcome.value, rows=result.rows)
    told = _as_json(result) | dict(loading.costs)
    if result.outcome is not Outcome.STALE_REPLACE:
        _emit(context, params, loading, told | {"input_path": shown})
    return told


def load_request(
    context: HandlerContext, params: LoadParams, path: Path, *, shown: str
) -> LoadRequest:
    """Return what ``params`` ask of the target for a file; raises as ``request_for``."""
    provenance = read_provenance(path, shown)
    source_sha256 = file_sha256(path) if provenance is None else provenance.source_sha256
    file = ParquetInput(
        path,
        source_sha256,
        rejected=0 if provenance is None else provenance.rejected,
        hidden=(ROW_COLUMN,),
    )
    made_here = isinstance(params, PreprocessParams)  # else only the Parquet says what was made
    return request_for(
        context, params, file, lambda: source_sha256 if made_here else file_sha256(path)
    )


def request_for(
    context: HandlerContext, params: LoadParams, rows: LoadInput, read: Callable[[], str]
) -> LoadRequest:
    """Return what ``params`` ask of the target; raises InvalidParams for an unknown one.

    ``read`` returns the hash of the user's bytes, for ``load_key: content``.
    """
    declared = context.declarations
    target = target_of(params, declared)
    dataset = dataset_of(params, declared.datasets)
    url = context.databases.get(target.database)
    if url is None:
        known = ", ".join(sorted(context.databases))
        raise InvalidParams(f"target_table: no database {target.database!r}; there are: {known}")
    create = is_dataset_target(target, declared) if params.create is None else params.create
    source_sha256 = None if params.load_key == "execution" else read()
    content = None if source_sha256 is None else content_of(params, declared, source_sha256)
    return LoadRequest(
        input=rows,
        target=target,
        url=url,
        mode=mode_of(params, dataset),
        keys=keys_of(params, dataset),
        strategy=params.replace_strategy,
        create=create,
        policy=SchemaPolicy(
            new_column_of(params, dataset) or "fail", missing_column_of(params, dataset)
        ),
        load_id_column=load_id_column_of(params, dataset),
        guards=Guards(params.allow_empty, params.max_shrink),
        installation=context.installation,
        root_execution_id=context.root_execution_id,
        execution_id=context.execution_id,
        attempt=context.attempt,
        effective_time=context.effective_time,
        content=content,
        content_sha256=source_sha256 if isinstance(params, PreprocessParams) else None,
        params_sha256=canonical_sha256(params.model_dump(mode="json")),
        check_lease=context.check_lease,
        lock_wait_seconds=params.lock_wait_seconds,
        meter=context.meter,
    )


def _emit(
    context: HandlerContext, params: LoadParams, loading: Loading, told: Mapping[str, Any]
) -> None:
    """Materialize the table; a load that was found done has the manifest's counts."""
    result, dataset = loading.result, dataset_of(params, context.datasets)
    facts = {name: told[name] for name in told if name not in {"rows", "reason"}}
    file = loading.file if loading.file.is_file() else None
    context.emit(
        made(
            context,
            dataset,
            Step.TABLE,
            facts={
                "dagster/row_count": result.rows,
                "dagster/table_name": result.target,
                **facts,
            },
            columns=result.columns,
            checks=(CheckResult(COUNTS_CHECK, passed=True, metadata={"rows": result.rows}),),
            sources=column_sources(dataset, Step.TABLE, _columns(result, file)),
            preview=previewed(file, show_values=_shows_values(params, dataset)),
        ),
    )


def _columns(result: LoadResult, file: Path | None) -> tuple[str, ...]:
    """Return the columns that were loaded, now or before, as far as anything tells them."""
    if file is None:
        return tuple(name for name, _ in result.columns)
    with open_parquet(file, file.name) as opened:
        return tuple(name for name in opened.schema_arrow.names if name != ROW_COLUMN)


def _shows_values(params: LoadParams, dataset: Dataset | None) -> bool:
    if isinstance(params, RejectParams):
        return show_values_of(params, dataset)
    return dataset is not None and dataset.settings.show_values


def _as_json(result: LoadResult) -> dict[str, Any]:
    told: dict[str, Any] = {
        "rows": result.rows,
        "rejected": result.rejected,
        "table": result.target,
        "mode": result.mode,
        "strategy": result.strategy,
        "outcome": result.outcome.value,
        "load_id": result.load_id,
        "load_key": result.load_key,
    }
    told |= _merged(result) | _changes(result)
    if result.loaded_by is not None:
        told["loaded_by_execution"] = result.loaded_by
    if result.outcome is not Outcome.LOADED:
        told["reason"] = result.outcome.value
    return told


def _merged(result: LoadResult) -> dict[str, Any]:
    """Return what an upsert counted, as far as it could."""
    if result.merged is None:
        return {}
    return {"inserted": result.merged.inserted, "updated": result.merged.updated}


def _changes(result: LoadResult) -> dict[str, Any]:
    """Return what the schema contract did, where file and table differ."""
    found = {
        "added_columns": list(result.changes.added),
        "ignored_columns": list(result.changes.ignored),
        "missing_columns": list(result.changes.left_out),
    }
    return {name: columns for name, columns in found.items() if columns}
