"""Datasets: names resolved, assets with edges, faults named with their key."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import BaseModel

from jobu_core.config import DatasetSettings
from jobu_core.errors import ConfigError
from jobu_core.pipeline.datasets import COUNTS_CHECK, REJECTS_CHECK, build_datasets


class Order(BaseModel):
    """A registered model."""

    id: int


def settings(**changes: Any) -> DatasetSettings:  # noqa: ANN401 - of DatasetSettings
    """Return a usable dataset with ``changes``."""
    usable = {"input": "/data/raw/orders_*.csv", "model": "Order", "target": "default.shop.orders"}
    return DatasetSettings(**{**usable, **changes})


def test_model_and_target_are_resolved() -> None:
    """Handlers get the class and the parts of the table's name."""
    dataset = build_datasets({"orders": settings()}, {"Order": Order})["orders"]
    assert dataset.model is Order
    assert (dataset.target.database, dataset.target.schema, dataset.target.table) == (
        "default",
        "shop",
        "orders",
    )


def test_assets_lead_from_the_file_to_the_table() -> None:
    """Four assets, each made from the one before, checks where they are decided."""
    dataset = build_datasets({"orders": settings()}, {"Order": Order})["orders"]
    assert [(asset.key, asset.made_from, asset.checks) for asset in dataset.assets] == [
        (("orders", "file"), None, ()),
        (("orders", "parquet"), ("orders", "file"), ()),
        (("orders", "valid"), ("orders", "parquet"), (REJECTS_CHECK,)),
        (("default", "shop", "orders"), ("orders", "valid"), (COUNTS_CHECK,)),
    ]


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"model": "Ordr"}, r"datasets\.orders\.model: .*did you mean 'Order'"),
        ({"target": "a.b.c.d"}, r"datasets\.orders\.target: "),
        ({"target": ""}, r"datasets\.orders\.target: "),
        ({"target": "default.public.jobu_loads"}, r"datasets\.orders\.target: "),
        ({"target": "default.public.cron_jobs"}, r"datasets\.orders\.target: "),
        ({"target": "default.public." + "x" * 64}, r"datasets\.orders\.target: .*64 bytes"),
        ({"filters": {"id": {"above": 1}}}, r"datasets\.orders\.filters\.id\.above"),
    ],
)
def test_faults_are_told_with_dataset_and_key(changes: dict[str, Any], text: str) -> None:
    """At start, not when the first file comes."""
    with pytest.raises(ConfigError, match=text):
        build_datasets({"orders": settings(**changes)}, {"Order": Order})
