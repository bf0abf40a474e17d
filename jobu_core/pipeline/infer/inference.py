"""Reads the beginning of a CSV and says what its columns seem to be.

The rows are read by the reader that a load uses, so what is a null, a header or a
ragged row here is one there. The model that comes out is then held against the
same rows: how many of them it refuses is known, not hoped.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa
from pydantic import create_model

from jobu_core.errors import FileError
from jobu_core.pipeline.csv_reader import open_csv
from jobu_core.pipeline.infer.guess import Guess
from jobu_core.pipeline.infer.kinds import STR
from jobu_core.pipeline.infer.names import field_names
from jobu_core.pipeline.types import ROW_COLUMN
from jobu_core.pipeline.validate.batch_check import batch_check
from jobu_core.pipeline.validate.kernels import pc
from jobu_core.pipeline.validate.report import ValidationOptions

if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path

    from pydantic import BaseModel

    from jobu_core.config.datasets import CsvOptions
    from jobu_core.pipeline.infer.kinds import Kind

ROWS: Final = 100_000
"""Rows looked at unless told otherwise."""
_MOST_BYTES: Final = 256 << 20
"""Of text held at a time; wide files are looked at for fewer rows."""


@dataclass(frozen=True, slots=True)
class InferredField:
    """One column of the file and the field it becomes."""

    column: str
    name: str
    kind: Kind
    nullable: bool
    nulls: int
    misfits: int
    """Cells looked at that the type refuses."""


@dataclass(frozen=True, slots=True)
class Inference:
    """What a file seems to hold."""

    source_name: str
    csv: CsvOptions
    fields: tuple[InferredField, ...]
    rows: int
    """Rows looked at, ragged ones included."""
    ragged: int
    refused: int
    """Rows looked at that the model refuses."""
    complete: bool
    """Whether those were all rows of the file."""

    @property
    def rename(self) -> dict[str, str]:
        """Return the columns whose field has another name."""
        return {each.column: each.name for each in self.fields if each.column != each.name}

    def model(self, name: str) -> type[BaseModel]:
        """Return the model that the draft's source would define."""
        annotations: dict[str, Any] = {
            each.name: each.kind.annotation | None if each.nullable else each.kind.annotation
            for each in self.fields
        }
        return create_model(name, **annotations)


def infer(path: Path, *, source_name: str, csv: CsvOptions, most_rows: int = ROWS) -> Inference:
    """Look at the first rows of ``path``; raises what reading it raises.

    Raises FileError as well for a file without rows: nothing could be inferred.
    """
    seen = _read(path, source_name, csv, most_rows)
    if not seen.rows:
        raise FileError(f"{source_name}: has a header and no rows; nothing can be inferred")
    nulls = _null_spellings(seen.guesses)
    names = field_names(list(seen.guesses))
    fields = tuple(
        _field(column, names[column], guess, nulls) for column, guess in seen.guesses.items()
    )
    options = csv.model_copy(update={"null_values": tuple(sorted(nulls))})
    found = Inference(source_name, options, fields, seen.rows, seen.ragged, 0, seen.complete)
    return _held_against(found, seen.batches, nulls)


@dataclass(slots=True)
class _Seen:
    """The rows that were looked at."""

    guesses: dict[str, Guess]
    batches: list[pa.RecordBatch]
    rows: int = 0
    ragged: int = 0
    complete: bool = True


def _read(path: Path, name: str, csv: CsvOptions, most_rows: int) -> _Seen:
    with open_csv(path, name=name, options=csv, rename={}) as reader:
        seen = _Seen({column: Guess() for column in reader.columns}, [])
        for batch in reader.batches():
            numbers: Any = batch.rows.column(ROW_COLUMN)
            rows = batch.rows.slice(0, pc.sum(pc.less_equal(numbers, most_rows)).as_py() or 0)
            ragged = sum(each.number <= most_rows for each in batch.ragged)
            seen.ragged += ragged
            seen.rows += rows.num_rows + ragged
            seen.batches.append(rows)
            for column, guess in seen.guesses.items():
                guess.take(rows.column(column))
            cut = rows.num_rows < batch.rows.num_rows or ragged < len(batch.ragged)
            if cut or sum(each.nbytes for each in seen.batches) > _MOST_BYTES:
                seen.complete = False
                break
        return seen


def _null_spellings(guesses: dict[str, Guess]) -> set[str]:
    """Return the texts that stand for null: they alone keep a column from having a type.

    A text that a column of text holds as well is none of them: there it would
    become null, too.
    """
    wanted: set[str] = set()
    kept: set[str] = set()
    for guess in guesses.values():
        without = guess.kind(guess.spelled)
        (kept if without is STR else wanted).update(guess.spelled)
    return wanted - kept


def _field(column: str, name: str, guess: Guess, nulls: Collection[str]) -> InferredField:
    empty = guess.nulls + sum(guess.spelled.get(each, 0) for each in nulls)
    return InferredField(column, name, guess.kind(nulls), empty > 0, empty, 0)


def _held_against(
    found: Inference, batches: list[pa.RecordBatch], nulls: Collection[str]
) -> Inference:
    """Hold the model against the rows and count what it refuses."""
    names = [each.name for each in found.fields]
    check = batch_check(
        found.model("Inferred"),
        ValidationOptions(),
        strings=True,
        types=dict.fromkeys(names, pa.string()),
        source_name=found.source_name,
    )
    refused = 0
    misfits: Counter[str] = Counter()
    spelled = pa.array(sorted(nulls), pa.string())
    for batch in batches:
        cells = [_with_nulls(each, spelled) for each in batch.drop_columns([ROW_COLUMN]).columns]
        rows = pa.RecordBatch.from_arrays(cells, names=names)
        outcome = check.check(batch.column(ROW_COLUMN), rows)
        refused += len(outcome.refused)
        for _, problems in outcome.refused:
            misfits.update({each.field for each in problems})
    fields = tuple(replace(each, misfits=misfits[each.name]) for each in found.fields)
    return replace(found, fields=fields, refused=refused)


def _with_nulls(cells: pa.Array[Any], spelled: pa.Array[Any]) -> pa.Array[Any]:
    null = pc.is_in(cells, value_set=spelled)
    kept: pa.Array[Any] = pc.if_else(null, pa.scalar(None, pa.string()), cells)
    return kept
