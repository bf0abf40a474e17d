"""The wanted rows of CSV files, batch by batch, with those that were turned away.

Order: header names are normalised and renamed, so ``filters``, ``columns`` and
``types`` use the new names; cells of declared types are read; rows are filtered; a
transform is given the wanted ones; columns are projected. A ragged row, a cell that
is not of its declared type and a cell that a filter cannot compare turn their row
away; the rest of the file goes on.

``preprocess.py`` writes what comes out to a Parquet; it knows nothing of cells.
"""

from __future__ import annotations

from collections import deque
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Final, Literal

import pyarrow as pa

from jobu_core.config.datasets import CsvOptions
from jobu_core.config.sources import suggest
from jobu_core.errors import FileError, InvalidParams, TransformFailed
from jobu_core.pipeline.csv_files import open_csv_files
from jobu_core.pipeline.csv_reader import normalised
from jobu_core.pipeline.declared_types import DeclaredTypes
from jobu_core.pipeline.filters import NOT_COMPARABLE, Filters
from jobu_core.pipeline.overlap import ahead
from jobu_core.pipeline.rejects import Problem
from jobu_core.pipeline.spelling import Spelling
from jobu_core.pipeline.transform import Transforming
from jobu_core.pipeline.types import ROW_COLUMN, STR, arrow_schema
from jobu_core.pipeline.validate.kernels import pc

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Mapping, Sequence

    from jobu_core.pipeline.csv_files import CsvFiles
    from jobu_core.pipeline.csv_reader import CsvBatch, RaggedRow
    from jobu_core.pipeline.sources import InputFile
    from jobu_core.pipeline.transform import Transform
    from jobu_core.pipeline.types import Column

RAGGED_ROW: Final = "ragged_row"
"""Rule of the reject that a row with too many or too few cells becomes."""

_MOST_ROWS: Final = 65_536
"""Of what a transform of whole files returned, so many are given on at a time."""


@dataclass(frozen=True, slots=True)
class Wishes:
    """How files are written down, and what is wanted of their rows."""

    csv: CsvOptions = field(default_factory=CsvOptions)
    rename: Mapping[str, str] = field(default_factory=dict)
    filters: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    columns: Sequence[str] | None = None
    """The columns to keep, in this order; all of them unless given."""
    types: Mapping[str, str] = field(default_factory=dict)
    transform: Transform | None = None
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
        self._projection = _Projection(wishes.columns)
        self._transform: _Transformed | None = None
        if wishes.transform is not None:
            self._transform = _Transformed(source, wishes.transform, wishes.show_values)
        before = self._projection if self._transform is None else _Projection(None)
        problems = [
            *before.unknown(source.columns),
            *conditions.unknown(source.columns),
            *self._types.unknown(source.columns),
        ]
        if problems:
            raise FileError(f"{name}: " + "; ".join(problems))
        typed = arrow_schema(self._types.columns(source.columns))
        self._filters = conditions.bind(typed, self.spelling)
        self._kept = self._types.columns(before.of(source.columns))
        self._schema = arrow_schema(self._kept)
        self._stream: Generator[Processed] | None = None
        self._read_on: deque[Processed] = deque()

    @property
    def columns(self) -> tuple[Column, ...]:
        """Those of the wanted rows; none while a transform was not given rows yet."""
        return self._kept if self._transform is None else self._transform.columns

    @property
    def repeats(self) -> bool:
        """Whether a transform made several rows of one source row."""
        return self._transform is not None and self._transform.repeats

    @property
    def values(self) -> Literal["strings", "typed"]:
        """Whether the cells of the wanted rows are still text as the file has it."""
        if self._transform is None:
            return "typed" if self._types else "strings"
        return "strings" if all(each.type is STR for each in self.columns) else "typed"

    def start(self) -> None:
        """Read on until ``columns`` are known: a transform says them with its first rows."""
        self._stream = self._all()
        while not self.columns and (processed := next(self._stream, None)) is not None:
            self._read_on.append(processed)

    def batches(self) -> Generator[Processed]:
        """Yield what becomes of every row, in file order; the next ones are read meanwhile.

        ``columns`` are known by the end where a transform says what they are.
        """
        if self._stream is None:
            self._stream = self._all()
        while self._read_on:
            yield self._read_on.popleft()
        yield from self._stream

    def close(self) -> None:
        """Read nothing more."""
        if self._stream is not None:
            self._stream.close()

    def _all(self) -> Generator[Processed]:
        with ahead(self.source.batches()) as batches:
            found = map(self._processed, batches)
            if self._transform is None:
                yield from (processed for _, processed in found)
            else:
                empty = pa.RecordBatch.from_pylist([], schema=self._schema)
                yield from self._transform.batches(found, self._projection, empty)

    def _processed(self, batch: CsvBatch) -> tuple[int, Processed]:
        """Return which file the rows are of, and what becomes of them before a transform."""
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
        return batch.file, Processed(
            pa.RecordBatch.from_arrays(kept.columns, schema=self._schema),
            sorted(turned_away, key=attrgetter("number")),
        )


