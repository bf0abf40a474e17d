"""A dataset: where rows come from, what a row is, where it lands, and its four assets."""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from jobu_core.config.sources import suggest
from jobu_core.errors import ConfigError, InvalidInput
from jobu_core.pipeline.filters import Filters
from jobu_core.pipeline.load.identifiers import TableName, parse_table, reserved
from jobu_core.pipeline.spelling import Spelling
from jobu_core.pipeline.transform import Transform, transform_named

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import pandas as pd
    from pydantic import BaseModel

    from jobu_core.config import DatasetSettings

AssetPath = tuple[str, ...]

REJECTS_CHECK: Final = "rejects_within_limits"
"""Check on the valid rows: the rejects stayed within the dataset's limits."""
COUNTS_CHECK: Final = "rows_landed"
"""Check on the table: rows read = sent = landed."""


@dataclass(frozen=True, slots=True)
class Asset:
    """One static asset of a dataset and the one it is made from."""

    key: AssetPath
    kind: str
    description: str
    made_from: AssetPath | None = None
    checks: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Dataset:
    """One entry of datasets.yaml with its names resolved."""

    name: str
    settings: DatasetSettings
    model: type[BaseModel]
    target: TableName
    transform: Transform | None = None

    @property
    def file_asset(self) -> AssetPath:
        """Key of the input file."""
        return (self.name, "file")

    @property
    def parquet_asset(self) -> AssetPath:
        """Key of what preprocess writes."""
        return (self.name, "parquet")

    @property
    def valid_asset(self) -> AssetPath:
        """Key of the rows that the model accepts."""
        return (self.name, "valid")

    @property
    def table_asset(self) -> AssetPath:
        """Key of the target table."""
        return table_asset(self.target)

    @property
    def assets(self) -> tuple[Asset, ...]:
        """The four assets in order of the data's way; edges by ``made_from``."""
        settings = self.settings
        return (
            Asset(self.file_asset, "csv", settings.description or f"Input {settings.input}"),
            Asset(
                self.parquet_asset,
                "parquet",
                "The wanted rows and columns, renamed and filtered.",
                made_from=self.file_asset,
            ),
            Asset(
                self.valid_asset,
                "parquet",
                f"The rows that model {settings.model} accepts.",
                made_from=self.parquet_asset,
                checks=(REJECTS_CHECK,),
            ),
            Asset(
                self.table_asset,
                "postgres",
                f"Table {self.target}, mode {settings.mode}.",
                made_from=self.valid_asset,
                checks=(COUNTS_CHECK,),
            ),
        )


def table_asset(target: TableName) -> AssetPath:
    """Return the asset key of a table: (database, schema, table)."""
    return (target.database, target.schema, target.table)


def build_datasets(
    settings: Mapping[str, DatasetSettings],
    models: Mapping[str, type[BaseModel]],
    transforms: Mapping[str, Callable[[pd.DataFrame], pd.DataFrame]] = MappingProxyType({}),
) -> dict[str, Dataset]:
    """Resolve each dataset's model, target and transform.

    Raises ConfigError naming the dataset and the key at fault.
    """
    return {name: _build(name, one, models, transforms) for name, one in settings.items()}


def _build(
    name: str,
    settings: DatasetSettings,
    models: Mapping[str, type[BaseModel]],
    transforms: Mapping[str, Callable[[pd.DataFrame], pd.DataFrame]],
) -> Dataset:
    model = models.get(settings.model)
    if model is None:
        raise ConfigError(
            f"datasets.{name}.model: no model named {settings.model!r} is registered"
            f"{suggest(settings.model, models)}",
        )
    try:
        target = parse_table(settings.target)
    except InvalidInput as error:
        raise ConfigError(f"datasets.{name}.target: {error}") from None
    refused = reserved(target)
    if refused is not None:
        raise ConfigError(f"datasets.{name}.target: {refused}")
    try:
        Filters(settings.filters)
        Spelling.of(settings.csv)
        transform = None
        if settings.transform is not None:
            transform = transform_named(settings.transform, settings.transform_scope, transforms)
    except InvalidInput as error:
        raise ConfigError(f"datasets.{name}.{error}") from None
    return Dataset(name, settings, model, target, transform)
