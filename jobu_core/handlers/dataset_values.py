"""What a dataset gives where the params say nothing."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from jobu_core.config.sources import suggest
from jobu_core.errors import InvalidParams, SchemaMismatch
from jobu_core.handlers.params import LoadParams
from jobu_core.pipeline.load.decimals import read_decimals
from jobu_core.pipeline.load.identifiers import is_allowed, parse_table, reserved
from jobu_core.pipeline.load.request import Mode
from jobu_core.pipeline.model_columns import columns_of_model
from jobu_core.pipeline.rejects import Limits
from jobu_core.pipeline.transform import transform_named

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from pydantic import BaseModel

    from jobu_core.config.datasets import CsvOptions, OnMissingColumn, OnNewColumn
    from jobu_core.handlers.base import Declarations, HandlerContext
    from jobu_core.handlers.params import (
        ContractParams,
        DataParams,
        PreprocessParams,
        RejectParams,
        ValidateParams,
    )
    from jobu_core.pipeline.datasets import Dataset
    from jobu_core.pipeline.load.identifiers import TableName
    from jobu_core.pipeline.places.place import Place
    from jobu_core.pipeline.transform import Transform

DEFAULT_MODEL = "SampleRecord"


def dataset_of(params: DataParams, datasets: Mapping[str, Dataset]) -> Dataset | None:
    """Return the named dataset, None when none is named; raises InvalidParams."""
    if params.dataset is None:
        return None
    found = datasets.get(params.dataset)
    if found is None:
        raise InvalidParams(
            f"dataset: no dataset {params.dataset!r}{suggest(params.dataset, datasets)}"
        )
    return found


def model_of(params: ValidateParams, declared: Declarations) -> type[BaseModel]:
    """Return the model: given, else the dataset's, else SampleRecord; or InvalidParams."""
    dataset = dataset_of(params, declared.datasets)
    if params.model is None and dataset is not None:
        return dataset.model
    name = params.model or DEFAULT_MODEL
    found = declared.models.get(name)
    if found is None:
        raise InvalidParams(
            f"model: no model named {name!r} is registered{suggest(name, declared.models)}"
        )
    return found


def target_of(params: LoadParams, declared: Declarations) -> TableName:
    """Return the table to load; raises InvalidParams unless it is allowed.

    Allowed are the targets of datasets and what ``free_tables`` names.
    """
    dataset = dataset_of(params, declared.datasets)
    if params.target_table is not None:
        target = parse_table(params.target_table, database=params.target_db)
    elif dataset is not None:
        return dataset.target
    else:
        raise InvalidParams("target_table: needed unless dataset names one")
    why = reserved(target)
    if why is not None:
        raise InvalidParams(f"target_table: {target} can never be a target: {why}")
    if not is_dataset_target(target, declared) and not is_allowed(target, declared.free_tables):
        raise InvalidParams(
            f"target_table: {target} is not the target of a dataset; "
            "add it to datasets.yaml, or to free_tables in handlers.yaml"
        )
    return target


def is_dataset_target(target: TableName, declared: Declarations) -> bool:
    """Whether a dataset of datasets.yaml lands in ``target``."""
    return any(dataset.target == target for dataset in declared.datasets.values())


def decimals_of(
    context: HandlerContext, params: ValidateParams, model: type[BaseModel]
) -> Mapping[str, tuple[int, int]]:
    """Return the digits of the target's columns if the model leaves any to them.

    The target is asked for such a model only. Raises TargetUnavailable when it cannot be.
    """
    try:
        columns_of_model(model)
    except SchemaMismatch:
        target = _known_target(params, context.declarations)
        url = None if target is None else context.databases.get(target.database)
        if target is not None and url is not None:
            return read_decimals(url, target)
    return {}


def _known_target(params: ValidateParams, declared: Declarations) -> TableName | None:
    """Return the table that the rows go to, as far as the params say."""
    if isinstance(params, LoadParams):
        return target_of(params, declared)
    dataset = dataset_of(params, declared.datasets)
    return None if dataset is None else dataset.target


def check_load(params: LoadParams, declared: Declarations) -> None:
    """Raise InvalidParams for a load that could never work, whatever is in the file."""
    target_of(params, declared)
    dataset = dataset_of(params, declared.datasets)
    keys_of(params, dataset)
    mode = mode_of(params, dataset)
    if params.load_key == "content" and mode is not Mode.APPEND:
        raise InvalidParams(
            f"load_key: content is for mode append only: after a {mode.value} the table may hold "
            "something else, although these rows were loaded once"
        )


