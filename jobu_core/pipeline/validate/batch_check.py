"""A batch of rows against a model: column by column where the plan allows it.

Values, verdicts and problems are those of ``RowCheck`` on each row: a row is
valid if every field of it is; otherwise it has pydantic's problems in the order
of the fields, and the storage's only if pydantic found none.
"""

from __future__ import annotations

from dataclasses import dataclass
from operator import itemgetter
from typing import TYPE_CHECKING, Any, Final, Protocol

import pyarrow as pa

from jobu_core.pipeline.model_columns import columns_of_model
from jobu_core.pipeline.types import arrow_schema
from jobu_core.pipeline.validate.core_schema import complete
from jobu_core.pipeline.validate.kernels import pc
from jobu_core.pipeline.validate.plan import Mode, plain_type, plan_model
from jobu_core.pipeline.validate.proofs import nothing, replaced
from jobu_core.pipeline.validate.respelled import respelled
from jobu_core.pipeline.validate.row_check import Refusal, RowCheck, refuse_unusable

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from pydantic import BaseModel

    from jobu_core.pipeline.rejects import Problem
    from jobu_core.pipeline.spelling import Spelling
    from jobu_core.pipeline.types import Column
    from jobu_core.pipeline.validate.cell_check import Refusals
    from jobu_core.pipeline.validate.plan import FieldPlan
    from jobu_core.pipeline.validate.proofs import Cells, Mask
    from jobu_core.pipeline.validate.report import ValidationOptions

_OBJECTS: Final = 8_192
"""Rows that are Python objects at a time."""


@dataclass(frozen=True, slots=True)
class Checked:
    """What became of a batch."""

    valid: pa.RecordBatch
    """The valid rows in the model's columns, their numbers first, in the input's order."""
    refused: list[tuple[int, list[Problem]]]
    """Index in the batch of each other row, ascending, and what is wrong with it."""


class BatchCheck(Protocol):
    """A model made ready for batches of one input."""

    @property
    def columns(self) -> tuple[Column, ...]:
        """What the model's fields are stored as."""

    def check(self, numbers: Cells, rows: Any) -> Checked:  # noqa: ANN401 - see the two kinds
        """Return the valid rows and what is wrong with the others."""


def batch_check(
    model: type[BaseModel],
    options: ValidationOptions,
    *,
    strings: bool,
    types: Mapping[str, pa.DataType] | None,
    source_name: str,
    spelling: Spelling | None = None,
) -> BatchCheck:
    """Hold the model against columns of these types; None: records, each with its own keys.

    ``spelling`` is how the file writes numbers and moments down in columns of text.
    Raises FileError with every missing or forbidden column, SchemaMismatch for
    fields that no column can store, ConfigError for an unusable model.
    """
    check = _plain_check(model, options, strings=strings, types=types, source_name=source_name)
    if spelling is None or types is None:
        return check
    return respelled(check, spelling, model, options, types)


def _plain_check(
    model: type[BaseModel],
    options: ValidationOptions,
    *,
    strings: bool,
    types: Mapping[str, pa.DataType] | None,
    source_name: str,
) -> BatchCheck:
    names = None if types is None else tuple(types)
    columns = columns_of_model(complete(model), options.decimals)
    refuse_unusable(model, strings=strings, columns=names, source_name=source_name)
    if types is not None:
        plan = plan_model(model, options, strings=strings, types=types)
        if plan.whole is None:
            return ByColumn(columns, plan.fields)
    return ByRow(RowCheck(model, options, strings=strings, columns=names))


class ByRow:
    """Every row goes to pydantic as a whole."""

    def __init__(self, rows: RowCheck) -> None:
        """Take the check of one row."""
        self.columns = rows.columns
        self._rows = rows
        self._schema = arrow_schema(rows.columns)

    def check(self, numbers: Cells, rows: pa.RecordBatch | Sequence[Any]) -> Checked:
        """Return the valid rows and what is wrong with the others; takes records, too."""
        refused: list[tuple[int, list[Problem]]] = []
        valid, at = [], 0
        for portion in _portions(rows):
            found = [self._rows.check(row) for row in portion]
            bad = {i: each for i, each in enumerate(found) if isinstance(each, Refusal)}
            refused += [(at + i, each.problems) for i, each in bad.items()]
            (kept,) = _without([numbers.slice(at, len(portion))], list(bad))
            good = [each for each in found if isinstance(each, tuple)]
            valid.append(self._batch(kept, good))
            at += len(portion)
        return Checked(_joined(valid, self._schema), refused)

    def _batch(self, numbers: Cells, values: Sequence[tuple[Any, ...]]) -> pa.RecordBatch:
        columns = zip(*values, strict=True) if values else [() for _ in self.columns]
        arrays: list[Cells] = [
            pa.array(column, field.type)
            for column, field in zip(columns, list(self._schema)[1:], strict=True)
        ]
        return pa.RecordBatch.from_arrays([numbers, *arrays], schema=self._schema)