class _Transformed:
    """Wanted rows on their way through a transform, a chunk or a file at a time."""

    def __init__(self, source: CsvFiles, transform: Transform, show_values: bool) -> None:
        self._source = source
        self._transform = transform
        self._applied = Transforming(transform, show_values=show_values)
        self.columns: tuple[Column, ...] = ()

    @property
    def repeats(self) -> bool:
        return self._applied.repeats

    def batches(
        self,
        found: Iterator[tuple[int, Processed]],
        projection: _Projection,
        empty: pa.RecordBatch,
    ) -> Iterator[Processed]:
        """Yield the rows that the transform returns; those turned away at once."""
        by_file = self._transform.scope == "file"
        waiting: list[pa.RecordBatch] = []
        current = 0
        for file, processed in found:
            if file != current and waiting:
                yield from self._applied_to(waiting, projection)
                waiting = []
            current = file
            waiting += [processed.rows] if processed.rows.num_rows else []
            if processed.turned_away:
                yield Processed(empty, processed.turned_away)
            if waiting and not by_file:
                yield from self._applied_to(waiting, projection)
                waiting = []
        if waiting or not self.columns:
            yield from self._applied_to(waiting or [empty], projection)

    def _applied_to(
        self, waiting: list[pa.RecordBatch], projection: _Projection
    ) -> Iterator[Processed]:
        whole = pa.Table.from_batches(waiting).combine_chunks().to_batches() or waiting[:1]
        rows = whole[0]
        where = _where(rows, self._source)
        if len(whole) > 1:  # Arrow's text has 32-bit offsets
            raise TransformFailed(
                f"{where}: more than 2 GiB in a column is too much for transform "
                f"{self._transform.name} of a whole file; use transform_scope: chunk"
            )
        found = self._applied.apply(rows, where)
        names = [each.name for each in self._applied.columns]
        problems = projection.unknown(names)
        if problems:
            raise TransformFailed(
                f"{where}: what transform {self._transform.name} returned has "
                + "; ".join(problems)
            )
        kept = projection.of(names)
        self.columns = tuple(
            each for name in kept for each in self._applied.columns if each.name == name
        )
        found = found.select([ROW_COLUMN, *kept])
        for at in range(0, found.num_rows, _MOST_ROWS):
            yield Processed(found.slice(at, _MOST_ROWS), [])


class _Projection:
    """The columns to keep, in their order."""

    def __init__(self, wanted: Sequence[str] | None) -> None:
        self._wanted = None if wanted is None else tuple(normalised(name) for name in wanted)
        if self._wanted is not None and len(set(self._wanted)) != len(self._wanted):
            raise InvalidParams("columns: must name each column once")
        if self._wanted == ():
            raise InvalidParams("columns: must name at least one column")

    def of(self, found: Sequence[str]) -> tuple[str, ...]:
        """Return the columns to keep of those that are there."""
        return tuple(found) if self._wanted is None else self._wanted

    def unknown(self, found: Sequence[str]) -> list[str]:
        """Say which are not there."""
        return [
            f"no column {each!r}{suggest(each, found)}"
            for each in self._wanted or ()
            if each not in found
        ]


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
    with (
        open_csv_files(files, options=wishes.csv, rename=wishes.rename) as source,
        closing(Processing(source, wishes, name=name)) as processing,
    ):
        yield processing


def ragged_problem(row: RaggedRow) -> Problem:
    """Say what is wrong with a ragged row."""
    message = f"the row has {row.actual} cells, the header {row.expected}"
    return Problem("", RAGGED_ROW, message, row.text)


def _where(rows: pa.RecordBatch, source: CsvFiles) -> str:
    """Say which rows of which file these are."""
    numbers = rows.column(ROW_COLUMN)
    if not rows.num_rows:
        return f"{source.places.of(1)[0]}: no rows"
    name, first = source.places.of(numbers[0].as_py())
    _, last = source.places.of(numbers[-1].as_py())
    return f"{name}: rows {first} to {last}"


def _cells(rows: pa.RecordBatch, index: int) -> dict[str, Any]:
    """Return the row as it was read, without its number."""
    cells: dict[str, Any] = rows.slice(index, 1).to_pylist()[0]
    del cells[ROW_COLUMN]
    return cells
