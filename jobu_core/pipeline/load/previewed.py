"""What would become of a load; values only."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ColumnPreview:
    """One column of the file on its way."""

    name: str
    arrow: str
    column: str | None
    """The table's type, or the one it would be made with; None: there is no such column."""
    wire: str | None
    """How its values would travel; None: they would not."""


@dataclass(frozen=True, slots=True)
class LoadPreview:
    """What a load would do."""

    target: str
    exists: bool
    how: str | None
    """``append``, ``upsert``, ``create``, or the strategy of a replace; None if refused."""
    columns: tuple[ColumnPreview, ...]
    problems: tuple[str, ...]
    """Why it would be refused."""
