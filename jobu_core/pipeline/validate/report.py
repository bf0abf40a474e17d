"""What a validation is asked to do, and what it found."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from jobu_core.pipeline.rejects import Limits

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from jobu_core.config.datasets import OnMissingColumn, OnNewColumn
    from jobu_core.pipeline.rejects import Counts


@dataclass(frozen=True, slots=True)
class ValidationOptions:
    """How rows are held against a model."""

    coercion: Literal["lax", "strict"] = "lax"
    """``strict``: pydantic's strict mode; ``lax``: what the model itself says."""
    null_means: Literal["null", "missing"] | None = None
    """A null cell of a CSV in a field that has a default: None, or the default.
    Unset: ``null`` if the field is Optional, else ``missing``."""
    decimals: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    """(digits, places) of Decimal fields that declare none, from the target table."""
    on_new_column: OnNewColumn | None = None
    """A column that no field looks for. Unset: what the model's ``extra`` says; ``ignore``: it
    is taken away; else the file is refused, for nobody but a person can add a field."""
    on_missing_column: OnMissingColumn = "fail"
    """``null``: a required field that takes None has it in every row of a file without it."""
    show_values: bool = False
    limits: Limits = field(default_factory=Limits)


@dataclass(frozen=True, slots=True)
class ValidationReport:
    """What became of the rows of a file."""

    rows: int
    """Rows this stage looked at."""
    valid: int
    rejected: int
    rejected_before: int
    """Rows that an earlier stage rejected; they count against the limits too."""
    counts: Counts
    """Field → rule → how often; the empty field is the row as a whole."""
    columns: tuple[tuple[str, str], ...]
    """(name, type) of the output, the hidden row number left out."""
    output_path: Path
    rejects_path: Path | None
    """None if no row was rejected."""
    source_file: str
    """Logical path of the user's file, also when an intermediate was read."""
    sha256: str
    """Of the user's bytes."""
