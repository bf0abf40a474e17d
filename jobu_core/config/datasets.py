"""The shape of ``datasets.yaml``; what a dataset does is in ``pipeline/datasets.py``."""

from __future__ import annotations

from typing import Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from jobu_core.config.sections import Section

OnNewColumn = Literal["fail", "ignore", "add"]
OnMissingColumn = Literal["fail", "null"]
Compression = Literal["auto", "none", "gzip", "zstd", "bz2"]


class CsvOptions(Section):
    """How a CSV file is written down."""

    delimiter: str = ","
    quote: str = '"'
    encoding: str = "utf-8"
    null_values: tuple[str, ...] | Literal["pandas"] = ()
    """Further spellings of null; an unquoted empty cell always is one."""
    newlines_in_values: bool = True
    compression: Compression = "auto"
    """``auto``: by the file's first bytes, whatever its name."""
    decimal: Literal[".", ","] = "."
    """What stands before the fraction of a number."""
    thousands: Literal["", ".", ",", "'", " ", "\u00a0", "\u202f"] = ""
    """What may stand between groups of three digits."""
    timestamp_formats: tuple[str, ...] = ()
    """strptime formats of dates, times and moments, besides ISO 8601; the first that fits."""


class DatasetSettings(Section):
    """One dataset: where it comes from, what a row is, where it lands."""

    description: str = ""
    input: str
    """Logical path or glob, for example ``/data/raw/orders_*.csv``."""
    csv: CsvOptions = CsvOptions()
    rename: dict[str, str] = Field(default_factory=dict)
    filters: dict[str, dict[str, Any]] = Field(default_factory=dict)
    transform: str | None = None
    """Name of a registered function over rows: a pandas DataFrame in, one out."""
    transform_scope: Literal["chunk", "file"] = "chunk"
    """Whether it is given some rows that follow each other, or all wanted rows of a file."""
    model: str
    """Name of a registered pydantic model."""
    target: str
    """``database.schema.table``, for example ``default.public.orders``."""
    mode: Literal["append", "replace", "upsert"] = "append"
    keys: tuple[str, ...] = ()
    """Columns that tell one row from another, for mode upsert."""
    on_new_column: OnNewColumn | None = None
    """What becomes of a column that the model, or the table, does not have. Unset: for the
    model what its own ``extra`` says, for the table ``fail``."""
    on_missing_column: OnMissingColumn = "fail"
    """Whether the model's, or the table's, nullable columns may be missing in a file."""
    load_id_column: bool = False
    """Whether the table gets ``_jobu_load_id``; every load fills it where it is."""
    max_errors: int | None = None
    max_error_rate: float | None = None
    show_values: bool = False
    """Whether cell values may appear in rejects, logs and the UI."""
    owners: tuple[str, ...] = ()

    @field_validator("on_missing_column", mode="before")
    @classmethod
    def _null_as_yaml_reads_it(cls, value: object) -> object:
        return "null" if value is None else value

    @model_validator(mode="after")
    def _keys_of_an_upsert(self) -> Self:
        if len(set(self.keys)) != len(self.keys):
            raise ValueError("keys: each column once")
        if (self.mode == "upsert") != bool(self.keys):
            raise ValueError("mode: upsert and keys need each other")
        return self
