"""Cells that a file spells in its own way, held against a model in pydantic's.

What is told of a rejected row is what the file has.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from jobu_core.errors import InvalidParams
from jobu_core.pipeline.model_columns import columns_of_model
from jobu_core.pipeline.validate.core_schema import lookup_names

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pydantic import BaseModel

    from jobu_core.pipeline.rejects import Problem
    from jobu_core.pipeline.spelling import Kind, Spelling
    from jobu_core.pipeline.types import Column
    from jobu_core.pipeline.validate.batch_check import BatchCheck, Checked
    from jobu_core.pipeline.validate.proofs import Cells
    from jobu_core.pipeline.validate.report import ValidationOptions


class Respelled:
    """A check of batches whose cells are respelled first."""

    def __init__(
        self, check: BatchCheck, spelling: Spelling, read_from: Mapping[str, _Read]
    ) -> None:
        """Respell the columns of ``read_from`` before each check."""
        self._check = check
        self._spelling = spelling
        self._read_from = read_from
        self._column_of = {
            name: column for column, read in read_from.items() for name in (column, *read.fields)
        }

    @property
    def columns(self) -> tuple[Column, ...]:
        """What the model's fields are stored as."""
        return self._check.columns

    def check(self, numbers: Cells, rows: pa.RecordBatch) -> Checked:
        """Return the valid rows and what is wrong with the others, by the file's own cells."""
        respelled = rows
        for column, read in self._read_from.items():
            at = rows.schema.get_field_index(column)
            cells = self._spelling.respelled(rows.column(at), read.kind)
            respelled = respelled.set_column(at, rows.schema.field(at), cells)
        found = self._check.check(numbers, respelled)
        refused = [
            (at, [self._original(each, rows, at) for each in problems])
            for at, problems in found.refused
        ]
        return replace(found, refused=refused)

    def _original(self, problem: Problem, rows: pa.RecordBatch, at: int) -> Problem:
        column = self._column_of.get(problem.field)
        if column is None:
            return problem
        return replace(problem, value=rows.column(column)[at].as_py())


class _Read:
    """How one column is respelled, and the fields that are read from it."""

    def __init__(self, kind: Kind | None, field: str) -> None:
        self.found = {kind}
        self.fields = [field]

    def also(self, kind: Kind | None, field: str) -> None:
        """Take another field."""
        self.found.add(kind)
        self.fields.append(field)

    @property
    def kind(self) -> Kind:
        """The only one."""
        (kind,) = self.found
        assert kind is not None  # noqa: S101 - only such are kept
        return kind


def respelled(
    check: BatchCheck,
    spelling: Spelling,
    model: type[BaseModel],
    options: ValidationOptions,
    types: Mapping[str, pa.DataType],
) -> BatchCheck:
    """Return the check for rows of a file with this spelling; the same if nothing differs.

    Raises InvalidParams for a column that is read as a number by one field and as
    text by another.
    """
    if not spelling:
        return check
    reads: dict[str, _Read] = {}
    for column in columns_of_model(model, options.decimals):
        kind = spelling.kind_of(column.type)
        info: Any = model.model_fields[column.name]
        for name in lookup_names(model, column.name, info):
            if name not in types or not pa.types.is_string(types[name]):
                continue
            if name in reads:
                reads[name].also(kind, column.name)
            else:
                reads[name] = _Read(kind, column.name)
    mixed = [name for name, read in reads.items() if len(read.found) > 1]
    if mixed:
        raise InvalidParams(
            f"csv: column {mixed[0]!r} is read as different things by the fields "
            f"{', '.join(reads[mixed[0]].fields)}; its cells cannot be respelled for all of them"
        )
    wanted = {name: read for name, read in reads.items() if read.found != {None}}
    return Respelled(check, spelling, wanted) if wanted else check
