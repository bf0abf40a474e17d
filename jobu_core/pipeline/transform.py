"""A person's own function over rows: a pandas DataFrame in, one out, nothing lost on the way.

Columns are Arrow's own types in and out, so an integer beside nulls stays one. The
index holds the number of each source row, and every row that comes back must have
one of them: a row that is missing was filtered, one that is there twice is two rows
of the same source row.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

import pyarrow as pa

from jobu_core.config.sources import suggest
from jobu_core.errors import InvalidParams, JobuError, SchemaMismatch, TransformFailed
from jobu_core.pipeline import types
from jobu_core.pipeline.csv_reader import normalised
from jobu_core.pipeline.types import ROW_COLUMN, Column, arrow_schema, columns_of_schema
from jobu_core.pipeline.validate.kernels import pc

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from types import TracebackType

    import pandas as pd

    from jobu_core.pipeline.validate.proofs import Cells

Scope = Literal["chunk", "file"]

_WHOLE_DECIMAL: Final = 38
_KEEP_THE_INDEX: Final = (
    f"keep the index, or return the numbers of the source rows as column {ROW_COLUMN!r}"
)


@dataclass(frozen=True, slots=True)
class Transform:
    """A registered function, and how much of a file it is given at a time."""

    name: str
    function: Callable[[pd.DataFrame], pd.DataFrame]
    scope: Scope = "chunk"
    """``chunk``: some rows that follow each other, jobu decides how many; ``file``: all
    wanted rows of a file, in memory."""


def transform_named(
    name: str, scope: Scope, transforms: Mapping[str, Callable[[pd.DataFrame], pd.DataFrame]]
) -> Transform:
    """Return the registered transform; raises InvalidParams with the nearest name."""
    found = transforms.get(name)
    if found is None:
        raise InvalidParams(
            f"transform: no transform named {name!r} is registered{suggest(name, transforms)}"
        )
    return Transform(name, found, scope)


class Transforming:
    """A transform over the rows of one input."""

    def __init__(self, transform: Transform, *, show_values: bool) -> None:
        """Know no columns before the first rows."""
        self._transform = transform
        self._show_values = show_values
        self.columns: tuple[Column, ...] = ()
        """What it returned first, and must return ever after."""
        self.repeats = False
        """Whether a source row became several."""

    def apply(self, rows: pa.RecordBatch, where: str) -> pa.RecordBatch:
        """Return what the function makes of ``rows``, their numbers first.

        ``where`` says which rows these are. Raises TransformFailed when the function
        raises or returns what cannot be stored, SchemaMismatch when its columns are
        not those of the first call.
        """
        place = f"{where}: transform {self._transform.name}"
        given: Any = rows.column(ROW_COLUMN)
        returned = self._call(_frame_of(rows), place)
        numbers, frame = _numbers_of(returned, place)
        if (
            numbers.null_count
            or not pc.all(pc.is_in(numbers, value_set=given), min_count=0).as_py()
        ):
            raise TransformFailed(f"{place}: returned rows that are none of its; {_KEEP_THE_INDEX}")
        self.repeats |= pc.count_distinct(numbers).as_py() < len(numbers)
        names = _names_of(frame, place)
        cells = [
            self._stored(_cells_of(frame.iloc[:, at], f"{place}: column {name!r}"), name, rows)
            for at, name in enumerate(names)
        ]
        found = _columns_of(names, cells, place)
        if not self.columns:
            self.columns = found
        elif found != self.columns:
            raise SchemaMismatch(f"{place}: " + "; ".join(_differences(self.columns, found)))
        arrays = [each.cast(column.type.arrow) for each, column in zip(cells, found, strict=True)]
        return pa.RecordBatch.from_arrays([numbers, *arrays], schema=arrow_schema(found))

    def _call(self, frame: pd.DataFrame, place: str) -> pd.DataFrame:
        import pandas as pd  # noqa: PLC0415 - slow, and only for who has a transform

        try:
            returned = self._transform.function(frame)
        except JobuError:
            raise
        except Exception as error:  # noqa: BLE001 - a person's own function
            line = _line_of(self._transform.function, error.__traceback__)
            text = f": {error}" if self._show_values else ""
            raise TransformFailed(f"{place}: {type(error).__name__}{line}{text}") from None
        if not isinstance(returned, pd.DataFrame):
            raise TransformFailed(f"{place}: returned a {type(returned).__name__}, not a DataFrame")
        return returned

    def _stored(self, cells: Cells, name: str, rows: pa.RecordBatch) -> Cells:
        """Give a column of nulls the type it has elsewhere; else the input's, else text."""
        if not pa.types.is_null(cells.type):
            return cells
        known = {column.name: column.type.arrow for column in self.columns}
        at = rows.schema.get_field_index(name)
        given = pa.string() if at < 0 else rows.schema.field(at).type
        return cells.cast(known.get(name, given))


