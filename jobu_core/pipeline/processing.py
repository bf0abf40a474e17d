"""The wanted rows of CSV files, batch by batch, with those that were turned away.

Order: header names are normalised and renamed, so ``filters``, ``columns`` and
``types`` use the new names; cells of declared types are read; rows are filtered;
columns are projected. A ragged row, a cell that is not of its declared type and
a cell that a filter cannot compare turn their row away; the rest of the file goes on.

``preprocess.py`` writes what comes out to a Parquet; it knows nothing of cells.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, field
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Final, Literal

import pyarrow as pa

from jobu_core.config.datasets import CsvOptions
from jobu_core.config.sources import suggest
from jobu_core.errors import FileError, InvalidParams
from jobu_core.pipeline.csv_files import open_csv_files
from jobu_core.pipeline.csv_reader import normalised
from jobu_core.pipeline.declared_types import DeclaredTypes
from jobu_core.pipeline.filters import NOT_COMPARABLE, Filters
from jobu_core.pipeline.overlap import ahead
from jobu_core.pipeline.rejects import Problem
from jobu_core.pipeline.spelling import Spelling
from jobu_core.pipeline.types import ROW_COLUMN, arrow_schema
from jobu_core.pipeline.validate.kernels import pc

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Mapping, Sequence

    from jobu_core.pipeline.csv_files import CsvFiles
    from jobu_core.pipeline.csv_reader import CsvBatch, RaggedRow
    from jobu_core.pipeline.sources import InputFile
    from jobu_core.pipeline.types import Column

RAGGED_ROW: Final = "ragged_row"
"""Rule of the reject that a row with too many or too few cells becomes."""


@dataclass(frozen=True, slots=True)
class Wishes:
    """How files are written down, and what is wanted of their rows."""

    csv: CsvOptions = field(default_factory=CsvOptions)
    rename: Mapping[str, str] = field(default_factory=dict)
    filters: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    columns: Sequence[str] | None = None
    """The columns to keep, in this order; all of them unless given."""
    types: Mapping[str, str] = field(default_factory=dict)
    show_values: bool = False


@dataclass(frozen=True, slots=True)
class TurnedAway:
    """A row that is not wanted because something is wrong with it."""

    number: int
    problems: list[Problem]
    row: Mapping[str, Any] | str
    """Its cells as they were read; a ragged row as text."""


@dataclass(frozen=True, slots=True)
class Processed:
    """What became of some rows."""

    rows: pa.RecordBatch
    """The wanted ones, their numbers first; perhaps none."""
    turned_away: list[TurnedAway]
    """In file order."""


class Processing:
    """One pass over an input; made by ``open_processing``."""

    def __init__(self, source: CsvFiles, wishes: Wishes, *, name: str) -> None:
        """Hold the wishes against the header; raises one FileError with everything."""
        self.source = source
        """Rows read, files and hash, once the batches are exhausted."""
        self.spelling = Spelling.of(wishes.csv)
        """How columns that stay text write numbers and moments down."""
        self._types = DeclaredTypes(
            wishes.types, show_values=wishes.show_values, spelling=self.spelling
        )
        conditions = Filters(wishes.filters)
        projected = _projected(source.columns, wishes.columns)
        problems = [
            *(
                f"no column {each!r}{suggest(each, source.columns)}"
                for each in projected
                if each not in source.columns
            ),
            *conditions.unknown(source.columns),
            *self._types.unknown(source.columns),
        ]
        if problems:
            raise FileError(f"{name}: " + "; ".join(problems))
        typed = arrow_schema(self._types.columns(source.columns))
        self._filters = conditions.bind(typed, self.spelling)
        self.columns: tuple[Column, ...] = self._types.columns(projected)
        """Of the wanted rows."""
        self._schema = arrow_schema(self.columns)

    @property
    def values(self) -> Literal["strings", "typed"]:
        """Whether the cells of the wanted rows are still text as the file has it."""
        return "typed" if self._types else "strings"

    def batches(self) -> Generator[Processed]:
        """Yield what becomes of every row, in file order; the next ones are read meanwhile."""
        with ahead(self.source.batches()) as batches:
            for batch in batches:
                yield self._processed(batch)

    def _processed(self, batch: CsvBatch) -> Processed:
        typed, unreadable = self._types.convert(batch.rows)
        judged = self._filters.judge(typed)
        refused = {
            row.index: [
                Problem(
                    row.column,
                    NOT_COMPARABLE,
                    row.message,
                    typed.column(row.column)[row.index].as_py(),
                )
            ]
            for row in judged.refused
        }
        numbers = typed.column(ROW_COLUMN)
        turned_away = [
            TurnedAway(row.number, [ragged_problem(row)], row.text) for row in batch.ragged
        ]
        turned_away += [
            TurnedAway(numbers[index].as_py(), problems, _cells(batch.rows, index))
            for index, problems in (refused | unreadable).items()
        ]
        keep = judged.keep
        if unreadable:
            readable = pa.array([index not in unreadable for index in range(typed.num_rows)])
            keep = pc.and_(keep, readable)
        kept = typed.select(self._schema.names)
        if pc.all(keep, skip_nulls=False).as_py() is not True:  # without filters all rows stay
            kept = kept.filter(keep)
        return Processed(
            pa.RecordBatch.from_arrays(kept.columns, schema=self._schema),
            sorted(turned_away, key=attrgetter("number")),
        )


@contextmanager
def open_processing(
    files: Sequence[InputFile], wishes: Wishes, *, name: str
) -> Iterator[Processing]:
    """Open the files for one pass; ``name`` is what messages call them together.

    Raises InvalidParams for wishes that no file could satisfy, FileError for what is
    wrong with these.
    """
    Filters(wishes.filters)  # before any file is opened
    DeclaredTypes(wishes.types, show_values=wishes.show_values)
    Spelling.of(wishes.csv)
    with open_csv_files(files, options=wishes.csv, rename=wishes.rename) as source:
        yield Processing(source, wishes, name=name)


def ragged_problem(row: RaggedRow) -> Problem:
    """Say what is wrong with a ragged row."""
    message = f"the row has {row.actual} cells, the header {row.expected}"
    return Problem("", RAGGED_ROW, message, row.text)


def _projected(found: tuple[str, ...], wanted: Sequence[str] | None) -> tuple[str, ...]:
    if wanted is None:
        return found
    projected = tuple(normalised(name) for name in wanted)
    if len(set(projected)) != len(projected) or not projected:
        raise InvalidParams("columns: must name at least one column, and each once")
    return projected


def _cells(rows: pa.RecordBatch, index: int) -> dict[str, Any]:
    """Return the row as it was read, without its number."""
    cells: dict[str, Any] = rows.slice(index, 1).to_pylist()[0]
    del cells[ROW_COLUMN]
    return cells
