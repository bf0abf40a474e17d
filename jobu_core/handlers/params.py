"""The params that data handlers share, each group once; ``pipeline`` takes them all.

A value that a person gave wins over the dataset's; what neither says has the
default of its handler. Values of a later version are refused here.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from jobu_core.config.datasets import CsvOptions
from jobu_core.errors import NotAvailableYet
from jobu_core.pipeline.load.request import Strategy

Share = Annotated[float, Field(ge=0, le=1)]


class DataParams(BaseModel):
    """What every data handler takes."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    dataset: str | None = None
    """Name of an entry of datasets.yaml; gives every value that is not given here."""


class RejectParams(DataParams):
    """How many rows may be turned away, and what is told of them."""

    strict: bool = False
    """Any reject fails."""
    max_errors: Annotated[int, Field(ge=0)] | None = None
    max_error_rate: Share | None = None
    show_values: bool | None = None
    """Whether cell values may appear in rejects; the dataset's, else false."""
    rejects_path: str | None = None
    """Where rejects go; beside the output unless given."""


class PreprocessParams(RejectParams):
    """CSV → Parquet."""

    csv: CsvOptions | None = None
    rename: dict[str, str] | None = None
    columns: Annotated[list[str], Field(min_length=1)] | None = None
    """The columns to keep, in this order; all of them unless given."""
    filters: dict[str, dict[str, Any]] | None = None
    types: dict[str, str] | None = None
    """Column → type, for files that no model follows."""
    if_missing: Literal["fail", "skip"] = "fail"
    """``skip``: end as SUCCESS ``input_missing`` when there is no input file."""
    transform: str | None = None
    """Name of a registered function over rows; the dataset's unless given."""
    transform_scope: Literal["chunk", "file"] | None = None
    """The dataset's where that names the transform, else ``chunk``."""


class ValidateParams(RejectParams):
    """Rows against a model."""

    model: str | None = None
    """Name of a registered model; the dataset's, else SampleRecord."""
    coercion: Literal["lax", "strict"] = "lax"
    null_means: Literal["null", "missing"] | None = None


class LoadParams(DataParams):
    """Parquet → table."""

    target_table: str | None = None
    """``table``, ``schema.table`` or ``database.schema.table``."""
    target_db: str | None = None
    mode: Literal["append", "replace", "upsert"] | None = None
    """The dataset's, else append."""
    keys: list[str] | None = None
    truncate_before: bool = False
    """The older name of mode replace."""
    replace_strategy: Strategy = Strategy.AUTO
    load_key: Literal["execution", "content"] = "execution"
    create: bool | None = None
    """Make a missing table. Unset: yes for a dataset's target, no for a free table."""
    allow_empty: bool = False
    max_shrink: Share | None = None
    lock_wait_seconds: Annotated[float, Field(gt=0, le=3600)] = 60.0
    """Longer than a reader of 30 s, whom a swap outwaits."""

    @model_validator(mode="after")
    def _later_values(self) -> Self:
        if self.mode == "upsert" or self.keys is not None:
            raise NotAvailableYet("mode: upsert and keys are not available yet")
        if self.load_key == "content":
            raise NotAvailableYet("load_key: content is not available yet")
        if self.truncate_before and self.mode == "append":
            raise ValueError("truncate_before: true means mode: replace, but mode is append")
        if self.target_db is not None and self.target_table is None:
            raise ValueError("target_db needs target_table")
        return self
