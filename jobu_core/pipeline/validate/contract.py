"""The schema contract between a file's header and a model: what is left out, what is null."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import structlog

from jobu_core.pipeline.validate.core_schema import lookup_names, may_add_fields
from jobu_core.pipeline.validate.readable import python_type

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pydantic import BaseModel

    from jobu_core.pipeline.types import Column
    from jobu_core.pipeline.validate.batch_check import BatchCheck, Checked
    from jobu_core.pipeline.validate.proofs import Cells
    from jobu_core.pipeline.validate.report import ValidationOptions

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Header:
    """The columns of a file as the model shall see them."""

    types: Mapping[str, pa.DataType]
    ignored: tuple[str, ...] = ()
    """Columns of the file that the model does not see."""
    filled: tuple[str, ...] = ()
    """Columns that the file has not, null in every row."""

    def fit(self, rows: pa.RecordBatch) -> pa.RecordBatch:
        """Return rows of the file with these columns."""
        arrays: list[Cells] = [
            pa.array([None] * rows.num_rows, kind) if name in self.filled else rows.column(name)
            for name, kind in self.types.items()
        ]
        return pa.RecordBatch.from_arrays(arrays, names=list(self.types))


def agree_on_header(
    model: type[BaseModel],
    options: ValidationOptions,
    columns: Sequence[Column],
    types: Mapping[str, pa.DataType],
    *,
    strings: bool,
) -> Header:
    """Return what the options make of columns that only the file or only the model has.

    ``ignore`` takes away what no field looks for. ``null`` adds what a required field
    that takes None looks for, unless a validator of the model may complete the row.
    """
    looked_for = {
        name: lookup_names(model, name, info) for name, info in model.model_fields.items()
    }
    known = set().union(*looked_for.values())
    ignored = tuple(
        each for each in types if options.on_new_column == "ignore" and each not in known
    )
    agreed = {name: kind for name, kind in types.items() if name not in ignored}
    filled: list[str] = []
    if options.on_missing_column == "null" and not may_add_fields(model):
        for column in columns:
            names = looked_for[column.name]
            required = model.model_fields[column.name].is_required()
            if required and column.nullable and names.isdisjoint(types):
                added = column.name if column.name in names else min(names)
                agreed[added] = pa.string() if strings else python_type(column.type.arrow)
                filled.append(added)
    if ignored or filled:
        _log.warning("header_differs", model=model.__name__, ignored=list(ignored), null=filled)
    return Header(agreed, ignored, tuple(filled))


class Contracted:
    """A check of rows whose file has other columns than the model sees."""

    def __init__(self, check: BatchCheck, header: Header) -> None:
        """Take the check of the columns that were agreed on."""
        self.columns = check.columns
        self._check = check
        self._header = header

    def check(self, numbers: Cells, rows: Any) -> Checked:  # noqa: ANN401 - always of a file
        """Return the valid rows and what is wrong with the others."""
        return self._check.check(numbers, self._header.fit(rows))
