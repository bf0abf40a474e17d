"""What the data handlers tell about assets: which one, with which facts and checks.

The assets of datasets are declared in ``pipeline/datasets.py``; the handlers
materialize them. A run without a dataset materializes one asset per handler.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final

from jobu_core.handlers.base import Materialization

if TYPE_CHECKING:
    from collections.abc import Mapping

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


def made(
    context: HandlerContext,
    dataset: Dataset | None,
    step: Step,
    *,
    facts: Mapping[str, Any],
    columns: tuple[tuple[str, str], ...] = (),
    checks: tuple[CheckResult, ...] = (),
) -> Materialization:
    """Return the materialization of a step; facts that are None are left out."""
    known = {name: value for name, value in facts.items() if value is not None}
    metadata = {"execution_id": context.execution_id, "attempt": context.attempt, **known}
    return Materialization(asset_key(dataset, step), metadata, columns, checks)