def _frame_of(rows: pa.RecordBatch) -> pd.DataFrame:
    import pandas as pd  # noqa: PLC0415 - slow, and only for who has a transform

    columns = rows.drop_columns([ROW_COLUMN])
    frame: pd.DataFrame = columns.to_pandas(types_mapper=pd.ArrowDtype)
    numbers: Any = rows.column(ROW_COLUMN)
    frame.index = pd.Index(numbers.to_numpy(), name=ROW_COLUMN)
    return frame


def _numbers_of(frame: pd.DataFrame, place: str) -> tuple[Cells, pd.DataFrame]:
    """Take the numbers of the source rows out of a frame: a column, else the index."""
    if ROW_COLUMN in frame.columns:
        numbers: Any = frame[ROW_COLUMN]
        frame = frame.drop(columns=[ROW_COLUMN])
    elif frame.index.name == ROW_COLUMN:
        numbers = frame.index.to_series()
    else:
        raise TransformFailed(
            f"{place}: returned rows without the numbers of their source rows; {_KEEP_THE_INDEX}"
        )
    try:
        return _one_array(pa.array(numbers, from_pandas=True)).cast(pa.int64()), frame
    except (pa.ArrowException, TypeError, ValueError):
        raise TransformFailed(f"{place}: {ROW_COLUMN} holds no row numbers") from None


def _names_of(frame: pd.DataFrame, place: str) -> list[str]:
    names = list(frame.columns)
    if not names:
        raise TransformFailed(f"{place}: returned no columns")
    if not all(isinstance(name, str) for name in names):
        raise TransformFailed(f"{place}: returned a column whose name is no text")
    found = [normalised(name) for name in names]
    if len(set(found)) < len(found):
        doubled = sorted({name for name in found if found.count(name) > 1})
        raise TransformFailed(f"{place}: returned columns twice: {', '.join(doubled)}")
    return found


def _cells_of(series: Any, place: str) -> Cells:  # noqa: ANN401 - a column of any type
    """Return a column as Arrow has it, in microseconds and without a dictionary."""
    try:
        cells = _one_array(pa.array(series, from_pandas=True))
    except (pa.ArrowException, TypeError, ValueError, OverflowError):
        raise TransformFailed(f"{place}: holds values of several types, or of none") from None
    kind = cells.type
    if pa.types.is_dictionary(kind):
        cells = cells.dictionary_decode()
        kind = cells.type
    if pa.types.is_decimal(kind) and not isinstance(series.dtype, _arrow_dtype()):
        kind = pa.decimal128(_WHOLE_DECIMAL, max(kind.scale, 0))  # its digits are this chunk's
    elif getattr(kind, "unit", None) == "ns":
        kind = _in_microseconds(kind)
    try:
        return cells.cast(kind)
    except pa.ArrowInvalid:
        raise TransformFailed(f"{place}: holds nanoseconds, or too many digits") from None


def _columns_of(names: Sequence[str], cells: Sequence[Cells], place: str) -> tuple[Column, ...]:
    """Return the columns in jobu's own types."""
    try:
        found = columns_of_schema(
            pa.schema([pa.field(name, each.type) for name, each in zip(names, cells, strict=True)])
        )
    except SchemaMismatch as error:
        raise TransformFailed(f"{place}: {error}") from None
    nested = [column.name for column in found if column.type.name == types.JSON.name]
    if nested:
        raise TransformFailed(
            f"{place}: column {nested[0]!r} holds lists or records; return them as JSON text"
        )
    return tuple(
        Column(each.name, types.NAMED.get(each.type.name, each.type), nullable=True)
        for each in found
    )


def _differences(first: Sequence[Column], found: Sequence[Column]) -> list[str]:
    """Say how columns differ from those of the first call."""
    before = {each.name: each.type.name for each in first}
    now = {each.name: each.type.name for each in found}
    told = [
        *(f"no column {name!r}, which the first rows had" for name in before if name not in now),
        *(f"column {name!r}, which the first rows had not" for name in now if name not in before),
        *(
            f"column {name!r} is {now[name]}, of the first rows {before[name]}"
            for name in now
            if name in before and now[name] != before[name]
        ),
    ]
    return told or ["the columns come in another order than those of the first rows"]


def _one_array(cells: Cells) -> Cells:
    return cells.combine_chunks() if isinstance(cells, pa.ChunkedArray) else cells


def _in_microseconds(kind: Any) -> pa.DataType:  # noqa: ANN401 - one of three types of time
    if pa.types.is_timestamp(kind):
        return pa.timestamp("us", kind.tz)
    return pa.time64("us") if pa.types.is_time(kind) else pa.duration("us")


def _arrow_dtype() -> type:
    import pandas as pd  # noqa: PLC0415 - slow, and only for who has a transform

    return pd.ArrowDtype


def _line_of(function: Callable[..., object], traceback: TracebackType | None) -> str:
    """Return the place in the function's own file that failed: no values, unlike its message."""
    own = getattr(getattr(function, "__code__", None), "co_filename", None)
    line = None
    while traceback is not None:
        if traceback.tb_frame.f_code.co_filename == own:
            line = traceback.tb_lineno
        traceback = traceback.tb_next
    return "" if own is None or line is None else f" at {Path(own).name} line {line}"
