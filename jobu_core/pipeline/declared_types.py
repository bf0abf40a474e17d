"""Reading cells as declared column types, for files that no model follows.

The reading is pydantic's own for strings, so that a column means the same with
a declared type as with a model. A cell that does not fit rejects its row.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import replace
from decimal import Decimal
from typing import TYPE_CHECKING, Annotated, Any, Final
from uuid import UUID

import pyarrow as pa
import pydantic
from pydantic import AwareDatetime, Json, NaiveDatetime, TypeAdapter, ValidationError

from jobu_core.config.sources import suggest
from jobu_core.pipeline import types
from jobu_core.pipeline.csv_reader import normalised
from jobu_core.pipeline.rejects import Problem
from jobu_core.pipeline.spelling import Spelling
from jobu_core.pipeline.stored_values import NotStorable, storer
from jobu_core.pipeline.types import Column, ColumnType, type_named
from jobu_core.pipeline.validate.kernels import pc
from jobu_core.pipeline.validate.problems import problems_of
from jobu_core.pipeline.validate.proofs import Field, NotCompiled, nothing, replaced
from jobu_core.pipeline.validate.row_check import Refusal
from jobu_core.pipeline.validate.text_proofs import text_proof

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from jobu_core.pipeline.validate.proofs import Cells, Proof

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

    def __init__(
        self,
        declared: Mapping[str, str],
        *,
        show_values: bool,
        spelling: Spelling | None = None,
    ) -> None:
        """Raise InvalidParams for a type that does not exist.

        ``spelling`` is how the file writes numbers and moments down.
        """
        self._types = {normalised(column): type_named(name) for column, name in declared.items()}
        self._read = {
            column: _Column(column, kind, spelling or Spelling(), show_values=show_values)
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
        for column, reading in self._read.items():
            at = batch.schema.get_field_index(column)
            if at < 0:
                continue
            array = reading.read(batch.column(at), problems)
            batch = batch.set_column(at, pa.field(column, array.type), array)
        return batch, problems


class _Column:
    """Cells of one column, read as its type: proven in bulk, the rest by pydantic."""

    def __init__(
        self, name: str, kind: ColumnType, spelling: Spelling, *, show_values: bool
    ) -> None:
        self._name = name
        self._arrow = kind.arrow
        self._spelling = spelling
        self._spelled = spelling.kind_of(kind)
        self._show_values = show_values
        column = Column(name, kind, nullable=True)
        self._adapter: TypeAdapter[Any] = TypeAdapter(_annotation(kind))
        self._store = storer(column)
        self._prove = self._proof(column)

    def read(self, cells: Cells, problems: Problems) -> Cells:
        """Return the values, null where a cell is no value; tell ``problems`` of those."""
        texts = cells
        if self._spelled is not None:
            texts = self._spelling.respelled(cells, self._spelled)
        values = self._proven(texts)
        if values.null_count == texts.null_count:
            return values
        left = pc.and_(pc.is_null(values), pc.is_valid(texts))
        others = texts.filter(left).dictionary_encode()
        answers = [self._answer(text) for text in others.dictionary.to_pylist()]
        kept = [None if isinstance(each, Refusal) else each[0] for each in answers]
        values = replaced(values, left, pa.array(kept, self._arrow).take(others.indices))
        places = pc.indices_nonzero(left).to_pylist()
        for index, which in zip(places, others.indices.to_pylist(), strict=True):
            answer = answers[which]
            if isinstance(answer, Refusal):
                found = [replace(each, value=cells[index].as_py()) for each in answer.problems]
                problems.setdefault(index, []).extend(found)
        return values

    def _proof(self, column: Column) -> Proof | None:
        node: Any = self._adapter.core_schema
        try:
            return text_proof(Field(column, node, {}, lax=True, answer=self._answer))
        except NotCompiled:
            return None

    def _proven(self, texts: Cells) -> Cells:
        if self._prove is None:
            return nothing(len(texts), self._arrow)
        try:
            return self._prove(texts)
        except pa.ArrowInvalid:  # a value that Arrow itself cannot turn: pydantic will say
            return nothing(len(texts), self._arrow)

    def _answer(self, text: object) -> tuple[Any, ...] | Refusal:
        try:
            return (self._store(self._adapter.validate_strings(text)),)
        except ValidationError as error:
            found = problems_of(error, show_values=self._show_values)
            return Refusal([Problem(self._name, each.rule, each.message) for each in found])
        except NotStorable as error:
            return Refusal([Problem(self._name, error.rule, error.message)])


def _annotation(kind: ColumnType) -> Any:  # noqa: ANN401 - an annotation
    if isinstance(kind.arrow, pa.Decimal128Type):
        digits = pydantic.Field(max_digits=kind.arrow.precision, decimal_places=kind.arrow.scale)
        return Annotated[Decimal, digits]
    return _ANNOTATIONS[kind.name]
