"""Rejected rows out of their file for a person to correct, and back in again.

The file a person corrects is a CSV like the original's, with two columns before its
own: which reject a row is, and what was wrong with it. Every cell that is not null
is quoted, so that nothing is read differently the second time.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final
from uuid import uuid4

import pyarrow as pa

from jobu_core.errors import FileError
from jobu_core.pipeline.csv_files import open_csv_files
from jobu_core.pipeline.csv_reader import open_csv
from jobu_core.pipeline.sources import RowPlaces
from jobu_core.pipeline.types import ROW_COLUMN

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from jobu_core.config.datasets import CsvOptions
    from jobu_core.pipeline.csv_reader import CsvBatch
    from jobu_core.pipeline.sources import InputFile, SourceFile

REJECT_COLUMN: Final = "_reject"
ERROR_COLUMN: Final = "_error"
_HASH_LETTERS: Final = 16
_MOST_NAMED: Final = 5


@dataclass(frozen=True, slots=True)
class Rejected:
    """The rejects of one run over one input."""

    source_name: str
    """Logical path of the user's file, or the pattern of several."""
    source_sha256: str
    problems: Mapping[int, str]
    """Row number → what was wrong with it, never with a value. Rows of several files
    are numbered through."""
    files: tuple[SourceFile, ...] = ()
    """The files, in their order, if they are several."""

    def name_of(self, number: int) -> str:
        """Return how the exported file calls a row."""
        return f"{number}@{self.source_sha256[:_HASH_LETTERS]}"


@dataclass(frozen=True, slots=True)
class Corrections:
    """Rows as a person corrected them."""

    columns: tuple[str, ...]
    rows: Mapping[int, tuple[str | None, ...]]
    """Number in the user's file → cells, in the corrected file's order."""


def export_rejected(
    sources: Sequence[InputFile], rejected: Rejected, *, csv: CsvOptions, output: Path
) -> int:
    """Write the rejected rows of ``sources`` to ``output`` and return how many they are.

    Raises FileError when a source is not the one that was loaded, or ``output``
    exists: it may hold corrections.
    """
    if output.exists():
        raise FileError(f"{output.name}: exists, and may hold corrections; choose another name")
    wanted, places = rejected.problems, RowPlaces(rejected.files)
    with open_csv_files(sources, options=csv, rename={}) as reader:
        lines = [_line([REJECT_COLUMN, ERROR_COLUMN, *reader.columns], csv)]
        for batch in reader.batches():
            for number, line in sorted(_lines(batch, wanted, csv)):
                told = _tellable(_placed(number, rejected, places), csv)
                lines.append(_line([rejected.name_of(number), told], csv) + csv.delimiter + line)
        _refuse_changed(reader.files, rejected)
    with output.open("xb") as file:
        file.write("".join(f"{line}\n" for line in lines).encode(csv.encoding))
    return len(lines) - 1


def read_corrections(path: Path, rejected: Rejected, *, name: str, csv: CsvOptions) -> Corrections:
    """Return the rows of a corrected file; raises FileError with everything wrong with it.

    Rows that a person left out are not an error: they stay rejected.
    """
    rows: dict[int, tuple[str | None, ...]] = {}
    problems: list[str] = []
    known = {rejected.name_of(number): number for number in rejected.problems}
    with open_csv(path, name=name, options=csv, rename={}) as reader:
        if REJECT_COLUMN not in reader.columns:
            raise FileError(f"{name}: has no column {REJECT_COLUMN!r}, which tells the rows apart")
        columns = tuple(
            each for each in reader.columns if each not in {REJECT_COLUMN, ERROR_COLUMN}
        )
        for batch in reader.batches():
            problems += [
                f"row {each.number} has {each.actual} cells, the header {each.expected}"
                for each in batch.ragged
            ]
            for row in batch.rows.to_pylist():
                number = known.get(row[REJECT_COLUMN])
                if number is None or number in rows:
                    why = (
                        "names no reject of that execution" if number is None else "is there twice"
                    )
                    problems.append(f"row {row[ROW_COLUMN]}: {REJECT_COLUMN} {why}")
                else:
                    rows[number] = tuple(row[column] for column in columns)
    if problems:
        more = f"; and {len(problems) - _MOST_NAMED} more" if len(problems) > _MOST_NAMED else ""
        raise FileError(f"{name}: " + "; ".join(problems[:_MOST_NAMED]) + more)
    return Corrections(columns, rows)


