"""How every command prints: a table for people, a JSON array for programs."""

from __future__ import annotations

import json
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer
from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

_PIPED_WIDTH: Final = 10_000
"""Wide enough that a row is one line for grep and awk, whatever is in it."""

JsonFlag = Annotated[bool, typer.Option("--json", help="Print a JSON array.")]


def to_json(value: object) -> Any:  # noqa: ANN401 - JSON's own shapes
    """Turn what JSON does not know into text: instants as ISO 8601, bytes as UTF-8."""
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, bytes):
        return value.decode("utf-8", "backslashreplace")
    return str(value)


def print_json(value: object) -> None:
    """Print ``value`` as JSON on standard output."""
    typer.echo(json.dumps(value, default=to_json, ensure_ascii=False))


def print_rows(
    rows: Iterable[Mapping[str, Any]],
    columns: Sequence[str],
    *,
    as_json: bool,
    empty: str = "nothing to show",
) -> None:
    """Print ``rows``: all keys as a JSON array, or ``columns`` as a table."""
    listed = [dict(row) for row in rows]
    if as_json:
        print_json(listed)
        return
    if not listed:
        typer.echo(empty)
        return
    table = Table(box=None, header_style="bold", pad_edge=False)
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in listed:
        table.add_row(*(_cell(row.get(column)) for column in columns))
    console = Console()
    if not console.is_terminal:
        console.width = _PIPED_WIDTH
    console.print(table, markup=False)


def print_record(record: Mapping[str, Any], *, as_json: bool) -> None:
    """Print one record: a JSON object, or one ``name: value`` line per field."""
    if as_json:
        print_json(dict(record))
        return
    width = max((len(name) for name in record), default=0)
    for name, value in record.items():
        typer.echo(f"{name:<{width}}  {_cell(value)}")


def _cell(value: object) -> str:
    if value is None:
        return "-"
    if isinstance(value, datetime):
        return value.strftime("%Y-%m-%d %H:%M:%SZ")
    if isinstance(value, dict | list):
        return json.dumps(value, default=to_json, ensure_ascii=False)
    if isinstance(value, bytes):
        return value.decode("utf-8", "backslashreplace")
    return str(value)
