"""What the data handlers tell about assets: which one, with which facts and checks.

The assets of datasets are declared in ``pipeline/datasets.py``; the handlers
materialize them. A run without a dataset materializes one asset per handler.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final

from jobu_core.handlers.base import ColumnSource, Materialization
from jobu_core.pipeline.preview import preview_markdown

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from jobu_core.handlers.base import CheckResult, HandlerContext
    from jobu_core.pipeline.datasets import Dataset


class Step(StrEnum):
    """What is made on the data's way; the file is the user's."""

    PARQUET = "parquet"
    VALID = "valid"
    TABLE = "table"


GENERIC: Final[Mapping[Step, str]] = {
    Step.PARQUET: "pandas_preprocess",
    Step.VALID: "pydantic_validator",
    Step.TABLE: "db_loader",
}
"""Step → the asset of runs without a dataset."""


def asset_key(dataset: Dataset | None, step: Step) -> tuple[str, ...]:
    """Return the key of a dataset's asset, or of the handler's generic one."""
    if dataset is None:
        return (GENERIC[step],)
    keys = {
        Step.PARQUET: dataset.parquet_asset,
        Step.VALID: dataset.valid_asset,
        Step.TABLE: dataset.table_asset,
    }
    return keys[step]


def column_sources(
    dataset: Dataset | None,
    step: Step,
    columns: Iterable[str],
    formerly: Mapping[str, str] | None = None,
) -> dict[str, ColumnSource]:
    """Return which column of the asset before each column is made from.

    ``formerly`` maps a column to what it was called there, if that was another name.
    Without a dataset nothing is known of what was before.
    """
    if dataset is None:
        return {}
    before = {
        Step.PARQUET: dataset.file_asset,
        Step.VALID: dataset.parquet_asset,
        Step.TABLE: dataset.valid_asset,
    }
    old = formerly or {}
    return {name: ColumnSource(before[step], old.get(name, name)) for name in columns}


def made(
    context: HandlerContext,
    dataset: Dataset | None,
    step: Step,
    *,
    facts: Mapping[str, Any],
    columns: tuple[tuple[str, str], ...] = (),
    checks: tuple[CheckResult, ...] = (),
    sources: Mapping[str, ColumnSource] | None = None,
    preview: str | None = None,
) -> Materialization:
    """Return the materialization of a step; facts that are None are left out."""
    known = {name: value for name, value in facts.items() if value is not None}
    metadata = {"execution_id": context.execution_id, "attempt": context.attempt, **known}
    return Materialization(
        asset_key(dataset, step), metadata, columns, checks, sources or {}, preview
    )


def file_uri(shown: str | None) -> str | None:
    """Return the URI of a file that a user named; None for one of jobu's own."""
    if shown is None or "/" not in shown:
        return None
    return shown if "://" in shown else f"file://{shown}"


def previewed(path: Path | None, *, show_values: bool) -> str | None:
    """Return the first rows of a Parquet if there is one and values may be shown, else None."""
    return preview_markdown(path) if path is not None and show_values else None
