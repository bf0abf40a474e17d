"""docs/types.md is the table of the code, row by row."""

from __future__ import annotations

import datetime as dt
import re
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any
from uuid import UUID

from pydantic import AwareDatetime, Field, NaiveDatetime, create_model

from jobu_core.pipeline.model_columns import columns_of_model
from jobu_core.pipeline.types import NAMED, type_named

PAGE = Path(__file__).parents[2] / "docs" / "types.md"
FIELDS: dict[str, Any] = {
    **{kind.__name__: kind for kind in (int, float, bool, str, bytes, dict)},
    **{kind.__name__: kind for kind in (dt.date, dt.time, dt.timedelta, UUID)},
    "NaiveDatetime": NaiveDatetime,
    "AwareDatetime": AwareDatetime,
    "Decimal": Annotated[Decimal, Field(max_digits=12, decimal_places=3)],
}


def rows() -> list[list[str]]:
    """Return the cells of the page's table, without head and rule."""
    lines = [line for line in PAGE.read_text("utf-8").splitlines() if line.startswith("| `")]
    return [re.findall(r"`([^`]*)`", line) for line in lines]


def test_each_row_is_the_codes() -> None:
    """Name, Arrow type and both column types; what a field becomes."""
    for name, field, arrow, postgres, mysql in rows():
        entry = type_named(name)
        assert (str(entry.arrow), entry.postgres, entry.mysql) == (arrow, postgres, mysql)
        model: Any = create_model("M", v=(FIELDS[field], ...))
        (column,) = columns_of_model(model)
        assert column.type == entry, field


def test_no_row_is_missing() -> None:
    """Every named type is there, and a decimal."""
    assert [row[0] for row in rows()] == [*NAMED, "decimal(12,3)"]
