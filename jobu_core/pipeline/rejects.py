"""Rows that were turned away: written down, counted, and held against limits.

One line per problem, so a row with two bad fields has two; ``rejected`` counts
rows. Values and rows are written only with ``show_values``.
"""

from __future__ import annotations

import json
from collections import Counter
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa

from jobu_core.errors import RowsRejected
from jobu_core.pipeline.parquet_writer import ParquetOutput, write_parquet
from jobu_core.pipeline.sources import RowPlaces

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

_FIELDS: Final[list[pa.Field[Any]]] = [
    pa.field("source_file", pa.string(), nullable=False),
    pa.field("row_number", pa.int64(), nullable=False),
    pa.field("field", pa.string()),
    pa.field("error_type", pa.string(), nullable=False),
    pa.field("message", pa.string(), nullable=False),
    pa.field("value", pa.string()),
    pa.field("row", pa.string()),
]
REJECTS_SCHEMA: Final = pa.schema(_FIELDS)

_BUFFERED: Final = 4_096
"""Problems that are held as Python objects; with the values of rows, a quarter."""
_SHOWN_RULES: Final = 10

Counts = dict[str, dict[str, int]]
"""Field → rule → how often; the empty field is the row as a whole."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong with one row."""

    field: str
    """Name of the column; empty when the row as a whole is at fault."""
    rule: str
    message: str
    """Never holds a value of the user's."""
    value: object = None


@dataclass(frozen=True, slots=True)
class Limits:
    """How many rejects are too many; every row rejected always is."""

    strict: bool = False
    """Any reject fails."""
    max_errors: int | None = None
    """Rejected rows that are still accepted."""
    max_error_rate: float | None = None
    """Share of rejected rows that is still accepted, 0 to 1."""

    def breach(self, rows: int, rejected: int) -> str | None:
        """Return why ``rejected`` of ``rows`` is too many, or None."""
        if not rejected:
            return None
        if rejected >= rows:
            return "every row was rejected"
        if self.strict:
            return "strict allows none"
        if self.max_errors is not None and rejected > self.max_errors:
            return f"max_errors is {self.max_errors}"
        if self.max_error_rate is not None and rejected > self.max_error_rate * rows:
            return f"max_error_rate is {self.max_error_rate}"
        return None


@dataclass(slots=True)
class _Lines:
    """Problems not yet written, with their rows; rows without values have no text."""

    numbers: list[int] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    rows: list[str | None] = field(default_factory=list)

    def batch(self, source_name: str, places: RowPlaces, *, show_values: bool) -> pa.RecordBatch:
        """Return them in the columns of ``REJECTS_SCHEMA``."""
        text, found = pa.string(), self.problems
        nulls = pa.nulls(len(found), text)
        messages = [each.message for each in found]
        if not all(map(str.isascii, messages)):
            messages = [_writable(each) for each in messages]
        names: pa.Array[Any] = pa.repeat(source_name, len(found))
        numbers = self.numbers
        if places.several:
            placed = [places.of(number) for number in numbers]
            names = pa.array([name for name, _ in placed], text)
            numbers = [number for _, number in placed]
        return pa.RecordBatch.from_arrays(
            [
                names,
                pa.array(numbers, pa.int64()),
                pa.array([each.field or None for each in found], text),
                pa.array([each.rule for each in found], text),
                pa.array(messages, text),
                pa.array([_shown(each.value) for each in found], text) if show_values else nulls,
                pa.array(self.rows, text) if show_values else nulls,
            ],
            schema=REJECTS_SCHEMA,
        )


