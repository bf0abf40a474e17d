"""Reading cells as declared column types, for files that no model follows.

The reading is pydantic's own for strings, so that a column means the same with
a declared type as with a model. A cell that does not fit rejects its row.
"""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import TYPE_CHECKING, Annotated, Any, Final
from uuid import UUID

import pyarrow as pa
from pydantic import AwareDatetime, Field, Json, NaiveDatetime, TypeAdapter, ValidationError

from jobu_core.config.sources import suggest
from jobu_core.pipeline import types
from jobu_core.pipeline.csv_reader import normalised
from jobu_core.pipeline.rejects import Problem
from jobu_core.pipeline.stored_values import NotStorable, storer
from jobu_core.pipeline.types import Column, ColumnType, type_named
from jobu_core.pipeline.validate.problems import problems_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    Problems = dict[int, list[Problem]]
    """Index of a row in its batch → what is wrong with it."""

_ANNOTATIONS: Final[Mapping[str, Any]] = {
    types.INT.name: int,
    types.FLOAT.name: float,
    types.BOOL.name: bool,
    types.STR.name: str,
    types.BYTES.name: bytes,
    types.DATE.name: dt.date,
    types.TIME.name: dt.time,
    types.DATETIME.name: NaiveDatetime,
    types.DATETIMETZ.name: AwareDatetime,
    types.TIMEDELTA.name: dt.timedelta,
    types.UUID_.name: UUID,
    types.JSON.name: Json,
}


class DeclaredTypes:
    """Column name → type, checked when made."""

    def __init__(self, declared: Mapping[str, str], *, show_values: bool) -> None:
        """Raise InvalidParams for a type that does not exist."""
        self._types = {normalised(column): type_named(name) for column, name in declared.items()}
        self._read = {
            column: _reader(column, kind, show_values=show_values)
            for column, kind in self._types.items()
        }

    def __bool__(self) -> bool:
        """Whether any type is declared."""
        return bool(self._types)

    def unknown(self, columns: Iterable[str]) -> list[str]:
        """Say which declared columns are not among ``columns``."""
        known = list(columns)
        return [
            f"no column {column!r} to read as {self._types[column].name}{suggest(column, known)}"
            for column in self._types
            if column not in known
        ]

    def columns(self, names: Iterable[str]) -> tuple[Column, ...]:
        """Return ``names`` as typed columns; an undeclared one is text."""
        return tuple(
            Column(name, self._types.get(name, types.STR), nullable=True) for name in names
        )

    def convert(self, batch: pa.RecordBatch) -> tuple[pa.RecordBatch, Problems]:
        """Return the batch with declared columns read, and the cells that could not be.

        Such a cell is null in the batch; the caller takes its row out.
        """
        problems: Problems = {}
        for column, read in self._read.items():
            at = batch.schema.get_field_index(column)
            if at < 0:
                continue
            array = _convert(batch.column(at), self._types[column].arrow, read, problems)
            batch = batch.set_column(at, pa.field(column, array.type), array)
        return batch, problems


def _convert(
    cells: pa.Array[Any],
    arrow: pa.DataType,
    read: Callable[[Any], Any],
    problems: Problems,
) -> pa.Array[Any]:
    """Read each distinct cell once."""
    encoded = cells.dictionary_encode()
    values = [read(text) for text in encoded.dictionary.to_pylist()]
    found: list[Any] = []
    for index, at in enumerate(encoded.indices.to_pylist()):
        value = None if at is None else values[at]
        if isinstance(value, _Unreadable):
            problems.setdefault(index, []).extend(value.problems)
            value = None
        found.append(value)
    return pa.array(found, arrow)


class _Unreadable:
    """The problems of a cell, in place of its value."""

    def __init__(self, problems: list[Problem]) -> None:
        self.problems = problems


def _reader(column: str, kind: ColumnType, *, show_values: bool) -> Callable[[str], Any]:
    adapter: TypeAdapter[Any] = TypeAdapter(_annotation(kind))
    store = storer(Column(column, kind, nullable=True))

    def read(text: str) -> Any:  # noqa: ANN401 - what Arrow takes, or _Unreadable
        try:
            return store(adapter.validate_strings(text))
        except ValidationError as error:
            found = problems_of(error, show_values=show_values)
            return _Unreadable([Problem(column, each.rule, each.message, text) for each in found])
        except NotStorable as error:
            return _Unreadable([Problem(column, error.rule, error.message, text)])

    return read


def _annotation(kind: ColumnType) -> Any:  # noqa: ANN401 - an annotation
    if isinstance(kind.arrow, pa.Decimal128Type):
        digits = Field(max_digits=kind.arrow.precision, decimal_places=kind.arrow.scale)
        return Annotated[Decimal, digits]
    return _ANNOTATIONS[kind.name]
