"""The first rows of a Parquet for a person to look at; only where values may be shown."""

from __future__ import annotations

import html
from typing import TYPE_CHECKING, Final

from jobu_core.pipeline.parquet_writer import open_parquet
from jobu_core.pipeline.types import ROW_COLUMN

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

PREVIEW_ROWS: Final = 5
_MOST_CHARACTERS: Final = 100
_MOST_COLUMNS: Final = 50


def preview_markdown(path: Path) -> str:
    """Return the first rows as a table in Markdown; long cells and many columns are cut.

    Cells are text there, never markup. Raises FileError.
    """
    with open_parquet(path, path.name) as file:
        columns = [name for name in file.schema_arrow.names if name != ROW_COLUMN]
        shown = columns[:_MOST_COLUMNS]
        batches = file.iter_batches(batch_size=PREVIEW_ROWS, columns=shown)
        first = next(iter(batches), None)
        rows = [] if first is None else first.to_pylist()
    more = ["…"] if len(columns) > len(shown) else []
    lines = [
        _line([*map(_cell, shown), *more]),
        _line(["---"] * (len(shown) + len(more))),
        *(_line([*(_cell(row[name]) for name in shown), *more]) for row in rows),
    ]
    return "\n".join(lines)


def _line(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _cell(value: object) -> str:
    """Return a value as text that is no markup: null is empty, newlines are spaces."""
    if value is None:
        return ""
    text = " ".join(str(value).split())
    if len(text) > _MOST_CHARACTERS:
        text = f"{text[:_MOST_CHARACTERS]}…"
    escaped = html.escape(text, quote=False)
    for special in "\\`*_[]|~#!":
        escaped = escaped.replace(special, f"\\{special}")
    return escaped