class ByColumn:
    """Each field goes its own way; rows come together only in their problems."""

    def __init__(self, columns: tuple[Column, ...], fields: tuple[FieldPlan, ...]) -> None:
        """Take the plan of every field."""
        self.columns = columns
        self._fields = fields
        self._schema = arrow_schema(columns)

    def check(self, numbers: Cells, rows: pa.RecordBatch) -> Checked:
        """Return the valid rows and what is wrong with the others."""
        one_by_one = _in_order([each for each in self._fields if each.mode is Mode.ROWS], rows)
        found = [one_by_one.get(each.name) or _of_field(each, rows) for each in self._fields]
        refused = _problems([refusals for _, refusals in found])
        valid = _without([numbers, *(values for values, _ in found)], [at for at, _ in refused])
        return Checked(pa.RecordBatch.from_arrays(valid, schema=self._schema), refused)


def _of_field(field: FieldPlan, rows: pa.RecordBatch) -> tuple[Cells, Refusals]:
    """Return the values of a field, null where refused, and the refusals."""
    if not field.check.columns:
        return field.check.check_missing(rows.num_rows)
    cells = rows.column(rows.schema.get_field_index(field.check.columns[0]))
    plain = plain_type(cells.type)
    if plain != cells.type:
        cells = cells.cast(plain)
    if field.prove is None:
        return field.check.check_cells(cells)
    try:
        values = field.prove(cells)
    except pa.ArrowInvalid:  # a value that Arrow itself cannot turn: pydantic will say
        values = nothing(len(cells), field.check.column.type.arrow)
    return _with_the_unproven(field, cells, values)


def _with_the_unproven(field: FieldPlan, cells: Cells, values: Cells) -> tuple[Cells, Refusals]:
    """Ask pydantic about the cells that have no value; a null that stays null is one."""
    unproven: Mask = pc.is_null(values)
    if field.null_stays_null:
        if values.null_count == cells.null_count:
            return values, {}
        unproven = pc.and_(unproven, pc.is_valid(cells))
    if not values.null_count:
        return values, {}
    answers, refused = field.check.check_cells(cells.filter(unproven))
    places = pc.indices_nonzero(unproven).to_pylist() if refused else []
    return (
        replaced(values, unproven, answers),
        {places[at]: refusal for at, refusal in refused.items()},
    )


def _in_order(fields: list[FieldPlan], rows: pa.RecordBatch) -> dict[str, tuple[Cells, Refusals]]:
    """Ask pydantic about these fields of every row, row by row, as it would itself."""
    if not fields:
        return {}
    wanted = [name for name in rows.schema.names if any(name in f.check.columns for f in fields)]
    values: list[list[Any]] = [[] for _ in fields]
    refusals: list[Refusals] = [{} for _ in fields]
    at = 0
    for portion in _portions(rows.select(wanted)):
        for row in portion:
            for field, kept, refused in zip(fields, values, refusals, strict=True):
                found = field.check.check_row({name: row[name] for name in field.check.columns})
                if isinstance(found, Refusal):
                    refused[at] = found
                    kept.append(None)
                else:
                    kept.append(found[0])
            at += 1
    return {
        field.name: (pa.array(kept, field.check.column.type.arrow), refused)
        for field, kept, refused in zip(fields, values, refusals, strict=True)
    }


def _problems(refusals: Sequence[Refusals]) -> list[tuple[int, list[Problem]]]:
    """Join the problems of each row, in the order of the fields."""
    several: dict[int, list[Refusal]] = {}
    alone: Refusals = {}
    for of_field in refusals:
        for at in several.keys() & of_field.keys():
            several[at].append(of_field[at])
        for at in alone.keys() & of_field.keys():
            several[at] = [alone.pop(at), of_field[at]]
        alone |= {at: each for at, each in of_field.items() if at not in several}
    found = {at: refusal.problems for at, refusal in alone.items()}
    found |= {at: _joint(each) for at, each in several.items()}
    return sorted(found.items(), key=itemgetter(0))


def _joint(refusals: list[Refusal]) -> list[Problem]:
    """Return pydantic's problems, or the storage's if pydantic has none."""
    told = [each for each in refusals if not each.stored] or refusals
    return [problem for each in told for problem in each.problems]


def _without(columns: list[Cells], at: list[int]) -> list[Cells]:
    """Return the columns without the cells at these places."""
    if not at:
        return columns
    keep = bytearray(b"\1") * len(columns[0])
    for place in at:
        keep[place] = 0
    flags: Any = pa.Array.from_buffers(pa.uint8(), len(keep), [None, pa.py_buffer(keep)])
    mask: Mask = flags.cast(pa.bool_())
    return [column.filter(mask) for column in columns]


def _portions(rows: pa.RecordBatch | Sequence[Any]) -> Iterator[list[Any]]:
    """Yield the rows as Python objects, a bounded number at a time."""
    for at in range(0, len(rows), _OBJECTS):
        if isinstance(rows, pa.RecordBatch):
            yield rows.slice(at, _OBJECTS).to_pylist()
        else:
            yield list(rows[at : at + _OBJECTS])


def _joined(batches: list[pa.RecordBatch], schema: pa.Schema) -> pa.RecordBatch:
    table = pa.Table.from_batches(batches, schema=schema).combine_chunks()
    (joined,) = table.to_batches() or [pa.RecordBatch.from_pylist([], schema=schema)]
    return joined