def refuse_other_columns(
    corrections: Corrections, source: Path, *, name: str, csv: CsvOptions
) -> None:
    """Raise FileError unless the corrected file has the source's columns, in any order."""
    with open_csv(source, name=source.name, options=csv, rename={}) as reader:
        wanted = reader.columns
    problems = [
        *(f"no column {each!r}" for each in wanted if each not in corrections.columns),
        *(
            f"column {each!r} is not of the file"
            for each in corrections.columns
            if each not in wanted
        ),
    ]
    if problems:
        raise FileError(f"{name}: " + "; ".join(problems))


def write_corrected(
    corrections: Corrections, numbers: Iterable[int], *, csv: CsvOptions, folder: Path, stem: str
) -> Path:
    """Write these rows as a CSV to be loaded; the same rows have the same name.

    The name ends in ``.reload``, so that no pattern for CSV files takes it for input.
    """
    lines = [corrections.columns, *(corrections.rows[number] for number in sorted(numbers))]
    data = "".join(f"{_line(line, csv)}\n" for line in lines).encode(csv.encoding)
    path = folder / f"{stem}-{hashlib.sha256(data).hexdigest()[: 2 * _HASH_LETTERS]}.reload"
    folder.mkdir(parents=True, exist_ok=True)
    beside = folder / f".{uuid4().hex}.new"
    with beside.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    beside.replace(path)
    return path


def _placed(number: int, rejected: Rejected, places: RowPlaces) -> str:
    """Return what is wrong with a row, after the file it is in where there are several."""
    problem = rejected.problems[number]
    if not places.several:
        return problem
    name, at = places.of(number)
    return f"{name} row {at}: {problem}"


def _refuse_changed(read: Sequence[SourceFile], rejected: Rejected) -> None:
    loaded = [each.sha256 for each in rejected.files] or [rejected.source_sha256]
    changed = [
        each.name for each, sha256 in zip(read, loaded, strict=True) if each.sha256 != sha256
    ]
    if changed:
        raise FileError(
            f"{', '.join(changed)}: is not the file that was loaded; it was changed since"
        )


def _lines(
    batch: CsvBatch, wanted: Mapping[int, str], csv: CsvOptions
) -> Iterator[tuple[int, str]]:
    """Yield the wanted rows of a batch as lines; ragged ones as they stand in the file."""
    for ragged in batch.ragged:
        if ragged.number in wanted:
            yield ragged.number, ragged.text.rstrip("\r\n")
    numbers: Any = batch.rows.column(ROW_COLUMN)
    mask = pa.array([number in wanted for number in numbers.to_pylist()], pa.bool_())
    for row in batch.rows.filter(mask).to_pylist():
        number = row.pop(ROW_COLUMN)
        yield number, _line(row.values(), csv)


def _line(cells: Iterable[str | None], csv: CsvOptions) -> str:
    return csv.delimiter.join(_cell(each, csv.quote) for each in cells)


def _cell(value: str | None, quote: str) -> str:
    """Return a cell that is read as it was: null is empty, everything else is quoted."""
    if value is None:
        return ""
    return f"{quote}{value.replace(quote, quote * 2)}{quote}" if quote else value


def _tellable(text: str, csv: CsvOptions) -> str:
    """Return a message as the file can hold it: in its encoding, in one cell."""
    known = text.encode(csv.encoding, "replace").decode(csv.encoding)
    return known if csv.quote else " ".join(known.replace(csv.delimiter, " ").split())