@dataclass(slots=True)
class RejectLog:
    """The rejects of one stage over one input; made by ``reject_log``."""

    path: Path
    source_name: str
    show_values: bool
    places: RowPlaces = field(default_factory=RowPlaces)
    """Which file each row is of, where there are several."""
    rejected: int = 0
    _counts: Counts = field(default_factory=dict)
    _counted: int = 0
    """How many of the lines that wait are in the counts."""
    _lines: _Lines = field(default_factory=_Lines)
    _output: ParquetOutput | None = None
    _stack: ExitStack = field(default_factory=ExitStack)

    @property
    def written_path(self) -> Path | None:
        """Where the rejects are, or None if there is none."""
        return self.path if self.rejected else None

    @property
    def counts(self) -> Counts:
        """How often each rule of each field was broken so far."""
        self._count()
        return self._counts

    def add(
        self, row_number: int, problems: Sequence[Problem], row: Mapping[str, Any] | str
    ) -> None:
        """Turn a row away for one or more problems."""
        self.rejected += 1
        lines = self._lines
        lines.problems += problems
        if len(problems) == 1:
            lines.numbers.append(row_number)
        else:
            lines.numbers += [row_number] * len(problems)
        if self.show_values:
            lines.rows += [_shown(row)] * len(problems)
        if len(lines.numbers) >= (_BUFFERED // 4 if self.show_values else _BUFFERED):
            self._flush()

    def enforce(self, limits: Limits, rows: int, report: object, *, before: int = 0) -> None:
        """Raise RowsRejected, with ``report``, if these are too many of ``rows``.

        ``before`` counts rows that an earlier stage rejected; ``rows`` includes them.
        """
        rejected = self.rejected + before
        reason = limits.breach(rows, rejected)
        if reason is None:
            return
        details = [f"{self.source_name}: {rejected} of {rows} rows rejected, {reason}"]
        if self.counts:
            details.append(self.summary())
        if before:
            details.append(f"{before} of them by an earlier stage")
        raise RowsRejected("; ".join(details), report)

    def summary(self) -> str:
        """Say which rules were broken how often, most frequent first."""
        found = sorted(
            (-times, name or "row", rule)
            for name, rules in self.counts.items()
            for rule, times in rules.items()
        )
        shown = [f"{name}: {rule} {-times}" for times, name, rule in found[:_SHOWN_RULES]]
        if len(found) > _SHOWN_RULES:
            shown.append(f"and {len(found) - _SHOWN_RULES} more")
        return ", ".join(shown)

    def _count(self) -> None:
        """Count the lines that wait, as far as they are not counted."""
        fresh = self._lines.problems[self._counted :]
        self._counted += len(fresh)
        # One problem often stands for many cells: those of a column that are the same.
        problems = {id(each): each for each in fresh}
        for at, times in Counter(map(id, fresh)).items():
            rules = self._counts.setdefault(problems[at].field, {})
            rules[problems[at].rule] = rules.get(problems[at].rule, 0) + times

    def _flush(self) -> None:
        if self._output is None:
            self._output = self._stack.enter_context(write_parquet(self.path, REJECTS_SCHEMA))
        self._count()
        self._output.write(
            self._lines.batch(self.source_name, self.places, show_values=self.show_values)
        )
        self._lines, self._counted = _Lines(), 0

    def _publish(self) -> None:
        if self._lines.numbers:
            self._flush()
        if self._output is None:
            self.path.unlink(missing_ok=True)  # an earlier run's: of another output


@contextmanager
def reject_log(path: Path, *, source_name: str, show_values: bool) -> Iterator[RejectLog]:
    """Collect rejects; after the block ``path`` holds them, or is gone if there are none.

    They are written as well when the block raises RowsRejected; if it fails in
    another way, ``path`` is as it was before.
    """
    log = RejectLog(path, source_name, show_values)
    too_many: RowsRejected | None = None
    with log._stack:  # noqa: SLF001 - this function is its constructor
        try:
            yield log
        except RowsRejected as error:
            too_many = error
        log._publish()  # noqa: SLF001 - idem
    if too_many is not None:
        raise too_many


def rejects_beside(output_path: Path) -> Path:
    """Return where the rejects of an output lie unless the user says otherwise."""
    return output_path.with_name(f"{output_path.stem}.rejects.parquet")


def _shown(value: object) -> str | None:
    if value is None:
        return None
    if isinstance(value, str):
        return _writable(value)
    return _writable(json.dumps(value, ensure_ascii=False, default=str))


def _writable(text: str) -> str:
    """Return ``text`` as UTF-8 can hold it."""
    return text.encode("utf-8", "backslashreplace").decode()
