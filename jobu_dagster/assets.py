"""Static assets from datasets.yaml: file → parquet → valid rows → table, with checks."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import dagster as dg
    from jobu_core.pipeline.datasets import Dataset


def build_assets(datasets: Iterable[Dataset]) -> Sequence[dg.AssetSpec]:
    """Return each dataset's assets with their edges."""
    return []


def build_checks(datasets: Iterable[Dataset]) -> Sequence[dg.AssetChecksDefinition]:
    """Return the checks."""
    return []
