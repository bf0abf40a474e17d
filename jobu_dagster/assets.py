"""Static assets from datasets.yaml: file → parquet → valid rows → table.

Lineage edges in Dagster come from definitions only; the ops add what happened.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

import dagster as dg

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from jobu_core.pipeline.datasets import Asset, AssetPath, Dataset


def build_assets(datasets: Iterable[Dataset]) -> Sequence[dg.AssetSpec]:
    """Return each dataset's assets with their edges, and one for loads without a dataset.

    Two datasets that load one table share its asset, which then has two edges.
    """
    listed = list(datasets)
    sources = _sources(listed)
    specs: dict[AssetPath, dg.AssetSpec] = {}
    for dataset in listed:
        for asset in dataset.assets:
            specs.setdefault(asset.key, _spec(dataset, asset, sources))
    return list(specs.values())


def _sources(datasets: Iterable[Dataset]) -> Mapping[AssetPath, list[AssetPath]]:
    sources: defaultdict[AssetPath, list[AssetPath]] = defaultdict(list)
    for dataset in datasets:
        for asset in dataset.assets:
            if asset.made_from is not None:
                sources[asset.key].append(asset.made_from)
    return sources


def _spec(
    dataset: Dataset,
    asset: Asset,
    sources: Mapping[AssetPath, list[AssetPath]],
) -> dg.AssetSpec:
    return dg.AssetSpec(
        key=dg.AssetKey(list(asset.key)),
        deps=[dg.AssetKey(list(source)) for source in sources.get(asset.key, [])],
        description=asset.description,
        group_name=_group(dataset.name),
        kinds={asset.kind},
        owners=list(dataset.settings.owners),
    )


def _group(name: str) -> str:
    """Return a name Dagster takes for a group: letters, digits, underscores."""
    return "".join(letter if letter.isalnum() and letter.isascii() else "_" for letter in name)