def keys_of(params: LoadParams, dataset: Dataset | None) -> tuple[str, ...]:
    """Return the keys of an upsert: given, else the dataset's; of other modes none.

    Raises InvalidParams for an upsert without keys, and for keys without an upsert.
    """
    if mode_of(params, dataset) is not Mode.UPSERT:
        if params.keys is not None:
            raise InvalidParams("keys: only mode upsert has keys")
        return ()
    known = () if dataset is None else dataset.settings.keys
    found = known if params.keys is None else tuple(params.keys)
    if not found:
        raise InvalidParams("keys: mode upsert needs the columns that tell one row from another")
    return found


def new_column_of(params: ContractParams, dataset: Dataset | None) -> OnNewColumn | None:
    """Return what becomes of new columns: given, else the dataset's, else None."""
    if params.on_new_column is None and dataset is not None:
        return dataset.settings.on_new_column
    return params.on_new_column


def missing_column_of(params: ContractParams, dataset: Dataset | None) -> OnMissingColumn:
    """Return what becomes of missing columns: given, else the dataset's, else ``fail``."""
    if params.on_missing_column is None:
        return "fail" if dataset is None else dataset.settings.on_missing_column
    return params.on_missing_column


def load_id_column_of(params: LoadParams, dataset: Dataset | None) -> bool:
    """Return whether the table shall have ``_jobu_load_id``: given, else the dataset's."""
    if params.load_id_column is None:
        return dataset is not None and dataset.settings.load_id_column
    return params.load_id_column


def mode_of(params: LoadParams, dataset: Dataset | None) -> Mode:
    """Return the mode: given, else the dataset's, else append."""
    if params.truncate_before:
        return Mode.REPLACE
    if params.mode is not None:
        return Mode(params.mode)
    return Mode.APPEND if dataset is None else Mode(dataset.settings.mode)


def input_of(given: str | None, dataset: Dataset | None) -> str:
    """Return the input's logical path: given, else the dataset's; or InvalidParams."""
    if given is None and dataset is not None:
        return dataset.settings.input
    return needed(given, "input_path", "dataset names one")


def needed(given: str | None, field: str, otherwise: str) -> str:
    """Return ``given``; raises InvalidParams when there is none."""
    if given is None:
        raise InvalidParams(f"{field}: needed unless {otherwise}")
    return given


def csv_of(given: CsvOptions | None, dataset: Dataset | None) -> CsvOptions | None:
    """Return how the CSV is written down."""
    return dataset.settings.csv if given is None and dataset is not None else given


def rename_of(given: dict[str, str] | None, dataset: Dataset | None) -> dict[str, str] | None:
    """Return the columns' new names."""
    return dataset.settings.rename if given is None and dataset is not None else given


def filters_of(
    params: PreprocessParams, dataset: Dataset | None
) -> Mapping[str, Mapping[str, object]]:
    """Return which rows are wanted."""
    if params.filters is None:
        return {} if dataset is None else dataset.settings.filters
    return params.filters


def transform_of(params: PreprocessParams, declared: Declarations) -> Transform | None:
    """Return the transform of the rows: given, else the dataset's; raises InvalidParams."""
    dataset = dataset_of(params, declared.datasets)
    if params.transform is not None:
        scope = params.transform_scope or "chunk"
        return transform_named(params.transform, scope, declared.transforms)
    found = None if dataset is None else dataset.transform
    if params.transform_scope is None:
        return found
    if found is None:
        raise InvalidParams("transform_scope: there is no transform that it could be the scope of")
    return replace(found, scope=params.transform_scope)


def limits_of(params: RejectParams, dataset: Dataset | None) -> Limits:
    """Return how many rejects are too many; both limits from one place."""
    given = params.max_errors is not None or params.max_error_rate is not None
    if dataset is not None and not given:
        settings = dataset.settings
        return Limits(params.strict, settings.max_errors, settings.max_error_rate)
    return Limits(params.strict, params.max_errors, params.max_error_rate)


def show_values_of(params: RejectParams, dataset: Dataset | None) -> bool:
    """Whether cells may be told: given, else the dataset's, else not."""
    if params.show_values is None:
        return dataset is not None and dataset.settings.show_values
    return params.show_values


def rejects_place_of(context: HandlerContext, params: RejectParams) -> Place | None:
    """Return where the user wants rejects, or None."""
    return None if params.rejects_path is None else context.paths.place(params.rejects_path)


def shown_path(context: HandlerContext, path: Path | None) -> str | None:
    """Return a path as a person would give it; of jobu's own files only the name."""
    if path is None:
        return None
    if path.is_relative_to(context.work_dir.parent.parent):
        return path.name
    return context.paths.logical(path)
