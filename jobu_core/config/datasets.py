"""The shape of ``datasets.yaml``; what a dataset does is in ``pipeline/datasets.py``."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from jobu_core.config.sections import Section

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
    mode: Literal["append", "replace"] = "append"
    max_errors: int | None = None
    max_error_rate: float | None = None
    show_values: bool = False
    """Whether cell values may appear in rejects, logs and the UI."""
    owners: tuple[str, ...] = ()
