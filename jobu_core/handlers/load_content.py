"""``load_key: content``: one hash of all that the rows of a load are made from.

Whatever may change a row must be in it, so that no row is ever skipped for another's
sake; what only says where things lie, or how much may fail, must not be.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from jobu_core.handlers.dataset_values import (
    dataset_of,
    missing_column_of,
    model_of,
    new_column_of,
    target_of,
)
from jobu_core.handlers.params import PreprocessParams, ValidateParams
from jobu_core.handlers.stages import canonical_sha256, described_schema

if TYPE_CHECKING:
    from jobu_core.handlers.base import Declarations
    from jobu_core.handlers.params import LoadParams

_OF_NO_ROW: Final = frozenset(
    {
        *("dataset", "input_path", "output_path", "valid_path", "rejects_path", "if_missing"),
        *("strict", "max_errors", "max_error_rate", "show_values", "fused", "model"),
        *("target_table", "target_db", "mode", "keys", "truncate_before", "replace_strategy"),
        *("load_key", "create", "load_id_column", "allow_empty", "max_shrink", "lock_wait_seconds"),
    }
)
"""Params that change no row of an append, or that are told by what they mean."""

_OF_NO_ROW_THERE: Final = frozenset(
    {
        *("description", "input", "model", "target", "mode", "keys", "owners"),
        *("max_errors", "max_error_rate", "show_values", "load_id_column"),
        *("on_new_column", "on_missing_column"),
    }
)
"""The same of a dataset's settings."""


def content_of(params: LoadParams, declared: Declarations, source_sha256: str) -> str:
    """Return the hash of the source, the params, the model and the table of an append.

    ``source_sha256`` is of the bytes that a user gave: of ``pipeline`` the CSV, of
    ``db_loader`` the Parquet itself, whose rows may be any of those of its source. Of
    functions that a model calls only the names count.
    """
    dataset = dataset_of(params, declared.datasets)
    said: dict[str, Any] = params.model_dump(mode="json", exclude=set(_OF_NO_ROW))
    said["on_new_column"] = new_column_of(params, dataset)
    said["on_missing_column"] = missing_column_of(params, dataset)
    if isinstance(params, PreprocessParams) and dataset is not None:
        said["dataset"] = dataset.settings.model_dump(mode="json", exclude=set(_OF_NO_ROW_THERE))
    if isinstance(params, ValidateParams):
        model = model_of(params, declared)
        said["model"] = described_schema(model.__pydantic_core_schema__)
    return canonical_sha256(
        {
            "source": source_sha256,
            "table": target_of(params, declared).in_database,
            "params": said,
        }
    )
