"""The cells of one field through pydantic: one at a time, or each distinct one once.

The validator is the model's own, rebuilt with this field alone: configuration,
aliases, defaults and the rule for nulls are those of the whole model.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa

from jobu_core.pipeline.validate.core_schema import lookup_names
from jobu_core.pipeline.validate.kernels import pc
from jobu_core.pipeline.validate.row_check import Refusal, RowCheck

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pydantic import BaseModel

    from jobu_core.pipeline.types import Column
    from jobu_core.pipeline.validate.proofs import Cells
    from jobu_core.pipeline.validate.report import ValidationOptions

Refusals = dict[int, Refusal]
"""Index of a cell → why it was refused."""

_DISTINGUISHED: Final = (
    *(pa.types.is_string, pa.types.is_binary, pa.types.is_integer, pa.types.is_boolean),
    *(pa.types.is_date, pa.types.is_time, pa.types.is_timestamp, pa.types.is_duration),
    pa.types.is_decimal128,
)
"""Types whose equal cells are the same Python value; 0.0 and -0.0 are not."""


class CellCheck:
    """One field of a model, made ready for the cells of its columns."""

    def __init__(
        self,
        model: type[BaseModel],
        column: Column,
        options: ValidationOptions,
        *,
        strings: bool,
        columns: tuple[str, ...],
    ) -> None:
        """Take the field whose values ``column`` stores, and find what it is read from."""
        names = lookup_names(model, column.name, model.model_fields[column.name])
        self.column = column
        self.columns = tuple(each for each in columns if each in names)
        """The columns of the rows that the field may be read from."""
        self._rows = RowCheck(model, options, strings=strings, columns=self.columns, only=column)

    def answer(self, cell: object) -> tuple[Any, ...] | Refusal:
        """Return what becomes of one cell; of a field without a column, the default."""
        return self._rows.check(dict.fromkeys(self.columns, cell))

    def check_row(self, row: dict[str, Any]) -> tuple[Any, ...] | Refusal:
        """Return what becomes of the field in a row of its columns."""
        return self._rows.check(row)

    def check_cells(self, cells: Cells) -> tuple[Cells, Refusals]:
        """Return the values of all cells, null where refused, and the refusals."""
        if not any(matches(cells.type) for matches in _DISTINGUISHED):
            return self._collect([self.answer(cell) for cell in cells.to_pylist()])
        encoded = cells.dictionary_encode(null_encoding="encode")
        answers = [self.answer(cell) for cell in encoded.dictionary.to_pylist()]
        values, refused = self._collect(answers)
        indices = encoded.indices
        if not refused:
            return values.take(indices), {}
        wanted = pc.is_in(indices, value_set=pa.array(list(refused), indices.type))
        places = pc.indices_nonzero(wanted).to_pylist()
        which = indices.filter(wanted).to_pylist()
        return values.take(indices), {
            at: refused[found] for at, found in zip(places, which, strict=True)
        }

    def check_missing(self, rows: int) -> tuple[Cells, Refusals]:
        """Return the values of a field that has no column, asked once for all rows."""
        values, refused = self._collect([self.answer(None)])
        repeated = values.take(pa.array([0] * rows, pa.int64()))
        return repeated, dict.fromkeys(range(rows), refused[0]) if refused else {}

    def _collect(self, answers: Sequence[tuple[Any, ...] | Refusal]) -> tuple[Cells, Refusals]:
        refused = {at: each for at, each in enumerate(answers) if isinstance(each, Refusal)}
        values: Cells = pa.array(
            [None if isinstance(each, Refusal) else each[0] for each in answers],
            self.column.type.arrow,
        )
        return values, refused
